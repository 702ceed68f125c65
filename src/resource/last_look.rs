//! A last look at the whole host.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Plan, Resource};
use crate::base::event::Finding;
use crate::base::name::{PackageName, UnitName};
use crate::machine::docker_published::PublishedPort;
use crate::machine::fstab::{self, Entry};
use crate::machine::health::{Downgrade, LiveMount};
use crate::machine::ufw::Rule;
use crate::machine::{
    Blocked, DockerFirewall, DockerPublished, File, Health, HealthState, Machine, MountPoint, Package, Question,
    System, Ufw, Unit,
};

/// Looks at what no single task sees, and reports it: units that failed, services that are masked, packages that are half
/// installed, held back or downgraded, a second account with root's number, accounts without a password, files below
/// /etc that everybody may write, lines of /etc/fstab that are not mounted and mounts that it does not have, ports that
/// Docker publishes past the firewall, a reboot that an update waits for. It changes nothing, and leaves out what other
/// tasks answer for.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastLook {
    /// Units that may be failed or masked without a word.
    #[serde(default)]
    pub ignore_units: Vec<String>,
}

/// What was found so far.
#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, id: &str, what: String, help: impl Into<String>) {
        self.0.push(Finding { id: id.into(), what, help: Some(help.into()) });
    }
}

impl LastLook {
    fn units(&self, health: &HealthState, machine: &Machine, found: &mut Found) {
        let ignored = |unit: &str| self.ignore_units.iter().any(|ignored| ignored == unit);
        for unit in health.failed_units.reading().iter().filter(|unit| !ignored(unit)) {
            let help = format!("look at `journalctl -u {unit}`, then `systemctl reset-failed {unit}`");
            found.add("failed-unit", format!("{unit} has failed"), help);
        }
        let declared = |unit: &str| UnitName::new(unit).is_ok_and(|unit| machine.has(&Unit(unit).into()));
        // Images of containers mask the kernel's own mounts; only what would run is missed by anyone.
        let runs = |unit: &str| [".service", ".socket", ".timer"].iter().any(|kind| unit.ends_with(kind));
        let masked = health.masked_units.reading().iter();
        for unit in masked.filter(|unit| runs(unit) && !ignored(unit) && !declared(unit)) {
            let help = format!("`systemctl unmask {unit}`, or name it in `ignore_units`");
            found.add("masked-unit", format!("{unit} is masked: nothing can start it"), help);
        }
    }
}

fn packages(health: &HealthState, machine: &Machine, found: &mut Found) {
    for package in health.half_installed.reading() {
        let help = "run `dpkg --configure -a`, then `apt-get -f install` on the host";
        found.add("half-installed-package", format!("package {package} is only half installed"), help);
    }
    let declared = |name: &str| PackageName::new(name).is_ok_and(|name| machine.has(&Package(name).into()));
    for package in health.held.reading().iter().filter(|package| !declared(package)) {
        let what = format!("package {package} is held back from all upgrades, security fixes included");
        found.add("held-package", what, format!("`apt-mark unhold {package}`"));
    }
    // One that is held back was meant to be so, and that is said; the versions of Docker's own are their task's to judge.
    let held = |name: &str| health.held.reading().iter().any(|held| held == name);
    for Downgrade { package, before, now, day } in health.downgraded.reading().iter() {
        let engine = package.starts_with("docker-ce") || package == "containerd.io";
        if held(package) || (engine && declared(package)) {
            continue;
        }
        let what = format!("package {package} was downgraded from {before} to {now} on {day}");
        let help =
            format!("`apt-get install --only-upgrade {package}`, or `apt-mark hold {package}` if it is meant to stay");
        found.add("downgraded-package", what, help);
    }
}

fn accounts(health: &HealthState, found: &mut Found) {
    for name in health.superusers.reading() {
        let what = format!("the account {name} has the number 0: it is root by another name");
        found.add("second-root", what, format!("find out who made it, then `userdel {name}`"));
    }
    for name in health.open_accounts.reading() {
        let what = format!("the account {name} has the empty password");
        found.add("empty-password", what, format!("`passwd -l {name}`"));
    }
}

fn writable(health: &HealthState, machine: &Machine, found: &mut Found) {
    // A declared file with another mode is drift of its task.
    let declared = |path: &str| machine.all::<File>().any(|(file, _)| file.path.as_str() == path);
    for path in health.writable.reading().iter().filter(|path| !declared(path)) {
        let sudo = path.as_str() == "/etc/sudoers" || path.starts_with("/etc/sudoers.d");
        let (id, why) = if sudo { ("writable-sudoers", "and so become root") } else { ("writable-file", "") };
        let what = format!("everybody may write {path}, {why}");
        found.add(
            id,
            what.trim_end_matches([',', ' ']).to_owned(),
            format!("look at what is in it, then `chmod o-w {path}`"),
        );
    }
}

/// The name that systemd has for the unit of a mount (systemd.unit(5)), where the path holds nothing out of the way.
fn unit_of(target: &str) -> String {
    format!("{}.mount", target.trim_matches('/').replace('-', "\\x2d").replace('/', "-"))
}

fn mounts(health: &HealthState, machine: &Machine, table: &[Entry], found: &mut Found) {
    let live = health.mounts.reading();
    if live.is_empty() {
        return;
    }
    // What a task mounts is its own to judge.
    let declared = |path: &str| machine.all::<MountPoint>().any(|(point, _)| point.0.as_str() == path);
    let at = |path: &str| if path == "/" { path.to_owned() } else { path.trim_end_matches('/').to_owned() };
    for entry in table.iter().filter(|entry| entry.target.starts_with('/') && !entry.has("noauto")) {
        let target = at(&entry.target);
        if !live.iter().any(|mount| mount.target == target) && !declared(&target) {
            let what = format!("/etc/fstab mounts {} at {target}, and it is not mounted", entry.source);
            found.add("unmounted", what, format!("`mount {target}`, or take the line out of /etc/fstab"));
        }
    }
    let own = |mount: &LiveMount| {
        let elsewhere = ["/run/", "/snap/", "/proc/", "/sys/", "/boot", "/media/", "/var/lib/docker/"];
        mount.target == "/"
            || elsewhere.iter().any(|folder| mount.target.starts_with(folder))
            || table.iter().any(|entry| at(&entry.target) == mount.target)
            || health.mount_units.reading().contains(&unit_of(&mount.target))
            || declared(&mount.target)
    };
    // A part of a file system that is mounted once more is a bind mount, of a container or by hand.
    let whole = |mount: &&LiveMount| mount.source.starts_with("/dev/") && mount.root == "/" && mount.kind != "squashfs";
    for mount in live.iter().filter(whole).filter(|mount| !own(mount)) {
        let what = format!("{} is mounted at {}, and will not be after a reboot", mount.source, mount.target);
        found.add("mount-not-at-boot", what, "declare it as a volume or a mount, or add it to /etc/fstab");
    }
}

/// Ports that Docker publishes to everybody though the firewall is on and lets nobody in there.
fn published(machine: &Machine, found: &mut Found) {
    let Some(ufw) = machine.known(&Ufw::Here).and_then(|state| state.ufw.as_ref()).filter(|ufw| ufw.enabled) else {
        return;
    };
    let ruled = machine.known(&DockerFirewall::Here).is_some_and(|state| state.rules.is_some());
    let Some(state) = machine.known(&DockerPublished::Here).filter(|state| !ruled && !state.closed.reading()) else {
        return;
    };
    let lets = |port: &&PublishedPort| {
        let allows = |rule: &&Rule| matches!(rule.verdict(), "allow" | "limit") && rule.from_anywhere();
        ufw.rules.iter().filter(allows).any(|rule| rule.covers(&port.protocol, port.port))
    };
    let past: Vec<String> = state.ports.reading().iter().filter(|port| !lets(port)).map(ToString::to_string).collect();
    if !past.is_empty() {
        let what = format!("Docker publishes {} to everybody, and ufw is not asked about it", past.join(", "));
        let help = "declare a `docker_firewall` task, or publish on 127.0.0.1 alone, as in `-p 127.0.0.1:5432:5432`";
        found.add("docker-port-past-firewall", what, help);
    }
}

impl Resource for LastLook {
    const NAME: &'static str = "last_look";
    const EXAMPLE: &'static str = "ignore_units = [\"motd-news.service\"]\n";

    fn facts(&self) -> Vec<Question> {
        vec![
            Health::Here.into(),
            System::Here.into(),
            File::at(&fstab::path()).into(),
            Ufw::Here.into(),
            DockerPublished::Here.into(),
        ]
    }

    fn asserts(&self) -> Vec<Question> {
        Vec::new()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let health = machine.get(&Health::Here)?;
        let mut found = Found::default();
        self.units(health, machine, &mut found);
        packages(health, machine, &mut found);
        accounts(health, &mut found);
        writable(health, machine, &mut found);
        // A table that is no text is for those to refuse who would change it.
        if let Ok((text, ..)) = fstab::on(machine) {
            mounts(health, machine, &fstab::entries(&text), &mut found);
        }
        published(machine, &mut found);
        if machine.get(&System::Here)?.reboot_required {
            found.add("reboot-required", "an update waits for a reboot".into(), "reboot the host when it suits");
        }
        let why = if found.0.is_empty() { "nothing is wrong" } else { "looked; what is wrong is in the findings" };
        Ok(Plan::in_sync(why).with_findings(found.0))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Just(LastLook { ignore_units: vec!["one.service".into()] }).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::machine::file::Owner;
    use crate::machine::ufw::Firewall;
    use crate::machine::{DockerFirewallState, DockerPublishedState, FileState, UfwState, Volatile};

    fn mount(source: &str, root: &str, target: &str) -> LiveMount {
        LiveMount { source: source.into(), kind: "ext4".into(), root: root.into(), target: target.into() }
    }

    /// The findings' names on a host with this fstab and these mounts, besides the root file system.
    fn of_mounts(text: &str, more: Vec<LiveMount>) -> Vec<String> {
        let mut machine = Machine::default();
        machine.set(File::at(&fstab::path()), FileState::text(text, 0o644, Owner::root()));
        let mut live = vec![mount("/dev/sda1", "/", "/")];
        live.extend(more);
        let health = HealthState {
            mounts: Volatile::new(live),
            mount_units: Volatile::new(vec!["mnt-of\\x2dunit.mount".into()]),
            ..HealthState::default()
        };
        let mut found = Found::default();
        mounts(&health, &machine, &fstab::entries(text), &mut found);
        found.0.into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_line_of_fstab_without_its_mount_is_found_and_the_reverse() {
        let data = || mount("/dev/sdb", "/", "/mnt/data");
        let line = "UUID=1-2 /mnt/data/ ext4 defaults 0 2\n";
        assert_eq!(of_mounts(line, vec![]), ["unmounted"]);
        assert_eq!(of_mounts("", vec![data()]), ["mount-not-at-boot"]);
        assert_eq!(of_mounts(line, vec![data()]), [""; 0]);
        assert_eq!(of_mounts("UUID=1-2 /mnt/data ext4 noauto 0 2\n/swapfile none swap sw 0 0\n", vec![]), [""; 0]);
    }

    #[test]
    fn bind_mounts_and_what_a_unit_mounts_are_no_news() {
        let quiet = [mount("/dev/sda1", "/srv", "/mnt/bind"), mount("/dev/sdb", "/", "/mnt/of-unit")];
        assert_eq!(of_mounts("", quiet.to_vec()), [""; 0]);
        assert_eq!(of_mounts("", vec![mount("/dev/loop3", "/", "/snap/core/1")]), [""; 0]);
    }

    #[test]
    fn a_downgrade_is_found_unless_it_is_held() {
        let downgrade = |package: &str| Downgrade {
            package: package.into(),
            before: "2-1".into(),
            now: "1-1".into(),
            day: "2026-01-02".into(),
        };
        let health = HealthState {
            downgraded: Volatile::new(vec![downgrade("curl"), downgrade("wget")]),
            held: Volatile::new(vec!["wget".into()]),
            ..HealthState::default()
        };
        let mut found = Found::default();
        packages(&health, &Machine::default(), &mut found);
        let told: Vec<(&str, &str)> = found.0.iter().map(|f| (f.id.as_str(), f.what.as_str())).collect();
        assert_eq!(told[1], ("downgraded-package", "package curl was downgraded from 2-1 to 1-1 on 2026-01-02"));
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn a_port_that_docker_publishes_past_the_firewall_is_found() {
        let port = |port, protocol: &str| PublishedPort { port, protocol: protocol.into() };
        let told = |enabled: bool, closed: bool, rules: Option<&str>| {
            let mut machine = Machine::default();
            let mut ufw = Firewall { enabled, ..Firewall::stock() };
            ufw.rules.insert(Rule::incoming(false, "allow", "tcp", "80,443", None));
            ufw.rules.insert(Rule::incoming(false, "allow", "tcp", "5432", Some("10.0.0.0/8")));
            machine.set(Ufw::Here, UfwState::of(Some(ufw)));
            let ports = BTreeSet::from([port(80, "tcp"), port(443, "udp"), port(5432, "tcp")]);
            let state = DockerPublishedState { ports: Volatile::new(ports), closed: Volatile::new(closed) };
            machine.set(DockerPublished::Here, state);
            let rules = rules.map(str::to_owned);
            machine.set(DockerFirewall::Here, DockerFirewallState { rules, ..DockerFirewallState::none(true) });
            let mut found = Found::default();
            published(&machine, &mut found);
            found.0.into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        let past = "Docker publishes 443/udp, 5432/tcp to everybody, and ufw is not asked about it";
        assert_eq!(told(true, false, None), [past]);
        assert_eq!(told(false, false, None), [""; 0], "there is no firewall to go past");
        assert_eq!(told(true, true, None), [""; 0]);
        assert_eq!(told(true, false, Some("table inet bedplate_docker")), [""; 0]);
    }

    #[test]
    fn what_a_task_answers_for_is_not_said_twice() {
        let mut machine = Machine::default();
        let unit = UnitName::new("docker.service").unwrap();
        machine.set(Unit(unit), crate::machine::UnitState::absent());
        let health = HealthState {
            masked_units: Volatile::new(vec![
                "docker.service".into(),
                "cron.service".into(),
                "own.service".into(),
                "sys-kernel-debug.mount".into(),
            ]),
            ..HealthState::default()
        };
        let mut found = Found::default();
        LastLook { ignore_units: vec!["own.service".into()] }.units(&health, &machine, &mut found);
        assert_eq!(
            found.0.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>(),
            ["cron.service is masked: nothing can start it"]
        );
    }
}
