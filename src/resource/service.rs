//! A systemd unit that must run, or must not.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Resource};
use crate::action::unit::Verb;
use crate::action::{Action, ControlUnit, ReloadSystemd};
use crate::base::Diff;
use crate::base::name::UnitName;
use crate::machine::unit::Active;
use crate::machine::{Blocked, Machine, Question, Unit, UnitState};

/// A systemd unit: whether it runs, starts at boot, or is masked.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit with its suffix, such as `docker.service`.
    pub unit: UnitName,
    /// Whether it runs now. Leave it out to not care.
    #[serde(default = "yes")]
    pub running: Option<bool>,
    /// Whether it starts at boot. Leave it out to not care.
    #[serde(default = "yes")]
    pub enabled: Option<bool>,
    /// Whether it is masked: can not be started by anyone.
    #[serde(default)]
    pub masked: bool,
}

fn yes() -> Option<bool> {
    Some(true)
}

impl Service {
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

    fn facts(&self) -> Vec<Question> {
        vec![Unit(self.unit.clone()).into()]
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
            // What the mask hides shows after it is gone; the task is then decided again.
            return Ok(Plan::changes(vec![self.change(Verb::Unmask, "masked", "not masked")], ""));
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
            (Some(true), Active::Inactive) => changes.push(self.change(Verb::Start, "stopped", "running")),
            (Some(true), Active::Failed) => changes.push(self.change(Verb::Start, "failed", "running")),
            (Some(true), Active::Changing) => changes.push(self.change(Verb::Start, "between states", "running")),
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
        (choice(), choice(), any::<bool>())
            .prop_map(|(running, enabled, masked)| Service {
                unit: UnitName::new("example.service").unwrap(),
                running,
                enabled,
                masked,
            })
            .boxed()
    }
}
