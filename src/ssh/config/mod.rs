//! `~/.ssh/config`, read as OpenSSH reads it (ssh_config(5)); `ssh -G` is the judge in the tests. Crates for it exist
//! and give wrong hosts: they take the lines of a `Match` block into the `Host` block above it.
//!
//! What ssh would refuse to start with (a bad value, an unclosed quote) is a warning here, and its line is passed over.

mod glob;
pub(crate) mod pattern;
mod settings;
mod token;
mod walk;
mod words;

pub use settings::Settings;
pub use walk::{Found, Query};

pub(in crate::ssh) use token::{Tokens, environment, tilde};

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Who bedplate runs as. OpenSSH takes the home folder from the password database, not from `$HOME`; so must we, to
/// meet the same keys and known hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Myself {
    /// Login name.
    pub user: String,
    /// Home folder.
    pub home: PathBuf,
    /// User id.
    pub uid: u32,
    /// Name of this machine.
    pub host: String,
}

impl Myself {
    /// Looks the present user up. What the system does not tell is taken from the environment.
    pub fn detect() -> Self {
        let uid = std::fs::metadata("/proc/self").map(|process| process.uid()).ok();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = uid.and_then(|uid| passwd_entry(&passwd, uid));
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (user, home) = match entry {
            Some((user, home)) => (user, home),
            None => (
                variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "root".to_owned()),
                variable("HOME").unwrap_or_else(|| "/".to_owned()),
            ),
        };
        let host =
            std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
        let host = host.map(|name| name.trim().to_owned()).unwrap_or_default();
        Self { user, home: PathBuf::from(home), uid: uid.unwrap_or(0), host }
    }
}

fn passwd_entry(passwd: &str, uid: u32) -> Option<(String, String)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [user, _, id, _, _, home, _] if id.parse() == Ok(uid) => Some((user.to_owned(), home.to_owned())),
            _ => None,
        }
    })
}

/// The configuration files and who reads them.
#[derive(Debug, Clone)]
pub struct SshConfig {
    user: Option<PathBuf>,
    system: Option<PathBuf>,
    me: Myself,
}

impl SshConfig {
    /// `~/.ssh/config` and `/etc/ssh/ssh_config`.
    pub fn usual(me: Myself) -> Self {
        let user = Some(me.home.join(".ssh/config"));
        Self { user, system: Some(PathBuf::from("/etc/ssh/ssh_config")), me }
    }

    /// One file and no other, as `ssh -F` has it.
    pub fn only(file: &Path, me: Myself) -> Self {
        Self { user: Some(file.to_owned()), system: None, me }
    }

    /// No files at all.
    pub fn none(me: Myself) -> Self {
        Self { user: None, system: None, me }
    }

    /// Who reads them.
    pub fn me(&self) -> &Myself {
        &self.me
    }

    /// What the files say of a host. Runs the commands of `Match exec`, as ssh does.
    pub fn lookup(&self, query: &Query) -> Found {
        walk::lookup(self, query)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, bool)> {
        let user = self.user.as_deref().map(|file| (file, true));
        user.into_iter().chain(self.system.as_deref().map(|file| (file, false)))
    }
}

/// Names in lower case, as ssh dials them; an address stays as it is written.
pub(super) fn lower_name(host: &str) -> String {
    if host.parse::<std::net::IpAddr>().is_ok() { host.to_owned() } else { host.to_lowercase() }
}
