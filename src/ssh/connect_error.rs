//! Why a host could not be logged in to. Each case names its remedy and what the run of the host ends with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Exit;

/// A login that failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("the name `{address}` does not resolve: {why}")]
    NotResolved {
        /// The name.
        address: String,
        /// The resolver's words.
        why: String,
    },
    /// Nothing listens there.
    #[error("{address} refuses connections on port {port}")]
    Refused {
        /// The name or address.
        address: String,
        /// The port.
        port: u16,
    },
    /// No answer.
    #[error("{address} did not answer on port {port} within {} s", after.as_secs())]
    TimedOut {
        /// The name or address.
        address: String,
        /// The port.
        port: u16,
        /// The limit.
        after: Duration,
    },
    /// The network says no.
    #[error("{address} can not be reached on port {port}: {why}")]
    NotReached {
        /// The name or address.
        address: String,
        /// The port.
        port: u16,
        /// The system's words.
        why: String,
    },
    /// The server hung up before it let anyone speak.
    #[error("{address} closed the connection before the login ({why})")]
    Closed {
        /// The name or address.
        address: String,
        /// What it said, or what happened.
        why: String,
    },
    /// The other side does not speak SSH.
    #[error("{address} does not speak SSH on port {port}: {why}")]
    NotSsh {
        /// The name or address.
        address: String,
        /// The port.
        port: u16,
        /// What was wrong.
        why: String,
    },
    /// Nothing in common.
    #[error("{address} and bedplate have no {kind} algorithm in common; it offers {theirs}")]
    NoCommonAlgorithm {
        /// The name or address.
        address: String,
        /// "key exchange", "host key" …
        kind: String,
        /// What the server offers.
        theirs: String,
    },
    /// The host's key was not taken.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// No key was accepted.
    #[error("{place} accepted no key: {}", offered_text(.offered))]
    NoKeyAccepted {
        /// `user@address`.
        place: String,
        /// The keys that were offered, as `path or comment (SHA256:…)`.
        offered: Vec<String>,
        /// Why other keys were not offered.
        skipped: Vec<String>,
        /// The methods that the server would take instead.
        methods: Vec<String>,
    },
    /// A key file is locked and nobody gave its passphrase.
    #[error("the key {} needs a passphrase, and there is nobody to ask for it", path.display())]
    PassphraseNeeded {
        /// The key file.
        path: PathBuf,
    },
    /// The password was not accepted.
    #[error("{place} did not accept the password")]
    WrongPassword {
        /// `user@address`.
        place: String,
    },
    /// The password has expired and must be changed at a terminal.
    #[error("the password of {place} has expired, and the host wants it changed first")]
    PasswordExpired {
        /// `user@address`.
        place: String,
    },
    /// The server cut the login short.
    #[error("{place} ended the login: too many authentication failures")]
    TooManyFailures {
        /// `user@address`.
        place: String,
        /// The keys that were offered.
        offered: Vec<String>,
    },
    /// The connection broke during the login.
    #[error("{address} closed the connection during the login: {why}")]
    Lost {
        /// The name or address.
        address: String,
        /// The reason.
        why: String,
    },
    /// A jump host failed.
    #[error("the jump host {jump}: {source}")]
    Jump {
        /// `user@address` of the jump host.
        jump: String,
        /// Its failure.
        source: Arc<ConnectError>,
    },
    /// The jump host would not forward.
    #[error("the jump host {jump} can not open a way to {address}:{port}: {why}")]
    Forward {
        /// `user@address` of the jump host.
        jump: String,
        /// Where to.
        address: String,
        /// Which port.
        port: u16,
        /// Its reason.
        why: String,
    },
    /// `ProxyCommand` could not be started.
    #[error("the proxy command `{command}` can not be started: {why}")]
    Proxy {
        /// The command.
        command: String,
        /// The system's words.
        why: String,
    },
}

/// Why a host's key was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// Never seen before, and nobody said that it is right.
    #[error("the {key_type} key of {host} is not known ({fingerprint})")]
    Unknown {
        /// As `known_hosts` names it.
        host: String,
        /// `ssh-ed25519` …
        key_type: String,
        /// `SHA256:…`.
        fingerprint: String,
    },
    /// The operator said no.
    #[error("the {key_type} key of {host} was declined ({fingerprint})")]
    Declined {
        /// As `known_hosts` names it.
        host: String,
        /// `ssh-ed25519` …
        key_type: String,
        /// `SHA256:…`.
        fingerprint: String,
    },
    /// Another key than the known one.
    #[error("the host key of {host} has changed: it shows {fingerprint} ({key_type}), but {} line {line} has another", file.display())]
    Changed {
        /// As `known_hosts` names it.
        host: String,
        /// `ssh-ed25519` …
        key_type: String,
        /// `SHA256:…` of the key that is shown now.
        fingerprint: String,
        /// Where the known key stands.
        file: PathBuf,
        /// Its line.
        line: usize,
    },
    /// A revoked key.
    #[error("the key that {host} shows is revoked by {} line {line} ({fingerprint})", file.display())]
    Revoked {
        /// As `known_hosts` names it.
        host: String,
        /// `SHA256:…`.
        fingerprint: String,
        /// Where it is revoked.
        file: PathBuf,
        /// Its line.
        line: usize,
    },
    /// Another key than the pinned one.
    #[error("{host} shows {shown}, but the inventory pins {pinned}")]
    NotPinned {
        /// As `known_hosts` names it.
        host: String,
        /// `SHA256:…` shown.
        shown: String,
        /// `SHA256:…` pinned.
        pinned: String,
    },
    /// A certificate that is not good.
    #[error("the host certificate of {host} is not good: {why}")]
    BadCertificate {
        /// As `known_hosts` names it.
        host: String,
        /// Why.
        why: String,
    },
    /// The key was taken and could not be written down.
    #[error("the key of {host} can not be added to {}: {why}", file.display())]
    NotWritten {
        /// As `known_hosts` names it.
        host: String,
        /// The file.
        file: PathBuf,
        /// The system's words.
        why: String,
    },
}

impl HostKeyError {
    fn help(&self) -> String {
        match self {
            Self::Unknown { .. } => {
                "run from a terminal to be asked, or give the fingerprint from the provider's console, or pass --accept-new"
                    .to_owned()
            }
            Self::Declined { .. } => "compare it with the fingerprint on the provider's console".to_owned(),
            Self::Changed { host, file, .. } => format!(
                "if the box was rebuilt: `ssh-keygen -R '{host}' -f {}`, then compare the new fingerprint; if not, somebody may be in between",
                file.display()
            ),
            Self::Revoked { .. } => "this key must not be trusted: give the host a new one from its console".to_owned(),
            Self::NotPinned { .. } => "correct the fingerprint in the inventory, if the box was rebuilt".to_owned(),
            Self::BadCertificate { .. } => "have the host's certificate signed anew, or remove the @cert-authority line".to_owned(),
            Self::NotWritten { .. } => "make the file writable".to_owned(),
        }
    }
}

fn offered_text(offered: &[String]) -> String {
    match offered {
        [] => "there was none to offer".to_owned(),
        keys => format!("offered {}", keys.join(", ")),
    }
}

impl ConnectError {
    /// One thing to do.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotResolved { .. } => "check the spelling, or use the IP address".to_owned(),
            Self::Refused { .. } => "check the port, and that the box has booted and sshd runs".to_owned(),
            Self::TimedOut { .. } | Self::NotReached { .. } => {
                "check the address, that the box is on, and the provider's firewall".to_owned()
            }
            Self::Closed { .. } => {
                "the host limits new logins (MaxStartups, PerSourcePenalties, fail2ban): wait a minute, then try again with fewer at once"
                    .to_owned()
            }
            Self::NotSsh { .. } => "check the port".to_owned(),
            Self::NoCommonAlgorithm { .. } => "update OpenSSH on the host, or allow a current algorithm there".to_owned(),
            Self::HostKey(key) => key.help(),
            Self::NoKeyAccepted { offered, skipped, methods, .. } => no_key_help(offered, skipped, methods),
            Self::PassphraseNeeded { .. } => "add the key to ssh-agent with `ssh-add`, or run from a terminal".to_owned(),
            Self::WrongPassword { .. } => "look the password up at the provider and run again".to_owned(),
            Self::PasswordExpired { .. } => super::error::EXPIRED.to_owned(),
            Self::TooManyFailures { .. } => "name the right key in the inventory or with --key, so that no other is offered".to_owned(),
            Self::Lost { .. } => "try again; if it stays so, look at sshd's log on the host".to_owned(),
            Self::Jump { source, .. } => return source.help(),
            Self::Forward { .. } => "check the address as seen from the jump host, and AllowTcpForwarding there".to_owned(),
            Self::Proxy { .. } => "try the command by hand".to_owned(),
        })
    }

    /// Whether the same attempt may well succeed a moment later: nothing was refused, only not reached.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NotResolved { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::NotReached { .. }
            | Self::Closed { .. }
            | Self::Forward { .. }
            | Self::Lost { .. } => true,
            Self::Jump { source, .. } => source.is_passing(),
            _ => false,
        }
    }

    /// What the run of this host ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::HostKey(
                HostKeyError::Unknown { .. } | HostKeyError::Declined { .. } | HostKeyError::NotWritten { .. },
            )
            | Self::PassphraseNeeded { .. }
            | Self::Proxy { .. } => Exit::BadInput,
            Self::Jump { source, .. } => source.exit(),
            _ => Exit::Unreachable,
        }
    }
}

fn no_key_help(offered: &[String], skipped: &[String], methods: &[String]) -> String {
    let mut help = if offered.is_empty() {
        "make a key with `ssh-keygen -t ed25519`, or load one into ssh-agent, or name one with --key".to_owned()
    } else {
        "put one of these keys into the user's authorized_keys (provider's console, `ssh-copy-id`), or check the user name".to_owned()
    };
    if methods.iter().any(|method| method == "password" || method == "keyboard-interactive") {
        help.push_str("; the host takes a password too: --ask-password");
    }
    if !skipped.is_empty() {
        help.push_str("; not offered: ");
        help.push_str(&skipped.join(", "));
    }
    help
}
