//! A bare box made ready, against a script written by hand that does the same work, each on a box of its own.

use std::path::Path;

use super::Size;
use super::apart::parts;
use super::fleet::{Fleet, Way};
use super::goals::Goals;
use super::page::Page;
use super::sample::{measured, median};

/// Applies, and runs the script, in turn.
pub(crate) fn measure(size: Size, page: &mut Page, goals: &mut Goals) {
    if size.fresh == 0 {
        super::say("a fresh apply is left out of a short run");
        return;
    }
    let words = "Everything from nothing, on pairs of bare boxes: `bedplate apply`, and one ssh with `tests/bench/by_hand.sh`, which knows \
                 nothing, asks nothing and proves nothing: one apt transaction, swap, accounts, files, firewall, sshd, Docker. \
                 The guard is counted apart.";
    page.part("A fresh box", words);
    page.text("| | by hand, s | bedplate, s | its guard | without it, of by hand | CPU here | peak memory, MB |\n|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for pair in 1..=size.fresh {
        let fleet = Fleet::up(2);
        let script = fleet.folder().join("by_hand.sh");
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/by_hand.sh"));
        let (left, right) = (&fleet.boxes[pair % 2], &fleet.boxes[(pair + 1) % 2]);
        let text = text.expect("the script").replace("/swapfile", &left.swap());
        std::fs::write(&script, text).expect("a file");
        let run_by_hand = || measured(&left.ssh_script(Way::Near, &script), 0, None).0;
        let run_bedplate = || measured(&right.bedplate(Way::Near, "apply", &["--json"]), 0, None);
        // Whoever goes first finds the mirror's answers less warm.
        let (by_hand, (applied, stdout)) = if pair % 2 == 0 {
            let by_hand = run_by_hand();
            (by_hand, run_bedplate())
        } else {
            let applied = run_bedplate();
            (run_by_hand(), applied)
        };
        let guard = parts(&stdout).guard;
        let ratio = (applied.wall - guard) / by_hand.wall;
        ratios.push(ratio);
        page.text(&format!(
            "| pair {pair} | {:.1} | {:.1} | {guard:.1} | {ratio:.2} | {:.2} | {:.1} |",
            by_hand.wall, applied.wall, applied.cpu, applied.memory
        ));
    }
    goals.at_most("a fresh apply without its guard takes, of the script by hand", 1.15, median(ratios), "");
}
