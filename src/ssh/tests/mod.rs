//! Tests of the whole room: against a real OpenSSH server on loopback, and against servers in this process that do
//! what no honest one would.

mod authentication;
mod configuration;
mod host_keys;
mod known;
mod login;
mod server;
mod session;
mod sshd;
mod unfit;
mod ways;

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::base::Secret;
use crate::shell::{Batch, Call, Library, Mode};

use super::{Answer, Ask, FrameResult, HeldShell, SessionError};

/// Functions to call in tests.
pub(super) static PLAY: Library = Library {
    name: "play.sh",
    text: "play_say() {\n\tfor word in \"$@\"; do bp_field \"$word\"; done\n}\nplay_status() {\n\treturn \"$1\"\n}\nplay_who() {\n\tid -un\n}\nplay_bytes() {\n\thead -c \"$1\" /dev/zero\n}\nplay_die() {\n\tkill -9 $$\n}\nplay_wait() {\n\texec sleep 30\n}\n",
    needs: &[],
};

pub(super) fn say(words: &[&str]) -> Batch {
    Batch::new(Mode::Probe, vec![Call::new(&PLAY, "play_say").args(words.iter().copied())])
}

pub(super) async fn run(shell: &mut HeldShell, batch: &Batch) -> Result<Vec<FrameResult>, SessionError> {
    shell.run(batch, &mut |_| {}).await
}

/// An operator with fixed answers, who remembers what was asked.
#[derive(Default)]
pub(super) struct Operator {
    pub(super) key: Option<Answer>,
    pub(super) password: Option<&'static str>,
    pub(super) passphrase: Option<&'static str>,
    pub(super) sudo: Option<&'static str>,
    pub(super) asked: Mutex<Vec<String>>,
}

impl Operator {
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl Ask for Operator {
    fn accept_host_key(&self, host: &str, key_type: &str, fingerprint: &str) -> Answer {
        self.asked.lock().unwrap().push(format!("host key {host} {key_type} {fingerprint}"));
        self.key.unwrap_or(Answer::NotAskable)
    }

    fn password(&self, prompt: &str) -> Option<Secret> {
        self.asked.lock().unwrap().push(format!("password {prompt}"));
        self.password.map(Secret::new)
    }

    fn passphrase(&self, path: &Path) -> Option<Secret> {
        self.asked.lock().unwrap().push(format!("passphrase {}", path.display()));
        self.passphrase.map(Secret::new)
    }

    fn sudo_password(&self, user: &str, host: &str) -> Option<Secret> {
        self.asked.lock().unwrap().push(format!("sudo {user} {host}"));
        self.sudo.map(Secret::new)
    }
}
