//! Package installations by apt, and what is known of what the packages bring.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ACTION, Act, Undo};
use crate::base::name::{AbsPath, PackageName, UnitName};
use crate::machine::docker::{self, DockerNetworkState, DockerState};
use crate::machine::{Docker, DockerNetwork, Machine, Package, PackageState, System, Unit, UnitState, file::FileState};
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

/// The effect of packages having been installed.
fn installed(machine: &mut Machine, packages: &BTreeSet<PackageName>) {
    let systemd = machine.known(&System::Here).is_some_and(|system| system.systemd);
    let mut foretold = true;
    for name in packages {
        let package = Package(name.clone());
        let was_absent = !machine.known(&package).is_some_and(PackageState::is_installed);
        machine.set(package, PackageState::Installed { version: None, held: false });
        match Brings::of(name.as_str()) {
            Some(brings) if was_absent => brings.effect(machine, systemd),
            Some(_) => {}
            None => foretold = false,
        }
    }
    if !foretold {
        forget_what_a_package_may_bring(machine);
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
    /// Whether Docker's daemon comes with it.
    docker: bool,
}

/// The packages that the built-in playbooks install.
const TABLE: &[Brings] = &[
    Brings {
        packages: &[
            "ca-certificates",
            "curl",
            "gnupg",
            "rsync",
            "e2fsprogs",
            "xfsprogs",
            "openssh-client",
            "docker-cli",
            "docker-ce-cli",
            "docker-buildx-plugin",
            "docker-compose-plugin",
        ],
        runs: &[],
        makes: &[],
        docker: false,
    },
    Brings { packages: &["sudo"], runs: &[], makes: &["/etc/sudoers"], docker: false },
    Brings { packages: &["openssh-server"], runs: &["ssh.service"], makes: &["/etc/ssh/sshd_config"], docker: false },
    Brings {
        packages: &["unattended-upgrades"],
        runs: &["unattended-upgrades.service"],
        makes: &["/etc/apt/apt.conf.d/20auto-upgrades", "/etc/apt/apt.conf.d/50unattended-upgrades"],
        docker: false,
    },
    Brings { packages: &["containerd.io", "containerd"], runs: &["containerd.service"], makes: &[], docker: false },
    Brings {
        packages: &["docker.io", "docker-ce"],
        runs: &["containerd.service", "docker.service", "docker.socket"],
        makes: &[],
        docker: true,
    },
];

impl Brings {
    fn of(package: &str) -> Option<&'static Brings> {
        TABLE.iter().find(|brings| brings.packages.contains(&package))
    }

    fn effect(&self, machine: &mut Machine, systemd: bool) {
        for name in self.runs.iter().filter_map(|name| UnitName::new(*name).ok()) {
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
        if self.docker {
            docker_comes(machine, systemd);
        }
    }
}

/// The daemon starts with the configuration that is there and, where there never was a Docker, without networks.
fn docker_comes(machine: &mut Machine, systemd: bool) {
    let configuration = AbsPath::new(docker::CONFIGURATION).ok();
    let text = configuration.and_then(|path| match machine.file(&path) {
        Ok(FileState::Absent) => Some(String::new()),
        Ok(state) => state.content().map(str::to_owned),
        Err(_) => None,
    });
    let networks: Vec<DockerNetwork> = machine.all::<DockerNetwork>().map(|(network, _)| network.clone()).collect();
    let bare = machine.known(&Docker::Daemon).is_some_and(|state| state.running.is_none() && !state.data);
    match text {
        Some(text) if bare && systemd => {
            machine.update(&Docker::Daemon, |state| {
                *state = DockerState { foreign: state.foreign.clone(), ..DockerState::fresh(&text) };
            });
            for network in networks {
                machine.set(network, DockerNetworkState::Absent);
            }
        }
        _ => {
            machine.forget(&Docker::Daemon);
            for network in networks {
                machine.forget(&network);
            }
        }
    }
}
