//! `bedplate apply`: shows the plan, does it, proves it.

use std::time::Duration;

use super::arguments::{Apply, Output};
use super::{Failed, plan_file, prepare};
use crate::base::Exit;
use crate::engine::{Mode, Review};

/// Runs the command.
pub(super) fn run(command: &Apply, output: &Output) -> Result<Exit, Failed> {
    let mut manner = prepare::Manner {
        command: "apply",
        mode: Mode::Apply,
        strict: command.strict,
        window: Duration::from_secs(command.window),
        ask_first: !command.yes,
        rollout: command.rollout.clone(),
        review: Review::None,
        file: command.plan.as_deref().map(|path| ("--plan", path.to_owned())),
    };
    super::runtime()?.block_on(async {
        let jobs = prepare::read(&command.selection).await?;
        if command.selection.show_script {
            return prepare::show_actions(&jobs, &command.selection).await;
        }
        if let Some(path) = &command.plan {
            manner.review = Review::Hold(plan_file::read(path, &jobs, &command.selection)?);
        }
        prepare::run(jobs, &command.selection, output, &manner).await
    })
}
