//! What is wrong with a host at large: units that failed, packages that are neither installed nor gone.

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, Volatile};
use crate::shell::{Call, Library};

static HEALTH: Library = Library { name: "health.sh", text: include_str!("health.sh"), needs: &[] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// This host.
    Here,
}

/// What is wrong. It comes and goes by itself, so that nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthState {
    /// Units that systemd calls failed.
    pub failed_units: Volatile<Vec<String>>,
    /// Packages that dpkg has unpacked but not configured, or the like.
    pub half_installed: Volatile<Vec<String>>,
}

impl Fact for Health {
    type Answer = HealthState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&HEALTH, "health_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<HealthState>, BadAnswer> {
        let mut lines = || Ok(Volatile::new(fields.text()?.lines().map(str::to_owned).collect()));
        Ok(vec![HealthState { failed_units: lines()?, half_installed: lines()? }])
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<HealthState> {
        use proptest::prelude::*;
        let names = || proptest::sample::subsequence(vec!["one", "two"], 0..3);
        (names(), names())
            .prop_map(|(units, packages)| HealthState {
                failed_units: Volatile::new(units.iter().map(|name| format!("{name}.service")).collect()),
                half_installed: Volatile::new(packages.iter().map(|name| (*name).to_owned()).collect()),
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_answer() {
        let state = Health::parse(&[&Health::Here], &mut Fields::new(b"a.service\nb.timer\0\0")).unwrap().remove(0);
        assert_eq!(state.failed_units.reading(), &["a.service", "b.timer"]);
        assert!(state.half_installed.reading().is_empty());
    }
}
