//! Playbooks to the tasks of each host. All mistakes of all hosts are found here, before any of them is contacted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::late::{Condition, Known, LateTable, Never, Unapplied, holds};
use super::table::TableText;
use super::{Declaration, Task, When};
use crate::base::diagnostic::nearest;
use crate::base::name::HostName;
use crate::base::secret::Redactor;
use crate::base::{Diagnostic, Diagnostics, Digest, Source, Span};
use crate::inventory::Host;
use crate::playbook::place::Template;
use crate::playbook::scope::Scope;
use crate::playbook::setting::{self, Setting};
use crate::playbook::values::{Resolved, Values};
use crate::playbook::{Local, Playbook, Playbooks, Settings, TaskText, Variable, facts, render};

/// What is to be true of one host.
pub struct HostTasks {
    /// The host.
    pub host: HostName,
    /// Its tasks, in order; those that do not apply are among them and say why.
    pub tasks: Vec<Task>,
    /// What its playbooks can be told, and what they are told here, in order.
    pub settings: Vec<Setting>,
    /// Every secret that the tasks read, to be kept out of what is shown.
    pub secrets: Redactor,
    /// Digest of the tasks as rendered, secrets left out: equal for equal work.
    pub digest: Digest,
}

impl std::fmt::Debug for HostTasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostTasks").field("host", &self.host).field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

/// Makes the tasks of all `hosts`. What is wrong goes to `found`; the tasks are whole only if there are no errors in it.
pub fn compile(
    playbooks: &Playbooks,
    hosts: &[Host],
    settings: &Settings,
    local: &dyn Local,
    found: &mut Diagnostics,
) -> Vec<HostTasks> {
    unknown_tags(playbooks, settings, found);
    let shared = Shared {
        playbooks,
        settings,
        local,
        variables: Arc::new(playbooks.variables.clone()),
        templates: Arc::new(playbooks.templates.clone()),
    };
    hosts.iter().map(|host| shared.host(host, found)).collect()
}

/// Every tag that a task of `playbooks` has: its own, and the names of its playbook.
pub fn tags(playbooks: &Playbooks) -> Vec<&str> {
    let own = playbooks.all.iter().flat_map(|p| p.tasks.iter()).flat_map(|t| t.tags.iter().map(String::as_str));
    let names = playbooks.all.iter().flat_map(|playbook| [playbook.name.as_str(), playbook.stem.as_str()]);
    let mut tags: Vec<&str> = own.chain(names).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn unknown_tags(playbooks: &Playbooks, settings: &Settings, found: &mut Diagnostics) {
    let known = tags(playbooks);
    for (argument, wanted) in [("--tags", &settings.tags), ("--skip-tags", &settings.skip_tags)] {
        for tag in wanted.iter().filter(|tag| !known.contains(&tag.as_str())) {
            let wrong = Diagnostic::error(format!("no task has the tag `{tag}` of `{argument}`"));
            found.push(match nearest(tag, known.iter().copied()) {
                Some(near) => wrong.help(format!("did you mean `{near}`?")),
                None => wrong.help(format!("tags: {}", known.join(", "))),
            });
        }
    }
}

/// What all hosts share.
struct Shared<'a> {
    playbooks: &'a Playbooks,
    settings: &'a Settings,
    local: &'a dyn Local,
    variables: Arc<BTreeMap<String, Variable>>,
    templates: Arc<BTreeMap<String, Arc<Source>>>,
}

impl Shared<'_> {
    fn host(&self, host: &Host, found: &mut Diagnostics) -> HostTasks {
        let scope = Scope::new(&self.variables, &host.variables, host.value(), self.settings, found);
        let scope = Arc::new(scope);
        let values = Values::new(&scope, self.local, &self.settings.env);
        let mut compiler =
            Compiler { shared: self, scope: scope.clone(), values, tasks: Vec::new(), rendered: String::new() };
        let playbooks = self.of_host(host, found);
        for playbook in &playbooks {
            for task in playbook.tasks.iter().filter(|task| self.wanted(playbook, task)) {
                compiler.task(playbook, task);
            }
        }
        let settings = playbooks
            .into_iter()
            .flat_map(|playbook| setting::of(self.playbooks, playbook, &scope, &mut compiler.values))
            .collect();
        found.append(compiler.values.found);
        HostTasks {
            host: host.name.clone(),
            settings,
            digest: Digest::of(&compiler.rendered),
            secrets: compiler.values.secrets,
            tasks: compiler.tasks,
        }
    }

    /// The playbooks that a host gets, in the order of the set.
    fn of_host(&self, host: &Host, found: &mut Diagnostics) -> Vec<&Playbook> {
        let Some(names) = &host.playbooks else { return self.playbooks.all.iter().collect() };
        for (name, span) in names.iter().filter(|(name, _)| self.playbooks.named(bare(name)).is_none()) {
            let wrong = Diagnostic::error(format!("there is no playbook `{name}` in this run")).at(span.clone(), "");
            let known = self.playbooks.all.iter().flat_map(|p| [p.name.as_str(), p.stem.as_str()]);
            found.push(match nearest(bare(name), known) {
                Some(near) => wrong.help(format!("did you mean `{near}`?")),
                None if self.playbooks.all.is_empty() => wrong.help("name it under `playbooks` at the top too"),
                None => wrong.help(format!(
                    "playbooks: {}",
                    self.playbooks.all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ")
                )),
            });
        }
        let named = |playbook: &&Playbook| {
            names.iter().any(|(name, _)| [&playbook.name, &playbook.stem].iter().any(|own| *own == bare(name)))
        };
        self.playbooks.all.iter().filter(named).collect()
    }

    fn wanted(&self, playbook: &Playbook, task: &TaskText) -> bool {
        let has = |tag: &String| task.tags.contains(tag) || *tag == playbook.name || *tag == playbook.stem;
        let Settings { tags, skip_tags, .. } = self.settings;
        (tags.is_empty() || tags.iter().any(has)) && !skip_tags.iter().any(has)
    }
}

/// A playbook may be named as elsewhere in the inventory.
fn bare(name: &str) -> &str {
    let name = name.strip_prefix("builtin:").unwrap_or(name);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// One host's tasks in the making.
struct Compiler<'a> {
    shared: &'a Shared<'a>,
    scope: Arc<Scope>,
    values: Values<'a>,
    tasks: Vec<Task>,
    rendered: String,
}

impl Compiler<'_> {
    fn task(&mut self, playbook: &Playbook, task: &TaskText) {
        let Some(node) = &task.for_each else { return self.one(playbook, task, BTreeMap::new()) };
        let Some(template) = Template::expression(&playbook.source, node) else { return };
        if self.scope.reads_facts(&template) {
            let wrong = Diagnostic::error("`for_each` can not read facts").at(template.whole(), "");
            let help =
                "how many tasks there are must be known before the host is asked; use `when` with `facts` instead";
            return self.values.found.push(wrong.help(help));
        }
        let Some((list, secret)) = self.values.text(&template, &BTreeMap::new()) else { return };
        if list.kind() != minijinja::value::ValueKind::Seq {
            let wrong = Diagnostic::error(format!("`for_each` needs a list, this is a {}", list.kind()));
            return self.values.found.push(wrong.at(template.whole(), "").help("name a variable of type `list`"));
        }
        let chosen = self.scope.chosen.get(template.text).cloned();
        for (index, value) in list.try_iter().into_iter().flatten().enumerate() {
            let place = chosen.as_ref().map(|chosen| {
                let node = chosen.node.list().and_then(|list| list.get(index)).unwrap_or(&chosen.node);
                Span::new(&chosen.source, node.range.clone())
            });
            let item = Resolved { value, secret, place };
            self.one(playbook, task, BTreeMap::from([("item".to_owned(), item)]));
        }
    }

    fn one(&mut self, playbook: &Playbook, task: &TaskText, own: BTreeMap<String, Resolved>) {
        let when = match self.when(playbook, task, &own) {
            Applies::Always => None,
            Applies::Never(never) => {
                let unapplied = Unapplied { resource: task.kind.name() };
                let name = self.quiet_name(playbook, task, &own);
                return self.add(playbook, task, name, Declaration::Late(Box::new(unapplied)), Some(Box::new(never)));
            }
            Applies::ByFacts(condition) => Some(condition),
            Applies::Wrong => return,
        };
        let name = self.name(playbook, task, &own);
        let declaration = self.declaration(playbook, task, own, when.as_ref());
        let (Some(name), Some(declaration)) = (name, declaration) else { return };
        self.add(playbook, task, name, declaration, when.map(|when| Box::new(when) as Box<dyn When>));
    }

    fn add(
        &mut self,
        playbook: &Playbook,
        task: &TaskText,
        name: String,
        declaration: Declaration,
        when: Option<Box<dyn When>>,
    ) {
        self.tasks.push(Task {
            number: self.tasks.len() + 1,
            name,
            playbook: playbook.name.clone(),
            place: Span::new(&playbook.source, task.range.clone()).line(),
            declaration,
            when,
        });
    }

    fn known(&self, own: &BTreeMap<String, Resolved>) -> Known {
        Known {
            scope: self.scope.clone(),
            values: self.values.known(),
            own: own.clone(),
            secrets: self.values.secrets.clone(),
        }
    }

    fn when(&mut self, playbook: &Playbook, task: &TaskText, own: &BTreeMap<String, Resolved>) -> Applies {
        let template = task.when.as_ref().and_then(|node| Some((node, Template::expression(&playbook.source, node)?)));
        let Some((node, template)) = template else { return Applies::Always };
        // Told when the playbook was checked.
        if render::is_template(template.text) {
            return Applies::Wrong;
        }
        if self.scope.reads_facts(&template) {
            if !self.values.prepare(&template, own) {
                return Applies::Wrong;
            }
            let known = self.known(own);
            let condition = Condition {
                text: template.text.to_owned(),
                node: node.clone(),
                source: playbook.source.clone(),
                known,
            };
            // Its mistakes are the same on every host, apart from what its values are.
            let tried: Vec<_> = facts::samples().iter().map(|sample| condition.on(sample)).collect();
            if tried.iter().all(Result::is_err) {
                tried.into_iter().filter_map(Result::err).take(1).for_each(|wrong| self.values.found.append(wrong));
                return Applies::Wrong;
            }
            return Applies::ByFacts(condition);
        }
        match holds(&template, &mut self.values, own) {
            Some(true) => Applies::Always,
            Some(false) => Applies::Never(Never { text: template.text.to_owned() }),
            None => Applies::Wrong,
        }
    }

    fn name(&mut self, playbook: &Playbook, task: &TaskText, own: &BTreeMap<String, Resolved>) -> Option<String> {
        let template = Template::of(&playbook.source, &task.name)?;
        let by_facts = self.scope.reads_facts(&template);
        let rendered = if by_facts { None } else { Some(self.values.text(&template, own)?) };
        let Some((value, _)) = rendered.filter(|(_, secret)| !secret) else {
            let what = if by_facts { "facts" } else { "a secret" };
            let wrong = Diagnostic::error(format!("the name of a task can not read {what}"));
            self.values.found.push(wrong.at(template.whole(), "").help("a name is shown, and known beforehand"));
            return None;
        };
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The name of a task that does not apply: as written when it can not be rendered.
    fn quiet_name(&mut self, playbook: &Playbook, task: &TaskText, own: &BTreeMap<String, Resolved>) -> String {
        let before = self.values.found.clone();
        let name = self.name(playbook, task, own);
        self.values.found = before;
        name.unwrap_or_else(|| task.name.text().unwrap_or_default().to_owned())
    }

    fn declaration(
        &mut self,
        playbook: &Playbook,
        task: &TaskText,
        own: BTreeMap<String, Resolved>,
        when: Option<&Condition>,
    ) -> Option<Declaration> {
        let table = TableText::new(playbook, task, &self.shared.templates);
        self.values.origins.clear();
        let by_facts = table.templates().iter().any(|template| self.scope.reads_facts(template));
        if by_facts {
            let templates = table.templates();
            let mut whole = true;
            for template in &templates {
                whole &= self.values.prepare(template, &own);
            }
            if !whole {
                return None;
            }
            let read: String = templates.iter().map(|template| self.values.shown(template, &own)).collect();
            drop(templates);
            let mut late = LateTable { table, known: self.known(&own), asks: Vec::new() };
            return match late.try_out(when) {
                Ok(()) => {
                    let shown = late.table.text();
                    self.remember(playbook, task, &format!("{shown}\0{read}"));
                    Some(Declaration::Late(Box::new(late)))
                }
                Err(wrong) => {
                    self.values.found.append(wrong);
                    None
                }
            };
        }
        let filled = table.fill(&mut self.values, &own)?;
        let shown = filled.shown();
        match table.decode(filled, &self.values) {
            Ok(declared) => {
                self.remember(playbook, task, &shown);
                Some(Declaration::Ready(declared))
            }
            Err(wrong) => {
                wrong.into_iter().for_each(|wrong| self.values.found.push(wrong));
                None
            }
        }
    }

    fn remember(&mut self, playbook: &Playbook, task: &TaskText, shown: &str) {
        let kind = task.kind.name();
        self.rendered.push_str(&format!("{}\0{kind}\0{shown}\0", playbook.stem));
    }
}

/// Whether a task is for a host.
enum Applies {
    Always,
    Never(Never),
    ByFacts(Condition),
    /// It can not be said, which was told.
    Wrong,
}
