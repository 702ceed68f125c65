//! What Kamal keeps in a home, moved to that of another user.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Act, Undo};
use crate::base::name::UserName;
use crate::machine::Machine;
use crate::machine::kamal_home::{KAMAL_HOME, KamalFolder, KamalHome, NewPlace, OldPlace};
use crate::shell::{Call, Library};

static MOVE: Library =
    Library { name: "kamal_home.sh (actions)", text: include_str!("kamal_home.sh"), needs: &[&KAMAL_HOME] };

/// Renames a folder of one home into another and leaves a link in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveKamalFolder {
    /// Whose home it is in.
    pub from: UserName,
    /// Whose home it goes to.
    pub to: UserName,
    /// Its name.
    pub folder: String,
    /// Files in it, by their paths below the home, that Kamal uploads and that change their owner too.
    pub files: BTreeSet<String>,
}

impl Act for MoveKamalFolder {
    fn summary(&self) -> String {
        format!("move {} from the home of {} to that of {}", self.folder, self.from, self.to)
    }

    fn call(&self) -> Call {
        Call::new(&MOVE, "kamal_move")
            .arg(self.from.as_str())
            .arg(self.to.as_str())
            .arg(self.folder.as_str())
            .args(&self.files)
    }

    fn effect(&self, machine: &mut Machine) {
        for question in questions(machine, &self.from, &self.to) {
            machine.update(&question, |state| {
                state.folders.insert(self.folder.clone(), KamalFolder { old: OldPlace::Moved, new: NewPlace::Folder });
                for (file, theirs) in &mut state.files {
                    *theirs |= self.files.contains(file);
                }
            });
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("containers may have been made since with the new place")
    }
}

/// Makes files that Kamal uploads again those of its user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnKamalFiles {
    /// Who deployed.
    pub from: UserName,
    /// Who deploys.
    pub to: UserName,
    /// The files, by their paths below the home.
    pub files: BTreeSet<String>,
}

impl Act for OwnKamalFiles {
    fn summary(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        format!("give {} to {}", files.join(", "), self.to)
    }

    fn call(&self) -> Call {
        Call::new(&MOVE, "kamal_own").arg(self.to.as_str()).args(&self.files)
    }

    fn effect(&self, machine: &mut Machine) {
        for question in questions(machine, &self.from, &self.to) {
            machine.update(&question, |state| {
                for (file, theirs) in &mut state.files {
                    *theirs |= self.files.contains(file);
                }
            });
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("whose they were is not known")
    }
}

fn questions(machine: &Machine, from: &UserName, to: &UserName) -> Vec<KamalHome> {
    let all = machine.all::<KamalHome>().map(|(question, _)| question);
    all.filter(|question| (&question.from, &question.to) == (from, to)).cloned().collect()
}
