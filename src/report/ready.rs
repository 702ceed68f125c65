//! The readiness gate drawn: a line a check with its fix below, and a line a host at the end.

use crate::base::event::{Readiness, ReadyCheck, Tally};

use super::ink::{Paper, Tone, cells, count, labelled, pad, shorten, signed};
use super::story::Story;

/// A check. What is ready and not asked for in detail is told too: a gate is believed by what it looked at.
pub(super) fn check(host: &str, check: &ReadyCheck, paper: Paper) -> Vec<String> {
    let sign = match check.readiness {
        Readiness::Ready => ("✓", Tone::Good),
        Readiness::Warning => ("!", Tone::Warning),
        Readiness::NotReady => ("✗", Tone::Bad),
    };
    let mut lines = signed(host, sign, " ", &format!("{}: {}", check.check, check.what), paper);
    if let Some(help) = &check.help {
        lines.extend(labelled(&format!("{}    help: ", " ".repeat(cells(host))), help, paper.cells()));
    }
    lines
}

/// "12 checks passed", "1 warning".
fn counts(tally: Tally) -> impl Iterator<Item = String> {
    let passed = (tally.in_sync > 0).then(|| format!("{} passed", count(tally.in_sync, "check")));
    passed.into_iter().chain((tally.findings > 0).then(|| count(tally.findings, "warning")))
}

/// The sums of all hosts, the weighty first.
pub(super) fn words(tally: Tally) -> String {
    let failed = (tally.failed > 0).then(|| format!("{} failed", count(tally.failed, "check")));
    failed.into_iter().chain(counts(tally)).collect::<Vec<_>>().join(" · ")
}

/// The end: which hosts Kamal will work on.
pub(super) fn summary(story: &Story, paper: Paper) -> Vec<String> {
    let width = story.hosts.iter().map(|host| cells(&host.name)).max().unwrap_or(0).min(paper.cells() / 3);
    let mut lines = Vec::new();
    for host in &story.hosts {
        let tally = host.tally();
        let (sign, word) = match host.ending() {
            None => (("✓", Tone::Good), "ready".to_owned()),
            Some("failed") if tally.in_sync + tally.findings > 0 || host.failures.is_empty() => {
                (("✗", Tone::Bad), format!("not ready: {} failed", count(tally.failed, "check")))
            }
            Some(other) => (("✗", Tone::Bad), other.to_owned()),
        };
        let mut words = vec![word];
        words.extend(counts(tally));
        let name = pad(&shorten(&host.name, width, false), width);
        lines.extend(signed("", sign, &format!(" {name}  "), &words.join(" · "), paper));
    }
    lines
}
