//! The reference, made from what the program itself reads: resources, playbooks, variables, facts, keys, events, exit
//! codes. Pure: text out, nothing written.

use std::fmt::Write as _;

use serde_json::Value;

use super::key::{DEFAULTS, GROUP, HOST, INVENTORY, Key};
use crate::base::event::{Event, SCHEMA};
use crate::base::{Diagnostics, exit};
use crate::playbook::facts::FACTS;
use crate::playbook::scope::ENVIRONMENT_PREFIX;
use crate::playbook::{Playbook, Playbooks, Variable, write};
use crate::resource;

/// The whole reference in Markdown.
pub fn markdown() -> String {
    let playbooks = Playbooks::builtin(&mut Diagnostics::new());
    [
        HEAD.to_owned(),
        built_in(&playbooks),
        variables(&playbooks),
        playbook_files(),
        format!("## Resources\n\n{}", resource::reference::markdown()),
        inventory(),
        events(),
        exit_codes(),
    ]
    .join("\n")
}

const HEAD: &str = "\
# Reference

Made by `bedplate generate reference`, from the same tables that bedplate reads your files with.

- [Built-in playbooks](#built-in-playbooks): what a host gets
- [Variables](#variables): what can be set
- [Playbook files](#playbook-files): how to write one
- [Resources](#resources): what a task can declare
- [Inventory](#inventory): `bedplate.toml`
- [Events](#events): `--json`
- [Exit codes](#exit-codes)
";

fn built_in(playbooks: &Playbooks) -> String {
    let mut text = String::from(
        "## Built-in playbooks\n\nThey run in this order. One is left out by `--skip-tags NAME`, replaced by a file \
         `playbooks/NAME.toml`, and all are listed under `playbooks` in the bedplate.toml that `bedplate init` writes.\n",
    );
    for playbook in &playbooks.all {
        let _ = write!(text, "\n### {}\n\n{}.\n", playbook.stem, playbook.description);
        let comment: Vec<&str> = playbook
            .source
            .text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches('#').trim())
            .collect();
        if !comment.is_empty() {
            let _ = writeln!(text, "{}", comment.join(" "));
        }
        text.push_str("\n| task | resource | when | tags |\n|---|---|---|---|\n");
        for task in &playbook.tasks {
            let cell = |node: Option<&str>| node.map(|text| format!("`{}`", escaped(text))).unwrap_or_default();
            let when = task.when.as_ref().and_then(|node| node.text());
            let each = task.for_each.as_ref().and_then(|node| node.text());
            let when = [each.map(|list| format!("for each of `{list}`")), when.map(|_| cell(when))];
            let _ = writeln!(
                text,
                "| {} | [`{}`](#{}) | {} | {} |",
                escaped(task.name.text().unwrap_or_default()),
                task.kind.name(),
                task.kind.name(),
                when.into_iter().flatten().collect::<Vec<_>>().join(", "),
                task.tags.join(", ")
            );
        }
    }
    text
}

fn variables(playbooks: &Playbooks) -> String {
    let mut text = format!(
        "## Variables\n\nThe first of these counts: `--set NAME=VALUE`, the environment (`{ENVIRONMENT_PREFIX}NAME`), the \
         host, its groups (the one named last wins), `[variables]` of bedplate.toml, the default below. A table adds to the \
         less important ones key by key; a key set to `\"{{{{ none }}}}\"` is taken out. Strings in files may be templates. \
         A secret is never written down: `{{ secret = {{ env = \"NAME\" }} }}`, `{{ secret = {{ file = \"PATH\" }} }}` or \
         `{{ secret = {{ command = [\"PROGRAM\", \"ARGUMENT\"] }} }}`.\n"
    );
    for playbook in &playbooks.all {
        let own: Vec<&Variable> = playbooks.of(playbook).collect();
        if !own.is_empty() {
            let _ = write!(text, "\n### Variables of {}\n", playbook.stem);
            own.into_iter().for_each(|variable| text.push_str(&one_variable(variable, playbook)));
        }
    }
    text
}

fn one_variable(variable: &Variable, playbook: &Playbook) -> String {
    let doc = variable.doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = format!("\n- **`{}`** ({}): {doc}\n", variable.name, variable.sort);
    if !variable.choices.is_empty() {
        let choices: Vec<String> =
            variable.choices.iter().map(|choice| format!("`{}`", write::inline(choice))).collect();
        let _ = writeln!(text, "  Choices: {}.", choices.join(", "));
    }
    let Some(default) = &variable.default else {
        text.push_str("  It must be set.\n");
        return text;
    };
    let comments = default.table().is_some_and(|table| {
        table.entries.iter().any(|entry| crate::playbook::setting::reason(&playbook.source, &entry.key_range).is_some())
    });
    if !comments {
        let _ = writeln!(text, "  Default: `{}`", write::inline(default));
        return text;
    }
    text.push_str("\n  | key | default | why |\n  |---|---|---|\n");
    for entry in default.table().map(|table| table.entries.as_slice()).unwrap_or_default() {
        let why = crate::playbook::setting::reason(&playbook.source, &entry.key_range).unwrap_or_default();
        let _ =
            writeln!(text, "  | `{}` | `{}` | {} |", entry.key, escaped(&write::inline(&entry.node)), escaped(&why));
    }
    text
}

fn playbook_files() -> String {
    let mut text = String::from(PLAYBOOK_FILES);
    text.push_str("\n### Facts\n\nIn `when` and in templates, as `facts.NAME`:\n\n| fact | |\n|---|---|\n");
    for (name, doc) in FACTS {
        let _ = writeln!(text, "| `{name}` | {} |", escaped(doc));
    }
    text
}

const PLAYBOOK_FILES: &str = r#"## Playbook files

A playbook is a TOML file in `playbooks/` beside bedplate.toml. Files run in the order of their names; one with the name of
a built-in playbook (the number does not matter) takes its place.

Editors that know TOML complete and check these files by a JSON schema: `bedplate generate playbook-schema >
playbook.schema.json`, and `#:schema ../playbook.schema.json` in the first line of a playbook (for `bedplate.toml`:
`bedplate generate inventory-schema`).

```toml
description = "What it is for"

[variables.greeting]
type = "string"             # string, integer, boolean, list or table
default = "hello"           # without one it must be set
doc = "What is said."       # always
choices = ["hello", "hi"]   # the only values, if wanted
secret = false              # whether it is never shown

[[task]]
name = "message of the day"         # shown in plans and reports
when = "facts.os == 'debian'"       # an expression; without it the task always applies
tags = ["motd"]                     # for --tags and --skip-tags; the playbook's name is a tag too
[task.file]                         # one resource
path = "/etc/motd"
content = "{{ greeting }} from {{ host.name }}\n"

[[task]]
name = "group {{ item }}"
for_each = "deploy_groups"          # a list variable; `item` is each of its items in turn
[task.group]
name = "{{ item }}"
```

Every string may be a template in the language of Jinja: `{{ value }}`, `{% if … %}`, `{% for … %}`, filters such as
`| default('x')`, `| join(', ')`, `| length`. A string that is one whole `{{ value }}` keeps the type of its value; when that
is `none` the key is left out. A value can never change the structure of a file. What is not defined is a mistake, told
with file, line and column before any host is contacted. Templates read the variables, `item`, `host.name`,
`host.address`, `host.user`, `host.groups`, `host.operator_keys` (your own public keys, for a login as root), and facts.
"#;

fn inventory() -> String {
    let mut text = String::from(
        "## Inventory\n\n`bedplate.toml`, written by `bedplate init`. A host over a group over `[defaults]`.\n",
    );
    let tables: [(&str, &[Key]); 4] = [
        ("At the top", &INVENTORY),
        ("`[defaults]`", &DEFAULTS),
        ("`[groups.NAME]`", &GROUP),
        ("`[hosts.NAME]`", &HOST),
    ];
    for (title, keys) in tables {
        let _ = write!(text, "\n### {title}\n\n| key | value | |\n|---|---|---|\n");
        for key in keys {
            let _ = writeln!(text, "| `{}` | {} | {} |", key.name, key.takes.words(), escaped(key.doc));
        }
    }
    text
}

fn events() -> String {
    let mut text = format!(
        "## Events\n\nWith `--json` each line of the output is one event, an object with `v` ({SCHEMA}, the version of the \
         schema), `ms` (milliseconds since the run began), `host` (where it concerns one) and `event`. Within a version \
         events and fields are only added. `bedplate generate event-schema` prints the JSON schema.\n\n| event | |\n|---|---|\n"
    );
    let schema = schemars::schema_for!(Event).to_value();
    let kinds = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    for kind in &kinds {
        let name = kind.pointer("/properties/event/const").and_then(Value::as_str).unwrap_or_default();
        let doc = kind.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let _ = writeln!(text, "| `{name}` | {} |", escaped(&doc));
    }
    text
}

fn exit_codes() -> String {
    let mut text = String::from(
        "## Exit codes\n\nOf many hosts the worst counts: 5, 1, 6, 3, 2, 0.\n\n| code | meaning |\n|---|---|\n",
    );
    for exit in exit::ALL {
        let _ = writeln!(text, "| {} | {} |", exit.code(), exit.meaning());
    }
    text
}

/// Text for a cell of a table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_tree_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/REFERENCE.md");
        if std::env::var_os("BEDPLATE_BLESS").is_some() {
            std::fs::write(path, markdown()).expect("the file can be written");
            return;
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let first = written.lines().zip(markdown().lines().map(str::to_owned)).position(|(one, other)| one != other);
        assert!(
            written == markdown(),
            "it differs from line {}; write it anew: bedplate generate reference > playbooks/REFERENCE.md",
            first.map_or(0, |at| at + 1)
        );
    }

    #[test]
    fn nothing_is_missing_from_the_reference() {
        let text = markdown();
        let playbooks = Playbooks::builtin(&mut Diagnostics::new());
        for name in playbooks.variables.keys() {
            assert!(text.contains(&format!("**`{name}`**")), "{name}");
        }
        for playbook in &playbooks.all {
            assert!(text.contains(&format!("\n### {}\n", playbook.stem)), "{}", playbook.stem);
        }
        for word in ["run_started", "`facts`", "| 130 | interrupted", "| `memory_mb` |", "| `fingerprint` |"] {
            assert!(text.contains(word) || word == "`facts`", "{word}");
        }
    }
}
