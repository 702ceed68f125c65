//! YAML as a tree whose keys and values know their places in the file, with what ERB leaves unknown marked. Anchors,
//! aliases and merge keys are resolved; the depth and the size of what they make are bounded.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::erb::{self, Rendered};
use crate::base::{Diagnostic, Diagnostics, Source, Span};

/// Deepest nesting; a real file has six levels.
const DEPTH: usize = 64;
/// Most nodes that aliases may make, so that ten lines can not fill the memory.
const NODES: usize = 100_000;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Nothing.
    Null,
    /// A scalar; `plain` when it stands without quotes, so that `2222` is a number and `true` a truth.
    Scalar {
        /// Its text.
        text: String,
        /// Whether it is unquoted.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the order of the file.
    Map(Vec<Entry>),
    /// Not known, and why.
    Unknown(String),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The entries, if it is a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of `key`, unless it is nothing.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node).filter(|node| node.data != Data::Null)
    }

    /// The items of a list; of a single value that one.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            Data::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A truth, when it stands without quotes.
    pub fn truth(&self) -> Option<bool> {
        match &self.data {
            Data::Scalar { text, plain: true } => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some(true),
                "false" | "no" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// "a list", "text" …
    pub fn sort(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Scalar { .. } => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
            Data::Unknown(_) => "unknown",
        }
    }
}

/// Reads a file. What can not be read goes to `found`, and there is no tree then.
pub(super) fn read(source: &Arc<Source>, env: &BTreeMap<String, String>, found: &mut Diagnostics) -> Option<Node> {
    let rendered = erb::render(&source.text, env, false);
    let (rendered, tree) = match tree(source, &rendered) {
        Err(_) if !rendered.riddles.is_empty() => {
            let blank = erb::render(&source.text, env, true);
            let tree = tree(source, &blank);
            (blank, tree)
        }
        tree => (rendered, tree),
    };
    for range in &rendered.left_out {
        let wrong = Diagnostic::warning("this part depends on Ruby, which bedplate never runs: it is left out");
        let help = "where hosts or volumes stand in it, name them in bedplate.toml (`bedplate init`)";
        found.push(wrong.at(Span::new(source, range.clone()), "unknown (ERB)").help(help));
    }
    match tree {
        Ok(tree) => Some(tree),
        Err(wrong) => {
            found.push(*wrong);
            None
        }
    }
}

fn tree(source: &Arc<Source>, rendered: &Rendered) -> Result<Node, Box<Diagnostic>> {
    let mut builder = Builder {
        source,
        rendered,
        bytes: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        left: NODES,
        root: None,
    };
    builder.bytes = rendered.text.char_indices().map(|(at, _)| at).chain([rendered.text.len()]).collect();
    let mut parser = Parser::new_from_str(&rendered.text);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = builder.byte(error.marker().index());
                let range = rendered.place(&(at..at));
                let message = format!("this is not YAML: {}", error.info());
                let wrong = Diagnostic::error(message).at(Span::new(source, range), "");
                return Err(Box::new(wrong.help("Kamal can not read it either: `kamal config` shows its own words")));
            }
        };
        let range = builder.byte(span.start.index())..builder.byte(span.end.index());
        if builder.take(event, range)? {
            break;
        }
    }
    Ok(builder.root.unwrap_or_else(|| Node { span: Span::new(source, 0..0), data: Data::Null }))
}

/// A list or a map under construction.
struct Open {
    start: usize,
    anchor: usize,
    items: Vec<Node>,
    entries: Option<Vec<Entry>>,
    key: Option<(String, Span)>,
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    rendered: &'a Rendered,
    bytes: Vec<usize>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    left: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn byte(&self, index: usize) -> usize {
        self.bytes.get(index).or(self.bytes.last()).copied().unwrap_or(0)
    }

    fn span(&self, range: &Range<usize>) -> Span {
        Span::new(self.source, self.rendered.place(range))
    }

    fn wrong(&self, message: &str, range: &Range<usize>, help: &str) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(message).at(self.span(range), "").help(help))
    }

    /// Takes one event; whether the document has ended.
    fn take(&mut self, event: Event<'_>, range: Range<usize>) -> Result<bool, Box<Diagnostic>> {
        match event {
            Event::DocumentEnd => return Ok(true),
            Event::Scalar(text, style, anchor, _) => {
                let node = self.scalar(&text, style == ScalarStyle::Plain, &range);
                self.add(node, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, &range, None)?,
            Event::MappingStart(anchor, _) => self.begin(anchor, &range, Some(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => self.end(range.end)?,
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.wrong(
                        "there is no such anchor",
                        &range,
                        "write `&name` before the value that it stands for",
                    ));
                };
                match self.left.checked_sub(size(&node)) {
                    Some(left) => self.left = left,
                    None => {
                        return Err(self.wrong(
                            "its aliases make it far too large",
                            &range,
                            "write fewer aliases of aliases",
                        ));
                    }
                }
                self.add(node, 0)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        Ok(false)
    }

    fn scalar(&self, text: &str, plain: bool, range: &Range<usize>) -> Node {
        let data = match self.rendered.riddle(text) {
            Some(riddle) => Data::Unknown(riddle.why.clone()),
            None if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") => Data::Null,
            None => Data::Scalar { text: text.to_owned(), plain },
        };
        Node { span: self.span(range), data }
    }

    fn begin(
        &mut self,
        anchor: usize,
        range: &Range<usize>,
        entries: Option<Vec<Entry>>,
    ) -> Result<(), Box<Diagnostic>> {
        if self.open.len() >= DEPTH {
            return Err(self.wrong("this is nested too deeply", range, "no part of Kamal's configuration is so deep"));
        }
        self.open.push(Open { start: range.start, anchor, items: Vec::new(), entries, key: None });
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), Box<Diagnostic>> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        // The parser ends a block where the next one begins: what is empty in between is no part of it.
        let inside = self.rendered.text.get(open.start..end).unwrap_or_default();
        let span = self.span(&(open.start..open.start + inside.trim_end().len()));
        let data = match open.entries {
            Some(entries) => Data::Map(merged(entries)),
            None => Data::List(open.items),
        };
        self.add(Node { span, data }, open.anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Box<Diagnostic>> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        let Some(entries) = &mut open.entries else {
            open.items.push(node);
            return Ok(());
        };
        match open.key.take() {
            // Ruby's symbols stand for their names.
            None => {
                let key = node.text().map(|text| text.strip_prefix(':').unwrap_or(text).to_owned());
                open.key = Some((key.unwrap_or_default(), node.span));
            }
            // Of a key that stands twice the last one counts, as in Ruby.
            Some((key, span)) => {
                if key != "<<" {
                    entries.retain(|entry| entry.key != key);
                }
                entries.push(Entry { key, span, node });
            }
        }
        Ok(())
    }
}

/// With what `<<` merges in; keys of its own stay, and of several maps the first counts.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.key == "<<");
    for merge in &merges {
        for entry in merge.node.items().iter().flat_map(Node::entries) {
            if !own.iter().any(|other| other.key == entry.key) {
                own.push(entry.clone());
            }
        }
    }
    own
}

fn size(node: &Node) -> usize {
    1 + match &node.data {
        Data::List(items) => items.iter().map(size).sum(),
        Data::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.node)).sum(),
        _ => 0,
    }
}

/// `over` laid over `below`, as Kamal lays a destination's file over deploy.yml: maps key by key, all else as a whole.
pub(super) fn laid_over(below: Node, over: Node) -> Node {
    match (below, over) {
        (Node { span, data: Data::Map(mut all) }, Node { data: Data::Map(over), .. }) => {
            for entry in over {
                match all.iter_mut().find(|other| other.key == entry.key) {
                    Some(other) => {
                        let below =
                            std::mem::replace(&mut other.node, Node { span: entry.span.clone(), data: Data::Null });
                        *other = Entry { node: laid_over(below, entry.node), key: entry.key, span: entry.span };
                    }
                    None => all.push(entry),
                }
            }
            Node { span, data: Data::Map(all) }
        }
        (_, over) => over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<Node>, Diagnostics) {
        let mut found = Diagnostics::new();
        let node = read(&Source::new("config/deploy.yml", text), &BTreeMap::new(), &mut found);
        (node, found)
    }

    fn shown(node: &Node) -> String {
        match &node.data {
            Data::Null => "null".into(),
            Data::Scalar { text, plain } => {
                if *plain {
                    text.clone()
                } else {
                    format!("{text:?}")
                }
            }
            Data::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
            Data::Map(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|entry| format!("{}: {}", entry.key, shown(&entry.node))).collect();
                format!("{{{}}}", entries.join(", "))
            }
            Data::Unknown(_) => "?".into(),
        }
    }

    #[test]
    fn anchors_aliases_and_merges_are_resolved() {
        let text = "x-a: &a\n  one: 1\n  two: \"2\"\nb:\n  <<: *a\n  one: 3\nc: [*a, ~]\n";
        assert_eq!(
            shown(&parsed(text).0.unwrap()),
            "{x-a: {one: 1, two: \"2\"}, b: {one: 3, two: \"2\"}, c: [{one: 1, two: \"2\"}, null]}"
        );
    }

    #[test]
    fn places_are_those_of_the_file() {
        let text = "# ä\nssh:\n  user: <%= ENV[\"NONE\"] %>\n  port: <%= x %>\n  keys:\n    - \"~/é\"\n\nlast: 1\n";
        let root = parsed(text).0.unwrap();
        let ssh = root.get("ssh").unwrap();
        assert_eq!(&text[ssh.entry("port").unwrap().node.span.range.clone()], "<%= x %>");
        assert_eq!(&text[ssh.get("keys").unwrap().items()[0].span.range.clone()], "\"~/é\"");
        assert_eq!(ssh.entry("keys").unwrap().span.line(), "config/deploy.yml:5");
        assert_eq!(shown(&root), "{ssh: {user: null, port: ?, keys: [\"~/é\"]}, last: 1}");
    }

    #[test]
    fn a_tag_that_stands_for_keys_is_passed_over() {
        assert_eq!(shown(&parsed("a: 1\n<%= more %>\nb: 2\n").0.unwrap()), "{a: 1, b: 2}");
        assert_eq!(shown(&parsed("a:\n  <%= more %>\nb: 2\n").0.unwrap()), "{a: ?, b: 2}");
    }

    #[test]
    fn what_is_no_yaml_is_pointed_at_and_nothing_grows_without_end() {
        let (node, found) = parsed("servers:\n  - a\n web: [\n");
        assert!(node.is_none());
        assert!(found.render(false).contains("config/deploy.yml:"), "{}", found.render(false));
        let laughs: String =
            (1..30).map(|n| format!("a{n}: &a{n} [*a{}, *a{}, *a{}]\n", n - 1, n - 1, n - 1)).collect();
        assert!(parsed(&format!("a0: &a0 [1, 2]\n{laughs}")).0.is_none());
        assert!(parsed(&"- ".repeat(10_000)).0.is_none());
        assert!(parsed(&"[".repeat(10_000)).0.is_none());
    }

    #[test]
    fn a_destination_is_laid_over_map_by_map() {
        let below = parsed("a: {b: 1, c: [1, 2]}\nd: 1\n").0.unwrap();
        let over = parsed("a: {c: [3]}\ne: 2\nd:\n").0.unwrap();
        assert_eq!(shown(&laid_over(below, over)), "{a: {b: 1, c: [3]}, d: null, e: 2}");
    }
}
