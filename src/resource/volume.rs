//! A block volume for data: formatted when it is blank, mounted, and waited for.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Mode;
use super::mount::{Live, options, present};
use super::mount_table::{Table, source_of};
use super::{Change, Plan, Problems, Resource};
use crate::action::file::{Content, Found};
use crate::action::{
    GrowFileSystem, GrowPartition, InstallPackages, MakeDirectory, MakeFileSystem, ReloadSystemd, SetAttributes,
    WriteFile, WriteUnitFile,
};
use crate::base::name::{AbsPath, PackageName, UnitName};
use crate::base::{Diff, Digest};
use crate::machine::block_device::{Device, DeviceName};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::fstab::{self, Entry};
use crate::machine::{BlockDevice, Blocked, File, Machine, MountPoint, MountPointState, Package, Question, System};

/// A block volume for data.
///
/// A device on which every probe finds nothing at all is formatted; one with anything on it never is: there is no option
/// to force it. It is mounted by UUID, in a way that the host boots without it, and Docker waits for it rather than
/// writing to the root disk. A device that has grown is filled, and so is a disk behind its last partition; nothing is ever
/// made smaller.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The device, by a name that stays: `/dev/disk/by-id/…`, `LABEL=…` or `UUID=…`. Names such as `/dev/sdb` belong to
    /// another disk after a reboot.
    pub device: DeviceName,
    /// Where it is mounted.
    pub path: AbsPath,
    /// Its file system. One that is there already must be of this type.
    #[serde(default)]
    pub filesystem: FileSystem,
    /// Label that a new file system gets; one that is there already must bear it. At most 12 characters; empty for any.
    #[serde(default)]
    pub label: String,
    /// Size below which a device is not the one that is meant, such as `10G`.
    #[serde(default)]
    pub minimum_size: Size,
    /// Options of the mount, such as `noatime`. `nofail` and `x-systemd.device-timeout=30s` are added.
    #[serde(default)]
    pub options: Vec<String>,
    /// Folders on the volume.
    #[serde(default)]
    pub directories: Vec<Directory>,
    /// Whether the empty folder under the mount is made immutable, so that nothing is written into it while the volume is
    /// not there.
    #[serde(default = "yes")]
    pub protect: bool,
    /// Whether Docker starts only once the volume is mounted.
    #[serde(default = "yes")]
    pub before_docker: bool,
}

fn yes() -> bool {
    true
}

/// A folder on a volume.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Its path on the volume, such as `storage` or `postgres/data`.
    pub path: String,
    /// Owner: a name or a number (1000 in Rails images, 999 in those of databases).
    #[serde(default = "root")]
    pub owner: String,
    /// Group: a name or a number.
    #[serde(default = "root")]
    pub group: String,
    /// Permissions in octal.
    #[serde(default = "closed")]
    pub mode: Mode,
}

fn root() -> String {
    "root".into()
}

fn closed() -> Mode {
    Mode(0o750)
}

/// A file system that volumes have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// ext4.
    #[default]
    Ext4,
    /// xfs; the package `xfsprogs` is needed.
    Xfs,
}

impl FileSystem {
    fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }
}

/// A size in whole mebibytes or gibibytes: `500M`, `10G`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Size(
    /// MiB.
    pub u64,
);

impl TryFrom<String> for Size {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a size: write a number with M, G or T, such as \"10G\"");
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
        let unit = match unit {
            "M" => 1,
            "G" => 1 << 10,
            "T" => 1 << 20,
            _ => return Err(bad()),
        };
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).map(Size).ok_or_else(bad)
    }
}

/// The package that has growpart.
fn tool() -> Option<Package> {
    PackageName::new("cloud-guest-utils").ok().map(Package)
}

impl Volume {
    fn docker() -> Option<UnitName> {
        UnitName::new("docker.service").ok()
    }

    fn drop_in(&self) -> Option<AbsPath> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '-' };
        let name: String = self.path.as_str().trim_start_matches('/').chars().map(plain).collect();
        AbsPath::literal("/etc/systemd/system/docker.service.d").join(&format!("60-bedplate-{name}.conf")).ok()
    }

    fn folder(&self, directory: &Directory) -> Option<AbsPath> {
        AbsPath::new(format!("{}/{}", self.path, directory.path)).ok()
    }

    /// UUID for a new file system: not foreseeable by anyone who does not know the host's name, its clock and the device,
    /// and the same however often one look at the host is planned.
    fn new_uuid(&self, machine: &Machine, device: &Device) -> Result<String, Blocked> {
        let system = machine.get(&System::Here)?;
        let seed = format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            system.hostname,
            system.clock.reading(),
            system.memory_kib,
            self.device,
            device.size,
            self.path
        );
        let digest = Digest::of(seed);
        let digits = digest.as_str();
        // Version 4, variant 1 (RFC 9562).
        Ok(format!("{}-{}-4{}-a{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32]))
    }

    /// The device as it will be, and the formatting where there is nothing on it. Errors: anything that is not as declared.
    fn formatted(
        &self,
        machine: &Machine,
        table: &Table,
        device: &Device,
    ) -> Result<(Device, Option<Change>), Blocked> {
        let kind = self.filesystem.name();
        let here = format!("{} ({})", self.device, device.node);
        if device.size < self.minimum_size.0 << 20 {
            return Err(Blocked::refused(
                format!(
                    "{here} has {} MiB, less than the {} MiB of `minimum_size`",
                    device.size >> 20,
                    self.minimum_size.0
                ),
                "is it the right device? correct `device` or `minimum_size`",
            ));
        }
        if device.read_only && !self.options.iter().any(|option| option == "ro") {
            return Err(Blocked::refused(format!("{here} is read-only"), "attach it so that it can be written"));
        }
        if device.kind == kind {
            return match self.label.as_str() {
                label if !label.is_empty() && label != device.label => Err(Blocked::refused(
                    format!("{here} holds an {kind} file system labelled `{}`, and not `{label}`", device.label),
                    "is it the right device? correct `device` or `label`",
                )),
                _ => Ok((device.clone(), None)),
            };
        }
        self.must_be_blank(table, device, &here)?;
        let uuid = self.new_uuid(machine, device)?;
        let label = self.label.clone();
        let format = MakeFileSystem {
            device: self.device.clone(),
            node: device.node.clone(),
            size: device.size,
            kind: kind.into(),
            uuid: uuid.clone(),
            label: label.clone(),
        };
        let diff =
            Diff::value(self.device.as_str(), format!("blank, {} MiB", device.size >> 20), format!("{kind}, {uuid}"));
        let after = Device { kind: kind.into(), uuid, label, unused_mib: 0, ..device.clone() };
        Ok((after, Some(Change::by(format).diff(diff))))
    }

    fn must_be_blank(&self, table: &Table, device: &Device, here: &str) -> Result<(), Blocked> {
        if !device.marks.is_empty() || !device.kind.is_empty() {
            let help = if device.cut_off {
                format!(
                    "a formatting by bedplate was cut off on it; if nothing was put on it since, `wipefs -a {0}` and \
                     `blkdiscard -z {0}` make it blank again",
                    device.node
                )
            } else if matches!(device.kind.as_str(), "ext4" | "xfs") {
                format!("set `filesystem = \"{}\"` to use what is on it, or name another device", device.kind)
            } else {
                "nothing was done to it: name another device, or clear this one yourself once you are sure".to_owned()
            };
            return Err(Blocked::refused(format!("{here} is not blank: it {}", device.marks.join("; it ")), help));
        }
        if device.is_partition {
            return Err(Blocked::refused(
                format!("{here} is a partition, and only whole devices are formatted"),
                "name the whole device, or make a file system on the partition yourself",
            ));
        }
        if device.read_only || device.size < 16 << 20 {
            return Err(Blocked::refused(format!("{here} can not hold a file system"), "name another device"));
        }
        if let Some(entry) = table.at(self.path.as_str()).first() {
            return Err(Blocked::refused(
                format!("{here} is blank, but /etc/fstab has a volume at {} already: {}", self.path, entry.source),
                "if that volume is gone for good, take its line out of /etc/fstab and run again; otherwise attach it",
            ));
        }
        Ok(())
    }

    /// The partition, where there is room behind it; with the tool for it.
    fn grown_partition(&self, machine: &Machine, device: &Device) -> Result<Vec<Change>, Blocked> {
        let Some(behind) = device.behind.as_deref().cloned() else { return Ok(Vec::new()) };
        let mut changes = Vec::new();
        if let Some(tool) = tool()
            && !machine.get(&tool)?.is_installed()
        {
            let packages = std::collections::BTreeSet::from([tool.0]);
            changes.push(Change::by(InstallPackages { packages, recommends: false }));
        }
        let (size, node) = (device.size >> 20, device.node.clone());
        let diff = Diff::value(&node, format!("{size} MiB"), format!("{} MiB", size + behind.mib));
        let action = GrowPartition { device: self.device.clone(), node, behind };
        changes.push(Change::by(action).diff(diff));
        Ok(changes)
    }

    /// Docker's drop-in.
    fn waits(&self, machine: &Machine) -> Result<Option<Change>, Blocked> {
        let (Some(path), Some(unit), true) = (self.drop_in(), Self::docker(), self.before_docker) else {
            return Ok(None);
        };
        let text = format!(
            "# Written by bedplate: containers start only once their volume is mounted.\n[Unit]\nRequiresMountsFor={}\n",
            self.path
        );
        let state = machine.file(&path)?;
        let before = match state {
            FileState::Absent => None,
            FileState::Present { kind: Kind::File { digest: Some(digest), content, .. }, mode, owner } => {
                if *digest == Digest::of(&text) && *mode == 0o644 && *owner == Owner::root() {
                    return Ok(None);
                }
                content.clone()
            }
            FileState::Present { .. } => {
                return Err(Blocked::refused(format!("{path} is not a plain file"), "move it away and run again"));
            }
        };
        let diff = Diff::Text { path: path.to_string(), before, after: Some(text.clone()) };
        let found = Found::of(state);
        let file = WriteFile { path, content: Content::Text(text), mode: 0o644, owner: Owner::root(), found };
        Ok(Some(Change::by(WriteUnitFile { file, unit }).diff(diff).then(ReloadSystemd)))
    }

    /// The folders on it; on a new file system there are none yet.
    fn folders(&self, machine: &Machine, is_new: bool) -> Result<Vec<Change>, Blocked> {
        let mut changes = Vec::new();
        for directory in &self.directories {
            let Some(path) = self.folder(directory) else { continue };
            let owner = Owner::named(&directory.owner, &directory.group);
            let mode = directory.mode.0;
            let make = || Change::by(MakeDirectory { path: path.clone(), mode, owner: owner.clone() });
            if is_new {
                changes.push(make());
                continue;
            }
            match machine.file(&path)? {
                FileState::Absent => changes.push(make()),
                FileState::Present { kind: Kind::Directory, mode: is_mode, owner: is_owner } => {
                    if (*is_mode, is_owner) != (mode, &owner) {
                        let diff = Diff::value(
                            path.as_str(),
                            format!("{is_owner} {is_mode:04o}"),
                            format!("{owner} {mode:04o}"),
                        );
                        let action = SetAttributes { path, directory: true, mode, owner };
                        changes.push(Change::by(action).diff(diff));
                    }
                }
                FileState::Present { .. } => {
                    return Err(Blocked::refused(format!("{path} is not a folder"), "move it away and run again"));
                }
            }
        }
        Ok(changes)
    }

    fn live<'a>(&'a self, there: &'a MountPointState, device: &Device) -> Live<'a> {
        Live {
            path: &self.path,
            source: self.device.as_str(),
            there,
            is_this: there.mounted.as_ref().is_some_and(|mounted| mounted.number == device.number),
            options: &self.options,
        }
    }
}

impl Resource for Volume {
    const NAME: &'static str = "volume";
    const EXAMPLE: &'static str = "device = \"/dev/disk/by-id/scsi-0DO_Volume_data\"\npath = \"/mnt/data\"\nminimum_size = \"10G\"\n\
        directories = [{ path = \"storage\", owner = \"1000\", group = \"1000\" }]\n";

    fn check(&self, problems: &mut Problems) {
        let device = self.device.as_str();
        if device.strip_prefix("/dev/").is_some_and(|name| !name.contains('/')) {
            let help = "use its name below /dev/disk/by-id, which `ls -l /dev/disk/by-id` shows";
            problems.push("device", format!("{device} may be another disk after a reboot"), Some(help));
        }
        let path = self.path.as_str();
        if path.matches('/').count() < 1
            || ["/", "/etc", "/usr", "/var", "/boot", "/home", "/root", "/dev"].contains(&path)
        {
            problems.push("path", "the system itself lives there", Some("use a folder such as /mnt/data"));
        }
        if path.contains(['%', '\\', '"', ' ']) {
            problems.push(
                "path",
                "systemd does not take such a path as it is",
                Some("use a plain path such as /mnt/data"),
            );
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.label.len() > 12 || !self.label.chars().all(plain) {
            problems.push("label", "a label has at most 12 letters, digits and `-_.`", None);
        }
        for (at, directory) in self.directories.iter().enumerate() {
            if self.folder(directory).is_none() || directory.path.starts_with('/') {
                problems.push(
                    &format!("directories.{at}.path"),
                    "it is the path of a folder on the volume",
                    Some("such as `storage`"),
                );
            }
        }
        let bad = |option: &String| option.is_empty() || option.contains([',', ' ', '\t', '\n']);
        if self.options.iter().any(bad) {
            problems.push("options", "an option is one word", Some("write each option as one element of the list"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![
            System::Here.into(),
            BlockDevice(self.device.clone()).into(),
            MountPoint(self.path.clone()).into(),
            File::at(&fstab::path()).into(),
        ];
        facts.extend(tool().map(Question::from));
        facts.extend(self.drop_in().filter(|_| self.before_docker).map(|path| File::at(&path).into()));
        facts.extend(self.directories.iter().filter_map(|directory| Some(File::at(&self.folder(directory)?).into())));
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        let none_of_ours = |question: &Question| {
            !matches!(question, Question::System(_) | Question::BlockDevice(_) | Question::Package(_))
        };
        Resource::facts(self).into_iter().filter(none_of_ours).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let table = Table::on(machine)?;
        let there = machine.get(&MountPoint(self.path.clone()))?;
        let device = present(&self.device, machine.get(&BlockDevice(self.device.clone()))?)?;
        // What stands in the way of the mount stands in the way of formatting too.
        let live = self.live(there, device);
        live.change(Some(device), self.protect, false)?;
        let (device, format) = self.formatted(machine, &table, device)?;
        let is_new = format.is_some();
        let wanted = Entry {
            line: 0,
            source: source_of(&device),
            target: self.path.to_string(),
            kind: device.kind.clone(),
            options: options(&self.options, true).join(","),
            pass: 2,
        };
        let names =
            [wanted.source.clone(), self.device.to_string(), device.node.clone(), format!("LABEL={}", device.label)];
        let listed = table.with(&wanted, &names)?;
        let mount = live.change(Some(&device), self.protect, is_new)?;
        let is_mounted = there.mounted.is_some();
        let mut changes: Vec<Change> = format.into_iter().chain(listed).chain(mount).collect();
        changes.extend(self.waits(machine)?);
        if !is_new {
            changes.extend(self.grown_partition(machine, &device)?);
        }
        let behind = device.behind.as_ref().map_or(0, |behind| behind.mib);
        if device.unused_mib + behind > 0 && !is_new {
            let grow = GrowFileSystem {
                device: self.device.clone(),
                path: self.path.clone(),
                number: device.number.clone(),
                node: device.node.clone(),
                kind: device.kind.clone(),
            };
            let size = (device.size >> 20) + behind;
            let diff = Diff::value(
                self.path.as_str(),
                format!("{} MiB", size.saturating_sub(device.unused_mib + behind)),
                format!("{size} MiB"),
            );
            changes.push(Change::by(grow).diff(diff));
        }
        // What is on a file system that is mounted only now shows then, and the folders are decided after.
        if is_mounted || is_new {
            changes.extend(self.folders(machine, is_new)?);
        }
        let why = format!(
            "{} ({}, {} MiB) is mounted at {} now and at boot",
            self.device,
            device.kind,
            device.size >> 20,
            self.path
        );
        Ok(Plan::changes(changes, why))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let kind = proptest::sample::select(vec![FileSystem::Ext4, FileSystem::Xfs]);
        let options = proptest::sample::select(vec![vec![], vec!["noatime".to_owned()], vec!["ro".to_owned()]]);
        let label = proptest::sample::select(vec![String::new(), "data".to_owned()]);
        let minimum = prop_oneof![Just(0u64), Just(1000)];
        (kind, options, label, minimum, any::<bool>(), any::<bool>())
            .prop_map(|(filesystem, options, label, minimum, folder, before_docker)| {
                let directory =
                    Directory { path: "storage".into(), owner: "1000".into(), group: "1000".into(), mode: closed() };
                Volume {
                    device: DeviceName::new("/dev/disk/by-id/data").unwrap(),
                    path: AbsPath::literal("/mnt/data"),
                    filesystem,
                    label,
                    minimum_size: Size(minimum),
                    options,
                    directories: if folder { vec![directory] } else { Vec::new() },
                    protect: true,
                    before_docker,
                }
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests;
