//! What the events told so far, folded per host. Pure: no clock but the events' own milliseconds, no drawing.

use crate::base::event::{Event, EventKind, Failure, Finding, Mistake, ReadyCheck, Tally, TaskPlan, Verdict};
use crate::base::{Exit, size};

/// A whole run as far as it is told.
#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    /// `check`, `apply` …; empty before the run began.
    pub command: String,
    /// What followed the command.
    pub arguments: Vec<String>,
    /// bedplate's version.
    pub version: String,
    /// The hosts: those of the run in its order, then any other in the order of their first event.
    pub hosts: Vec<HostStory>,
    /// Notes about the run itself.
    pub notes: Vec<String>,
    /// Failures of the run itself.
    pub failures: Vec<Failure>,
    /// Sums and exit code, once the run is over.
    pub end: Option<(Tally, Exit)>,
    /// The latest event's time.
    pub ms: u64,
}

/// What a host is at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not begun.
    #[default]
    Waiting,
    /// A connection is being made.
    Connecting,
    /// Logged in; its answers are awaited.
    Probing,
    /// Its answers are in; its plan is being made.
    Planning,
    /// Planned; nothing runs.
    Planned,
    /// An action runs.
    Acting {
        /// From 1.
        step: usize,
        /// Of how many.
        steps: usize,
        /// "install docker.io".
        action: String,
        /// The last line that the host said.
        said: String,
    },
    /// The last action has run; the host is looked at again.
    Verifying,
    /// Done with.
    Ended,
}

/// An action that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// "install docker.io".
    pub action: String,
    /// Milliseconds.
    pub took_ms: u64,
}

/// One host's part of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct HostStory {
    /// Its name; empty for events that named no host.
    pub name: String,
    /// When its first event came, and when it was done with.
    pub began: Option<u64>,
    /// When it was done with.
    pub ended: Option<u64>,
    /// What it is at.
    pub phase: Phase,
    /// `user@address:port`.
    pub address: String,
    /// Who logged in, and how long that took in milliseconds.
    pub login: Option<(String, u64)>,
    /// What it runs.
    pub system: String,
    /// Its plan, once made. A later plan replaces what was unknown and keeps what was shown as a change.
    pub tasks: Option<Vec<TaskPlan>>,
    /// What no task declares.
    pub findings: Vec<Finding>,
    /// Checks of the readiness gate, in order.
    pub checks: Vec<ReadyCheck>,
    /// Actions done, in order.
    pub done: Vec<Done>,
    /// What the guard did, as sentences.
    pub guard: Vec<String>,
    /// Whether the guard window is open.
    pub armed: bool,
    /// What did not hold when it was looked at again; `None` before.
    pub differs: Option<Vec<(usize, String, String)>>,
    /// Notes.
    pub notes: Vec<String>,
    /// Failures.
    pub failures: Vec<Failure>,
    /// Sums and exit code, once done with.
    pub end: Option<(Tally, Exit)>,
    /// Why it was left alone, where the run stopped before its turn.
    pub not_begun: Option<String>,
}

/// How far a copy is: `412 MB of 1.2 GB, 85 MB/s, 9 s left`.
fn copying(bytes: u64, total: u64, rate: u64, left_s: Option<u64>) -> String {
    let left = left_s.map(|left| match left {
        0..60 => format!(", {left} s left"),
        _ => format!(", {}:{:02} min left", left / 60, left % 60),
    });
    format!("{} of {}, {}/s{}", size(bytes), size(total), size(rate), left.unwrap_or_default())
}

impl HostStory {
    /// Milliseconds from its first event to its last.
    pub(super) fn took_ms(&self) -> u64 {
        self.ended.unwrap_or(0).saturating_sub(self.began.unwrap_or(0))
    }

    /// Its sums: as told, or else as its plan has them.
    pub(super) fn tally(&self) -> Tally {
        if let Some((tally, _)) = self.end {
            return tally;
        }
        if self.not_begun.is_some() {
            return Tally::default();
        }
        let mut tally = Tally { findings: self.findings.len(), ..Tally::default() };
        for task in self.tasks.iter().flatten() {
            tally.count(task.verdict);
        }
        tally
    }

    /// Whether nothing went wrong but that tasks were refused: the host's exit code counts that as failed.
    pub(super) fn is_only_refused(&self) -> bool {
        self.failures.is_empty()
            && matches!(self.end, Some((tally, Exit::HostFailed)) if tally.refused > 0 && tally.failed == 0)
    }

    /// How it ended, in a word or two. `None` where its counts say it all.
    pub(super) fn ending(&self) -> Option<&'static str> {
        match self.end.map(|(_, exit)| exit) {
            None if self.not_begun.is_some() => Some("not begun"),
            None => Some("cut off"),
            Some(Exit::Done | Exit::Drift) => None,
            Some(Exit::HostFailed) if self.is_only_refused() => None,
            Some(Exit::HostFailed) => Some("failed"),
            Some(Exit::Unreachable) => Some("unreachable"),
            Some(Exit::BadInput) => Some("not begun"),
            Some(Exit::GuardRestored) => Some("put back by its guard"),
            Some(Exit::HostBusy) => Some("busy with another run"),
            Some(Exit::Interrupted) => Some("interrupted"),
        }
    }

    /// Whether a plan can still come.
    pub(super) fn may_plan(&self) -> bool {
        self.tasks.is_none() && self.end.is_none() && self.not_begun.is_none() && self.failures.is_empty()
    }

    fn planned(&mut self, tasks: &[TaskPlan], findings: &[Finding]) {
        let Some(old) = &mut self.tasks else {
            self.tasks = Some(tasks.to_vec());
            self.findings = findings.to_vec();
            return;
        };
        for task in tasks {
            match old.iter_mut().find(|t| t.task == task.task) {
                // What an earlier plan said would change has been changed by now: its diff is the story.
                Some(known) if known.verdict == Verdict::Change && task.verdict == Verdict::InSync => {}
                Some(known) => *known = task.clone(),
                None => old.push(task.clone()),
            }
        }
        for finding in findings {
            if !self.findings.contains(finding) {
                self.findings.push(finding.clone());
            }
        }
    }

    fn event(&mut self, ms: u64, kind: &EventKind) {
        self.began.get_or_insert(ms);
        match kind {
            EventKind::HostConnecting { address } => {
                self.address.clone_from(address);
                self.phase = Phase::Connecting;
            }
            EventKind::HostConnected { user, took_ms } => {
                self.login = Some((user.clone(), *took_ms));
                self.phase = Phase::Probing;
            }
            EventKind::Note { text } => self.notes.push(text.clone()),
            EventKind::ReadyChecked(check) => {
                self.checks.push(check.clone());
                self.phase = Phase::Verifying;
            }
            EventKind::ProbeFinished { system, .. } => {
                self.system.clone_from(system);
                self.phase = Phase::Planning;
            }
            EventKind::Planned { tasks, findings } => {
                self.planned(tasks, findings);
                self.phase = Phase::Planned;
            }
            EventKind::ActionStarted { action, step, steps, .. } => {
                self.phase = Phase::Acting { step: *step, steps: *steps, action: action.clone(), said: String::new() };
            }
            EventKind::Output { line } => {
                if let Phase::Acting { said, .. } = &mut self.phase {
                    said.clone_from(line);
                }
            }
            EventKind::Copying { bytes, total, bytes_per_second, left_s } => {
                if let Phase::Acting { said, .. } = &mut self.phase {
                    *said = copying(*bytes, *total, *bytes_per_second, *left_s);
                }
            }
            EventKind::ActionFinished { action, took_ms, .. } => {
                self.done.push(Done { action: action.clone(), took_ms: *took_ms });
                if matches!(self.phase, Phase::Acting { step, steps, .. } if step >= steps) {
                    self.phase = Phase::Verifying;
                }
            }
            EventKind::Verified { differs, .. } => self.differs = Some(differs.clone()),
            EventKind::HostFailed(failure) => self.failures.push(failure.clone()),
            EventKind::HostNotBegun { why } => {
                self.not_begun = Some(why.clone());
                self.phase = Phase::Ended;
            }
            EventKind::HostFinished { tally, exit } => {
                self.end = Some((*tally, *exit));
                self.ended = Some(ms);
                self.phase = Phase::Ended;
            }
            EventKind::GuardArmed { .. } | EventKind::GuardConfirmed { .. } | EventKind::GuardRestored { .. } => {
                self.armed = matches!(kind, EventKind::GuardArmed { .. });
                self.guard.extend(guard_sentence(kind));
            }
            EventKind::RunStarted { .. } | EventKind::RunFinished { .. } | EventKind::RunRefused { .. } => {}
        }
    }
}

/// A mistake in a file as what went wrong.
fn failure(mistake: &Mistake) -> Failure {
    let place = mistake.file.as_ref().map(|file| match (mistake.line, mistake.column) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        _ => file.clone(),
    });
    let help = (!mistake.help.is_empty()).then(|| mistake.help.join("; "));
    Failure { what: mistake.what.clone(), place, help, ..Failure::default() }
}

/// What a guard event says, calmly. `None` for other events.
pub(super) fn guard_sentence(kind: &EventKind) -> Option<String> {
    match kind {
        EventKind::GuardArmed { window_s, covers } => {
            Some(format!("guard armed over {}: undone in {window_s} s unless a new login confirms", listed(covers)))
        }
        EventKind::GuardConfirmed { login, .. } => Some(format!("guard confirmed by a new login as {login}")),
        EventKind::GuardRestored { restored, cause, left, forced } => {
            let mut told = format!("the guard put the host back as it was: {}; cause: {cause}", listed(restored));
            for (word, names) in [("left alone", left), ("overruled", forced)] {
                if !names.is_empty() {
                    told.push_str(&format!("; {word}, of somebody else: {}", listed(names)));
                }
            }
            Some(told)
        }
        _ => None,
    }
}

/// `a, b, c`, or words for none.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// From more hosts than this on a line for each is more than anyone reads.
const FEW: usize = 24;

impl Story {
    /// Whether there are so many hosts that they are told in groups.
    pub(super) fn is_large(&self) -> bool {
        self.hosts.len() > FEW
    }

    /// Takes one event in. Returns the host's place in [`Story::hosts`], for what happened on a host.
    pub(super) fn event(&mut self, event: &Event) -> Option<usize> {
        self.ms = self.ms.max(event.ms);
        match (&event.kind, &event.host) {
            (EventKind::RunStarted { command, arguments, version, hosts }, _) => {
                self.command.clone_from(command);
                self.arguments.clone_from(arguments);
                self.version.clone_from(version);
                for host in hosts {
                    self.host(host.as_str());
                }
                None
            }
            (EventKind::RunFinished { tally, exit }, _) => {
                self.end = Some((*tally, *exit));
                None
            }
            (EventKind::RunRefused { mistakes, .. }, _) => {
                self.failures.extend(mistakes.iter().filter(|mistake| !mistake.warning).map(failure));
                None
            }
            (EventKind::Note { text }, None) => {
                self.notes.push(text.clone());
                None
            }
            (EventKind::HostFailed(failure), None) => {
                self.failures.push(failure.clone());
                None
            }
            (kind, host) => {
                let at = self.host(host.as_ref().map_or("", |host| host.as_str()));
                self.hosts[at].event(event.ms, kind);
                Some(at)
            }
        }
    }

    fn host(&mut self, name: &str) -> usize {
        self.hosts.iter().position(|host| host.name == name).unwrap_or_else(|| {
            self.hosts.push(HostStory { name: name.to_owned(), ..HostStory::default() });
            self.hosts.len() - 1
        })
    }

    /// The sums of all hosts, as far as they are told.
    pub(super) fn tally(&self) -> Tally {
        self.hosts.iter().map(HostStory::tally).fold(Tally::default(), Tally::plus)
    }

    /// Whether changes are only looked for, not made.
    pub(super) fn is_check(&self) -> bool {
        self.command == "check" || (self.command == "undo" && self.arguments.iter().any(|word| word == "--check"))
    }

    /// Whether data goes to or from a host, which is told step by step.
    pub(super) fn is_move(&self) -> bool {
        ["migrate", "backup", "restore"].contains(&self.command.as_str())
    }

    /// `bedplate VERB` with this run's arguments, as one would type it: a plan that a check has saved is what an apply
    /// is given, and no check needs one.
    pub(super) fn command_line(&self, verb: &str) -> String {
        let mut words = vec![format!("bedplate {verb}")];
        let mut arguments = self.arguments.iter();
        while let Some(word) = arguments.next() {
            match (word.as_str(), verb) {
                ("--plan" | "--serial", "check") => drop(arguments.next()),
                ("--check", "undo") => {}
                ("--save", "apply") => words.push("--plan".to_owned()),
                _ => words.push(quoted(word)),
            }
        }
        words.join(" ")
    }
}

/// A word as a shell takes it, in quotes only where it needs them.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    shlex::try_quote(word).unwrap_or_default().into_owned()
}
