//! Questions on the terminal, with the progress lines out of the way.

use std::io::IsTerminal as _;
use std::path::Path;

use dialoguer::{Confirm, Password};
use rustix::termios::{QueueSelector, tcflush};

use crate::base::Secret;
use crate::report::Stage;
use crate::ssh::{Answer, Ask};

/// Asks the person at the terminal; where there is none, every question is declined.
pub(super) struct Terminal {
    stage: Stage,
}

impl Terminal {
    /// Asks on this process's terminal.
    pub(super) fn new(stage: Stage) -> Self {
        Self { stage }
    }

    /// Whether there is anyone to ask.
    pub(super) fn is_there() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// A question with yes or no, no being the default.
    pub(super) fn confirm(&self, question: &str) -> Answer {
        if !Self::is_there() {
            return Answer::NotAskable;
        }
        let answer = self.stage.suspend(|| {
            // What was typed before the question was there is no answer to it.
            let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
            Confirm::new().with_prompt(question).default(false).interact()
        });
        match answer {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            // Ctrl-C at a question is an answer too.
            Err(dialoguer::Error::IO(error)) if error.kind() == std::io::ErrorKind::Interrupted => Answer::No,
            Err(_) => Answer::NotAskable,
        }
    }

    fn secret(&self, prompt: &str) -> Option<Secret> {
        if !Self::is_there() {
            return None;
        }
        let asked = self.stage.suspend(|| Password::new().with_prompt(prompt).allow_empty_password(true).interact());
        asked.ok().map(Secret::new)
    }
}

impl Ask for Terminal {
    fn accept_host_key(&self, host: &str, key_type: &str, fingerprint: &str) -> Answer {
        self.confirm(&format!(
            "{host} has never been seen before. Its {key_type} key is\n  {fingerprint}\n\
             Compare it with what your provider shows. Trust this key from now on?"
        ))
    }

    fn password(&self, prompt: &str) -> Option<Secret> {
        self.secret(prompt)
    }

    fn passphrase(&self, path: &Path) -> Option<Secret> {
        self.secret(&format!("Passphrase of {}", path.display()))
    }

    fn sudo_password(&self, user: &str, host: &str) -> Option<Secret> {
        self.secret(&format!("sudo password of {user} on {host}"))
    }
}
