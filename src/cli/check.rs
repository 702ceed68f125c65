//! `bedplate check`: what would change.

use super::arguments::{Check, Output};
use super::{Failed, prepare};
use crate::base::Exit;

/// Runs the command.
pub(super) fn run(command: &Check, output: &Output) -> Result<Exit, Failed> {
    super::runtime()?.block_on(async {
        if let Some(facts) = &command.facts {
            return prepare::check_saved(facts, &command.selection, output, command.strict).await;
        }
        let jobs = prepare::read(&command.selection).await?;
        if command.selection.show_script {
            return Ok(prepare::show_probe(&jobs));
        }
        let manner = prepare::Manner { strict: command.strict, ..prepare::Manner::look("check") };
        prepare::run(jobs, &command.selection, output, &manner).await
    })
}
