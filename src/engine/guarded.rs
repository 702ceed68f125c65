//! Steps that can cut access: the host is armed, they run, a new login confirms. Whatever goes wrong, the host ends as
//! it was, and that is told.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::guard::{self, Armed, Confirmed, Now, Report};
use super::host::{Stop, Work, millis, stop_on};
use super::line::{Line, LineError};
use super::probe::Behind;
use super::steps::{self, Ended, Seen};
use super::way;
use crate::action::Saved;
use crate::base::Exit;
use crate::base::event::EventKind;
use crate::machine::Machine;
use crate::plan::Step;
use crate::shell::Nonce;
use crate::ssh::{Connection, Target};

/// What the host may take to put everything back, once it has begun.
const RESTORING: Duration = Duration::from_secs(60);
/// Between two looks at a host, or two attempts to log in.
const PAUSE: Duration = Duration::from_millis(700);
/// How long an answer may take that needs no work.
const ANSWER: Duration = Duration::from_secs(20);

/// A group of steps under one guard.
struct Group<'a> {
    steps: &'a [Step],
    saves: BTreeSet<Saved>,
    covers: Vec<String>,
    nonce: Nonce,
    /// When the host puts everything back by itself.
    ends: Instant,
}

impl<'a> Group<'a> {
    fn of(steps: &'a [Step], window: Duration) -> Self {
        let (mut saves, mut covers) = (BTreeSet::new(), Vec::new());
        for access in steps.iter().filter_map(|step| step.action.access()) {
            saves.extend(access.saves);
            if !covers.iter().any(|known| known == access.what) {
                covers.push(access.what.to_owned());
            }
        }
        let ends = Instant::now() + window.max(guard::SHORTEST_WINDOW);
        Self { steps, saves, covers, nonce: Nonce::new(rand::random()), ends }
    }

    fn has(&self, what: &str) -> bool {
        self.covers.iter().any(|covered| covered == what)
    }

    /// The tasks whose steps are guarded, for people.
    fn tasks(&self) -> String {
        let mut tasks: Vec<String> = Vec::new();
        for step in self.steps.iter().filter(|step| step.action.access().is_some()) {
            let task = format!("task {} `{}`", step.task, step.name);
            if !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        tasks.join(", ")
    }
}

/// Why the group does not stay.
struct Cause {
    /// A phrase.
    what: String,
    help: Option<String>,
}

impl From<LineError> for Cause {
    fn from(error: LineError) -> Self {
        Cause { what: error.to_string(), help: error.help() }
    }
}

/// Why one attempt to prove the way in failed.
enum Failed {
    /// The next may succeed.
    Passing(Cause),
    /// This way does not lead in.
    Shut(Cause),
    /// The host puts everything back, or has.
    Fired,
}

/// What the host ended as.
enum Settled {
    /// It has put everything back.
    Restored(Report),
    /// The confirmation had reached it.
    Confirmed,
    /// It does not say.
    Unknown,
}

impl Work<'_> {
    /// Runs steps that can cut access. `after` is what the host will be behind them. Afterwards `line` is the one to
    /// go on over. With `look`, the host is looked at while the new login comes in: it changes nothing but the guard.
    pub(super) async fn guarded(
        &mut self,
        line: &mut Line,
        (before, after): (&Machine, &Machine),
        steps: &[Step],
        look: Option<&Behind>,
        counted: (usize, usize),
    ) -> Result<(), Stop> {
        let begun = std::time::Instant::now();
        let group = Group::of(steps, self.run.window);
        self.arm(line, &group).await?;
        let remembered = self.remembered();
        // Ctrl-C does not end a group half way: it is short, and is confirmed or put back.
        let note = guard::note_call(&group.nonce);
        let ended = steps::run_to_end(line, self.run, &self.teller, steps, note, counted).await;
        self.remember(steps, &ended);
        let mut seen = None;
        let proved = match ended {
            Ended::Done => {
                let prove = self.prove(line, &group, (before, after));
                let (proved, looked) = beside(prove, look_beside(&line.connection, look)).await;
                seen = looked;
                proved
            }
            // The host's own stop, with which a guard that fires ends the steps.
            Ended::Stopped(_) => Err(Cause { what: "the steps took longer than the window".into(), help: None }),
            ended => {
                let cause = match &ended {
                    Ended::Failed(failure, _) => Cause { what: failure.what.clone(), help: failure.help.clone() },
                    _ => Cause { what: "the connection was lost while the steps ran".into(), help: None },
                };
                let failed = stop_on(ended, steps).err();
                return self.put_back(line, &group, cause, failed, remembered).await;
            }
        };
        match proved {
            Ok(new) => {
                let login = new.target.place();
                let moved = new.target.place() != line.target.place() || line.is_closed();
                if moved {
                    // Who is in by another way sees himself there.
                    seen = None;
                    line.go_over(new)
                } else {
                    new.close().await
                }
                self.teller.tell(EventKind::GuardConfirmed { login, took_ms: millis(begun) }).await;
                self.seen = seen.map(|(machine, took)| Seen { since: since(took), machine: Ok(Some(machine)) });
                self.keep_lock(line).await
            }
            Err(cause) => self.put_back(line, &group, cause, None, remembered).await,
        }
    }

    async fn arm(&self, line: &mut Line, group: &Group<'_>) -> Result<(), Stop> {
        let window = self.run.window.max(guard::SHORTEST_WINDOW);
        let armed = guard::arm(&mut line.shell, &group.saves, window, &group.nonce).await;
        let mut stop = match armed {
            Ok(Armed::Yes) => {
                let covers = group.covers.clone();
                self.teller.tell(EventKind::GuardArmed { window_s: window.as_secs(), covers }).await;
                return Ok(());
            }
            Ok(Armed::Another) => {
                let help = "wait a minute, then run again";
                Stop::new(Exit::HostBusy, "an earlier run's guard is armed on this host", Some(help.into()))
            }
            Ok(Armed::Failed(said)) => {
                let what = format!(
                    "the guard could not be armed, so nothing that can cut access was begun: {}",
                    group.tasks()
                );
                let help = "mend what the host says above, then run again".to_owned();
                let mut stop = Stop::new(Exit::HostFailed, what, Some(help));
                stop.failure.said = said;
                stop
            }
            Err(error) => {
                let help = "run again; a guard that was armed all the same lapses by itself".to_owned();
                Stop::new(Exit::HostFailed, format!("the guard could not be armed: {error}"), Some(help))
            }
        };
        stop.failure.place = group.steps.first().map(|step| step.place.clone());
        Err(stop)
    }

    /// Logs in anew in the way that the next run will, and confirms over that login.
    async fn prove(
        &self,
        line: &Line,
        group: &Group<'_>,
        (before, after): (&Machine, &Machine),
    ) -> Result<Line, Cause> {
        let ways = way::next(&line.target, before, after);
        let keys_alone = group.has("sshd") && way::keys_alone(after);
        let mut last = Cause { what: "nobody is left who could log in".into(), help: None };
        loop {
            let mut all_shut = true;
            for target in &ways {
                let attempt = timeout_at(group.ends, self.attempt(target, group, keys_alone));
                match attempt.await.unwrap_or(Err(Failed::Fired)) {
                    Ok(new) => return Ok(new),
                    Err(Failed::Shut(cause)) => last = told(target, cause),
                    Err(Failed::Passing(cause)) => {
                        all_shut = false;
                        last = told(target, cause);
                    }
                    Err(Failed::Fired) => return Err(last_words(last, target)),
                }
            }
            // What was refused is refused the next time too, and sshd punishes those who insist.
            if all_shut || Instant::now() + PAUSE > group.ends {
                return Err(last);
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, target: &Target, group: &Group<'_>, keys_alone: bool) -> Result<Line, Failed> {
        let failed = |error: LineError| match error.is_passing() {
            true => Failed::Passing(error.into()),
            false => Failed::Shut(error.into()),
        };
        let mut new = Line::open_and_learn(&self.run.connector, target).await.map_err(failed)?;
        let offered = &new.connection.login().methods_offered;
        if keys_alone && offered.iter().any(|method| method != "publickey") {
            let what = format!("passwords are declared off, but the running sshd offers {}", offered.join(", "));
            let help = "look for another sshd on this port, or for settings under `Match`".to_owned();
            return Err(Failed::Shut(Cause { what, help: Some(help) }));
        }
        match guard::confirm(&mut new.shell, &group.nonce).await {
            Ok(Confirmed::Yes) => Ok(new),
            Ok(Confirmed::PutBack) => Err(Failed::Fired),
            Ok(Confirmed::Unknown) => {
                let what = "the new login can not confirm: it is not root's, or the guard is gone".to_owned();
                Err(Failed::Shut(Cause { what, help: None }))
            }
            Err(guard::GuardError::Session(error)) => Err(failed(error.into())),
            Err(error) => Err(Failed::Passing(Cause { what: error.to_string(), help: None })),
        }
    }

    /// Has everything put back, or waits until the host has done so by itself, and tells it. `failed` is what a step
    /// that failed is told as.
    async fn put_back(
        &mut self,
        line: &mut Line,
        group: &Group<'_>,
        cause: Cause,
        failed: Option<Stop>,
        remembered: usize,
    ) -> Result<(), Stop> {
        let report = match self.settle(line, group).await {
            Settled::Restored(report) => report,
            Settled::Confirmed if failed.is_none() => {
                let login = line.target.place();
                self.teller.tell(EventKind::GuardConfirmed { login, took_ms: 0 }).await;
                return self.keep_lock(line).await;
            }
            Settled::Confirmed | Settled::Unknown => return Err(unknown(group, &cause)),
        };
        self.forget_behind(remembered);
        let restored = group.covers.clone();
        let (left, forced) = (report.left.clone(), report.forced.clone());
        self.teller.tell(EventKind::GuardRestored { restored, cause: cause.what.clone(), left, forced }).await;
        let mut stop = failed.unwrap_or_else(|| {
            let what = format!("{}: no new login could confirm the change: {}", group.tasks(), cause.what);
            let help = "the host is as before; mend the cause, then run again".to_owned();
            Stop::new(
                Exit::GuardRestored,
                what,
                Some(cause.help.map_or(help.clone(), |more| format!("{more}; {help}"))),
            )
        });
        stop.exit = Exit::GuardRestored;
        if stop.failure.place.is_none() {
            stop.failure.place = group.steps.first().map(|step| step.place.clone());
        }
        stop.failure.said.extend(report.problems.iter().cloned());
        let state = match report.problems.as_slice() {
            [] => format!("the host has put back what {} had changed: {}", group.tasks(), group.covers.join(", ")),
            problems => format!("the host has put itself back, but {}", problems.join("; ")),
        };
        stop.failure.state = Some([vec![state], report.of_others()].concat().join("; "));
        Err(stop)
    }

    /// Brings the guard to its end: at once where the line still stands, else by waiting for the host. Afterwards
    /// `line` is one that works, if there is any.
    async fn settle(&self, line: &mut Line, group: &Group<'_>) -> Settled {
        if !line.is_closed()
            && let Ok(Ok(standing)) = timeout(RESTORING, guard::put_back(&mut line.shell, &group.nonce)).await
            && let Some(report) = ours(standing.report, group)
            && standing.now == Now::Idle
        {
            let _ = guard::seen(&mut line.shell).await;
            return Settled::Restored(report);
        }
        let mut usable = !line.is_closed();
        while Instant::now() < group.ends + RESTORING {
            sleep(PAUSE).await;
            if !usable {
                let opening = timeout(ANSWER, Line::open(&self.run.connector, &line.target));
                let Ok(Ok(new)) = opening.await else { continue };
                line.go_over(new);
            }
            let Ok(Ok(standing)) = timeout(ANSWER, guard::report(&mut line.shell)).await else {
                usable = false;
                continue;
            };
            usable = true;
            if standing.now != Now::Idle {
                continue;
            }
            if let Some(report) = ours(standing.report, group) {
                let _ = guard::seen(&mut line.shell).await;
                return Settled::Restored(report);
            }
            if let Ok(Ok(Confirmed::Yes)) = timeout(ANSWER, guard::confirm(&mut line.shell, &group.nonce)).await {
                return Settled::Confirmed;
            }
            return Settled::Unknown;
        }
        Settled::Unknown
    }
}

/// The second look, over a shell of its own, and how long it took. Nothing where it did not come about: it is taken behind
/// the guard then.
async fn look_beside(connection: &Connection, look: Option<&Behind>) -> Option<(Machine, Duration)> {
    let (look, begun) = (look?, Instant::now());
    let mut shell = connection.shell().await.ok()?;
    let results = shell.run(look.batch(), &mut |_| {}).await.ok()?;
    shell.close();
    Some((look.machine(&results)?, begun.elapsed()))
}

/// Waits for both where the first goes well, and for that one alone where it does not.
async fn beside<T, E, S>(
    first: impl Future<Output = Result<T, E>>,
    second: impl Future<Output = Option<S>>,
) -> (Result<T, E>, Option<S>) {
    let second = timeout(ANSWER, second);
    tokio::pin!(first, second);
    let mut seen = None;
    let result = loop {
        tokio::select! {
            result = &mut first => break result,
            looked = &mut second, if seen.is_none() => seen = Some(looked.ok().flatten()),
        }
    };
    if result.is_ok() && seen.is_none() {
        seen = Some(second.await.ok().flatten());
    }
    (result, seen.flatten())
}

/// When what took this long and ends now has begun.
fn since(took: Duration) -> std::time::Instant {
    let now = std::time::Instant::now();
    now.checked_sub(took).unwrap_or(now)
}

/// The report, if it is of this group's guard.
fn ours(report: Option<Report>, group: &Group<'_>) -> Option<Report> {
    report.filter(|report| report.nonce == group.nonce.as_str())
}

fn told(target: &Target, cause: Cause) -> Cause {
    let place = target.place();
    // Some words name the place already.
    let what = if cause.what.contains(&place) { cause.what } else { format!("as {place}: {}", cause.what) };
    Cause { what, help: cause.help }
}

fn last_words(last: Cause, target: &Target) -> Cause {
    let what = format!("the window ended before {} was in ({})", target.place(), last.what);
    Cause { what, help: last.help }
}

fn unknown(group: &Group<'_>, cause: &Cause) -> Stop {
    let what = format!("{}: {}, and the host can not be asked what came of it", group.tasks(), cause.what);
    let help = "the host puts everything back by itself: log in as before in a minute, and run again".to_owned();
    let mut stop = Stop::new(Exit::HostFailed, what, Some(help));
    stop.failure.place = group.steps.first().map(|step| step.place.clone());
    stop.failure.state = Some("its guard was armed; whether it has put everything back is not known".into());
    stop
}

#[cfg(test)]
#[path = "guarded_tests.rs"]
mod tests;
