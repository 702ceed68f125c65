//! `~/.ssh/config`.

pub(crate) mod pattern;
