//! Package installations by apt. What the packages bring is in `brings`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::brings::installed;
use super::{ACTION, Act, Undo};
use crate::base::name::PackageName;
use crate::machine::{Docker, Machine, Package, PackageState, Unit};
use crate::shell::{Call, Library};

pub(super) static APT: Library = Library { name: "apt.sh", text: include_str!("apt.sh"), needs: &[&ACTION] };

/// Installs packages in one transaction. Never asks, keeps configuration files, refuses to remove anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallPackages {
    /// Which, in any version.
    pub packages: BTreeSet<PackageName>,
    /// Whether packages that these merely recommend come along.
    pub recommends: bool,
}

impl Act for InstallPackages {
    fn summary(&self) -> String {
        let names: Vec<&str> = self.packages.iter().map(PackageName::as_str).collect();
        format!("install {}", names.join(", "))
    }

    fn call(&self) -> Call {
        Call::new(&APT, "apt_install")
            .arg(if self.recommends { "1" } else { "0" })
            .args(self.packages.iter().map(PackageName::as_str))
    }

    fn effect(&self, machine: &mut Machine) {
        installed(machine, &self.packages);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("installed packages are left in place: removing them could take others along")
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn merge(&mut self, next: &Self) -> bool {
        if self.recommends != next.recommends {
            return false;
        }
        self.packages.extend(next.packages.iter().cloned());
        true
    }
}

/// Installs packages in certain versions or in the place of others, in one transaction. What is not named does not go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangePackages {
    /// What comes, with the version (`5:28.1.1-*`: a `*` at the end stands for anything) where it matters.
    pub install: BTreeMap<PackageName, Option<String>>,
    /// What goes. Its data and configuration stay.
    pub remove: BTreeSet<PackageName>,
}

impl Act for ExchangePackages {
    fn summary(&self) -> String {
        let names = self.install.iter().map(|(name, version)| match version {
            Some(version) => format!("{name} ({version})"),
            None => name.to_string(),
        });
        let comes = names.collect::<Vec<_>>().join(", ");
        if self.remove.is_empty() {
            return format!("install {comes}");
        }
        let goes: Vec<&str> = self.remove.iter().map(PackageName::as_str).collect();
        format!("install {comes} in the place of {}", goes.join(", "))
    }

    fn call(&self) -> Call {
        let removable: Vec<&str> = self.remove.iter().map(PackageName::as_str).collect();
        Call::new(&APT, "apt_exchange")
            .arg(removable.join(" "))
            .args(self.install.iter().map(|(name, version)| match version {
                Some(version) => format!("{name}={version}"),
                None => name.to_string(),
            }))
            .args(self.remove.iter().map(|name| format!("{name}-")))
    }

    fn effect(&self, machine: &mut Machine) {
        for name in &self.remove {
            machine.set(Package(name.clone()), PackageState::Absent);
        }
        installed(machine, &self.install.keys().cloned().collect());
        for (name, version) in &self.install {
            if version.is_some() {
                // Which version the pattern stands for only the host knows.
                machine.forget(&Package(name.clone()));
            }
        }
        if !self.remove.is_empty() {
            // What went took its units along, what came may have brought them again.
            for unit in machine.all::<Unit>().map(|(unit, _)| unit.clone()).collect::<Vec<_>>() {
                if is_of_containers(unit.0.as_str()) {
                    machine.forget(&unit);
                }
            }
            machine.forget(&Docker::Daemon);
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("installed packages are left in place: removing them could take others along")
    }

    fn is_slow(&self) -> bool {
        true
    }
}

fn is_of_containers(unit: &str) -> bool {
    ["docker.", "containerd.", "podman."].iter().any(|prefix| unit.starts_with(prefix))
}

/// Holds packages back from upgrades, or lets them go again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPackages {
    /// Which.
    pub packages: BTreeSet<PackageName>,
    /// Whether they are held.
    pub hold: bool,
}

impl Act for HoldPackages {
    fn summary(&self) -> String {
        let names: Vec<&str> = self.packages.iter().map(PackageName::as_str).collect();
        let verb = if self.hold { "hold back from upgrades" } else { "no longer hold back" };
        format!("{verb}: {}", names.join(", "))
    }

    fn call(&self) -> Call {
        Call::new(&APT, "apt_hold")
            .arg(if self.hold { "1" } else { "0" })
            .args(self.packages.iter().map(PackageName::as_str))
    }

    fn effect(&self, machine: &mut Machine) {
        for name in &self.packages {
            machine.update(&Package(name.clone()), |state| {
                if let PackageState::Installed { held, .. } = state {
                    *held = self.hold;
                }
            });
        }
    }

    fn undo(&self, before: &Machine) -> Undo {
        let differs = |name: &&PackageName| {
            let state = before.known(&Package((*name).clone()));
            matches!(state, Some(PackageState::Installed { held, .. }) if *held != self.hold)
        };
        let packages: BTreeSet<PackageName> = self.packages.iter().filter(differs).cloned().collect();
        if packages.is_empty() {
            return Undo::By(Vec::new());
        }
        Undo::By(vec![HoldPackages { packages, hold: !self.hold }.into()])
    }
}
