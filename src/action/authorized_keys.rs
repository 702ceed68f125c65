//! The keys that may log in as a user.

use serde::{Deserialize, Serialize};

use super::account::ACCOUNT;
use super::file::Found;
use super::{ACTION, Access, Act, Saved, Undo};
use crate::base::Digest;
use crate::base::name::{AbsPath, UserName};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{AuthorizedKeys, KeysState, Machine};
use crate::shell::{Call, Library};

static AUTHORIZED_KEYS: Library = Library {
    name: "authorized_keys_action.sh",
    text: include_str!("authorized_keys.sh"),
    needs: &[&ACTION, &ACCOUNT],
};

/// Writes a user's key file, and sets it and its folder to belong to the user alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteAuthorizedKeys {
    /// Whose.
    pub user: UserName,
    /// The user's primary group.
    pub group: String,
    /// Where it is, for the guard; the host looks it up anew.
    pub path: AbsPath,
    /// The whole file. Public keys are no secret.
    pub text: String,
    /// What was there: nothing, or a file.
    pub found: Found,
    /// Whether a key that could log in no longer can.
    pub cuts: bool,
}

impl Act for WriteAuthorizedKeys {
    fn summary(&self) -> String {
        format!("write the authorized keys of {}", self.user)
    }

    fn call(&self) -> Call {
        Call::new(&AUTHORIZED_KEYS, "authorized_keys_write")
            .arg(&self.user)
            .arg(self.found.word())
            .arg(Digest::of(&self.text).as_str())
            .arg(self.text.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        let owner = Owner::named(self.user.as_str(), &self.group);
        let folder = FileState::Present { kind: Kind::Directory, mode: 0o700, owner: owner.clone() };
        let file = FileState::text(&self.text, 0o600, owner);
        machine.update(&AuthorizedKeys(self.user.clone()), |state| {
            *state = KeysState { home: state.home.clone(), folder, file };
        });
    }

    fn undo(&self, before: &Machine) -> Undo {
        let owner = Owner::named(self.user.as_str(), &self.group);
        match before.known(&AuthorizedKeys(self.user.clone())) {
            Some(KeysState {
                folder: FileState::Present { kind: Kind::Directory, mode: 0o700, owner: folder_owner },
                file:
                    FileState::Present { kind: Kind::File { content: Some(text), .. }, mode: 0o600, owner: file_owner },
                ..
            }) if (folder_owner, file_owner) == (&owner, &owner) => {
                let found = Found::Digest(Digest::of(&self.text));
                Undo::By(vec![WriteAuthorizedKeys { text: text.clone(), found, cuts: true, ..self.clone() }.into()])
            }
            _ => Undo::Impossible("a key file that others could write is not brought back"),
        }
    }

    fn access(&self) -> Option<Access> {
        self.cuts.then(|| Access { what: "accounts", saves: vec![Saved::File(self.path.clone())] })
    }
}
