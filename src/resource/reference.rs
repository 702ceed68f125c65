//! The reference of resources, made from their tables' doc comments. Pure: text out, nothing written.

use std::fmt::Write as _;

use serde_json::Value;

use super::{KINDS, Kind};

/// Markdown of every resource: what it is, its fields, an example.
pub fn markdown() -> String {
    KINDS.iter().map(|kind| resource(*kind)).collect::<Vec<_>>().join("\n")
}

/// Markdown of one resource.
pub fn resource(kind: &dyn Kind) -> String {
    let schema = kind.schema().to_value();
    let mut text = format!("### `{}`\n\n{}\n\n", kind.name(), docs(&schema));
    fields(&mut text, &schema, &schema);
    if let Some(parts) = schema.get("$defs").and_then(Value::as_object) {
        for (name, part) in parts.iter().filter(|(_, part)| part.get("properties").is_some()) {
            let _ = write!(text, "\nEach `{name}`: {}\n\n", docs(part));
            fields(&mut text, part, &schema);
        }
    }
    let _ = write!(text, "\n```toml\n[[task]]\nname = \"…\"\n[task.{}]\n{}```\n", kind.name(), kind.example());
    text
}

fn docs(schema: &Value) -> String {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .replace("\n\n", "\u{0}")
        .replace('\n', " ")
        .replace('\u{0}', "\n\n")
}

fn fields(text: &mut String, table: &Value, root: &Value) {
    if table.get("properties").is_none() {
        return;
    }
    text.push_str("| field | value | default | |\n|---|---|---|---|\n");
    for Field { name, shape, default, docs } in rows(table, root) {
        let docs = docs.replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(text, "| `{name}` | {shape} | {default} | {docs} |");
    }
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it takes, in words.
    pub shape: String,
    /// Its default in backticks, `required`, or nothing.
    pub default: String,
    /// What it is for.
    pub docs: String,
}

fn rows(table: &Value, root: &Value) -> Vec<Field> {
    let Some(fields) = table.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let needed = table.get("required").and_then(Value::as_array);
    let row = |(name, field): (&String, &Value)| {
        let required = needed.is_some_and(|names| names.iter().any(|needed| needed == name));
        let default = match field.get("default") {
            _ if required => "required".to_owned(),
            None | Some(Value::Null) => String::new(),
            Some(default) => format!("`{default}`"),
        };
        Field { name: name.clone(), shape: shape(field, root), default, docs: docs(field) }
    };
    fields.iter().map(row).collect()
}

/// A table that a resource is made of: the resource's own first, under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// What it is.
    pub docs: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// What there is to know of a resource, part by part.
pub fn parts(kind: &dyn Kind) -> Vec<Part> {
    let schema = kind.schema().to_value();
    let part =
        |name: &str, table: &Value| Part { name: name.to_owned(), docs: docs(table), fields: rows(table, &schema) };
    let mut parts = vec![part(kind.name(), &schema)];
    let others = schema.get("$defs").and_then(Value::as_object).into_iter().flatten();
    parts.extend(others.filter(|(_, table)| table.get("properties").is_some()).map(|(name, table)| part(name, table)));
    parts
}

/// What a field takes, in words.
fn shape(field: &Value, root: &Value) -> String {
    if let Some(path) = field.get("$ref").and_then(Value::as_str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let part = root.get("$defs").and_then(|parts| parts.get(name)).unwrap_or(&Value::Null);
        return if part.get("properties").is_some() { format!("`{name}`") } else { shape(part, root) };
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = field.get(key).and_then(Value::as_array) {
            let mut words: Vec<String> =
                choices.iter().map(|choice| shape(choice, root)).filter(|word| word != "null").collect();
            words.dedup();
            return words.join(" or ");
        }
    }
    if let Some(word) = field.get("const") {
        return format!("`{word}`");
    }
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        return words
            .iter()
            .filter(|word| !word.is_null())
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    match field.get("type") {
        Some(Value::String(word)) if word == "array" => {
            format!("list of {}", shape(field.get("items").unwrap_or(&Value::Null), root))
        }
        Some(Value::String(word)) if word == "object" => "table".to_owned(),
        Some(Value::String(word)) => word.clone(),
        Some(Value::Array(words)) => {
            words.iter().filter_map(Value::as_str).filter(|word| *word != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_resource_is_in_the_reference_with_its_fields() {
        let text = super::markdown();
        for kind in super::KINDS {
            assert!(text.contains(&format!("### `{}`", kind.name())), "{}", kind.name());
        }
        assert!(text.contains("| `install` | list of string | required | Names of the packages. |"), "{text}");
        assert!(text.contains("| `state` | `\"present\"` or `\"absent\"` | `\"present\"` |"), "{text}");
    }
}
