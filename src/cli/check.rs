//! `bedplate check`: what would change.

use super::arguments::{Check, Output, Rollout};
use super::plan_file::Saving;
use super::{Failed, prepare};
use crate::base::Exit;
use crate::engine::Review;

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
        let saving = command.save.as_deref().map(|path| Saving::begin(path, &jobs, &command.selection)).transpose()?;
        let manner = prepare::Manner {
            strict: command.strict,
            rollout: Rollout { tolerance: command.tolerance.clone(), ..Rollout::default() },
            review: saving.as_ref().map_or(Review::None, |saving| Review::Gather(saving.sheet.clone())),
            file: command.save.as_deref().map(|path| ("--save", path.to_owned())),
            ..prepare::Manner::look("check")
        };
        let exit = prepare::run(jobs, &command.selection, output, &manner).await?;
        if let Some(saving) = saving {
            saving.finish(exit)?;
        }
        Ok(exit)
    })
}
