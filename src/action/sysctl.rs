//! Kernel settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Access, Act, Saved, Undo, WriteFile};
use crate::action::file::Content;
use crate::base::name::SysctlKey;
use crate::machine::sysctl::{self, SysctlFiles};
use crate::machine::{Machine, Sysctl, SysctlState};
use crate::shell::{Call, Library};

static SYSCTL: Library = Library { name: "action_sysctl.sh", text: include_str!("sysctl.sh"), needs: &[] };

/// Whether a setting can cut a host off.
fn is_network(key: &SysctlKey) -> bool {
    key.as_str().starts_with("net.") || key.as_str().starts_with("net/")
}

/// Sets kernel settings now, until the next boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetSysctls {
    /// Values by key.
    pub settings: BTreeMap<SysctlKey, String>,
}

impl Act for SetSysctls {
    fn summary(&self) -> String {
        let keys: Vec<&str> = self.settings.keys().map(SysctlKey::as_str).collect();
        match keys.as_slice() {
            [one] => format!("set {one} now"),
            many => format!("set {} kernel settings now", many.len()),
        }
    }

    fn call(&self) -> Call {
        let pairs = self.settings.iter().flat_map(|(key, value)| [sysctl::proc_path(key), value.clone()]);
        Call::new(&SYSCTL, "sysctl_set").args(pairs)
    }

    fn effect(&self, machine: &mut Machine) {
        for (key, wanted) in &self.settings {
            machine.update(&Sysctl(key.clone()), |state| {
                if let SysctlState::Present { value, .. } = state {
                    value.clone_from(wanted);
                }
            });
        }
        // Forwarding for all interfaces is set for each of them by the kernel.
        let others: Vec<Sysctl> = machine.all::<Sysctl>().map(|(question, _)| question.clone()).collect();
        for other in others.into_iter().filter(|other| self.is_spread_to(&other.0)) {
            machine.forget(&other);
        }
    }

    fn undo(&self, before: &Machine) -> Undo {
        let mut settings = BTreeMap::new();
        for key in self.settings.keys() {
            match before.known(&Sysctl(key.clone())) {
                Some(SysctlState::Present { value, writable: true }) if !value.is_empty() => {
                    settings.insert(key.clone(), value.clone());
                }
                _ => return Undo::Impossible("the setting's value of before is not known"),
            }
        }
        Undo::By(vec![SetSysctls { settings }.into()])
    }

    fn access(&self) -> Option<Access> {
        let saves: Vec<Saved> =
            self.settings.keys().filter(|key| is_network(key)).cloned().map(Saved::Sysctl).collect();
        (!saves.is_empty()).then_some(Access { what: "network", saves })
    }

    fn merge(&mut self, next: &Self) -> bool {
        // Guarded and harmless settings stay apart, so that a window is never opened for the harmless.
        let alike = self.access().is_some() == next.access().is_some();
        if alike {
            self.settings.extend(next.settings.clone());
        }
        alike
    }
}

impl SetSysctls {
    /// Whether the kernel changes `other` too: forwarding for all interfaces sets it for each of them.
    fn is_spread_to(&self, other: &SysctlKey) -> bool {
        let forwards = |key: &str| key.ends_with(".forwarding") || key == "net.ipv4.ip_forward";
        !self.settings.contains_key(other)
            && forwards(other.as_str())
            && self.settings.keys().any(|key| forwards(key.as_str()))
    }
}

/// Writes a file of kernel settings for the next boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteSysctls {
    /// The file.
    pub file: WriteFile,
    /// Its settings.
    pub settings: BTreeMap<SysctlKey, String>,
}

impl Act for WriteSysctls {
    fn summary(&self) -> String {
        self.file.summary()
    }

    fn call(&self) -> Call {
        self.file.call()
    }

    fn effect(&self, machine: &mut Machine) {
        self.file.effect(machine);
        let Content::Text(text) = &self.file.content else { return };
        machine.update(&SysctlFiles::Here, |state| {
            state.files.insert(self.file.path.clone(), sysctl::settings(text));
        });
    }

    fn undo(&self, before: &Machine) -> Undo {
        self.file.undo(before)
    }

    fn access(&self) -> Option<Access> {
        let saves = vec![Saved::File(self.file.path.clone())];
        self.settings.keys().any(is_network).then_some(Access { what: "network", saves })
    }
}
