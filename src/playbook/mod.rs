//! Playbooks: text to checked values. What a task declares is known here with its place in the file, every mistake is
//! found before any host is contacted, and nothing here contacts one.
//!
//! # Where playbooks come from
//!
//! The built-in playbooks are in the binary. A file of the folder `playbooks/` beside `bedplate.toml` takes the place of
//! the built-in one with its name, whatever their numbers; a file with a name of its own is one more. They run in the
//! order of their files' names. An inventory may name its set instead: `playbooks = ["20-swap", "mine"]`, in that order,
//! where a name is a file of that folder or else a built-in playbook, and `builtin:20-swap` is the built-in one in any
//! case. Templates are looked for in `templates/` beside `bedplate.toml` first, then among the built-in ones.
//!
//! # Where variables come from
//!
//! Every variable is declared once, in the playbook that owns it, with a type and a line of documentation. Its value is
//! the first of: `--set NAME=VALUE`, the environment (`BEDPLATE_VAR_NAME`, in capitals), the host, its groups (the one
//! named last wins), `[variables]` of the inventory, the playbook's default. A table adds its keys to those of the less
//! important ones; a key set to `"{{ none }}"` is taken out. Strings in files may be templates; what comes
//! from the command line, the environment or a secret is taken as it is and never rendered.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Diagnostics, Source, Span};

pub mod builtin;
pub mod check;
mod compare;
pub mod facts;
pub mod local;
pub mod place;
pub mod reader;
pub mod render;
pub mod schema;
pub mod scope;
pub mod setting;
mod slip;
pub mod starter;
mod syntax;
pub mod tree;
pub mod values;
pub mod variable;
pub mod write;

pub use local::{Disk, Local, Memory};
pub use reader::{Playbook, TaskText};
pub use scope::{Chosen, Scope, Settings};
pub use variable::{Sort, Variable};

/// All playbooks of a run, with all that they declare.
#[derive(Debug)]
pub struct Playbooks {
    /// In the order of execution.
    pub all: Vec<Playbook>,
    /// All variables, by name.
    pub variables: BTreeMap<String, Variable>,
    /// All templates that tasks may name.
    pub templates: BTreeMap<String, Arc<Source>>,
}

/// Which playbooks a run has.
#[derive(Debug, Clone, Default)]
pub enum Choice {
    /// Those in the binary; no file is read.
    Builtin,
    /// Those in the binary, each replaced by the file of its name in the folder `playbooks/`, and all others of that
    /// folder.
    #[default]
    Folder,
    /// These and no others: files of the folder `playbooks/` or built-in ones; each with its place.
    Named(Vec<(String, Span)>),
    /// These files, as given on the command line.
    Files(Vec<String>),
}

impl Playbooks {
    /// Reads the playbooks of `choice` and checks all that can be said without a host. Mistakes go to `found`.
    pub fn load(local: &dyn Local, choice: &Choice, found: &mut Diagnostics) -> Self {
        let with_inventory = !matches!(choice, Choice::Builtin);
        let mut playbooks = Self {
            all: Vec::new(),
            variables: BTreeMap::new(),
            templates: load_templates(local, with_inventory, found),
        };
        for (stem, source) in sources(local, choice, found) {
            let (playbook, variables) = reader::read(&stem, &source, found);
            for variable in variables {
                playbooks.declare(variable, found);
            }
            playbooks.all.push(playbook);
        }
        playbooks.keep_builtin_variables();
        check::check(&playbooks, found);
        playbooks
    }

    /// The variables of built-in playbooks that this run has not, unless its own declare them: a playbook that is left
    /// out takes nothing away from the others, and what an inventory sets for it is no mistake.
    fn keep_builtin_variables(&mut self) {
        let left_out =
            |stem: &String| !self.all.iter().any(|playbook| playbook.source.name == format!("builtin:{stem}.toml"));
        let sources: Vec<_> = builtin::playbooks().into_iter().filter(|(stem, _)| left_out(stem)).collect();
        for (stem, source) in sources {
            for variable in reader::read(&stem, &source, &mut Diagnostics::new()).1 {
                self.variables.entry(variable.name.clone()).or_insert(variable);
            }
        }
    }

    /// The built-in playbooks.
    pub fn builtin(found: &mut Diagnostics) -> Self {
        Self::load(&Memory::default(), &Choice::Builtin, found)
    }

    fn declare(&mut self, variable: Variable, found: &mut Diagnostics) {
        match self.variables.get(&variable.name) {
            Some(first) => found.push(
                Diagnostic::error(format!("`{}` is declared twice", variable.name))
                    .at(variable.span(), "the second")
                    .also(first.span(), "the first")
                    .help("variables are shared by all playbooks: declare it in one of them"),
            ),
            None => {
                self.variables.insert(variable.name.clone(), variable);
            }
        }
    }

    /// The variables that `playbook` declares, in the order of its file.
    pub fn of<'a>(&'a self, playbook: &'a Playbook) -> impl Iterator<Item = &'a Variable> {
        let mut own: Vec<&Variable> =
            self.variables.values().filter(|variable| variable.source == playbook.source).collect();
        own.sort_by_key(|variable| variable.range.start);
        own.into_iter()
    }

    /// The playbook of that name: `swap` or `20-swap`.
    pub fn named(&self, name: &str) -> Option<&Playbook> {
        self.all.iter().find(|playbook| playbook.name == name || playbook.stem == name)
    }
}

/// The file name without folder and ending.
fn stem_of(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".toml").unwrap_or(file)
}

fn sources(local: &dyn Local, choice: &Choice, found: &mut Diagnostics) -> Vec<(String, Arc<Source>)> {
    match choice {
        Choice::Builtin => builtin::playbooks(),
        Choice::Folder => {
            let own = folder(local, "playbooks", ".toml", found);
            let mut all: Vec<_> = own.into_iter().map(|(name, source)| (stem_of(&name).to_owned(), source)).collect();
            for (stem, source) in builtin::playbooks() {
                if !all.iter().any(|(own, _)| reader::name_of(own) == reader::name_of(&stem)) {
                    all.push((stem, source));
                }
            }
            all.sort_by(|one, other| one.0.cmp(&other.0));
            all
        }
        Choice::Named(names) => {
            let sources: Vec<_> = names.iter().filter_map(|(name, span)| one(local, name, span, found)).collect();
            if sources.len() == names.len() {
                unnamed(local, names, &sources, found);
            }
            sources
        }
        Choice::Files(paths) => paths.iter().filter_map(|path| file(local, path, found)).collect(),
    }
}

/// A file of one's own that the list does not name was likely forgotten there. One that stands in for a built-in playbook
/// may have been left out on purpose.
fn unnamed(local: &dyn Local, names: &[(String, Span)], sources: &[(String, Arc<Source>)], found: &mut Diagnostics) {
    let builtin: Vec<String> = builtin::playbooks().iter().map(|(stem, _)| reader::name_of(stem)).collect();
    let files = local.names("playbooks").ok().flatten().unwrap_or_default();
    let own = |file: &&String| {
        file.ends_with(".toml") && !file.starts_with('.') && !builtin.contains(&reader::name_of(stem_of(file)))
    };
    let runs = |path: &str| sources.iter().any(|(_, source)| source.name == path);
    for file in files.iter().filter(own).filter(|file| !runs(&format!("playbooks/{file}"))) {
        let wrong = Diagnostic::warning(format!("`playbooks/{file}` does not run: the list does not name it"));
        let wrong = wrong.help(format!("add \"{}\" where it is to run", stem_of(file)));
        found.push(match names.last() {
            Some((_, span)) => wrong.at(span.clone(), "the list ends here"),
            None => wrong,
        });
    }
}

fn file(local: &dyn Local, path: &str, found: &mut Diagnostics) -> Option<(String, Arc<Source>)> {
    match local.read(path) {
        Ok(Some(text)) => return Some((stem_of(path).to_owned(), Source::new(path, text))),
        Ok(None) => {
            found.push(
                Diagnostic::error(format!("there is no playbook `{path}`"))
                    .help("look at the path, or leave it out to use the built-in playbooks"),
            );
        }
        Err(why) => found.push(Diagnostic::error(format!("the playbook `{path}` can not be read: {why}"))),
    }
    None
}

/// A playbook that the inventory names.
fn one(local: &dyn Local, name: &str, span: &Span, found: &mut Diagnostics) -> Option<(String, Arc<Source>)> {
    let builtin = builtin::playbooks();
    let unknown = |near: Option<String>| {
        let diagnostic = Diagnostic::error(format!("there is no playbook `{name}`")).at(span.clone(), "not found");
        match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!(
                "put it into `playbooks/`, or name a built-in one: {}",
                builtin.iter().map(|(stem, _)| stem.as_str()).collect::<Vec<_>>().join(", ")
            )),
        }
    };
    let named = |wanted: &str| builtin.iter().find(|(stem, _)| stem == wanted || reader::name_of(stem) == wanted);
    let nearly = |wanted: &str| {
        let stems = || builtin.iter().map(|(stem, _)| stem.as_str());
        let by_name = |stem: &&str| nearest(wanted, [reader::name_of(stem).as_str()]).is_some();
        nearest(wanted, stems()).or_else(|| stems().find(by_name)).map(str::to_owned)
    };
    if let Some(wanted) = name.strip_prefix("builtin:") {
        let hit = named(wanted.strip_suffix(".toml").unwrap_or(wanted));
        if hit.is_none() {
            found.push(unknown(nearly(wanted).map(|near| format!("builtin:{near}"))));
        }
        return hit.cloned();
    }
    let file_name = if name.ends_with(".toml") { name.to_owned() } else { format!("{name}.toml") };
    for path in [format!("playbooks/{file_name}"), file_name.clone()] {
        match local.read(&path) {
            Ok(Some(text)) => return Some((stem_of(&path).to_owned(), Source::new(path, text))),
            Ok(None) => {}
            Err(why) => {
                found.push(Diagnostic::error(format!("`{path}` can not be read: {why}")).at(span.clone(), ""));
                return None;
            }
        }
    }
    let stem = stem_of(&file_name);
    let files = local.names("playbooks").ok().flatten().unwrap_or_default();
    let own = |file: &&String| file.ends_with(".toml") && reader::name_of(stem_of(file)) == stem;
    if let Some(file) = files.iter().find(own) {
        return self::file(local, &format!("playbooks/{file}"), found);
    }
    if let Some(builtin) = named(stem) {
        return Some(builtin.clone());
    }
    found.push(unknown(
        nearest(stem, files.iter().map(|file| stem_of(file))).map(str::to_owned).or_else(|| nearly(stem)),
    ));
    None
}

/// The files of a folder with that ending, in order of their names.
fn folder(local: &dyn Local, path: &str, ending: &str, found: &mut Diagnostics) -> Vec<(String, Arc<Source>)> {
    let names = match local.names(path) {
        Ok(names) => names.unwrap_or_default(),
        Err(why) => {
            found.push(Diagnostic::error(format!("the folder `{path}` can not be read: {why}")));
            Vec::new()
        }
    };
    let mut files = Vec::new();
    for name in names.into_iter().filter(|name| name.ends_with(ending) && !name.starts_with('.')) {
        let file = format!("{path}/{name}");
        match local.read(&file) {
            Ok(Some(text)) => files.push((name, Source::new(file, text))),
            Ok(None) => {}
            Err(why) => found.push(Diagnostic::error(format!("`{file}` can not be read: {why}"))),
        }
    }
    files
}

fn load_templates(local: &dyn Local, own: bool, found: &mut Diagnostics) -> BTreeMap<String, Arc<Source>> {
    let mut templates = builtin::templates();
    if own {
        templates.extend(folder(local, "templates", "", found));
    }
    templates
}
