//! A run as one page that needs nothing else: no script, no font, no picture. Everything that came from a host or a file
//! is escaped, and a content security policy forbids what might slip through.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::base::event::{Event, Failure, Finding, PlannedChange, Readiness, ReadyCheck, TaskPlan, Verdict};

use super::ink::{Tone, count, duration, visible};
use super::plan::symbol;
use super::settings::Page;
use super::story::{HostStory, Story};
use super::summary::tally_words;
use super::unified::{self, Kind};
use super::{ReportError, Sink, ready};

/// One setting, for the list on the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingRow {
    /// What it belongs to, such as `Who gets in (access)`: the rows of one group stand together.
    pub group: String,
    /// Such as `PasswordAuthentication`.
    pub name: String,
    /// Such as `no`.
    pub value: String,
    /// Why it is so.
    pub reason: String,
    /// Who says so: a benchmark's number, a manual page. May be empty.
    pub source: String,
}

/// Writes the page when the run is over.
pub struct Html {
    story: Story,
    page: Page,
    /// Until the page is written.
    file: Option<tempfile::NamedTempFile>,
}

impl Html {
    /// Checks that the page can be written, by beginning its file beside where it will stand; what stands there now stays
    /// until the new page is whole. Errors: the folder is missing or not writable.
    pub fn create(page: &Page) -> Result<Self, ReportError> {
        let failed = |source| ReportError::Page { path: page.path.clone(), source };
        if page.path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let file = tempfile::NamedTempFile::new_in(folder(&page.path)).map_err(failed)?;
        Ok(Self { story: Story::default(), page: page.clone(), file: Some(file) })
    }
}

fn folder(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| ".".into(), Path::to_owned)
}

impl Sink for Html {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.story.event(event);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.write_all(page(&self.story, &self.page.made, &self.page.settings).as_bytes())?;
            file.persist(&self.page.path).map_err(|error| error.error)?;
        }
        Ok(())
    }
}

/// Text for HTML, also within quoted attributes; what would turn or hide text is written out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        for c in visible(line).chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                c => out.push(c),
            }
        }
    }
    out
}

/// `<tag class="class">text</tag>` with `text` escaped.
fn tag(name: &str, class: &str, text: &str) -> String {
    format!("<{name} class=\"{class}\">{}</{name}>", escape(text))
}

/// The whole page. `made` says when the run was; it may be empty.
pub(super) fn page(story: &Story, made: &str, settings: &[SettingRow]) -> String {
    let title = format!("bedplate {}", story.command);
    let mut out = String::new();
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n",
        escape(&title),
        include_str!("page.css")
    );
    header(story, made, &mut out);
    out.push_str("</header>\n<main>\n");
    for failure in &story.failures {
        failure_box(failure, &mut out);
    }
    for note in &story.notes {
        out.push_str(&tag("p", "note", note));
    }
    let few = story.hosts.len() <= 3;
    for (at, host) in story.hosts.iter().enumerate() {
        host_section(at, host, story.is_check(), few, &mut out);
    }
    if !settings.is_empty() {
        settings_section(settings, &mut out);
    }
    let version = if story.version.is_empty() { String::new() } else { format!(" {}", story.version) };
    let _ = write!(out, "</main>\n<footer>Made by bedplate{}</footer>\n</body>\n</html>\n", escape(&version));
    out
}

fn header(story: &Story, made: &str, out: &mut String) {
    let _ = writeln!(out, "<h1>bedplate <strong>{}</strong></h1>", escape(&story.command));
    let mut facts = vec![count(story.hosts.len(), "host"), duration(story.ms)];
    if !made.is_empty() {
        facts.insert(0, made.to_owned());
    }
    out.push_str(&tag("p", "facts", &facts.join(" · ")));
    if !story.arguments.is_empty() {
        let line = tag("code", "line", &story.command_line(&story.command));
        let _ = write!(out, "\n<details class=\"quiet\"><summary>how it was called</summary><p>{line}</p></details>");
    }
    let tally = story.tally();
    out.push_str("\n<p class=\"chips\">");
    let counts = if story.command == "ready" { ready::words(tally) } else { tally_words(tally, story.is_check()) };
    for words in counts.split(" · ").filter(|words| !words.is_empty()) {
        let (number, word) = words.split_once(' ').unwrap_or((words, ""));
        let class = word.split(' ').next().unwrap_or("");
        let _ = write!(out, "<span class=\"chip {}\"><b>{}</b> {}</span>", escape(class), escape(number), escape(word));
    }
    out.push_str("</p>\n");
    if story.hosts.len() > 1 {
        out.push_str("<nav>");
        for (at, host) in story.hosts.iter().enumerate() {
            let class = state(host, story.is_check()).1;
            let _ = write!(out, "<a class=\"{class}\" href=\"#host-{at}\">{}</a>", escape(&host.name));
        }
        out.push_str("</nav>\n");
    }
}

/// A host's state in a word, and the class that colours it.
fn state(host: &HostStory, check: bool) -> (&'static str, &'static str) {
    let tally = host.tally();
    match host.ending() {
        Some("failed") if !host.checks.is_empty() => ("not ready", "bad"),
        None if !host.checks.is_empty() => ("ready", "good"),
        Some("interrupted") => ("interrupted", "warn"),
        Some(word) if host.not_begun.is_some() => (word, "warn"),
        Some(word) => (word, "bad"),
        None if tally.failed > 0 => ("failed", "bad"),
        None if tally.refused > 0 => ("refused", "bad"),
        None if check && tally.changed > 0 => ("to change", "warn"),
        None if tally.changed > 0 => ("changed", "good"),
        None => ("in sync", "good"),
    }
}

fn host_section(at: usize, host: &HostStory, check: bool, few: bool, out: &mut String) {
    let (word, class) = state(host, check);
    let open = if few || class == "bad" { " open" } else { "" };
    let name = if host.name.is_empty() { "(no name)" } else { &host.name };
    let counts =
        if host.checks.is_empty() { tally_words(host.tally(), check) } else { count(host.checks.len(), "check") };
    let mut facts: Vec<String> = [host.system.clone(), counts].into();
    if host.ended.is_some() {
        facts.push(duration(host.took_ms()));
    }
    facts.retain(|fact| !fact.is_empty());
    let _ = write!(
        out,
        "<details class=\"host\" id=\"host-{at}\"{open}>\n<summary><h2>{}</h2><span class=\"state {class}\">{word}</span>{}</summary>\n",
        escape(name),
        tag("span", "facts", &facts.join(" · "))
    );
    host.failures.iter().for_each(|failure| failure_box(failure, out));
    ready_checks(host, out);
    host_guard(host, out);
    let tasks = host.tasks.as_deref().unwrap_or_default();
    let (quiet, loud): (Vec<&TaskPlan>, Vec<&TaskPlan>) =
        tasks.iter().partition(|task| matches!(task.verdict, Verdict::InSync | Verdict::Skipped));
    loud.iter().for_each(|task| task_article(task, out));
    findings(&host.findings, out);
    if !quiet.is_empty() {
        let _ = writeln!(
            out,
            "<details class=\"quiet\"><summary>{} in sync or skipped</summary>",
            count(quiet.len(), "task")
        );
        quiet.iter().for_each(|task| task_article(task, out));
        out.push_str("</details>\n");
    }
    host_done(host, out);
    out.push_str("</details>\n");
}

fn host_guard(host: &HostStory, out: &mut String) {
    for sentence in &host.guard {
        out.push_str(&tag("p", "note guard", sentence));
        out.push('\n');
    }
    for note in host.notes.iter().chain(&host.not_begun) {
        out.push_str(&tag("p", "note", note));
        out.push('\n');
    }
}

fn host_done(host: &HostStory, out: &mut String) {
    if !host.done.is_empty() {
        let _ = write!(
            out,
            "<details class=\"quiet\"><summary>{} done</summary>\n<ol class=\"done\">\n",
            count(host.done.len(), "action")
        );
        for done in &host.done {
            let _ =
                writeln!(out, "<li>{} {}</li>", escape(&done.action), tag("span", "facts", &duration(done.took_ms)));
        }
        out.push_str("</ol>\n</details>\n");
    }
    match &host.differs {
        Some(differs) if differs.is_empty() => {
            out.push_str("<p class=\"note\">✓ looked at again: everything is as planned</p>\n")
        }
        Some(differs) => {
            out.push_str("<div class=\"failure\"><b>Looked at again, and not as planned:</b><ul>\n");
            for (task, name, what) in differs {
                let _ = writeln!(out, "<li>task {task} {}: {}</li>", escape(name), escape(what));
            }
            out.push_str("</ul></div>\n");
        }
        None => {}
    }
}

fn task_article(task: &TaskPlan, out: &mut String) {
    let (sign, tone) = symbol(task);
    let class = match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warning => "warn",
        Tone::Hunk => "later",
        Tone::Plain | Tone::Strong | Tone::Faint => "faint",
    };
    let _ = writeln!(
        out,
        "<article class=\"{class}\"><h3><span class=\"sign\">{sign}</span> {}{}</h3>{}",
        escape(&task.name),
        if task.guarded { " <span class=\"chip guarded\">guarded</span>" } else { "" },
        tag("p", "facts", &format!("{} · {}", task.resource, task.place))
    );
    if !task.why.is_empty() {
        out.push_str(&tag("p", "why", &task.why));
    }
    if let Some(help) = &task.help {
        out.push_str(&tag("p", "help", help));
    }
    task.changes.iter().for_each(|change| change_part(change, out));
    out.push_str("</article>\n");
}

fn change_part(change: &PlannedChange, out: &mut String) {
    let Some(diff) = change.diff.as_ref().filter(|diff| !unified::is_said(diff, &change.summary)) else {
        out.push_str(&tag("p", "change", &change.summary));
        return;
    };
    let subject = unified::subject(diff);
    let subject = if change.summary.contains(subject) { String::new() } else { format!(" {subject}:") };
    if let Some(text) = unified::one_line(diff, 60) {
        let _ = write!(
            out,
            "<p class=\"change\">{}{} {}</p>",
            escape(&change.summary),
            escape(&subject),
            tag("code", "value", &text)
        );
        return;
    }
    out.push_str(&tag("p", "change", &format!("{}{subject}", change.summary)));
    out.push_str("<pre>");
    for line in unified::lines(diff, 3) {
        let class = match line.kind {
            Kind::Hunk => "hunk",
            Kind::Context => "same",
            Kind::Added => "plus",
            Kind::Removed => "minus",
        };
        // A tab is content here; `escape` would write it out.
        let text = line.text.split('\t').map(escape).collect::<Vec<_>>().join("\t");
        let _ = writeln!(out, "<span class=\"{class}\">{}{text}</span>", line.sign());
    }
    out.push_str("</pre>");
}

fn findings(findings: &[Finding], out: &mut String) {
    if findings.is_empty() {
        return;
    }
    out.push_str("<h3 class=\"unmanaged\">Unmanaged</h3>\n");
    for finding in findings {
        let _ = write!(
            out,
            "<article class=\"warn\"><p>{} {}</p>",
            tag("code", "value", &finding.id),
            escape(&finding.what)
        );
        if let Some(help) = &finding.help {
            out.push_str(&tag("p", "help", help));
        }
        out.push_str("</article>\n");
    }
}

fn failure_box(failure: &Failure, out: &mut String) {
    let _ = write!(out, "<div class=\"failure\"><b>{}</b><dl>", escape(&failure.what));
    let said = (!failure.said.is_empty()).then(|| failure.said.join("\n"));
    for (name, text) in [("at", &failure.place), ("said", &said), ("state", &failure.state), ("help", &failure.help)] {
        if let Some(text) = text {
            let _ = write!(out, "<dt>{name}</dt>{}", tag("dd", &format!("told {name}"), text));
        }
    }
    out.push_str("</dl></div>\n");
}

fn settings_section(settings: &[SettingRow], out: &mut String) {
    out.push_str("<section class=\"settings\">\n<h2>Settings and their reasons</h2>\n");
    for rows in settings.chunk_by(|one, other| one.group == other.group) {
        let group = rows.first().map(|row| row.group.as_str()).unwrap_or_default();
        let _ = writeln!(
            out,
            "<details class=\"quiet\"><summary>{} {}</summary>\n<table>\n\
             <thead><tr><th>Setting</th><th>Value</th><th>Why</th></tr></thead>\n<tbody>",
            escape(group),
            tag("span", "facts", &count(rows.len(), "setting"))
        );
        rows.iter().for_each(|row| setting_row(row, out));
        out.push_str("</tbody>\n</table>\n</details>\n");
    }
    out.push_str("</section>\n");
}

fn setting_row(row: &SettingRow, out: &mut String) {
    let source = if row.source.is_empty() { String::new() } else { format!(" {}", tag("span", "facts", &row.source)) };
    let _ = writeln!(
        out,
        "<tr><td>{}</td><td>{}</td><td>{}{source}</td></tr>",
        tag("code", "name", &row.name),
        tag("code", "value", &row.value),
        escape(&row.reason)
    );
}

/// The checks of the readiness gate: what is amiss, then what is well.
fn ready_checks(host: &HostStory, out: &mut String) {
    let (well, amiss): (Vec<&ReadyCheck>, Vec<&ReadyCheck>) =
        host.checks.iter().partition(|check| check.readiness == Readiness::Ready);
    amiss.iter().for_each(|check| ready_article(check, out));
    if !well.is_empty() {
        let _ = writeln!(out, "<details class=\"quiet\"><summary>{} passed</summary>", count(well.len(), "check"));
        well.iter().for_each(|check| ready_article(check, out));
        out.push_str("</details>\n");
    }
}

fn ready_article(check: &ReadyCheck, out: &mut String) {
    let (sign, class) = match check.readiness {
        Readiness::Ready => ("✓", "good"),
        Readiness::Warning => ("!", "warn"),
        Readiness::NotReady => ("✗", "bad"),
    };
    let _ = write!(
        out,
        "<article class=\"{class}\"><h3><span class=\"sign\">{sign}</span> {}</h3>{}",
        escape(&check.check),
        tag("p", "why", &check.what)
    );
    if let Some(help) = &check.help {
        out.push_str(&tag("p", "help", help));
    }
    out.push_str("</article>\n");
}
