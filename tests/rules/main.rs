//! Rules that the tree itself must keep: floors, sizes, headers, words, shell text, documents. No box, no network.

#![allow(clippy::expect_used, clippy::panic, reason = "a test tells its failure by a panic")]

mod documents;
mod layering;
mod shell;
mod tidy;
#[path = "../tools/mod.rs"]
mod tools;
mod traps;
