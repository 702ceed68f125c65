//! Files, directories and links.

use serde::{Deserialize, Serialize};

use super::{ACTION, Access, Act, Action, Undo, reach};
use crate::base::name::AbsPath;
use crate::base::{Digest, Secret};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{File, Machine};
use crate::shell::{Arg, Call};

/// What a file will hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text that may be shown.
    Text(String),
    /// Text that may not.
    Secret(Secret),
}

impl Content {
    /// Its digest.
    pub fn digest(&self) -> Digest {
        Digest::of(self.reveal())
    }

    /// The text itself: only to send it.
    pub(super) fn reveal(&self) -> &str {
        match self {
            Content::Text(text) => text,
            Content::Secret(secret) => secret.reveal(),
        }
    }

    pub(super) fn arg(&self) -> Arg {
        match self {
            Content::Text(text) => Arg::Text(text.clone()),
            Content::Secret(secret) => Arg::Secret(secret.clone()),
        }
    }
}

/// A secret is written as its digest, and does not read back.
impl Serialize for Content {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Content::Text(text) => Saved::Text(text.clone()).serialize(serializer),
            Content::Secret(_) => Saved::SecretDigest(self.digest()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Saved::deserialize(deserializer)? {
            Saved::Text(text) => Ok(Content::Text(text)),
            Saved::SecretDigest(_) => Err(serde::de::Error::custom(
                "the plan holds a secret value, which is not saved; plan and apply in one run",
            )),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Saved {
    Text(String),
    SecretDigest(Digest),
}

/// What an action found at its path when it was planned: the word that `action_state` of `action.sh` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing.
    Absent,
    /// A file of this digest.
    Digest(Digest),
    /// A directory.
    Directory,
    /// A link.
    Link,
    /// A device, a socket, a file that can not be read.
    Other,
}

impl Found {
    /// What `state` is, in one word.
    pub fn of(state: &FileState) -> Self {
        match state {
            FileState::Absent => Found::Absent,
            FileState::Present { kind: Kind::File { digest: Some(digest), .. }, .. } => Found::Digest(digest.clone()),
            FileState::Present { kind: Kind::Directory, .. } => Found::Directory,
            FileState::Present { kind: Kind::Link { .. }, .. } => Found::Link,
            FileState::Present { .. } => Found::Other,
        }
    }

    /// The word that `action_state` prints.
    pub(super) fn word(&self) -> &str {
        match self {
            Found::Absent => "absent",
            Found::Digest(digest) => digest.as_str(),
            Found::Directory => "directory",
            Found::Link => "link",
            Found::Other => "other",
        }
    }
}

/// Writes a whole file, beside its target and renamed over it. Missing folders above it are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteFile {
    /// Where.
    pub path: AbsPath,
    /// What.
    pub content: Content,
    /// `0o644`.
    pub mode: u32,
    /// Whose.
    pub owner: Owner,
    /// What was there.
    pub found: Found,
}

/// The state of a path's folders after something was put at the path.
fn parents_exist(machine: &mut Machine, path: &AbsPath) {
    let mut folder = path.parent();
    while folder.as_str() != "/" {
        if machine.file(&folder).is_ok_and(FileState::is_absent) {
            machine.set_file(&folder, FileState::Present { kind: Kind::Directory, mode: 0o755, owner: Owner::root() });
        }
        folder = folder.parent();
    }
}

impl Act for WriteFile {
    fn summary(&self) -> String {
        format!("write {}", self.path)
    }

    fn call(&self) -> Call {
        Call::new(&ACTION, "action_write")
            .arg(&self.path)
            .arg(self.found.word())
            .arg(self.content.digest().as_str())
            .arg(format!("{:04o}", self.mode))
            .arg(self.owner.user.as_str())
            .arg(self.owner.group.as_str())
            .arg(self.content.arg())
    }

    fn effect(&self, machine: &mut Machine) {
        let state = FileState::text(self.content.reveal(), self.mode, self.owner.clone());
        let state = if matches!(self.content, Content::Secret(_)) { state.without_content() } else { state };
        parents_exist(machine, &self.path);
        machine.set_file(&self.path, state);
    }

    fn undo(&self, before: &Machine) -> Undo {
        put_back(&self.path, before, Found::Digest(self.content.digest()))
    }

    fn access(&self) -> Option<Access> {
        reach::of_path(&self.path)
    }
}

/// The action that puts what `before` has at `path` in the place of what is there now.
pub(super) fn put_back(path: &AbsPath, before: &Machine, found: Found) -> Undo {
    match before.file(path) {
        Ok(FileState::Absent) => Undo::By(vec![RemovePath { path: path.clone(), found }.into()]),
        Ok(FileState::Present { kind: Kind::File { content: Some(content), .. }, mode, owner }) => {
            let content = Content::Text(content.clone());
            let (mode, owner) = (*mode, owner.clone());
            Undo::By(vec![WriteFile { path: path.clone(), content, mode, owner, found }.into()])
        }
        Ok(FileState::Present { kind: Kind::Link { target }, .. }) => {
            Undo::By(vec![MakeLink { path: path.clone(), target: target.clone(), found }.into()])
        }
        _ => Undo::Impossible("what was there before is not known in full"),
    }
}

/// Changes mode and owner of what is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetAttributes {
    /// Where.
    pub path: AbsPath,
    /// Whether it is a directory, or else a file.
    pub directory: bool,
    /// `0o644`.
    pub mode: u32,
    /// Whose.
    pub owner: Owner,
}

impl Act for SetAttributes {
    fn summary(&self) -> String {
        format!("set {} to {} {:04o}", self.path, self.owner, self.mode)
    }

    fn call(&self) -> Call {
        Call::new(&ACTION, "action_attributes")
            .arg(&self.path)
            .arg(if self.directory { "directory" } else { "file" })
            .arg(format!("{:04o}", self.mode))
            .arg(self.owner.user.as_str())
            .arg(self.owner.group.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        let set = |state: &mut FileState| {
            if let FileState::Present { mode, owner, .. } = state {
                *mode = self.mode;
                *owner = self.owner.clone();
            }
        };
        machine.update(&File::at(&self.path), set);
        machine.update(&File::secret(&self.path), set);
    }

    fn undo(&self, before: &Machine) -> Undo {
        match before.file(&self.path) {
            Ok(FileState::Present { mode, owner, .. }) => {
                Undo::By(vec![SetAttributes { mode: *mode, owner: owner.clone(), ..self.clone() }.into()])
            }
            _ => Undo::Impossible("mode and owner of before are not known"),
        }
    }

    fn access(&self) -> Option<Access> {
        reach::of_path(&self.path)
    }
}

/// Makes a directory, and what is missing above it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MakeDirectory {
    /// Where.
    pub path: AbsPath,
    /// `0o755`.
    pub mode: u32,
    /// Whose.
    pub owner: Owner,
}

impl Act for MakeDirectory {
    fn summary(&self) -> String {
        format!("make directory {}", self.path)
    }

    fn call(&self) -> Call {
        Call::new(&ACTION, "action_directory")
            .arg(&self.path)
            .arg(format!("{:04o}", self.mode))
            .arg(self.owner.user.as_str())
            .arg(self.owner.group.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        parents_exist(machine, &self.path);
        let state = FileState::Present { kind: Kind::Directory, mode: self.mode, owner: self.owner.clone() };
        machine.set_file(&self.path, state);
    }

    fn undo(&self, before: &Machine) -> Undo {
        put_back(&self.path, before, Found::Directory)
    }

    fn access(&self) -> Option<Access> {
        reach::of_path(&self.path)
    }
}

/// Makes a symbolic link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MakeLink {
    /// Where.
    pub path: AbsPath,
    /// Where it points.
    pub target: String,
    /// What was there.
    pub found: Found,
}

impl Act for MakeLink {
    fn summary(&self) -> String {
        format!("link {} to {}", self.path, self.target)
    }

    fn call(&self) -> Call {
        Call::new(&ACTION, "action_link").arg(&self.path).arg(self.found.word()).arg(self.target.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        parents_exist(machine, &self.path);
        let kind = Kind::Link { target: self.target.clone() };
        machine.set_file(&self.path, FileState::Present { kind, mode: 0o777, owner: Owner::root() });
    }

    fn undo(&self, before: &Machine) -> Undo {
        put_back(&self.path, before, Found::Link)
    }

    fn access(&self) -> Option<Access> {
        reach::of_path(&self.path)
    }
}

/// Removes a file, a link, or an empty directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemovePath {
    /// Where.
    pub path: AbsPath,
    /// What was there.
    pub found: Found,
}

impl Act for RemovePath {
    fn summary(&self) -> String {
        format!("remove {}", self.path)
    }

    fn call(&self) -> Call {
        Call::new(&ACTION, "action_remove").arg(&self.path).arg(self.found.word())
    }

    fn effect(&self, machine: &mut Machine) {
        machine.set_file(&self.path, FileState::Absent);
    }

    fn undo(&self, before: &Machine) -> Undo {
        match before.file(&self.path) {
            Ok(FileState::Present { kind: Kind::Directory, mode, owner }) => {
                let (mode, owner) = (*mode, owner.clone());
                Undo::By(vec![Action::from(MakeDirectory { path: self.path.clone(), mode, owner })])
            }
            _ => put_back(&self.path, before, Found::Absent),
        }
    }

    fn access(&self) -> Option<Access> {
        reach::of_path(&self.path)
    }
}
