//! A file with a given content, a directory, a link, or nothing.

use schemars::JsonSchema;
use serde::Deserialize;

pub use super::field::{Mode, Presence};
use super::{Change, Plan, Problems, Resource};
use crate::action::file::{Content, Found};
use crate::action::{Action, RemovePath, SetAttributes, WriteFile};
use crate::base::name::AbsPath;
use crate::base::{Diff, Secret};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{self, Blocked, Machine, Question};

/// A file with a given content, mode and owner; or its absence.
///
/// Files are written beside their target and renamed over it, so that nobody ever reads half of one. What is not a
/// plain file (a directory, a link, a device) is never replaced.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where it is.
    pub path: AbsPath,
    /// The whole content. Leave it out together with `state = "absent"`.
    #[serde(default)]
    pub content: Option<String>,
    /// Permissions in octal.
    #[serde(default)]
    pub mode: Mode,
    /// Owner: a name or a number.
    #[serde(default = "root")]
    pub owner: String,
    /// Group: a name or a number.
    #[serde(default = "root")]
    pub group: String,
    /// Whether the content must not be shown in plans, logs and reports.
    #[serde(default)]
    pub secret: bool,
    /// Whether it should be there.
    #[serde(default)]
    pub state: Presence,
}

fn root() -> String {
    "root".into()
}

impl File {
    fn question(&self) -> machine::File {
        machine::File { path: self.path.clone(), secret: self.secret }
    }

    fn wanted_owner(&self) -> Owner {
        Owner::named(&self.owner, &self.group)
    }

    fn diff(&self, before: &FileState, after: Option<&str>) -> Diff {
        let path = self.path.to_string();
        // Text that is too large or not UTF-8 is shown as digests, as secrets are.
        let readable = before.is_absent() || before.content().is_some();
        if self.secret || !readable {
            let after = after.map(crate::base::Digest::of);
            return Diff::Opaque { what: path, before: before.digest().cloned(), after };
        }
        Diff::Text { path, before: before.content().map(str::to_owned), after: after.map(str::to_owned) }
    }

    fn plan_absent(&self, state: &FileState) -> Result<Plan, Blocked> {
        match state {
            FileState::Absent => Ok(Plan::in_sync("there is none")),
            FileState::Present { kind: Kind::File { .. } | Kind::Link { .. }, .. } => {
                let action = RemovePath { path: self.path.clone(), found: Found::of(state) };
                Ok(Plan::changes(vec![Change::by(action).diff(self.diff(state, None))], ""))
            }
            FileState::Present { .. } => Err(self.wrong_kind()),
        }
    }

    fn wrong_kind(&self) -> Blocked {
        Blocked::refused(
            format!("{} is not a plain file, so it is left alone", self.path),
            "move it away yourself if nothing needs it, then run again",
        )
    }
}

impl Resource for File {
    const NAME: &'static str = "file";
    const EXAMPLE: &'static str = "path = \"/etc/motd\"\ncontent = \"Managed by bedplate.\\n\"\nmode = \"0644\"\n";

    fn check(&self, problems: &mut Problems) {
        match (self.state, &self.content) {
            (Presence::Present, None) => {
                problems.push("", "a file needs `content`", Some("add `content`, or `state = \"absent\"`"));
            }
            (Presence::Absent, Some(_)) => {
                problems.push("content", "a file that is absent has no `content`", Some("leave one of the two out"));
            }
            _ => {}
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![self.question().into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&self.question())?;
        let Some(text) = self.content.as_ref().filter(|_| self.state == Presence::Present) else {
            return self.plan_absent(state);
        };
        let content = if self.secret { Content::Secret(Secret::new(text)) } else { Content::Text(text.clone()) };
        let (mode, owner) = (self.mode.0, self.wanted_owner());
        let write =
            |found| WriteFile { path: self.path.clone(), content: content.clone(), mode, owner: owner.clone(), found };
        match state {
            FileState::Absent => {
                Ok(Plan::changes(vec![Change::by(write(Found::Absent)).diff(self.diff(state, Some(text)))], ""))
            }
            FileState::Present { kind: Kind::File { digest: Some(digest), .. }, mode: is_mode, owner: is_owner } => {
                if *digest != content.digest() {
                    let change = Change::by(write(Found::of(state))).diff(self.diff(state, Some(text)));
                    return Ok(Plan::changes(vec![change], ""));
                }
                if (*is_mode, is_owner) == (mode, &owner) {
                    return Ok(Plan::in_sync(format!("content, mode {mode:04o} and owner {owner} are right")));
                }
                let action = SetAttributes { path: self.path.clone(), directory: false, mode, owner: owner.clone() };
                let diff =
                    Diff::value(self.path.as_str(), format!("{is_owner} {is_mode:04o}"), format!("{owner} {mode:04o}"));
                Ok(Plan::changes(vec![Change::by(Action::from(action)).diff(diff)], ""))
            }
            FileState::Present { .. } => Err(self.wrong_kind()),
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let content = prop_oneof![Just(None), "[a-z =\n]{0,60}".prop_map(Some)];
        let mode = proptest::sample::select(vec![0o600, 0o644, 0o440]);
        let owner = proptest::sample::select(vec!["root", "1000", "deploy"]);
        (content, mode, owner, any::<bool>())
            .prop_map(|(content, mode, owner, secret)| File {
                path: AbsPath::new("/etc/example/file").unwrap(),
                state: if content.is_some() { Presence::Present } else { Presence::Absent },
                content,
                mode: Mode(mode),
                owner: owner.into(),
                group: "root".into(),
                secret,
            })
            .boxed()
    }
}
