//! What sudo allows.

use serde::{Deserialize, Serialize};

use super::file::{Found, put_back};
use super::{ACTION, Access, Act, Saved, Undo};
use crate::base::Digest;
use crate::base::name::AbsPath;
use crate::machine::Machine;
use crate::machine::file::{FileState, Owner};
use crate::shell::{Call, Library};

static SUDOERS: Library = Library { name: "sudoers.sh", text: include_str!("sudoers.sh"), needs: &[&ACTION] };

/// Writes one file of sudo's, once visudo has read it without complaint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteSudoers {
    /// `/etc/sudoers.d/NAME`.
    pub path: AbsPath,
    /// The whole file.
    pub text: String,
    /// What was there.
    pub found: Found,
}

impl Act for WriteSudoers {
    fn summary(&self) -> String {
        format!("write {}", self.path)
    }

    fn call(&self) -> Call {
        Call::new(&SUDOERS, "sudoers_write")
            .arg(self.path.file_name())
            .arg(self.found.word())
            .arg(Digest::of(&self.text).as_str())
            .arg(self.text.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        machine.set_file(&self.path, FileState::text(&self.text, 0o440, Owner::root()));
    }

    fn undo(&self, before: &Machine) -> Undo {
        put_back(&self.path, before, Found::Digest(Digest::of(&self.text)))
    }

    fn access(&self) -> Option<Access> {
        // One more file can only allow more; a file that changes may take away what someone needs.
        let changes = self.found != Found::Absent;
        changes.then(|| Access { what: "sudo", saves: vec![Saved::File(self.path.clone())] })
    }
}
