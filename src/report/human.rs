//! Events in, text out, for people. A pure state machine: it needs neither a terminal nor a clock, so a recorded run
//! draws again exactly as it was drawn first.
//!
//! The answer (plan, summary) is for standard output; what tells of the way there (progress, guard, failures) is for
//! standard error, so that `bedplate check > plan.txt` holds the plan and nothing else.

use crate::base::event::{Event, EventKind, Failure, Finding, TaskPlan, Verdict};

use super::ink::{
    Paper, Tone, cells, count, duration, labelled, pad, shorten, signed, unbroken, visible, visible_line, wrap,
};
use super::plan::{self, Detail, Earlier};
use super::story::{HostStory, Phase, Story, guard_sentence, listed};
use super::summary;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// What the answer is written on.
    pub answer: Paper,
    /// What notes are written on.
    pub notes: Paper,
    /// How much of the plan.
    pub detail: Detail,
    /// Whether bars show beside this what each host is at, so that lines need not.
    pub bars: bool,
}

/// Where a text belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlet {
    /// Standard output.
    Answer,
    /// Standard error.
    Notes,
}

/// Whole lines, each with its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where they belong.
    pub to: Outlet,
    /// The lines.
    pub text: String,
}

/// A plan that has been drawn, by which the same plan of another host is known.
struct Shown {
    host: String,
    tasks: Vec<TaskPlan>,
    findings: Vec<Finding>,
}

/// The state machine.
pub struct Human {
    style: Style,
    story: Story,
    /// Hosts whose plan waits for the others', by their place in the story.
    waiting: Vec<usize>,
    shown: Vec<Shown>,
    /// Hosts whose plan another's plan shows, with that host: told together before anything else is told.
    alike: Vec<(String, Vec<usize>)>,
    out: Vec<Text>,
    /// Where the last text went.
    last: Option<Outlet>,
    answered: bool,
    over: bool,
    /// Tenths of the hosts that were told to be done.
    tenth: usize,
}

impl Human {
    /// Nothing told yet.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            story: Story::default(),
            waiting: Vec::new(),
            shown: Vec::new(),
            alike: Vec::new(),
            out: Vec::new(),
            last: None,
            answered: false,
            over: false,
            tenth: 0,
        }
    }

    /// What this event adds to the page.
    pub fn event(&mut self, event: &Event) -> Vec<Text> {
        let before = self.story.clone_tasks_of(event);
        let at = self.story.event(event);
        match (&event.kind, at) {
            (EventKind::RunStarted { command, version, .. }, _) if self.verbose() > 0 => {
                self.note(None, "·", Tone::Faint, &format!("bedplate {version}: {command}"), None);
            }
            (EventKind::Note { text }, at) => self.note(at, "·", Tone::Faint, text, None),
            (EventKind::HostFailed(failure), at) => self.failure(at, failure),
            (EventKind::RunRefused { text, .. }, _) => {
                let lines: Vec<String> = text.trim_end().split('\n').map(visible_line).collect();
                self.say(Outlet::Notes, &lines);
            }
            (EventKind::RunFinished { .. }, _) => self.end(),
            (kind, Some(at)) => self.host_event(at, kind, before),
            _ => {}
        }
        self.draw_complete_plans(false);
        std::mem::take(&mut self.out)
    }

    /// What is still to be said when no further event comes. A run that was cut off gets its summary too.
    pub fn finish(&mut self) -> Vec<Text> {
        if !self.over && !self.story.hosts.is_empty() {
            self.end();
        }
        self.say_alike();
        std::mem::take(&mut self.out)
    }

    fn verbose(&self) -> u8 {
        self.style.detail.verbose
    }

    fn many(&self) -> bool {
        self.story.hosts.len() > 1
    }

    fn say(&mut self, to: Outlet, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        self.say_alike();
        // On a terminal both outlets are one page: the blank line between them belongs to the notes, so that neither
        // begins a file with one.
        if to == Outlet::Notes && self.last == Some(Outlet::Answer) {
            self.out.push(Text { to, text: "\n".to_owned() });
        }
        self.last = Some(to);
        let mut text = lines.join("\n");
        text.push('\n');
        self.out.push(Text { to, text });
    }

    fn say_alike(&mut self) {
        for (shown, hosts) in std::mem::take(&mut self.alike) {
            if let [host] = hosts[..] {
                self.note(Some(host), "=", Tone::Faint, &format!("same plan as {shown}"), None);
            } else {
                let text = format!("{}: same plan as {shown}", self.names(&hosts));
                self.note(None, "=", Tone::Faint, &text, None);
            }
        }
    }

    fn names(&self, hosts: &[usize]) -> String {
        // Of very many the summary and the page name each.
        let most = if self.story.is_large() && self.verbose() == 0 { 5 } else { usize::MAX };
        let names: Vec<&str> = hosts.iter().take(most).map(|at| self.story.hosts[*at].name.as_str()).collect();
        let names = names.join(", ");
        if hosts.len() > most { format!("{names} and {} more", hosts.len() - most) } else { names }
    }

    /// Without bars a large run tells how far it is, a tenth at a time.
    fn progress(&mut self) {
        let all = self.story.hosts.len();
        let done = self.story.hosts.iter().filter(|host| host.phase == Phase::Ended).count();
        let tenth = done * 10 / all.max(1);
        if tenth > self.tenth {
            self.tenth = tenth;
            let text = format!("{done} of {all} hosts done ({})", duration(self.story.ms));
            self.note(None, "·", Tone::Faint, &text, None);
        }
    }

    /// A block of the answer, set off from the one before by an empty line.
    fn answer(&mut self, mut lines: Vec<String>) {
        if std::mem::replace(&mut self.answered, true) {
            lines.insert(0, String::new());
        } else if self.last.is_some() {
            self.out.push(Text { to: Outlet::Notes, text: "\n".to_owned() });
        }
        self.say(Outlet::Answer, &lines);
    }

    /// One note with its host (where there are many), symbol and duration.
    fn note(&mut self, at: Option<usize>, symbol: &str, tone: Tone, text: &str, took_ms: Option<u64>) {
        let paper = self.style.notes;
        let host = self.prefix(at, paper.cells() / 3);
        let whole = match took_ms {
            Some(ms) => format!("{text} ({})", unbroken(&duration(ms))),
            None => text.to_owned(),
        };
        let lines = signed(&host, (symbol, tone), " ", &whole, paper);
        self.say(Outlet::Notes, &lines);
    }

    /// The host's name in a column as wide as the longest, and nothing where there is only one host.
    fn prefix(&self, at: Option<usize>, most: usize) -> String {
        match at {
            Some(at) if self.many() => {
                let widest = self.story.hosts.iter().map(|h| cells(&h.name)).max().unwrap_or(0).min(most);
                format!("{}  ", pad(&shorten(&self.story.hosts[at].name, widest, false), widest))
            }
            _ => String::new(),
        }
    }

    fn host_event(&mut self, at: usize, kind: &EventKind, before: Option<Vec<TaskPlan>>) {
        // With bars and many hosts the bars tell the steps; lines would only scroll the plans away.
        let steps = self.verbose() > 0 || !self.style.bars || !self.many() || self.story.is_move();
        match kind {
            EventKind::HostConnecting { address } if self.verbose() > 0 => {
                self.note(Some(at), "·", Tone::Faint, &format!("connecting to {address}"), None);
            }
            EventKind::HostFinished { .. } | EventKind::HostNotBegun { .. }
                if self.story.is_large() && !self.style.bars && self.verbose() == 0 =>
            {
                self.progress();
            }
            EventKind::ProbeFinished { system, facts, took_ms }
                if self.verbose() > 0 || (!self.style.bars && !self.story.is_large()) =>
            {
                let (login, login_ms) = match &self.story.hosts[at].login {
                    Some((user, ms)) => (format!("as {user}, "), *ms),
                    None => (String::new(), 0),
                };
                let took = duration(took_ms.saturating_add(login_ms));
                let text = format!("{system}; {login}{} in {took}", count(*facts, "fact"));
                self.note(Some(at), "·", Tone::Faint, &text, None);
            }
            EventKind::ReadyChecked(check) => {
                let paper = self.style.answer;
                let host = self.prefix(Some(at), paper.cells() / 3);
                self.say(Outlet::Answer, &super::ready::check(&host, check, paper));
            }
            EventKind::Planned { tasks, .. } => match before {
                None => self.waiting.push(at),
                Some(before) => self.replanned(at, tasks, &before),
            },
            EventKind::ActionStarted { action, step, steps, name, .. } if self.verbose() > 0 => {
                self.note(Some(at), "·", Tone::Faint, &format!("{step}/{steps} {name}: {action}"), None);
            }
            EventKind::Output { line } if self.verbose() > 1 => self.note(Some(at), "|", Tone::Faint, line, None),
            EventKind::ActionFinished { action, took_ms, .. } if steps => {
                self.note(Some(at), "✓", Tone::Good, action, Some(*took_ms));
            }
            EventKind::GuardArmed { .. } if steps => self.guard(at, "◇", Tone::Warning, kind, None),
            EventKind::GuardConfirmed { took_ms, .. } => self.guard(at, "◆", Tone::Good, kind, Some(*took_ms)),
            EventKind::GuardRestored { restored, cause, left, forced } => {
                self.note(Some(at), "!", Tone::Bad, "the guard put the host back as it was", None);
                let mut fields = vec![("restored", listed(restored)), ("cause", cause.clone())];
                // Somebody else's work of the same minute.
                if !left.is_empty() {
                    fields.push(("left alone", listed(left)));
                }
                if !forced.is_empty() {
                    fields.push(("overruled", listed(forced)));
                }
                self.fields(&fields);
            }
            EventKind::Verified { differs, took_ms } if steps || !differs.is_empty() => {
                self.verified(at, differs, *took_ms)
            }
            _ => {}
        }
    }

    fn guard(&mut self, at: usize, symbol: &str, tone: Tone, kind: &EventKind, took_ms: Option<u64>) {
        if let Some(sentence) = guard_sentence(kind) {
            self.note(Some(at), symbol, tone, &sentence, took_ms);
        }
    }

    fn verified(&mut self, at: usize, differs: &[(usize, String, String)], took_ms: u64) {
        if differs.is_empty() {
            self.note(Some(at), "✓", Tone::Good, "verified: everything is as planned", Some(took_ms));
            return;
        }
        let text = format!("looked again: {} not as planned", count(differs.len(), "task"));
        self.note(Some(at), "!", Tone::Bad, &text, Some(took_ms));
        let fields: Vec<(String, String)> =
            differs.iter().map(|(task, name, what)| (format!("task {task}"), format!("{name}: {what}"))).collect();
        self.fields(&fields);
    }

    /// Lines of `name: text`, indented, their texts in one column.
    fn fields(&mut self, fields: &[(impl AsRef<str>, String)]) {
        let paper = self.style.notes;
        let widest = fields.iter().map(|(name, _)| name.as_ref().len()).max().unwrap_or(0) + 1;
        for (name, text) in fields {
            let label = format!("  {} ", pad(&format!("{}:", name.as_ref()), widest));
            for (at, line) in text.split('\n').enumerate() {
                let label = if at == 0 { label.clone() } else { " ".repeat(label.len()) };
                let mut lines = labelled(&label, line, paper.cells());
                if let Some(rest) = lines[0].strip_prefix(&label) {
                    lines[0] = format!("{}{rest}", paper.paint(Tone::Faint, &label));
                }
                self.say(Outlet::Notes, &lines);
            }
        }
    }

    fn failure(&mut self, at: Option<usize>, failure: &Failure) {
        let paper = self.style.notes;
        let host = match at {
            Some(at) if self.many() && !self.story.hosts[at].name.is_empty() => {
                format!("{}: ", self.story.hosts[at].name)
            }
            _ => String::new(),
        };
        if self.last == Some(Outlet::Notes) {
            self.say(Outlet::Notes, &[String::new()]);
        }
        let lines = signed("", ("error:", Tone::Bad), " ", &format!("{host}{}", failure.what), paper);
        self.say(Outlet::Notes, &lines);
        let said = (!failure.said.is_empty()).then(|| failure.said.join("\n"));
        let fields = [
            ("at", failure.place.clone()),
            ("said", said),
            ("state", failure.state.clone()),
            ("help", failure.help.clone()),
        ];
        let fields: Vec<(&str, String)> =
            fields.into_iter().filter_map(|(name, text)| text.map(|text| (name, text))).collect();
        self.fields(&fields);
    }

    /// Draws the plans that are complete: in a check when every host has answered, so that equal ones stand together;
    /// in an apply at once, since its actions follow.
    fn draw_complete_plans(&mut self, all: bool) {
        let hold = self.story.is_check() && self.story.hosts.iter().any(HostStory::may_plan);
        if self.waiting.is_empty() || (hold && !all) {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable();
        let mut groups: Vec<(Vec<usize>, Vec<TaskPlan>, Vec<Finding>)> = Vec::new();
        for at in waiting {
            let (tasks, findings) = self.visible_plan(at);
            match groups.iter_mut().find(|(_, t, f)| *t == tasks && *f == findings) {
                Some((hosts, ..)) => hosts.push(at),
                None => groups.push((vec![at], tasks, findings)),
            }
        }
        for (hosts, tasks, findings) in groups {
            if tasks.is_empty() && findings.is_empty() {
                continue;
            }
            if let Some(shown) = self.shown.iter().find(|s| s.tasks == tasks && s.findings == findings) {
                match self.alike.iter_mut().find(|(host, _)| *host == shown.host) {
                    Some((_, alike)) => alike.extend(hosts),
                    None => self.alike.push((shown.host.clone(), hosts)),
                }
                continue;
            }
            self.draw_plan(&hosts, &tasks, &findings);
            self.shown.push(Shown { host: self.story.hosts[hosts[0]].name.clone(), tasks, findings });
        }
    }

    fn visible_plan(&self, at: usize) -> (Vec<TaskPlan>, Vec<Finding>) {
        let host = &self.story.hosts[at];
        let shown = host.tasks.iter().flatten().filter(|task| self.style.detail.shows(task.verdict)).cloned().collect();
        (shown, host.findings.clone())
    }

    fn draw_plan(&mut self, hosts: &[usize], tasks: &[TaskPlan], findings: &[Finding]) {
        let first = &self.story.hosts[hosts[0]];
        let mut words = Vec::new();
        if !first.system.is_empty() && hosts.iter().all(|at| self.story.hosts[*at].system == first.system) {
            words.push(visible(&first.system));
        }
        words.push(summary::plan_counts(first.tasks.as_deref().unwrap_or_default(), self.story.is_check()));
        let mut lines = self.title(hosts, &words.join(" · "));
        lines.push(String::new());
        let tasks: Vec<&TaskPlan> = tasks.iter().collect();
        let earlier: Vec<Earlier<'_>> = self
            .shown
            .iter()
            .map(|shown| Earlier { host: &shown.host, tasks: &shown.tasks, findings: &shown.findings })
            .collect();
        lines.extend(plan::body(&tasks, findings, &earlier, self.style.answer, self.style.detail));
        self.answer(lines);
    }

    fn title(&self, hosts: &[usize], rest: &str) -> Vec<String> {
        let paper = self.style.answer;
        let names = self.names(hosts);
        if cells(&names) + 3 + cells(rest) <= paper.cells() {
            return vec![format!(
                "{} {}",
                paper.paint(Tone::Strong, &names),
                paper.paint(Tone::Faint, &format!("· {rest}"))
            )];
        }
        let rest = if hosts.len() > 1 { format!("{} hosts · {rest}", hosts.len()) } else { rest.to_owned() };
        let names = wrap(&names, paper.cells()).into_iter().map(|line| paper.paint(Tone::Strong, &line));
        let rest = wrap(&rest, paper.cells() - 2);
        names.chain(rest.iter().map(|line| format!("  {}", paper.paint(Tone::Faint, line)))).collect()
    }

    /// A second plan in an apply: only what was unknown, or unforeseen, and is now known is worth a word.
    fn replanned(&mut self, at: usize, tasks: &[TaskPlan], before: &[TaskPlan]) {
        let news = |task: &&TaskPlan| {
            let old = before.iter().find(|old| old.task == task.task);
            let calm = matches!(task.verdict, Verdict::InSync | Verdict::Skipped);
            old != Some(*task)
                && (!calm || (self.verbose() > 0 && old.is_none_or(|old| old.verdict == Verdict::KnownLater)))
        };
        let tasks: Vec<&TaskPlan> = tasks.iter().filter(news).collect();
        if tasks.is_empty() {
            return;
        }
        let mut lines = self.title(&[at], "now known");
        lines.push(String::new());
        lines.extend(plan::body(&tasks, &[], &[], self.style.answer, self.style.detail));
        self.answer(lines);
    }

    fn end(&mut self) {
        self.draw_complete_plans(true);
        self.over = true;
        let lines = summary::lines(&self.story, self.style.answer);
        if !lines.is_empty() {
            self.answer(lines);
        }
    }
}

impl Story {
    /// The tasks that the event's host had planned, when the event is a plan.
    fn clone_tasks_of(&self, event: &Event) -> Option<Vec<TaskPlan>> {
        let EventKind::Planned { .. } = event.kind else { return None };
        let name = event.host.as_ref().map_or("", |host| host.as_str());
        self.hosts.iter().find(|host| host.name == name).and_then(|host| host.tasks.clone())
    }
}
