//! apt's own settings. Packages are changed by `package`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file::Found;
use super::package::APT;
use super::{Act, Undo};
use crate::base::Digest;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Owner};
use crate::machine::{AptSetting, Machine};
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
