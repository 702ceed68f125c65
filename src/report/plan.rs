//! One host's plan as text: tasks in columns, their changes and diffs below them, what no task declares last.

use crate::base::Diff;
use crate::base::event::{Finding, PlannedChange, TaskPlan, Verdict};

use super::ink::{Paper, Tone, cells, labelled, pad, shorten, signed, visible, wrap};
use super::unified::{self, Direction, Kind};

/// How much of a plan is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// From 1 on also tasks that are in sync or skipped, with their reasons.
    pub verbose: u8,
    /// Lines of one diff, at most; 0 is all.
    pub diff_lines: usize,
    /// Unchanged lines round each change of a text.
    pub context: usize,
}

impl Detail {
    /// Whether a task with this verdict is drawn.
    pub(super) fn shows(self, verdict: Verdict) -> bool {
        self.verbose > 0 || !matches!(verdict, Verdict::InSync | Verdict::Skipped)
    }
}

/// The symbol of a task, and its tone.
pub(super) fn symbol(task: &TaskPlan) -> (&'static str, Tone) {
    match task.verdict {
        Verdict::InSync => ("=", Tone::Good),
        Verdict::KnownLater => ("?", Tone::Hunk),
        Verdict::Skipped => ("·", Tone::Faint),
        Verdict::Refused => ("!", Tone::Bad),
        Verdict::Change => {
            let mut directions = task.changes.iter().map(|c| c.diff.as_ref().map(unified::direction));
            let first = directions.next().flatten();
            match first {
                Some(Direction::Creates) if directions.all(|d| d == first) => ("+", Tone::Good),
                Some(Direction::Removes) if directions.all(|d| d == first) => ("-", Tone::Bad),
                _ => ("~", Tone::Warning),
            }
        }
    }
}

/// How wide the columns behind the symbol are.
struct Columns {
    name: usize,
    resource: usize,
    place: usize,
}

impl Columns {
    fn of(tasks: &[&TaskPlan], width: usize) -> Self {
        let widest = |text: fn(&TaskPlan) -> &str| tasks.iter().map(|t| cells(&visible(text(t)))).max().unwrap_or(0);
        let resource = widest(|t| &t.resource).min(width / 5);
        let place = widest(|t| &t.place).min(width / 3);
        let name = widest(|t| &t.name).min(width - resource - place - 8);
        Self { name, resource, place }
    }
}

/// What was drawn before, of another host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earlier<'a> {
    /// That host.
    pub host: &'a str,
    /// Its tasks.
    pub tasks: &'a [TaskPlan],
    /// What no task declares there.
    pub findings: &'a [Finding],
}

impl Earlier<'_> {
    /// Whether it has the same change, whatever its number among the tasks.
    fn has(&self, task: &TaskPlan) -> bool {
        self.tasks.iter().any(|other| TaskPlan { task: task.task, ..other.clone() } == *task)
    }
}

/// More lines than this below a task are not drawn again for another host.
const SHORT: usize = 1;

/// The drawn tasks and findings, a line each entry. Only tasks that `detail` shows belong into `tasks`. What is long and
/// was drawn `earlier` is told by the host that has it too.
pub(super) fn body(
    tasks: &[&TaskPlan],
    findings: &[Finding],
    earlier: &[Earlier<'_>],
    paper: Paper,
    detail: Detail,
) -> Vec<String> {
    let columns = Columns::of(tasks, paper.cells());
    let mut lines = Vec::new();
    for task in tasks {
        let head = lines.len() + wrap(&task.name, columns.name).len();
        task_lines(task, &columns, paper, detail, &mut lines);
        if let Some(before) = earlier.iter().find(|before| before.has(task)).filter(|_| lines.len() > head + SHORT) {
            lines.truncate(head);
            lines.extend(indented(6, &format!("as on {}", before.host), paper, Tone::Faint));
        }
    }
    if !findings.is_empty() {
        if !tasks.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("  {}", paper.paint(Tone::Strong, "Unmanaged:")));
        for finding in findings {
            let known = earlier.iter().find(|before| before.findings.contains(finding));
            let what = known.map_or_else(|| finding.what.clone(), |before| format!("as on {}", before.host));
            lines.extend(signed("    ", ("!", Tone::Warning), " ", &format!("{}: {what}", finding.id), paper));
            if known.is_none() {
                lines.extend(help(finding.help.as_deref(), paper));
            }
        }
    }
    lines
}

fn help(text: Option<&str>, paper: Paper) -> Vec<String> {
    text.map(|text| labelled("      help: ", text, paper.cells())).unwrap_or_default()
}

fn task_lines(task: &TaskPlan, columns: &Columns, paper: Paper, detail: Detail, lines: &mut Vec<String>) {
    let (sign, tone) = symbol(task);
    for (at, name) in wrap(&task.name, columns.name).iter().enumerate() {
        if at > 0 {
            lines.push(format!("    {}", paper.paint(Tone::Strong, name)));
            continue;
        }
        let resource = pad(&shorten(&visible(&task.resource), columns.resource, false), columns.resource);
        let place = shorten(&visible(&task.place), columns.place, true);
        let behind = format!("{resource}  {place}");
        let gap = " ".repeat(columns.name.saturating_sub(cells(name)) + 2);
        let name = paper.paint(if task.verdict == Verdict::InSync { Tone::Plain } else { Tone::Strong }, name);
        lines.push(format!("  {} {name}{gap}{}", paper.paint(tone, sign), paper.paint(Tone::Faint, behind.trim_end())));
    }
    let why = match task.verdict {
        Verdict::Change => "",
        Verdict::KnownLater if task.why.is_empty() => "known after an earlier task has run",
        _ => &task.why,
    };
    let why_tone = if task.verdict == Verdict::Refused { Tone::Bad } else { Tone::Faint };
    let label = if task.verdict == Verdict::Refused { "refused: " } else { "" };
    if !why.is_empty() {
        lines.extend(indented(6, &format!("{label}{why}"), paper, why_tone));
    }
    lines.extend(help(task.help.as_deref(), paper));
    for change in &task.changes {
        change_lines(change, paper, detail, lines);
    }
    if task.guarded && task.verdict == Verdict::Change {
        let text = "guarded: without a new login afterwards the host puts this back";
        lines.extend(indented(6, text, paper, Tone::Warning));
    }
}

fn indented(indent: usize, text: &str, paper: Paper, tone: Tone) -> Vec<String> {
    let lines = wrap(text, paper.cells() - indent);
    lines.iter().map(|line| format!("{:indent$}{}", "", paper.paint(tone, line))).collect()
}

fn change_lines(change: &PlannedChange, paper: Paper, detail: Detail, lines: &mut Vec<String>) {
    let summary = change.summary.split_whitespace().map(visible).collect::<Vec<_>>().join(" ");
    let Some(diff) = change.diff.as_ref().filter(|diff| !unified::is_said(diff, &summary)) else {
        lines.extend(indented(6, &summary, paper, Tone::Plain));
        return;
    };
    let subject = visible(unified::subject(diff));
    let named = summary.contains(subject.as_str());
    let room = paper.cells().saturating_sub(6 + cells(&summary) + 2);
    if let Some(text) = unified::one_line(diff, room).filter(|_| named) {
        lines.push(format!("      {summary}  {}", one_line(diff, &text, paper)));
        return;
    }
    lines.extend(indented(6, &summary, paper, Tone::Plain));
    let room = paper.cells().saturating_sub(8 + cells(&subject) + 2);
    if let Some(text) = unified::one_line(diff, room) {
        let label = if named { String::new() } else { format!("{subject}: ") };
        lines.push(format!("        {label}{}", one_line(diff, &text, paper)));
        return;
    }
    if !named {
        lines.extend(indented(8, &format!("{subject}:"), paper, Tone::Strong));
    }
    lines.extend(diff_lines(diff, paper, detail));
}

fn one_line(diff: &Diff, text: &str, paper: Paper) -> String {
    let tone = match (diff, unified::direction(diff)) {
        (Diff::Opaque { .. }, _) => Tone::Faint,
        (_, Direction::Creates) => Tone::Good,
        (_, Direction::Removes) => Tone::Bad,
        (_, Direction::Alters) => Tone::Warning,
    };
    paper.paint(tone, text)
}

fn diff_lines(diff: &Diff, paper: Paper, detail: Detail) -> Vec<String> {
    if let (Diff::Opaque { .. }, Some(text)) = (diff, unified::one_line(diff, usize::MAX)) {
        return indented(8, &text, paper, Tone::Faint);
    }
    let lines = unified::lines(diff, detail.context);
    // One line more is shown in the place of "… 1 more line".
    let shown =
        if detail.diff_lines == 0 || lines.len() <= detail.diff_lines + 1 { lines.len() } else { detail.diff_lines };
    let mut drawn: Vec<String> = lines[..shown]
        .iter()
        .map(|line| {
            let tone = match line.kind {
                Kind::Hunk => Tone::Hunk,
                Kind::Context => Tone::Faint,
                Kind::Added => Tone::Good,
                Kind::Removed => Tone::Bad,
            };
            format!("        {}", paper.paint(tone, format!("{}{}", line.sign(), line.text).trim_end_matches(' ')))
        })
        .map(|line| line.trim_end_matches(' ').to_owned())
        .collect();
    if shown < lines.len() {
        let rest = format!("… {} more lines (--diff-lines 0 shows all)", lines.len() - shown);
        drawn.extend(indented(8, &rest, paper, Tone::Faint));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Paper = Paper { colour: false, width: 80 };
    const DETAIL: Detail = Detail { verbose: 0, diff_lines: 4, context: 1 };

    fn task(changes: Vec<PlannedChange>) -> TaskPlan {
        TaskPlan {
            task: 1,
            name: "forward packets".into(),
            resource: "sysctl".into(),
            place: "playbooks/base.toml:21".into(),
            verdict: Verdict::Change,
            why: String::new(),
            help: None,
            changes,
            guarded: false,
        }
    }

    fn change(summary: &str, diff: Diff) -> PlannedChange {
        PlannedChange { summary: summary.into(), diff: Some(diff) }
    }

    fn drawn(task: &TaskPlan, width: usize) -> String {
        body(&[task], &[], &[], Paper { width, ..PAPER }, DETAIL).join("\n")
    }

    #[test]
    fn a_value_stands_behind_its_summary_where_it_fits() {
        let diff = Diff::value("vm.swappiness", "60", "10");
        let plan = task(vec![change("set vm.swappiness", diff.clone()), change("set it live", diff)]);
        assert_eq!(
            drawn(&plan, 80),
            "  ~ forward packets  sysctl  playbooks/base.toml:21\n\
             \x20     set vm.swappiness  60 → 10\n\
             \x20     set it live\n\
             \x20       vm.swappiness: 60 → 10"
        );
    }

    #[test]
    fn a_long_diff_is_cut_and_says_how_to_see_it_all() {
        let after = (1..=9).map(|n| format!("line {n}\n")).collect::<String>();
        let diff = Diff::Text { path: "/etc/motd".into(), before: None, after: Some(after) };
        let plan = task(vec![change("write /etc/motd", diff)]);
        assert_eq!(
            drawn(&plan, 80),
            "  + forward packets  sysctl  playbooks/base.toml:21\n\
             \x20     write /etc/motd\n\
             \x20       +line 1\n\x20       +line 2\n\x20       +line 3\n\x20       +line 4\n\
             \x20       … 5 more lines (--diff-lines 0 shows all)"
        );
        let all = body(&[&plan], &[], &[], PAPER, Detail { diff_lines: 0, ..DETAIL });
        assert!(all.iter().any(|line| line.ends_with("+line 9")), "{all:?}");
    }

    #[test]
    fn what_another_host_has_too_is_told_once() {
        let text = |text: &str| Some(text.to_owned());
        let long = Diff::Text { path: "/etc/motd".into(), before: None, after: text("a\nb\nc\n") };
        let plan = task(vec![change("write /etc/motd", long)]);
        let short = task(vec![change("set vm.swappiness", Diff::value("vm.swappiness", "60", "10"))]);
        let finding = Finding { id: "odd".into(), what: "it is odd".into(), help: text("look at it") };
        let other = [TaskPlan { task: 7, ..plan.clone() }, short.clone()];
        let earlier = Earlier { host: "web1", tasks: &other, findings: std::slice::from_ref(&finding) };
        let mut alike = plan.clone();
        alike.changes[0].summary = "write it".into();
        let lines =
            body(&[&plan, &short, &alike], std::slice::from_ref(&finding), &[earlier], PAPER, DETAIL).join("\n");
        assert_eq!(lines.matches("      as on web1").count(), 1, "{lines}");
        assert!(
            lines.contains("60 → 10") && lines.contains("write it") && lines.contains("odd: as on web1"),
            "{lines}"
        );
        assert_eq!(lines.matches("+a").count(), 1, "what differs in a word is drawn whole: {lines}");
        assert!(!lines.contains("look at it"), "{lines}");
    }

    #[test]
    fn narrow_paper_wraps_names_and_keeps_line_numbers() {
        let mut plan = task(vec![]);
        plan.name = "a kernel that forwards packets between interfaces".into();
        assert_eq!(
            drawn(&plan, 50),
            "  ~ a kernel that         sysctl  …ks/base.toml:21\n\
             \x20   forwards packets\n\
             \x20   between interfaces"
        );
    }

    #[test]
    fn the_symbol_tells_the_direction() {
        let plus = Diff::Set { what: "g".into(), minus: vec![], plus: vec!["x".into()] };
        let minus = Diff::Set { what: "g".into(), minus: vec!["x".into()], plus: vec![] };
        let sign = |diffs: Vec<&Diff>| symbol(&task(diffs.into_iter().map(|d| change("x", d.clone())).collect())).0;
        assert_eq!(sign(vec![&plus]), "+");
        assert_eq!(sign(vec![&minus, &minus]), "-");
        assert_eq!(sign(vec![&plus, &minus]), "~");
        assert_eq!(sign(vec![]), "~");
    }
}
