//! Kernel settings, now and at every boot.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::{Change, Plan, Problems, Resource};
use crate::action::file::{Content, Found};
use crate::action::{SetSysctls, WriteFile, WriteSysctls};
use crate::base::event::Finding;
use crate::base::name::{AbsPath, SysctlKey};
use crate::base::{Diff, Digest};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::sysctl::{self, SysctlFilesState};
use crate::machine::{self, Blocked, File, Machine, Question, SysctlFiles, SysctlState};

/// Kernel settings: set now, and written to one file for every boot.
///
/// Both are compared: a value that was changed by hand is drift, and so is a file that was. A file that is read after
/// this one and sets the same key to something else is reported. In a container, settings that are not its own are
/// written for the boot and not set now.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The file, such as `/etc/sysctl.d/60-example.conf`. It is this task's own, as a whole.
    pub file: AbsPath,
    /// Values by key. A value is a text or a whole number.
    pub settings: BTreeMap<SysctlKey, Value>,
    /// Whether a key that this kernel does not have is passed over (it is still written for the boot, when a module may
    /// bring it); otherwise it is refused, as a slip of the finger would be.
    #[serde(default)]
    pub ignore_missing: bool,
}

/// The value of a kernel setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(pub String);

impl JsonSchema for Value {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SysctlValue".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
                Ok(Value(number.to_string()))
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Value, E> {
                Ok(Value(u8::from(on).to_string()))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                if text.trim().is_empty() || text.contains(['\n', '\0']) {
                    return Err(E::custom("the value of a kernel setting is one line, and not empty"));
                }
                Ok(Value(sysctl::plain(text)))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Sysctl {
    fn text(&self) -> String {
        let mut text = "# Written by bedplate, which puts back what is changed here by hand.\n".to_owned();
        for (key, value) in &self.settings {
            text.push_str(&format!("{key} = {}\n", value.0));
        }
        text
    }

    fn plain_settings(&self) -> BTreeMap<SysctlKey, String> {
        self.settings.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
    }

    /// What must be written for the boot.
    fn file_change(&self, state: &FileState) -> Result<Option<Change>, Blocked> {
        let text = self.text();
        let before = match state {
            FileState::Absent => None,
            FileState::Present { kind: Kind::File { digest: Some(digest), content, .. }, mode, owner } => {
                if *digest == Digest::of(&text) && *mode == 0o644 && *owner == Owner::root() {
                    return Ok(None);
                }
                content.clone()
            }
            FileState::Present { .. } => {
                return Err(Blocked::refused(
                    format!("{} is not a plain file, so it is left alone", self.file),
                    "move it away if nothing needs it, or set another `file`",
                ));
            }
        };
        let diff = Diff::Text { path: self.file.to_string(), before, after: Some(text.clone()) };
        let file = WriteFile {
            path: self.file.clone(),
            content: Content::Text(text),
            mode: 0o644,
            owner: Owner::root(),
            found: Found::of(state),
        };
        Ok(Some(Change::by(WriteSysctls { file, settings: self.plain_settings() }).diff(diff)))
    }

    /// Files that will undo this one at the next boot.
    fn overruled(&self, files: &SysctlFilesState) -> Vec<Finding> {
        let mut files = files.clone();
        files.files.insert(self.file.clone(), sysctl::settings(&self.text()));
        let finding = |(key, wanted): (&SysctlKey, &Value)| {
            let (path, value) = files.last_word(key)?;
            (value != wanted.0).then(|| Finding {
                id: "sysctl-overruled".into(),
                what: format!("{path} sets {key} to {value} at boot, after {} has set it to {}", self.file, wanted.0),
                help: Some(format!(
                    "remove the line from {path}, or give this task's `file` a name that sorts after it"
                )),
            })
        };
        self.settings.iter().filter_map(finding).collect()
    }
}

/// What the keys came to.
#[derive(Default)]
struct Live {
    wrong: BTreeMap<SysctlKey, String>,
    before: BTreeMap<SysctlKey, String>,
    missing: Vec<String>,
    fixed: Vec<String>,
}

impl Resource for Sysctl {
    const NAME: &'static str = "sysctl";
    const EXAMPLE: &'static str = "file = \"/etc/sysctl.d/60-example.conf\"\nsettings = { \"vm.swappiness\" = 10, \"net.ipv4.tcp_syncookies\" = 1 }\n";

    fn check(&self, problems: &mut Problems) {
        if self.file.parent().as_str() != "/etc/sysctl.d" || !self.file.as_str().ends_with(".conf") {
            problems.push("file", "nothing reads kernel settings there", Some("use /etc/sysctl.d/60-NAME.conf"));
        }
        if self.settings.is_empty() {
            problems.push("settings", "there are no settings", Some("add one, or leave the task out"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = self.settings.keys().map(|key| machine::Sysctl(key.clone()).into()).collect();
        facts.push(File::at(&self.file).into());
        facts.push(SysctlFiles::Here.into());
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        let live = self.settings.keys().map(|key| machine::Sysctl(key.clone()).into());
        live.chain([File::at(&self.file).into()]).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let mut live = Live::default();
        for (key, wanted) in &self.settings {
            match machine.get(&machine::Sysctl(key.clone()))? {
                SysctlState::Absent => live.missing.push(key.to_string()),
                SysctlState::Present { value, .. } if *value == wanted.0 => {}
                SysctlState::Present { writable: false, value } => live.fixed.push(format!("{key} is {value}")),
                SysctlState::Present { writable: true, value } => {
                    live.before.insert(key.clone(), value.clone());
                    live.wrong.insert(key.clone(), wanted.0.clone());
                }
            }
        }
        if !live.missing.is_empty() && !self.ignore_missing {
            return Err(Blocked::refused(
                format!("this kernel has no {}", live.missing.join(", ")),
                "correct the name, load the module that brings it first, or set `ignore_missing = true`",
            ));
        }
        let file = self.file_change(machine.file(&self.file)?)?;
        let findings = self.overruled(machine.get(&SysctlFiles::Here)?);
        let mut changes = Vec::new();
        for network in [false, true] {
            let is_network = |key: &&SysctlKey| key.as_str().starts_with("net") == network;
            let keys: Vec<&SysctlKey> = live.wrong.keys().filter(is_network).collect();
            if keys.is_empty() {
                continue;
            }
            let settings = keys.iter().map(|key| ((*key).clone(), live.wrong[*key].clone())).collect();
            let line = |values: &BTreeMap<SysctlKey, String>, key: &SysctlKey| format!("{key} = {}", values[key]);
            let diff = Diff::Set {
                what: "kernel settings".into(),
                minus: keys.iter().map(|key| line(&live.before, key)).collect(),
                plus: keys.iter().map(|key| line(&live.wrong, key)).collect(),
            };
            changes.push(Change::by(SetSysctls { settings }).diff(diff));
        }
        changes.extend(file);
        let mut why = "as declared now and for every boot".to_owned();
        if !live.missing.is_empty() {
            why.push_str(&format!("; this kernel has no {}", live.missing.join(", ")));
        }
        let idle = changes.is_empty() && !live.fixed.is_empty();
        if !live.fixed.is_empty() {
            why = format!("written for the boot; not this container's own to set now: {}", live.fixed.join(", "));
        }
        let plan = if idle { Plan::skipped(why) } else { Plan::changes(changes, why) };
        Ok(plan.with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let key = proptest::sample::select(vec!["vm.swappiness", "net.ipv4.tcp_syncookies", "net.ipv4.ip_forward"]);
        let value = proptest::sample::select(vec!["0", "1", "4096 87380 6291456"]);
        let settings = proptest::collection::vec((key, value), 1..4);
        (settings, any::<bool>())
            .prop_map(|(settings, ignore_missing)| Sysctl {
                file: AbsPath::literal("/etc/sysctl.d/60-example.conf"),
                settings: settings
                    .into_iter()
                    .map(|(key, value)| (SysctlKey::new(key).unwrap(), Value(value.to_owned())))
                    .collect(),
                ignore_missing,
            })
            .boxed()
    }
}
