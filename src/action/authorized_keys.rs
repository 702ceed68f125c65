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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;
    use crate::machine::authorized_keys::testing::{ONE, TWO};
    use crate::machine::testing::run;
    use crate::shell::{Batch, Mode};

    /// The same function for an account that no user database has: the one who runs the tests, at home in `$1`.
    static AS_TESTER: Library = Library {
        name: "as_tester.sh",
        text: "tester_write() {\n\ttester_home=$1\n\tshift\n\tauthorized_keys_write \"$@\"\n}\n\
            account_field() {\n\tcase $2 in\n\t6) printf '%s' \"$tester_home\" ;;\n\t3) id -u ;;\n\t4) id -g ;;\n\tesac\n}\n",
        needs: &[&AUTHORIZED_KEYS],
    };

    fn write(home: &Path, found: &str, text: &str) -> (u8, String) {
        let call = Call::new(&AS_TESTER, "tester_write")
            .arg(home.to_str().unwrap())
            .arg("tester")
            .arg(found)
            .arg(Digest::of(text).as_str())
            .arg(text);
        let (status, body) = run(&Batch::new(Mode::Act, vec![call])).remove(0);
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn writes_for_the_user_alone_and_twice_is_once() {
        let home = tempfile::tempdir().unwrap();
        let (folder, file) = (home.path().join(".ssh"), home.path().join(".ssh/authorized_keys"));
        for _ in 0..2 {
            assert_eq!(write(home.path(), "absent", ONE), (0, String::new()));
            assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
            assert_eq!(fs::read_to_string(&file).unwrap(), ONE);
        }
        let (status, said) = write(home.path(), "absent", TWO);
        assert_eq!(status, 75, "{said}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        // What a run that was killed has left is no obstacle.
        fs::write(folder.join("authorized_keys.bedplate-part"), "half").unwrap();
        assert_eq!(write(home.path(), Digest::of(ONE).as_str(), TWO).0, 0);
        assert_eq!((mode(&folder), fs::read_dir(&folder).unwrap().count()), (0o700, 1));
    }

    #[test]
    fn a_link_is_never_followed() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let victim = elsewhere.path().join("authorized_keys");
        fs::write(&victim, "precious").unwrap();

        symlink(elsewhere.path(), home.path().join(".ssh")).unwrap();
        let (status, said) = write(home.path(), Digest::of("precious").as_str(), ONE);
        assert!(status != 0 && said.contains("is a link"), "{status} {said}");
        fs::remove_file(home.path().join(".ssh")).unwrap();

        fs::create_dir(home.path().join(".ssh")).unwrap();
        symlink(&victim, home.path().join(".ssh/authorized_keys")).unwrap();
        let (status, said) = write(home.path(), Digest::of("precious").as_str(), ONE);
        assert!(status != 0, "{said}");
        symlink(&victim, home.path().join(".ssh/authorized_keys.bedplate-part")).unwrap();
        fs::remove_file(home.path().join(".ssh/authorized_keys")).unwrap();
        assert_eq!(write(home.path(), "absent", ONE).0, 0);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!fs::symlink_metadata(home.path().join(".ssh/authorized_keys")).unwrap().is_symlink());
    }
}
