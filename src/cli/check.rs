//! `bedplate check`: what would change.

use super::arguments::{Check, Output};
use super::{Failed, prepare};
use crate::base::Exit;

/// Runs the command.
pub(super) fn run(command: &Check, output: &Output) -> Result<Exit, Failed> {
    if let Some(facts) = &command.facts {
        return super::runtime()?.block_on(prepare::check_saved(facts, &command.selection, output, command.strict));
    }
    let jobs = prepare::read(&command.selection)?;
    if command.selection.show_script {
        return Ok(prepare::show_probe(&jobs));
    }
    let manner = prepare::Manner { strict: command.strict, ..prepare::Manner::look("check") };
    super::runtime()?.block_on(prepare::run(jobs, &command.selection, output, &manner))
}
