//! Settings of sshd as a playbook gives them, and what is wrong with them before any host is asked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Problems;
use super::sshd_algorithms::KAMAL;
use crate::machine::sshd_keyword;

/// A value as it stands in a playbook: text, a number, `true`, or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting(pub String);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Setting;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, a number, true, false or a list of texts")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Setting, E> {
                Ok(Setting(if value { "yes" } else { "no" }.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Setting, E> {
                Ok(Setting(value.to_owned()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Setting, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Setting(names.join(",")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Setting".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer", "boolean", "array"] })
    }
}

/// Keywords that have a field of their own.
const FIELDS: [(&str, &str); 5] = [
    ("Port", "port"),
    ("PermitRootLogin", "root_login"),
    ("PasswordAuthentication", "passwords"),
    ("KbdInteractiveAuthentication", "passwords"),
    ("PubkeyAuthentication", "users"),
];

pub(super) fn check(kamal: bool, name: &str, value: &Setting, problems: &mut Problems) {
    let field = format!("settings.{name}");
    if let Some((_, own)) = FIELDS.iter().find(|(keyword, _)| keyword.eq_ignore_ascii_case(name)) {
        problems.push(&field, format!("{name} is decided by the field `{own}`"), Some("set that field instead"));
        return;
    }
    let Some(keyword) = sshd_keyword::find(name) else {
        let near = sshd_keyword::names()
            .map(|known| (strsim::jaro_winkler(&known.to_ascii_lowercase(), &name.to_ascii_lowercase()), known))
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .filter(|(likeness, _)| *likeness > 0.85);
        let help = near.map(|(_, known)| format!("did you mean `{known}`?"));
        problems.push(
            &field,
            format!("`{name}` is not a setting that bedplate can prove"),
            Some(help.as_deref().unwrap_or("write it with a `file` task below /etc/ssh/sshd_config.d")),
        );
        return;
    };
    let value = match keyword.canonical(&value.0) {
        Ok(value) => value,
        Err(legal) => {
            problems.push(&field, format!("`{}` is no value of {name}", value.0), Some(&format!("write {legal}")));
            return;
        }
    };
    let number = value.parse::<u32>().ok();
    if keyword.name == "MaxAuthTries" && number.is_some_and(|tries| tries < 4) {
        problems.push(&field, "an agent with several keys would be locked out", Some("allow at least 4 tries"));
    }
    if keyword.name == "LoginGraceTime" && number.is_some_and(|time| (1..20).contains(&time)) {
        problems.push(&field, "a slow link could not log in within that time", Some("allow at least 20 seconds"));
    }
    if keyword.name == "PermitTTY" || !kamal {
        return;
    }
    if matches!((keyword.name, value.as_str()), ("AllowTcpForwarding", "no" | "local") | ("DisableForwarding", "yes")) {
        problems.push(
            &field,
            "Kamal's local registry needs remote forwarding",
            Some("write \"remote\", or `kamal = false` if Kamal never comes here"),
        );
    }
    if let Some((_, has)) = KAMAL.iter().find(|(name, _)| *name == keyword.name)
        && !value.split(',').any(|name| has.contains(&name))
    {
        problems.push(&field, "Kamal has none of these algorithms", Some(&format!("add one of {}", has.join(", "))));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Resource as _;
    use super::super::sshd::Sshd;
    use super::*;

    #[test]
    fn limits_that_kamal_can_not_work_with_are_mistakes() {
        let found = |text: &str| {
            let sshd: Sshd = toml::from_str(text).unwrap();
            let mut problems = Problems::default();
            sshd.check(&mut problems);
            format!("{problems:?}")
        };
        for (settings, says) in [
            ("AllowTcpForwarding = \"no\"", "needs remote forwarding"),
            ("AllowTcpForwarding = \"local\"", "needs remote forwarding"),
            ("DisableForwarding = true", "needs remote forwarding"),
            ("KexAlgorithms = \"curve25519-sha256\"", "Kamal has none of these"),
            ("Ciphers = \"chacha20-poly1305@openssh.com\"", "Kamal has none of these"),
            ("MACs = \"umac-128-etm@openssh.com\"", "Kamal has none of these"),
            ("MaxAuthTries = 2", "locked out"),
        ] {
            let told = found(&format!("settings = {{ {settings} }}\n"));
            assert!(told.contains(says), "{settings}: {told}");
            let told = found(&format!("kamal = false\nsettings = {{ {settings} }}\n"));
            assert!(!told.contains("amal"), "{settings}: {told}");
        }
        let fine = "settings = { AllowTcpForwarding = \"remote\", KexAlgorithms = \"curve25519-sha256,ecdh-sha2-nistp256\" }\n";
        assert!(!found(fine).contains("amal"), "{}", found(fine));
    }
}
