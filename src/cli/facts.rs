//! `bedplate facts`: what is true of a host.

use futures::future::join_all;

use super::arguments::{Facts, Output};
use super::{Failed, note, prepare, say};
use crate::base::Exit;
use crate::engine::saved::{self, FACTS_VERSION, SavedFacts};
use crate::report;

/// Runs the command.
pub(super) fn run(command: &Facts, output: &Output) -> Result<Exit, Failed> {
    super::runtime()?.block_on(async {
        let jobs = prepare::read(&command.selection).await?;
        if command.selection.show_script {
            return Ok(prepare::show_probe(&jobs));
        }
        let running = report::start(&report::Settings { no_bars: true, ..report::Settings::default() })?;
        let run = prepare::run_of(&jobs, &command.selection, &prepare::Manner::look("facts"), &running);
        let asked = join_all(jobs.jobs.iter().map(|job| async {
            let _place = run.places.acquire().await;
            (&job.target.name, saved::facts(job, &run).await)
        }));
        let mut worst = Exit::Done;
        for (name, answer) in asked.await {
            match answer {
                Ok(machine) => {
                    let facts = SavedFacts {
                        v: FACTS_VERSION,
                        host: name.clone(),
                        taken: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                        machine,
                    };
                    say(&if output.json { line(&facts)? } else { table(&facts)? });
                }
                Err((failure, exit)) => {
                    note(&prepare::told(name.as_str(), &failure));
                    worst = worst.worst(exit);
                }
            }
        }
        Ok(worst)
    })
}

fn unreadable(error: &serde_json::Error) -> Failed {
    Failed::host(format!("the facts can not be written as JSON: {error}"))
}

fn line(facts: &SavedFacts) -> Result<String, Failed> {
    serde_json::to_string(facts).map(|text| text + "\n").map_err(|error| unreadable(&error))
}

/// The facts sort by sort, a line each, for people.
fn table(facts: &SavedFacts) -> Result<String, Failed> {
    let machine = serde_json::to_value(&facts.machine).map_err(|error| unreadable(&error))?;
    let mut text = format!("{}\n", facts.host);
    for (sort, answers) in machine.as_object().into_iter().flatten() {
        text.push_str(&format!("\n  {}\n", sort.replace('_', " ")));
        for (question, answer) in answers.as_object().into_iter().flatten() {
            let answer = answer.get("known").unwrap_or(answer);
            text.push_str(&format!("    {question}: {}\n", words(answer)));
        }
    }
    Ok(text)
}

/// An answer in one line.
fn words(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => match text.lines().count() {
            0 | 1 => text.escape_debug().to_string(),
            lines => format!("{lines} lines"),
        },
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => {
            let told = fields.iter().map(|(name, value)| match value {
                Value::Object(_) => format!("{name} ({})", words(value)),
                Value::Number(mode) if name == "mode" => format!("mode {:04o}", mode.as_u64().unwrap_or_default()),
                _ => format!("{name} {}", words(value)),
            });
            told.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
