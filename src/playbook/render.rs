//! Templates inside the parsed tree: what a string reads, and what it renders to. Rendering never sees TOML text, so a
//! value can not change structure; and it sees only the variables that the string names, so nothing else can leak.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::compare;
pub use super::slip::Slip;
use super::slip::{slip, undefined};
use super::tree::{Data, Entry, Node, Table};

/// What a template reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Variables, by name.
    pub names: BTreeSet<String>,
    /// Facts: the part behind `facts.`; empty for `facts` alone.
    pub facts: BTreeSet<String>,
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Errors carry their place only in debug mode.
    environment.set_debug(true);
    // It would print every variable.
    environment.remove_global("debug");
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|output, state, value| match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => minijinja::escape_formatter(output, state, value),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        other => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("a {other} can not stand in a text; join a list with `| join(', ')`"),
        )),
    });
    environment
});

/// Whether `text` is more than itself.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The bytes of the expression, when `text` is one whole `{{ expression }}`.
fn whole_expression(text: &str) -> Option<Range<usize>> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    // `{{-` and `-}}` trim white space: those are templates.
    if inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']) {
        return None;
    }
    ENVIRONMENT.compile_expression(inner).ok().map(|_| 2..2 + inner.len())
}

/// What the template `text` reads. Errors: a mistake in its syntax.
pub fn reads(text: &str) -> Result<Reads, Slip> {
    if let Some(range) = whole_expression(text) {
        return reads_of_expression(&text[range]);
    }
    let template = ENVIRONMENT.template_from_str(text).map_err(|error| slip(&error, text, false))?;
    Ok(sorted(template.undeclared_variables(true)))
}

/// What the bare expression `text` reads. Errors: a mistake in its syntax.
pub fn reads_of_expression(text: &str) -> Result<Reads, Slip> {
    let expression = ENVIRONMENT.compile_expression(text).map_err(|error| slip(&error, text, true))?;
    Ok(sorted(expression.undeclared_variables(true)))
}

fn sorted(paths: impl IntoIterator<Item = String>) -> Reads {
    let mut reads = Reads::default();
    for path in paths {
        let (name, rest) = path.split_once('.').unwrap_or((&path, ""));
        if name == "facts" {
            reads.facts.insert(rest.split('.').next().unwrap_or("").to_owned());
        } else if !is_function(name) {
            reads.names.insert(name.to_owned());
        }
    }
    reads
}

fn is_function(name: &str) -> bool {
    ENVIRONMENT.globals().any(|(global, _)| global == name)
}

/// Evaluates the bare expression `text`.
pub fn evaluate(text: &str, context: &BTreeMap<String, Value>) -> Result<Value, Slip> {
    let expression = ENVIRONMENT.compile_expression(text).map_err(|error| slip(&error, text, true))?;
    let value = expression.eval(Value::from(context.clone())).map_err(|error| slip(&error, text, true))?;
    if value.is_undefined() {
        return Err(undefined(text, 0..text.len()));
    }
    let side = |text: &str| ENVIRONMENT.compile_expression(text).ok()?.eval(Value::from(context.clone())).ok();
    compare::unlike(text, side).map_or(Ok(value), Err)
}

/// Renders `text`: one whole `{{ expression }}` keeps the type of its value, all else becomes a text.
pub fn render(text: &str, context: &BTreeMap<String, Value>) -> Result<Value, Slip> {
    if let Some(range) = whole_expression(text) {
        return evaluate(&text[range.clone()], context).map_err(|mut slip| {
            slip.range = slip.range.start + range.start..slip.range.end + range.start;
            slip
        });
    }
    let template = ENVIRONMENT.template_from_str(text).map_err(|error| slip(&error, text, false))?;
    template.render(Value::from(context.clone())).map(Value::from).map_err(|error| slip(&error, text, false))
}

/// Where in the template `text` the variable `name` is read first; the whole text if that can not be said.
pub fn place_of_name(text: &str, name: &str, expression: bool) -> Range<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in text.match_indices(name) {
        let before = &text[..at];
        let inside =
            expression || before.rfind("{{").max(before.rfind("{%")) > before.rfind("}}").max(before.rfind("%}"));
        let alone = !before.ends_with(|c: char| word(c) || c == '.' || c == '\'' || c == '"')
            && !text[at + name.len()..].starts_with(word);
        if inside && alone {
            return at..at + name.len();
        }
    }
    0..text.len()
}

/// A value of a tree as templates see it.
pub fn to_value(node: &Node) -> Value {
    match &node.data {
        Data::Text(text) => Value::from(text.as_str()),
        Data::Integer(digits) => digits.parse::<i64>().map_or_else(|_| Value::from(digits.as_str()), Value::from),
        Data::Float(text) => {
            text.replace('_', "").parse::<f64>().map_or_else(|_| Value::from(text.as_str()), Value::from)
        }
        Data::Boolean(value) => Value::from(*value),
        Data::Moment(moment) => Value::from(moment.to_string()),
        Data::List(list) => Value::from(list.iter().map(to_value).collect::<Vec<_>>()),
        Data::Table(table) => {
            Value::from(table.entries.iter().map(|e| (e.key.clone(), to_value(&e.node))).collect::<BTreeMap<_, _>>())
        }
    }
}

/// A rendered value at the place of its template. `None` is the value `none`: the key is left out.
/// Errors: what no TOML value can hold.
pub fn to_node(value: &Value, range: &Range<usize>) -> Result<Option<Node>, String> {
    let data = match value.kind() {
        ValueKind::None => return Ok(None),
        ValueKind::Bool => Data::Boolean(value.is_true()),
        ValueKind::Number => number(value),
        ValueKind::String => Data::Text(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut list = Vec::new();
            for item in value.try_iter().map_err(|error| error.to_string())? {
                list.extend(to_node(&item, range)?);
            }
            Data::List(list)
        }
        ValueKind::Map => Data::Table(to_table(value, range)?),
        other => return Err(format!("a {other} can not be the value of a field")),
    };
    Ok(Some(Node { range: range.clone(), data }))
}

fn to_table(value: &Value, range: &Range<usize>) -> Result<Table, String> {
    let mut table = Table::default();
    for key in value.try_iter().map_err(|error| error.to_string())? {
        let Some(name) = key.as_str() else { return Err("a key of a table must be a string".into()) };
        let item = value.get_item(&key).map_err(|error| error.to_string())?;
        if let Some(node) = to_node(&item, range)? {
            table.entries.push(Entry { key: name.to_owned(), key_range: range.clone(), node });
        }
    }
    Ok(table)
}

fn number(value: &Value) -> Data {
    match i128::try_from(value.clone()) {
        Ok(whole) if value.is_integer() => Data::Integer(whole.to_string()),
        _ => match f64::try_from(value.clone()) {
            Ok(number) if number.is_nan() => Data::Float("nan".into()),
            Ok(number) => Data::Float(format!("{number:?}")),
            Err(_) => Data::Text(value.to_string()),
        },
    }
}
