//! Conditions and declarations that read facts: tried on sample hosts before a real one is contacted, and worked out
//! once it has answered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::table::TableText;
use super::{Late, When};
use crate::base::secret::Redactor;
use crate::base::{Diagnostic, Diagnostics};
use crate::machine::{Blocked, Machine, Question, System, SystemState};
use crate::playbook::facts;
use crate::playbook::place::Template;
use crate::playbook::scope::Scope;
use crate::playbook::tree::Node;
use crate::playbook::values::{Resolved, Values};
use crate::resource::Declared;

/// What is known of a task's variables without facts.
#[derive(Clone)]
pub(super) struct Known {
    pub scope: Arc<Scope>,
    pub values: BTreeMap<String, Option<Resolved>>,
    pub own: BTreeMap<String, Resolved>,
    pub secrets: Redactor,
}

impl Known {
    fn with(&self, system: &SystemState) -> Values<'_> {
        let mut values = Values::later(&self.scope, facts::of(system), self.values.clone());
        values.secrets = self.secrets.clone();
        values
    }
}

/// A refusal in place of a mistake that only this host's facts bring out.
fn refused(found: &Diagnostics) -> Blocked {
    let first = found.iter().next();
    let what = first.map_or_else(|| "it can not be worked out from this host's facts".to_owned(), place_and_message);
    let help = first.and_then(|wrong| wrong.help.first().cloned());
    Blocked::refused(what, help.unwrap_or_else(|| "change the expression, or what it reads".to_owned()))
}

fn place_and_message(wrong: &Diagnostic) -> String {
    let place = wrong.at.as_ref().map(|(span, _)| format!(" ({})", span.place())).unwrap_or_default();
    format!("{}{place}", wrong.message)
}

/// A condition.
pub(super) struct Condition {
    pub text: String,
    pub node: Node,
    pub source: Arc<crate::base::Source>,
    pub known: Known,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

/// Whether a condition holds. `None` when it can not be said, which is told in `values`.
pub(super) fn holds(
    template: &Template<'_>,
    values: &mut Values<'_>,
    own: &BTreeMap<String, Resolved>,
) -> Option<bool> {
    let (value, _) = values.text(template, own)?;
    if value.kind() == minijinja::value::ValueKind::Bool {
        return Some(value.is_true());
    }
    let wrong = Diagnostic::error(format!("a condition must be true or false, this is a {}", value.kind()));
    let wrong = wrong.at(template.whole(), "");
    values.found.push(wrong.help("compare it: `name != ''`, `list | length > 0`, `number > 0`"));
    None
}

impl Condition {
    /// Whether it holds on a host of that kind. Errors: what is wrong with it.
    pub(super) fn on(&self, system: &SystemState) -> Result<bool, Diagnostics> {
        let mut values = self.known.with(system);
        let held = Template::expression(&self.source, &self.node)
            .and_then(|template| holds(&template, &mut values, &self.known.own));
        held.ok_or(values.found)
    }
}

impl When for Condition {
    fn text(&self) -> &str {
        &self.text
    }

    fn facts(&self) -> Vec<Question> {
        vec![System::Here.into()]
    }

    fn holds(&self, machine: &Machine) -> Result<bool, Blocked> {
        self.on(machine.get(&System::Here)?).map_err(|found| refused(&found))
    }
}

/// A condition that the variables alone have decided: the task is shown as skipped, and asks nothing.
#[derive(Debug)]
pub(super) struct Never {
    pub text: String,
}

impl When for Never {
    fn text(&self) -> &str {
        &self.text
    }

    fn facts(&self) -> Vec<Question> {
        Vec::new()
    }

    fn holds(&self, _: &Machine) -> Result<bool, Blocked> {
        Ok(false)
    }
}

/// The declaration of a task that does not apply: it need not even make sense.
#[derive(Debug)]
pub(super) struct Unapplied {
    pub resource: &'static str,
}

impl Late for Unapplied {
    fn resource(&self) -> &'static str {
        self.resource
    }

    fn facts(&self) -> Vec<Question> {
        Vec::new()
    }

    fn resolve(&self, _: &Machine) -> Result<Box<dyn Declared>, Blocked> {
        Err(Blocked::refused("this task does not apply to this host", "look at its `when`"))
    }
}

/// A declaration that reads facts.
pub(super) struct LateTable {
    pub table: TableText,
    pub known: Known,
    /// What it asks on every sample host: asked at once, so that nothing is left to a second exchange.
    pub asks: Vec<Question>,
}

impl fmt::Debug for LateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LateTable").field(&self.table.resource()).finish()
    }
}

impl LateTable {
    /// The declaration on a host of that kind. Errors: what is wrong with it.
    pub(super) fn on(&self, system: &SystemState) -> Result<Box<dyn Declared>, Diagnostics> {
        let mut values = self.known.with(system);
        let Some(filled) = self.table.fill(&mut values, &self.known.own) else { return Err(values.found) };
        self.table.decode(filled, &values).map_err(|wrong| {
            let mut found = values.found;
            wrong.into_iter().for_each(|wrong| found.push(wrong));
            found
        })
    }

    /// Tries it on the sample hosts that `when` lets through, and learns what it asks. A mistake that only some hosts
    /// bring out may be one that no host of the user has. Errors: what is wrong on all of them.
    pub(super) fn try_out(&mut self, when: Option<&Condition>) -> Result<(), Diagnostics> {
        let mut asks: Option<Vec<Question>> = None;
        let mut wrong: Option<Diagnostics> = None;
        for sample in facts::samples() {
            if when.is_some_and(|when| !when.on(&sample).unwrap_or(false)) {
                continue;
            }
            match self.on(&sample) {
                Ok(declared) => {
                    let mut here = declared.facts();
                    if let Some(asked) = &asks {
                        here.retain(|question| asked.contains(question));
                    }
                    asks = Some(here);
                }
                Err(found) => {
                    wrong.get_or_insert(found);
                }
            }
        }
        self.asks = asks.clone().unwrap_or_default();
        match (asks, wrong) {
            (None, Some(found)) => Err(found),
            _ => Ok(()),
        }
    }
}

impl Late for LateTable {
    fn resource(&self) -> &'static str {
        self.table.resource()
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts = vec![System::Here.into()];
        facts.extend(self.asks.iter().cloned());
        facts
    }

    fn resolve(&self, machine: &Machine) -> Result<Box<dyn Declared>, Blocked> {
        self.on(machine.get(&System::Here)?).map_err(|found| refused(&found))
    }
}
