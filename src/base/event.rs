//! The one stream of typed events that a run is told by. The engine sends them, the report draws them; JSON lines are
//! these types as they stand here, and a recorded run reads back into them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diff;
use super::exit::Exit;
use super::name::HostName;

/// The version of the schema. Fields and events are only added within a version.
pub const SCHEMA: u32 = 1;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// [`SCHEMA`].
    pub v: u32,
    /// Milliseconds since the run began.
    pub ms: u64,
    /// The host it happened on; absent for what concerns the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What a host came to, for its task list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    InSync,
    /// To be changed (in a check), or being changed (in an apply).
    Change,
    /// Can not be known before an earlier task has run.
    KnownLater,
    /// Its `when` is false, or the host can not have it (a kernel setting in a container).
    Skipped,
    /// Must not be done; see `why`.
    Refused,
}

/// One task as planned for one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskPlan {
    /// Number of the task on this host, from 1, in the order of execution.
    pub task: usize,
    /// Its name.
    pub name: String,
    /// The resource it declares, such as `sysctl`.
    pub resource: String,
    /// `playbook file:line`.
    pub place: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it came to that: always said for `in_sync`, `known_later`, `skipped` and `refused`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do about a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What will change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<PlannedChange>,
    /// Whether its changes can cut access and so run under the guard.
    #[serde(default)]
    pub guarded: bool,
}

/// One change of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedChange {
    /// "write /etc/fstab", "install ufw", in the imperative.
    pub summary: String,
    /// What it looks like; absent where the summary says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
}

/// Something on a host that no task declares but its owner should know of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A short stable name, such as `foreign-ufw-rule`.
    pub id: String,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What a check of the readiness gate came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// As the deployer needs it.
    Ready,
    /// The deployer will work; its owner should know all the same.
    Warning,
    /// The deployer would fail.
    NotReady,
}

/// One check of the readiness gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyCheck {
    /// A short stable name, such as `docker-server`.
    pub check: String,
    /// What it came to.
    pub readiness: Readiness,
    /// What was found, and why that matters.
    pub what: String,
    /// What to do; absent where nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How many tasks came to what on one host, or on all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// Tasks in sync.
    pub in_sync: usize,
    /// Tasks that differ (check) or were changed (apply).
    pub changed: usize,
    /// Tasks that can only be known after others have run.
    pub known_later: usize,
    /// Tasks skipped.
    pub skipped: usize,
    /// Tasks refused.
    pub refused: usize,
    /// Tasks that failed.
    pub failed: usize,
    /// Unmanaged findings.
    pub findings: usize,
}

impl Tally {
    /// The sum of two hosts.
    #[must_use]
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            in_sync: self.in_sync + other.in_sync,
            changed: self.changed + other.changed,
            known_later: self.known_later + other.known_later,
            skipped: self.skipped + other.skipped,
            refused: self.refused + other.refused,
            failed: self.failed + other.failed,
            findings: self.findings + other.findings,
        }
    }

    /// Counts one planned task.
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::InSync => self.in_sync += 1,
            Verdict::Change => self.changed += 1,
            Verdict::KnownLater => self.known_later += 1,
            Verdict::Skipped => self.skipped += 1,
            Verdict::Refused => self.refused += 1,
        }
    }
}

/// A failure as it is told: what, what the host said, how the host was left, what to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A lower-case phrase: what failed.
    pub what: String,
    /// `playbook file:line` of the task, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The last lines that the host said, controls stripped, secrets replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
    /// In what state the host was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// One thing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Something wrong with the command line or a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mistake {
    /// A lower-case phrase: what is wrong.
    pub what: String,
    /// Whether it alone would not have stopped the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    /// The file as the user knows it, or `--set`; absent where the mistake is in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The character in the line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Things to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
}

/// Every event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A run begins.
    RunStarted {
        /// `check`, `apply` …
        command: String,
        /// What followed the command, as typed and without secrets: for the sentence that tells the next command.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        arguments: Vec<String>,
        /// bedplate's version.
        version: String,
        /// The hosts of the run.
        hosts: Vec<HostName>,
    },
    /// A connection is being made.
    HostConnecting {
        /// `user@address:port`.
        address: String,
    },
    /// Logged in, and the held shell answers.
    HostConnected {
        /// Who logged in, such as `root` or `admin (sudo)`.
        user: String,
        /// How long it took.
        took_ms: u64,
    },
    /// Something to know that is neither change nor failure: a kept report, a wait and its reason.
    Note {
        /// A phrase.
        text: String,
    },
    /// The host's answers are in.
    ProbeFinished {
        /// What it runs, such as `Debian 12 (bookworm) amd64`.
        system: String,
        /// How many facts were asked.
        facts: usize,
        /// How long it took.
        took_ms: u64,
    },
    /// The plan for the host, task by task.
    Planned {
        /// Every task, in order.
        tasks: Vec<TaskPlan>,
        /// What no task declares.
        findings: Vec<Finding>,
    },
    /// An action begins.
    ActionStarted {
        /// Number of the task it belongs to.
        task: usize,
        /// The task's name.
        name: String,
        /// "install docker.io".
        action: String,
        /// Its place among this host's actions, from 1.
        step: usize,
        /// How many actions the plan holds so far.
        steps: usize,
    },
    /// A line that the host said while an action ran.
    Output {
        /// The line, controls stripped, secrets replaced.
        line: String,
    },
    /// How far a copy is that an action makes.
    Copying {
        /// Bytes copied or found there already.
        bytes: u64,
        /// Bytes in all, as far as is known.
        total: u64,
        /// Bytes in a second, on average.
        bytes_per_second: u64,
        /// Seconds that it will still take at that rate; absent while there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_s: Option<u64>,
    },
    /// An action ended well.
    ActionFinished {
        /// Number of the task it belongs to.
        task: usize,
        /// "install docker.io".
        action: String,
        /// How long it took.
        took_ms: u64,
    },
    /// The host will put itself back unless a new login confirms.
    GuardArmed {
        /// Seconds until it does.
        window_s: u64,
        /// What it covers, such as `sshd, ufw`.
        covers: Vec<String>,
    },
    /// A new login has confirmed, and the host is disarmed.
    GuardConfirmed {
        /// How the new login came in: `deploy@203.0.113.5:22`.
        login: String,
        /// From the arming on.
        took_ms: u64,
    },
    /// The host has put itself back.
    GuardRestored {
        /// What was put back.
        restored: Vec<String>,
        /// Why no login confirmed.
        cause: String,
        /// What somebody else had changed meanwhile and was therefore left alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
        /// What somebody else had changed meanwhile and was put back all the same, as it might keep everybody out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        forced: Vec<String>,
    },
    /// The host was looked at again.
    Verified {
        /// Tasks that did not hold: number, name and what differs. Empty when all is as predicted.
        differs: Vec<(usize, String, String)>,
        /// How long it took.
        took_ms: u64,
    },
    /// A check of the readiness gate is done.
    ReadyChecked(ReadyCheck),
    /// No run was begun, since the command line or a file is wrong; or bedplate itself could not go on. It is the only
    /// event, or the last.
    RunRefused {
        /// What the process ends with.
        exit: Exit,
        /// Everything that is wrong, in the order of the files.
        mistakes: Vec<Mistake>,
        /// The same as it was printed on standard error, each mistake with the lines of its file.
        text: String,
    },
    /// A host failed; it is done with.
    HostFailed(Failure),
    /// A host is left alone: the run stopped before it was its turn. Nothing on it was changed. No `host_finished` follows.
    HostNotBegun {
        /// Why: too many others failed, or Ctrl-C.
        why: String,
    },
    /// A host is done with.
    HostFinished {
        /// Its sums.
        tally: Tally,
        /// What it alone would end the process with.
        exit: Exit,
    },
    /// The run is over.
    RunFinished {
        /// The sums of all hosts.
        tally: Tally,
        /// What the process ends with.
        exit: Exit,
    },
}

impl EventKind {
    /// Its name in the stream.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::RunStarted { .. } => "run_started",
            EventKind::HostConnecting { .. } => "host_connecting",
            EventKind::HostConnected { .. } => "host_connected",
            EventKind::Note { .. } => "note",
            EventKind::ProbeFinished { .. } => "probe_finished",
            EventKind::Planned { .. } => "planned",
            EventKind::ActionStarted { .. } => "action_started",
            EventKind::Output { .. } => "output",
            EventKind::Copying { .. } => "copying",
            EventKind::ActionFinished { .. } => "action_finished",
            EventKind::GuardArmed { .. } => "guard_armed",
            EventKind::GuardConfirmed { .. } => "guard_confirmed",
            EventKind::GuardRestored { .. } => "guard_restored",
            EventKind::Verified { .. } => "verified",
            EventKind::ReadyChecked(_) => "ready_checked",
            EventKind::RunRefused { .. } => "run_refused",
            EventKind::HostFailed(_) => "host_failed",
            EventKind::HostNotBegun { .. } => "host_not_begun",
            EventKind::HostFinished { .. } => "host_finished",
            EventKind::RunFinished { .. } => "run_finished",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_json_object_and_reads_back() {
        let event = Event {
            v: SCHEMA,
            ms: 12,
            host: Some(HostName::new("web1").unwrap()),
            kind: EventKind::HostFailed(Failure { what: "it broke".into(), ..Failure::default() }),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"v":1,"ms":12,"host":"web1","event":"host_failed","what":"it broke"}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        assert_eq!(event.kind.name(), "host_failed");
    }
}
