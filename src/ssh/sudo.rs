//! Becoming root. `sudo -n` goes first and costs nothing extra; only when it does not lead to a shell a second command
//! reads a password. The password goes to sudo's standard input after sudo has asked, never before: were it sent
//! unasked, a shell would read it as a command.

use futures::future::BoxFuture;

use crate::base::Secret;
use crate::shell::frame::printable_lines;

use super::error::{SessionError, SudoError};
use super::wire::{Ending, Heard, Wire};

/// The command that needs no password. Plain words: the login shell may be any.
pub(super) const WITHOUT_PASSWORD: &str = "sudo -n sh";
/// The command that reads one. Single quotes mean the same to every login shell, fish and csh included. The prompt is
/// our own, so that it is found whatever sudo puts around it (sudo-rs) and whatever the host's language.
pub(super) const WITH_PASSWORD: &str =
    "sudo -S -k -p bedplate-asks-for-the-sudo-password: sh -c 'echo bedplate-has-root; exec sh'";
const PROMPT: &[u8] = b"bedplate-asks-for-the-sudo-password:";
const ROOT: &[u8] = b"bedplate-has-root\n";
/// Most bytes that sudo may say before it comes to the point.
const MOST_SAID: usize = 64 * 1024;

/// Whoever knows the password. `None`: nobody does.
pub(super) type Password = Box<dyn FnOnce() -> BoxFuture<'static, Option<Secret>> + Send + Sync>;

/// What `sudo -n` said, when it is final: a password would not help.
pub(super) fn hopeless(said: &[u8], user: &str) -> Option<SudoError> {
    let lines = printable_lines(said);
    let text = lines.join("\n").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let user = user.to_owned();
    if says(&[
        "sudo: not found",
        "sudo: command not found",
        "command not found: sudo",
        "unknown command: sudo",
        "unknown command 'sudo'",
    ]) {
        return Some(SudoError::Missing { user });
    }
    if says(&["account or password is expired", "password expired", "account validation failure"]) {
        return Some(SudoError::Expired { user });
    }
    if says(&["not in the sudoers", "may not run sudo", "is not allowed to", "i'm sorry", "not allowed to run sudo"]) {
        return Some(SudoError::NotAllowed { user, said: lines });
    }
    None
}

/// Sees a wire on which [`WITH_PASSWORD`] was requested through to root's shell.
/// Errors: there is no password, it is wrong, or sudo says no.
pub(super) async fn enter(mut wire: Wire, user: &str, password: Password) -> Result<Wire, SudoError> {
    let (mut said, mut out) = (Vec::new(), Vec::new());
    let mut password = Some(password);
    loop {
        match wire.hear().await {
            Heard::Out(bytes) => {
                out.extend(bytes);
                if ends_with_line(&out, ROOT) {
                    return Ok(wire);
                }
            }
            Heard::Err(bytes) => {
                said.extend(bytes);
                let prompts = said.windows(PROMPT.len()).filter(|window| *window == PROMPT).count();
                match (prompts, password.take()) {
                    (0, unasked) => password = unasked,
                    (1, Some(ask)) => match ask().await {
                        Some(secret) => wire.send(format!("{}\n", secret.reveal()).into_bytes()),
                        None => return Err(SudoError::PasswordNeeded { user: user.to_owned() }),
                    },
                    (1, None) => {}
                    _ => return Err(SudoError::WrongPassword { user: user.to_owned() }),
                }
            }
            Heard::End(ending) => return Err(refused(&said, user, password.is_none(), &ending)),
        }
        if said.len() + out.len() > MOST_SAID {
            return Err(SudoError::Other { said: Vec::new() });
        }
    }
}

fn ends_with_line(out: &[u8], line: &[u8]) -> bool {
    out.strip_suffix(line).is_some_and(|before| before.is_empty() || before.ends_with(b"\n"))
}

fn refused(said: &[u8], user: &str, asked: bool, ending: &Ending) -> SudoError {
    if let Some(error) = hopeless(said, user) {
        return error;
    }
    let lines = printable_lines(said);
    let text = lines.join("\n").to_lowercase();
    let wrong = ["try again", "incorrect password", "no password was provided", "authentication failed"];
    if asked && wrong.iter().any(|word| text.contains(word)) {
        return SudoError::WrongPassword { user: user.to_owned() };
    }
    match ending {
        Ending::Exit(127) => SudoError::Missing { user: user.to_owned() },
        _ => SudoError::Other { said: lines },
    }
}

/// A sudo error as a session's.
pub(super) fn as_session(error: SudoError) -> SessionError {
    SessionError::Sudo(error)
}
