//! One task's table for one host: rendered, its template file put in, its secrets let in only where they stay secret.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::decode::Rendered;
use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Source, Span};
use crate::playbook::check::unknown_fields;
use crate::playbook::place::Template;
use crate::playbook::tree::{Data, Entry, Node, Table};
use crate::playbook::values::{Resolved, Values};
use crate::playbook::{Playbook, TaskText, check, render};
use crate::resource::{Declared, Kind};

/// Gives slips in the names of keys the names that they meant, and leaves all other unknown keys out: they are told, and
/// no second mistake is to come of them.
fn take_as_meant(table: &mut Table, known: &[String]) {
    let there: Vec<String> = table.keys().map(str::to_owned).collect();
    for entry in table.entries.iter_mut().filter(|entry| !known.contains(&entry.key)) {
        let meant =
            nearest(&entry.key, known.iter().map(String::as_str)).filter(|near| !there.iter().any(|key| key == near));
        if let Some(meant) = meant {
            entry.key = meant.to_owned();
        }
    }
    table.entries.retain(|entry| known.contains(&entry.key));
    let mut seen = Vec::new();
    table.entries.retain(|entry| {
        !seen.contains(&entry.key) && {
            seen.push(entry.key.clone());
            true
        }
    });
}

/// All that is needed to render one task's table, also later.
#[derive(Clone)]
pub(super) struct TableText {
    kind: &'static dyn Kind,
    named: Range<usize>,
    node: Node,
    source: Arc<Source>,
    templates: Arc<BTreeMap<String, Arc<Source>>>,
}

/// A table with its values in it.
pub(super) struct Filled {
    pub node: Node,
    /// The fields that hold a secret.
    pub secret_fields: Vec<String>,
}

impl Filled {
    /// The table as text, without what must not be shown: for comparing.
    pub(super) fn shown(&self) -> String {
        let Some(table) = self.node.table() else { return String::new() };
        let hidden = |key: &str| self.secret_fields.iter().any(|field| field == key);
        let entries = table.entries.iter().map(|entry| match hidden(&entry.key) {
            true => format!("{}=secret", entry.key),
            false => format!("{}={}", entry.key, render::to_value(&entry.node)),
        });
        entries.collect::<Vec<_>>().join("\0")
    }
}

impl TableText {
    pub(super) fn new(playbook: &Playbook, task: &TaskText, templates: &Arc<BTreeMap<String, Arc<Source>>>) -> Self {
        Self {
            kind: task.kind,
            named: task.kind_range.clone(),
            node: task.table.clone(),
            source: playbook.source.clone(),
            templates: templates.clone(),
        }
    }

    pub(super) fn resource(&self) -> &'static str {
        self.kind.name()
    }

    /// The table as it is written: for comparing.
    pub(super) fn text(&self) -> String {
        render::to_value(&self.node).to_string()
    }

    /// Every template in it.
    pub(super) fn templates(&self) -> Vec<Template<'_>> {
        let mut templates = Vec::new();
        self.node.each_text(&mut |node, _| templates.extend(Template::of(&self.source, node)));
        let file = self.node.table().and_then(|table| table.get("template")?.text());
        templates.extend(file.and_then(|name| self.templates.get(name)).map(Template::file));
        templates
    }

    /// The table with its values. `None` when something fails, which is told in `values`.
    pub(super) fn fill(&self, values: &mut Values<'_>, own: &BTreeMap<String, Resolved>) -> Option<Filled> {
        let mut filled = Filled {
            node: Node { range: self.node.range.clone(), data: Data::Table(Table::default()) },
            secret_fields: Vec::new(),
        };
        let mut whole = true;
        let mut table = Table::default();
        for entry in &self.node.table()?.entries {
            let rendered = values.render(&entry.node, &self.source, own);
            let Some((node, secret)) = rendered else {
                whole = false;
                continue;
            };
            if secret {
                filled.secret_fields.push(entry.key.clone());
            }
            table.entries.extend(node.map(|node| Entry { node, ..entry.clone() }));
        }
        if self.kind.name() == "template" {
            whole &= self.put_template_in(&mut table, values, own, &mut filled).is_some();
        }
        whole &= self.keep_secrets(&mut table, values, &filled);
        filled.node.data = Data::Table(table);
        whole.then_some(filled)
    }

    /// Puts what a template file comes to in the place of its name.
    fn put_template_in(
        &self,
        table: &mut Table,
        values: &mut Values<'_>,
        own: &BTreeMap<String, Resolved>,
        filled: &mut Filled,
    ) -> Option<()> {
        let Some(at) = table.entries.iter().position(|entry| entry.key == "template") else { return Some(()) };
        let entry = table.entries[at].clone();
        if let Some(content) = table.entry("content") {
            let wrong = Diagnostic::error("a template has `template` or `content`, not both")
                .at(Span::new(&self.source, entry.key_range.clone()), "one")
                .also(Span::new(&self.source, content.key_range.clone()), "the other");
            values.found.push(wrong.help("leave one of the two out"));
            return None;
        }
        // What is no text is left for the decoder to blame.
        let Some(name) = entry.node.text() else { return Some(()) };
        let Some(file) = self.templates.get(name) else {
            values.found.push(check::unknown_template(&self.templates, &self.source, &entry.node, name));
            return None;
        };
        let (value, secret) = values.text(&Template::file(file), own)?;
        if secret {
            filled.secret_fields.push("content".into());
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let node = Node { range: entry.node.range.clone(), data: Data::Text(text) };
        table.entries[at] = Entry { key: "content".into(), node, ..entry };
        Some(())
    }

    /// A secret may only get to fields that are never shown: `content` of what has a switch `secret`, which is then
    /// thrown, and fields whose schema says `writeOnly`.
    fn keep_secrets(&self, table: &mut Table, values: &mut Values<'_>, filled: &Filled) -> bool {
        let mut kept = true;
        for field in &filled.secret_fields {
            if check::holds_secrets(self.kind, field) {
                continue;
            }
            if field == "content" && check::fields(self.kind).is_some_and(|fields| fields.iter().any(|f| f == "secret"))
            {
                let range = table.entry("content").map_or(self.named.clone(), |entry| entry.key_range.clone());
                table.entries.retain(|entry| entry.key != "secret");
                let node = Node { range: range.clone(), data: Data::Boolean(true) };
                table.entries.push(Entry { key: "secret".into(), key_range: range, node });
                continue;
            }
            kept = false;
            let kind = self.kind.name();
            let range = table.entry(field).map_or(self.named.clone(), |entry| entry.node.range.clone());
            let wrong = Diagnostic::error(format!("`{field}` of `{kind}` would show a secret"))
                .at(Span::new(&self.source, range), "this reads a secret");
            values.found.push(wrong.help("a secret can only be the content of a file or template, or a password"));
        }
        kept
    }

    /// The resource that a filled table declares. Errors: all that is wrong with it.
    pub(super) fn decode(&self, filled: Filled, values: &Values<'_>) -> Result<Box<dyn Declared>, Vec<Diagnostic>> {
        let mut wrong = unknown_fields(self.kind, &self.source, &filled.node);
        let mut node = filled.node;
        if let (false, Data::Table(table)) = (wrong.is_empty(), &mut node.data) {
            take_as_meant(table, &check::fields(self.kind).unwrap_or_default());
        }
        let rendered = Rendered {
            kind: self.kind,
            source: &self.source,
            named: self.named.clone(),
            table: node,
            origins: &values.origins,
            secrets: &values.secrets,
        };
        match rendered.decode() {
            Ok(resource) if wrong.is_empty() => Ok(resource),
            Ok(_) => Err(wrong),
            Err(more) => {
                wrong.extend(more);
                Err(wrong)
            }
        }
    }
}
