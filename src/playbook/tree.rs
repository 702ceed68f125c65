//! TOML text as a tree whose every key and value knows its place. All reading of the user's files walks this tree, so
//! that a mistake is always pointed at, also inside a string. It knows nothing of playbooks or hosts.

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::syntax;
use crate::base::{Diagnostics, Source};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands in its file; for a rendered value, where its template stands.
    pub range: Range<usize>,
    /// What it is.
    pub data: Data,
}

/// What a TOML value can be. Numbers keep their spelling, so that nothing is lost on the way to a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Text.
    Text(String),
    /// A whole number, in decimal digits.
    Integer(String),
    /// Any other number, as it was written.
    Float(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or time, as it was written.
    Moment(toml::value::Datetime),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Keys and values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Each key once.
    pub entries: Vec<Entry>,
}

/// One key of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_range: Range<usize>,
    /// Its value.
    pub node: Node,
}

impl Table {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The whole entry of `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }
}

impl Node {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(list) => Some(list),
            _ => None,
        }
    }

    /// "a string", "a list" …
    pub fn sort(&self) -> &'static str {
        match self.data {
            Data::Text(_) => "a string",
            Data::Integer(_) => "an integer",
            Data::Float(_) => "a number",
            Data::Boolean(_) => "a boolean",
            Data::Moment(_) => "a date",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }

    /// Calls `visit` with every string below this node that is a value (keys are never templates).
    pub fn each_text<'a>(&'a self, visit: &mut dyn FnMut(&'a Node, &'a str)) {
        match &self.data {
            Data::Text(text) => visit(self, text),
            Data::List(list) => list.iter().for_each(|node| node.each_text(visit)),
            Data::Table(table) => table.entries.iter().for_each(|entry| entry.node.each_text(visit)),
            _ => {}
        }
    }

    /// The value of a key, or the item at an index.
    pub fn child(&self, part: &str) -> Option<&Node> {
        match &self.data {
            Data::Table(table) => table.get(part),
            Data::List(list) => list.get(part.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The place of the field at `path`; of the deepest part of it that is there.
    pub fn place_of(&self, path: &[String]) -> Range<usize> {
        let Some((first, rest)) = path.split_first() else { return self.range.clone() };
        self.child(first).map_or(self.range.clone(), |node| node.place_of(rest))
    }

    /// The same as toml's own value, for a resource's decoder.
    pub fn to_toml(&self) -> toml::Spanned<DeValue<'_>> {
        let value = match &self.data {
            Data::Text(text) => DeValue::String(DeString::Borrowed(text)),
            Data::Integer(text) | Data::Float(text) => match DeValue::parse(text) {
                Ok(value) => value.into_inner(),
                Err(_) => DeValue::String(DeString::Borrowed(text)),
            },
            Data::Boolean(value) => DeValue::Boolean(*value),
            Data::Moment(moment) => DeValue::Datetime(*moment),
            Data::List(list) => {
                let mut array = DeArray::new();
                list.iter().for_each(|node| array.push(node.to_toml()));
                DeValue::Array(array)
            }
            Data::Table(table) => {
                let mut map = DeTable::new();
                for entry in &table.entries {
                    let key = toml::Spanned::new(entry.key_range.clone(), DeString::Borrowed(entry.key.as_str()));
                    map.insert(key, entry.node.to_toml());
                }
                DeValue::Table(map)
            }
        };
        toml::Spanned::new(self.range.clone(), value)
    }
}

/// Reads `source`. What could be read is given even when there are mistakes, so that the other files are not blamed
/// for what this one would have declared; the flag says whether it was whole.
pub fn read(source: &Arc<Source>, found: &mut Diagnostics) -> (Node, bool) {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let whole = errors.is_empty();
    // What follows a slip (an open quote, say) is often blamed as well: one in a line, and a few in all, are enough.
    let mut lines = Vec::new();
    for error in &errors {
        let range = error.span().unwrap_or(0..0);
        let (line, _) = source.place(range.start);
        if lines.contains(&line) || lines.len() == 3 {
            continue;
        }
        lines.push(line);
        found.push(syntax::told(source, error.message(), range));
    }
    let range = table.span();
    (Node { range, data: Data::Table(own_table(table.into_inner())) }, whole)
}

/// Reads one value, as on the command line. Errors: what is wrong with it.
pub fn read_value(text: &str, range: &Range<usize>) -> Result<Node, String> {
    let value = DeValue::parse(text).map_err(|error| syntax::phrase(error.message()))?;
    let mut node = own(value);
    node.place_at(range);
    Ok(node)
}

fn own(value: toml::Spanned<DeValue<'_>>) -> Node {
    let range = value.span();
    let data = match value.into_inner() {
        DeValue::String(text) => Data::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let digits = i128::from_str_radix(number.as_str(), number.radix());
            Data::Integer(digits.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()))
        }
        DeValue::Float(number) => Data::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Data::Boolean(value),
        DeValue::Datetime(moment) => Data::Moment(moment),
        DeValue::Array(list) => Data::List(list.into_iter().map(own).collect()),
        DeValue::Table(table) => Data::Table(own_table(table)),
    };
    Node { range, data }
}

fn own_table(table: DeTable<'_>) -> Table {
    let entries = table.into_iter().map(|(key, value)| Entry {
        key_range: key.span(),
        key: key.into_inner().into_owned(),
        node: own(value),
    });
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_by_key(|entry| (entry.key_range.start, entry.key_range.end));
    Table { entries }
}

impl Node {
    /// Moves this node and all below it to one place: that of the template or argument that it came from.
    pub fn place_at(&mut self, range: &Range<usize>) {
        self.range = range.clone();
        match &mut self.data {
            Data::List(list) => list.iter_mut().for_each(|node| node.place_at(range)),
            Data::Table(table) => {
                for entry in &mut table.entries {
                    entry.key_range = range.clone();
                    entry.node.place_at(range);
                }
            }
            _ => {}
        }
    }
}

/// The place in the file of a part of a string: `part` counts in the string's decoded text, `node` is where the string
/// stands, quotes included. Where that can not be said, the whole string.
pub fn inside(source: &Source, node: &Range<usize>, text: &str, part: Range<usize>) -> Range<usize> {
    let Some(raw) = source.text.get(node.clone()) else { return node.clone() };
    match Quoted::open(raw).and_then(|quoted| quoted.offsets(text)) {
        Some(offsets) => {
            let at = |offset: usize| offsets.get(offset.min(text.len())).copied().unwrap_or(raw.len());
            let (start, end) = (at(part.start), at(part.end.max(part.start)));
            node.start + start..node.start + end.max(start)
        }
        None => node.clone(),
    }
}

/// A string as it is written.
struct Quoted<'a> {
    raw: &'a str,
    /// Bytes before the first character of the text.
    opening: usize,
    escapes: bool,
}

impl<'a> Quoted<'a> {
    fn open(raw: &'a str) -> Option<Self> {
        for (quote, escapes) in [("\"\"\"", true), ("'''", false), ("\"", true), ("'", false)] {
            if let Some(rest) = raw.strip_prefix(quote) {
                let long = quote.len() == 3;
                let line_break = if !long { 0 } else { rest.len() - strip_line_break(rest).len() };
                return Some(Self { raw, opening: quote.len() + line_break, escapes });
            }
        }
        None
    }

    /// For each byte of `text` (and its end) the offset in `raw`. `None` when the two do not belong together.
    fn offsets(&self, text: &str) -> Option<Vec<usize>> {
        let mut offsets = Vec::with_capacity(text.len() + 1);
        let mut at = self.opening;
        let mut left = text;
        while !left.is_empty() {
            let rest = self.raw.get(at..)?;
            if let Some(escape) = rest.strip_prefix('\\').filter(|_| self.escapes) {
                let (character, length) = unescape(escape)?;
                if let Some(character) = character {
                    left = left.strip_prefix(character)?;
                    offsets.extend(std::iter::repeat_n(at, character.len_utf8()));
                }
                at += 1 + length;
                continue;
            }
            let character = rest.chars().next()?;
            if character == '\r' && !left.starts_with('\r') {
                at += 1;
                continue;
            }
            left = left.strip_prefix(character)?;
            offsets.extend((0..character.len_utf8()).map(|byte| at + byte));
            at += character.len_utf8();
        }
        offsets.push(at);
        Some(offsets)
    }
}

fn strip_line_break(text: &str) -> &str {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')).unwrap_or(text)
}

/// The character that follows a backslash stands for (none for a line that goes on), and how many bytes it takes.
fn unescape(escape: &str) -> Option<(Option<char>, usize)> {
    let first = escape.chars().next()?;
    let numbered = |digits: usize| {
        let number = u32::from_str_radix(escape.get(1..1 + digits)?, 16).ok()?;
        Some((Some(char::from_u32(number)?), 1 + digits))
    };
    match first {
        'b' => Some((Some('\u{8}'), 1)),
        't' => Some((Some('\t'), 1)),
        'n' => Some((Some('\n'), 1)),
        'f' => Some((Some('\u{c}'), 1)),
        'r' => Some((Some('\r'), 1)),
        'e' => Some((Some('\u{1b}'), 1)),
        '"' | '\\' => Some((Some(first), 1)),
        'x' => numbered(2),
        'u' => numbered(4),
        'U' => numbered(8),
        _ if first.is_whitespace() => Some((None, escape.len() - escape.trim_start().len())),
        _ => None,
    }
}
