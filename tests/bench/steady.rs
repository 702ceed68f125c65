//! Looks and applies that change nothing, on one host.

use std::path::PathBuf;

use super::Size;
use super::fleet::{Box, Fleet, Way};
use super::goals::Goals;
use super::page::Page;
use super::sample::{Rounds, measured, middle};

pub(crate) const TRUE: &str = "`ssh host true`";
pub(crate) const PROBE: &str = "the probe script by ssh";
pub(crate) const CHECK: &str = "`bedplate check`";
pub(crate) const APPLY: &str = "`bedplate apply`, nothing to do";

/// What `check` would ask, as a script that ssh can be fed with.
pub(crate) fn probe_script(one: &Box) -> PathBuf {
    let path = one.folder().join("probe.sh");
    let (_, script) = measured(&one.bedplate(Way::Near, "check", &["--show-script"]), 0, None);
    std::fs::write(&path, script).expect("a file");
    path
}

/// A fresh box, which a check finds all of its changes for.
pub(crate) fn before_the_first_apply(size: Size, fleet: &Fleet, page: &mut Page) {
    page.part("A check of a fresh box", "Nothing is installed yet: every change is planned and its diff drawn.");
    let one = &fleet.boxes[0];
    for way in Way::BOTH {
        let mut login = || measured(&one.ssh(way, &["true"]), 0, one.counted(way)).0;
        let mut check = || measured(&one.bedplate(way, "check", &[]), 2, one.counted(way)).0;
        let rounds = Rounds::run(size.rounds / 2, &mut [(TRUE, &mut login), (CHECK, &mut check)]);
        page.rounds(way.words(), &rounds);
    }
}

/// A box on which everything is as declared.
pub(crate) fn converged(size: Size, fleet: &Fleet, page: &mut Page, goals: &mut Goals) {
    page.part("No drift", "All built-in playbooks on, one host.");
    let one = &fleet.boxes[0];
    let script = probe_script(one);
    for way in Way::BOTH {
        let mut login = || measured(&one.ssh(way, &["true"]), 0, one.counted(way)).0;
        let mut probe = || measured(&one.ssh_script(way, &script), 0, one.counted(way)).0;
        let mut check = || measured(&one.bedplate(way, "check", &[]), 0, one.counted(way)).0;
        let mut apply = || measured(&one.bedplate(way, "apply", &[]), 0, one.counted(way)).0;
        let rounds = Rounds::run(
            size.rounds,
            &mut [(TRUE, &mut login), (PROBE, &mut probe), (CHECK, &mut check), (APPLY, &mut apply)],
        );
        page.rounds(way.words(), &rounds);
        let what = format!("a check takes, of `ssh host true`, {}", way.words());
        goals.at_most(what, 1.0, rounds.ratio(CHECK, TRUE), "");
        let checks = rounds.of(CHECK);
        if way == Way::Far {
            goals.at_most("round trips of a check", 10.0, middle(checks, |sample| sample.turns as f64), "");
        } else {
            goals.at_most("peak memory of a check of one host", 25.0, middle(checks, |sample| sample.memory), " MB");
        }
    }
}
