//! A group that must exist, or must not.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Presence;
use super::{Change, Plan, Problems, Resource};
use crate::action::{AddGroup, RemoveGroup};
use crate::base::name::GroupName;
use crate::machine::account::Number;
use crate::machine::{self, Blocked, GroupState, Machine, Question};

/// A group. Who is in it is said where the user is declared.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Its number. Left out, the host chooses; a group that exists with another number is refused, as its files would
    /// be lost to it.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Whether a new group gets one of the numbers for services.
    #[serde(default)]
    pub system: bool,
    /// Whether it should be there.
    #[serde(default)]
    pub state: Presence,
}

impl Resource for Group {
    const NAME: &'static str = "group";
    const EXAMPLE: &'static str = "name = \"docker\"\nsystem = true\n";

    fn check(&self, problems: &mut Problems) {
        if self.state == Presence::Absent && self.gid.is_some() {
            problems.push("gid", "a group that is absent has no number", Some("leave `gid` out"));
        }
        if self.state == Presence::Absent && self.name.as_str() == "root" {
            problems.push("name", "the group root can not be removed", Some("leave the task out"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![machine::Group(self.name.clone()).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&machine::Group(self.name.clone()))?;
        match (self.state, state) {
            (Presence::Present, GroupState::Absent) => {
                let action = AddGroup { group: self.name.clone(), gid: self.gid, system: self.system };
                Ok(Plan::changes(vec![Change::by(action)], ""))
            }
            (Presence::Present, GroupState::Present(number)) => match (self.gid, number) {
                (Some(wanted), Number(Some(found))) if wanted != *found => Err(Blocked::refused(
                    format!("group {} has the number {found}, not {wanted}", self.name),
                    "changing it would leave its files to nobody: set `gid` to what it is, or leave it out",
                )),
                (_, Number(Some(found))) => Ok(Plan::in_sync(format!("there is one, number {found}"))),
                (_, Number(None)) => Ok(Plan::in_sync("there is one")),
            },
            (Presence::Absent, GroupState::Absent) => Ok(Plan::in_sync("there is none")),
            (Presence::Absent, GroupState::Present(_)) => {
                Ok(Plan::changes(vec![Change::by(RemoveGroup { group: self.name.clone() })], ""))
            }
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let gid = proptest::sample::select(vec![None, Some(999), Some(5000)]);
        let state = proptest::sample::select(vec![Presence::Present, Presence::Absent]);
        (gid, any::<bool>(), state)
            .prop_map(|(gid, system, state)| Group { name: GroupName::new("docker").unwrap(), gid, system, state })
            .boxed()
    }
}
