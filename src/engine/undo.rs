//! Undoing: what a host keeps of a run becomes a job like any other, so that it is planned, shown, asked about, guarded,
//! proved and written down as an apply is.

use super::host::{Stop, Work};
use super::{Job, Run, Teller, record};
use crate::base::event::{EventKind, Tally};
use crate::base::{Digest, Exit};
use crate::plan::undo;

/// Takes `wanted` back on the host of `job`, or its last run, and tells it from `RunStarted` to `RunFinished`. The tasks
/// of `job` only help to find the way in. Gives what the process ends with.
pub async fn run(job: Job, run: Run, wanted: Option<&str>) -> Exit {
    let name = job.target.name.clone();
    let job = match find(job, &run, wanted).await {
        Ok(job) => job,
        Err(stop) => {
            let (host, whole) = (Teller::new(&run, Some(&name)), Teller::new(&run, None));
            let started = EventKind::RunStarted {
                command: undo::PLAYBOOK.into(),
                version: run.version.clone(),
                hosts: vec![name],
                arguments: run.arguments.clone(),
            };
            let tally = Tally { failed: 1, ..Tally::default() };
            whole.tell(started).await;
            host.tell(EventKind::HostFailed(*stop.failure)).await;
            host.tell(EventKind::HostFinished { tally, exit: stop.exit }).await;
            whole.tell(EventKind::RunFinished { tally, exit: stop.exit }).await;
            return stop.exit;
        }
    };
    super::run(vec![job], run, undo::PLAYBOOK).await
}

/// The job that takes a run back.
async fn find(job: Job, run: &Run, wanted: Option<&str>) -> Result<Job, Stop> {
    let work = Work::new(job, run);
    let mut line = work.come_in().await?;
    let kept = record::kept(&mut line.shell, wanted).await;
    let target = line.target.clone();
    line.close().await;
    let Some(kept) = kept? else {
        let what = match wanted {
            Some(run) => format!("the host keeps nothing of a run {run} that could be undone"),
            None => "the host keeps nothing of any run that could be undone".to_owned(),
        };
        let help = "`bedplate history` names the runs; of each host the last ten that changed anything are kept";
        let mut stop = Stop::new(Exit::BadInput, what, Some(help.into()));
        stop.failure.state = Some("nothing was changed".into());
        return Err(stop);
    };
    let playbooks = Digest::of(&kept.run);
    Ok(Job { target, tasks: undo::tasks(&kept.run, kept.steps), playbooks })
}
