//! Whether cloud-init is still at work on this boot.

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot};
use crate::shell::{Call, Library};

static FIRST_BOOT: Library = Library { name: "first_boot.sh", text: include_str!("first_boot.sh"), needs: &[] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstBoot {
    /// This host.
    Here,
}

/// What cloud-init does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstBootState {
    /// Nothing: it is not installed, or switched off.
    Absent,
    /// It works.
    Running,
    /// It has finished.
    Done {
        /// What went wrong, in its own words.
        errors: Vec<String>,
    },
}

impl Fact for FirstBoot {
    type Answer = FirstBootState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&FIRST_BOOT, "first_boot_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<FirstBootState>, BadAnswer> {
        let (word, text) = (fields.text()?, fields.text()?);
        let state = match word {
            "absent" => FirstBootState::Absent,
            "running" => FirstBootState::Running,
            _ => FirstBootState::Done { errors: errors(text) },
        };
        Ok(vec![state])
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<FirstBootState> {
        use proptest::prelude::*;
        let errors = prop_oneof![Just(vec![]), Just(vec!["('package_update_upgrade_install', …)".to_owned()])];
        prop_oneof![
            Just(FirstBootState::Absent),
            Just(FirstBootState::Running),
            errors.prop_map(|errors| FirstBootState::Done { errors }),
        ]
        .boxed()
    }
}

/// The errors of `result.json` (`{"v1": {"errors": […]}}`); one that says so where it can not be read.
fn errors(text: &str) -> Vec<String> {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
        return vec!["its result can not be read".into()];
    };
    let list = json["v1"]["errors"].as_array().cloned().unwrap_or_default();
    list.iter().map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cloud_init_leaves() {
        let read = |body: &[u8]| FirstBoot::parse(&[&FirstBoot::Here], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!(read(b"absent\0\0"), FirstBootState::Absent);
        assert_eq!(read(b"running\0\0"), FirstBootState::Running);
        let fine = br#"{"v1": {"datasource": "DataSourceHetzner", "errors": []}}"#;
        assert_eq!(read(&[b"done\0", &fine[..], b"\0"].concat()), FirstBootState::Done { errors: vec![] });
        let bad = br#"{"v1": {"datasource": null, "errors": ["('scripts_user', RuntimeError())"]}}"#;
        let errors = vec!["('scripts_user', RuntimeError())".to_owned()];
        assert_eq!(read(&[b"done\0", &bad[..], b"\0"].concat()), FirstBootState::Done { errors });
        assert!(matches!(read(b"done\0{\0"), FirstBootState::Done { errors } if errors.len() == 1));
    }
}
