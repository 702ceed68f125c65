//! One playbook's text read into its variables and tasks. Every mistake of its structure is found here; what its
//! templates read is checked once all playbooks are known.

use std::ops::Range;
use std::sync::Arc;

use super::tree::{self, Data, Entry, Node, Table};
use super::variable::{Sort, Variable};
use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Diagnostics, Source, Span};
use crate::resource::{self, KINDS, Kind};

/// One playbook.
#[derive(Debug)]
pub struct Playbook {
    /// Its name: that of the file without number and ending, such as `swap`.
    pub name: String,
    /// The file's name without its ending, such as `20-swap`.
    pub stem: String,
    /// What it is for.
    pub description: String,
    /// Its tasks, in order.
    pub tasks: Vec<TaskText>,
    /// The file.
    pub source: Arc<Source>,
}

/// A task as it is written.
pub struct TaskText {
    /// Its name, maybe a template.
    pub name: Node,
    /// The condition, a bare expression.
    pub when: Option<Node>,
    /// The name of a list variable, or an expression that gives a list.
    pub for_each: Option<Node>,
    /// Its own tags.
    pub tags: Vec<String>,
    /// What it declares.
    pub kind: &'static dyn Kind,
    /// Where the resource is named.
    pub kind_range: Range<usize>,
    /// The resource's table.
    pub table: Node,
    /// Where the task begins.
    pub range: Range<usize>,
}

impl std::fmt::Debug for TaskText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskText").field("name", &self.name).field("kind", &self.kind.name()).finish_non_exhaustive()
    }
}

/// The keys of a `[[task]]` besides its resource.
pub const TASK_KEYS: [&str; 4] = ["name", "when", "for_each", "tags"];
/// The keys of a playbook.
pub const PLAYBOOK_KEYS: [&str; 3] = ["description", "variables", "task"];
/// The keys of a variable's declaration.
pub const VARIABLE_KEYS: [&str; 5] = ["type", "default", "doc", "choices", "secret"];
/// Names that no variable may have.
pub const RESERVED: [&str; 8] = ["host", "facts", "item", "true", "false", "none", "loop", "self"];

/// Reads the playbook in `source`, which is known as `stem`.
pub fn read(stem: &str, source: &Arc<Source>, found: &mut Diagnostics) -> (Playbook, Vec<Variable>) {
    let mut syntax = Diagnostics::new();
    let (root, whole) = tree::read(source, &mut syntax);
    found.append(syntax);
    // What a file with a slip in its syntax seems to say is not worth blaming; what it declares still counts.
    let mut ignored = Diagnostics::new();
    let mut reader = Reader { source, found: if whole { found } else { &mut ignored }, name: name_of(stem) };
    let empty = Table::default();
    let (mut playbook, variables) = reader.playbook(stem, root.table().unwrap_or(&empty));
    if !whole {
        playbook.tasks.clear();
    }
    (playbook, variables)
}

/// `swap` for `20-swap`.
pub fn name_of(stem: &str) -> String {
    let rest = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    let name = rest.strip_prefix('-').filter(|name| !name.is_empty() && rest.len() < stem.len());
    name.unwrap_or(stem).to_owned()
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    found: &'a mut Diagnostics,
    name: String,
}

impl Reader<'_> {
    fn error(&mut self, message: impl Into<String>, range: &Range<usize>, label: &str, help: impl Into<String>) {
        let diagnostic = Diagnostic::error(message).at(Span::new(self.source, range.clone()), label);
        let help = help.into();
        self.found.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    fn unknown_keys(&mut self, table: &Table, known: &[&str], of: &str) {
        for entry in table.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.found.push(unknown_key(self.source, entry, known, of));
        }
    }

    fn text(&mut self, table: &Table, key: &str) -> Option<String> {
        let node = table.get(key)?;
        if node.text().is_none() {
            self.error(format!("`{key}` must be a string, not {}", node.sort()), &node.range, "", "put it in quotes");
        }
        node.text().map(str::to_owned)
    }

    fn playbook(&mut self, stem: &str, root: &Table) -> (Playbook, Vec<Variable>) {
        self.unknown_keys(root, &PLAYBOOK_KEYS, "a playbook");
        let description = self.text(root, "description").unwrap_or_default();
        let variables = match root.entry("variables") {
            Some(entry) => self.variables(entry),
            None => Vec::new(),
        };
        let mut tasks = Vec::new();
        match root.get("task").map(|node| (node, node.list())) {
            Some((_, Some(list))) => {
                for node in list {
                    tasks.extend(self.task(node));
                }
            }
            Some((node, None)) => {
                self.error("`task` must be a list of tables", &node.range, "", "begin each task with `[[task]]`");
            }
            None => {}
        }
        let name = self.name.clone();
        (Playbook { name, stem: stem.to_owned(), description, tasks, source: self.source.clone() }, variables)
    }

    fn variables(&mut self, entry: &Entry) -> Vec<Variable> {
        let Some(table) = entry.node.table() else {
            self.error("`variables` must be a table", &entry.node.range, "", "declare each as `[variables.NAME]`");
            return Vec::new();
        };
        table.entries.iter().filter_map(|entry| self.variable(entry)).collect()
    }

    fn variable(&mut self, entry: &Entry) -> Option<Variable> {
        let name = entry.key.as_str();
        if !is_variable_name(name) {
            let message = format!("`{name}` can not be the name of a variable");
            let help =
                "use lower-case letters, digits and `_`, with a letter first; `host`, `facts` and `item` are taken";
            self.error(message, &entry.key_range, "", help);
        }
        let Some(table) = entry.node.table() else {
            let help = format!("write `[variables.{name}]` with `type`, `default` and `doc` below it");
            self.error(format!("`{name}` must be declared by a table"), &entry.node.range, "", help);
            return None;
        };
        self.unknown_keys(table, &VARIABLE_KEYS, "a variable");
        let sort = self.sort(name, entry, table);
        let doc = self.text(table, "doc").unwrap_or_default();
        if table.get("doc").is_none() {
            let help = "add `doc = \"…\"`, a sentence on what it is for";
            self.error(format!("`{name}` has no `doc`"), &entry.key_range, "", help);
        }
        let secret = table.get("secret").is_some_and(|node| {
            if !matches!(node.data, Data::Boolean(_)) {
                self.error("`secret` must be `true` or `false`", &node.range, "", "leave the quotes out");
            }
            node.data == Data::Boolean(true)
        });
        let choices = self.list(table, "choices").map(<[Node]>::to_vec).unwrap_or_default();
        let variable = Variable {
            name: name.to_owned(),
            sort: sort?,
            default: meant(table, "default", &VARIABLE_KEYS).cloned(),
            doc,
            choices,
            secret,
            playbook: self.name.clone(),
            source: self.source.clone(),
            range: entry.key_range.clone(),
        };
        for choice in variable.choices.iter().filter(|choice| !variable.sort.holds(&choice.data)) {
            let message = format!("a choice of `{name}` must be of its type, {}", variable.sort);
            let help = format!("write it as a {}, or leave it out", variable.sort);
            self.error(message, &choice.range, &format!("this is {}", choice.sort()), help);
        }
        Some(variable)
    }

    fn sort(&mut self, name: &str, entry: &Entry, table: &Table) -> Option<Sort> {
        let known = Sort::ALL.map(|(name, _)| name);
        let Some(node) = table.get("type") else {
            let help = format!("add `type = \"…\"`: one of {}", known.join(", "));
            self.error(format!("`{name}` has no `type`"), &entry.key_range, "", help);
            return None;
        };
        let text = self.text(table, "type")?;
        let sort = Sort::named(&text);
        if sort.is_none() {
            let near = nearest(&text, known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let help = format!("{near}(types: {})", known.join(", "));
            self.error(format!("`{text}` is not a type"), &node.range, "", help);
        }
        sort
    }

    fn list<'t>(&mut self, table: &'t Table, key: &str) -> Option<&'t [Node]> {
        let node = table.get(key)?;
        if node.list().is_none() {
            self.error(
                format!("`{key}` must be a list, not {}", node.sort()),
                &node.range,
                "",
                "put it in `[` and `]`",
            );
        }
        node.list()
    }

    fn task(&mut self, node: &Node) -> Option<TaskText> {
        let Some(table) = node.table() else {
            self.error("a task must be a table", &node.range, "", "begin each task with `[[task]]`");
            return None;
        };
        let name = table.get("name").filter(|_| self.text(table, "name").is_some()).cloned();
        if table.get("name").is_none() {
            self.error(
                "this task has no `name`",
                &node.range,
                "",
                "add `name = \"…\"`: it is shown in plans and reports",
            );
        }
        for key in ["when", "for_each"] {
            if let Some(node) = table.get(key).filter(|node| node.text().is_none()) {
                let help = if key == "when" {
                    "write an expression in quotes, such as `\"name != ''\"`; a task without `when` always applies"
                } else {
                    "write the name of a list variable in quotes"
                };
                self.error(format!("`{key}` must be a string, not {}", node.sort()), &node.range, "", help);
            }
        }
        let tags = self.tags(table);
        let resource = self.resource(node, table);
        let (entry, kind) = resource?;
        let text_of = |key: &str| table.get(key).filter(|node| node.text().is_some()).cloned();
        Some(TaskText {
            name: name?,
            when: text_of("when"),
            for_each: text_of("for_each"),
            tags,
            kind,
            kind_range: entry.key_range.clone(),
            table: entry.node.clone(),
            range: node.range.clone(),
        })
    }

    fn tags(&mut self, table: &Table) -> Vec<String> {
        let mut tags = Vec::new();
        for node in self.list(table, "tags").unwrap_or(&[]) {
            match node.text() {
                Some(tag) if !tag.is_empty() && !tag.contains([',', '{', ' ']) => tags.push(tag.to_owned()),
                _ => self.error("a tag must be a word", &node.range, "", "use letters, digits, `-` and `_`, in quotes"),
            }
        }
        tags
    }

    fn resource<'t>(&mut self, node: &Node, table: &'t Table) -> Option<(&'t Entry, &'static dyn Kind)> {
        let mut named: Vec<(&Entry, &'static dyn Kind)> = Vec::new();
        let mut unknown = false;
        for entry in table.entries.iter().filter(|entry| !TASK_KEYS.contains(&entry.key.as_str())) {
            match resource::kind(&entry.key) {
                Some(kind) => named.push((entry, kind)),
                None => {
                    unknown = true;
                    self.found.push(self.unknown_resource(entry));
                }
            }
        }
        match named.as_slice() {
            [] if !unknown => {
                let help = format!("add one, such as `[task.packages]` (resources: {})", kinds());
                self.error("this task names no resource", &node.range, "", help);
                None
            }
            [] => None,
            [(entry, kind)] => {
                if entry.node.table().is_some() {
                    return Some((entry, *kind));
                }
                let message = format!("`{}` must be a table, not {}", entry.key, entry.node.sort());
                let help = format!("write its fields below `[task.{}]`", entry.key);
                self.error(message, &entry.node.range, "", help);
                None
            }
            [(first, _), (second, _), ..] => {
                let diagnostic = Diagnostic::error("a task has one resource, this one has two")
                    .at(Span::new(self.source, second.key_range.clone()), "the second")
                    .also(Span::new(self.source, first.key_range.clone()), "the first")
                    .help("make two tasks of it");
                self.found.push(diagnostic);
                None
            }
        }
    }

    fn unknown_resource(&self, entry: &Entry) -> Diagnostic {
        let names = KINDS.iter().map(|kind| kind.name()).chain(TASK_KEYS);
        let table = entry.node.table().is_some();
        let what = if table { "resource" } else { "key" };
        let diagnostic = Diagnostic::error(format!("unknown {what} `{}` in a task", entry.key))
            .at(Span::new(self.source, entry.key_range.clone()), format!("no such {what}"));
        match nearest(&entry.key, names) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("resources: {}", kinds())),
        }
    }
}

fn kinds() -> String {
    KINDS.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// The value of `key`, also where its name has a slip: that is told, and no second mistake is to come of it.
fn meant<'t>(table: &'t Table, key: &str, known: &[&str]) -> Option<&'t Node> {
    let slip = |entry: &&Entry| {
        !known.contains(&entry.key.as_str()) && nearest(&entry.key, known.iter().copied()) == Some(key)
    };
    table.get(key).or_else(|| table.entries.iter().find(slip).map(|entry| &entry.node))
}

/// A key that `of` does not have.
pub fn unknown_key(source: &Arc<Source>, entry: &Entry, known: &[&str], of: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("unknown key `{}` in {of}", entry.key))
        .at(Span::new(source, entry.key_range.clone()), format!("not a key of {of}"));
    let list = format!("(keys: {})", known.join(", "));
    match nearest(&entry.key, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`? {list}")),
        None => diagnostic.help(list.trim_matches(['(', ')']).to_owned()),
    }
}

/// Lower-case letters, digits and `_`, so that it is also the name of an environment variable.
pub fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name)
}
