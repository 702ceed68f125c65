//! Looking: one exchange that asks everything.

use std::collections::BTreeSet;

use super::guard::{self, Standing};
use crate::machine::{BadAnswer, Machine, Probe, Question, System};
use crate::plan::{self, HostPlan, Task};
use crate::shell::{Batch, Call};
use crate::ssh::{FrameResult, HeldShell, SessionError};

/// A host that could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It answered, but not what was asked.
    #[error("the host's answer makes no sense {0}")]
    Answer(#[from] BadAnswer),
    /// Each answer led to another question.
    #[error("the tasks go on asking for more facts (now {0}); this is a mistake in bedplate")]
    Endless(String),
}

/// Asks `questions` in one exchange. A file that changes while it is read is read once more.
pub async fn ask(shell: &mut HeldShell, questions: impl IntoIterator<Item = Question>) -> Result<Machine, ProbeError> {
    ask_beside(shell, questions, None).await.map(|(machine, _)| machine)
}

/// The same, with a further reading call in the same exchange; gives its answer too.
async fn ask_beside(
    shell: &mut HeldShell,
    questions: impl IntoIterator<Item = Question>,
    beside: Option<Call>,
) -> Result<(Machine, Vec<u8>), ProbeError> {
    let probe = Probe::new(questions);
    let batch = probe.batch();
    let asked = batch.len();
    let batch = batch.and(beside);
    let mut last = BadAnswer(String::new());
    for _ in 0..2 {
        let mut results = shell.run(&batch, &mut |_| {}).await?;
        let answer = results.drain(asked.min(results.len())..).next().map(|result| result.body).unwrap_or_default();
        match probe.read(results.iter().map(|result| result.body.as_slice())) {
            Ok(machine) => return Ok((machine, answer)),
            Err(bad) => last = bad,
        }
    }
    Err(last.into())
}

/// Every question that the tasks can be known to ask.
pub(super) fn questions(tasks: &[Task]) -> BTreeSet<Question> {
    let mut questions: BTreeSet<Question> = tasks.iter().flat_map(Task::facts).collect();
    questions.insert(System::Here.into());
    questions
}

/// Looks at the host and plans, asking again while late tasks turn out to need more.
pub(super) async fn look_and_plan(shell: &mut HeldShell, tasks: &[Task]) -> Result<(Machine, HostPlan), ProbeError> {
    let machine = ask(shell, questions(tasks)).await?;
    plan_on(shell, tasks, machine).await
}

/// The first look of a connection: in the same exchange the host is asked how its guard stands.
pub(super) async fn first_look(shell: &mut HeldShell, tasks: &[Task]) -> Result<(Machine, Standing), ProbeError> {
    let (machine, guard) = ask_beside(shell, questions(tasks), Some(guard::report_call())).await?;
    Ok((machine, guard::standing(&guard)?))
}

/// A look that travels behind another batch, in its exchange.
pub(super) struct Behind {
    probe: Probe,
    asked: usize,
    batch: Batch,
}

impl Behind {
    /// A look at what `tasks` ask.
    pub(super) fn new(tasks: &[Task]) -> Self {
        let probe = Probe::new(questions(tasks));
        let batch = probe.batch();
        Self { probe, asked: batch.len(), batch }
    }

    /// The first look of a connection.
    pub(super) fn first(tasks: &[Task]) -> Self {
        let look = Self::new(tasks);
        Self { batch: look.batch.and(Some(guard::report_call())), ..look }
    }

    /// What is sent.
    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What came of it; nothing where a file changed while it was read, so that it is better asked again.
    pub(super) fn machine(&self, results: &[FrameResult]) -> Option<Machine> {
        let asked = &results[..self.asked.min(results.len())];
        self.probe.read(asked.iter().map(|result| result.body.as_slice())).ok()
    }

    /// The same of a first look, with how the guard stands.
    pub(super) fn standing(&self, results: &[FrameResult]) -> Option<(Machine, Standing)> {
        let guard = results.get(self.asked)?;
        Some((self.machine(results)?, guard::standing(&guard.body).ok()?))
    }
}

/// Plans on what was seen, asking while late tasks turn out to need more.
pub(super) async fn plan_on(
    shell: &mut HeldShell,
    tasks: &[Task],
    mut machine: Machine,
) -> Result<(Machine, HostPlan), ProbeError> {
    for _ in 0..4 {
        let plan = plan::plan(tasks, &machine);
        if plan.needs.is_empty() {
            return Ok((machine, plan));
        }
        let more = ask(shell, plan.needs).await?;
        machine.absorb(more);
    }
    let plan = plan::plan(tasks, &machine);
    match plan.needs.iter().next() {
        None => Ok((machine, plan)),
        Some(question) => Err(ProbeError::Endless(format!("{question:?}"))),
    }
}
