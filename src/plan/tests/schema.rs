//! The schemas say what the reader says: what it takes they take, and mistakes of shape they refuse.

use serde_json::Value;

use super::mistakes::cases;
use crate::base::{Diagnostics, Source};
use crate::playbook::{builtin, schema, starter, tree};
use crate::resource::KINDS;

/// What `schema` has against `value`. It knows the keywords that our schemas use, and stops at others.
fn wrong(schema: &Value, root: &Value, value: &Value, at: &str) -> Vec<String> {
    let table = match schema {
        Value::Bool(true) => return Vec::new(),
        Value::Object(table) => table,
        other => panic!("{at}: {other} is no schema"),
    };
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("{at}: {what}"));
    for (keyword, with) in table {
        let choices = || with.as_array().expect("a list of schemas").iter().map(|part| wrong(part, root, value, at));
        match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "$defs" | "format" | "writeOnly" => {}
            "$ref" => {
                let path = with.as_str().expect("a path").trim_start_matches('#');
                let part = root.pointer(path).unwrap_or_else(|| panic!("{at}: {path} leads nowhere"));
                wrong(part, root, value, at).into_iter().for_each(&mut say);
            }
            "type" => {
                let one = [with.clone()];
                let types = with.as_array().map_or(&one[..], Vec::as_slice);
                if !types.iter().any(|name| is(name.as_str().expect("a name"), value)) {
                    say(format!("not {with}"));
                }
            }
            "enum" if !with.as_array().expect("a list").contains(value) => say(format!("not one of {with}")),
            "const" if with != value => say(format!("not {with}")),
            "enum" | "const" => {}
            "anyOf" if choices().all(|wrong| !wrong.is_empty()) => say("no choice fits".to_owned()),
            "oneOf" if choices().filter(Vec::is_empty).count() != 1 => say("not one choice fits".to_owned()),
            "anyOf" | "oneOf" => {}
            "allOf" => choices().flatten().for_each(&mut say),
            "minimum" if value.as_f64() < with.as_f64() && value.is_number() => say("too small".to_owned()),
            "maximum" if value.as_f64() > with.as_f64() && value.is_number() => say("too large".to_owned()),
            "minLength" if value.as_str().is_some_and(str::is_empty) => say("empty".to_owned()),
            "pattern" if value.as_str().is_some_and(|text| !matches(with, text)) => say(format!("not as {with}")),
            "minimum" | "maximum" | "minLength" | "pattern" => {}
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    wrong(with, root, item, &format!("{at}[{index}]")).into_iter().for_each(&mut say);
                }
            }
            "required" => {
                let Some(table) = value.as_object() else { continue };
                let names = with.as_array().expect("a list").iter().filter_map(Value::as_str);
                names.filter(|name| !table.contains_key(*name)).for_each(|name| say(format!("`{name}` is missing")));
            }
            "minProperties" | "maxProperties" => {
                let count = value.as_object().map_or(1, serde_json::Map::len) as u64;
                if Some(count) != with.as_u64() {
                    say(format!("{count} keys"));
                }
            }
            "properties" | "additionalProperties" | "propertyNames" => {}
            other => panic!("{at}: the keyword {other} is not known here"),
        }
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        if let Some(names) = table.get("propertyNames") {
            found.extend(wrong(names, root, &Value::from(key.as_str()), &at));
        }
        match (table.get("properties").and_then(|own| own.get(key)), table.get("additionalProperties")) {
            (Some(own), _) => found.extend(wrong(own, root, value, &at)),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: no such key")),
            (None, Some(other)) => found.extend(wrong(other, root, value, &at)),
            (None, None) => {}
        }
    }
    found
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    match pattern.as_str() {
        Some(r"\{\{|\{%") => text.contains("{{") || text.contains("{%"),
        Some("^[a-z][a-z0-9_]*$") => {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(inner)
        }
        other => panic!("the pattern {other:?} is not known here"),
    }
}

/// What the schema of that file has against it; `None` where it is not even TOML.
fn judged(path: &str, text: &str) -> Option<Vec<String>> {
    let mut found = Diagnostics::new();
    let (node, whole) = tree::read(&Source::new(path, text), &mut found);
    let schema = if path == "bedplate.toml" { crate::inventory::schema::schema() } else { schema::schema() };
    whole.then(|| wrong(&schema, &schema, &schema::as_json(&node), path))
}

#[test]
fn what_the_reader_takes_the_schemas_take() {
    for kind in KINDS {
        let task = format!("[[task]]\nname = \"x\"\n[task.{}]\n{}", kind.name(), kind.example());
        assert_eq!(judged(kind.name(), &task), Some(Vec::new()), "{task}");
    }
    for (_, source) in builtin::playbooks() {
        assert_eq!(judged(&source.name, &source.text), Some(Vec::new()), "{}", source.name);
    }
    for (path, text) in starter::files().into_iter().filter(|(path, _)| path.ends_with(".toml")) {
        let text = if path == "bedplate.toml" { super::taken_in(&text) } else { text };
        assert_eq!(judged(&path, &text), Some(Vec::new()), "{path}");
    }
}

#[test]
fn mistakes_of_shape_are_refused_and_no_others() {
    // Which files of a case have a shape that a schema can refuse.
    let shapes = [
        ("unknown resource", "playbooks/10-test.toml"),
        ("no resource, two resources, and no name", "playbooks/10-test.toml"),
        ("unknown keys of a task, a variable and a playbook", "playbooks/10-test.toml"),
        ("unknown field", "playbooks/10-test.toml"),
        ("unknown field further down", "playbooks/10-test.toml"),
        ("missing field", "playbooks/10-test.toml"),
        ("wrong types", "playbooks/10-test.toml"),
        ("values that break a rule of their type", "playbooks/10-test.toml"),
        ("a condition that is none", "playbooks/10-test.toml"),
        ("one task in single brackets", "playbooks/10-test.toml"),
        ("declarations of variables", "playbooks/10-test.toml"),
        ("mistakes of the inventory", "bedplate.toml"),
        ("a value of a built-in playbook", "bedplate.toml"),
        ("mistakes in several files at once", "playbooks/10-one.toml"),
    ];
    let mut refused = Vec::new();
    for case in cases().1 {
        for (path, text) in case.files.iter().filter(|(path, _)| path.ends_with(".toml")) {
            if judged(path, text).is_some_and(|wrong| !wrong.is_empty()) {
                refused.push((case.title.clone(), path.clone()));
            }
        }
    }
    let shapes: Vec<_> = shapes.iter().map(|(title, path)| ((*title).to_owned(), (*path).to_owned())).collect();
    assert_eq!(refused, shapes);
}

#[test]
fn each_mistake_of_shape_has_its_place() {
    let says = |text: &str| judged("playbooks/x.toml", text).expect("TOML").join("\n");
    let task = |body: &str| says(&format!("[[task]]\nname = \"x\"\n{body}"));
    assert!(
        task("[task.file]\npath = 5\n").contains("task[0].file.path: no choice fits")
            || task("[task.file]\npath = 5\n").contains("path: not")
    );
    assert!(task("[task.file]\npath = \"/a\"\nstate = \"gone\"\n").contains("task[0].file.state: no choice fits"));
    assert_eq!(task("[task.file]\npath = \"/a\"\nstate = \"{{ state }}\"\n"), "");
    assert!(task("[task.ufw]\nrules = [{ alow = \"80\" }]\n").contains("rules"));
    assert_eq!(task("[task.ufw]\nrules = \"{{ rules }}\"\n"), "");
    assert!(task("[task.ufw]\nrules = \"rules\"\n").contains("task[0].ufw.rules: no choice fits"));
}
