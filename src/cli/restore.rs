//! `bedplate restore`: a backup into a host.

use std::sync::Arc;

use super::arguments::{Output, Restore, Selection};
use super::{Failed, prepare};
use crate::base::Exit;
use crate::engine::Job;
use crate::migrate::Means;
use crate::migrate::backup::put;

/// Runs the command.
pub(super) fn run(command: &Restore, output: &Output) -> Result<Exit, Failed> {
    super::runtime()?.block_on(async {
        let selection = Selection::of_host(&command.to, command.inventory.clone(), command.login.clone());
        let jobs = prepare::read(&selection).await?;
        let [job] = jobs.jobs.as_slice() else {
            return Err(Failed::input("name one host to restore to, not a group of them"));
        };
        let restore = put::Restore {
            host: job.target.clone(),
            from: command.backup.clone(),
            only: command.only.clone(),
            overwrite: command.overwrite,
            remove_old: command.remove_old,
            means: Means::containers(command.stop_timeout, None),
            dry_run: command.dry_run,
            stamp: jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string(),
        };
        let restore = Arc::new(restore);
        let work =
            |_: Vec<Job>, run| -> futures::future::BoxFuture<'static, Exit> { Box::pin(put::restore(restore, run)) };
        prepare::drawn(jobs, &selection, output, &prepare::Manner::look("restore"), work).await
    })
}
