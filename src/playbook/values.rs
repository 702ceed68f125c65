//! What the variables of one host come to, worked out as they are read: rendered, checked against their declarations,
//! secrets fetched and marked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::value::Value;

use super::check::misfit;
use super::local::Local;
use super::place::Template;
use super::render;
use super::scope::{Chosen, ENVIRONMENT_PREFIX, Scope};
use super::tree::{Data, Entry, Node, Table};
use super::variable::Variable;
use crate::base::diagnostic::nearest;
use crate::base::secret::Redactor;
use crate::base::{Diagnostic, Diagnostics, Secret, Source, Span};

/// Where a secret comes from: the table inside `{ secret = { … } }`.
pub fn secret_of(node: &Node) -> Option<&Node> {
    let table = node.table()?;
    match table.entries.as_slice() {
        [Entry { key, node, .. }] if key == "secret" && node.table().is_some() => Some(node),
        _ => None,
    }
}

/// A variable's value.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The value.
    pub value: Value,
    /// Whether a secret went into it: it must not be shown.
    pub secret: bool,
    /// Where it was set.
    pub place: Option<Span>,
}

/// A string that was rendered: what a later mistake in the value is told by.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Where the template stands.
    pub span: Span,
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
    /// Values without facts; secrets come from `local` and `env`.
    pub fn new(scope: &'a Scope, local: &'a dyn Local, env: &'a BTreeMap<String, String>) -> Self {
        Self { local: Some(local), env: Some(env), ..Self::later(scope, Value::UNDEFINED, BTreeMap::new()) }
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

    /// All that is known by now.
    pub fn known(&self) -> BTreeMap<String, Option<Resolved>> {
        self.known.clone()
    }

    /// All that `template` reads and that may be shown, as text: for comparing.
    pub fn shown(&self, template: &Template<'_>, own: &BTreeMap<String, Resolved>) -> String {
        let Ok(reads) = template.reads() else { return String::new() };
        let known = self.scope.all_read(&reads, own).into_iter().filter_map(|name| {
            let resolved = self.known.get(&name)?.clone()?;
            (!resolved.secret).then(|| format!("{name}={}\0", resolved.value))
        });
        let own = own.iter().filter(|(name, item)| reads.names.contains(*name) && !item.secret);
        known.chain(own.map(|(name, item)| format!("{name}={}\0", item.value))).collect()
    }

    /// Works out all that `template` reads, by whatever way, and that does not depend on facts. `false` when something
    /// has no value, which is told.
    pub fn prepare(&mut self, template: &Template<'_>, own: &BTreeMap<String, Resolved>) -> bool {
        let names = match template.reads() {
            Ok(reads) => self.scope.all_read(&reads, own),
            Err(wrong) => {
                self.found.push(*wrong);
                return false;
            }
        };
        let scope = self.scope;
        let early = names.into_iter().filter(|name| !scope.by_facts.contains(name));
        // All of them, so that all mistakes are told.
        let mut whole = true;
        for name in early {
            whole &= self.value(&name).is_some();
        }
        whole
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

    /// The value of a variable as a node, and whether it is secret.
    pub fn node(&mut self, name: &str) -> Option<(Node, bool)> {
        let resolved = self.value(name)?;
        let range = self.scope.chosen.get(name).map_or(0..0, |chosen| chosen.node.range.clone());
        Some((render::to_node(&resolved.value, &range).ok()??, resolved.secret))
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
            return Some(Resolved { value, secret: true, place });
        }
        let mut secret = variable.secret;
        let (node, read) = self.merged(chosen)?;
        secret |= read;
        let wrong = match secret {
            true => misfit(&Variable { secret: true, ..variable.clone() }, &node, &chosen.source),
            false => misfit(variable, &node, &chosen.source),
        };
        if let Some(wrong) = wrong {
            self.found.push(wrong);
            return None;
        }
        if secret {
            node.each_text(&mut |_, text| self.secrets.learn(&Secret::new(text)));
        }
        Some(Resolved { value: render::to_value(&node), secret, place })
    }

    /// A value with its strings rendered; a table with the keys of those below it. A key that comes to `none` is taken
    /// out.
    fn merged(&mut self, chosen: &Chosen) -> Option<(Node, bool)> {
        let mut secret = false;
        let mut rendered = |node: &Node, layer: &Chosen| {
            let (node, read) = match layer.literal {
                true => (Some(node.clone()), false),
                false => self.render(node, &layer.source, &BTreeMap::new())?,
            };
            secret |= read;
            Some(node)
        };
        if chosen.below.is_none() {
            let node = rendered(&chosen.node, chosen)??;
            return Some((node, secret));
        }
        let mut table = Table::default();
        for layer in chosen.layers() {
            for entry in layer.node.table().map(|table| table.entries.as_slice()).unwrap_or_default() {
                let node = rendered(&entry.node, layer)?;
                table.entries.retain(|other| other.key != entry.key);
                table.entries.extend(node.map(|node| Entry { node, ..entry.clone() }));
            }
        }
        Some((Node { range: chosen.node.range.clone(), data: Data::Table(table) }, secret))
    }

    fn secret(&mut self, variable: &Variable, chosen: &Chosen, spec: &Node) -> Option<Value> {
        let text = match self.fetch(spec) {
            Ok(text) => text,
            Err((why, help)) => {
                let span = Span::new(&chosen.source, spec.range.clone());
                let wrong = Diagnostic::error(format!("the secret `{}` can not be had: {why}", variable.name));
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

    /// The text of a secret. Errors: why there is none, and what to do.
    fn fetch(&self, spec: &Node) -> Result<String, (String, String)> {
        let written =
            "write `{ env = \"NAME\" }`, `{ file = \"path\" }` or `{ command = [\"program\", \"argument\"] }`";
        let (Some(local), Some(env)) = (self.local, self.env) else {
            let why = "it was not read when the playbook was".to_owned();
            return Err((why, "read it in the task that needs it".into()));
        };
        let table = spec.table().map(|table| table.entries.as_slice()).unwrap_or(&[]);
        let [Entry { key, node, .. }] = table else { return Err(("it must name one source".into(), written.into())) };
        let (text, help) = match (key.as_str(), &node.data) {
            ("env", Data::Text(name)) => {
                let unset = || format!("the environment variable `{name}` is not set");
                (env.get(name).cloned().ok_or_else(unset), format!("set `{name}`"))
            }
            ("file", Data::Text(path)) => {
                let text = match local.read(path) {
                    Ok(text) => text.ok_or_else(|| format!("there is no file `{path}`")),
                    Err(why) => Err(format!("the file `{path}` can not be read: {why}")),
                };
                (text, "its path is relative to the folder of bedplate.toml".to_owned())
            }
            ("command", Data::List(words)) => {
                let words: Option<Vec<String>> = words.iter().map(|word| word.text().map(str::to_owned)).collect();
                let output = words.ok_or_else(|| "a command is a list of strings".to_owned());
                (output.and_then(|words| local.output(&words)), "try it in a terminal".to_owned())
            }
            ("env" | "file" | "command", _) => (Err(format!("`{key}` can not be {}", node.sort())), written.to_owned()),
            (key, _) => {
                let near = nearest(key, ["env", "file", "command"]);
                let help = near.map_or_else(|| written.to_owned(), |near| format!("did you mean `{near}`?"));
                (Err(format!("`{key}` is not a source of secrets")), help)
            }
        };
        let text = text.map_err(|why| (why, help.clone()))?;
        // Editors and most programs end a file with a line break that is no part of the secret.
        let trimmed = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
        if trimmed.is_empty() { Err(("it is empty".into(), help)) } else { Ok(trimmed.to_owned()) }
    }

    /// What a template may read, by name. `None` when something has no value, which is told.
    fn context(
        &mut self,
        template: &Template<'_>,
        own: &BTreeMap<String, Resolved>,
    ) -> Option<(BTreeMap<String, Resolved>, bool)> {
        let reads = match template.reads() {
            Ok(reads) => reads,
            Err(wrong) => {
                self.found.push(*wrong);
                return None;
            }
        };
        let mut secret = false;
        let mut context = BTreeMap::new();
        let mut whole = true;
        for name in &reads.names {
            let resolved = match own.get(name) {
                Some(resolved) => Some(resolved.clone()),
                None if name == "host" => Some(Resolved { value: self.scope.host.clone(), secret: false, place: None }),
                None => self.value(name),
            };
            match resolved {
                Some(resolved) => {
                    secret |= resolved.secret;
                    context.insert(name.clone(), resolved);
                }
                None => whole = false,
            }
        }
        // What does not exist was told when the files were read.
        whole &= reads.facts.iter().all(|fact| super::facts::exists(fact));
        if !reads.facts.is_empty() {
            context.insert("facts".into(), Resolved { value: self.facts.clone(), secret: false, place: None });
        }
        whole.then_some((context, secret))
    }

    /// What a template or expression comes to, and whether a secret went into it. `None` when it fails, which is told.
    pub fn text(&mut self, template: &Template<'_>, own: &BTreeMap<String, Resolved>) -> Option<(Value, bool)> {
        let (context, secret) = self.context(template, own)?;
        let values: BTreeMap<String, Value> = context.iter().map(|(n, r)| (n.clone(), r.value.clone())).collect();
        let rendered = match template.expression {
            true => render::evaluate(template.text, &values),
            false if render::is_template(template.text) => render::render(template.text, &values),
            false => Ok(Value::from(template.text)),
        };
        match rendered {
            Ok(value) => {
                if let Some(range) = template.range.clone().filter(|_| !context.is_empty()) {
                    let span = Span::new(template.source, range);
                    let read = context.iter().map(|(name, resolved)| (name.clone(), resolved.place.clone())).collect();
                    let shown = (!secret).then(|| shorten(&value));
                    self.origins.push(Origin { span, shown, read });
                }
                Some((value, secret))
            }
            Err(mut slip) => {
                if secret && slip.undefined.is_none() {
                    slip.message = "this can not be rendered with the secret that it reads".into();
                }
                let mut told = template.told(&slip, &paths(&context));
                let root = slip.undefined.as_deref().and_then(|path| path.split(['.', '[']).next());
                if let Some(place) = root.and_then(|root| context.get(root)?.place.clone()) {
                    told = told.also(place, format!("`{}` is this", root.unwrap_or_default()));
                }
                self.found.push(told);
                None
            }
        }
    }

    /// `node` with every string in it rendered, and whether a secret went into it. `None` when one fails, which is
    /// told; the inner `None` is the value `none`.
    pub fn render(
        &mut self,
        node: &Node,
        source: &Arc<Source>,
        own: &BTreeMap<String, Resolved>,
    ) -> Option<(Option<Node>, bool)> {
        let mut secret = false;
        let data = match &node.data {
            Data::Text(text) if render::is_template(text) => return self.string(node, source, own),
            Data::List(list) => {
                let items: Vec<_> = list.iter().map(|item| self.render(item, source, own)).collect();
                let mut rendered = Vec::new();
                for item in items {
                    let (item, read) = item?;
                    secret |= read;
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
                    secret |= read;
                    rendered.entries.extend(item.map(|node| Entry { node, ..entry.clone() }));
                }
                Data::Table(rendered)
            }
            _ => return Some((Some(node.clone()), secret)),
        };
        Some((Some(Node { range: node.range.clone(), data }), secret))
    }

    fn string(
        &mut self,
        node: &Node,
        source: &Arc<Source>,
        own: &BTreeMap<String, Resolved>,
    ) -> Option<(Option<Node>, bool)> {
        let template = Template::of(source, node)?;
        let (value, secret) = self.text(&template, own)?;
        match render::to_node(&value, &node.range) {
            Ok(node) => Some((node, secret)),
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
