//! The parts of an apply, read from its events: what its commands took by themselves, and its guard.

use bedplate::base::{Event, EventKind};

/// Seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    /// The actions, as the host's answers delimit them, those under the guard left out.
    pub(crate) commands: f64,
    /// From where a guard begins to be armed until it is confirmed, with the actions in between.
    pub(crate) guard: f64,
}

/// Reads the events of `apply --json`.
pub(crate) fn parts(stdout: &str) -> Parts {
    let events: Vec<Event> = stdout.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let mut parts = Parts::default();
    // Arming is an exchange that ends with its event: it began when the event before was told.
    let (mut armed, mut before) = (None, 0);
    for event in &events {
        match &event.kind {
            EventKind::GuardArmed { .. } => armed = Some(before),
            EventKind::GuardConfirmed { .. } => {
                let since = armed.take().expect("a guard that was armed");
                parts.guard += (event.ms - since) as f64 / 1000.0;
            }
            EventKind::ActionFinished { took_ms, .. } if armed.is_none() => parts.commands += *took_ms as f64 / 1000.0,
            _ => {}
        }
        before = event.ms;
    }
    assert!(armed.is_none(), "a guard was not confirmed");
    parts
}

#[test]
fn a_guard_counts_from_its_arming_and_what_it_covers_not_twice() {
    let finished = |ms: u64, took: u64| {
        format!("{{\"v\":1,\"ms\":{ms},\"event\":\"action_finished\",\"task\":1,\"action\":\"x\",\"took_ms\":{took}}}")
    };
    let lines = [
        finished(1000, 400),
        "{\"v\":1,\"ms\":1300,\"event\":\"guard_armed\",\"window_s\":60,\"covers\":[]}".into(),
        finished(1500, 200),
        "{\"v\":1,\"ms\":2000,\"event\":\"guard_confirmed\",\"login\":\"x\",\"took_ms\":700}".into(),
        finished(2600, 600),
    ];
    let parts = parts(&lines.join("\n"));
    assert!((parts.commands - 1.0).abs() < 1e-9 && (parts.guard - 1.0).abs() < 1e-9, "{parts:?}");
}
