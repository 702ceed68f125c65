//! `bedplate generate`: documents that are made from the code.

use std::path::Path;

use clap_complete::Shell;

use super::arguments::{Document, Generate};
use super::{Failed, say};
use crate::base::Exit;
use crate::{inventory, playbook, report};

/// Runs the command.
pub(super) fn run(command: &Generate, line: &mut clap::Command) -> Result<Exit, Failed> {
    if let Some(folder) = &command.into {
        return pages(command.what, folder, line.clone());
    }
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

/// The manual page of the program.
fn manual(line: clap::Command) -> std::io::Result<String> {
    let mut text = Vec::new();
    clap_mangen::Man::new(line).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The manual pages of the program and of each of its commands, a file each.
fn pages(what: Document, folder: &Path, line: clap::Command) -> Result<Exit, Failed> {
    if !matches!(what, Document::Man) {
        return Err(Failed::input("only manual pages are several files").help("leave `--into` out, and redirect"));
    }
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(line, folder))
        .map_err(|error| Failed::input(format!("the pages can not be written into {}: {error}", folder.display())))?;
    Ok(Exit::Done)
}
