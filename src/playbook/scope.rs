//! The variables of one host: which value counts, where it was set, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::Value;

use super::check::misfit;
use super::local::Local;
use super::place::Template;
use super::render;
use super::tree::{Data, Entry, Node, Table};
use super::variable::Variable;
use crate::base::diagnostic::nearest;
use crate::base::secret::Redactor;
use crate::base::{Diagnostic, Diagnostics, Secret, Source, Span};

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
}

/// The variables of one host.
#[derive(Debug, Clone)]
pub struct Scope {
    /// By name; what is declared and has no value is absent.
    pub chosen: BTreeMap<String, Chosen>,
    /// What `host` is in templates.
    pub host: Value,
    variables: Arc<BTreeMap<String, Variable>>,
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
        let mut scope = Self { chosen: BTreeMap::new(), host, variables: variables.clone() };
        for variable in variables.values() {
            if let Some(node) = &variable.default {
                scope.choose(&variable.name, node.clone(), &variable.source, false);
            }
        }
        for given in given {
            match variables.get(&given.name) {
                Some(variable) => {
                    scope.check(variable, &given.node, &given.source, found);
                    scope.choose(&given.name, given.node.clone(), &given.source, false);
                }
                None => {
                    let span = Span::new(&given.source, given.range.clone());
                    found.push(scope.undeclared(&given.name, span, Diagnostic::error));
                }
            }
        }
        scope.environment(settings, found);
        scope.arguments(settings, found);
        scope
    }

    fn choose(&mut self, name: &str, node: Node, source: &Arc<Source>, literal: bool) {
        self.chosen.insert(name.to_owned(), Chosen { node, source: source.clone(), literal });
    }

    fn check(&self, variable: &Variable, node: &Node, source: &Arc<Source>, found: &mut Diagnostics) {
        let mut templates = false;
        node.each_text(&mut |_, text| templates |= render::is_template(text));
        if !templates && secret_of(node).is_none() {
            misfit(variable, node, source).into_iter().for_each(|wrong| found.push(wrong));
        }
    }

    fn undeclared(&self, name: &str, span: Span, sort: fn(String) -> Diagnostic) -> Diagnostic {
        let diagnostic = sort(format!("no playbook declares the variable `{name}`")).at(span, "not declared");
        match nearest(name, self.variables.keys().map(String::as_str)) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("declare it in a playbook, as `[variables.{name}]`, or leave it out")),
        }
    }

    fn environment(&mut self, settings: &Settings, found: &mut Diagnostics) {
        for (key, text) in &settings.env {
            let Some(name) = key.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let name = name.to_lowercase();
            let Some(variable) = self.variables.get(&name).cloned() else {
                // It may be set for another project, so it is told and no more.
                let source = Source::new("environment", key.as_str());
                found.push(self.undeclared(&name, Span::new(&source, 0..key.len()), Diagnostic::warning));
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
                found.push(self.undeclared(name, Span::new(&source, 0..name.len()), Diagnostic::error));
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

/// Where a secret comes from: the table inside `{ secret = { … } }`.
pub fn secret_of(node: &Node) -> Option<&Node> {
    let table = node.table()?;
    match table.entries.as_slice() {
        [Entry { key, node, .. }] if key == "secret" && node.table().is_some() => Some(node),
        _ => None,
    }
}

/// What a value was made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taint {
    /// A secret: it must not be shown.
    pub secret: bool,
    /// A fact: it is known once the host has answered.
    pub facts: bool,
}

impl Taint {
    fn with(&mut self, other: Taint) {
        self.secret |= other.secret;
        self.facts |= other.facts;
    }
}

/// A variable's value.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The value.
    pub value: Value,
    /// What it was made from.
    pub taint: Taint,
    /// Where it was set.
    pub place: Option<Span>,
}

/// A string that was rendered: what a later mistake in the value is told by.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Where the template stands.
    pub range: Range<usize>,
    /// What it came to; `None` for a secret.
    pub shown: Option<String>,
    /// The variables that it read, with the places where they were set.
    pub read: Vec<(String, Option<Span>)>,
}

/// The values of one host's variables, worked out as they are read.
pub struct Values<'a> {
    scope: &'a Scope,
    local: Option<&'a dyn Local>,
    env: Option<&'a BTreeMap<String, String>>,
    facts: Value,
    known: BTreeMap<String, Option<Resolved>>,
    under_way: Vec<String>,
    /// Every string that was rendered since this was last emptied.
    pub origins: Vec<Origin>,
    /// All secrets that were read.
    pub secrets: Redactor,
    /// What is wrong.
    pub found: Diagnostics,
}

impl<'a> Values<'a> {
    /// Values with `facts` for what reads them; secrets come from `local` and `env`.
    pub fn new(scope: &'a Scope, facts: Value, local: &'a dyn Local, env: &'a BTreeMap<String, String>) -> Self {
        Self { local: Some(local), env: Some(env), ..Self::later(scope, facts, BTreeMap::new()) }
    }

    /// Values once a host has answered, with what was `known` before.
    pub fn later(scope: &'a Scope, facts: Value, known: BTreeMap<String, Option<Resolved>>) -> Self {
        Self {
            scope,
            local: None,
            env: None,
            facts,
            known,
            under_way: Vec::new(),
            origins: Vec::new(),
            secrets: Redactor::default(),
            found: Diagnostics::new(),
        }
    }

    /// All that is known and stays so, whatever the facts are.
    pub fn lasting(&self) -> BTreeMap<String, Option<Resolved>> {
        let lasts = |resolved: &Option<Resolved>| resolved.as_ref().is_some_and(|resolved| !resolved.taint.facts);
        self.known.iter().filter(|(_, resolved)| lasts(resolved)).map(|(n, r)| (n.clone(), r.clone())).collect()
    }

    /// The value of a variable; `None` when it has none, which is told.
    pub fn value(&mut self, name: &str) -> Option<Resolved> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        if self.under_way.iter().any(|other| other == name) {
            self.circle(name);
            return None;
        }
        self.under_way.push(name.to_owned());
        let resolved = self.work_out(name);
        self.under_way.pop();
        self.known.insert(name.to_owned(), resolved.clone());
        resolved
    }

    fn circle(&mut self, name: &str) {
        let start = self.under_way.iter().position(|other| other == name).unwrap_or(0);
        let mut circle = self.under_way[start..].to_vec();
        circle.push(name.to_owned());
        let Some(chosen) = self.scope.chosen.get(name) else { return };
        let wrong = Diagnostic::error(format!("`{name}` needs itself: {}", circle.join(" → ")));
        let span = Span::new(&chosen.source, chosen.node.range.clone());
        self.found.push(wrong.at(span, "begins here").help("give one of them a value of its own"));
    }

    fn work_out(&mut self, name: &str) -> Option<Resolved> {
        let variable = self.scope.variables.get(name)?;
        let Some(chosen) = self.scope.chosen.get(name) else {
            let help = format!(
                "set it with `--set {name}=…`, {ENVIRONMENT_PREFIX}{}, or `{name} = …` under `[variables]` in bedplate.toml",
                name.to_uppercase()
            );
            let wrong = Diagnostic::error(format!("`{name}` has no value")).at(variable.span(), "it has no default");
            self.found.push(wrong.help(help));
            return None;
        };
        let place = Some(Span::new(&chosen.source, chosen.node.range.clone()));
        if let Some(spec) = secret_of(&chosen.node).filter(|_| !chosen.literal) {
            let value = self.secret(variable, chosen, spec)?;
            return Some(Resolved { value, taint: Taint { secret: true, facts: false }, place });
        }
        let mut taint = Taint { secret: variable.secret, facts: false };
        let node = if chosen.literal {
            chosen.node.clone()
        } else {
            let (node, read) = self.render(&chosen.node, &chosen.source, &BTreeMap::new())?;
            taint.with(read);
            node?
        };
        let wrong = match taint.secret {
            true => misfit(&Variable { secret: true, ..variable.clone() }, &node, &chosen.source),
            false => misfit(variable, &node, &chosen.source),
        };
        if let Some(wrong) = wrong {
            self.found.push(wrong);
            return None;
        }
        if taint.secret {
            node.each_text(&mut |_, text| self.secrets.learn(&Secret::new(text)));
        }
        Some(Resolved { value: render::to_value(&node), taint, place })
    }

    fn secret(&mut self, variable: &Variable, chosen: &Chosen, spec: &Node) -> Option<Value> {
        let text = match self.fetch(spec) {
            Ok(text) => text,
            Err(why) => {
                let span = Span::new(&chosen.source, spec.range.clone());
                let wrong = Diagnostic::error(format!("the secret `{}` can not be had: {why}", variable.name));
                let help = "write `{ secret = { env = \"NAME\" } }`, `{ file = \"path\" }` or `{ command = [\"program\", \"argument\"] }`";
                self.found.push(wrong.at(span, "").help(help));
                return None;
            }
        };
        let secret = Secret::new(text);
        self.secrets.learn(&secret);
        match variable.sort.parse(secret.reveal(), &spec.range) {
            Ok(node) => Some(render::to_value(&node)),
            Err(why) => {
                let span = Span::new(&chosen.source, spec.range.clone());
                let wrong = Diagnostic::error(format!("`{}` must be of type {}", variable.name, variable.sort));
                self.found.push(wrong.at(span, why));
                None
            }
        }
    }

    fn fetch(&self, spec: &Node) -> Result<String, String> {
        let (Some(local), Some(env)) = (self.local, self.env) else {
            return Err("it was not read when the playbook was".into());
        };
        let table = spec.table().map(|table| table.entries.as_slice()).unwrap_or(&[]);
        let [Entry { key, node, .. }] = table else { return Err("it must name one source".into()) };
        let text = match (key.as_str(), &node.data) {
            ("env", Data::Text(name)) => {
                env.get(name).cloned().ok_or_else(|| format!("the environment variable `{name}` is not set"))
            }
            ("file", Data::Text(path)) => match local.read(path) {
                Ok(text) => text.ok_or_else(|| format!("there is no file `{path}`")),
                Err(why) => Err(format!("the file `{path}` can not be read: {why}")),
            },
            ("command", Data::List(words)) => {
                let words: Option<Vec<String>> = words.iter().map(|word| word.text().map(str::to_owned)).collect();
                local.output(&words.ok_or("a command is a list of strings")?)
            }
            (key, _) => Err(format!("`{key}` is not a source of secrets, or not of the right type")),
        }?;
        // Editors and most programs end a file with a line break that is no part of the secret.
        let trimmed = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
        if trimmed.is_empty() { Err("it is empty".into()) } else { Ok(trimmed.to_owned()) }
    }

    /// What a template may read, by name. `None` when something has no value, which is told.
    fn context(
        &mut self,
        template: &Template<'_>,
        own: &BTreeMap<String, Resolved>,
    ) -> Option<(BTreeMap<String, Resolved>, Taint)> {
        let reads = match template.reads() {
            Ok(reads) => reads,
            Err(wrong) => {
                self.found.push(wrong);
                return None;
            }
        };
        let mut taint = Taint { secret: false, facts: !reads.facts.is_empty() };
        let mut context = BTreeMap::new();
        let mut whole = true;
        for name in &reads.names {
            let resolved = match own.get(name) {
                Some(resolved) => Some(resolved.clone()),
                None if name == "host" => {
                    Some(Resolved { value: self.scope.host.clone(), taint: Taint::default(), place: None })
                }
                None => self.value(name),
            };
            match resolved {
                Some(resolved) => {
                    taint.with(resolved.taint);
                    context.insert(name.clone(), resolved);
                }
                None => whole = false,
            }
        }
        if taint.facts {
            let facts = Resolved { value: self.facts.clone(), taint: Taint { secret: false, facts: true }, place: None };
            context.insert("facts".into(), facts);
        }
        whole.then_some((context, taint))
    }

    /// What a template or expression comes to. `None` when it fails, which is told.
    pub fn text(&mut self, template: &Template<'_>, own: &BTreeMap<String, Resolved>) -> Option<(Value, Taint)> {
        let (context, taint) = self.context(template, own)?;
        let values: BTreeMap<String, Value> = context.iter().map(|(n, r)| (n.clone(), r.value.clone())).collect();
        let rendered = match template.expression {
            true => render::evaluate(template.text, &values),
            false if render::is_template(template.text) => render::render(template.text, &values),
            false => Ok(Value::from(template.text)),
        };
        match rendered {
            Ok(value) => {
                if let Some(range) = template.range.clone().filter(|_| !context.is_empty()) {
                    let read = context.iter().map(|(name, resolved)| (name.clone(), resolved.place.clone())).collect();
                    let shown = (!taint.secret).then(|| shorten(&value));
                    self.origins.push(Origin { range, shown, read });
                }
                Some((value, taint))
            }
            Err(mut slip) => {
                if taint.secret && slip.undefined.is_none() {
                    slip.message = "this can not be rendered with the secret that it reads".into();
                }
                self.found.push(template.told(&slip, &paths(&context)));
                None
            }
        }
    }

    /// `node` with every string in it rendered. `None` when one fails, which is told; the inner `None` is the value
    /// `none`.
    pub fn render(
        &mut self,
        node: &Node,
        source: &Arc<Source>,
        own: &BTreeMap<String, Resolved>,
    ) -> Option<(Option<Node>, Taint)> {
        let mut taint = Taint::default();
        let data = match &node.data {
            Data::Text(text) if render::is_template(text) => return self.string(node, source, own),
            Data::List(list) => {
                let items: Vec<_> = list.iter().map(|item| self.render(item, source, own)).collect();
                let mut rendered = Vec::new();
                for item in items {
                    let (item, read) = item?;
                    taint.with(read);
                    rendered.extend(item);
                }
                Data::List(rendered)
            }
            Data::Table(table) => {
                let items: Vec<_> =
                    table.entries.iter().map(|entry| (entry, self.render(&entry.node, source, own))).collect();
                let mut rendered = Table::default();
                for (entry, item) in items {
                    let (item, read) = item?;
                    taint.with(read);
                    rendered.entries.extend(item.map(|node| Entry { node, ..entry.clone() }));
                }
                Data::Table(rendered)
            }
            _ => return Some((Some(node.clone()), taint)),
        };
        Some((Some(Node { range: node.range.clone(), data }), taint))
    }

    fn string(
        &mut self,
        node: &Node,
        source: &Arc<Source>,
        own: &BTreeMap<String, Resolved>,
    ) -> Option<(Option<Node>, Taint)> {
        let template = Template::of(source, node)?;
        let (value, taint) = self.text(&template, own)?;
        match render::to_node(&value, &node.range) {
            Ok(node) => Some((node, taint)),
            Err(why) => {
                self.found.push(Diagnostic::error(why).at(template.whole(), ""));
                None
            }
        }
    }
}

fn shorten(value: &Value) -> String {
    let text = if value.as_str().is_some() { format!("\"{value}\"") } else { value.to_string() };
    let text = text.escape_debug().to_string().replace("\\\"", "\"");
    if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text }
}

/// Every path of names that a template could have meant.
fn paths(context: &BTreeMap<String, Resolved>) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for (name, resolved) in context {
        paths.insert(name.clone());
        let keys = resolved.value.try_iter().ok().filter(|_| resolved.value.kind() == minijinja::value::ValueKind::Map);
        paths.extend(keys.into_iter().flatten().filter_map(|key| key.as_str().map(|key| format!("{name}.{key}"))));
    }
    paths.into_iter().collect()
}
