//! A symbolic link that must be there, or must not.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Presence;
use super::{Change, Plan, Problems, Resource};
use crate::action::file::Found;
use crate::action::{MakeLink, RemovePath};
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Kind};
use crate::machine::{self, Blocked, Machine, Question};

/// A symbolic link; or its absence. A file or directory in its place is never replaced.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where it is.
    pub path: AbsPath,
    /// Where it points, as it is written in the link. Leave it out together with `state = "absent"`.
    #[serde(default)]
    pub target: Option<String>,
    /// Whether it should be there.
    #[serde(default)]
    pub state: Presence,
}

impl Resource for Link {
    const NAME: &'static str = "link";
    const EXAMPLE: &'static str = "path = \"/usr/local/bin/app\"\ntarget = \"/srv/app/bin/app\"\n";

    fn check(&self, problems: &mut Problems) {
        match (self.state, &self.target) {
            (Presence::Present, None) => {
                problems.push("", "a link needs a `target`", Some("add `target`, or `state = \"absent\"`"));
            }
            (Presence::Absent, Some(_)) => {
                problems.push("target", "a link that is absent has no `target`", Some("leave one of the two out"));
            }
            (_, Some(target)) if target.is_empty() || target.contains(['\0', '\n']) => {
                problems.push("target", "a link can not point there", Some("write a path"));
            }
            _ => {}
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![machine::File::at(&self.path).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&machine::File::at(&self.path))?;
        let found = match state {
            FileState::Absent => None,
            FileState::Present { kind: Kind::Link { target }, .. } => Some(target),
            FileState::Present { .. } => {
                return Err(Blocked::refused(
                    format!("{} is not a link, so it is left alone", self.path),
                    "move it away yourself if nothing needs it, then run again",
                ));
            }
        };
        let wanted = self.target.as_ref().filter(|_| self.state == Presence::Present);
        let path = self.path.clone();
        let diff = Diff::Value { what: path.to_string(), before: found.cloned(), after: wanted.cloned() };
        match (wanted, found) {
            (None, None) => Ok(Plan::in_sync("there is none")),
            (Some(wanted), Some(found)) if wanted == found => Ok(Plan::in_sync(format!("it points to {found}"))),
            (None, Some(_)) => {
                Ok(Plan::changes(vec![Change::by(RemovePath { path, found: Found::Link }).diff(diff)], ""))
            }
            (Some(target), _) => {
                let action = MakeLink { path, target: target.clone(), found: Found::of(state) };
                Ok(Plan::changes(vec![Change::by(action).diff(diff)], ""))
            }
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let target = proptest::sample::select(vec![None, Some("/somewhere"), Some("/elsewhere")]);
        target
            .prop_map(|target| Link {
                path: AbsPath::new("/usr/local/bin/example").unwrap(),
                state: if target.is_some() { Presence::Present } else { Presence::Absent },
                target: target.map(str::to_owned),
            })
            .boxed()
    }
}
