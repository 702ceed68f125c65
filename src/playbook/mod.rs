//! Playbooks: text to checked values. What a task declares is known here with its place in the file, every mistake is
//! found before any host is contacted, and nothing here contacts one.
//!
//! # Where playbooks come from
//!
//! The built-in playbooks are in the binary. A folder `playbooks/` beside `bedplate.toml` replaces them all: it is what
//! `bedplate init` writes, to own and edit. An inventory may name its set instead: `playbooks = ["builtin:20-swap",
//! "mine.toml"]`, in that order, where a bare name is a file of that folder. Templates are looked for in `templates/`
//! beside `bedplate.toml` first, then among the built-in ones.
//!
//! # Where variables come from
//!
//! Every variable is declared once, in the playbook that owns it, with a type and a line of documentation. Its value is
//! the first of: `--set NAME=VALUE`, the environment (`BEDPLATE_VAR_NAME`, in capitals), the host, its groups (the one
//! named last wins), `[variables]` of the inventory, the playbook's default. Strings in files may be templates; what comes
//! from the command line, the environment or a secret is taken as it is and never rendered.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Diagnostics, Source, Span};

pub mod builtin;
pub mod check;
pub mod facts;
pub mod local;
pub mod place;
pub mod reader;
pub mod render;
pub mod scope;
pub mod tree;
pub mod values;
pub mod variable;

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
    /// Those in the binary: there is no inventory.
    #[default]
    Builtin,
    /// The folder `playbooks/` beside the inventory if it is there, else those in the binary.
    Folder,
    /// These and no others: `builtin:20-swap`, or files of the folder `playbooks/`; each with its place.
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
        check::check(&playbooks, found);
        playbooks
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
        Choice::Folder => match folder(local, "playbooks", ".toml", found) {
            files if files.is_empty() => builtin::playbooks(),
            files => files.into_iter().map(|(name, source)| (stem_of(&name).to_owned(), source)).collect(),
        },
        Choice::Named(names) => names.iter().filter_map(|(name, span)| one(local, name, span, found)).collect(),
        Choice::Files(paths) => paths.iter().filter_map(|path| file(local, path, found)).collect(),
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
            None => diagnostic.help("name a file in `playbooks/`, or a built-in one such as `builtin:20-swap`"),
        }
    };
    if let Some(wanted) = name.strip_prefix("builtin:") {
        let hit = builtin.iter().find(|(stem, _)| stem == wanted || reader::name_of(stem) == wanted);
        if hit.is_none() {
            let near = nearest(wanted, builtin.iter().map(|(stem, _)| stem.as_str()));
            let near = near.or_else(|| {
                builtin
                    .iter()
                    .map(|(s, _)| s.as_str())
                    .find(|s| nearest(wanted, [reader::name_of(s).as_str()]).is_some())
            });
            found.push(unknown(near.map(|near| format!("builtin:{near}"))));
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
    let files = local.names("playbooks").ok().flatten().unwrap_or_default();
    let near = nearest(&file_name, files.iter().map(String::as_str)).map(str::to_owned);
    found.push(unknown(near));
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
