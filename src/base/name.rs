//! Names and paths that are checked when they are made, so that no later room has to doubt them.
//!
//! Each type refuses what its owner on the host would refuse (useradd, dpkg, systemd), and all of them refuse NUL and
//! newline, which no record or configuration line could carry.

use std::fmt;
use std::str::FromStr;

/// Why a text is not the name it was meant to be. Reads after "`text` is not a …: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {why}")]
pub struct BadName {
    /// The offending text, shortened for display.
    pub text: String,
    /// "a package name", "an absolute path" …
    pub what: &'static str,
    /// The broken rule.
    pub why: &'static str,
}

type Rule = fn(&str) -> Result<(), &'static str>;

fn checked(text: &str, what: &'static str, rule: Rule) -> Result<(), BadName> {
    let bad = |why| BadName { text: text.chars().take(80).collect::<String>().escape_debug().to_string(), what, why };
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    if text.contains(['\0', '\n', '\r']) {
        return Err(bad("it holds a NUL or a line break"));
    }
    rule(text).map_err(bad)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text`. Errors: the rule that it breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
                let text = text.into();
                checked(&text, $what, $rule)?;
                Ok(Self(text))
            }

            /// The text as it is.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    )*};
}

names! {
    /// An absolute path without `.`, `..`, doubled or trailing slashes: one file has one name.
    AbsPath, "an absolute path", absolute_path;
    /// A Debian package name (Debian Policy 5.6.1).
    PackageName, "a package name", package_name;
    /// A systemd unit with its suffix, such as `docker.service`.
    UnitName, "a systemd unit name", unit_name;
    /// A login name as `useradd` of Debian and Ubuntu takes it.
    UserName, "a user name", user_name;
    /// A group name as `groupadd` takes it.
    GroupName, "a group name", user_name;
    /// A kernel setting in dots, such as `net.ipv4.ip_forward`.
    SysctlKey, "a sysctl key", sysctl_key;
    /// The name by which the inventory and every message know a host.
    HostName, "a host name", host_name;
    /// A Docker volume or network name.
    DockerName, "a Docker name", docker_name;
}

fn absolute_path(text: &str) -> Result<(), &'static str> {
    if !text.starts_with('/') {
        return Err("it does not begin with `/`");
    }
    if text == "/" {
        return Ok(());
    }
    for part in text.split('/').skip(1) {
        match part {
            "" => return Err("it holds an empty part (`//` or a `/` at the end)"),
            "." | ".." => return Err("it holds `.` or `..`"),
            _ => {}
        }
    }
    if text.len() > 4095 { Err("it is longer than 4095 bytes") } else { Ok(()) }
}

fn package_name(text: &str) -> Result<(), &'static str> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    if !text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return Err("it must begin with a lower-case letter or a digit");
    }
    if text.chars().all(legal) { Ok(()) } else { Err("only lower-case letters, digits and `+-.` are legal") }
}

fn unit_name(text: &str) -> Result<(), &'static str> {
    const SUFFIXES: [&str; 8] = [".service", ".socket", ".timer", ".mount", ".target", ".path", ".swap", ".slice"];
    if !SUFFIXES.iter().any(|s| text.ends_with(s) && text.len() > s.len()) {
        return Err("it must end in .service, .socket, .timer, .mount, .target, .path, .swap or .slice");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if text.starts_with('-') && text != "-.mount" && text != "-.slice" {
        return Err("it begins with `-`");
    }
    if text.chars().all(legal) { Ok(()) } else { Err("only letters, digits and `:-_.\\@` are legal") }
}

fn user_name(text: &str) -> Result<(), &'static str> {
    if !text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
        return Err("it must begin with a lower-case letter or `_`");
    }
    if text.len() > 32 {
        return Err("it is longer than 32 characters");
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if text.chars().all(legal) { Ok(()) } else { Err("only lower-case letters, digits, `_` and `-` are legal") }
}

fn sysctl_key(text: &str) -> Result<(), &'static str> {
    if !text.contains('.') {
        return Err("it has no dot");
    }
    if text.split('.').any(|part| part.is_empty() || part == "..") {
        return Err("it has an empty part");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/@:".contains(c);
    if !text.chars().all(legal) || text.split('/').any(|part| part == "..") {
        return Err("only letters, digits and `._-/@:` are legal");
    }
    Ok(())
}

fn host_name(text: &str) -> Result<(), &'static str> {
    if text.starts_with('-') {
        return Err("it begins with `-`");
    }
    if text.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
    if text.chars().all(legal) { Ok(()) } else { Err("only letters, digits and `-_.:%` are legal") }
}

fn docker_name(text: &str) -> Result<(), &'static str> {
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("it must begin with a letter or a digit");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.chars().all(legal) { Ok(()) } else { Err("only letters, digits and `_.-` are legal") }
}

impl AbsPath {
    /// A path that stands in the source of this program, such as `/etc/fstab`.
    pub fn literal(path: &'static str) -> AbsPath {
        debug_assert!(absolute_path(path).is_ok(), "{path} is no absolute path");
        AbsPath(path.to_owned())
    }

    /// The folder that holds this path; `/` is its own parent.
    pub fn parent(&self) -> AbsPath {
        match self.0.rfind('/') {
            Some(0) | None => AbsPath("/".to_owned()),
            Some(at) => AbsPath(self.0[..at].to_owned()),
        }
    }

    /// The last part of the path; empty for `/`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or("")
    }

    /// This path with one more part. Errors: when `part` is not a single legal part.
    pub fn join(&self, part: &str) -> Result<AbsPath, BadName> {
        AbsPath::new(if self.0 == "/" { format!("/{part}") } else { format!("{}/{part}", self.0) })
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &AbsPath) -> bool {
        self.0 == "/" || other.0 == self.0 || other.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for good in ["/", "/etc", "/etc/ssh/sshd_config.d/00-bedplate.conf", "/a b"] {
            assert!(AbsPath::new(good).is_ok(), "{good}");
        }
        for bad in ["", "etc", "/etc/", "//etc", "/etc/../shadow", "/a\nb", "/a\0b"] {
            assert!(AbsPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_knows_its_parent_and_children() {
        let path = AbsPath::new("/etc/ssh").unwrap();
        assert_eq!(path.parent().as_str(), "/etc");
        assert_eq!(path.parent().parent().as_str(), "/");
        assert_eq!(path.join("x").unwrap().as_str(), "/etc/ssh/x");
        assert!(path.contains(&AbsPath::new("/etc/ssh/a").unwrap()));
        assert!(!path.contains(&AbsPath::new("/etc/sshd").unwrap()));
    }

    #[test]
    fn names_refuse_what_would_become_an_option_or_a_second_line() {
        assert!(UserName::new("-rf").is_err());
        assert!(UserName::new("deploy\nroot").is_err());
        assert!(PackageName::new("--force").is_err());
        assert!(UnitName::new("docker").is_err());
        assert!(UnitName::new("docker.service").is_ok());
        assert!(HostName::new("-oProxyCommand=x").is_err());
        assert!(SysctlKey::new("net.ipv4.ip_forward").is_ok());
        assert!(SysctlKey::new("../../etc/passwd").is_err());
    }
}
