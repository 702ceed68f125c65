//! What can go wrong with a session that stands: each case with what the host said and what to do.
//! Failures to get that far are in [`super::ConnectError`].

use crate::base::Exit;
use crate::shell::BadText;
use crate::shell::frame::{BadFrame, printable_lines};

use super::wire::Ending;

/// One call's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameResult {
    /// Index of the call in its batch.
    pub index: usize,
    /// Exit status of the call.
    pub status: u8,
    /// All of its output.
    pub body: Vec<u8>,
}

/// How far a batch came before its session failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The calls that ended, with their answers: what they did is done.
    pub ended: Vec<FrameResult>,
    /// The call that had begun and not ended, with its output so far: its outcome is unknown.
    pub open: Option<(usize, Vec<u8>)>,
}

/// A session that failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection is gone. What was running on the host may run on.
    #[error("the connection was lost: {why}")]
    Lost {
        /// The reason.
        why: String,
        /// What is known of the batch.
        progress: Box<Progress>,
    },
    /// The shell ended in the middle of a batch.
    #[error("the shell on the host ended in the middle of its work ({})", describe(.how))]
    ShellEnded {
        /// How.
        how: Ending,
        /// Its last error output.
        printed: Vec<String>,
        /// What is known of the batch.
        progress: Box<Progress>,
    },
    /// The login leads to something that is not a shell.
    #[error("{what}")]
    NoShell {
        /// What it leads to.
        what: String,
        /// What it printed instead of an answer.
        printed: Vec<String>,
        /// What to do.
        help: &'static str,
    },
    /// The host's answer breaks the agreed form.
    #[error("{why}")]
    BadAnswer {
        /// How.
        why: BadFrame,
        /// What is known of the batch.
        progress: Box<Progress>,
    },
    /// A batch that can not be sent.
    #[error(transparent)]
    BadText(#[from] BadText),
    /// Root could not be had.
    #[error(transparent)]
    Sudo(#[from] SudoError),
    /// The server will not open another session on this connection.
    #[error("the server refuses to open a session: {why}")]
    Refused {
        /// Its reason.
        why: String,
    },
    /// A command that ended without a status.
    #[error("the command ended without a status ({})", describe(.how))]
    NoStatus {
        /// How it ended.
        how: Ending,
        /// What it printed.
        printed: Vec<String>,
    },
}

/// Why sudo gave no root shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SudoError {
    /// There is no sudo on the host.
    #[error("there is no sudo on the host, and `{user}` is not root")]
    Missing {
        /// The login user.
        user: String,
    },
    /// sudo's rules do not let the user.
    #[error("`{user}` may not become root with sudo")]
    NotAllowed {
        /// The login user.
        user: String,
        /// sudo's words.
        said: Vec<String>,
    },
    /// A password is wanted and none was given.
    #[error("sudo wants the password of `{user}`, and there is nobody to ask for it")]
    PasswordNeeded {
        /// The login user.
        user: String,
    },
    /// The password was not accepted.
    #[error("sudo did not accept the password of `{user}`")]
    WrongPassword {
        /// The login user.
        user: String,
    },
    /// The account or its password has expired.
    #[error("sudo refuses because the password of `{user}` has expired")]
    Expired {
        /// The login user.
        user: String,
    },
    /// Something else.
    #[error("sudo gave no root shell")]
    Other {
        /// sudo's words.
        said: Vec<String>,
    },
}

impl SudoError {
    fn help(&self) -> String {
        match self {
            Self::Missing { .. } => "log in as root, or install sudo as root first".to_owned(),
            Self::NotAllowed { user, .. } => format!("log in as root, or add `{user}` to group sudo as root first"),
            Self::PasswordNeeded { user } => {
                format!("run from a terminal, or let `{user}` use sudo without a password, or log in as root")
            }
            Self::WrongPassword { .. } => "run again with the right password".to_owned(),
            Self::Expired { user } => format!("log in with `ssh` as `{user}` once and set a new password"),
            Self::Other { .. } => "try `sudo -n true` on the host by hand".to_owned(),
        }
    }
}

impl SessionError {
    /// How far the batch came.
    pub fn progress(&self) -> Option<&Progress> {
        match self {
            Self::Lost { progress, .. } | Self::ShellEnded { progress, .. } | Self::BadAnswer { progress, .. } => {
                Some(progress)
            }
            _ => None,
        }
    }

    /// The last lines that the host said, fit for a terminal.
    pub fn said(&self) -> Vec<String> {
        match self {
            Self::ShellEnded { printed, .. } | Self::NoShell { printed, .. } | Self::NoStatus { printed, .. } => {
                printed.clone()
            }
            Self::Sudo(SudoError::NotAllowed { said, .. } | SudoError::Other { said }) => said.clone(),
            _ => Vec::new(),
        }
    }

    /// One thing to do.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Lost { .. } | Self::ShellEnded { .. } => {
                Some("run again: bedplate looks at the host anew and goes on from there".to_owned())
            }
            Self::NoShell { help, .. } => Some((*help).to_owned()),
            Self::BadAnswer { .. } => {
                Some("look for programs on the host that write to every shell's output".to_owned())
            }
            Self::Sudo(sudo) => Some(sudo.help()),
            Self::Refused { .. } => Some("look at MaxSessions in the host's sshd configuration".to_owned()),
            Self::BadText(_) | Self::NoStatus { .. } => None,
        }
    }

    /// What the run of this host ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::BadText(_) | Self::Sudo(SudoError::PasswordNeeded { .. }) => Exit::BadInput,
            Self::Lost { .. } | Self::NoShell { .. } | Self::Sudo(_) | Self::Refused { .. } => Exit::Unreachable,
            Self::ShellEnded { .. } | Self::BadAnswer { .. } | Self::NoStatus { .. } => Exit::HostFailed,
        }
    }
}

fn describe(ending: &Ending) -> String {
    match ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal) => format!("signal {signal}"),
        Ending::Refused => "the server refused to start it".to_owned(),
        Ending::NoStatus => "no status came".to_owned(),
        Ending::Flood => "it printed without end".to_owned(),
        Ending::Lost(why) => why.clone(),
    }
}

/// What a login that gave no marks leads to, judged by what it printed.
pub(super) fn no_shell(output: &[u8], errors: &[u8], ending: Option<&Ending>) -> SessionError {
    let mut printed = printable_lines(output);
    printed.extend(printable_lines(errors));
    let surplus = printed.len().saturating_sub(20);
    printed.drain(..surplus);
    let all = printed.join("\n").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| all.contains(word));
    let (what, help) = if says(&[
        "password change required",
        "password has expired",
        "required to change your password",
    ]) {
        ("the login user's password has expired, and the host wants it changed first".to_owned(), EXPIRED)
    } else if says(&["please login as the user", "please log in as the user"]) {
        ("the key is tied to a command that sends this login away".to_owned(), "log in as the user that it names")
    } else if says(&["account is currently not available", "nologin"]) {
        (
            "the login user has no shell".to_owned(),
            "log in as another user, or give this one a shell with `chsh -s /bin/sh`",
        )
    } else {
        match ending {
            Some(Ending::Refused) => (
                "the server does not let this login run commands".to_owned(),
                "look for `ForceCommand` or key options on the host",
            ),
            Some(ending) => (
                format!(
                    "the login gives no shell ({}): its key or its account may be tied to a command",
                    describe(ending)
                ),
                "look for `command=` in authorized_keys, `ForceCommand` in sshd's configuration, and the user's shell",
            ),
            None => (
                "the login does not answer: its key or its account may be tied to a command or a menu".to_owned(),
                "look for `command=` in authorized_keys, `ForceCommand` in sshd's configuration, and the user's shell",
            ),
        }
    };
    SessionError::NoShell { what, printed, help }
}

/// The remedy for an expired password.
pub(super) const EXPIRED: &str =
    "log in with `ssh` once and set a new password (providers' images force this at the first login), then run again";
