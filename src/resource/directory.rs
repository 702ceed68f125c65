//! A directory that must be there, or must not.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::{Mode, Presence};
use super::{Change, Plan, Resource};
use crate::action::file::Found;
use crate::action::{MakeDirectory, RemovePath, SetAttributes};
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{self, Blocked, Machine, Question};

/// A directory with mode and owner; or its absence. What is in it is left alone: one that is not empty is not removed.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where it is. What is missing above it is made too, for all to read.
    pub path: AbsPath,
    /// Permissions in octal.
    #[serde(default = "mode")]
    pub mode: Mode,
    /// Owner: a name or a number.
    #[serde(default = "root")]
    pub owner: String,
    /// Group: a name or a number.
    #[serde(default = "root")]
    pub group: String,
    /// Whether it should be there.
    #[serde(default)]
    pub state: Presence,
}

fn mode() -> Mode {
    Mode(0o755)
}

fn root() -> String {
    "root".into()
}

impl Resource for Directory {
    const NAME: &'static str = "directory";
    const EXAMPLE: &'static str = "path = \"/srv/app\"\nmode = \"0750\"\nowner = \"deploy\"\ngroup = \"deploy\"\n";

    fn facts(&self) -> Vec<Question> {
        vec![machine::File::at(&self.path).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&machine::File::at(&self.path))?;
        let (path, mode, owner) = (self.path.clone(), self.mode.0, Owner::named(&self.owner, &self.group));
        match (self.state, state) {
            (Presence::Absent, FileState::Absent) => Ok(Plan::in_sync("there is none")),
            (Presence::Absent, FileState::Present { kind: Kind::Directory, .. }) => {
                let change = Change::by(RemovePath { path, found: Found::Directory });
                Ok(Plan::changes(vec![change], ""))
            }
            (Presence::Present, FileState::Absent) => {
                Ok(Plan::changes(vec![Change::by(MakeDirectory { path, mode, owner })], ""))
            }
            (Presence::Present, FileState::Present { kind: Kind::Directory, mode: found, owner: owned }) => {
                if (*found, owned) == (mode, &owner) {
                    return Ok(Plan::in_sync(format!("mode {mode:04o} and owner {owner} are right")));
                }
                let diff = Diff::value(path.as_str(), format!("{owned} {found:04o}"), format!("{owner} {mode:04o}"));
                let change = Change::by(SetAttributes { path, directory: true, mode, owner }).diff(diff);
                Ok(Plan::changes(vec![change], ""))
            }
            (_, FileState::Present { .. }) => Err(Blocked::refused(
                format!("{path} is not a directory, so it is left alone"),
                "move it away yourself if nothing needs it, then run again",
            )),
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let mode = proptest::sample::select(vec![0o755, 0o700]);
        let owner = proptest::sample::select(vec!["root", "1000", "deploy"]);
        let state = proptest::sample::select(vec![Presence::Present, Presence::Absent]);
        (mode, owner, state)
            .prop_map(|(mode, owner, state)| Directory {
                path: AbsPath::new("/srv/example").unwrap(),
                mode: Mode(mode),
                owner: owner.into(),
                group: "root".into(),
                state,
            })
            .boxed()
    }
}
