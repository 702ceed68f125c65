//! Whether a command of the playbook's author succeeds: the `unless` of a `command`.

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot};
use crate::shell::{Call, Library};

static TRIAL: Library = Library { name: "trial.sh", text: include_str!("trial.sh"), needs: &[] };

/// Does this command succeed? It must only look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trial(pub String);

impl Fact for Trial {
    type Answer = bool;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&TRIAL, "trial_probe").args(questions.iter().map(|trial| trial.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<bool>, BadAnswer> {
        questions.iter().map(|_| fields.flag()).collect()
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<bool> {
        use proptest::prelude::*;
        any::<bool>().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_a_real_shell() {
        let (yes, no) = (Trial("test 1 = 1".into()), Trial("exit 3".into()));
        let machine = crate::machine::testing::probe(vec![yes.clone().into(), no.clone().into()]);
        assert_eq!((machine.known(&yes), machine.known(&no)), (Some(&true), Some(&false)));
    }
}
