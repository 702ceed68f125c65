//! A service that loads its configuration.

use serde::{Deserialize, Serialize};

use super::unit::Verb;
use super::{ACTION, Access, Act, Undo, reach};
use crate::base::name::AbsPath;
use crate::machine::loaded::{LOADED, Loaded, LoadedState};
use crate::machine::unit::Active;
use crate::machine::{Machine, Unit};
use crate::shell::{Call, Library};

static SERVICE: Library = Library { name: "service.sh", text: include_str!("service.sh"), needs: &[&ACTION, &LOADED] };

/// Starts, restarts or reloads a unit, and remembers on the host what it has read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadUnit {
    /// The unit and its configuration.
    pub loaded: Loaded,
    /// Start, restart or reload.
    pub verb: Verb,
}

impl Act for LoadUnit {
    fn summary(&self) -> String {
        let verb = if self.verb == Verb::Reload { "reload" } else { self.verb.word() };
        format!("{verb} {}", self.loaded.unit)
    }

    fn call(&self) -> Call {
        Call::new(&SERVICE, "service_load")
            .arg(self.verb.word())
            .arg(&self.loaded.unit)
            .arg(self.loaded.key())
            .args(self.loaded.paths.iter().map(AbsPath::as_str))
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&Unit(self.loaded.unit.clone()), |state| state.active = Active::Active);
        machine.update(&self.loaded, |state| *state = LoadedState::Current);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("what a service has read it does not forget")
    }

    fn access(&self) -> Option<Access> {
        reach::of_unit(&self.loaded.unit)
    }
}
