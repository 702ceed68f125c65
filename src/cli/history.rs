//! `bedplate history`: what earlier runs have changed, as the host itself remembers it.

use std::fmt::Write as _;

use futures::future::join_all;
use serde::Serialize;

use super::arguments::{History, Output};
use super::{Failed, note, prepare, say};
use crate::base::Exit;
use crate::base::name::HostName;
use crate::engine::record::JournalEntry;
use crate::engine::saved;
use crate::report;

/// One run of one host, as `--json` tells it.
#[derive(Serialize)]
struct Line<'a> {
    host: &'a HostName,
    #[serde(flatten)]
    entry: &'a JournalEntry,
}

/// Runs the command.
pub(super) fn run(command: &History, output: &Output) -> Result<Exit, Failed> {
    super::runtime()?.block_on(async {
        let jobs = prepare::read(&command.selection).await?;
        let running = report::start(&report::Settings { no_bars: true, ..report::Settings::default() })?;
        let run = prepare::run_of(&jobs, &command.selection, &prepare::Manner::look("history"), &running);
        let asked = join_all(jobs.jobs.iter().map(|job| async {
            let _place = run.places.acquire().await;
            (&job.target.name, saved::journal(job, &run).await)
        }));
        let mut worst = Exit::Done;
        for (host, answer) in asked.await {
            match answer {
                Ok(mut entries) => {
                    entries.reverse();
                    entries.truncate(if command.runs == 0 { usize::MAX } else { command.runs });
                    say(&if output.json { lines(host, &entries)? } else { told(host, &entries) });
                }
                Err((failure, exit)) => {
                    note(&prepare::told(host.as_str(), &failure));
                    worst = worst.worst(exit);
                }
            }
        }
        Ok(worst)
    })
}

fn lines(host: &HostName, entries: &[JournalEntry]) -> Result<String, Failed> {
    let line = |entry| serde_json::to_string(&Line { host, entry }).map(|text| text + "\n");
    entries
        .iter()
        .map(line)
        .collect::<Result<String, _>>()
        .map_err(|error| Failed::host(format!("the history can not be written as JSON: {error}")))
}

/// Without what could steer a terminal: others may have written into the journal.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// Of which playbooks it was, and by which name it can be undone.
fn of_what(entry: &JournalEntry) -> String {
    if let Some(run) = &entry.undoes {
        return format!("undo of run {}", plain(run));
    }
    let digest: String = plain(&entry.playbooks).chars().take(12).collect();
    let run = entry.run.as_ref().map(|run| format!(", run {}", plain(run))).unwrap_or_default();
    format!("playbooks {digest}{run}")
}

fn ended(entry: &JournalEntry) -> String {
    match (&entry.failure, entry.exit) {
        (_, Exit::GuardRestored) => "the guard put the host back".into(),
        (Some(failure), _) => format!("failed: {}", plain(failure)),
        (None, Exit::Interrupted) => "interrupted".into(),
        (None, _) => "done".into(),
    }
}

/// The runs for people: a head each, and below it what was done, task by task.
fn told(host: &HostName, entries: &[JournalEntry]) -> String {
    let mut text = format!("{host}\n");
    if entries.is_empty() {
        text.push_str("  bedplate has changed nothing here\n");
    }
    for entry in entries {
        let since = plain(&entry.operator.since).replace('T', " ").replace('Z', " UTC");
        let _ = writeln!(
            text,
            "\n  {since}  {}  bedplate {}, {}\n  {}",
            plain(&entry.operator.name),
            plain(&entry.version),
            of_what(entry),
            ended(entry)
        );
        let mut last = "";
        for step in &entry.done {
            if step.task != last {
                let _ = writeln!(text, "    {}", plain(&step.task));
                last = &step.task;
            }
            let _ = writeln!(text, "      {}", plain(&step.action));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{JournalStep, Operator};

    fn entry(exit: Exit, failure: Option<&str>) -> JournalEntry {
        let step = |task: &str, action: &str| JournalStep { task: task.into(), action: action.into() };
        JournalEntry {
            v: 1,
            operator: Operator { name: "ann@laptop".into(), process: 7, since: "2026-01-02T03:04:05Z".into() },
            version: "0.1.0".into(),
            playbooks: "0123456789abcdef".into(),
            done: vec![step("swap", "make it"), step("swap", "list it"), step("\u{1b}[31mred", "x")],
            exit,
            failure: failure.map(Into::into),
            run: Some("1a2b3c4d".into()),
            undoes: None,
        }
    }

    #[test]
    fn a_run_is_told_with_who_when_what_and_how_it_ended() {
        let host = HostName::new("web1").unwrap();
        assert_eq!(
            told(&host, &[entry(Exit::Done, None)]),
            "web1\n\n  2026-01-02 03:04:05 UTC  ann@laptop  bedplate 0.1.0, playbooks 0123456789ab, run 1a2b3c4d\n  done\n    swap\n      \
             make it\n      list it\n    [31mred\n      x\n\n"
        );
        assert!(told(&host, &[entry(Exit::HostFailed, Some("no room"))]).contains("\n  failed: no room\n"));
        assert!(told(&host, &[]).contains("nothing"));
    }

    #[test]
    fn json_has_a_flat_object_a_run() {
        let host = HostName::new("web1").unwrap();
        let text = lines(&host, &[entry(Exit::Done, None)]).unwrap_or_else(|failed| panic!("{}", failed.text));
        assert!(text.starts_with(r#"{"host":"web1","v":1,"operator":{"name":"ann@laptop","#), "{text}");
    }
}
