//! Every sort of mistake as it is drawn, held by `mistakes.md`: inputs and outputs stand there as a newcomer would see
//! them.

use std::collections::BTreeMap;

use super::*;
use crate::base::Diagnostic;

const TEXT: &str = include_str!("../mistakes.md");
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/mistakes.md");

/// One heading: what is given, and what is drawn.
#[derive(Default)]
pub(super) struct Case {
    pub(super) title: String,
    /// All that stands before what is drawn.
    given: String,
    pub(super) files: BTreeMap<String, String>,
    hosts: Vec<String>,
    limit: Vec<String>,
    settings: Settings,
    drawn: Option<String>,
}

impl Case {
    fn argument(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "--set" => self.settings.set.push(rest.to_owned()),
            "--tags" => self.settings.tags.push(rest.to_owned()),
            "--skip-tags" => self.settings.skip_tags.push(rest.to_owned()),
            "--limit" => self.limit.push(rest.to_owned()),
            "host" => self.hosts.push(rest.to_owned()),
            _ => {
                let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{}: {line}", self.title));
                self.settings.env.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// What a run on these files tells.
    fn found(&self) -> Diagnostics {
        let mut files = self.files.clone();
        let names: Vec<&str> = files.keys().filter_map(|path| path.strip_prefix("playbooks/")).collect();
        let inventory = format!("playbooks = {names:?}\n[hosts.web1]\naddress = \"::1\"\n");
        files.entry("bedplate.toml".into()).or_insert(inventory);
        let local = Memory::of(files);
        made_on(&local, &self.settings, &self.hosts, &self.limit).found
    }
}

/// The text before the first heading, and each heading's case.
pub(super) fn cases() -> (&'static str, Vec<Case>) {
    let mut parts = TEXT.split("\n## ");
    let head = parts.next().unwrap_or_default();
    (head, parts.map(case).collect())
}

fn case(text: &str) -> Case {
    let (title, text) = text.split_once('\n').unwrap_or((text, ""));
    let (given, drawn) = match text.split_once("```text\n") {
        Some((given, drawn)) => (given, drawn.rsplit_once("```").map(|(drawn, _)| drawn.to_owned())),
        None => (text, None),
    };
    let mut case = Case { title: title.to_owned(), given: given.trim().to_owned(), drawn, ..Case::default() };
    let mut path = None;
    let mut lines = given.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let body: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            let path = path.take().unwrap_or_else(|| panic!("{title}: a block without its path"));
            case.files.insert(path, body);
        } else if let Some(line) = line.strip_prefix('`').and_then(|line| line.strip_suffix('`')) {
            match line.contains(".toml") || line.starts_with("templates/") {
                true => path = Some(line.to_owned()),
                false => case.argument(line),
            }
        }
    }
    case
}

#[test]
fn mistakes_are_drawn_as_written_down() {
    let (head, cases) = cases();
    let mut text = head.to_owned();
    let mut other = Vec::new();
    for case in &cases {
        let drawn = case.found().render(false);
        if case.drawn.as_deref() != Some(&drawn) {
            let wanted = case.drawn.as_deref().unwrap_or("(nothing)");
            other.push(format!("## {}\n\nwritten down:\n{wanted}\ndrawn:\n{drawn}", case.title));
        }
        text.push_str(&format!("\n## {}\n\n{}\n\n```text\n{drawn}```\n", case.title, case.given));
    }
    if std::env::var_os("BEDPLATE_BLESS").is_some() {
        std::fs::write(PATH, text).expect("the file can be written");
        return;
    }
    assert!(other.is_empty(), "{}\nsee the head of src/plan/mistakes.md", other.join("\n"));
}

#[test]
fn every_mistake_says_where_it_is_and_what_to_do() {
    let mut bare = Vec::new();
    for case in cases().1 {
        let found = case.found();
        assert!(!found.is_empty(), "{}: nothing is wrong", case.title);
        let placed = found.iter().filter(|wrong| wrong.at.is_some()).count();
        assert!(placed > 0 || case.title == "no host", "{}: no mistake has a place", case.title);
        // A rule that a value breaks is written under it.
        let told = |wrong: &&Diagnostic| !wrong.help.is_empty() || wrong.at.iter().any(|(_, label)| !label.is_empty());
        bare.extend(found.iter().filter(|wrong| !told(wrong)).map(ToString::to_string));
    }
    assert!(bare.is_empty(), "these say not what to do: {bare:#?}");
}
