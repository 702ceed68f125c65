//! `bedplate generate`: documents that are made from the code.

use clap_complete::Shell;

use super::arguments::{Document, Generate};
use super::{Failed, say};
use crate::base::Exit;
use crate::{inventory, playbook, report};

/// Runs the command.
pub(super) fn run(command: &Generate, line: &mut clap::Command) -> Result<Exit, Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed::host(format!("the document can not be made: {error}"));
    let json = |value: &serde_json::Value| serde_json::to_string_pretty(value).map(|text| text + "\n");
    let text = match command.what {
        Document::Reference => inventory::reference::markdown(),
        Document::EventSchema => json(&report::schema()).map_err(|error| failed(&error))?,
        Document::PlaybookSchema => json(&playbook::schema::schema()).map_err(|error| failed(&error))?,
        Document::InventorySchema => json(&inventory::schema::schema()).map_err(|error| failed(&error))?,
        Document::Bash => completions(Shell::Bash, line),
        Document::Zsh => completions(Shell::Zsh, line),
        Document::Fish => completions(Shell::Fish, line),
        Document::Man => manual(line.clone()).map_err(|error| failed(&error))?,
    };
    say(&text);
    Ok(Exit::Done)
}

fn completions(shell: Shell, line: &mut clap::Command) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, line, "bedplate", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The page of the program, and those of its commands behind it.
fn manual(line: clap::Command) -> std::io::Result<String> {
    let mut text = Vec::new();
    clap_mangen::Man::new(line).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
