//! Words that every other room uses: checked names, secrets, sizes, digests, diagnostics, diffs, events, exit codes.
//!
//! Nothing here does I/O, reads a clock or knows what a host is. A type belongs here when two rooms that may not
//! import one another both need to say it.

pub mod diagnostic;
pub mod diff;
pub mod digest;
pub mod event;
pub mod exit;
pub mod name;
pub mod secret;
mod size;

pub use diagnostic::{Diagnostic, Diagnostics, Source, Span};
pub use diff::Diff;
pub use digest::Digest;
pub use event::{Event, EventKind};
pub use exit::Exit;
pub use secret::Secret;
pub use size::size;
