//! What can be said about all playbooks together without a host: every name that a template reads exists, every field
//! is one that its resource has, every default fits its type.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::{self, FACTS};
use super::place::Template;
use super::reader::{TaskText, unknown_key};
use super::tree::Node;
use super::variable::Variable;
use super::{Playbook, Playbooks, render};
use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Diagnostics, Source, Span};
use crate::resource::Kind;

/// Checks all playbooks; mistakes go to `found`.
pub(super) fn check(playbooks: &Playbooks, found: &mut Diagnostics) {
    let mut checker = Checker { playbooks, found };
    for variable in playbooks.variables.values() {
        checker.variable(variable);
    }
    for playbook in &playbooks.all {
        for task in &playbook.tasks {
            checker.task(playbook, task);
        }
    }
}

/// A value that does not fit its variable.
pub fn misfit(variable: &Variable, node: &Node, source: &Arc<Source>) -> Option<Diagnostic> {
    let misfit = variable.fits(node).err()?;
    let mut diagnostic =
        Diagnostic::error(misfit.message).at(Span::new(source, node.range.clone()), misfit.label).help(misfit.help);
    if source != &variable.source {
        diagnostic = diagnostic.also(variable.span(), format!("declared here as {}", variable.sort));
    }
    Some(diagnostic)
}

/// The template files that exist, for a name that does not.
pub fn unknown_template(
    templates: &BTreeMap<String, Arc<Source>>,
    source: &Arc<Source>,
    node: &Node,
    name: &str,
) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("there is no template `{name}`"))
        .at(Span::new(source, node.range.clone()), "not found");
    match nearest(name, templates.keys().map(String::as_str)) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("put the file into `templates/` beside bedplate.toml"),
    }
}

/// The fields of a resource's table, when it takes no others.
pub fn fields(kind: &dyn Kind) -> Option<Vec<String>> {
    let schema = kind.schema();
    let closed = schema.get("additionalProperties").and_then(serde_json::Value::as_bool) == Some(false);
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    properties.filter(|_| closed).map(|properties| properties.keys().cloned().collect())
}

/// Whether a field never shows what it holds (`writeOnly` in its schema).
pub fn holds_secrets(kind: &dyn Kind, field: &str) -> bool {
    let schema = kind.schema().to_value();
    let Some(property) = schema.get("properties").and_then(|properties| properties.get(field)) else { return false };
    let reference = property.get("$ref").and_then(serde_json::Value::as_str);
    let definition = reference.and_then(|path| schema.pointer(path.trim_start_matches('#')));
    [Some(property), definition].into_iter().flatten().any(|part| part.get("writeOnly") == Some(&true.into()))
}

/// The mistakes of a table whose keys its resource does not have.
pub fn unknown_fields(kind: &dyn Kind, source: &Arc<Source>, table: &Node) -> Vec<Diagnostic> {
    let (Some(fields), Some(table)) = (fields(kind), table.table()) else { return Vec::new() };
    let known: Vec<&str> = fields.iter().map(String::as_str).collect();
    let of = format!("`{}`", kind.name());
    let unknown = table.entries.iter().filter(|entry| !known.contains(&entry.key.as_str()));
    unknown.map(|entry| unknown_key(source, entry, &known, &of)).collect()
}

struct Checker<'a> {
    playbooks: &'a Playbooks,
    found: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn variable(&mut self, variable: &Variable) {
        let Some(default) = &variable.default else { return };
        let mut templates = false;
        default.each_text(&mut |node, text| {
            templates |= render::is_template(text);
            self.reads(Template::of(&variable.source, node), false);
        });
        if !templates && super::values::secret_of(default).is_none() {
            misfit(variable, default, &variable.source).into_iter().for_each(|wrong| self.found.push(wrong));
        }
    }

    fn task(&mut self, playbook: &Playbook, task: &TaskText) {
        let source = &playbook.source;
        let looped = task.for_each.is_some();
        self.reads(Template::of(source, &task.name), looped);
        for (node, looped) in [(&task.when, looped), (&task.for_each, false)] {
            let Some(template) = node.as_ref().and_then(|node| Template::expression(source, node)) else { continue };
            if render::is_template(template.text) {
                let diagnostic = Diagnostic::error("an expression stands here, not a template");
                self.found.push(diagnostic.at(template.whole(), "").help("leave the braces out: `when = \"a == b\"`"));
            } else {
                self.reads(Some(template), looped);
            }
        }
        unknown_fields(task.kind, source, &task.table).into_iter().for_each(|wrong| self.found.push(wrong));
        task.table.each_text(&mut |node, _| self.reads(Template::of(source, node), looped));
        if task.kind.name() == "template"
            && let Some(node) = task.table.table().and_then(|table| table.get("template"))
            && let Some(name) = node.text().filter(|name| !render::is_template(name))
        {
            match self.playbooks.templates.get(name) {
                Some(file) => self.reads(Some(Template::file(file)), looped),
                None => self.found.push(unknown_template(&self.playbooks.templates, source, node, name)),
            }
        }
    }

    fn reads(&mut self, template: Option<Template<'_>>, looped: bool) {
        if let Some(template) = template {
            reads(&template, &self.playbooks.variables, looped, self.found);
        }
    }
}

/// Checks that all that `template` reads exists; `looped` is whether there is an `item`.
pub fn reads(template: &Template<'_>, variables: &BTreeMap<String, Variable>, looped: bool, found: &mut Diagnostics) {
    let reads = match template.reads() {
        Ok(reads) => reads,
        Err(wrong) => return found.push(*wrong),
    };
    let known = || {
        let own = ["host", "facts", "item"].into_iter().filter(|known| *known != "item" || looped);
        variables.keys().map(String::as_str).chain(own)
    };
    for name in reads.names.iter().filter(|name| !known().any(|known| known == *name)) {
        let help = match name.as_str() {
            "item" => "`item` exists in a task with `for_each`".to_owned(),
            _ => format!("declare it in a playbook, as `[variables.{name}]`"),
        };
        found.push(template.unknown(name, "variable", known(), &help));
    }
    for fact in reads.facts.iter().filter(|fact| !facts::exists(fact)) {
        found.push(unknown_fact(template, fact));
    }
}

fn unknown_fact(template: &Template<'_>, fact: &str) -> Diagnostic {
    let names = FACTS.map(|(name, _)| name);
    let wrong = if fact.is_empty() {
        let alone = |at: &usize| {
            let (before, behind) = (&template.text[..*at], &template.text[*at + "facts".len()..]);
            !before.ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c)) && !behind.starts_with(['.', '_', '['])
        };
        let part = template.text.match_indices("facts").map(|(at, _)| at).find(alone);
        let part = part.map_or(0..template.text.len(), |at| at..at + "facts".len());
        Diagnostic::error("`facts` alone is no value").at(template.span(part), "name one of them, as in `facts.os`")
    } else {
        let path = format!("facts.{fact}");
        let at = template.text.find(&path).map_or(0..template.text.len(), |at| at..at + path.len());
        let wrong = Diagnostic::error(format!("unknown fact `{path}`")).at(template.span(at), "no such fact");
        match nearest(fact, names) {
            Some(near) => wrong.help(format!("did you mean `facts.{near}`?")),
            None => wrong,
        }
    };
    wrong.help(format!("facts: {}", names.join(", ")))
}
