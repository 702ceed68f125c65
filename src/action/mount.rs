//! Mounts. Which line of fstab stands behind one is written before by a file action.

use serde::{Deserialize, Serialize};

use super::{Act, Undo};
use crate::base::name::AbsPath;
use crate::machine::block_device::BlockDeviceState;
use crate::machine::mount::{MOUNT, Mounted, Point};
use crate::machine::{
    BlockDevice, File, FileState, FileSystem, Machine, MountPoint, MountPointState, Question, Volatile,
};
use crate::shell::{Call, Library};

pub(super) static MOUNTING: Library =
    Library { name: "action_mount.sh", text: include_str!("mount.sh"), needs: &[&MOUNT] };

/// Mounts what fstab has for a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Where.
    pub path: AbsPath,
    /// What, for people.
    pub source: String,
    /// The device, where there is one: the kernel's number of it, its node, the file system's type.
    pub device: Option<MountedDevice>,
    /// Its options.
    pub options: Vec<String>,
    /// Whether the folder underneath becomes immutable, so that nobody writes into it while nothing is mounted.
    pub protect: bool,
    /// Whether the file system was made just now, so that nothing is on it.
    pub is_new: bool,
}

/// The device of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedDevice {
    /// The kernel's number of it.
    pub number: String,
    /// Its node.
    pub node: String,
    /// The type of its file system.
    pub kind: String,
}

/// In an effect: what lies below `path` is another file system's from now on.
fn hidden(machine: &mut Machine, path: &AbsPath, is_new: bool) {
    let below = |other: &AbsPath| other != path && path.contains(other);
    for question in machine.questions() {
        match &question {
            Question::File(file) if is_new && below(&file.path) && file.path.file_name() != "lost+found" => {
                machine.set(file.clone(), FileState::Absent);
            }
            Question::File(File { path: other, .. }) | Question::FileSystem(FileSystem(other))
                if path.contains(other) =>
            {
                machine.forget_question(&question);
            }
            Question::MountPoint(MountPoint(other)) if below(other) => machine.forget_question(&question),
            _ => {}
        }
    }
}

/// In an effect: the device with this number is mounted at `path`, or no longer.
fn set_mounted(machine: &mut Machine, number: &str, path: &AbsPath, on: bool) {
    let devices: Vec<BlockDevice> = machine.all::<BlockDevice>().map(|(question, _)| question.clone()).collect();
    for question in devices {
        machine.update(&question, |state| {
            let BlockDeviceState::Present(device) = state else { return };
            if device.number == number {
                device.mounted_at.retain(|place| place != path.as_str());
                if on {
                    device.mounted_at.push(path.to_string());
                }
            }
        });
    }
}

impl Act for Mount {
    fn summary(&self) -> String {
        format!("mount {} at {}", self.source, self.path)
    }

    fn call(&self) -> Call {
        Call::new(&MOUNTING, "mount_make")
            .arg(&self.path)
            .arg(self.device.as_ref().map_or("", |device| device.number.as_str()))
            .arg(if self.protect { "1" } else { "0" })
    }

    fn effect(&self, machine: &mut Machine) {
        let point = MountPoint(self.path.clone());
        match &self.device {
            Some(device) => {
                let mounted = Mounted {
                    number: device.number.clone(),
                    source: device.node.clone(),
                    kind: device.kind.clone(),
                    options: self.options.clone(),
                };
                let state = MountPointState {
                    mounted: Some(mounted),
                    point: Point::Full,
                    immutable: false,
                    identity: Volatile::new(String::new()),
                };
                machine.set(point, state);
                set_mounted(machine, &device.number, &self.path, true);
            }
            None => machine.forget(&point),
        }
        hidden(machine, &self.path, self.is_new);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::By(vec![Unmount { path: self.path.clone(), source: self.source.clone() }.into()])
    }
}

/// Gives a mount the options that fstab has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remount {
    /// Where.
    pub path: AbsPath,
    /// The kernel's number of the device that is mounted there.
    pub number: String,
    /// The options that fstab has.
    pub options: Vec<String>,
}

impl Act for Remount {
    fn summary(&self) -> String {
        format!("mount {} again with the options of fstab", self.path)
    }

    fn call(&self) -> Call {
        Call::new(&MOUNTING, "mount_again").arg(&self.path).arg(self.number.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&MountPoint(self.path.clone()), |state| {
            if let Some(mounted) = &mut state.mounted {
                mounted.options.clone_from(&self.options);
            }
        });
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("the options of before are not in fstab any more")
    }
}

/// Takes a mount away, if nobody uses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unmount {
    /// Where.
    pub path: AbsPath,
    /// What, for people.
    pub source: String,
}

impl Act for Unmount {
    fn summary(&self) -> String {
        format!("unmount {} from {}", self.source, self.path)
    }

    fn call(&self) -> Call {
        Call::new(&MOUNTING, "mount_remove").arg(&self.path)
    }

    fn effect(&self, machine: &mut Machine) {
        let point = MountPoint(self.path.clone());
        let number = machine.known(&point).and_then(|state| Some(state.mounted.as_ref()?.number.clone()));
        if let Some(number) = number {
            set_mounted(machine, &number, &self.path, false);
        }
        // What was underneath shows now.
        machine.forget(&point);
        hidden(machine, &self.path, false);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("what fstab does not have is not mounted again")
    }
}
