//! `bedplate backup`: the data of a host into a folder here.

use std::sync::Arc;

use super::arguments::{Backup, Output};
use super::{Failed, prepare, ready};
use crate::base::Exit;
use crate::engine::Job;
use crate::migrate::Means;
use crate::migrate::backup::make;

/// Runs the command.
pub(super) fn run(command: &Backup, output: &Output) -> Result<Exit, Failed> {
    super::no_script(&command.selection, "backup")?;
    super::runtime()?.block_on(async {
        let asked = ready::asked(&command.selection).await?;
        prepare::warn(&asked.warnings);
        let [job] = asked.jobs.jobs.as_slice() else {
            let help = "such as `bedplate backup root@203.0.113.5 --to backups`; give each host a run of its own";
            return Err(Failed::input("name one host to back up").help(help));
        };
        let now = jiff::Timestamp::now();
        let backup = make::Backup {
            host: job.target.clone(),
            user: asked.users().first().cloned().unwrap_or_else(|| "root".to_owned()),
            groups: asked.jobs.read.hosts.first().map(|host| host.groups.clone()).unwrap_or_default(),
            deploy: asked.app.deploy,
            also: command.also.clone(),
            skip: command.skip.clone(),
            to: command.to.clone().unwrap_or_default(),
            keep: command.keep.map(usize::from),
            stop: command.stop,
            means: Means::containers(command.stop_timeout, command.dump.clone()),
            dry_run: command.dry_run,
            start: command.start,
            taken: (now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), now.strftime("%Y%m%d-%H%M%S").to_string()),
        };
        let backup = Arc::new(backup);
        let work =
            |_: Vec<Job>, run| -> futures::future::BoxFuture<'static, Exit> { Box::pin(make::backup(backup, run)) };
        prepare::drawn(asked.jobs, &command.selection, output, &prepare::Manner::look("backup"), work).await
    })
}
