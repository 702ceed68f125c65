//! A mount, now and at every boot.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Presence;
use super::mount_table::{Table, source_of};
use super::{Change, Plan, Problems, Resource};
use crate::action::mount::MountedDevice;
use crate::action::{self, Remount, Unmount};
use crate::base::name::AbsPath;
use crate::machine::block_device::{BlockDeviceState, Device, DeviceName};
use crate::machine::fstab::{self, Entry};
use crate::machine::mount::{Mounted, Point};
use crate::machine::{BlockDevice, Blocked, File, Machine, MountPoint, MountPointState, Question};

/// A mount: in `/etc/fstab`, and mounted.
///
/// A device is written to fstab by its UUID, and every mount with `nofail`, so that a missing one does not keep the host
/// from booting. Nothing is ever mounted over a folder that holds something. For a block volume with data, prefer
/// `volume`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted: a device (`/dev/disk/by-id/…`, `LABEL=…`, `UUID=…`), a folder (with the option `bind`), or what
    /// the file system calls its source, such as `tmpfs`.
    pub source: String,
    /// Where.
    pub path: AbsPath,
    /// Type of the file system: `ext4`, `tmpfs`, `nfs`; `none` for a folder.
    #[serde(default = "auto")]
    pub filesystem: String,
    /// Options, as in fstab. All get `nofail` as well, so that the host boots without them, and devices
    /// `x-systemd.device-timeout=30s`.
    #[serde(default)]
    pub options: Vec<String>,
    /// Whether it should be mounted. With `absent` its line in fstab goes, and it is unmounted unless it is in use.
    #[serde(default)]
    pub state: Presence,
}

fn auto() -> String {
    "auto".into()
}

/// What sort of thing is mounted.
enum Sort {
    Device(DeviceName),
    Folder(AbsPath),
    Other,
}

impl Mount {
    fn sort(&self) -> Sort {
        if self.options.iter().any(|option| option == "bind" || option == "rbind")
            && let Ok(path) = AbsPath::new(self.source.as_str())
        {
            return Sort::Folder(path);
        }
        DeviceName::new(self.source.as_str()).map_or(Sort::Other, Sort::Device)
    }

    fn plan_absent(&self, table: &Table, state: &MountPointState) -> Plan {
        let mut changes: Vec<Change> = table.without(&self.path).into_iter().collect();
        if let Some(mounted) = &state.mounted {
            changes.push(Change::by(Unmount { path: self.path.clone(), source: mounted.source.clone() }));
        }
        Plan::changes(changes, "it is neither mounted nor in fstab")
    }

    fn is_this(&self, device: Option<&Device>, folder: Option<&MountPointState>, there: &MountPointState) -> bool {
        let Some(mounted) = &there.mounted else { return false };
        match (device, folder) {
            (Some(device), _) => mounted.number == device.number,
            (_, Some(folder)) => {
                let identity = folder.identity.reading();
                !identity.is_empty() && identity == there.identity.reading()
            }
            _ => mounted.kind == self.filesystem && (mounted.source == self.source || is_nameless(&mounted.kind)),
        }
    }
}

/// Whether the source of such a file system is a name without a meaning.
fn is_nameless(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "ramfs" | "proc" | "sysfs" | "devpts" | "overlay")
}

impl Resource for Mount {
    const NAME: &'static str = "mount";
    const EXAMPLE: &'static str = "source = \"tmpfs\"\npath = \"/srv/scratch\"\nfilesystem = \"tmpfs\"\noptions = [\"size=64M\", \"nosuid\", \"nodev\"]\n";

    fn check(&self, problems: &mut Problems) {
        if self.path.as_str() == "/" {
            problems.push("path", "the root is not for a playbook to mount", None);
        }
        if self.source.is_empty() || self.filesystem.is_empty() || self.filesystem == "swap" {
            problems.push("source", "a mount has a source and a type, and swap is none", Some("use `swap` for swap"));
        }
        let bad = |option: &String| option.is_empty() || option.contains([',', ' ', '\t', '\n']);
        if self.options.iter().any(bad) {
            problems.push("options", "an option is one word", Some("write each option as one element of the list"));
        }
        if matches!(self.sort(), Sort::Other) && self.filesystem == "auto" && self.state == Presence::Present {
            problems.push("filesystem", "the type of this source is not known", Some("set `filesystem`"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![MountPoint(self.path.clone()).into(), File::at(&fstab::path()).into()];
        match self.sort() {
            Sort::Device(name) => facts.push(BlockDevice(name).into()),
            Sort::Folder(path) => facts.push(MountPoint(path).into()),
            Sort::Other => {}
        }
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        vec![MountPoint(self.path.clone()).into(), File::at(&fstab::path()).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let table = Table::on(machine)?;
        let there = machine.get(&MountPoint(self.path.clone()))?;
        if self.state == Presence::Absent {
            return Ok(self.plan_absent(&table, there));
        }
        let (mut device, mut folder) = (None, None);
        match self.sort() {
            Sort::Device(name) => device = Some(present(&name, machine.get(&BlockDevice(name.clone()))?)?),
            Sort::Folder(path) => folder = Some(machine.get(&MountPoint(path))?),
            Sort::Other => {}
        }
        if folder.is_some_and(|folder| matches!(folder.point, Point::Absent | Point::Other)) {
            return Err(Blocked::refused(
                format!("{} is not a folder, so it can not be mounted at {}", self.source, self.path),
                "make it in an earlier task, or correct `source`",
            ));
        }
        if let Some(device) = device.filter(|device| device.kind.is_empty()) {
            return Err(Blocked::refused(
                format!("{} ({}) holds no file system that is known", self.source, device.node),
                "make one, or let a `volume` task make it where the device is blank",
            ));
        }
        let wanted = Entry {
            line: 0,
            source: device.map_or_else(|| self.source.clone(), source_of),
            target: self.path.to_string(),
            kind: device.map_or_else(|| self.filesystem.clone(), |device| device.kind.clone()),
            options: options(&self.options, device.is_some()).join(","),
            pass: if device.is_some() { 2 } else { 0 },
        };
        let mut names = vec![self.source.clone(), wanted.source.clone()];
        names.extend(device.map(|device| device.node.clone()));
        let mut changes: Vec<Change> = table.with(&wanted, &names)?.into_iter().collect();
        let is_this = self.is_this(device, folder, there);
        let live = Live { path: &self.path, source: &self.source, there, is_this, options: &self.options };
        changes.extend(live.change(device, false, false)?);
        Ok(Plan::changes(changes, format!("{} is mounted at {} now and at boot", self.source, self.path)))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let source = proptest::sample::select(vec![
            ("/dev/disk/by-id/data", "auto", vec!["noatime"]),
            ("UUID=0b0c", "ext4", vec![]),
            ("/srv/a", "none", vec!["bind", "ro"]),
            ("tmpfs", "tmpfs", vec!["nosuid"]),
        ]);
        let state = proptest::sample::select(vec![Presence::Present, Presence::Present, Presence::Absent]);
        (source, state)
            .prop_map(|((source, filesystem, options), state)| Mount {
                source: source.into(),
                path: AbsPath::literal("/mnt/data"),
                filesystem: filesystem.into(),
                options: options.into_iter().map(str::to_owned).collect(),
                state,
            })
            .boxed()
    }
}

/// The device that a name means. Errors: none, several, or something else.
pub(super) fn present<'a>(name: &DeviceName, state: &'a BlockDeviceState) -> Result<&'a Device, Blocked> {
    match state {
        BlockDeviceState::Present(device) => Ok(device),
        BlockDeviceState::Absent => Err(Blocked::refused(
            format!("there is no device {name}"),
            "attach the volume to this host, or correct the name: `ls -l /dev/disk/by-id` shows what there is",
        )),
        BlockDeviceState::Several { nodes } => Err(Blocked::refused(
            format!("{name} could be any of {}", nodes.join(", ")),
            "name the device by its path below /dev/disk/by-id",
        )),
        BlockDeviceState::Other => {
            Err(Blocked::refused(format!("{name} is not a block device"), "correct the name of the device"))
        }
    }
}

/// Options for fstab: with what a boot survives that this mount fails, as one on a volume that is missing does.
pub(super) fn options(declared: &[String], device: bool) -> Vec<String> {
    let mut options = declared.to_vec();
    if options.is_empty() {
        options.push("defaults".into());
    }
    let timeout = ("x-systemd.device-timeout", "x-systemd.device-timeout=30s");
    for (name, option) in std::iter::once(("nofail", "nofail")).chain(device.then_some(timeout)) {
        if !options.iter().any(|have| have.split('=').next() == Some(name)) {
            options.push(option.into());
        }
    }
    options
}

/// What is mounted at a path, against what should be.
pub(super) struct Live<'a> {
    pub(super) path: &'a AbsPath,
    pub(super) source: &'a str,
    pub(super) there: &'a MountPointState,
    /// Whether what is mounted is what should be.
    pub(super) is_this: bool,
    pub(super) options: &'a [String],
}

impl Live<'_> {
    /// What must change; nothing when it is mounted as it should be. Errors: something stands in the way.
    pub(super) fn change(
        &self,
        device: Option<&Device>,
        protect: bool,
        is_new: bool,
    ) -> Result<Option<Change>, Blocked> {
        if let Some(mounted) = &self.there.mounted {
            return self.mounted(mounted);
        }
        match self.there.point {
            Point::Absent | Point::Empty => {}
            Point::Full => {
                return Err(Blocked::refused(
                    format!("{} is not empty, and a mount would hide what is in it", self.path),
                    format!(
                        "move what is in {} away (stop what writes there first), run again, and move it back",
                        self.path
                    ),
                ));
            }
            Point::Other => {
                return Err(Blocked::refused(
                    format!("{} is not a folder, so nothing can be mounted there", self.path),
                    "move away what is there, or set another `path`",
                ));
            }
        }
        if let Some(place) = device.and_then(|device| device.mounted_at.first()) {
            return Err(Blocked::refused(
                format!("{} is mounted at {place}, and not at {}", self.source, self.path),
                format!(
                    "stop what uses it, `umount {place}`, and take its line out of /etc/fstab, or set `path` to {place}"
                ),
            ));
        }
        let device = device.map(|device| MountedDevice {
            number: device.number.clone(),
            node: device.node.clone(),
            kind: device.kind.clone(),
        });
        Ok(Some(Change::by(action::Mount {
            path: self.path.clone(),
            source: self.source.to_owned(),
            device,
            options: self.options.to_vec(),
            protect,
            is_new,
        })))
    }

    fn mounted(&self, mounted: &Mounted) -> Result<Option<Change>, Blocked> {
        if !self.is_this {
            return Err(Blocked::refused(
                format!("{} is mounted at {}, and not {}", mounted.source, self.path, self.source),
                format!("stop what uses it and `umount {}`, or correct this task", self.path),
            ));
        }
        if self.options.iter().all(|option| mounted.meets(option)) {
            return Ok(None);
        }
        let (path, number) = (self.path.clone(), mounted.number.clone());
        Ok(Some(Change::by(Remount { path, number, options: self.options.to_vec() })))
    }
}
