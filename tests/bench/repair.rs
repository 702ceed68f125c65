//! Three drifts, found and repaired: a file, a service, and a rule of the firewall, which is repaired under the guard.

use super::Size;
use super::apart::parts;
use super::fleet::{Box, Fleet, Way};
use super::goals::{Goals, number};
use super::page::Page;
use super::sample::{measured, median, middle};

/// A round trip on the far way, in seconds.
const ROUND_TRIP: f64 = 0.05;

/// Three drifts: how they are called, and what brings them about. What is done under the guard goes by the order of tasks.
struct Drifts(&'static str, [&'static str; 3]);

const RULE: &str = "ufw delete allow 443/tcp > /dev/null";

const BOTH: [Drifts; 2] = [
    Drifts(
        "the rule first",
        [RULE, "echo '# x' >> /etc/apt/apt.conf.d/52-bedplate-local", "rm /etc/profile.d/60-bedplate-core.sh"],
    ),
    Drifts(
        "the rule last",
        ["echo '# x' >> /etc/sysctl.d/60-bedplate-swap.conf", "rm /etc/systemd/journald.conf.d/60-bedplate.conf", RULE],
    ),
];

impl Drifts {
    fn befall(&self, one: &Box) {
        for line in self.1 {
            one.inside(line);
        }
    }
}

/// Breaks and repairs, with a check of the repaired host beside each.
pub(crate) fn measure(size: Size, fleet: &Fleet, page: &mut Page, goals: &mut Goals) {
    let words = "A file changed, a file removed, a rule taken out of the firewall. Counted apart: what the commands take by themselves, and \
                 the guard from its arming to its confirmation by a new login, with the commands that it covers. Where what is guarded comes \
                 last, the second look is taken while the new login comes in; else it follows the last command.";
    page.part("Repair of three drifts", words);
    page.text("| | seconds | commands | guard | the rest | a check, same round | round trips |\n|---|---|---|---|---|---|---|");
    let one = &fleet.boxes[0];
    for (way, drifts) in Way::BOTH.into_iter().flat_map(|way| BOTH.iter().map(move |drifts| (way, drifts))) {
        let (mut repairs, mut checks, mut split, mut rests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..size.repairs {
            drifts.befall(one);
            let (repair, stdout) = measured(&one.bedplate(way, "apply", &["--json"]), 0, one.counted(way));
            let (check, _) = measured(&one.bedplate(way, "check", &[]), 0, one.counted(way));
            let found = parts(&stdout);
            let trips = if way == Way::Far { 2.0 * ROUND_TRIP } else { 0.0 };
            rests.push((repair.wall - found.commands - found.guard) / (check.wall + trips));
            repairs.push(repair);
            checks.push(check);
            split.push(found);
        }
        let commands = median(split.iter().map(|parts| parts.commands).collect());
        let guard = median(split.iter().map(|parts| parts.guard).collect());
        let wall = middle(&repairs, |sample| sample.wall);
        page.text(&format!(
            "| {}, {} | {wall:.2} | {commands:.2} | {guard:.2} | {:.2} | {:.2} | {} |",
            way.words(),
            drifts.0,
            wall - commands - guard,
            middle(&checks, |sample| sample.wall),
            number(middle(&repairs, |sample| sample.turns as f64))
        ));
        let what = format!(
            "a repair without its commands and its guard takes, of a check and two round trips, {}, {}",
            way.words(),
            drifts.0
        );
        goals.at_most(what, 1.0, median(rests), "");
    }
}
