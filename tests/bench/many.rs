//! Many hosts at once, each a box of its own.

use super::Size;
use super::fleet::{Fleet, Way};
use super::goals::Goals;
use super::page::Page;
use super::sample::{Rounds, measured, middle};
use super::steady::{CHECK, PROBE, TRUE};

/// Checks 8 and 32 hosts, or as many as are wanted.
pub(crate) fn measure(size: Size, page: &mut Page, goals: &mut Goals) {
    if size.hosts < 2 {
        super::say("many hosts are left out: BEDPLATE_BENCH_HOSTS is 1, or the run is short");
        return;
    }
    let words = "Bare boxes, all at once; hosts and commands share the machine's cores, so CPU decides. bedplate plans and draws every host's \
                 changes; ssh runs side by side, a process a host, and throws the answers away.";
    page.part("Many hosts", words);
    let fleet = Fleet::up(size.hosts);
    let script = fleet.folder().join("probe.sh");
    let mut show = fleet.bedplate(1, Way::Near, "check");
    show.arg("--show-script");
    std::fs::write(&script, measured(&show, 0, None).1).expect("a file");
    let mut counts = vec![8.min(size.hosts), size.hosts];
    counts.dedup();
    for count in counts {
        for way in Way::BOTH {
            let mut login = || measured(&fleet.ssh(count, way, None), 0, None).0;
            let mut probe = || measured(&fleet.ssh(count, way, Some(&script)), 0, None).0;
            let mut check = || measured(&fleet.bedplate(count, way, "check"), 2, None).0;
            let rounds = Rounds::run(
                (size.rounds / 4).max(2),
                &mut [(TRUE, &mut login), (PROBE, &mut probe), (CHECK, &mut check)],
            );
            page.rounds(&format!("{count} hosts, {}", way.words()), &rounds);
            let what = format!("{count} hosts take, of the probe script by parallel ssh, {}", way.words());
            goals.at_most(what, 1.2, rounds.ratio(CHECK, PROBE), "");
            let cpu = middle(rounds.of(CHECK), |sample| sample.cpu) * 1000.0 / count as f64;
            page.text(&format!("CPU of the commanding side: {cpu:.0} ms a host.\n"));
        }
    }
}
