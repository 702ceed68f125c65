//! Doing: one host in a straight line (connect, look, plan, act, look again), many hosts at once. The only floor where
//! plans meet connections. It tells what happens as events and prints nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::base::event::{self, Event, EventKind, Tally};
use crate::base::name::HostName;
use crate::base::secret::Redactor;
use crate::base::{Digest, Exit};
use crate::plan::Task;
use crate::ssh::{Connector, Target};

mod arrive;
pub mod consent;
pub mod descriptors;
pub mod fleet;
#[cfg(test)]
mod fleet_tests;
pub mod guard;
mod guarded;
mod host;
pub mod jobs;
mod line;
mod probe;
pub mod record;
mod remember;
pub mod reviewed;
pub mod rollout;
pub mod saved;
mod steps;
#[cfg(test)]
mod testing;
pub mod undo;
mod way;

pub use consent::{Consent, Consented};
pub use fleet::run;
pub use probe::ask;
pub use reviewed::Review;
pub use rollout::Rollout;

/// One host of a run: how it is reached, and what should be true of it.
#[derive(Debug)]
pub struct Job {
    /// How it is reached.
    pub target: Target,
    /// Its tasks, in order.
    pub tasks: Vec<Task>,
    /// Digest of the tasks as rendered, for the journal.
    pub playbooks: Digest,
}

/// Whether a run changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Looks and plans; nothing on the host is changed.
    Check,
    /// Looks, plans, acts and looks again.
    Apply,
}

/// What the hosts of a run have in common.
#[derive(Clone)]
pub struct Run {
    /// Whether anything is changed.
    pub mode: Mode,
    /// Whether findings alone count as drift.
    pub strict: bool,
    /// What followed the command on the command line, without secrets.
    pub arguments: Vec<String>,
    /// Who runs it.
    pub operator: record::Operator,
    /// bedplate's version, for the journal.
    pub version: String,
    /// Seconds for which a guarded group may stay unconfirmed.
    pub window: Duration,
    /// How many hosts are worked on at once.
    pub places: Arc<Semaphore>,
    /// In what batches, and when no further host is begun.
    pub rollout: Rollout,
    /// Asked before anything is changed.
    pub consent: Consent,
    /// Whether its plan is saved, or is to be a saved one.
    pub review: Review,
    /// Secrets that must not appear in what the hosts say.
    pub redactor: Redactor,
    /// Cancelled by Ctrl-C: no new action begins.
    pub stop: CancellationToken,
    /// Makes connections.
    pub connector: Arc<Connector>,
    /// Where events go.
    pub events: Sender<Event>,
    /// Start of the run.
    pub started: Instant,
}

/// How one host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its sums.
    pub tally: Tally,
    /// What it alone would end the process with.
    pub exit: Exit,
}

/// Sends events of one host, or of the run.
#[derive(Clone)]
pub(crate) struct Teller {
    events: Sender<Event>,
    host: Option<HostName>,
    started: Instant,
}

impl Teller {
    pub(crate) fn new(run: &Run, host: Option<&HostName>) -> Self {
        Self { events: run.events.clone(), host: host.cloned(), started: run.started }
    }

    fn event(&self, kind: EventKind) -> Event {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Event { v: event::SCHEMA, ms, host: self.host.clone(), kind }
    }

    /// Sends `kind`, waiting while the report is behind. A report that has gone away stops no host.
    pub(crate) async fn tell(&self, kind: EventKind) {
        tracing::debug!(event = kind.name(), "told");
        let _ = self.events.send(self.event(kind)).await;
    }

    /// Sends `kind` unless the report is far behind: for lines of output, which may be lost.
    pub(crate) fn tell_if_room(&self, kind: EventKind) {
        let _ = self.events.try_send(self.event(kind));
    }
}
