//! Hosts that nobody has asked: what is known of them, set by hand in what a Debian box answered.

use std::collections::BTreeMap;

use bedplate::base::name::{AbsPath, PackageName, UnitName};
use bedplate::machine::file::Owner;
use bedplate::machine::ufw::Firewall;
use bedplate::machine::unit::Active;
use bedplate::machine::{
    AptSetting, AptSources, File, FileState, FirstBoot, FirstBootState, Kind, Machine, Package, PackageState, SshLogin,
    Sshd, SshdState, Sysctl, SysctlState, System, Ufw, Unit, UnitState,
};

/// The same release on a machine of its own: no container, and a kernel that may be set.
pub(crate) fn machine_of_its_own(mut machine: Machine) -> Machine {
    machine.update(&System::Here, |system| system.container = String::new());
    let settings: Vec<Sysctl> = machine.all::<Sysctl>().map(|(setting, _)| setting.clone()).collect();
    for setting in settings {
        machine.update(&setting, |state| {
            if let SysctlState::Present { writable, .. } = state {
                *writable = true;
            }
        });
    }
    machine
}

/// Ubuntu 24.04 as cloud providers hand it over, made by hand from a Debian 12: its os-release, ssh by a socket whose
/// ports systemd takes from sshd's files, cloud-init that has finished and has let passwords in, and with the packages,
/// units and settings of apt that its image has from the start.
pub(crate) fn ubuntu_24_04(debian: Machine) -> Machine {
    let mut machine = machine_of_its_own(debian);
    machine.update(&System::Here, |system| {
        system.id = "ubuntu".into();
        system.version = "24.04".into();
        system.codename = "noble".into();
        system.kernel = "6.8.0-31-generic".into();
    });
    for name in ["ufw", "unattended-upgrades", "systemd-timesyncd", "sudo"] {
        let package = Package(PackageName::new(name).expect("a name"));
        machine.set(package, PackageState::Installed { version: Some("1".into()), held: false });
    }
    let unit = |name: &str| Unit(UnitName::new(name).expect("a name"));
    machine.set(unit("systemd-timesyncd.service"), UnitState::running());
    machine.set(unit("ssh.socket"), UnitState::running());
    machine.set(unit("ufw.service"), UnitState { active: Active::Active, ..UnitState::running() });
    machine.update(&Ufw::Here, |state| state.ufw = Some(Firewall::stock()));
    machine.set(FirstBoot::Here, FirstBootState::Done { errors: Vec::new() });
    passwords_by_cloud_init(&mut machine);
    sudo_and_apt(&mut machine);
    machine
}

/// cloud-init's drop-in lets passwords in, and sshd says so.
fn passwords_by_cloud_init(machine: &mut Machine) {
    machine.update(&Sshd::Here, |state| {
        let SshdState::Present(config) = state else { panic!("the recorded host has no sshd") };
        let path = AbsPath::new("/etc/ssh/sshd_config.d/50-cloud-init.conf").expect("a path");
        config.files.insert(path, "PasswordAuthentication yes\n".into());
        config.socket_generator = true;
    });
    let logins: Vec<SshLogin> = machine.all::<SshLogin>().map(|(login, _)| login.clone()).collect();
    for login in logins {
        machine.update(&login, |state| {
            state.settings.insert("passwordauthentication".into(), "yes".into());
        });
    }
}

fn sudo_and_apt(machine: &mut Machine) {
    let path = |text: &str| AbsPath::new(text).expect("a path");
    let folder = FileState::Present { kind: Kind::Directory, mode: 0o750, owner: Owner::root() };
    machine.set(File::at(&path("/etc/sudoers.d")), folder);
    machine.set(
        File::secret(&path("/etc/sudoers")),
        FileState::text("root ALL=(ALL:ALL) ALL\n", 0o440, Owner::root()).without_content(),
    );
    let ubuntu =
        "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu\nSuites: noble noble-updates\nComponents: main universe\n";
    machine.set(
        AptSources::All,
        BTreeMap::from([("/etc/apt/sources.list.d/ubuntu.sources".to_owned(), ubuntu.to_owned())]),
    );
    for (name, values) in [
        ("APT::Periodic::Update-Package-Lists", &["1"][..]),
        ("APT::Periodic::Unattended-Upgrade", &["1"]),
        (
            "Unattended-Upgrade::Allowed-Origins",
            &["${distro_id}:${distro_codename}", "${distro_id}:${distro_codename}-security"],
        ),
    ] {
        machine.set(AptSetting(name.into()), values.iter().map(|value| (*value).to_owned()).collect());
    }
}
