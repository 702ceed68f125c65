//! Package installations by apt, and what is known of what the packages bring.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Act, Undo};
use crate::base::name::{AbsPath, PackageName};
use crate::machine::{Machine, Package, PackageState, System, Unit, UnitState};
use crate::shell::{Call, Library};

static APT: Library = Library { name: "apt.sh", text: include_str!("apt.sh"), needs: &[] };

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
        let system = machine.known(&System::Here).cloned();
        let mut foretold = true;
        for name in &self.packages {
            machine.set(Package(name.clone()), PackageState::Installed { version: None, held: false });
            match Brings::of(name.as_str()) {
                Some(brings) => brings.effect(machine, system.as_ref().is_some_and(|system| system.systemd)),
                None => foretold = false,
            }
        }
        if !foretold {
            forget_what_a_package_may_bring(machine);
        }
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

/// A package without an entry in the table may bring any unit, user or file that is not there yet.
fn forget_what_a_package_may_bring(machine: &mut Machine) {
    let absent: Vec<Unit> = machine
        .all::<Unit>()
        .filter(|(_, state)| state.is_some_and(|state| !state.exists))
        .map(|(unit, _)| unit.clone())
        .collect();
    for unit in absent {
        machine.forget(&unit);
    }
    for path in machine.absent_files() {
        // Drop-ins of our own name come from nobody else.
        if !path.file_name().contains("bedplate") {
            machine.forget_file(&path);
        }
    }
}

/// What a package of Debian and Ubuntu brings, as box tests hold it true: units that run, paths whose content only
/// the host knows.
struct Brings {
    packages: &'static [&'static str],
    /// Enabled and running after the installation.
    runs: &'static [&'static str],
    /// Files or folders it makes, in a form that is not foretold.
    makes: &'static [&'static str],
}

/// The packages that the built-in playbooks install.
const TABLE: &[Brings] = &[
    Brings {
        packages: &["ca-certificates", "curl", "gnupg", "rsync", "sudo", "e2fsprogs", "xfsprogs"],
        runs: &[],
        makes: &["/etc/sudoers"],
    },
    Brings { packages: &["openssh-server"], runs: &["ssh.service"], makes: &["/etc/ssh/sshd_config"] },
    Brings { packages: &["openssh-client"], runs: &[], makes: &[] },
];

impl Brings {
    fn of(package: &str) -> Option<&'static Brings> {
        TABLE.iter().find(|brings| brings.packages.contains(&package))
    }

    fn effect(&self, machine: &mut Machine, systemd: bool) {
        for name in self.runs.iter().filter_map(|name| crate::base::name::UnitName::new(*name).ok()) {
            let unit = Unit(name);
            if machine.known(&unit).is_some_and(|state| !state.exists) && systemd {
                machine.set(unit, UnitState::running());
            } else {
                machine.forget(&unit);
            }
        }
        for path in self.makes.iter().filter_map(|path| AbsPath::new(*path).ok()) {
            machine.forget_file(&path);
        }
    }
}
