//! The settings of one host with their values and reasons: for reports. What is secret stays so, and nothing is fetched
//! or asked for it.

use std::ops::Range;

use super::scope::{Chosen, Scope};
use super::tree::Node;
use super::values::{Values, secret_of};
use super::variable::{Sort, Variable};
use super::{Playbook, Playbooks, write};
use crate::base::Source;

/// One setting of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The variable, or the key of a table: `swap_size`, `kernel.sysrq`.
    pub name: String,
    /// What it is on this host, as text; never a secret.
    pub value: String,
    /// Why it is there: the documentation of the variable, or the comment above the key.
    pub reason: String,
    /// Where it was set: `default of 20-swap`, `bedplate.toml:4`, `--set`.
    pub source: String,
    /// The playbook that it is of, such as `access`.
    pub playbook: String,
}

/// The settings of `playbook` on the host that `scope` and `values` are of, in the order of its file.
pub fn of(playbooks: &Playbooks, playbook: &Playbook, scope: &Scope, values: &mut Values<'_>) -> Vec<Setting> {
    let before = values.found.clone();
    let settings = playbooks.of(playbook).flat_map(|variable| rows(variable, scope, values)).collect();
    // What is wrong with a value that no task reads is nobody's business.
    values.found = before;
    settings
}

fn rows(variable: &Variable, scope: &Scope, values: &mut Values<'_>) -> Vec<Setting> {
    let chosen = scope.chosen.get(&variable.name);
    let row = |name: &str, value: String, reason: String, source: String| Setting {
        name: name.to_owned(),
        value,
        reason,
        source,
        playbook: variable.playbook.clone(),
    };
    let Some(chosen) = chosen else {
        return vec![row(&variable.name, "not set".into(), variable.doc.clone(), String::new())];
    };
    let whole =
        |value: &str| vec![row(&variable.name, value.to_owned(), variable.doc.clone(), place(chosen, variable))];
    if variable.secret && chosen.source == variable.source && secret_of(&chosen.node).is_none() {
        return whole("the default");
    }
    if variable.secret || secret_of(&chosen.node).is_some() {
        return whole("secret");
    }
    if scope.by_facts.contains(&variable.name) {
        return whole("by the facts of the host");
    }
    let Some((node, false)) = values.node(&variable.name) else { return whole("not shown") };
    let Some(table) = node.table().filter(|table| variable.sort == Sort::Table && !table.entries.is_empty()) else {
        return whole(&shown(&node));
    };
    let of_key = |key: &str| {
        let declared = variable.default.as_ref().and_then(|default| default.table()?.entry(key).cloned());
        declared.and_then(|entry| reason(&variable.source, &entry.key_range)).unwrap_or_else(|| variable.doc.clone())
    };
    let set_by = |key: &str| {
        let layers = chosen.layers();
        let layer =
            layers.into_iter().rev().find(|layer| layer.node.table().is_some_and(|table| table.get(key).is_some()));
        format!("{}, {}", variable.name, place(layer.unwrap_or(chosen), variable))
    };
    let keys = table.entries.iter();
    keys.map(|entry| row(&entry.key, shown(&entry.node), of_key(&entry.key), set_by(&entry.key))).collect()
}

/// Where a value was set.
fn place(chosen: &Chosen, variable: &Variable) -> String {
    let name = &chosen.source.name;
    if chosen.source == variable.source {
        let file = name.rsplit(['/', ':']).next().unwrap_or(name);
        return format!("default of {}", file.strip_suffix(".toml").unwrap_or(file));
    }
    match name.as_str() {
        "--set" | "environment" => name.clone(),
        _ => format!("{name}:{}", chosen.source.place(chosen.node.range.start).0),
    }
}

fn shown(node: &Node) -> String {
    match node.text() {
        Some("") => "empty".to_owned(),
        Some(text) => text.to_owned(),
        None => write::inline(node),
    }
}

/// The comment above the line of `key`, or above the first of the keys that stand together with it.
pub fn reason(source: &Source, key: &Range<usize>) -> Option<String> {
    let before = source.text.get(..key.start)?;
    let above = &before[..before.rfind('\n').map_or(0, |at| at + 1)];
    let mut lines: Vec<&str> = Vec::new();
    for line in above.lines().rev().map(str::trim) {
        match line.strip_prefix('#') {
            Some(comment) => lines.push(comment.trim()),
            None if !lines.is_empty() || line.is_empty() || line.starts_with('[') => break,
            None => {}
        }
    }
    lines.reverse();
    Some(lines.join(" ")).filter(|text| !text.is_empty())
}
