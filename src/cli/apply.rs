//! `bedplate apply`: shows the plan, does it, proves it.

use std::time::Duration;

use super::arguments::{Apply, Output};
use super::{Failed, prepare};
use crate::base::Exit;
use crate::engine::Mode;

/// Runs the command.
pub(super) fn run(command: &Apply, output: &Output) -> Result<Exit, Failed> {
    let manner = prepare::Manner {
        command: "apply",
        mode: Mode::Apply,
        strict: command.strict,
        window: Duration::from_secs(command.window),
        ask_first: !command.yes,
    };
    super::runtime()?.block_on(async {
        let jobs = prepare::read(&command.selection).await?;
        if command.selection.show_script {
            return prepare::show_actions(&jobs, &command.selection).await;
        }
        prepare::run(jobs, &command.selection, output, &manner).await
    })
}
