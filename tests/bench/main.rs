//! What bedplate costs, side by side with what it replaces, on local boxes: `ssh host true`, the same questions asked by
//! ssh alone, a script written by hand, and, where they are installed, Ansible and pyinfra.
//!
//! Everything that is compared runs in turn, round by round, and what counts are the ratios within a round: what else the
//! machine does meets all of them. Host keys are checked, the guard is armed and the final look is taken, as always.
//!
//! `cargo test --release --test bench -- --ignored --nocapture what_it_costs` runs it and writes `tests/bench/RESULTS.md`. It can be told,
//! by the environment: `BEDPLATE_BENCH=short` (a minute or two, no page), `BEDPLATE_BENCH_HOSTS=8` (fewer boxes than 32), and
//! `BEDPLATE_PEERS` (a folder with `ansible/site.yml` and `pyinfra/deploy.py` of the same state).

#![allow(clippy::expect_used, clippy::panic, reason = "a test tells its failure by a panic")]

mod apart;
mod fleet;
mod fresh;
mod goals;
mod many;
mod moving;
mod page;
mod peers;
mod repair;
mod sample;
mod simulated;
mod steady;
#[path = "../tools/mod.rs"]
mod tools;

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use page::Page;

/// How much is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Rounds of what takes less than a second.
    rounds: usize,
    /// Rounds of repairs.
    repairs: usize,
    /// Pairs of fresh boxes.
    fresh: usize,
    /// Rounds of moves: an even number, as each way goes first in turn.
    moves: usize,
    /// Boxes at once, the steps of which are measured.
    hosts: usize,
    /// Hosts of the simulation.
    simulated: usize,
}

impl Size {
    fn wanted() -> Self {
        let short = std::env::var("BEDPLATE_BENCH").is_ok_and(|size| size == "short");
        let hosts = std::env::var("BEDPLATE_BENCH_HOSTS").ok().and_then(|hosts| hosts.parse().ok());
        match short {
            true => Self { rounds: 5, repairs: 2, fresh: 0, moves: 1, hosts: hosts.unwrap_or(1), simulated: 200 },
            false => Self { rounds: 21, repairs: 5, fresh: 2, moves: 6, hosts: hosts.unwrap_or(32), simulated: 1000 },
        }
    }
}

/// Measurements run one at a time, whatever the harness does.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // One that failed says nothing of the next.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says how far it is, past the harness, which keeps what passing tests print to itself.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
#[ignore = "alone shows that a run over hundreds of hosts is whole, small and told in one page; boots a box first"]
fn hundreds_of_hosts_in_one_run() {
    let _alone = alone();
    tools::need("time", "time");
    let size = Size { simulated: 300, ..Size::wanted() };
    let (mut page, mut goals) = (Page::new(), goals::Goals::default());
    let rig = fleet::Fleet::up(1);
    rig.boxes[0].converge();
    let replies = simulated::Replies::record(&rig.boxes[0]);
    drop(rig);
    simulated::measure(size, replies, &mut page, &mut goals);
    goals.say();
    goals.assert_met();
}

#[test]
#[ignore = "alone compares a move's copies with rsync's by hand; a benchmark of some minutes, to be read with a release build"]
fn what_a_move_costs() {
    let _alone = alone();
    tools::need("time", "time");
    let (mut page, mut goals) = (Page::new(), goals::Goals::default());
    moving::measure(Size::wanted(), &mut page, &mut goals);
    goals.say();
}

#[test]
#[ignore = "alone compares a check with Ansible and pyinfra, where BEDPLATE_PEERS names them; to be read with a release build"]
fn what_peers_cost() {
    let _alone = alone();
    tools::need("time", "time");
    let (mut page, mut goals) = (Page::new(), goals::Goals::default());
    let rig = fleet::Fleet::up(1);
    rig.boxes[0].converge();
    peers::measure(&rig, &mut page, &mut goals);
    goals.say();
}

#[test]
#[ignore = "a benchmark of some ten minutes, to be read with a release build"]
fn what_it_costs() {
    let _alone = alone();
    tools::need("time", "time");
    let size = Size::wanted();
    let optimised = !cfg!(debug_assertions);
    assert!(optimised || size.fresh == 0, "a benchmark needs a release build: `cargo test --release --test bench`");
    if !optimised {
        say("NOT OPTIMISED: times mean nothing, round trips and bytes do");
    }
    let mut page = Page::new();
    let mut goals = goals::Goals::default();
    fresh::measure(size, &mut page, &mut goals);
    let rig = fleet::Fleet::up(1);
    steady::before_the_first_apply(size, &rig, &mut page);
    rig.boxes[0].converge();
    steady::converged(size, &rig, &mut page, &mut goals);
    repair::measure(size, &rig, &mut page, &mut goals);
    peers::measure(&rig, &mut page, &mut goals);
    let replies = simulated::Replies::record(&rig.boxes[0]);
    drop(rig);
    simulated::measure(size, replies, &mut page, &mut goals);
    moving::measure(size, &mut page, &mut goals);
    many::measure(size, &mut page, &mut goals);
    page.finish(&goals, size.fresh > 0);
    goals.say();
}
