//! Looking without a run: the facts of a host as they are saved, what it remembers of earlier runs, and plans made of saved facts with no host at all.
//! Nothing here changes a host.

use serde::{Deserialize, Serialize};

use super::host::Stop;
use super::record::{self, JournalEntry};
use super::{Job, Outcome, Run, Teller, probe, steps};
use crate::base::Exit;
use crate::base::event::{EventKind, Failure, Tally};
use crate::base::name::HostName;
use crate::machine::{Machine, Probe, System};
use crate::plan::{self, Task};
use crate::ssh::Target;

/// The version of [`SavedFacts`].
pub const FACTS_VERSION: u32 = 1;

/// What was true of a host when it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedFacts {
    /// [`FACTS_VERSION`].
    pub v: u32,
    /// The host.
    pub host: HostName,
    /// When, RFC 3339 in UTC.
    pub taken: String,
    /// The answers. Secrets and password hashes are in them as digests only.
    pub machine: Machine,
}

/// Asks a host everything that its tasks want to know, and nothing else. Errors: why there is no answer, and what the
/// process ends with.
pub async fn facts(job: &Job, run: &Run) -> Result<Machine, (Failure, Exit)> {
    facts_by(&job.target, &job.tasks, run).await
}

/// What the host remembers of earlier runs, oldest first. Errors: why there is no answer, and what the process ends with.
pub async fn journal(job: &Job, run: &Run) -> Result<Vec<JournalEntry>, (Failure, Exit)> {
    read_journal(job, run).await.map_err(|stop| (*stop.failure, stop.exit))
}

async fn read_journal(job: &Job, run: &Run) -> Result<Vec<JournalEntry>, Stop> {
    let connection = run.connector.connect(&job.target).await?;
    let mut shell = connection.shell().await?;
    let entries = record::read(&mut shell).await?;
    shell.close();
    connection.close().await;
    Ok(entries)
}

/// The same over a way in that is not the job's own.
pub async fn facts_by(target: &Target, tasks: &[Task], run: &Run) -> Result<Machine, (Failure, Exit)> {
    look(target, tasks, run).await.map_err(|stop| (*stop.failure, stop.exit))
}

async fn look(target: &Target, tasks: &[Task], run: &Run) -> Result<Machine, Stop> {
    let connection = run.connector.connect(target).await?;
    let mut shell = connection.shell().await?;
    let (machine, _) = probe::look_and_plan(&mut shell, tasks).await?;
    shell.close();
    connection.close().await;
    Ok(machine)
}

/// The script that asks a host everything, as it would be sent. Nothing is contacted.
pub fn probe_script(job: &Job) -> String {
    Probe::new(probe::questions(&job.tasks)).batch().show()
}

/// The scripts that an apply would send to a host whose facts are `machine`, up to what is known only once the first
/// of them has run. Each is a segment: plain ones first, guarded ones where they stand.
pub fn action_scripts(job: &Job, machine: &Machine) -> Vec<String> {
    let plan = plan::plan(&job.tasks, machine);
    plan.segments().iter().map(|segment| steps::batch(segment.steps()).show()).collect()
}

/// Plans every host on its saved facts and tells it as a check is told, from `RunStarted` to `RunFinished`. Gives what
/// the process ends with.
pub async fn check(hosts: &[(&Job, &Machine)], run: &Run) -> Exit {
    let whole = Teller::new(run, None);
    whole
        .tell(EventKind::RunStarted {
            command: "check".into(),
            version: run.version.clone(),
            hosts: hosts.iter().map(|(job, _)| job.target.name.clone()).collect(),
            arguments: run.arguments.clone(),
        })
        .await;
    let mut total = Outcome { tally: Tally::default(), exit: Exit::Done };
    for (job, machine) in hosts {
        let outcome = check_one(job, machine, run).await;
        total = Outcome { tally: total.tally.plus(outcome.tally), exit: total.exit.worst(outcome.exit) };
    }
    whole.tell(EventKind::RunFinished { tally: total.tally, exit: total.exit }).await;
    total.exit
}

async fn check_one(job: &Job, machine: &Machine, run: &Run) -> Outcome {
    let host = Teller::new(run, Some(&job.target.name));
    let system = machine.known(&System::Here).map(|system| system.title()).unwrap_or_default();
    host.tell(EventKind::ProbeFinished { system, facts: machine.questions().len(), took_ms: 0 }).await;
    let plan = plan::plan(&job.tasks, machine);
    let mut tally = Tally { findings: plan.findings.len(), ..Tally::default() };
    let exit = if let Some(missing) = plan.needs.first() {
        tally.failed = 1;
        host.tell(EventKind::HostFailed(Failure {
            what: format!("the saved facts do not say all that the tasks ask: {missing:?} is missing"),
            help: Some("save them anew with `bedplate facts --json` and the same playbooks and settings".into()),
            ..Failure::default()
        }))
        .await;
        Exit::BadInput
    } else {
        plan.tasks.iter().for_each(|task| tally.count(task.shown.verdict));
        let tasks = plan.tasks.iter().map(|task| task.shown.clone()).collect();
        host.tell(EventKind::Planned { tasks, findings: plan.findings.clone() }).await;
        let strict = run.strict && !plan.findings.is_empty();
        match plan.refused() {
            Some(_) => Exit::HostFailed,
            None if plan.is_in_sync() && !strict => Exit::Done,
            None => Exit::Drift,
        }
    };
    host.tell(EventKind::HostFinished { tally, exit }).await;
    Outcome { tally, exit }
}
