//! One host in a straight line: connect, look, plan, act, look again.

use std::collections::BTreeSet;
use std::time::Instant;

use super::guard::GuardError;
use super::line::{Line, LineError};
use super::probe::{Behind, ProbeError, look_and_plan, plan_on};
use super::record::JournalStep;
use super::steps::{self, Ended, Seen};
use super::{Consented, Job, Mode, Outcome, Review, Run, Teller};
use crate::base::Exit;
use crate::base::event::{EventKind, Failure, Tally, Verdict};
use crate::machine::{Machine, Question, Session, SshLogin, Unknown};
use crate::plan::undo::KeptStep;
use crate::plan::{self, HostPlan, Segment, Step};
use crate::ssh::{ConnectError, HeldShell, SessionError};

/// Works on one host until it is done or has failed, and tells it all.
pub(super) async fn work(job: Job, run: &Run) -> Outcome {
    let mut work = Work::new(job, run);
    let teller = work.teller.clone();
    let worked = work.go().await;
    if !work.planned {
        run.consent.passed().await;
    }
    let exit = match worked {
        Ok(exit) => exit,
        Err(stop) if stop.not_begun => {
            teller.tell(EventKind::HostNotBegun { why: stop.failure.what }).await;
            return Outcome { tally: Tally::default(), exit: Exit::Done };
        }
        Err(stop) => {
            work.tally.failed += usize::from(stop.exit != Exit::Interrupted);
            teller.tell(EventKind::HostFailed(*stop.failure)).await;
            stop.exit
        }
    };
    run.rollout.ended(exit);
    teller.tell(EventKind::HostFinished { tally: work.tally, exit }).await;
    Outcome { tally: work.tally, exit }
}

/// Why a host is not gone on with.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) failure: Box<Failure>,
    pub(super) exit: Exit,
    /// Whether it was not its turn any more: that is no failure of this host.
    pub(super) not_begun: bool,
}

impl Stop {
    pub(super) fn new(exit: Exit, what: impl Into<String>, help: Option<String>) -> Self {
        Self { failure: Box::new(Failure { what: what.into(), help, ..Failure::default() }), exit, not_begun: false }
    }

    pub(super) fn before_any_change(mut self) -> Self {
        self.failure.state.get_or_insert_with(|| "nothing was changed".into());
        self
    }
}

impl From<ConnectError> for Stop {
    fn from(error: ConnectError) -> Self {
        let mut stop = Stop::new(error.exit(), error.to_string(), error.help());
        stop.failure.state = Some("nothing was changed".into());
        stop
    }
}

impl From<SessionError> for Stop {
    fn from(error: SessionError) -> Self {
        let mut stop = Stop::new(error.exit(), error.to_string(), error.help());
        stop.failure.said = error.said();
        stop
    }
}

impl From<LineError> for Stop {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Connect(error) => error.into(),
            LineError::Session(error) => error.into(),
        }
    }
}

impl From<GuardError> for Stop {
    fn from(error: GuardError) -> Self {
        match error {
            GuardError::Session(error) => error.into(),
            GuardError::Answer(bad) => ProbeError::Answer(bad).into(),
        }
    }
}

impl From<ProbeError> for Stop {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Session(error) => error.into(),
            error => {
                Stop::new(Exit::HostFailed, error.to_string(), Some("run again; if it stays, please report it".into()))
            }
        }
    }
}

/// What a host's line carries along.
pub(super) struct Work<'a> {
    pub(super) job: Job,
    pub(super) run: &'a Run,
    pub(super) teller: Teller,
    tally: Tally,
    /// Steps that were done, for the journal.
    pub(super) done: Vec<JournalStep>,
    /// What leads back from each of them, where anything is to be taken back.
    pub(super) kept: Vec<Option<KeptStep>>,
    /// The same for the steps that are being done.
    pub(super) doing: Vec<Option<KeptStep>>,
    /// Whether the question about the plan was put.
    planned: bool,
    /// What was seen behind the last step, where that travelled with it.
    pub(super) seen: Option<Seen>,
}

impl<'a> Work<'a> {
    pub(super) fn new(job: Job, run: &'a Run) -> Self {
        let teller = Teller::new(run, Some(&job.target.name));
        let (done, kept, doing) = (Vec::new(), Vec::new(), Vec::new());
        Self { job, run, teller, tally: Tally::default(), done, kept, doing, planned: false, seen: None }
    }

    async fn go(&mut self) -> Result<Exit, Stop> {
        // The semaphore is never closed, so a place always comes.
        let place = self.run.places.acquire().await;
        self.may_begin()?;
        let mut line = self.arrive().await.map_err(Stop::before_any_change)?;
        let (machine, plan) = self.first_look(&mut line).await.map_err(Stop::before_any_change)?;
        self.no_fights(&plan)?;
        self.tell_what_stays(&plan).await;
        self.tell_plan(&plan, &BTreeSet::new()).await;
        let exit = match self.run.mode {
            Mode::Check => {
                if let Review::Gather(sheet) = &self.run.review {
                    sheet.add(&self.job, &plan);
                }
                Ok(self.checked(&plan))
            }
            Mode::Apply => {
                self.not_refused(&plan, &BTreeSet::new())?;
                self.as_reviewed(&plan)?;
                // While the operator thinks, other hosts may plan.
                drop(place);
                self.agreed(&plan).await?;
                let _place = self.run.places.acquire().await;
                self.may_begin()?;
                let exit = self.apply(&mut line, machine, plan).await;
                self.write_journal(&mut line.shell, &exit).await;
                exit
            }
        };
        line.close().await;
        exit
    }

    /// Whether this host's turn still comes: others may have failed meanwhile, or the operator may want an end.
    fn may_begin(&self) -> Result<(), Stop> {
        let interrupted = self.run.stop.is_cancelled().then(|| "stopped on request".to_owned());
        let Some(why) = interrupted.or_else(|| self.run.rollout.stopped()) else { return Ok(()) };
        Err(Stop { not_begun: true, ..Stop::new(Exit::Done, why, None) })
    }

    /// Puts the plan to the operator together with those of all other hosts.
    async fn agreed(&mut self, plan: &HostPlan) -> Result<(), Stop> {
        let open = |task: &&plan::PlannedTask| matches!(task.shown.verdict, Verdict::Change | Verdict::KnownLater);
        let changes = plan.tasks.iter().filter(open).count();
        self.planned = true;
        let (what, help) = match self.run.consent.planned(&self.job.target.name, changes).await {
            Consented::Yes => return Ok(()),
            Consented::No => ("declined", "run `check` to look without being asked"),
            Consented::NotAskable => {
                ("there is no terminal to ask whether to go on", "add `--yes` to apply without a question")
            }
            Consented::NotAll => {
                ("another host of the plan is not as it was planned on", "a saved plan is done on all hosts or on none")
            }
        };
        let mut stop = Stop::new(Exit::BadInput, what, Some(help.into()));
        stop.failure.state = Some("nothing was changed".into());
        Err(stop)
    }

    /// Two tasks that want different things are told before anything is touched.
    fn no_fights(&self, plan: &HostPlan) -> Result<(), Stop> {
        let fights = plan::fold::fights(&self.job.tasks, plan);
        let Some(fight) = fights.first() else { return Ok(()) };
        let task = |number: usize| self.job.tasks.iter().find(|task| task.number == number);
        let name = |number: usize| {
            task(number).map_or_else(String::new, |task| format!("task {number} `{}` ({})", task.name, task.place))
        };
        let what = match fight.other {
            Some(other) => format!(
                "two tasks fight: after {}, {} would again {}",
                name(other),
                name(fight.task),
                fight.changes.join("; ")
            ),
            None => format!("{} would change again on a second run: {}", name(fight.task), fight.changes.join("; ")),
        };
        let mut stop =
            Stop::new(Exit::BadInput, what, Some("let one of the two go, or make them want the same".into()));
        stop.failure.place = task(fight.task).map(|task| task.place.clone());
        stop.failure.state = Some("nothing was changed".into());
        Err(stop)
    }

    /// Tells `plan`, leaving out the tasks in `settled`.
    async fn tell_plan(&self, plan: &HostPlan, settled: &BTreeSet<usize>) {
        let tasks = plan.tasks.iter().filter(|task| !settled.contains(&task.shown.task));
        let tasks = tasks.map(|task| task.shown.clone()).collect();
        self.teller.tell(EventKind::Planned { tasks, findings: plan.findings.clone() }).await;
    }

    /// Of an undo: what is not taken back, and why. That is no detail.
    async fn tell_what_stays(&self, plan: &HostPlan) {
        if plan::undo::run_of(&self.job.tasks).is_none() {
            return;
        }
        for task in plan.tasks.iter().filter(|task| task.shown.verdict == Verdict::Skipped) {
            let text = format!("{}: {}", task.shown.name, task.shown.why);
            self.teller.tell(EventKind::Note { text }).await;
        }
    }

    fn checked(&mut self, plan: &HostPlan) -> Exit {
        self.count(plan, &BTreeSet::new());
        let findings = self.run.strict && !plan.findings.is_empty();
        match plan.refused() {
            Some(_) => Exit::HostFailed,
            None if plan.is_in_sync() && !findings => Exit::Done,
            None => Exit::Drift,
        }
    }

    fn count(&mut self, plan: &HostPlan, changed: &BTreeSet<usize>) {
        self.tally = Tally { findings: plan.findings.len(), ..Tally::default() };
        for task in &plan.tasks {
            let verdict = if changed.contains(&task.shown.task) { Verdict::Change } else { task.shown.verdict };
            self.tally.count(verdict);
        }
    }

    /// Acts and looks again until nothing is left. Each round does what is known now; what an earlier round made
    /// knowable is planned in the next.
    async fn apply(&mut self, line: &mut Line, machine: Machine, plan: HostPlan) -> Result<Exit, Stop> {
        let mut settled = BTreeSet::new();
        let mut changed = BTreeSet::new();
        let (mut before, mut plan) = (machine, plan);
        for round in 0..=self.job.tasks.len() + 1 {
            self.not_refused(&plan, &changed)?;
            let segments = plan.segments();
            if segments.is_empty() {
                break;
            }
            if round > 0 && matches!(self.run.review, Review::Hold(_)) {
                return Ok(self.beyond_review(&plan).await);
            }
            let acted = self.act(line, &before, segments).await;
            let mut begun = Instant::now();
            if let Err(mut stop) = acted {
                self.tell_state(&mut line.shell, &mut stop, &plan, changed).await;
                return Err(stop);
            }
            if let Some(seen) = &self.seen {
                begun = seen.since;
            }
            let (seen, next) = self.look_again(&mut line.shell).await?;
            changed.extend(
                plan.tasks.iter().filter(|task| task.shown.verdict == Verdict::Change).map(|task| task.shown.task),
            );
            self.count(&next, &changed);
            let follows = self.follows(&plan, &seen);
            self.verify((&plan, &next), &seen, &follows, begun).await?;
            settled.extend(settled_by(&plan).filter(|task| !follows.contains(task)));
            if !next.is_in_sync() {
                self.tell_plan(&next, &settled).await;
            }
            (before, plan) = (seen, next);
        }
        self.count(&plan, &changed);
        if !plan.is_in_sync() {
            let open: Vec<String> = plan
                .tasks
                .iter()
                .filter(|task| !matches!(task.shown.verdict, Verdict::InSync | Verdict::Skipped))
                .map(|task| format!("task {} `{}`", task.shown.task, task.shown.name))
                .collect();
            let what = format!("the host does not settle: {} stay open", open.join(", "));
            return Err(Stop::new(Exit::HostFailed, what, Some("run `check` with -v and look at these tasks".into())));
        }
        Ok(if self.run.strict && self.tally.findings > 0 { Exit::Drift } else { Exit::Done })
    }

    fn not_refused(&self, plan: &HostPlan, changed: &BTreeSet<usize>) -> Result<(), Stop> {
        let Some(refused) = plan.refused() else { return Ok(()) };
        let shown = &refused.shown;
        let mut stop = Stop::new(
            Exit::HostFailed,
            format!("task {} `{}` is refused: {}", shown.task, shown.name, shown.why),
            shown.help.clone(),
        );
        stop.failure.place = Some(shown.place.clone());
        stop.failure.state = Some(match changed.len() {
            0 => "nothing was changed".into(),
            n => format!("{n} tasks before it were applied; it and what stands behind it were not begun"),
        });
        Err(stop)
    }

    async fn act(&mut self, line: &mut Line, before: &Machine, segments: Vec<Segment>) -> Result<(), Stop> {
        let all: usize = segments.iter().map(|segment| segment.steps().len()).sum();
        let mut count = 0;
        // What the host will be behind each segment: a guarded one is proved by what it leads to, not by what is
        // planned behind it.
        let mut model = before.clone();
        self.seen = None;
        for (number, segment) in segments.iter().enumerate() {
            let steps = segment.steps();
            if self.run.stop.is_cancelled() {
                return Err(interrupted());
            }
            let was = matches!(segment, Segment::Guarded(_)).then(|| model.clone());
            self.doing.clear();
            for step in steps {
                let by = Unknown { task: step.task, name: step.name.clone() };
                let before = model.clone();
                model.perform(&by, |machine| step.action.effect(machine));
                self.doing.push(KeptStep::of(step, &before, &model));
            }
            // The second look goes along with the last steps, and is taken when they are done.
            let look = (number + 1 == segments.len()).then(|| Behind::new(&self.job.tasks));
            match was {
                None => {
                    let (ended, seen) =
                        steps::run(line, self.run, &self.teller, steps, (count, all), look.as_ref()).await;
                    self.seen = seen;
                    self.remember(steps, &ended);
                    stop_on(ended, steps)?;
                }
                Some(was) => self.guarded(line, (&was, &model), steps, look.as_ref(), (count, all)).await?,
            }
            count += steps.len();
        }
        Ok(())
    }

    /// The second look, which may have been taken already, and what there is to do after it.
    async fn look_again(&mut self, shell: &mut HeldShell) -> Result<(Machine, HostPlan), ProbeError> {
        match self.seen.take().map(|seen| seen.machine).transpose()?.flatten() {
            Some(machine) => plan_on(shell, &self.job.tasks, machine).await,
            None => look_and_plan(shell, &self.job.tasks).await,
        }
    }

    /// The tasks that change again because the run has come in by another way than it was planned over: who comes in
    /// by the new port no longer needs the old one.
    fn follows(&self, plan: &HostPlan, seen: &Machine) -> BTreeSet<usize> {
        if plan.predicted.difference(seen, &Session::Here.into()).is_none() {
            return BTreeSet::new();
        }
        let mut model = plan.predicted.clone();
        if let Some(session) = seen.known(&Session::Here) {
            model.set(Session::Here, session.clone());
        }
        if let Some(login) = seen.known(&SshLogin(None)) {
            model.set(SshLogin(None), login.clone());
        }
        let again = plan::plan(&self.job.tasks, &model);
        again.tasks.iter().filter(|task| task.shown.verdict == Verdict::Change).map(|task| task.shown.task).collect()
    }

    /// The Machine must be what was predicted in all that the tasks assert, and a new plan must leave them alone.
    /// Tasks in `follows` may change again.
    async fn verify(
        &self,
        (plan, next): (&HostPlan, &HostPlan),
        seen: &Machine,
        follows: &BTreeSet<usize>,
        begun: Instant,
    ) -> Result<(), Stop> {
        let mut differs = Vec::new();
        let ready: BTreeSet<usize> = settled_by(plan).collect();
        for (task, again) in plan.tasks.iter().zip(&next.tasks).filter(|(task, _)| ready.contains(&task.shown.task)) {
            let open = task.asserts.iter().any(|question: &Question| plan.predicted.unknown(question).is_some());
            if follows.contains(&task.shown.task) {
                continue;
            }
            if again.shown.verdict == Verdict::Change && !open {
                let changes: Vec<&str> = again.shown.changes.iter().map(|change| change.summary.as_str()).collect();
                differs.push((
                    task.shown.task,
                    task.shown.name.clone(),
                    format!("a new plan would again {}", changes.join("; ")),
                ));
                continue;
            }
            let difference = task.asserts.iter().find_map(|question| plan.predicted.difference(seen, question));
            if let Some((predicted, seen)) = difference {
                differs.push((
                    task.shown.task,
                    task.shown.name.clone(),
                    format!("predicted {predicted}, found {seen}"),
                ));
            }
        }
        let failed = differs.first().cloned();
        self.teller.tell(EventKind::Verified { differs, took_ms: millis(begun) }).await;
        match failed {
            None => Ok(()),
            Some((number, name, difference)) => {
                let what = format!("task {number} `{name}` did not hold: {difference}");
                let help = "something else on the host changes the same thing; find it, then run again";
                Err(Stop::new(Exit::HostFailed, what, Some(help.into())))
            }
        }
    }

    /// A failure tells the host's state from a fresh look, not from memory.
    async fn tell_state(
        &mut self,
        shell: &mut HeldShell,
        stop: &mut Stop,
        plan: &HostPlan,
        mut changed: BTreeSet<usize>,
    ) {
        if stop.failure.state.is_some() {
            return;
        }
        let Ok((_, now)) = self.look_again(shell).await else {
            stop.failure.state = Some("the host could not be looked at again, so its state is not known".into());
            return;
        };
        let was_open = |number: usize| {
            plan.tasks.iter().any(|task| task.shown.task == number && task.shown.verdict == Verdict::Change)
        };
        let held = now.tasks.iter().filter(|task| task.shown.verdict == Verdict::InSync).map(|task| task.shown.task);
        changed.extend(held.filter(|task| was_open(*task)));
        self.count(&now, &changed);
        // What is still open was not changed.
        self.tally.changed = changed.len();
        let right =
            now.tasks.iter().filter(|task| matches!(task.shown.verdict, Verdict::InSync | Verdict::Skipped)).count();
        stop.failure.state =
            Some(format!("{right} of {} tasks are as declared now; the others are not done", now.tasks.len()));
    }
}

/// The tasks that a round settles: those before the first that was put off.
fn settled_by(plan: &HostPlan) -> impl Iterator<Item = usize> + '_ {
    plan.tasks
        .iter()
        .take_while(|task| !matches!(task.shown.verdict, Verdict::KnownLater | Verdict::Refused))
        .map(|task| task.shown.task)
}

pub(super) fn interrupted() -> Stop {
    let help = "run again: bedplate looks at the host anew and goes on from there";
    Stop::new(Exit::Interrupted, "stopped on request", Some(help.into()))
}

/// Turns the end of a segment into going on or not.
pub(super) fn stop_on(ended: Ended, steps: &[Step]) -> Result<(), Stop> {
    match ended {
        Ended::Done => Ok(()),
        Ended::Stopped(_) => Err(interrupted()),
        Ended::Failed(failure, _) => Err(Stop { failure, exit: Exit::HostFailed, not_begun: false }),
        Ended::Lost(index, error) => {
            let mut stop = Stop::from(error);
            if let Some(step) = steps.get(index) {
                stop.failure.state = Some(format!(
                    "it is not known whether task {} `{}` ({}) was done: on the host it may still be running",
                    step.task,
                    step.name,
                    step.action.summary()
                ));
                stop.failure.place = Some(step.place.clone());
            }
            Err(stop)
        }
    }
}

pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
