//! The held shell on this machine, for tests and for what is to be done here.

use tokio::process::Command;

use super::held::HeldShell;
use super::wire::Wire;

/// A held `sh` on this machine, as the user that bedplate runs as. It is killed when it is dropped.
/// Errors: there is no `sh`.
pub fn shell() -> std::io::Result<HeldShell> {
    Ok(HeldShell::new(Wire::over_process(Command::new("sh"))?))
}
