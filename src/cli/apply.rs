//! `bedplate apply`: shows the plan, does it, proves it.

use std::time::Duration;

use super::arguments::{Apply, Output};
use super::{Failed, prepare};
use crate::base::Exit;
use crate::engine::Mode;

/// Runs the command.
pub(super) fn run(command: &Apply, output: &Output) -> Result<Exit, Failed> {
    let jobs = prepare::read(&command.selection)?;
    if command.selection.show_script {
        return super::runtime()?.block_on(prepare::show_actions(&jobs, &command.selection));
    }
    let manner = prepare::Manner {
        command: "apply",
        mode: Mode::Apply,
        strict: command.strict,
        window: Duration::from_secs(command.window),
        ask_first: !command.yes,
    };
    super::runtime()?.block_on(prepare::run(jobs, &command.selection, output, &manner))
}
