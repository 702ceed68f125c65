//! Many hosts: each in a task of its own, so many at once, and the worst end counts.

use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::{Job, Outcome, Run, Teller, host};
use crate::base::Exit;
use crate::base::event::{EventKind, Failure, Tally};
use crate::base::name::HostName;

/// Runs every job and tells the whole as events, from `RunStarted` to `RunFinished`. Gives what the process ends with.
pub async fn run(jobs: Vec<Job>, run: Run, command: &str) -> Exit {
    let teller = Teller::new(&run, None);
    let hosts: Vec<HostName> = jobs.iter().map(|job| job.target.name.clone()).collect();
    teller
        .tell(EventKind::RunStarted {
            command: command.to_owned(),
            version: run.version.clone(),
            hosts,
            arguments: run.arguments.clone(),
        })
        .await;
    let mut working = JoinSet::new();
    let mut names = std::collections::BTreeMap::new();
    for job in jobs {
        let run = run.clone();
        let name = job.target.name.clone();
        let handle = {
            let span = tracing::info_span!("host", %name);
            working.spawn(async move { host::work(job, &run).await }.instrument(span))
        };
        names.insert(handle.id(), name);
    }
    let mut total = Outcome { tally: Tally::default(), exit: Exit::Done };
    while let Some(ended) = working.join_next_with_id().await {
        let outcome = match ended {
            Ok((_, outcome)) => outcome,
            Err(died) => told_as_died(&run, names.get(&died.id())).await,
        };
        total.tally = total.tally.plus(outcome.tally);
        total.exit = total.exit.worst(outcome.exit);
    }
    if run.stop.is_cancelled() {
        total.exit = Exit::Interrupted;
    }
    teller.tell(EventKind::RunFinished { tally: total.tally, exit: total.exit }).await;
    total.exit
}

/// A panic in one host's task must not take the others down, and must not pass for success.
async fn told_as_died(run: &Run, name: Option<&HostName>) -> Outcome {
    let teller = Teller::new(run, name);
    let outcome = Outcome { tally: Tally { failed: 1, ..Tally::default() }, exit: Exit::HostFailed };
    teller
        .tell(EventKind::HostFailed(Failure {
            what: "bedplate itself failed on this host".into(),
            help: Some("this is a mistake in bedplate: please report it with the output of `--log`".into()),
            ..Failure::default()
        }))
        .await;
    run.consent.passed().await;
    teller.tell(EventKind::HostFinished { tally: outcome.tally, exit: outcome.exit }).await;
    outcome
}
