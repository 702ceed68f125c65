//! Docker's packages and its daemon.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::unit::Verb;
use crate::action::{ControlUnit, ExchangePackages, HoldPackages, InstallPackages, ReloadSystemd};
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::{PackageName, UnitName};
use crate::machine::unit::Active;
use crate::machine::version::major;
use crate::machine::{Blocked, Docker, Machine, Package, PackageState, Question, System, SystemState, Unit, UnitState};

/// The oldest major version of Docker that Kamal's users are well served with.
const OLDEST_GOOD: u32 = 24;

/// The Docker engine: its packages, its daemon running now and at boot.
///
/// Packages that can not live beside the chosen ones (`docker.io` beside `docker-ce`, `podman-docker`, a snap) are
/// named and nothing is done, unless `replace_conflicting` is true; images, volumes and containers in
/// `/var/lib/docker` outlive such an exchange.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerEngine {
    /// Where the packages come from: `docker` (docker-ce from Docker's own repository, which an `apt_repository` task
    /// must have set up) or `distribution` (docker.io as Debian or Ubuntu have it; older, and patched by them).
    #[serde(default)]
    pub source: Origin,
    /// The version of docker-ce, such as `28.1.1`, `28.1` or `28`; empty for any. Only with `source = "docker"`.
    #[serde(default)]
    pub version: String,
    /// Whether Docker's packages are held back from upgrades, so that no upgrade restarts containers unasked.
    #[serde(default)]
    pub hold: bool,
    /// Whether packages that can not live beside the chosen ones are removed.
    #[serde(default)]
    pub replace_conflicting: bool,
}

/// Where Docker's packages come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// docker-ce, from Docker's own repository.
    #[default]
    Docker,
    /// docker.io, from the distribution.
    Distribution,
}

/// Packages that only one of the two origins has; the last ones belong to neither.
const OF_DOCKER: [&str; 6] = [
    "docker-ce",
    "docker-ce-cli",
    "containerd.io",
    "docker-buildx-plugin",
    "docker-compose-plugin",
    "docker-ce-rootless-extras",
];
const OF_DISTRIBUTION: [&str; 8] = [
    "docker.io",
    "docker-cli",
    "containerd",
    "runc",
    "docker-compose",
    "docker-compose-v2",
    "docker-buildx",
    "docker-doc",
];
const OF_OTHERS: [&str; 1] = ["podman-docker"];

fn package(name: &str) -> Option<Package> {
    PackageName::new(name).ok().map(Package)
}

fn unit(name: &str) -> Option<Unit> {
    UnitName::new(name).ok().map(Unit)
}

impl DockerEngine {
    /// The packages to install.
    fn wanted(&self, system: &SystemState) -> Vec<&'static str> {
        match self.source {
            Origin::Docker => {
                let mut all = OF_DOCKER[..5].to_vec();
                all.push("ca-certificates");
                all
            }
            // Debian 13 has the client in a package of its own.
            Origin::Distribution if system.id == "debian" && system.major().is_none_or(|major| major >= 13) => {
                vec!["docker.io", "docker-cli", "ca-certificates"]
            }
            Origin::Distribution => vec!["docker.io", "ca-certificates"],
        }
    }

    fn engine(&self) -> &'static str {
        match self.source {
            Origin::Docker => "docker-ce",
            Origin::Distribution => "docker.io",
        }
    }

    /// Packages that are installed and can not stay.
    fn conflicting(&self, machine: &Machine) -> Result<BTreeSet<PackageName>, Blocked> {
        let foreign: &[&str] = match self.source {
            Origin::Docker => &OF_DISTRIBUTION,
            Origin::Distribution => &OF_DOCKER,
        };
        let mut found = BTreeSet::new();
        for package in foreign.iter().chain(&OF_OTHERS).filter_map(|name| package(name)) {
            if *machine.get(&package)? != PackageState::Absent {
                found.insert(package.0);
            }
        }
        Ok(found)
    }

    /// What `apt-get install docker-ce=…` takes: docker-ce has the epoch 5 since 18.09.
    fn pattern(&self) -> Option<String> {
        let version = self.version.strip_prefix("5:").unwrap_or(&self.version);
        if version.is_empty() {
            return None;
        }
        if version.contains('-') {
            return Some(format!("5:{version}"));
        }
        let whole = version.split('.').count() >= 3;
        Some(if whole { format!("5:{version}-*") } else { format!("5:{version}.*") })
    }

    /// Whether `version` is one that the pattern stands for; one that is yet to come is taken for it.
    fn fits(&self, version: Option<&str>) -> bool {
        match (self.pattern(), version) {
            (Some(pattern), Some(version)) => match pattern.strip_suffix('*') {
                Some(prefix) => version.starts_with(prefix),
                None => version == pattern,
            },
            _ => true,
        }
    }

    fn refuse(&self, machine: &Machine, conflicting: &BTreeSet<PackageName>) -> Result<(), Blocked> {
        let foreign = &machine.get(&Docker::Daemon)?.foreign;
        if foreign.starts_with("/snap/") {
            return Err(Blocked::refused(
                "Docker is installed as a snap, which can not see most of the host's folders",
                "save what its containers hold, then `snap remove docker` and run again",
            ));
        }
        if !foreign.is_empty() {
            return Err(Blocked::refused(
                format!("a Docker runs here that is no Debian package ({foreign})"),
                "stop and remove it in the way it was installed, then run again",
            ));
        }
        if !conflicting.is_empty() && !self.replace_conflicting {
            let names: Vec<&str> = conflicting.iter().map(PackageName::as_str).collect();
            return Err(Blocked::refused(
                format!("{} can not live beside {}", names.join(", "), self.engine()),
                "set `replace_conflicting = true` to exchange them (what is in /var/lib/docker stays; containers stop \
                 meanwhile), or choose the other `source`",
            ));
        }
        Ok(())
    }

    /// What must be installed or exchanged.
    fn packages(&self, machine: &Machine, system: &SystemState) -> Result<Vec<Change>, Blocked> {
        let conflicting = self.conflicting(machine)?;
        self.refuse(machine, &conflicting)?;
        let mut missing: BTreeMap<PackageName, Option<String>> = BTreeMap::new();
        let mut held = BTreeSet::new();
        for name in self.wanted(system) {
            let Some(package) = package(name) else { continue };
            let versioned = matches!(name, "docker-ce" | "docker-ce-cli").then(|| self.pattern()).flatten();
            match machine.get(&package)? {
                PackageState::Installed { version, held: is_held }
                    if versioned.is_some() && !self.fits(version.as_deref()) =>
                {
                    if *is_held {
                        held.insert(package.0.clone());
                    }
                    missing.insert(package.0, versioned);
                }
                PackageState::Installed { .. } => {}
                _ => {
                    missing.insert(package.0, versioned);
                }
            }
        }
        if missing.is_empty() && conflicting.is_empty() {
            return Ok(Vec::new());
        }
        let mut changes = Vec::new();
        if !held.is_empty() {
            changes.push(Change::by(HoldPackages { packages: held, hold: false }));
        }
        let diff = Diff::Set {
            what: "packages".into(),
            minus: conflicting.iter().map(ToString::to_string).collect(),
            plus: missing.keys().map(ToString::to_string).collect(),
        };
        let plain = conflicting.is_empty() && missing.values().all(Option::is_none);
        changes.push(if plain {
            Change::by(InstallPackages { packages: missing.into_keys().collect(), recommends: false }).diff(diff)
        } else {
            // What goes must be named together with what stays, or apt would see no need to exchange anything.
            let mut install = missing;
            for package in self.wanted(system).into_iter().filter_map(package) {
                install.entry(package.0).or_insert(None);
            }
            Change::by(ExchangePackages { install, remove: conflicting }).diff(diff)
        });
        Ok(changes)
    }

    /// Holding back, for packages that are there.
    fn holding(&self, machine: &Machine, system: &SystemState) -> Result<Option<Change>, Blocked> {
        let mut packages = BTreeSet::new();
        for package in self.wanted(system).into_iter().filter(|name| *name != "ca-certificates").filter_map(package) {
            match machine.get(&package)? {
                PackageState::Installed { held, .. } if *held != self.hold => {
                    packages.insert(package.0);
                }
                _ => {}
            }
        }
        Ok((!packages.is_empty()).then(|| Change::by(HoldPackages { packages, hold: self.hold })))
    }

    fn findings(&self, version: Option<&str>) -> Vec<Finding> {
        let Some(major) = version.and_then(major) else { return Vec::new() };
        if major >= OLDEST_GOOD {
            return Vec::new();
        }
        vec![Finding {
            id: "old-docker".into(),
            what: format!("Docker {major} is older than {OLDEST_GOOD}: it gets fixes from the distribution alone"),
            help: Some(match self.source {
                Origin::Distribution => "use Docker's own packages: docker_source = \"docker\"".into(),
                Origin::Docker => "let go of the pinned version".into(),
            }),
        }]
    }
}

/// What must be done so that a unit is there, enabled and (if `run`) running.
fn unit_changes(name: &Unit, state: &UnitState, run: bool) -> Vec<Change> {
    let change = |verb, before: &str, after: &str| {
        Change::by(ControlUnit { unit: name.0.clone(), verb }).diff(Diff::value(name.0.as_str(), before, after))
    };
    if state.masked {
        return vec![change(Verb::Unmask, "masked", "not masked")];
    }
    let mut changes = Vec::new();
    if state.needs_daemon_reload {
        changes.push(Change::by(ReloadSystemd));
    }
    if state.enabled == Some(false) {
        changes.push(change(Verb::Enable, "disabled", "enabled"));
    }
    match state.active {
        Active::Active => {}
        _ if !run => {}
        Active::Failed => changes.push(change(Verb::Start, "failed", "running")),
        Active::Inactive | Active::Changing => changes.push(change(Verb::Start, "stopped", "running")),
    }
    changes
}

impl Resource for DockerEngine {
    const NAME: &'static str = "docker_engine";
    const EXAMPLE: &'static str = "source = \"docker\"\nversion = \"28.1\"\nhold = true\nreplace_conflicting = false\n";

    fn check(&self, problems: &mut Problems) {
        if self.version.is_empty() {
            return;
        }
        if self.source == Origin::Distribution {
            let help = "leave `version` empty, or take source = \"docker\"";
            problems.push("version", "the distribution has one version of docker.io, which is not chosen", Some(help));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || ".:+~-".contains(c);
        if !self.version.starts_with(|c: char| c.is_ascii_digit()) || !self.version.chars().all(legal) {
            problems.push(
                "version",
                "this is not a version of docker-ce",
                Some("write it as `28.1.1`, `28.1` or `28`"),
            );
        }
    }

    fn facts(&self) -> Vec<Question> {
        let names = OF_DOCKER.iter().chain(&OF_DISTRIBUTION).chain(&OF_OTHERS).chain(&["ca-certificates"]);
        let mut facts: Vec<Question> = names.filter_map(|name| package(name)).map(Question::from).collect();
        facts.extend(["docker.service", "docker.socket"].iter().filter_map(|name| unit(name)).map(Question::from));
        facts.push(Docker::Daemon.into());
        facts.push(System::Here.into());
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        let names = [self.engine(), "ca-certificates"];
        let mut asserts: Vec<Question> = names.iter().filter_map(|name| package(name)).map(Question::from).collect();
        asserts.extend(["docker.service", "docker.socket"].iter().filter_map(|name| unit(name)).map(Question::from));
        asserts
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let system = machine.get(&System::Here)?;
        let changes = self.packages(machine, system)?;
        if !changes.is_empty() {
            // Whether holding and units are right shows on what comes of it.
            return Ok(Plan::changes(self.followed(machine, system, changes)?, ""));
        }
        let mut changes: Vec<Change> = self.holding(machine, system)?.into_iter().collect();
        changes.extend(self.units(machine)?);
        let version = match package(self.engine()).map(|package| machine.get(&package)).transpose()? {
            Some(PackageState::Installed { version, .. }) => version.clone(),
            _ => None,
        };
        let findings = self.findings(version.as_deref());
        let why = format!("{} {} runs", self.engine(), version.as_deref().unwrap_or("(any version)"));
        Ok(Plan::changes(changes, why).with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let version = proptest::sample::select(vec!["", "28", "28.1", "28.1.1"]);
        (any::<bool>(), version, any::<bool>(), any::<bool>())
            .prop_map(|(docker, version, hold, replace_conflicting)| DockerEngine {
                source: if docker { Origin::Docker } else { Origin::Distribution },
                version: if docker { version.into() } else { String::new() },
                hold,
                replace_conflicting,
            })
            .boxed()
    }
}

impl DockerEngine {
    fn units(&self, machine: &Machine) -> Result<Vec<Change>, Blocked> {
        let mut changes = Vec::new();
        // The socket first: starting the daemon without it leaves the socket dead.
        for (name, run) in [("docker.socket", true), ("docker.service", true)] {
            let Some(unit) = unit(name) else { continue };
            let state = machine.get(&unit)?;
            if !state.exists {
                return Err(Blocked::refused(
                    format!("{} is installed but systemd knows no {name}", self.engine()),
                    format!("look at `systemctl status {name}`, or reinstall {}", self.engine()),
                ));
            }
            changes.extend(unit_changes(&unit, state, run));
        }
        Ok(changes)
    }

    /// The changes with those that the machine needs after them, as far as that can be foretold.
    fn followed(
        &self,
        machine: &Machine,
        system: &SystemState,
        mut changes: Vec<Change>,
    ) -> Result<Vec<Change>, Blocked> {
        let mut after = machine.clone();
        let by = crate::machine::Unknown { task: 0, name: String::new() };
        for action in changes.iter().flat_map(|change| change.actions.clone()) {
            after.perform(&by, |machine| action.effect(machine));
        }
        if let Ok(Some(change)) = self.holding(&after, system) {
            changes.push(change);
        } else if self.hold {
            // A pinned version is only known once it is there; it is to be held all the same.
            let packages = self.wanted(system).into_iter().filter(|name| *name != "ca-certificates");
            let packages = packages.filter_map(package).map(|package| package.0).collect();
            changes.push(Change::by(HoldPackages { packages, hold: true }));
        }
        match self.units(&after) {
            Ok(units) => changes.extend(units),
            Err(Blocked::Unknown(_)) => {}
            Err(Blocked::Refused(_)) => {}
            Err(blocked) => return Err(blocked),
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(version: &str) -> DockerEngine {
        DockerEngine { source: Origin::Docker, version: version.into(), hold: false, replace_conflicting: false }
    }

    #[test]
    fn a_version_is_a_pattern_that_does_not_match_its_neighbours() {
        assert_eq!(engine("28.1").pattern().as_deref(), Some("5:28.1.*"));
        assert!(engine("28.1").fits(Some("5:28.1.1-1~debian.12~bookworm")));
        assert!(!engine("28.1").fits(Some("5:28.10.0-1~debian.12~bookworm")));
        assert!(engine("28.1.1").fits(Some("5:28.1.1-1~debian.12~bookworm")));
        assert!(!engine("28.1.1").fits(Some("5:28.1.10-1~debian.12~bookworm")));
        assert!(engine("").fits(Some("anything")) && engine("28").fits(None));
    }

    #[test]
    fn every_package_that_can_not_stay_is_named_and_goes_only_when_told() {
        let mut machine = Machine::default();
        let all = || OF_DOCKER.iter().chain(&OF_DISTRIBUTION).chain(&OF_OTHERS).filter_map(|name| package(name));
        for package in all() {
            machine.set(package, PackageState::Absent);
        }
        machine.set(Docker::Daemon, crate::machine::docker::DockerState::fresh(""));
        for name in OF_DISTRIBUTION.iter().chain(&OF_OTHERS) {
            let mut with = machine.clone();
            with.set(package(name).unwrap(), PackageState::Installed { version: None, held: false });
            let conflicting = engine("").conflicting(&with).unwrap();
            let Err(Blocked::Refused(refusal)) = engine("").refuse(&with, &conflicting) else { panic!("{name}") };
            assert!(refusal.what.starts_with(&format!("{name} can not live beside docker-ce")), "{}", refusal.what);
            let told = DockerEngine { replace_conflicting: true, ..engine("") };
            assert!(told.refuse(&with, &conflicting).is_ok(), "{name}");
        }
    }
}
