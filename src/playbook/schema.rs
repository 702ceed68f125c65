//! The JSON schema of a playbook, so that editors complete and check it: put together from the tables of the resources.

use serde_json::{Map, Value, json};

use super::tree::{Data, Node};
use super::variable::{Sort, Variable};
use crate::resource::{KINDS, Kind};

/// The schema.
pub fn schema() -> Value {
    let mut parts = Map::new();
    parts.insert("any.template".into(), json!({ "type": "string", "pattern": r"\{\{|\{%" }));
    parts.insert("any.variable".into(), variable());
    for kind in KINDS {
        resource(*kind, &mut parts);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a playbook of bedplate",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "description": { "type": "string", "description": "What the playbook is for." },
            "variables": {
                "type": "object",
                "description": "The variables that it declares, each as `[variables.NAME]`.",
                "propertyNames": { "pattern": "^[a-z][a-z0-9_]*$" },
                "additionalProperties": { "$ref": "#/$defs/any.variable" }
            },
            "task": { "type": "array", "description": "The tasks, in order, each as `[[task]]`.", "items": task() }
        },
        "$defs": parts
    })
}

fn variable() -> Value {
    let sorts = Sort::ALL.map(|(name, _)| name);
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["type", "doc"],
        "properties": {
            "type": { "type": "string", "description": "What it holds.", "enum": sorts },
            "default": { "description": "Its value where nothing else sets it; without one it must be set." },
            "doc": { "type": "string", "description": "What it is for, in a sentence." },
            "choices": { "type": "array", "description": "The only values that it may have." },
            "secret": { "type": "boolean", "description": "Whether its value is never shown." }
        }
    })
}

fn task() -> Value {
    let mut properties = Map::new();
    let mut own = |key: &str, schema: Value| properties.insert(key.to_owned(), schema);
    own("name", json!({ "type": "string", "description": "What plans and reports call it; may be a template." }));
    own(
        "when",
        json!({ "type": "string", "description": "The task applies where this expression holds, such as `facts.os == 'debian'`." }),
    );
    own(
        "for_each",
        json!({ "type": "string", "description": "A list variable: the task runs for each `item` of it." }),
    );
    own(
        "tags",
        json!({
            "type": "array",
            "description": "Words for `--tags` and `--skip-tags`; the playbook's name is one too.",
            "items": { "type": "string", "minLength": 1 }
        }),
    );
    for kind in KINDS {
        own(kind.name(), json!({ "$ref": format!("#/$defs/{}", kind.name()) }));
    }
    let one: Vec<Value> = KINDS.iter().map(|kind| json!({ "required": [kind.name()] })).collect();
    json!({ "type": "object", "additionalProperties": false, "required": ["name"], "properties": properties, "oneOf": one })
}

/// Puts the table of `kind` and its parts under names of their own.
fn resource(kind: &dyn Kind, parts: &mut Map<String, Value>) {
    let mut schema = kind.schema().to_value();
    let own = schema.as_object_mut().and_then(|schema| {
        schema.remove("$schema");
        schema.remove("title");
        schema.remove("$defs")
    });
    let prefix = kind.name();
    for (name, mut part) in own.as_ref().and_then(Value::as_object).cloned().unwrap_or_default() {
        with_templates(&mut part, prefix);
        parts.insert(format!("{prefix}.{name}"), part);
    }
    with_templates(&mut schema, prefix);
    parts.insert(prefix.to_owned(), schema);
}

/// A template may stand in the place of every value in a task's table.
fn with_templates(schema: &mut Value, prefix: &str) {
    let Some(table) = schema.as_object_mut() else { return };
    if let Some(Value::String(path)) = table.get_mut("$ref") {
        *path = path.replace("#/$defs/", &format!("#/$defs/{prefix}."));
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for choice in table.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            with_templates(choice, prefix);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(part) = table.get_mut(key).filter(|part| part.is_object()) {
            with_templates(part, prefix);
            or_template(part);
        }
    }
    for part in table.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut())
    {
        with_templates(part, prefix);
        or_template(part);
    }
}

/// What people read about a field stays at the top, where editors look for it.
fn or_template(part: &mut Value) {
    let Some(table) = part.as_object_mut() else { return };
    let any_text = table.get("type") == Some(&json!("string"))
        && !["enum", "const", "pattern"].iter().any(|k| table.contains_key(*k));
    if any_text || table.keys().all(|key| ["description", "default", "writeOnly"].contains(&key.as_str())) {
        return;
    }
    let mut outer = Map::new();
    for key in ["description", "default", "writeOnly"] {
        outer.extend(table.remove(key).map(|value| (key.to_owned(), value)));
    }
    outer.insert("anyOf".into(), json!([table, { "$ref": "#/$defs/any.template" }]));
    *part = Value::Object(outer);
}

/// The schema of what an inventory may set `variable` to.
pub fn value_of(variable: &Variable) -> Value {
    let mut own = Map::new();
    own.insert(
        "type".into(),
        json!(match variable.sort {
            Sort::String => "string",
            Sort::Integer => "integer",
            Sort::Boolean => "boolean",
            Sort::List => "array",
            Sort::Table => "object",
        }),
    );
    if !variable.choices.is_empty() {
        own.insert("enum".into(), variable.choices.iter().map(as_json).collect());
    }
    let secret = json!({ "type": "object", "required": ["secret"], "additionalProperties": false, "properties": { "secret": {
        "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": {
            "env": { "type": "string" },
            "file": { "type": "string" },
            "command": { "type": "array", "items": { "type": "string" } }
        }
    } } });
    let template = json!({ "type": "string", "pattern": r"\{\{|\{%" });
    let mut schema = json!({ "description": variable.doc, "anyOf": [own, secret, template] });
    if let (Some(default), Some(schema)) =
        (variable.default.as_ref().filter(|_| !variable.secret), schema.as_object_mut())
    {
        schema.insert("default".into(), as_json(default));
    }
    schema
}

/// A value of a file as JSON.
pub fn as_json(node: &Node) -> Value {
    match &node.data {
        Data::List(list) => list.iter().map(as_json).collect(),
        Data::Table(table) => {
            Value::Object(table.entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.node))).collect())
        }
        Data::Moment(moment) => moment.to_string().into(),
        Data::Text(text) => text.as_str().into(),
        Data::Boolean(value) => (*value).into(),
        Data::Integer(text) | Data::Float(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
    }
}
