//! Volumes: a file system on a blank device, its growth, and the units that wait for it.

use serde::{Deserialize, Serialize};

use super::mount::MOUNTING;
use super::{Act, Undo, WriteFile};
use crate::base::name::{AbsPath, UnitName};
use crate::machine::block_device::{BLOCK_DEVICE, Behind, BlockDeviceState, DeviceName};
use crate::machine::{BlockDevice, Machine, Unit};
use crate::shell::{Call, Library};

static VOLUME: Library =
    Library { name: "action_volume.sh", text: include_str!("volume.sh"), needs: &[&BLOCK_DEVICE, &MOUNTING] };

/// Makes a file system on a device that every probe says is blank. All of them are asked again on the host, right before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MakeFileSystem {
    /// The device, by the name that stays.
    pub device: DeviceName,
    /// The node that it meant when it was looked at.
    pub node: String,
    /// Its size in bytes when it was looked at.
    pub size: u64,
    /// `ext4` or `xfs`.
    pub kind: String,
    /// UUID that the file system gets.
    pub uuid: String,
    /// Label that it gets; empty for none.
    pub label: String,
}

impl Act for MakeFileSystem {
    fn summary(&self) -> String {
        format!("make an {} file system on the blank device {} ({})", self.kind, self.device, self.node)
    }

    fn call(&self) -> Call {
        Call::new(&VOLUME, "volume_format")
            .arg(self.device.as_str())
            .arg(self.node.as_str())
            .arg(self.size.to_string())
            .arg(self.kind.as_str())
            .arg(self.uuid.as_str())
            .arg(self.label.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&BlockDevice(self.device.clone()), |state| {
            if let BlockDeviceState::Present(device) = state {
                device.kind.clone_from(&self.kind);
                device.uuid.clone_from(&self.uuid);
                device.label.clone_from(&self.label);
                device.marks = vec![format!("holds {}", self.kind)];
                device.unused_mib = 0;
                device.cut_off = false;
            }
        });
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a file system is never taken off a device")
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// Lets a mounted file system fill its device, which has grown. Never makes one smaller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrowFileSystem {
    /// The device, by the name that stays.
    pub device: DeviceName,
    /// Where it is mounted.
    pub path: AbsPath,
    /// The kernel's number of the device.
    pub number: String,
    /// Its node.
    pub node: String,
    /// `ext4` or `xfs`.
    pub kind: String,
}

impl Act for GrowFileSystem {
    fn summary(&self) -> String {
        format!("let the file system at {} fill {}", self.path, self.device)
    }

    fn call(&self) -> Call {
        Call::new(&VOLUME, "volume_grow")
            .arg(&self.path)
            .arg(self.number.as_str())
            .arg(self.node.as_str())
            .arg(self.kind.as_str())
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&BlockDevice(self.device.clone()), |state| {
            if let BlockDeviceState::Present(device) = state {
                device.unused_mib = 0;
            }
        });
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a file system is never made smaller")
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// Lets the last partition of a disk reach to its end. Never makes one smaller, and moves nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrowPartition {
    /// The partition, by the name that stays.
    pub device: DeviceName,
    /// Its node.
    pub node: String,
    /// What there is to gain.
    pub behind: Behind,
}

impl Act for GrowPartition {
    fn summary(&self) -> String {
        format!("let partition {} of {} reach to the end of its disk", self.behind.partition, self.behind.disk)
    }

    fn call(&self) -> Call {
        Call::new(&VOLUME, "volume_grow_partition")
            .arg(self.device.as_str())
            .arg(self.node.as_str())
            .arg(self.behind.disk.as_str())
            .arg(self.behind.partition.to_string())
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&BlockDevice(self.device.clone()), |state| {
            if let BlockDeviceState::Present(device) = state {
                device.size += self.behind.mib << 20;
                device.unused_mib += self.behind.mib;
                device.behind = None;
            }
        });
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a partition is never made smaller")
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// Writes a drop-in of a systemd unit; systemd is made to read it by the action behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteUnitFile {
    /// The drop-in.
    pub file: WriteFile,
    /// The unit that it is for.
    pub unit: UnitName,
}

impl Act for WriteUnitFile {
    fn summary(&self) -> String {
        self.file.summary()
    }

    fn call(&self) -> Call {
        self.file.call()
    }

    fn effect(&self, machine: &mut Machine) {
        self.file.effect(machine);
        machine.update(&Unit(self.unit.clone()), |state| state.needs_daemon_reload = state.exists);
    }

    fn undo(&self, before: &Machine) -> Undo {
        self.file.undo(before)
    }
}
