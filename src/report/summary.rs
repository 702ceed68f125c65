//! The end of a run: a line per host, the sum, and a sentence that tells what to do next.

use crate::base::Exit;
use crate::base::event::{Tally, TaskPlan};

use super::ink::{Paper, Tone, cells, count, duration, pad, shorten, signed, unbroken, wrap};
use super::story::{HostStory, Story, quoted};

/// "3 of 25 tasks to change · 1 known later".
pub(super) fn plan_counts(tasks: &[TaskPlan], check: bool) -> String {
    let mut tally = Tally::default();
    for task in tasks {
        tally.count(task.verdict);
    }
    let verb = if check { "differ" } else { "to change" };
    let verb = if check && tally.changed == 1 { "differs" } else { verb };
    let mut words = vec![format!("{} of {} {verb}", tally.changed, count(tasks.len(), "task"))];
    if tally.known_later > 0 {
        words.push(format!("{} known later", tally.known_later));
    }
    if tally.refused > 0 {
        words.push(format!("{} refused", tally.refused));
    }
    words.join(" · ")
}

/// "3 changed · 21 in sync · 1 known later": what is not zero, the weighty first.
pub(super) fn tally_words(tally: Tally, check: bool) -> String {
    let changed = if check { "to change" } else { "changed" };
    let parts = [
        (tally.failed, "failed"),
        (tally.refused, "refused"),
        (tally.changed, changed),
        (tally.in_sync, "in sync"),
        (tally.known_later, "known later"),
        (tally.skipped, "skipped"),
        (tally.findings, "unmanaged"),
    ];
    let words: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    words.join(" · ")
}

fn host_words(host: &HostStory, check: bool, skipped: bool) -> String {
    let ending = host.ending();
    let mut tally = host.tally();
    // What does not apply is the first to go where there is no room.
    if !skipped && tally.in_sync + tally.changed > 0 {
        tally.skipped = 0;
    }
    if ending.is_some() {
        // The word tells it already.
        tally.failed = 0;
    }
    let counts = tally_words(tally, check);
    match (ending, counts.is_empty()) {
        (Some(ending), true) => ending.to_owned(),
        (Some(ending), false) => format!("{ending} · {counts}"),
        (None, true) => "no tasks".to_owned(),
        (None, false) => counts,
    }
}

fn symbol(host: &HostStory, check: bool) -> (&'static str, Tone) {
    match host.end {
        Some((tally, Exit::Done | Exit::Drift)) if tally.failed + tally.refused == 0 => match (check, tally.changed) {
            (true, 1..) => ("~", Tone::Warning),
            (true, 0) => ("=", Tone::Good),
            (false, _) => ("✓", Tone::Good),
        },
        _ => ("!", Tone::Bad),
    }
}

/// The whole summary.
pub(super) fn lines(story: &Story, paper: Paper) -> Vec<String> {
    if story.command == "ready" {
        return super::ready::summary(story, paper);
    }
    if story.is_move() {
        // Its parts are told one by one, and its end by whoever strings them together.
        return Vec::new();
    }
    let check = story.is_check();
    let width = paper.cells();
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let name_width = widest(&mut story.hosts.iter().map(|h| cells(&h.name))).min(width / 3);
    let time_width = widest(&mut story.hosts.iter().map(|h| cells(&duration(h.took_ms()))));
    let words_wide = |skipped| story.hosts.iter().map(|h| cells(&host_words(h, check, skipped))).max().unwrap_or(0);
    let fits = |words: usize| 2 + name_width + 2 + words + 3 + time_width <= width;
    let skipped = fits(words_wide(true)) || !fits(words_wide(false));
    let words_width = words_wide(skipped);
    let mut lines = Vec::new();
    let large = story.is_large();
    if large {
        lines = in_groups(story, paper);
    }
    for host in story.hosts.iter().filter(|_| !large) {
        let (sign, tone) = symbol(host, check);
        let name = pad(&shorten(&host.name, name_width, false), name_width);
        let words = host_words(host, check, skipped);
        let time = if host.ended.is_some() { duration(host.took_ms()) } else { String::new() };
        if fits(words_width) {
            let time = format!("{:>1$}", time, time_width + time.len() - cells(&time));
            let line = format!(
                "{} {}  {}   {}",
                paper.paint(tone, sign),
                paper.paint(Tone::Strong, &name),
                pad(&words, words_width),
                paper.paint(Tone::Faint, &time)
            );
            lines.push(line.trim_end().to_owned());
        } else {
            let text = if time.is_empty() { words } else { format!("{words} · {time}") };
            let text = text.split(" · ").map(unbroken).collect::<Vec<_>>().join("\u{a0}· ");
            lines.extend(signed("", (sign, tone), &format!(" {name}  "), &text, paper));
        }
    }
    if story.hosts.len() > 1 {
        lines.push(String::new());
        lines.extend(wrap(&totals(story), width));
    }
    let next = next_steps(story);
    if !next.is_empty() {
        lines.push(String::new());
        lines.extend(next.iter().flat_map(|sentence| wrap(sentence, width)));
    }
    lines
}

/// Most names of hosts that nothing is to be done about.
const NAMED: usize = 10;

/// Hosts of the same end together: how many, and which. What wants a decision is named host by host.
fn in_groups(story: &Story, paper: Paper) -> Vec<String> {
    let check = story.is_check();
    let mut groups: Vec<(&'static str, Tone, String, Vec<&str>)> = Vec::new();
    for host in &story.hosts {
        let (sign, tone) = symbol(host, check);
        let words = host_words(host, check, true);
        match groups.iter_mut().find(|(known, _, same, _)| *known == sign && *same == words) {
            Some((.., names)) => names.push(&host.name),
            None => groups.push((sign, tone, words, vec![&host.name])),
        }
    }
    // What is well goes first: what is not stands at the end, where one looks.
    groups.sort_by_key(|(sign, _, words, _)| (["=", "✓", "~", "!"].iter().position(|one| one == sign), words.clone()));
    let mut lines = Vec::new();
    for (sign, tone, words, names) in groups {
        let hosts = format!(" {}  ", count(names.len(), "host"));
        lines.extend(signed("", (sign, tone), &hosts, &words, paper));
        let calm = tone == Tone::Good || words == "not begun";
        let shown = if calm { names.len().min(NAMED) } else { names.len() };
        let mut list = names[..shown].join(", ");
        if shown < names.len() {
            list.push_str(&format!(" and {} more", names.len() - shown));
        }
        let list = wrap(&list, paper.cells().saturating_sub(4));
        lines.extend(list.iter().map(|line| format!("    {}", paper.paint(Tone::Faint, line))));
    }
    lines
}

/// "20 hosts: 17 in sync, 2 to change, 1 unreachable · 14.2 s".
fn totals(story: &Story) -> String {
    let check = story.is_check();
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    for host in &story.hosts {
        let tally = host.tally();
        let word = host.ending().unwrap_or(match (check, tally.changed) {
            _ if tally.refused > 0 => "refused",
            (true, 1..) => "to change",
            (true, 0) | (false, 0) => "in sync",
            (false, _) => "changed",
        });
        match kinds.iter_mut().find(|(kind, _)| *kind == word) {
            Some((_, number)) => *number += 1,
            None => kinds.push((word, 1)),
        }
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    let hosts = count(story.hosts.len(), "host");
    format!("{hosts}: {} · {}", kinds.join(", "), duration(story.ms))
}

/// What to do next, a sentence each.
fn next_steps(story: &Story) -> Vec<String> {
    let (check, undo) = (story.is_check(), story.command == "undo");
    if !check && !undo && story.command != "apply" {
        return Vec::new();
    }
    let command = |verb: &str| unbroken(&format!("`{}`", story.command_line(verb)));
    let ended = |wanted: Exit| {
        story.hosts.iter().any(|h| !h.is_only_refused() && h.end.is_some_and(|(_, exit)| exit == wanted))
    };
    let run = story.end.map(|(_, exit)| exit);
    if run.is_none() || run == Some(Exit::Interrupted) {
        let why = if run.is_none() { "The run was cut off." } else { "Interrupted." };
        return vec![format!("{why} {} tells how the hosts are now.", command("check"))];
    }
    let tally = story.tally();
    let mut said = Vec::new();
    if check {
        said.extend(after_check(tally, &command(if undo { "undo" } else { "apply" })));
    }
    if ended(Exit::GuardRestored) {
        said.push("What the guard covers is as it was before.".to_owned());
    }
    if story.hosts.is_empty() {
        return vec!["There was no host to look at.".to_owned()];
    }
    let left: Vec<&str> = story.hosts.iter().filter_map(|host| host.not_begun.as_deref()).collect();
    if let Some(why) = left.first() {
        let were = if left.len() == 1 { "was" } else { "were" };
        said.push(format!("{} {were} not begun: {why}.", count(left.len(), "host")));
    }
    let again = command(&story.command);
    let plan = story.arguments.iter().position(|word| word == "--plan").and_then(|at| story.arguments.get(at + 1));
    if let (Some(plan), true) = (plan, ended(Exit::BadInput)) {
        let anew = unbroken(&format!("`{} --save {}`", story.command_line("check"), quoted(plan)));
        return vec![format!("Nothing was changed on any host. {anew} makes a new plan to look at.")];
    }
    let trouble = [Exit::HostFailed, Exit::GuardRestored, Exit::Unreachable, Exit::BadInput].into_iter().any(ended);
    if trouble || !story.failures.is_empty() {
        said.push(format!("Fix the cause above, then run {again} again."));
    } else if ended(Exit::HostBusy) {
        said.push(format!("When the other run is done, run {again} again."));
    } else if tally.refused > 0 {
        said.push(format!("What is refused needs your decision: see above, then run {again} again."));
    } else if !check && tally.changed > 0 {
        let holds = |h: &HostStory| h.tally().changed == 0 || h.differs.as_ref().is_some_and(Vec::is_empty);
        let verified = story.hosts.iter().all(holds);
        said.push(match (undo, verified) {
            (true, true) => "Undone and verified.".to_owned(),
            (true, false) => "Undone.".to_owned(),
            (false, true) => format!("Applied and verified. {} tells when it drifts.", command("check")),
            (false, false) => format!("Applied. {} tells when it drifts.", command("check")),
        });
    } else if undo && said.is_empty() {
        said.push("There is nothing to undo.".to_owned());
    } else if said.is_empty() {
        said.push(if tally.findings > 0 {
            "All that is declared is in sync; what is unmanaged is yours to judge.".to_owned()
        } else {
            "Everything is in sync.".to_owned()
        });
    }
    said
}

/// What a check with drift leads to.
fn after_check(tally: Tally, apply: &str) -> Option<String> {
    let later = tally.known_later > 0;
    match tally.changed {
        0 if later => Some(format!("Run {apply} to decide what is known later.")),
        0 => None,
        changed => {
            let what = if changed == 1 { "this change" } else { "these changes" };
            let later = if later { " What is known later is decided on the way." } else { "" };
            Some(format!("Run {apply} to make {what}.{later}"))
        }
    }
}
