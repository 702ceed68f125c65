//! `bedplate undo`: what a run has changed, taken back.

use std::time::Duration;

use super::arguments::{Output, Rollout, Selection, Undo};
use super::{Failed, prepare};
use crate::base::Exit;
use crate::engine::{Mode, Review, undo};

/// Runs the command.
pub(super) fn run(command: &Undo, output: &Output) -> Result<Exit, Failed> {
    if let Some(run) = &command.run
        && !run.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Err(Failed::input(format!("`{run}` is no name of a run")).help("`bedplate history` names the runs"));
    }
    let selection = Selection {
        hosts: vec![command.host.clone()],
        successor: None,
        inventory: command.inventory.clone(),
        destination: command.destination.clone(),
        limit: Vec::new(),
        shard: None,
        tags: Vec::new(),
        skip_tags: Vec::new(),
        set: command.set.clone(),
        login: command.login.clone(),
        parallel: 1,
        show_script: false,
    };
    let manner = prepare::Manner {
        command: "undo",
        mode: if command.check { Mode::Check } else { Mode::Apply },
        strict: false,
        window: Duration::from_secs(command.window),
        ask_first: !command.yes && !command.check,
        rollout: Rollout::default(),
        review: Review::None,
        file: None,
    };
    super::runtime()?.block_on(async {
        let jobs = prepare::read(&selection).await?;
        let wanted = command.run.clone();
        let looks = command.check;
        prepare::drawn(jobs, &selection, output, &manner, |mut jobs, mut run| {
            Box::pin(async move {
                run.arguments.extend(wanted.clone());
                run.arguments.extend(looks.then(|| "--check".to_owned()));
                match jobs.pop() {
                    Some(job) => undo::run(job, run, wanted.as_deref()).await,
                    None => Exit::BadInput,
                }
            })
        })
        .await
    })
}
