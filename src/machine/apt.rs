//! apt's settings as they come out of all its files together, which later files may change or add to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Package, Question, Slot, file};
use crate::shell::{Call, Library};

pub(super) static APT: Library = Library { name: "apt-facts.sh", text: include_str!("apt.sh"), needs: &[] };

/// What is this setting of apt, below `APT::Periodic` or `Unattended-Upgrade`?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AptSetting(pub String);

impl Fact for AptSetting {
    /// Its values: none if nobody set it, one, or the members of a list in order.
    type Answer = Vec<String>;
    const COST: u32 = 4;

    fn call(_: &[&Self]) -> Call {
        Call::new(&APT, "apt_settings")
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<Vec<String>>, BadAnswer> {
        let mut settings: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let text = fields.text()?;
        if text.is_empty() {
            return Err(BadAnswer("apt can not read its own settings (`apt-config dump` fails)".into()));
        }
        for line in text.lines() {
            let Some((key, value)) = line.strip_suffix("\";").and_then(|line| line.split_once(" \"")) else { continue };
            if !value.is_empty() {
                settings.entry(key.strip_suffix("::").unwrap_or(key)).or_default().push(value.to_owned());
            }
        }
        Ok(questions.iter().map(|question| settings.get(question.0.as_str()).cloned().unwrap_or_default()).collect())
    }

    fn derives_from(&self, other: &Question) -> bool {
        file::is_below(other, "/etc/apt/apt.conf.d")
            || file::is_about(other, "/etc/apt/apt.conf")
            || matches!(other, Question::Package(Package(name)) if name.as_str() == "unattended-upgrades")
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<Vec<String>> {
        use proptest::prelude::*;
        let value = proptest::sample::select(vec!["0", "1", "7", "true", "false", "origin=Debian"]);
        proptest::collection::vec(value.prop_map(str::to_owned), 0..3).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_scalars_and_lists() {
        let keys = ["APT::Periodic::Enable", "Unattended-Upgrade::Origins-Pattern", "Unattended-Upgrade::Mail"];
        let questions = keys.map(|key| AptSetting(key.to_owned()));
        let body = b"APT::Periodic \"\";\nAPT::Periodic::Enable \"1\";\nUnattended-Upgrade \"\";\n\
            Unattended-Upgrade::Origins-Pattern \"\";\nUnattended-Upgrade::Origins-Pattern:: \"a=${x} b\";\n\
            Unattended-Upgrade::Origins-Pattern:: \"c\";\0";
        let answers = AptSetting::parse(&questions.iter().collect::<Vec<_>>(), &mut Fields::new(body)).unwrap();
        assert_eq!(answers, [vec!["1".to_owned()], vec!["a=${x} b".to_owned(), "c".to_owned()], vec![]]);
        assert!(AptSetting::parse(&[&questions[0]], &mut Fields::new(b"\0")).is_err());
    }
}
