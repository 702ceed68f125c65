//! The host itself: its name, its first boot, and commands of a playbook's author.

use serde::{Deserialize, Serialize};

use super::{Act, Undo};
use crate::base::name::AbsPath;
use crate::machine::{File, FirstBoot, Machine, Question, Session, System, Trial};
use crate::shell::{Call, Library};

static NODE: Library = Library { name: "node.sh", text: include_str!("node.sh"), needs: &[] };

/// Sets the name that the kernel has. `/etc/hostname`, where the next boot finds it, is written apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetHostname {
    /// What it was.
    pub found: String,
    /// What it will be.
    pub wanted: String,
}

impl Act for SetHostname {
    fn summary(&self) -> String {
        format!("name the host {}", self.wanted)
    }

    fn call(&self) -> Call {
        Call::new(&NODE, "node_name").arg(self.found.as_str()).arg(self.wanted.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&System::Here, |system| system.hostname.clone_from(&self.wanted));
    }

    fn undo(&self, before: &Machine) -> Undo {
        match before.known(&System::Here) {
            Some(system) => {
                let (found, wanted) = (self.wanted.clone(), system.hostname.clone());
                Undo::By(vec![SetHostname { found, wanted }.into()])
            }
            None => Undo::Impossible("the name of before is not known"),
        }
    }
}

/// Waits until cloud-init has finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitFirstBoot {
    /// Longest wait in seconds.
    pub seconds: u32,
}

impl Act for WaitFirstBoot {
    fn summary(&self) -> String {
        "wait for cloud-init to finish".into()
    }

    fn call(&self) -> Call {
        Call::new(&NODE, "node_first_boot").arg(self.seconds.to_string())
    }

    fn effect(&self, machine: &mut Machine) {
        // Users, keys, packages and files move while it works: nothing that was looked at before counts.
        let here: [Question; 2] = [System::Here.into(), Session::Here.into()];
        for question in machine.questions().into_iter().filter(|question| !here.contains(question)) {
            machine.forget_question(&question);
        }
        machine.forget(&FirstBoot::Here);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("there is nothing to take back")
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// Runs a command of the playbook's author. What it does is not known beyond what its author says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCommand {
    /// The command, for `sh`.
    pub command: String,
    /// The file that it makes.
    pub creates: Option<AbsPath>,
    /// The command that tells whether it has been done.
    pub unless: Option<String>,
    /// Files and folders that it changes.
    pub changes: Vec<AbsPath>,
}

impl Act for RunCommand {
    fn summary(&self) -> String {
        format!("run `{}`", self.command)
    }

    fn call(&self) -> Call {
        Call::new(&NODE, "node_run").arg(self.command.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        let files: Vec<File> = machine.all::<File>().map(|(file, _)| file.clone()).collect();
        let touched = |path: &AbsPath| self.changes.iter().chain(&self.creates).any(|own| own.contains(path));
        for file in files.into_iter().filter(|file| touched(&file.path)) {
            machine.forget(&file);
        }
        // Any trial may come out differently after it.
        for trial in machine.all::<Trial>().map(|(trial, _)| trial.clone()).collect::<Vec<_>>() {
            machine.forget(&trial);
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("what a command has done is not known")
    }

    fn is_slow(&self) -> bool {
        true
    }
}
