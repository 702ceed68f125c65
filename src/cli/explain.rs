//! `bedplate explain`: what a resource takes, what a variable is for, what a playbook does.

use super::arguments::Explain;
use super::{Failed, say};
use crate::base::diagnostic::nearest;
use crate::base::{Diagnostics, Exit};
use crate::playbook::{Choice, Disk, Playbook, Playbooks, Variable, setting, write};
use crate::report::{Settings, Terminal};
use crate::resource::reference::{Field, Part, parts};
use crate::resource::{self, Kind};

/// Runs the command.
pub(super) fn run(command: &Explain) -> Result<Exit, Failed> {
    let mut found = Diagnostics::new();
    let playbooks = Playbooks::load(&Disk::new("."), &Choice::Folder, &mut found);
    if found.has_errors() {
        return Err(found.into());
    }
    let width = Terminal::here().style(&Settings::default()).answer.width.min(100);
    say(&match &command.name {
        None => overview(&playbooks, width),
        Some(name) => explained(name, &playbooks, width).ok_or_else(|| unknown(name, &playbooks))?,
    });
    Ok(Exit::Done)
}

/// The page of `name`, if it is the name of anything.
fn explained(name: &str, playbooks: &Playbooks, width: usize) -> Option<String> {
    if let Some(variable) = playbooks.variables.get(name) {
        return Some(of_variable(variable, width));
    }
    if let Some(kind) = resource::kind(name) {
        return Some(of_resource(kind, width));
    }
    playbooks.named(name).map(|playbook| of_playbook(playbook, playbooks, width))
}

fn unknown(name: &str, playbooks: &Playbooks) -> Failed {
    let resources = resource::KINDS.iter().map(|kind| kind.name());
    let names = resources.chain(playbooks.variables.keys().map(String::as_str));
    let failed = Failed::input(format!("`{name}` is neither a resource nor a variable nor a playbook"));
    match nearest(name, names) {
        Some(near) => failed.help(&format!("did you mean `{near}`?")),
        None => failed.help("`bedplate explain` lists them"),
    }
}

fn paragraphs(text: &str, indent: &str, width: usize) -> String {
    let mut drawn = String::new();
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            drawn.push('\n');
        }
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        for line in write::wrapped(&paragraph, width.saturating_sub(indent.len()).max(20)) {
            drawn.push_str(&format!("{indent}{line}\n"));
        }
    }
    drawn
}

/// Names with the first sentence of what they are, in two columns.
fn listed(entries: &[(String, String)], width: usize) -> String {
    let widest = entries.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, docs) in entries {
        let docs = docs.split_once("\n\n").map_or(docs.as_str(), |(first, _)| first);
        let sentence = docs.split_once(". ").map_or(docs, |(first, _)| first).trim_end_matches('.');
        let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines = write::wrapped(&sentence, width.saturating_sub(widest + 4).max(20));
        for (number, line) in lines.iter().enumerate() {
            let name = if number == 0 { name.as_str() } else { "" };
            text.push_str(&format!("  {name:widest$}  {line}\n"));
        }
    }
    text
}

fn overview(playbooks: &Playbooks, width: usize) -> String {
    let of_kind = |kind: &&dyn Kind| {
        let docs = parts(*kind).into_iter().next().map(|part| part.docs).unwrap_or_default();
        (kind.name().to_owned(), docs)
    };
    let resources: Vec<_> = resource::KINDS.iter().map(of_kind).collect();
    let files: Vec<_> = playbooks.all.iter().map(|book| (book.stem.clone(), book.description.clone())).collect();
    format!(
        "Playbooks, with their variables\n{}\nResources, which tasks declare\n{}\n\
         `bedplate explain NAME` tells all about one of them, or about a variable.\n",
        listed(&files, width),
        listed(&resources, width)
    )
}

fn of_resource(kind: &dyn Kind, width: usize) -> String {
    let mut text = String::new();
    for (number, Part { name, docs, fields }) in parts(kind).into_iter().enumerate() {
        text.push_str(&if number == 0 { format!("resource {name}\n\n") } else { format!("\nEach {name}\n\n") });
        text.push_str(&paragraphs(&docs, "  ", width));
        for Field { name, shape, default, docs } in fields {
            let default = match default.as_str() {
                "" => String::new(),
                "required" => ", required".to_owned(),
                default => format!(", default {default}"),
            };
            text.push_str(&format!("\n  {name} ({}{})\n", shape.replace('`', ""), default.replace('`', "")));
            text.push_str(&paragraphs(&docs, "      ", width));
        }
    }
    let example = kind.example().lines().map(|line| format!("  {line}\n")).collect::<String>();
    text.push_str(&format!("\nExample\n\n  [[task]]\n  name = \"…\"\n  [task.{}]\n{example}", kind.name()));
    text
}

fn of_variable(variable: &Variable, width: usize) -> String {
    let mut text = format!("variable {} ({}, of playbook {})\n\n", variable.name, variable.sort, variable.playbook);
    text.push_str(&paragraphs(&variable.doc, "  ", width));
    if !variable.choices.is_empty() {
        let choices: Vec<String> = variable.choices.iter().map(write::inline).collect();
        text.push_str(&format!("\n  one of {}\n", choices.join(", ")));
    }
    match &variable.default {
        None => text.push_str("\n  it must be set\n"),
        Some(_) if variable.secret => {}
        Some(default) => {
            text.push_str("\nDefault\n\n");
            match default.table() {
                Some(table) if !table.entries.is_empty() => {
                    for entry in &table.entries {
                        text.push_str(&format!("  {} = {}\n", entry.key, write::inline(&entry.node)));
                        let why = setting::reason(&variable.source, &entry.key_range);
                        text.push_str(&why.map(|why| paragraphs(&why, "      ", width)).unwrap_or_default());
                    }
                }
                _ => write::value(default).lines().for_each(|line| text.push_str(&format!("  {line}\n"))),
            }
        }
    }
    text
}

fn of_playbook(playbook: &Playbook, playbooks: &Playbooks, width: usize) -> String {
    let mut text = format!("playbook {}\n\n", playbook.stem);
    text.push_str(&paragraphs(&format!("{}.", playbook.description), "  ", width));
    let own: Vec<_> = playbooks.of(playbook).map(|own| (own.name.clone(), own.doc.clone())).collect();
    if !own.is_empty() {
        text.push_str(&format!("\nVariables\n{}", listed(&own, width)));
    }
    let tasks = playbook
        .tasks
        .iter()
        .map(|task| (task.name.text().unwrap_or_default().to_owned(), format!("resource {}", task.kind.name())));
    text.push_str(&format!("\nTasks\n{}", listed(&tasks.collect::<Vec<_>>(), width)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> String {
        let playbooks = Playbooks::builtin(&mut Diagnostics::new());
        explained(name, &playbooks, 80).unwrap_or_default()
    }

    #[test]
    fn resources_variables_and_playbooks_are_explained_within_the_width() {
        for (name, part) in [
            ("swap", "\n  path (string, default \"/swapfile\")\n"),
            ("packages", "\n  install (list of string, required)\n"),
            ("swap_size", "variable swap_size (string, of playbook swap)"),
            ("ssh_settings", "\n  X11Forwarding = false\n"),
            ("20-swap", "\nVariables\n  swap_size     Size of the swap file"),
        ] {
            let page = page(name);
            assert!(page.contains(part), "{name}: {page}");
            let wide = page.lines().find(|line| line.chars().count() > 80);
            assert!(wide.is_none() || name != "20-swap", "{wide:?}");
        }
        assert_eq!(page("nothing"), "");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let playbooks = Playbooks::builtin(&mut Diagnostics::new());
        assert!(unknown("swap_sise", &playbooks).text.contains("did you mean `swap_size`?"));
    }
}
