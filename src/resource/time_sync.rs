//! The clock that is kept right.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Resource};
use crate::action::unit::Verb;
use crate::action::{Action, ControlUnit, InstallPackages};
use crate::base::name::{PackageName, UnitName};
use crate::machine::unit::Active;
use crate::machine::{Blocked, Machine, Package, Question, System, Unit, UnitState};

/// A service keeps the clock right: the one that is there (chrony, NTPsec, systemd-timesyncd …), or systemd-timesyncd,
/// which is then installed. A second one is never put beside the first.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeSync {}

const SERVICES: [&str; 5] =
    ["chrony.service", "ntpsec.service", "ntp.service", "openntpd.service", "systemd-timesyncd.service"];
const DEFAULT: &str = "systemd-timesyncd";

fn units() -> impl Iterator<Item = Unit> {
    SERVICES.into_iter().filter_map(|name| UnitName::new(name).ok()).map(Unit)
}

fn package() -> Option<PackageName> {
    PackageName::new(DEFAULT).ok()
}

impl TimeSync {
    /// What makes `unit` run, now and at boot.
    fn run(unit: &Unit, state: &UnitState) -> Vec<Change> {
        let change = |verb| Change::by(Action::from(ControlUnit { unit: unit.0.clone(), verb }));
        let mut changes = Vec::new();
        if state.masked {
            // Whether it is enabled below the mask shows once that is gone.
            changes.push(change(Verb::Unmask));
        } else if state.enabled == Some(false) {
            changes.push(change(Verb::Enable));
        }
        if state.active != Active::Active {
            changes.push(change(Verb::Start));
        }
        changes
    }
}

impl Resource for TimeSync {
    const NAME: &'static str = "time_sync";
    const EXAMPLE: &'static str = "";

    fn facts(&self) -> Vec<Question> {
        let package = package().map(|name| Package(name).into());
        units().map(Question::from).chain(package).chain([System::Here.into()]).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        if !machine.get(&System::Here)?.container.is_empty() {
            return Ok(Plan::skipped("the clock of a container is its host's"));
        }
        let mut found: Vec<(Unit, &UnitState)> = Vec::new();
        for unit in units() {
            let state = machine.get(&unit)?;
            if state.exists {
                found.push((unit, state));
            }
        }
        // One that runs counts before one that should, and that before one that is there at all.
        found.sort_by_key(|(_, state)| (state.active != Active::Active, state.masked, state.enabled != Some(true)));
        if let Some((unit, state)) = found.first() {
            return Ok(Plan::changes(Self::run(unit, state), format!("{} keeps it right", unit.0)));
        }
        match package() {
            Some(name) if !machine.get(&Package(name.clone()))?.is_installed() => {
                let action = InstallPackages { packages: BTreeSet::from([name]), recommends: false };
                Ok(Plan::changes(vec![Change::by(action)], ""))
            }
            _ => Err(Blocked::refused(
                format!("{DEFAULT} is installed but has no unit"),
                "run `systemctl daemon-reload` on the host, or install the package again",
            )),
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Just(TimeSync {}).boxed()
    }
}
