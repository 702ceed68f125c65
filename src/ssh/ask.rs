//! Questions that only the operator can answer. The room that owns the terminal answers them; this one only asks.

use std::path::Path;

use crate::base::Secret;

/// The answer to a yes-or-no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not.
    No,
    /// There is nobody to ask: no terminal, or asking is forbidden.
    NotAskable,
}

/// Asks the operator. The calls block and are made from a thread of their own; a run makes one at a time.
pub trait Ask: Send + Sync {
    /// Whether the key of a host never seen before is the right one. `host` as `known_hosts` would name it,
    /// `fingerprint` as `SHA256:…`.
    fn accept_host_key(&self, host: &str, key_type: &str, fingerprint: &str) -> Answer;

    /// A login password. `None`: declined, or nobody to ask.
    fn password(&self, prompt: &str) -> Option<Secret>;

    /// The passphrase of a key file.
    fn passphrase(&self, path: &Path) -> Option<Secret>;

    /// The password that sudo wants from `user` on `host`.
    fn sudo_password(&self, user: &str, host: &str) -> Option<Secret>;
}

/// For runs without a terminal: every question is declined.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refuse;

impl Ask for Refuse {
    fn accept_host_key(&self, _: &str, _: &str, _: &str) -> Answer {
        Answer::NotAskable
    }

    fn password(&self, _: &str) -> Option<Secret> {
        None
    }

    fn passphrase(&self, _: &Path) -> Option<Secret> {
        None
    }

    fn sudo_password(&self, _: &str, _: &str) -> Option<Secret> {
        None
    }
}
