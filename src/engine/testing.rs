//! A run for the tests of this room.

use std::sync::Arc;

use tokio::sync::mpsc::Receiver;

use super::record::Operator;
use super::{Consent, Mode, Review, Rollout, Run, guard};
use crate::base::event::Event;
use crate::base::secret::Redactor;
use crate::ssh::Connector;

/// A run that applies, with the shortest window, over `connector`; and its events.
pub(super) fn run(connector: Connector) -> (Run, Receiver<Event>) {
    let (events, incoming) = tokio::sync::mpsc::channel(64);
    let run = Run {
        mode: Mode::Apply,
        strict: false,
        arguments: Vec::new(),
        operator: Operator { name: "test".into(), process: 1, since: String::new() },
        version: "0".into(),
        window: guard::SHORTEST_WINDOW,
        places: Arc::new(tokio::sync::Semaphore::new(1)),
        rollout: Rollout::default(),
        consent: Consent::new(1, None),
        review: Review::None,
        redactor: Redactor::default(),
        stop: tokio_util::sync::CancellationToken::new(),
        connector: Arc::new(connector),
        events,
        started: std::time::Instant::now(),
    };
    (run, incoming)
}
