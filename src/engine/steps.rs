//! Acting: the steps of one segment as one batch, told as they run.

use std::time::Instant;

use super::line::Line;
use super::probe::Behind;
use super::{Run, Teller, record};
use crate::base::event::{EventKind, Failure};
use crate::machine::Machine;
use crate::plan::Step;
use crate::shell::frame::{Part, printable_lines};
use crate::shell::{Batch, Call, Mode};
use crate::ssh::{FrameResult, SessionError};

/// The status with which a call says that the state it was planned on is gone (`bp_moved`).
const MOVED: u8 = 75;
/// How many of a failed call's last lines are told.
const SAID: usize = 20;

/// How a segment ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Every step was done.
    Done,
    /// The operator asked to stop; the steps from this index on were not begun.
    Stopped(usize),
    /// The step at this index failed; those behind it were not begun.
    Failed(Box<Failure>, usize),
    /// The connection went; the outcome of the step at this index is unknown.
    Lost(usize, SessionError),
}

/// What was seen of the host behind the last step, in the same exchange or beside the login that confirms it.
pub(super) struct Seen {
    /// When the look began, or would have if it had not run beside something else.
    pub(super) since: Instant,
    /// The answers, unless a file changed while it was read. Errors: the connection did not last that long.
    pub(super) machine: Result<Option<Machine>, SessionError>,
}

/// Runs `steps` in order. `counted` is the number of steps that were done before, and of all. With `look` the host is
/// looked at behind them, whatever became of them.
pub(super) async fn run(
    line: &mut Line,
    run: &Run,
    teller: &Teller,
    steps: &[Step],
    counted: (usize, usize),
    look: Option<&Behind>,
) -> (Ended, Option<Seen>) {
    act(line, run, teller, (steps, None, look), counted, true).await
}

/// The same, not to be ended by Ctrl-C, with `behind` as the last call: what becomes of that one does not count.
pub(super) async fn run_to_end(
    line: &mut Line,
    run: &Run,
    teller: &Teller,
    steps: &[Step],
    behind: Call,
    counted: (usize, usize),
) -> Ended {
    act(line, run, teller, (steps, Some(behind), None), counted, false).await.0
}

async fn act(
    line: &mut Line,
    run: &Run,
    teller: &Teller,
    (steps, behind, look): (&[Step], Option<Call>, Option<&Behind>),
    counted: (usize, usize),
    stoppable: bool,
) -> (Ended, Option<Seen>) {
    let Line { connection, shell, .. } = line;
    let batch = batch(steps).and(behind);
    let mut follow =
        Follow { teller, run, steps, counted, began: Instant::now(), ended: Instant::now(), line: Vec::new() };
    let mut tell = |part: &Part| follow.part(part);
    let answer = {
        let acting = async {
            match look {
                None => shell.run(&batch, &mut tell).await.map(|results| (results, None)),
                Some(look) => {
                    let (results, seen) = shell.run_then(&batch, look.batch(), &mut tell).await?;
                    Ok((results, Some(seen.map(|seen| look.machine(&seen)))))
                }
            }
        };
        tokio::pin!(acting);
        let mut asked = !stoppable;
        loop {
            tokio::select! {
                answer = &mut acting => break answer,
                () = run.stop.cancelled(), if !asked => {
                    asked = true;
                    // The call in hand goes on; a second shell tells the first one's batch to end behind it.
                    if let Ok(mut other) = connection.shell().await {
                        let _ = record::stop(&mut other).await;
                    }
                }
            }
        }
    };
    match answer {
        Ok((results, seen)) => {
            let seen = seen.map(|machine| Seen { since: follow.ended, machine });
            (judge(&results, steps, run), seen)
        }
        Err(error) => {
            let index = error.progress().map_or(0, |progress| progress.ended.len());
            (Ended::Lost(index.min(steps.len().saturating_sub(1)), error), None)
        }
    }
}

/// The steps as they are sent.
pub(super) fn batch(steps: &[Step]) -> Batch {
    Batch::new(Mode::Act, steps.iter().map(|step| step.action.call()).collect())
}

fn judge(results: &[FrameResult], steps: &[Step], run: &Run) -> Ended {
    if let Some(failed) = results.iter().find(|result| result.status != 0)
        && let Some(step) = steps.get(failed.index)
    {
        return Ended::Failed(Box::new(failure(step, failed, run)), failed.index);
    }
    if results.len() < steps.len() { Ended::Stopped(results.len()) } else { Ended::Done }
}

fn failure(step: &Step, result: &FrameResult, run: &Run) -> Failure {
    let mut said: Vec<String> = printable_lines(&result.body).iter().map(|line| run.redactor.redact(line)).collect();
    said.drain(..said.len().saturating_sub(SAID));
    let (what, help) = if result.status == MOVED {
        let what = format!(
            "task {} `{}`: could not {}: the host is not as it was planned on",
            step.task,
            step.name,
            step.action.summary()
        );
        (what, "somebody else changes this host at the same time; run again to plan anew".to_owned())
    } else {
        let what = format!(
            "task {} `{}`: could not {} (status {})",
            step.task,
            step.name,
            step.action.summary(),
            result.status
        );
        (what, "mend what the host says above, then run again".to_owned())
    };
    Failure { what, place: Some(step.place.clone()), said, state: None, help: Some(help) }
}

/// Turns the parts of an answer into events as they come.
struct Follow<'a> {
    teller: &'a Teller,
    run: &'a Run,
    steps: &'a [Step],
    counted: (usize, usize),
    began: Instant,
    ended: Instant,
    line: Vec<u8>,
}

impl Follow<'_> {
    fn part(&mut self, part: &Part) {
        self.ended = Instant::now();
        match part {
            Part::Begin { index } => {
                self.began = Instant::now();
                self.line.clear();
                if let Some(step) = self.steps.get(*index) {
                    self.teller.tell_if_room(EventKind::ActionStarted {
                        task: step.task,
                        name: step.name.clone(),
                        action: step.action.summary(),
                        step: self.counted.0 + index + 1,
                        steps: self.counted.1,
                    });
                }
            }
            Part::Output { bytes, .. } => self.output(bytes),
            Part::End { index, status: 0, .. } => {
                if let Some(step) = self.steps.get(*index) {
                    self.teller.tell_if_room(EventKind::ActionFinished {
                        task: step.task,
                        action: step.action.summary(),
                        took_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    });
                }
            }
            Part::End { .. } | Part::Done { .. } => {}
        }
    }

    /// Whole lines only; what has no end yet waits for it.
    fn output(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
        let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.line.split_off(end + 1);
        let whole = std::mem::replace(&mut self.line, rest);
        for line in printable_lines(&whole) {
            self.teller.tell_if_room(EventKind::Output { line: self.run.redactor.redact(&line) });
        }
    }
}
