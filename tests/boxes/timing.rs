//! How long a drift check takes, side by side with `ssh host true`, in pairs so that what else this machine does counts
//! for both. To be read with a release build: `cargo test --release --test boxes timing -- --ignored --nocapture`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use bedplate::sandbox::Suite;

use super::support::Rig;

const PAIRS: usize = 15;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

#[test]
#[ignore = "full tier: a timing, to be read with a release build"]
fn timing_of_a_drift_check_against_ssh_host_true() {
    let rig = Rig::up(Suite::Bookworm);
    rig.run("apply", &[]).exits(0);
    let ratios = (0..PAIRS).map(|_| {
        let ssh = timed(|| drop(rig.login("root", "true").exits(0)));
        let check = timed(|| drop(rig.run("check", &[]).exits(0)));
        check.as_secs_f64() / ssh.as_secs_f64()
    });
    let ratio = median(ratios.collect());
    // Past the harness, which keeps what passing tests print to itself.
    let text = format!("a drift check takes {ratio:.2} times what `ssh host true` takes (median of {PAIRS} pairs)\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
    // A build that is not optimised shows only that nothing has become slow by far.
    let most = if cfg!(debug_assertions) { 2.0 } else { 1.1 };
    assert!(ratio < most, "{text}");
}
