//! The variables of one host: which value counts and where it was set. What it comes to is worked out in `values`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::Value;

use super::check::{misfit, reads};
use super::place::Template;
use super::render::{self, Reads};
use super::tree::Node;
use super::values::{Resolved, secret_of};
use super::variable::{Sort, Variable};
use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Diagnostics, Source, Span};

/// What the command line says besides the hosts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `NAME=VALUE`, as given; the last of a name counts.
    pub set: Vec<String>,
    /// Only tasks with one of these tags; all when empty. The name of a playbook is a tag of its tasks.
    pub tags: Vec<String>,
    /// No task with one of these tags.
    pub skip_tags: Vec<String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
}

/// A variable that the inventory sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// Its value.
    pub node: Node,
    /// Where the name stands.
    pub range: Range<usize>,
    /// The file.
    pub source: Arc<Source>,
}

/// The value that counts, before it is rendered.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The value.
    pub node: Node,
    /// Where it was set: a file, `--set`, or an environment variable.
    pub source: Arc<Source>,
    /// Whether it is taken as it is.
    pub literal: bool,
    /// What a table adds its keys to: the value that would count without it.
    pub below: Option<Box<Chosen>>,
}

impl Chosen {
    /// This one and all below it, from the least to the most important.
    pub fn layers(&self) -> Vec<&Chosen> {
        let mut layers = self.below.as_ref().map(|below| below.layers()).unwrap_or_default();
        layers.push(self);
        layers
    }
}

/// The variables of one host.
#[derive(Debug, Clone)]
pub struct Scope {
    /// By name; what is declared and has no value is absent.
    pub chosen: BTreeMap<String, Chosen>,
    /// What `host` is in templates.
    pub host: Value,
    /// What is known only once the host has answered.
    pub(super) by_facts: BTreeSet<String>,
    pub(super) variables: Arc<BTreeMap<String, Variable>>,
}

/// The prefix of environment variables that set a variable.
pub const ENVIRONMENT_PREFIX: &str = "BEDPLATE_VAR_";

impl Scope {
    /// The variables of a host for which the inventory gives `given`, from the least to the most important.
    pub fn new(
        variables: &Arc<BTreeMap<String, Variable>>,
        given: &[Given],
        host: Value,
        settings: &Settings,
        found: &mut Diagnostics,
    ) -> Self {
        let mut scope = Self { chosen: BTreeMap::new(), host, by_facts: BTreeSet::new(), variables: variables.clone() };
        for variable in variables.values() {
            if let Some(node) = &variable.default {
                scope.choose(&variable.name, node.clone(), &variable.source, false);
            }
        }
        check_given(variables, given, found);
        for given in given.iter().filter(|given| variables.contains_key(&given.name)) {
            scope.choose(&given.name, given.node.clone(), &given.source, false);
        }
        scope.environment(settings, found);
        scope.arguments(settings, found);
        scope.by_facts = scope.chosen.keys().filter(|name| scope.needs_facts(name)).cloned().collect();
        scope
    }

    /// What a value reads itself.
    fn reads_of(&self, name: &str) -> Reads {
        let mut reads = Reads::default();
        let layers = self.chosen.get(name).map(Chosen::layers).unwrap_or_default();
        for chosen in layers.into_iter().filter(|chosen| !chosen.literal) {
            chosen.node.each_text(&mut |_, text| {
                if let Ok(more) = render::reads(text) {
                    reads.names.extend(more.names);
                    reads.facts.extend(more.facts);
                }
            });
        }
        reads
    }

    /// The variables that are read with `reads`, and all that those read in turn.
    pub(super) fn all_read(&self, reads: &Reads, own: &BTreeMap<String, Resolved>) -> BTreeSet<String> {
        let variable = |name: &String| self.variables.contains_key(name);
        let mut all = BTreeSet::new();
        let mut open: Vec<String> = reads.names.iter().filter(|name| !own.contains_key(*name)).cloned().collect();
        while let Some(name) = open.pop() {
            if variable(&name) && all.insert(name.clone()) {
                open.extend(self.reads_of(&name).names);
            }
        }
        all
    }

    fn needs_facts(&self, name: &str) -> bool {
        let own = self.reads_of(name);
        !own.facts.is_empty()
            || self.all_read(&own, &BTreeMap::new()).iter().any(|name| !self.reads_of(name).facts.is_empty())
    }

    /// Whether what `template` comes to is known only once the host has answered.
    pub fn reads_facts(&self, template: &Template<'_>) -> bool {
        let Ok(reads) = template.reads() else { return false };
        !reads.facts.is_empty() || reads.names.iter().any(|name| self.by_facts.contains(name))
    }

    /// A table adds to what is less important, so that one key can be set without the others being lost.
    fn choose(&mut self, name: &str, node: Node, source: &Arc<Source>, literal: bool) {
        let adds = |node: &Node| node.table().is_some() && secret_of(node).is_none();
        let is_table = self.variables.get(name).is_some_and(|variable| variable.sort == Sort::Table);
        let below = self.chosen.remove(name).filter(|below| is_table && adds(&node) && adds(&below.node)).map(Box::new);
        self.chosen.insert(name.to_owned(), Chosen { node, source: source.clone(), literal, below });
    }

    fn environment(&mut self, settings: &Settings, found: &mut Diagnostics) {
        for (key, text) in &settings.env {
            let Some(name) = key.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let name = name.to_lowercase();
            let Some(variable) = self.variables.get(&name).cloned() else {
                // It may be set for another project, so it is told and no more.
                let source = Source::new("environment", key.as_str());
                found.push(undeclared(&self.variables, &name, Span::new(&source, 0..key.len()), Diagnostic::warning));
                continue;
            };
            let shown = if variable.secret { "…" } else { text.as_str() };
            let source = Source::new("environment", format!("{key}={shown}"));
            let range = key.len() + 1..source.text.len();
            self.literal(&variable, text, &source, range, found);
        }
    }

    fn arguments(&mut self, settings: &Settings, found: &mut Diagnostics) {
        for argument in &settings.set {
            let Some((name, text)) = argument.split_once('=') else {
                let source = Source::new("--set", argument.as_str());
                let wrong = Diagnostic::error("`--set` needs a name and a value");
                found.push(wrong.at(Span::new(&source, 0..argument.len()), "").help("write `--set NAME=VALUE`"));
                continue;
            };
            let Some(variable) = self.variables.get(name).cloned() else {
                let source = Source::new("--set", format!("{name}=…"));
                found.push(undeclared(&self.variables, name, Span::new(&source, 0..name.len()), Diagnostic::error));
                continue;
            };
            let shown = if variable.secret { "…" } else { text };
            let source = Source::new("--set", format!("{name}={shown}"));
            let range = name.len() + 1..source.text.len();
            self.literal(&variable, text, &source, range, found);
        }
    }

    fn literal(
        &mut self,
        variable: &Variable,
        text: &str,
        source: &Arc<Source>,
        range: Range<usize>,
        found: &mut Diagnostics,
    ) {
        match variable.sort.parse(text, &range) {
            Ok(node) => {
                misfit(variable, &node, source).into_iter().for_each(|wrong| found.push(wrong));
                self.choose(&variable.name, node, source, true);
            }
            Err(why) => {
                let wrong = Diagnostic::error(format!("`{}` must be of type {}", variable.name, variable.sort))
                    .at(Span::new(source, range), why)
                    .also(variable.span(), "declared here")
                    .help(format!("such as {}", variable.sort.example()));
                found.push(wrong);
            }
        }
    }
}

/// Checks what an inventory gives, whether or not a host of the run gets it: names, templates, types.
pub fn check_given(variables: &BTreeMap<String, Variable>, given: &[Given], found: &mut Diagnostics) {
    for given in given {
        let Some(variable) = variables.get(&given.name) else {
            let span = Span::new(&given.source, given.range.clone());
            found.push(undeclared(variables, &given.name, span, Diagnostic::error));
            continue;
        };
        if secret_of(&given.node).is_some() {
            continue;
        }
        let mut templates = false;
        given.node.each_text(&mut |node, text| {
            templates |= render::is_template(text);
            if let Some(template) = Template::of(&given.source, node) {
                reads(&template, variables, false, found);
            }
        });
        if !templates {
            misfit(variable, &given.node, &given.source).into_iter().for_each(|wrong| found.push(wrong));
        }
    }
}

fn undeclared(
    variables: &BTreeMap<String, Variable>,
    name: &str,
    span: Span,
    sort: fn(String) -> Diagnostic,
) -> Diagnostic {
    let diagnostic = sort(format!("no playbook declares the variable `{name}`")).at(span, "not declared");
    match nearest(name, variables.keys().map(String::as_str)) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("declare it in a playbook, as `[variables.{name}]`, or leave it out")),
    }
}
