//! Probes through a real dash on the machine that runs the tests.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{Machine, Probe, Question};
use crate::shell::{Batch, Nonce, frame};

/// Exit status and output of each call of `batch`, run by dash.
pub(crate) fn run(batch: &Batch) -> Vec<(u8, Vec<u8>)> {
    let nonce = Nonce::new(9);
    let mut child = Command::new("dash")
        .arg("-s")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dash is needed for this test");
    let script = batch.render(&nonce, 1, &[]).unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let parts = frame::Reader::new(&nonce).push(&output).unwrap();
    let ends = parts.into_iter().filter_map(|part| match part {
        frame::Part::End { status, body, .. } => Some((status, body)),
        _ => None,
    });
    ends.collect()
}

/// What this machine answers to `questions`.
pub(crate) fn probe(questions: Vec<Question>) -> Machine {
    let probe = Probe::new(questions);
    let bodies = run(&probe.batch());
    probe.read(bodies.iter().map(|(_, body)| body.as_slice())).unwrap()
}
