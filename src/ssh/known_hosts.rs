//! `known_hosts` files: which keys a host may show. Read line by line as OpenSSH does (sshd(8), "SSH_KNOWN_HOSTS FILE
//! FORMAT"): hashed names, wildcards, negation, `[host]:port`, `@revoked`, `@cert-authority`; a line that makes no
//! sense is passed over, never an error.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, PublicKey};

use super::config::pattern;

/// What a line says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The host may show it.
    Plain,
    /// Certificates signed by it are good.
    Authority,
    /// It must never be taken.
    Revoked,
}

/// A line that names the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it says of its key.
    pub mark: Mark,
    /// The key.
    pub key: KeyData,
    /// Its file.
    pub file: PathBuf,
    /// Its number in the file, from 1.
    pub line: usize,
}

/// Every line of the files that names one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts {
    lines: Vec<Known>,
}

/// What the files say of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is the host's.
    Known,
    /// The host has no key in the files.
    Unknown,
    /// The host has other keys; the first of them.
    Changed(Known),
    /// It is revoked.
    Revoked(Known),
}

/// The name that `known_hosts` has for a host: `host`, or `[host]:port` for a port other than 22. In lower case.
pub fn lookup_name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

impl KnownHosts {
    /// Reads the lines for `name` from `files`, in order. A file that can not be read says nothing.
    pub fn read(files: &[PathBuf], name: &str) -> Self {
        let mut lines = Vec::new();
        for file in files {
            if let Ok(bytes) = std::fs::read(file) {
                lines.extend(lines_for(&String::from_utf8_lossy(&bytes), name, file));
            }
        }
        Self { lines }
    }

    /// What the lines say of a plain key.
    pub fn standing(&self, key: &KeyData) -> Standing {
        if let Some(line) = self.revoked(key) {
            return Standing::Revoked(line.clone());
        }
        let plain = || self.lines.iter().filter(|line| line.mark == Mark::Plain);
        if plain().any(|line| line.key == *key) {
            return Standing::Known;
        }
        plain().next().map_or(Standing::Unknown, |other| Standing::Changed(other.clone()))
    }

    /// The line that revokes `key`.
    pub fn revoked(&self, key: &KeyData) -> Option<&Known> {
        self.lines.iter().find(|line| line.mark == Mark::Revoked && line.key == *key)
    }

    /// Whether `key` is a certificate authority for the host.
    pub fn is_authority(&self, key: &KeyData) -> bool {
        self.lines.iter().any(|line| line.mark == Mark::Authority && line.key == *key)
    }

    /// Whether any authority is known for the host.
    pub fn has_authority(&self) -> bool {
        self.lines.iter().any(|line| line.mark == Mark::Authority)
    }

    /// The types of the host's plain keys.
    pub fn key_types(&self) -> Vec<Algorithm> {
        self.lines.iter().filter(|line| line.mark == Mark::Plain).map(|line| line.key.algorithm()).collect()
    }
}

/// The lines of `text` that name the host `name`.
fn lines_for(text: &str, name: &str, file: &Path) -> Vec<Known> {
    let numbered = text.lines().enumerate();
    numbered.filter_map(|(at, line)| parse(line, name).map(|(mark, key)| known(mark, key, file, at + 1))).collect()
}

fn known(mark: Mark, key: KeyData, file: &Path, line: usize) -> Known {
    Known { mark, key, file: file.to_owned(), line }
}

/// The key of a line, if it names `name` and makes sense.
fn parse(line: &str, name: &str) -> Option<(Mark, KeyData)> {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let first = words.next()?;
    if first.starts_with('#') {
        return None;
    }
    let (mark, hosts) = match first {
        "@revoked" => (Mark::Revoked, words.next()?),
        "@cert-authority" => (Mark::Authority, words.next()?),
        other if other.starts_with('@') => return None,
        hosts => (Mark::Plain, hosts),
    };
    if !names(hosts, name) {
        return None;
    }
    let (key_type, blob) = (words.next()?, words.next()?);
    let key = PublicKey::from_openssh(&format!("{key_type} {blob}")).ok()?;
    Some((mark, key.key_data().clone()))
}

/// Whether the host field of a line names `name`.
fn names(hosts: &str, name: &str) -> bool {
    match hosts.strip_prefix("|1|") {
        Some(hashed) => hashed_name(hashed, name).unwrap_or(false),
        None => pattern::list_matches(&hosts.to_lowercase(), name),
    }
}

fn hashed_name(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&hash).is_ok())
}

/// How the files know a host by a key, to a reader that does not understand every line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KnownAs {
    /// A line holds its name as it is.
    Plain,
    /// Its name is hashed, or a pattern matches it. Of several hashed lines Kamal's SSH library takes the first alone, whose
    /// key may be of another type than the one that the host shows (github.com/basecamp/kamal, issue 1814).
    Veiled,
    /// No line has this key for it.
    #[default]
    NotAtAll,
}

/// How `files` know the host `name` by `key`, which is `type base64`.
pub fn known_as(files: &[PathBuf], name: &str, key: &str) -> KnownAs {
    let Some(key) = PublicKey::from_openssh(key).ok().map(|key| key.key_data().clone()) else {
        return KnownAs::NotAtAll;
    };
    let texts = files.iter().filter_map(|file| std::fs::read(file).ok());
    let mut known = KnownAs::NotAtAll;
    for text in texts {
        for line in String::from_utf8_lossy(&text).lines() {
            if !parse(line, name).is_some_and(|(mark, found)| mark == Mark::Plain && found == key) {
                continue;
            }
            let hosts = line.split_whitespace().next().unwrap_or_default();
            if hosts.split(',').any(|host| host == name) {
                return KnownAs::Plain;
            }
            known = KnownAs::Veiled;
        }
    }
    known
}

/// Adds a line for a key that the operator took. The line is plain, not hashed: Kamal's SSH library can not read
/// hashed ones. A file that is not there yet is made, readable by its owner only. Errors: what the system says.
pub fn append(file: &Path, name: &str, key: &PublicKey) -> std::io::Result<()> {
    let mut bare = key.clone();
    bare.set_comment("");
    let encoded = bare.to_openssh().map_err(std::io::Error::other)?;
    append_line(file, &format!("{name} {}", encoded.trim_end()))
}

/// Adds a line, `name type base64`. A file that is not there yet is made, readable by its owner only. Errors: what the
/// system says.
pub fn append_line(file: &Path, line: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent()
        && !folder.as_os_str().is_empty()
    {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut open = std::fs::OpenOptions::new();
    let mut handle = open.read(true).append(true).create(true).mode(0o600).open(file)?;
    let mut line = format!("{line}\n");
    if handle.seek(SeekFrom::End(-1)).is_ok() {
        let mut last = [0];
        handle.read_exact(&mut last)?;
        if last != *b"\n" {
            line.insert(0, '\n');
        }
    }
    // One write in append mode: two runs that learn at the same time do not tear each other's lines.
    handle.write_all(line.as_bytes())
}
