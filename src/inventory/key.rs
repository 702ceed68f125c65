//! The keys of `bedplate.toml`, each with what it takes and what it is for: the reader, the schema and the reference all
//! read this table.

use serde_json::{Value, json};

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A text that is not empty.
    Text,
    /// A number from 1 to 65535.
    Port,
    /// `true` or `false`.
    Boolean,
    /// A text or a list of texts.
    Texts,
    /// A table of variables.
    Variables,
    /// A table with the keys of [`DEFAULTS`].
    Defaults,
    /// Tables with the keys of [`GROUP`], by name.
    Groups,
    /// Tables with the keys of [`HOST`], by name.
    Hosts,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
}

const fn key(name: &'static str, takes: Takes, doc: &'static str) -> Key {
    Key { name, takes, doc }
}

const USER: Key =
    key("user", Takes::Text, "Login name. Without it ~/.ssh/config decides, else it is your own name here.");
const PORT: Key = key("port", Takes::Port, "Port of sshd. Without it ~/.ssh/config decides, else it is 22.");
const PRIVATE_KEY: Key = key(
    "key",
    Takes::Texts,
    "Private keys to log in with, before those of ssh-agent and ~/.ssh/config; `~/` is your home.",
);
const JUMP: Key = key(
    "jump",
    Takes::Text,
    "Host to go through: a name of this file or an address, several with commas between; `none` for none.",
);
const SUDO: Key =
    key("sudo", Takes::Boolean, "Whether changes go through sudo. Without it they do when the login is not root.");
const VARIABLES: &str = "Values of variables: see the list of variables. A table adds to its default key by key.";

/// The keys of the file.
pub const INVENTORY: [Key; 5] = [
    key(
        "playbooks",
        Takes::Texts,
        "What runs, in this order: files of playbooks/, or built-in playbooks where there is no such file; `builtin:20-swap` \
         is the built-in one in any case. Without it all built-in playbooks run, each replaced by the file of its name, \
         and all other files of playbooks/, in the order of their names.",
    ),
    key("defaults", Takes::Defaults, "How hosts are logged in to, unless groups or hosts say otherwise."),
    key("variables", Takes::Variables, VARIABLES),
    key("groups", Takes::Groups, "What several hosts share. Of two groups of a host the one named last wins."),
    key("hosts", Takes::Hosts, "The hosts."),
];

/// The keys of `[defaults]`.
pub const DEFAULTS: [Key; 5] = [USER, PORT, PRIVATE_KEY, JUMP, SUDO];

/// The keys of `[groups.NAME]`.
pub const GROUP: [Key; 7] = [
    USER,
    PORT,
    PRIVATE_KEY,
    JUMP,
    SUDO,
    key("variables", Takes::Variables, VARIABLES),
    key("playbooks", Takes::Texts, "The only playbooks that its hosts get, out of those of the run."),
];

/// The keys of `[hosts.NAME]`.
pub const HOST: [Key; 10] = [
    key(
        "address",
        Takes::Text,
        "Name or number to connect to, also as `user@host:port` or `[v6]:port`. Without it the host's name is its address.",
    ),
    USER,
    PORT,
    PRIVATE_KEY,
    key("groups", Takes::Texts, "The groups that it is in."),
    JUMP,
    key(
        "fingerprint",
        Takes::Text,
        "The fingerprint that its host key must have: `SHA256:…`. Without it known_hosts decides, and an unknown key is asked about.",
    ),
    SUDO,
    key("variables", Takes::Variables, VARIABLES),
    key("playbooks", Takes::Texts, "The only playbooks that it gets, out of those of the run."),
];

/// The names of `keys`.
pub fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

impl Takes {
    /// In words, for the reference.
    pub fn words(self) -> &'static str {
        match self {
            Takes::Text => "string",
            Takes::Port => "number from 1 to 65535",
            Takes::Boolean => "boolean",
            Takes::Texts => "string or list of strings",
            Takes::Variables | Takes::Defaults => "table",
            Takes::Groups | Takes::Hosts => "tables by name",
        }
    }

    /// As JSON schema.
    fn schema(self) -> Value {
        let text = json!({ "type": "string", "minLength": 1 });
        match self {
            Takes::Text => text,
            Takes::Port => json!({ "type": "integer", "minimum": 1, "maximum": 65535 }),
            Takes::Boolean => json!({ "type": "boolean" }),
            Takes::Texts => {
                json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
            }
            Takes::Variables => json!({ "$ref": "#/$defs/variables" }),
            Takes::Defaults => table(&DEFAULTS),
            Takes::Groups => json!({ "type": "object", "additionalProperties": table(&GROUP) }),
            Takes::Hosts => json!({ "type": "object", "additionalProperties": table(&HOST) }),
        }
    }
}

/// The schema of a table with these keys and no others.
pub(super) fn table(keys: &[Key]) -> Value {
    let properties = keys.iter().map(|key| {
        let mut schema = key.takes.schema();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".into(), key.doc.into());
        }
        (key.name.to_owned(), schema)
    });
    json!({ "type": "object", "additionalProperties": false, "properties": serde_json::Map::from_iter(properties) })
}
