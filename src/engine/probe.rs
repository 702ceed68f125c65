//! Looking: one exchange that asks everything.

use std::collections::BTreeSet;

use crate::machine::{BadAnswer, Machine, Probe, Question, System};
use crate::plan::{self, HostPlan, Task};
use crate::ssh::{HeldShell, SessionError};

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
    let probe = Probe::new(questions);
    let batch = probe.batch();
    let mut last = BadAnswer(String::new());
    for _ in 0..2 {
        let results = shell.run(&batch, &mut |_| {}).await?;
        match probe.read(results.iter().map(|result| result.body.as_slice())) {
            Ok(machine) => return Ok(machine),
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
    let mut machine = ask(shell, questions(tasks)).await?;
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
