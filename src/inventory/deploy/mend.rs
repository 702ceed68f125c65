//! Edits of a deploy.yml that mend what Kamal 2 refuses in it, where there is nothing to choose. Lines are changed in
//! their places, so that comments and formatting stay. Every edit is tried in memory first: it counts only if the file
//! can still be read, a refusal is gone, none has come, and all that it does not touch means what it meant. Nothing is
//! written here.

use std::collections::BTreeMap;
use std::ops::Range;

use super::rejected::{GONE, TOP, WHOLE};
use super::yaml::{Data, Entry, Node};
use super::{Deploy, FILE, load, rejected};
use crate::base::Diagnostics;
use crate::base::diagnostic::nearest;
use crate::playbook::local::{Local, Memory};

/// More refusals than this nobody mends one by one.
const MOST: usize = 40;

/// A file of Kamal's as it is and as Kamal 2 would take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Its path, from the folder of the app.
    pub path: String,
    /// Its text.
    pub before: String,
    /// Its text with the edits.
    pub after: String,
}

/// Text in the place of a part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) path: String,
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// Edits that may mend something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// The keys at the top that may mean something else afterwards.
    keys: Vec<String>,
    edits: Vec<Edit>,
}

pub(super) type Files = BTreeMap<String, String>;

/// The files of the app in `local` that edits can mend, with the edits made. Empty when there is nothing to mend or
/// nothing that can be mended without a choice.
pub fn mended(local: &dyn Local, destination: Option<&str>, env: &BTreeMap<String, String>) -> Vec<Mended> {
    let paths = std::iter::once(FILE.to_owned()).chain(destination.map(Deploy::destination_file));
    let before: Files = paths.filter_map(|path| local.read(&path).ok().flatten().map(|text| (path, text))).collect();
    let mut files = before.clone();
    let look = |files: &Files| {
        load(&Memory::of(files.clone()), destination, env, &mut Diagnostics::new()).map(|deploy| {
            let wrong: Vec<String> = rejected(&deploy).iter().map(|wrong| wrong.message.clone()).collect();
            (deploy, wrong)
        })
    };
    for _ in 0..MOST {
        let Some((deploy, wrong)) = look(&files) else { break };
        let better = candidates(&deploy).into_iter().find_map(|Candidate { keys, edits }| {
            let next = edited(&files, &edits)?;
            let (after, left) = look(&next)?;
            let gone = left.len() < wrong.len() && left.iter().all(|message| wrong.contains(message));
            (gone && rest_is_same(&deploy.tree, &after.tree, &keys)).then_some(next)
        });
        match better {
            Some(next) => files = next,
            None => break,
        }
    }
    let changed = before.into_iter().filter_map(|(path, before)| {
        let after = files.get(&path).filter(|after| **after != before)?.clone();
        Some(Mended { path, before, after })
    });
    changed.collect()
}

/// The files with the edits made. `None`: an edit would touch ERB, or does not fit.
pub(super) fn edited(files: &Files, edits: &[Edit]) -> Option<Files> {
    let mut files = files.clone();
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.range.start));
    for edit in edits {
        let text = files.get_mut(&edit.path)?;
        if text.get(edit.range.clone())?.contains("<%") {
            return None;
        }
        text.replace_range(edit.range.clone(), &edit.text);
    }
    Some(files)
}

/// Whether the keys at the top, but for `keys`, are still there with the same values.
pub(super) fn rest_is_same(before: &Node, after: &Node, keys: &[String]) -> bool {
    let mut others = before.entries().iter().filter(|entry| !keys.contains(&entry.key));
    others.all(|entry| after.entry(&entry.key).is_some_and(|other| meaning(&other.node) == meaning(&entry.node)))
}

/// What a value says, without its place.
fn meaning(node: &Node) -> String {
    match &node.data {
        Data::Null => "~".into(),
        Data::Scalar { text, plain } => format!("{plain}{text:?}"),
        Data::List(items) => format!("[{}]", items.iter().map(meaning).collect::<Vec<_>>().join(",")),
        Data::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|entry| format!("{:?}:{}", entry.key, meaning(&entry.node))).collect();
            format!("{{{}}}", entries.join(","))
        }
        Data::Unknown(why) => format!("?{why:?}"),
    }
}

/// What may be mended, the gentlest first.
fn candidates(deploy: &Deploy) -> Vec<Candidate> {
    let tree = &deploy.tree;
    let mut all = Vec::new();
    let mut add = |keys: &[&str], edits: Option<Vec<Edit>>| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        all.extend(edits.map(|edits| Candidate { keys, edits }));
    };
    for path in WHOLE {
        let node = path.iter().try_fold(tree, |node, key| node.get(key));
        add(&path[..1], node.and_then(number).map(|edit| vec![edit]));
    }
    let renames = [("stop_wait_time", "drain_timeout"), ("readiness_timeout", "deploy_timeout")];
    let gone = |key: &str| GONE.iter().any(|(gone, _)| *gone == key);
    for entry in tree.entries() {
        let key = entry.key.as_str();
        let to = match renames.iter().find(|(from, _)| *from == key) {
            Some((_, to)) => Some(*to),
            None if gone(key) || TOP.contains(&key) || key.starts_with("x-") => None,
            None => nearest(key, TOP.iter().copied()),
        };
        let edits = to.and_then(|to| match tree.entry(to) {
            None => Some(vec![renamed(entry, to)]),
            // The new name is there already, and it is the one that counts.
            Some(_) if gone(key) => removed(entry).map(|edit| vec![edit]),
            Some(_) => None,
        });
        add(&[key], edits);
    }
    let builder = tree.get("builder");
    add(&["builder"], builder.and_then(remote));
    let leftovers = [
        ("traefik", tree.entry("traefik")),
        ("proxy", tree.get("proxy").and_then(|proxy| proxy.entry("acme"))),
        ("builder", builder.and_then(|builder| builder.entry("multiarch"))),
    ];
    for (key, entry) in leftovers {
        add(&[key], entry.and_then(removed).map(|edit| vec![edit]));
    }
    add(&["healthcheck", "proxy"], tree.entry("healthcheck").and_then(|entry| moved_to_proxy(entry, tree)));
    add(&["builder"], arch(deploy).map(|edit| vec![edit]));
    all
}

/// `10s` and `"10"` as 10.
fn number(node: &Node) -> Option<Edit> {
    let Data::Scalar { text, .. } = &node.data else { return None };
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text.get(digits.len()..)?;
    // Other units would change the number.
    (!digits.is_empty() && matches!(unit.trim(), "" | "s" | "sec" | "seconds")).then(|| Edit {
        path: node.span.source.name.clone(),
        range: node.span.range.clone(),
        text: digits,
    })
}

fn renamed(entry: &Entry, to: &str) -> Edit {
    Edit { path: entry.span.source.name.clone(), range: entry.span.range.clone(), text: to.to_owned() }
}

/// Where a key stands.
struct Place<'a> {
    path: &'a str,
    text: &'a str,
    /// The first byte of its line.
    line: usize,
    /// Its column, when nothing but space is before it: a key in block style.
    indent: Option<usize>,
}

impl<'a> Place<'a> {
    fn of(entry: &'a Entry) -> Self {
        let source = &entry.span.source;
        let start = entry.span.range.start.min(source.text.len());
        let before = source.text.get(..start).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let blank = before.get(line..).is_some_and(|before| before.bytes().all(|byte| byte == b' '));
        Self { path: &source.name, text: &source.text, line, indent: blank.then(|| start - line) }
    }

    /// The first byte of the line behind `at`.
    fn next_line(&self, at: usize) -> usize {
        self.text.get(at..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |found| at + found + 1)
    }
}

/// Where the last value of an entry ends: the parser ends a block only where the next one begins, and comments between
/// the two are no part of it.
fn end(entry: &Entry) -> usize {
    fn of(node: &Node) -> Option<usize> {
        let text = node.span.source.text.get(node.span.range.clone()).unwrap_or_default();
        let flow = text.starts_with(['{', '[']);
        match &node.data {
            Data::Map(entries) if !flow => entries.iter().map(end).max(),
            Data::List(items) if !flow => items.iter().filter_map(of).max(),
            Data::Null => None,
            _ => Some(node.span.range.start + text.trim_end().len()),
        }
    }
    of(&entry.node).unwrap_or(entry.span.range.end)
}

fn removed(entry: &Entry) -> Option<Edit> {
    let place = Place::of(entry);
    let path = place.path.to_owned();
    if place.indent.is_some() {
        return Some(Edit { path, range: place.line..place.next_line(end(entry)), text: String::new() });
    }
    let (start, end) = (entry.span.range.start, end(entry));
    let behind = place.text.get(end..)?;
    let comma = behind.len() - behind.trim_start().len();
    if behind.trim_start().starts_with(',') {
        let gap = behind.get(comma + 1..)?;
        return Some(Edit {
            path,
            range: start..end + comma + 1 + (gap.len() - gap.trim_start_matches(' ').len()),
            text: String::new(),
        });
    }
    let before = place.text.get(..start)?.trim_end();
    let start = if before.ends_with(',') { before.len() - 1 } else { start };
    Some(Edit { path, range: start..end, text: String::new() })
}

/// Lines below a key in block style, or members of one in flow style. `lines`: each without its indentation.
fn below(entry: &Entry, lines: &[String]) -> Option<Edit> {
    let place = Place::of(entry);
    let path = place.path.to_owned();
    let flow = place.text.get(entry.node.span.range.clone()).is_some_and(|text| text.starts_with('{'));
    if flow {
        let at = entry.node.span.range.start + 1;
        let rest = if entry.node.entries().is_empty() { " " } else { ", " };
        return (lines.len() == 1).then(|| Edit { path, range: at..at, text: format!(" {}{rest}", lines.concat()) });
    }
    let own = place.indent?;
    let (at, indent) = match entry.node.entries().first().map(Place::of) {
        Some(first) => (first.line, first.indent?),
        None => (place.next_line(entry.span.range.end), own + 2),
    };
    let mut text: String = lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect();
    if at > 0 && !place.text.get(..at)?.ends_with('\n') {
        text.insert(0, '\n');
    }
    Some(Edit { path, range: at..at, text })
}

/// Kamal 1's health check as the proxy's, where Kamal 2 has it.
fn moved_to_proxy(entry: &Entry, tree: &Node) -> Option<Vec<Edit>> {
    let known = |key: &str| entry.node.get(key).and_then(Node::text).map(str::to_owned);
    let mut lines = Vec::new();
    if let Some(port) = known("port") {
        lines.push(format!("app_port: {port}"));
    }
    let mut check: Vec<String> = known("path").into_iter().map(|path| format!("  path: {path}")).collect();
    for key in ["interval", "timeout"] {
        let value = entry.node.get(key).and_then(number).map(|edit| format!("  {key}: {}", edit.text));
        check.extend(value);
    }
    if !check.is_empty() {
        lines.push("healthcheck:".into());
        lines.append(&mut check);
    }
    let gone = removed(entry)?;
    if lines.is_empty() {
        return Some(vec![gone]);
    }
    match tree.entry("proxy") {
        Some(proxy) if proxy.node.get("healthcheck").is_some() || proxy.node.get("app_port").is_some() => None,
        Some(proxy) => Some(vec![gone, below(proxy, &lines)?]),
        None => {
            let text = std::iter::once("proxy:\n".to_owned()).chain(lines.iter().map(|line| format!("  {line}\n")));
            Some(vec![Edit { text: text.collect(), ..gone }])
        }
    }
}

/// Kamal 1's remote builder, a map with `host` and `arch`, as Kamal 2 has it.
fn remote(builder: &Node) -> Option<Vec<Edit>> {
    let entry = builder.entry("remote").filter(|entry| matches!(entry.node.data, Data::Map(_)))?;
    let host = entry.node.get("host").and_then(Node::text)?;
    let place = Place::of(entry);
    let indent = place.indent?;
    let mut text = format!(": {host}");
    if let (None, Some(arch)) = (builder.entry("arch"), entry.node.get("arch").and_then(Node::text)) {
        text.push_str(&format!("\n{:indent$}arch: {arch}", ""));
    }
    Some(vec![Edit { path: place.path.to_owned(), range: entry.span.range.end..end(entry), text }])
}

/// What images are built for: most servers are amd64, and `bedplate ready` compares it with the host's.
fn arch(deploy: &Deploy) -> Option<Edit> {
    const LINE: &str = "arch: amd64";
    match deploy.tree.entry("builder") {
        Some(builder) if builder.node.entry("arch").is_some() => None,
        Some(builder) => below(builder, &[LINE.to_owned()]),
        None => {
            let text = &deploy.source.text;
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let range = text.len()..text.len();
            let text = format!("{gap}\nbuilder:\n  {LINE}\n");
            Some(Edit { path: deploy.source.name.clone(), range, text })
        }
    }
}

#[cfg(test)]
mod tests;
