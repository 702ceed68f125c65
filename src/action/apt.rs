//! apt's own settings and repositories. Packages are changed by `package`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file::Found;
use super::package::APT;
use super::{Act, Undo};
use crate::base::Digest;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Owner};
use crate::machine::{AptSetting, AptSources, Machine};
use crate::shell::Call;

/// Where bedplate's settings of apt are: behind the ones of packages, which they clear.
pub const UPGRADES: &str = "/etc/apt/apt.conf.d/52-bedplate-local";

/// Writes the settings of unattended upgrades and proves them by a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigureUpgrades {
    /// The whole file.
    pub content: String,
    /// What was there.
    pub found: Found,
    /// The settings that apt must then have.
    pub expected: BTreeMap<String, Vec<String>>,
    /// Which of them are lists.
    pub lists: Vec<String>,
}

impl ConfigureUpgrades {
    /// As `apt-config dump` prints them.
    fn lines(&self) -> String {
        let lines = self.expected.iter().flat_map(|(key, values)| {
            let mark = if self.lists.contains(key) { "::" } else { "" };
            values.iter().map(move |value| format!("{key}{mark} \"{value}\";"))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Act for ConfigureUpgrades {
    fn summary(&self) -> String {
        format!("write {UPGRADES} and prove it by a dry run")
    }

    fn call(&self) -> Call {
        Call::new(&APT, "apt_configure_upgrades")
            .arg(self.found.word())
            .arg(Digest::of(&self.content).as_str())
            .arg(self.content.as_str())
            .arg(self.lines())
    }

    fn effect(&self, machine: &mut Machine) {
        if let Ok(path) = AbsPath::new(UPGRADES) {
            machine.set_file(&path, FileState::text(&self.content, 0o644, Owner::root()));
        }
        for (key, values) in &self.expected {
            machine.set(AptSetting(key.clone()), values.clone());
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("settings of upgrades are left as they are: they cut nobody off")
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// Sets a repository up: its key, its file, and other files' entries for the same repository turned off; then fetches
/// its lists. When that fails, all files are put back: apt is never left broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetRepository {
    /// The file that names it.
    pub sources: Written,
    /// The file of its key.
    pub key_path: AbsPath,
    /// What becomes of the key.
    pub key: Key,
    /// Other files, without their entries for it.
    pub others: Vec<Written>,
}

/// A file with its content to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Where.
    pub path: AbsPath,
    /// What.
    pub content: String,
    /// What was there.
    pub found: Found,
}

/// What becomes of a repository's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// It is there.
    Keep,
    /// It is written.
    Write {
        /// The armored key.
        content: String,
        /// What was there.
        found: Found,
    },
    /// The host fetches it; that it is the right one apt proves by the fingerprint that the sources name.
    Fetch {
        /// From where.
        url: String,
    },
}

impl Written {
    fn args(&self) -> [String; 4] {
        let digest = Digest::of(&self.content).as_str().to_owned();
        [self.path.to_string(), self.found.word().to_owned(), digest, self.content.clone()]
    }
}

impl Act for SetRepository {
    fn summary(&self) -> String {
        match &self.key {
            Key::Fetch { url } => format!("set up the repository in {} with the key from {url}", self.sources.path),
            _ => format!("set up the repository in {}", self.sources.path),
        }
    }

    fn call(&self) -> Call {
        let (how, found, digest, content) = match &self.key {
            Key::Keep => ("keep", "", String::new(), ""),
            Key::Write { content, found } => {
                ("text", found.word(), Digest::of(content).as_str().to_owned(), content.as_str())
            }
            Key::Fetch { url } => ("fetch", "", String::new(), url.as_str()),
        };
        Call::new(&APT, "apt_repository")
            .args(self.sources.args())
            .arg(&self.key_path)
            .arg(how)
            .arg(found)
            .arg(digest)
            .arg(content)
            .args(self.others.iter().flat_map(Written::args))
    }

    fn effect(&self, machine: &mut Machine) {
        match &self.key {
            Key::Keep => {}
            Key::Write { content, .. } => {
                machine.set_file(&self.key_path, FileState::text(content, 0o644, Owner::root()));
            }
            Key::Fetch { .. } => machine.forget_file(&self.key_path),
        }
        for written in self.others.iter().chain([&self.sources]) {
            machine.set_file(&written.path, FileState::text(&written.content, 0o644, Owner::root()));
            machine.update(&AptSources::All, |files| {
                files.insert(written.path.to_string(), written.content.clone());
            });
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a repository that packages may have come from is left in place")
    }

    fn is_slow(&self) -> bool {
        true
    }
}
