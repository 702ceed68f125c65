//! The wait for the first boot to be over.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::WaitFirstBoot;
use crate::base::event::Finding;
use crate::machine::first_boot::FirstBootState;
use crate::machine::{Blocked, FirstBoot as Here, Machine, Question};

/// The first boot is over: cloud-init, where it is at work, has finished.
///
/// Until then users, keys and packages move under everyone's hands. What it says went wrong is reported, not failed.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstBoot {
    /// Longest wait in seconds.
    #[serde(default = "seconds")]
    pub seconds: u32,
}

fn seconds() -> u32 {
    600
}

impl Resource for FirstBoot {
    const NAME: &'static str = "first_boot";
    const EXAMPLE: &'static str = "seconds = 600\n";

    fn check(&self, problems: &mut Problems) {
        if !(1..=3600).contains(&self.seconds) {
            problems.push("seconds", "a wait is of 1 to 3600 seconds", None);
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![Here::Here.into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        match machine.get(&Here::Here)? {
            FirstBootState::Absent => Ok(Plan::in_sync("there is no cloud-init at work here")),
            FirstBootState::Running => Ok(Plan::changes(vec![Change::by(WaitFirstBoot { seconds: self.seconds })], "")),
            FirstBootState::Done { errors } => {
                let finding = |error: &String| Finding {
                    id: "cloud-init-error".into(),
                    what: format!("cloud-init says of this boot: {error}"),
                    help: Some("look at /var/log/cloud-init-output.log".into()),
                };
                Ok(Plan::in_sync("cloud-init has finished").with_findings(errors.iter().map(finding).collect()))
            }
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        (1u32..3600).prop_map(|seconds| FirstBoot { seconds }).boxed()
    }
}
