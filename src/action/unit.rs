//! systemd units.

use serde::{Deserialize, Serialize};

use super::{ACTION, Access, Act, Undo, reach};
use crate::base::name::UnitName;
use crate::machine::unit::Active;
use crate::machine::{Machine, Unit, UnitState};
use crate::shell::Call;

/// One verb of `systemctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// At boot from now on.
    Enable,
    /// No longer at boot.
    Disable,
    /// Not at all, whoever asks.
    Mask,
    /// No longer masked.
    Unmask,
    /// Now.
    Start,
    /// Now no longer.
    Stop,
    /// Down and up again.
    Restart,
    /// Read the configuration again; a unit that can not do that is restarted.
    Reload,
}

impl Verb {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verb::Enable => "enable",
            Verb::Disable => "disable",
            Verb::Mask => "mask",
            Verb::Unmask => "unmask",
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload-or-restart",
        }
    }

    fn opposite(self) -> Option<Verb> {
        match self {
            Verb::Enable => Some(Verb::Disable),
            Verb::Disable => Some(Verb::Enable),
            Verb::Mask => Some(Verb::Unmask),
            Verb::Unmask => Some(Verb::Mask),
            Verb::Start => Some(Verb::Stop),
            Verb::Stop => Some(Verb::Start),
            Verb::Restart | Verb::Reload => None,
        }
    }
}

/// Enables, starts, restarts … one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlUnit {
    /// Which.
    pub unit: UnitName,
    /// What to do.
    pub verb: Verb,
}

impl Act for ControlUnit {
    fn summary(&self) -> String {
        let verb = if self.verb == Verb::Reload { "reload" } else { self.verb.word() };
        format!("{verb} {}", self.unit)
    }

    fn call(&self) -> Call {
        Call::new(&ACTION, "action_units").arg(self.verb.word()).arg(&self.unit)
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&Unit(self.unit.clone()), |state| match self.verb {
            Verb::Enable => state.enabled = Some(true),
            Verb::Disable => state.enabled = Some(false),
            Verb::Mask => {
                state.masked = true;
                state.enabled = Some(false);
            }
            Verb::Unmask => {
                state.masked = false;
                state.exists = true;
            }
            Verb::Start | Verb::Restart | Verb::Reload => state.active = Active::Active,
            Verb::Stop => state.active = Active::Inactive,
        });
        // What enabling state a mask has hidden shows only once it is gone.
        if self.verb == Verb::Unmask {
            machine.forget(&Unit(self.unit.clone()));
        }
    }

    fn undo(&self, before: &Machine) -> Undo {
        let Ok(state) = before.get(&Unit(self.unit.clone())) else {
            return Undo::Impossible("the unit's state of before is not known");
        };
        match self.verb.opposite() {
            Some(_) if self.is_no_change(state) => Undo::By(Vec::new()),
            Some(_) if matches!(state.active, Active::Failed | Active::Changing) => {
                Undo::Impossible("the unit was failed or between states, and is not brought back to that")
            }
            Some(verb) => Undo::By(vec![ControlUnit { unit: self.unit.clone(), verb }.into()]),
            None => Undo::By(Vec::new()),
        }
    }

    fn access(&self) -> Option<Access> {
        reach::of_unit(&self.unit)
    }
}

impl ControlUnit {
    fn is_no_change(&self, before: &UnitState) -> bool {
        match self.verb {
            Verb::Enable => before.enabled == Some(true),
            Verb::Disable => before.enabled == Some(false),
            Verb::Mask => before.masked,
            Verb::Unmask => !before.masked,
            Verb::Start => before.active == Active::Active,
            Verb::Stop => before.active == Active::Inactive,
            Verb::Restart | Verb::Reload => true,
        }
    }
}

/// Makes systemd read its unit files again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReloadSystemd;

impl Act for ReloadSystemd {
    fn summary(&self) -> String {
        "make systemd read its unit files again".into()
    }

    fn call(&self) -> Call {
        Call::new(&ACTION, "action_daemon_reload")
    }

    fn effect(&self, machine: &mut Machine) {
        let stale: Vec<Unit> = machine
            .all::<Unit>()
            .filter(|(_, state)| state.is_some_and(|state| state.needs_daemon_reload))
            .map(|(unit, _)| unit.clone())
            .collect();
        for unit in stale {
            machine.update(&unit, |state| state.needs_daemon_reload = false);
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("systemd does not forget what it has read")
    }

    fn merge(&mut self, _: &Self) -> bool {
        true
    }
}
