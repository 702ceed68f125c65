//! What sudo allows, in a file of its own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Presence;
use super::{Change, Plan, Problems, Resource};
use crate::action::file::Found;
use crate::action::{RemovePath, WriteSudoers};
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{self, Blocked, Machine, Question};

/// A file in `/etc/sudoers.d`. `visudo` must understand it before it is put in place, as a mistake in it would shut
/// everyone out of sudo.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sudoers {
    /// Name of the file: letters, digits, `-` and `_`, as sudo passes over names with a dot.
    pub name: String,
    /// The whole file, such as `ann ALL=(ALL:ALL) ALL`. Leave it out together with `state = "absent"`.
    #[serde(default)]
    pub content: Option<String>,
    /// Whether it should be there.
    #[serde(default)]
    pub state: Presence,
}

const FOLDER: &str = "/etc/sudoers.d";
const MAIN: &str = "/etc/sudoers";

impl Sudoers {
    fn path(&self) -> Result<AbsPath, Blocked> {
        path(&format!("{FOLDER}/{}", self.name))
    }
}

fn path(text: &str) -> Result<AbsPath, Blocked> {
    AbsPath::new(text).map_err(|bad| Blocked::refused(bad.to_string(), "choose another name"))
}

/// A file that others may write makes everyone root who can.
fn writable(path: &AbsPath, state: &FileState) -> Option<Finding> {
    let FileState::Present { mode, owner, .. } = state else { return None };
    (mode & 0o022 != 0 || *owner != Owner::root()).then(|| Finding {
        id: "writable-sudoers".into(),
        what: format!("{path} belongs to {owner} with mode {mode:04o}: others than root may write what sudo allows"),
        help: Some(format!("look at what is in it, then `chown root:root {path}` and `chmod 0440 {path}`")),
    })
}

impl Resource for Sudoers {
    const NAME: &'static str = "sudoers";
    const EXAMPLE: &'static str = "name = \"ann\"\ncontent = \"ann ALL=(ALL:ALL) NOPASSWD: ALL\\n\"\n";

    fn check(&self, problems: &mut Problems) {
        let legal = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if self.name.is_empty() || !self.name.chars().all(legal) {
            problems.push("name", "sudo would pass over a file of this name", Some("use letters, digits, `-` and `_`"));
        }
        match (self.state, &self.content) {
            (Presence::Present, None) => {
                problems.push("", "a sudoers file needs `content`", Some("add `content`, or `state = \"absent\"`"));
            }
            (Presence::Absent, Some(_)) => {
                problems.push("content", "a file that is absent has no `content`", Some("leave one of the two out"));
            }
            (Presence::Present, Some(content)) if !content.ends_with('\n') => {
                problems.push(
                    "content",
                    "the last line has no end, so older sudo would not read it",
                    Some("end it with \\n"),
                );
            }
            _ => {}
        }
    }

    fn facts(&self) -> Vec<Question> {
        let paths = [self.path(), path(FOLDER)].into_iter().filter_map(Result::ok);
        let main = path(MAIN).ok().map(|main| machine::File::secret(&main).into());
        paths.map(|path| machine::File::at(&path).into()).chain(main).collect()
    }

    fn asserts(&self) -> Vec<Question> {
        self.path().map(|path| machine::File::at(&path).into()).into_iter().collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let own = self.path()?;
        let state = machine.get(&machine::File::at(&own))?;
        let main = path(MAIN)?;
        // A package that is still to come brings it: then it is judged by the next look.
        let judged = machine.known(&machine::File::secret(&main)).and_then(|state| writable(&main, state));
        let findings = judged.into_iter().collect();
        let diff = |after: Option<&String>| Diff::Text {
            path: own.to_string(),
            before: state.content().map(str::to_owned),
            after: after.cloned(),
        };
        if !state.is_absent() && !matches!(state, FileState::Present { kind: Kind::File { .. }, .. }) {
            return Err(Blocked::refused(
                format!("{own} is not a plain file, so it is left alone"),
                "move it away yourself if nothing needs it, then run again",
            ));
        }
        let found = Found::of(state);
        let folder = machine.get(&machine::File::at(&path(FOLDER)?))?.is_directory();
        let Some(text) = self.content.as_ref().filter(|_| self.state == Presence::Present) else {
            if state.is_absent() || !folder {
                return Ok(Plan::in_sync("there is none").with_findings(findings));
            }
            let change = Change::by(RemovePath { path: own.clone(), found }).diff(diff(None));
            return Ok(Plan::changes(vec![change], "").with_findings(findings));
        };
        if !folder {
            return Err(Blocked::refused(
                format!("there is no directory {FOLDER}"),
                "install sudo in an earlier task (`[task.packages]` with `install = [\"sudo\"]`)",
            ));
        }
        let same = state.digest() == Some(&crate::base::Digest::of(text));
        if let FileState::Present { mode: 0o440, owner, .. } = state
            && same
            && *owner == Owner::root()
        {
            return Ok(Plan::in_sync("it is as declared").with_findings(findings));
        }
        let change = Change::by(WriteSudoers { path: own.clone(), text: text.clone(), found });
        let change = match state {
            FileState::Present { mode, owner, .. } if same => {
                change.diff(Diff::value(own.as_str(), format!("{owner} {mode:04o}"), "root:root 0440"))
            }
            _ => change.diff(diff(Some(text))),
        };
        Ok(Plan::changes(vec![change], "").with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let content = prop_oneof![Just(None), Just(Some("ann ALL=(ALL) ALL\n".to_owned()))];
        content
            .prop_map(|content| Sudoers {
                name: "ann".into(),
                state: if content.is_some() { Presence::Present } else { Presence::Absent },
                content,
            })
            .boxed()
    }
}
