//! What packages bring besides their own files: units, users, configuration. It is a table, so that a plan on a bare host
//! need not stop at the first installation. Nothing here runs anything.

use std::collections::BTreeSet;

use crate::base::name::{AbsPath, PackageName, UnitName};
use crate::machine::account::Number;
use crate::machine::docker::{self, DockerNetworkState, DockerState};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::ufw::Firewall;
use crate::machine::unit::Active;
use crate::machine::{
    Docker, DockerFirewall, DockerNetwork, File, Group, GroupState, Machine, Package, PackageState, System,
    SystemState, Ufw, Unit, UnitState, User, UserState,
};

/// The effect of packages having been installed.
pub(super) fn installed(machine: &mut Machine, packages: &BTreeSet<PackageName>) {
    let mut foretold = true;
    for name in packages {
        let package = Package(name.clone());
        let was_absent = !machine.known(&package).is_some_and(PackageState::is_installed);
        machine.set(package, PackageState::Installed { version: None, held: false });
        match Brings::of(name.as_str()) {
            Some(brings) if was_absent => {
                brings.effect(machine);
                match name.as_str() {
                    // As the package leaves it: off, without a rule.
                    "ufw" => machine.update(&Ufw::Here, |state| state.ufw = Some(Firewall::stock())),
                    "nftables" => {
                        machine.update(&DockerFirewall::Here, |state| state.nft = true);
                        // Its own service is off, so ufw has no rival in it.
                        machine.update(&Ufw::Here, |_| {});
                    }
                    _ => {}
                }
            }
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
    let groups = machine.all::<Group>().filter(|(_, state)| *state == Some(&GroupState::Absent));
    for group in groups.map(|(group, _)| group.clone()).collect::<Vec<_>>() {
        machine.forget(&group);
    }
    let users = machine.all::<User>().filter(|(_, state)| *state == Some(&UserState::Absent));
    for user in users.map(|(user, _)| user.clone()).collect::<Vec<_>>() {
        machine.forget(&user);
    }
}

/// What packages of Debian and Ubuntu bring, as box tests hold it true on every release: units, and paths whose
/// content only the host knows. What is not listed is not brought.
#[derive(Clone, Copy)]
struct Brings {
    packages: &'static [&'static str],
    units: &'static [(&'static str, After)],
    /// Files it makes, or folders with files, in a form that is not foretold.
    makes: &'static [&'static str],
    /// Folders of root's that it makes, with their modes on Debian.
    folders: &'static [(&'static str, u32)],
    /// Whether Docker's daemon comes with it.
    docker: bool,
}

/// How a unit is right after its package was installed.
#[derive(Clone, Copy)]
enum After {
    /// Enabled and running.
    Runs,
    /// Enabled; it first runs at the next boot.
    Enabled,
    /// Enabled and running, but in a container not running.
    RunsOnMachines,
    /// Enabled and running on Debian; Ubuntu starts it by a socket.
    RunsOnDebian,
    /// There and disabled.
    Disabled,
    /// Not to be foretold: it differs between releases or fails without a configuration.
    Unknown,
}

const NOTHING: Brings = Brings { packages: &[], units: &[], makes: &[], folders: &[], docker: false };

/// The packages that the built-in playbooks install, and others that are often beside them.
const TABLE: &[Brings] = &[
    Brings {
        packages: &[
            "acl",
            "apt-listchanges",
            "busybox-static",
            "ca-certificates",
            "cloud-guest-utils",
            "curl",
            "docker-buildx-plugin",
            "docker-ce-cli",
            "docker-cli",
            "docker-compose-plugin",
            "fdisk",
            "gnupg",
            "jq",
            "locales",
            "lsof",
            "needrestart",
            "openssh-client",
            "parted",
            "python3-systemd",
            "restic",
            "sqlite3",
            "zstd",
        ],
        ..NOTHING
    },
    Brings { packages: &["tzdata"], makes: &["/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"], ..NOTHING },
    Brings {
        packages: &["sudo"],
        makes: &["/etc/sudoers", "/etc/sudoers.d"],
        folders: &[("/etc/sudoers.d", 0o755)],
        ..NOTHING
    },
    Brings {
        packages: &["openssh-server"],
        units: &[("ssh.service", After::RunsOnDebian), ("ssh.socket", After::Unknown)],
        makes: &["/etc/ssh"],
        ..NOTHING
    },
    Brings { packages: &["rsync"], units: &[("rsync.service", After::Unknown)], ..NOTHING },
    Brings { packages: &["cron"], units: &[("cron.service", After::Runs)], makes: &["/etc/crontab"], ..NOTHING },
    Brings {
        packages: &["logrotate"],
        units: &[("logrotate.timer", After::Runs)],
        makes: &["/etc/logrotate.conf", "/etc/logrotate.d"],
        ..NOTHING
    },
    Brings {
        packages: &["rsyslog"],
        units: &[("rsyslog.service", After::Runs)],
        makes: &["/etc/rsyslog.conf", "/etc/rsyslog.d"],
        ..NOTHING
    },
    Brings {
        packages: &["e2fsprogs"],
        units: &[("e2scrub_all.timer", After::Unknown), ("e2scrub_reap.service", After::Unknown)],
        makes: &["/etc/mke2fs.conf"],
        ..NOTHING
    },
    Brings { packages: &["xfsprogs"], units: &[("xfs_scrub_all.timer", After::Unknown)], ..NOTHING },
    Brings {
        packages: &["ufw"],
        units: &[("ufw.service", After::Enabled)],
        makes: &["/etc/ufw", "/etc/default/ufw"],
        ..NOTHING
    },
    Brings {
        packages: &["fail2ban"],
        units: &[("fail2ban.service", After::Unknown)],
        makes: &["/etc/fail2ban"],
        ..NOTHING
    },
    Brings {
        packages: &["systemd-timesyncd"],
        units: &[("systemd-timesyncd.service", After::RunsOnMachines)],
        makes: &["/etc/systemd/timesyncd.conf"],
        ..NOTHING
    },
    Brings {
        packages: &["chrony"],
        units: &[("chrony.service", After::Runs), ("systemd-timesyncd.service", After::Unknown)],
        makes: &["/etc/chrony"],
        ..NOTHING
    },
    Brings {
        packages: &["nftables"],
        units: &[("nftables.service", After::Disabled)],
        makes: &["/etc/nftables.conf"],
        ..NOTHING
    },
    Brings { packages: &["acct"], units: &[("acct.service", After::Unknown)], ..NOTHING },
    Brings {
        packages: &["zram-tools"],
        units: &[("zramswap.service", After::Unknown)],
        makes: &["/etc/default/zramswap"],
        ..NOTHING
    },
    Brings { packages: &["debsums"], makes: &["/etc/default/debsums"], ..NOTHING },
    Brings { packages: &["libpam-tmpdir"], makes: &["/etc/pam.d/common-session"], ..NOTHING },
    Brings {
        packages: &["libpam-pwquality"],
        makes: &["/etc/security/pwquality.conf", "/etc/pam.d/common-password"],
        ..NOTHING
    },
    Brings {
        packages: &["unattended-upgrades"],
        units: &[("unattended-upgrades.service", After::Runs)],
        makes: &["/etc/apt/apt.conf.d/20auto-upgrades", "/etc/apt/apt.conf.d/50unattended-upgrades"],
        ..NOTHING
    },
    Brings { packages: &["containerd", "containerd.io"], units: &[("containerd.service", After::Runs)], ..NOTHING },
    Brings {
        packages: &["docker-ce", "docker.io"],
        units: &[("containerd.service", After::Runs), ("docker.service", After::Runs), ("docker.socket", After::Runs)],
        docker: true,
        ..NOTHING
    },
];

impl Brings {
    fn of(package: &str) -> Option<&'static Brings> {
        TABLE.iter().find(|brings| brings.packages.contains(&package))
    }

    fn effect(&self, machine: &mut Machine) {
        let system = machine.known(&System::Here).filter(|system| system.systemd).cloned();
        let folders = self.folders_of(machine);
        for (name, after) in self.units {
            let Ok(unit) = UnitName::new(*name).map(Unit) else { continue };
            let fresh = machine.known(&unit).is_some_and(|state| !state.exists);
            match system.as_ref().filter(|_| fresh).and_then(|system| after.state(system)) {
                Some(state) => machine.set(unit, state),
                None => machine.forget(&unit),
            }
        }
        let made: Vec<AbsPath> = machine
            .all::<File>()
            .map(|(file, _)| &file.path)
            .filter(|path| self.makes.iter().any(|made| is_at_or_below(path, made)))
            // Drop-ins of our own name come from nobody else.
            .filter(|path| !path.file_name().contains("bedplate"))
            .cloned()
            .collect();
        for path in made {
            machine.forget_file(&path);
        }
        for (path, state) in folders {
            machine.set_file(&path, state);
        }
        if self.docker {
            if let Ok(name) = crate::base::name::GroupName::new("docker") {
                machine.update(&Group(name), |state| {
                    if *state == GroupState::Absent {
                        *state = GroupState::Present(Number(None));
                    }
                });
            }
            docker_comes(machine, system.is_some());
        }
    }
}

impl Brings {
    /// The folders as they will be: those that were asked about and are not there yet, on Debian.
    fn folders_of(&self, machine: &Machine) -> Vec<(AbsPath, FileState)> {
        if machine.known(&System::Here).is_none_or(|system| system.id != "debian") {
            return Vec::new();
        }
        let folders = self.folders.iter().filter_map(|(path, mode)| {
            let path = AbsPath::new(*path).ok()?;
            let state = FileState::Present { kind: Kind::Directory, mode: *mode, owner: Owner::root() };
            machine.file(&path).is_ok_and(FileState::is_absent).then_some((path, state))
        });
        folders.collect()
    }
}

impl After {
    /// The state, where it is foretold.
    fn state(self, system: &SystemState) -> Option<UnitState> {
        let container = !system.container.is_empty();
        let stopped = UnitState { active: Active::Inactive, ..UnitState::running() };
        match self {
            After::Runs => Some(UnitState::running()),
            After::RunsOnMachines if !container => Some(UnitState::running()),
            After::RunsOnDebian => (system.id == "debian").then(UnitState::running),
            After::Enabled | After::RunsOnMachines => Some(stopped),
            After::Disabled => Some(UnitState { enabled: Some(false), ..stopped }),
            After::Unknown => None,
        }
    }
}

fn is_at_or_below(path: &AbsPath, folder: &str) -> bool {
    path.as_str().strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
                *state = DockerState {
                    foreign: state.foreign.clone(),
                    // The host's own, which a package does not change.
                    uplink_mtu: state.uplink_mtu,
                    routes: state.routes.clone(),
                    ..DockerState::fresh(&text)
                };
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
