//! One command, measured from outside; and what many such measurements come to.

use std::process::{Command, Stdio};
use std::time::Instant;

use bedplate::sandbox::{Direction, Relay};

/// What a command cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Seconds on the wall.
    pub(crate) wall: f64,
    /// Seconds of CPU on this side, of the command and of all that it started.
    pub(crate) cpu: f64,
    /// MB of memory at its peak, of the largest process.
    pub(crate) memory: f64,
    /// Round trips: how often this side spoke after the host had; zero where no relay counts.
    pub(crate) turns: u64,
    /// Bytes to the host and back.
    pub(crate) bytes: (u64, u64),
}

/// Runs `command`, which must end with `exit`, and gives what it cost and its standard output.
#[track_caller]
pub(crate) fn measured(command: &Command, exit: i32, relay: Option<&Relay>) -> (Sample, String) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut timed = Command::new("time");
    timed.arg("-o").arg(file.path()).args(["-f", "%U %S %M"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    let count = |relay: &Relay| (relay.turns(), relay.bytes(Direction::ToServer), relay.bytes(Direction::ToClient));
    let before = relay.map(count).unwrap_or_default();
    let begun = Instant::now();
    let output = timed.stdin(Stdio::null()).output().expect("time runs");
    let wall = begun.elapsed().as_secs_f64();
    let after = relay.map(count).unwrap_or_default();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{command:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    let told = std::fs::read_to_string(file.path()).expect("what time says");
    // A command that failed has a line about that before it.
    let numbers: Vec<f64> =
        told.lines().last().unwrap_or_default().split(' ').filter_map(|number| number.parse().ok()).collect();
    let [user, system, kib] = numbers[..] else { panic!("time says `{told}`") };
    let sample = Sample {
        wall,
        cpu: user + system,
        memory: kib / 1000.0 * 1.024,
        turns: after.0 - before.0,
        bytes: (after.1 - before.1, after.2 - before.2),
    };
    (sample, stdout.into_owned())
}

/// Samples of several subjects, a round each: the first subject is what the others are compared with.
#[derive(Debug, Default)]
pub(crate) struct Rounds(pub(crate) Vec<(&'static str, Vec<Sample>)>);

impl Rounds {
    /// Runs every subject once a round, in turn. The first round only warms up and does not count.
    pub(crate) fn run(rounds: usize, subjects: &mut [(&'static str, &mut dyn FnMut() -> Sample)]) -> Self {
        let mut all = Self(subjects.iter().map(|(name, _)| (*name, Vec::new())).collect());
        for round in 0..=rounds {
            for ((_, run), (_, samples)) in subjects.iter_mut().zip(&mut all.0) {
                let sample = run();
                if round > 0 {
                    samples.push(sample);
                }
            }
        }
        all
    }

    pub(crate) fn of(&self, name: &str) -> &[Sample] {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, samples)| samples.as_slice()).expect("a subject")
    }

    /// The median of `name`'s time over that of `base` in the same round.
    pub(crate) fn ratio(&self, name: &str, base: &str) -> f64 {
        let pairs = self.of(name).iter().zip(self.of(base));
        median(pairs.map(|(one, other)| one.wall / other.wall).collect())
    }
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "there is nothing to take the middle of");
    values.sort_by(f64::total_cmp);
    let above = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[above - 1], values[above]) } else { values[above] }
}

/// The median of one measure.
pub(crate) fn middle(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(of).collect())
}
