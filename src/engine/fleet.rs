//! Many hosts: batch by batch, each host in a task of its own, so many at once, and the worst end counts.

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
    let batches = run.rollout.batches(jobs.len());
    let mut jobs = jobs.into_iter();
    let mut total = Outcome { tally: Tally::default(), exit: Exit::Done };
    for (number, size) in batches.iter().enumerate() {
        let batch: Vec<Job> = jobs.by_ref().take(*size).collect();
        if batches.len() > 1 && run.rollout.stopped().is_none() {
            let text = format!("batch {} of {}: {}", number + 1, batches.len(), listed(&batch));
            teller.tell(EventKind::Note { text }).await;
        }
        // Each batch is asked about on its own: what becomes of the first decides on the others.
        let run = Run { consent: run.consent.anew(batch.len()), ..run.clone() };
        let outcome = together(batch, &run).await;
        total = Outcome { tally: total.tally.plus(outcome.tally), exit: total.exit.worst(outcome.exit) };
    }
    if run.stop.is_cancelled() {
        total.exit = Exit::Interrupted;
    }
    teller.tell(EventKind::RunFinished { tally: total.tally, exit: total.exit }).await;
    total.exit
}

/// Names of a batch's hosts, as many as one reads.
fn listed(batch: &[Job]) -> String {
    const MOST: usize = 5;
    let names: Vec<&str> = batch.iter().take(MOST).map(|job| job.target.name.as_str()).collect();
    let more = batch.len().saturating_sub(MOST);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

/// Works on the hosts of one batch until every one is done with.
async fn together(jobs: Vec<Job>, run: &Run) -> Outcome {
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
            Err(died) => told_as_died(run, names.get(&died.id())).await,
        };
        total.tally = total.tally.plus(outcome.tally);
        total.exit = total.exit.worst(outcome.exit);
    }
    total
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
    run.rollout.ended(outcome.exit);
    teller.tell(EventKind::HostFinished { tally: outcome.tally, exit: outcome.exit }).await;
    outcome
}
