//! Variables: their declarations in playbooks, and what a value must be to fit one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::tree::{self, Data, Entry, Node, Table};
use crate::base::diagnostic::nearest;
use crate::base::{Source, Span};

/// What a variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of anything.
    List,
    /// A table of anything.
    Table,
}

impl Sort {
    /// All, by the names that playbooks use.
    pub const ALL: [(&'static str, Sort); 5] = [
        ("string", Sort::String),
        ("integer", Sort::Integer),
        ("boolean", Sort::Boolean),
        ("list", Sort::List),
        ("table", Sort::Table),
    ];

    /// The sort of that name.
    pub fn named(name: &str) -> Option<Sort> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, sort)| *sort)
    }

    /// The name that playbooks use.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, sort)| *sort == self).map_or("string", |(name, _)| name)
    }

    fn article(self) -> &'static str {
        if self == Sort::Integer { "an" } else { "a" }
    }

    /// Whether `data` is of this sort.
    pub fn holds(self, data: &Data) -> bool {
        matches!(
            (self, data),
            (Sort::String, Data::Text(_))
                | (Sort::Integer, Data::Integer(_))
                | (Sort::Boolean, Data::Boolean(_))
                | (Sort::List, Data::List(_))
                | (Sort::Table, Data::Table(_))
        )
    }

    /// Reads an argument or an environment variable. Errors: a phrase that says what was wanted, without the text.
    pub fn parse(self, text: &str, range: &Range<usize>) -> Result<Node, String> {
        let node = |data| Ok(Node { range: range.clone(), data });
        match self {
            Sort::String => node(Data::Text(text.to_owned())),
            Sort::Integer => match text.trim().parse::<i64>() {
                Ok(number) => node(Data::Integer(number.to_string())),
                Err(_) => Err("this is not an integer".into()),
            },
            Sort::Boolean => match text.trim() {
                "true" => node(Data::Boolean(true)),
                "false" => node(Data::Boolean(false)),
                _ => Err("this is not a boolean: write `true` or `false`".into()),
            },
            Sort::List | Sort::Table => {
                let read = tree::read_value(text, range).ok().or_else(|| from_json(text, range));
                match read {
                    Some(read) if self.holds(&read.data) => Ok(read),
                    Some(read) => Err(format!("this is {}, not {} {self}", read.sort(), self.article())),
                    None => Err(format!("this is not {} {self}, neither in TOML nor in JSON", self.article())),
                }
            }
        }
    }

    /// A value in the way it is written in a file.
    pub fn example(self) -> &'static str {
        match self {
            Sort::String => "\"text\"",
            Sort::Integer => "42",
            Sort::Boolean => "true",
            Sort::List => "[\"one\", \"two\"]",
            Sort::Table => "{ key = \"value\" }",
        }
    }
}

fn from_json(text: &str, range: &Range<usize>) -> Option<Node> {
    json_node(serde_json::from_str(text).ok()?, range)
}

/// `null` has no place in TOML: it is left out.
fn json_node(value: serde_json::Value, range: &Range<usize>) -> Option<Node> {
    use serde_json::Value as Json;
    let data = match value {
        Json::Null => return None,
        Json::Bool(value) => Data::Boolean(value),
        Json::Number(number) if number.is_i64() || number.is_u64() => Data::Integer(number.to_string()),
        Json::Number(number) => Data::Float(number.to_string()),
        Json::String(text) => Data::Text(text),
        Json::Array(list) => Data::List(list.into_iter().filter_map(|item| json_node(item, range)).collect()),
        Json::Object(map) => {
            let entries = map.into_iter().filter_map(|(key, value)| {
                Some(Entry { key, key_range: range.clone(), node: json_node(value, range)? })
            });
            Data::Table(Table { entries: entries.collect() })
        }
    };
    Some(Node { range: range.clone(), data })
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A variable as a playbook declares it.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// What it holds.
    pub sort: Sort,
    /// Its value where nothing else sets it; `None` for one that must be set.
    pub default: Option<Node>,
    /// What it is for, in a sentence.
    pub doc: String,
    /// The only values that it may have; any when empty.
    pub choices: Vec<Node>,
    /// Whether its value is never shown, wherever it comes from.
    pub secret: bool,
    /// The playbook that declares it.
    pub playbook: String,
    /// The file.
    pub source: Arc<Source>,
    /// Where the name stands.
    pub range: Range<usize>,
}

/// Why a value does not fit a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// A lower-case phrase, without the value.
    pub message: String,
    /// To write under the value.
    pub label: String,
    /// One thing to do.
    pub help: String,
}

impl Variable {
    /// Where it is declared.
    pub fn span(&self) -> Span {
        Span::new(&self.source, self.range.clone())
    }

    /// Whether `node` may be its value.
    pub fn fits(&self, node: &Node) -> Result<(), Misfit> {
        let name = &self.name;
        if !self.sort.holds(&node.data) {
            let help = match (self.sort, &node.data) {
                (Sort::String, Data::Integer(text) | Data::Float(text)) if !self.secret => {
                    format!("write \"{text}\" in quotes")
                }
                (Sort::Integer, Data::Text(text)) if !self.secret && text.parse::<i64>().is_ok() => {
                    format!("write {text} without quotes")
                }
                (Sort::Boolean, Data::Text(_)) => "write `true` or `false` without quotes".into(),
                _ => format!("such as `{name} = {}`", self.sort.example()),
            };
            return Err(Misfit {
                message: format!("`{name}` must be {} {}, not {}", self.sort.article(), self.sort, node.sort()),
                label: format!("this is {}", node.sort()),
                help,
            });
        }
        if self.choices.is_empty() || self.choices.iter().any(|choice| choice.data == node.data) {
            return Ok(());
        }
        let choices: Vec<String> =
            self.choices.iter().map(|choice| super::render::to_value(choice).to_string()).collect();
        let near = node.text().and_then(|text| nearest(text, choices.iter().map(String::as_str)));
        let list = choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
        Err(Misfit {
            message: format!("`{name}` can not have this value"),
            label: "not one of its choices".into(),
            help: near.map_or_else(
                || format!("choose one of {list}"),
                |near| format!("did you mean `{near}`? (choices: {list})"),
            ),
        })
    }
}
