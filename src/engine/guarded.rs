//! Guarded segments.

use super::host::{Stop, Work};
use crate::base::Exit;
use crate::machine::Machine;
use crate::plan::{HostPlan, Step};
use crate::ssh::{Connection, HeldShell};

impl Work<'_> {
    /// Runs steps that can cut access.
    pub(super) async fn guarded(
        &mut self,
        _connection: &Connection,
        _shell: &mut HeldShell,
        _before: &Machine,
        _plan: &HostPlan,
        _steps: &[Step],
        _counted: (usize, usize),
    ) -> Result<(), Stop> {
        Err(Stop::new(Exit::HostFailed, "the guard can not be armed", None))
    }
}
