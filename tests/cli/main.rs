//! The program as a user meets it: words in, text and exit codes out. No box, no network beyond loopback.

#![allow(clippy::expect_used, clippy::panic, reason = "a test tells its failure by a panic")]

mod documents;
mod files;
mod fleets;
mod program;
#[path = "../tools/ran.rs"]
mod ran;
mod runs;
#[path = "../tools/mod.rs"]
mod tools;
mod words;
