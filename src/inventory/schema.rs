//! The JSON schema of `bedplate.toml`, so that editors complete and check it. It says all about shape, and nothing that
//! needs the playbooks of a run.

use serde_json::{Map, Value, json};

use super::key::{INVENTORY, table};
use crate::base::Diagnostics;
use crate::playbook::Playbooks;
use crate::playbook::schema::value_of;

/// The schema. The variables are those of the built-in playbooks; others are taken too.
pub fn schema() -> Value {
    let playbooks = Playbooks::builtin(&mut Diagnostics::new());
    let variables: Map<String, Value> =
        playbooks.variables.values().map(|variable| (variable.name.clone(), value_of(variable))).collect();
    let mut schema = table(&INVENTORY);
    if let Some(root) = schema.as_object_mut() {
        root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        root.insert("title".into(), "bedplate.toml: the inventory of bedplate".into());
        root.insert("$defs".into(), json!({ "variables": { "type": "object", "properties": variables } }));
    }
    schema
}
