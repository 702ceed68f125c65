//! A systemd unit that must run, or must not.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::unit::Verb;
use crate::action::{Action, ControlUnit, LoadUnit, ReloadSystemd};
use crate::base::Diff;
use crate::base::name::{AbsPath, UnitName};
use crate::machine::loaded::{Loaded, LoadedState};
use crate::machine::unit::Active;
use crate::machine::{Blocked, Machine, Question, Unit, UnitState};

/// A systemd unit: whether it runs, starts at boot, or is masked.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit with its suffix, such as `docker.service`.
    pub unit: UnitName,
    /// Whether it runs now.
    #[serde(default = "yes")]
    pub running: Option<bool>,
    /// Whether it starts at boot. A unit that nothing can enable is left as it is.
    #[serde(default = "yes")]
    pub enabled: Option<bool>,
    /// Whether it is masked: can not be started by anyone.
    #[serde(default)]
    pub masked: bool,
    /// Files, or directories whose files count, that the service reads only when it starts: it is restarted when it
    /// runs with older ones than are there.
    #[serde(default)]
    pub restart_on: Vec<AbsPath>,
    /// The same for what it reads again when it is told to reload.
    #[serde(default)]
    pub reload_on: Vec<AbsPath>,
}

fn yes() -> Option<bool> {
    Some(true)
}

impl Service {
    /// What it has to have read, and what makes it read that.
    fn loads(&self) -> Option<(Loaded, Verb)> {
        let (paths, verb) = if self.restart_on.is_empty() {
            (&self.reload_on, Verb::Reload)
        } else {
            (&self.restart_on, Verb::Restart)
        };
        let loaded = Loaded { unit: self.unit.clone(), paths: paths.clone() };
        (!paths.is_empty()).then_some((loaded, verb))
    }

    /// Starts it, and remembers what it has read if that matters.
    fn start(&self, before: &str) -> Change {
        match self.loads() {
            Some((loaded, _)) => Change::by(LoadUnit { loaded, verb: Verb::Start }).diff(Diff::value(
                self.unit.as_str(),
                before,
                "running",
            )),
            None => self.change(Verb::Start, before, "running"),
        }
    }

    /// Makes a service that runs read what it has not read yet.
    fn load(&self, machine: &Machine) -> Result<Option<Change>, Blocked> {
        let Some((loaded, verb)) = self.loads() else { return Ok(None) };
        if *machine.get(&loaded)? == LoadedState::Current {
            return Ok(None);
        }
        let diff = Diff::value(self.unit.as_str(), "runs with older settings", "has read what is there");
        Ok(Some(Change::by(LoadUnit { loaded, verb }).diff(diff)))
    }

    fn change(&self, verb: Verb, before: &str, after: &str) -> Change {
        let action = ControlUnit { unit: self.unit.clone(), verb };
        Change::by(Action::from(action)).diff(Diff::value(self.unit.as_str(), before, after))
    }

    fn mask(&self, state: &UnitState) -> Plan {
        let mut changes = Vec::new();
        if state.active != Active::Inactive && state.active != Active::Failed {
            changes.push(self.change(Verb::Stop, "running", "stopped"));
        }
        if !state.masked {
            changes.push(self.change(Verb::Mask, "not masked", "masked"));
        }
        Plan::changes(changes, "masked and not running")
    }
}

impl Resource for Service {
    const NAME: &'static str = "service";
    const EXAMPLE: &'static str = "unit = \"cron.service\"\nrunning = true\nenabled = true\n";

    fn check(&self, problems: &mut Problems) {
        if !self.restart_on.is_empty() && !self.reload_on.is_empty() {
            problems.push(
                "reload_on",
                "a restart reads all that a reload does",
                Some("name all paths in `restart_on`"),
            );
        }
        let runs = self.running == Some(true) && !self.masked;
        if !runs && self.loads().is_some() {
            problems.push(
                "",
                "a service that does not run reads nothing",
                Some("leave `restart_on` and `reload_on` out"),
            );
        }
    }

    fn facts(&self) -> Vec<Question> {
        let loaded = self.loads().map(|(loaded, _)| loaded.into());
        std::iter::once(Unit(self.unit.clone()).into()).chain(loaded).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&Unit(self.unit.clone()))?;
        if self.masked {
            return Ok(self.mask(state));
        }
        let wants = self.running == Some(true) || self.enabled == Some(true);
        if !state.exists {
            if !wants {
                return Ok(Plan::in_sync("there is no such unit"));
            }
            return Err(Blocked::refused(
                format!("there is no unit {}", self.unit),
                "install the package that brings it in an earlier task, or correct the name",
            ));
        }
        let mut changes = Vec::new();
        if state.masked && wants {
            // Whether it is enabled below the mask shows after that is gone; the task is then decided again.
            changes.push(self.change(Verb::Unmask, "masked", "not masked"));
            if self.running == Some(true) && state.active != Active::Active {
                changes.push(self.start("stopped"));
            }
            return Ok(Plan::changes(changes, ""));
        }
        if state.needs_daemon_reload {
            changes.push(Change::by(ReloadSystemd));
        }
        match (self.enabled, state.enabled) {
            (Some(true), Some(false)) => changes.push(self.change(Verb::Enable, "disabled", "enabled")),
            (Some(false), Some(true)) => changes.push(self.change(Verb::Disable, "enabled", "disabled")),
            _ => {}
        }
        match (self.running, state.active) {
            (Some(true), Active::Inactive) => changes.push(self.start("stopped")),
            (Some(true), Active::Failed) => changes.push(self.start("failed")),
            (Some(true), Active::Changing) => changes.push(self.start("between states")),
            (Some(true), Active::Active) => changes.extend(self.load(machine)?),
            (Some(false), Active::Active | Active::Changing) => {
                changes.push(self.change(Verb::Stop, "running", "stopped"));
            }
            _ => {}
        }
        Ok(Plan::changes(
            changes,
            format!(
                "{}, {}",
                if state.enabled == Some(false) { "disabled" } else { "enabled" },
                if state.active == Active::Active { "running" } else { "not running" }
            ),
        ))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let choice = || proptest::sample::select(vec![None, Some(true), Some(false)]);
        let paths = proptest::sample::subsequence(vec!["/etc/example/file"], 0..2);
        (choice(), choice(), any::<bool>(), paths, any::<bool>())
            .prop_map(|(running, enabled, masked, paths, reload)| Service {
                unit: UnitName::new("example.service").unwrap(),
                running,
                enabled,
                masked,
                restart_on: paths.iter().filter(|_| !reload).map(|path| AbsPath::new(*path).unwrap()).collect(),
                reload_on: paths.iter().filter(|_| reload).map(|path| AbsPath::new(*path).unwrap()).collect(),
            })
            .boxed()
    }
}
