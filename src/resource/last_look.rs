//! A last look at the whole host.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Plan, Resource};
use crate::base::event::Finding;
use crate::machine::{Blocked, Health, Machine, Question, System};

/// Looks at what no single task sees, and reports it: units that failed, packages that are only half installed, a
/// reboot that an update waits for. It changes nothing.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastLook {
    /// Units that may be in a failed state without a word.
    #[serde(default)]
    pub ignore_units: Vec<String>,
}

impl Resource for LastLook {
    const NAME: &'static str = "last_look";
    const EXAMPLE: &'static str = "ignore_units = [\"motd-news.service\"]\n";

    fn facts(&self) -> Vec<Question> {
        vec![Health::Here.into(), System::Here.into()]
    }

    fn asserts(&self) -> Vec<Question> {
        Vec::new()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let health = machine.get(&Health::Here)?;
        let mut findings = Vec::new();
        let mut find = |id: &str, what: String, help: String| {
            findings.push(Finding { id: id.into(), what, help: Some(help) });
        };
        for unit in health.failed_units.reading().iter().filter(|unit| !self.ignore_units.contains(unit)) {
            let help = format!("look at `journalctl -u {unit}`, then `systemctl reset-failed {unit}`");
            find("failed-unit", format!("{unit} has failed"), help);
        }
        for package in health.half_installed.reading() {
            let help = "run `dpkg --configure -a`, then `apt-get -f install` on the host".to_owned();
            find("half-installed-package", format!("package {package} is only half installed"), help);
        }
        if machine.get(&System::Here)?.reboot_required {
            find("reboot-required", "an update waits for a reboot".into(), "reboot the host when it suits".into());
        }
        let why = if findings.is_empty() { "nothing is wrong" } else { "looked; what is wrong is in the findings" };
        Ok(Plan::in_sync(why).with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Just(LastLook { ignore_units: vec!["one.service".into()] }).boxed()
    }
}
