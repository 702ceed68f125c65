//! Rules that the tree itself must keep: floors, sizes, headers, words, shell text, documents. No box, no network.

mod layering;
mod shell;
mod tidy;
mod tools;
