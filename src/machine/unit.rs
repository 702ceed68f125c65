//! systemd units as the running systemd has them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Question, Slot, file};
use crate::base::name::UnitName;
use crate::shell::{Call, Library};

static UNIT: Library = Library { name: "unit.sh", text: include_str!("unit.sh"), needs: &[] };

/// How is this unit?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unit(pub UnitName);

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Whether systemd knows a unit of this name (or an alias of one).
    pub exists: bool,
    /// Whether it is masked, for good or until the next boot.
    pub masked: bool,
    /// Whether it starts at boot; `None` for units that nothing can enable (static, generated).
    pub enabled: Option<bool>,
    /// How it runs.
    pub active: Active,
    /// Whether its files changed since systemd read them.
    pub needs_daemon_reload: bool,
}

/// How a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Active {
    /// Running (or, for one that runs once, has run well).
    Active,
    /// Not running.
    Inactive,
    /// Ended badly.
    Failed,
    /// On its way up or down.
    Changing,
}

impl UnitState {
    /// A unit that systemd does not know.
    pub fn absent() -> Self {
        Self { exists: false, masked: false, enabled: None, active: Active::Inactive, needs_daemon_reload: false }
    }

    /// A unit as a package leaves it on Debian: enabled and running.
    pub fn running() -> Self {
        Self { exists: true, masked: false, enabled: Some(true), active: Active::Active, needs_daemon_reload: false }
    }
}

impl Fact for Unit {
    type Answer = UnitState;
    const COST: u32 = 10;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&UNIT, "unit_probe").args(questions.iter().map(|unit| unit.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<UnitState>, BadAnswer> {
        let nowhere: BTreeSet<&str> = fields.text()?.lines().collect();
        let mut blocks = fields.text()?.split("\n\n").filter(|block| !block.trim().is_empty());
        let silent = || BadAnswer("systemd does not answer (`systemctl show` failed)".into());
        let states = questions.iter().map(|unit| match nowhere.contains(unit.0.as_str()) {
            true => Ok(UnitState::absent()),
            false => blocks.next().map(state).ok_or_else(silent),
        });
        let states = states.collect::<Result<Vec<_>, _>>()?;
        if blocks.next().is_some() { Err(silent()) } else { Ok(states) }
    }

    fn derives_from(&self, other: &Question) -> bool {
        // A unit file or drop-in of this very unit; whoever writes one and reloads systemd sets the unit too.
        file::is_below(other, &format!("/etc/systemd/system/{}", self.0))
            || file::is_below(other, &format!("/etc/systemd/system/{}.d", self.0))
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<UnitState> {
        use proptest::prelude::*;
        let active = proptest::sample::select(vec![Active::Active, Active::Inactive, Active::Failed, Active::Changing]);
        let enabled = proptest::sample::select(vec![Some(true), Some(false), None]);
        let present =
            (any::<bool>(), enabled, active, any::<bool>()).prop_map(|(masked, enabled, active, reload)| UnitState {
                exists: true,
                masked,
                enabled: if masked { Some(false) } else { enabled },
                active,
                needs_daemon_reload: reload,
            });
        prop_oneof![1 => Just(UnitState::absent()), 5 => present].boxed()
    }
}

/// One paragraph of `systemctl show`.
fn state(block: &str) -> UnitState {
    let value =
        |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
    let file_state = value("UnitFileState");
    let masked = value("LoadState") == "masked" || file_state.starts_with("masked");
    UnitState {
        exists: value("LoadState") != "not-found",
        masked,
        enabled: match file_state {
            "enabled" | "enabled-runtime" | "alias" | "linked" | "linked-runtime" => Some(true),
            "disabled" | "masked" | "masked-runtime" => Some(false),
            "indirect" => Some(false),
            _ => None,
        },
        active: match value("ActiveState") {
            "active" => Active::Active,
            "failed" => Active::Failed,
            "inactive" => Active::Inactive,
            _ => Active::Changing,
        },
        needs_daemon_reload: value("NeedDaemonReload") == "yes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_systemd_says() {
        let names = ["ssh.service", "nothing.service", "nowhere.service", "ufw.service"];
        let names = names.map(|name| Unit(UnitName::new(name).unwrap()));
        let body =
            b"nowhere.service\n\0LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n\n\
            LoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no\n\n\
            LoadState=masked\nActiveState=failed\nUnitFileState=masked\nNeedDaemonReload=yes\n\0";
        let states = Unit::parse(&names.iter().collect::<Vec<_>>(), &mut Fields::new(body)).unwrap();
        assert_eq!(states[0], UnitState::running());
        assert_eq!(states[1], UnitState::absent());
        assert_eq!(states[2], UnitState::absent());
        assert!(states[3].masked && states[3].active == Active::Failed && states[3].needs_daemon_reload);
        for silence in [b"\0\0".as_slice(), b"nowhere.service\n\0LoadState=loaded\n\0", b"\0"] {
            assert!(Unit::parse(&names.iter().collect::<Vec<_>>(), &mut Fields::new(silence)).is_err());
        }
    }
}
