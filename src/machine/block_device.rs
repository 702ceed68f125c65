//! Block devices: which one a name means, what is on it, and everything that speaks against formatting it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, fstab};
use crate::base::name::AbsPath;
use crate::shell::{Call, Library};

/// The probe of block devices; formatting asks it again on the host.
pub static BLOCK_DEVICE: Library =
    Library { name: "block_device.sh", text: include_str!("block_device.sh"), needs: &[] };

/// A block device by a name that stays: a path below `/dev`, `LABEL=…` or `UUID=…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks `text`. Errors: what is wrong with it.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let tag = text.strip_prefix("LABEL=").or_else(|| text.strip_prefix("UUID="));
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:+@".contains(c);
        let good = match tag {
            Some(tag) => !tag.is_empty() && tag.chars().all(legal),
            None => {
                AbsPath::new(text.as_str()).is_ok()
                    && text.starts_with("/dev/")
                    && text.chars().all(|c| legal(c) || c == '/')
            }
        };
        if good {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` is not a block device: write its path, such as /dev/disk/by-id/…, or LABEL=… or UUID=…"
            ))
        }
    }

    /// The text as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for DeviceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DeviceName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text)
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> String {
        name.0
    }
}

/// What does this name mean, and what is on it?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockDevice(pub DeviceName);

/// What a name of a block device means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockDeviceState {
    /// There is none.
    Absent,
    /// Several devices bear the label or UUID.
    Several {
        /// Their nodes.
        nodes: Vec<String>,
    },
    /// There is something, and it is not a block device.
    Other,
    /// One device.
    Present(Device),
}

/// One block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its node, such as `/dev/sdb`; may be another after a reboot.
    pub node: String,
    /// The kernel's number, such as `8:16`.
    pub number: String,
    /// Bytes.
    pub size: u64,
    /// Whether it can not be written.
    pub read_only: bool,
    /// Whether it is a partition of another.
    pub is_partition: bool,
    /// The file system (or what else is) on it, such as `ext4`; empty where none is known.
    pub kind: String,
    /// UUID of the file system.
    pub uuid: String,
    /// Label of the file system.
    pub label: String,
    /// Where it is mounted.
    pub mounted_at: Vec<String>,
    /// MiB of it that its file system does not use yet; 0 where that is not worth a change or not known.
    pub unused_mib: u64,
    /// All that says it is not blank, each a phrase after "it". Empty only when every probe agrees.
    pub marks: Vec<String>,
    /// Whether a formatting was begun here and did not end.
    pub cut_off: bool,
    /// The disk that it is the last partition of, where there is room behind it.
    #[serde(default)]
    pub behind: Option<Box<Behind>>,
}

/// Room behind the last partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Node of the disk.
    pub disk: String,
    /// Number of the partition.
    pub partition: u32,
    /// MiB that nothing uses.
    pub mib: u64,
}

/// Room that is worth growing a partition for.
fn behind(text: &str, size: u64) -> Option<Box<Behind>> {
    let mut words = text.split(' ');
    let (partition, bytes) = (words.next()?.parse().ok()?, words.next()?.parse::<u64>().ok()?);
    let mib = unused(size.checked_add(bytes)?, size);
    let disk = words.next()?.to_owned();
    (mib > 0).then(|| Box::new(Behind { disk, partition, mib }))
}

impl Fact for BlockDevice {
    type Answer = BlockDeviceState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&BLOCK_DEVICE, "block_device_probe").args(questions.iter().map(|question| question.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<BlockDeviceState>, BadAnswer> {
        questions.iter().map(|_| state(fields)).collect()
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<BlockDeviceState> {
        use proptest::prelude::*;
        let marks =
            proptest::sample::subsequence(vec!["holds data".to_owned(), "has partitions (sdb1)".to_owned()], 0..2);
        let flags = (
            any::<bool>(),
            prop_oneof![4 => Just(false), 1 => Just(true)],
            prop_oneof![4 => Just(false), 1 => Just(true)],
        );
        let kind = proptest::sample::select(vec!["", "", "ext4", "xfs", "crypto_LUKS"]);
        let uuid = proptest::sample::select(vec!["0b0c", "1b1c"]);
        let mounted =
            proptest::sample::select(vec![vec![], vec![], vec!["/mnt/data".to_owned()], vec!["/srv".to_owned()]]);
        let device = (kind, uuid, marks, flags, 0u64..4000, prop_oneof![Just(0u64), Just(500)], mounted);
        let present =
            device.prop_map(|(kind, uuid, mut marks, (labelled, read_only, cut_off), mib, unused_mib, mounted_at)| {
                if !kind.is_empty() {
                    marks.push(format!("holds {kind}"));
                }
                let some = |text: &str| if kind.is_empty() { String::new() } else { text.to_owned() };
                BlockDeviceState::Present(Device {
                    node: "/dev/loop1".into(),
                    number: "7:1".into(),
                    size: mib << 20,
                    read_only,
                    is_partition: labelled && read_only,
                    kind: kind.into(),
                    uuid: some(uuid),
                    label: some(if labelled { "data" } else { "" }),
                    mounted_at: if kind.is_empty() { Vec::new() } else { mounted_at },
                    unused_mib: if kind.is_empty() { 0 } else { unused_mib },
                    marks,
                    cut_off,
                    behind: (labelled && read_only && unused_mib > 0)
                        .then(|| Box::new(Behind { disk: "/dev/loop0".into(), partition: 1, mib: 700 })),
                })
            });
        let nodes = vec!["/dev/sdb".to_owned(), "/dev/sdc".to_owned()];
        prop_oneof![
            1 => Just(BlockDeviceState::Absent),
            1 => Just(BlockDeviceState::Several { nodes }),
            1 => Just(BlockDeviceState::Other),
            9 => present,
        ]
        .boxed()
    }
}

/// Fields up to an empty one.
fn list(fields: &mut Fields<'_>) -> Result<Vec<String>, BadAnswer> {
    let mut all = Vec::new();
    loop {
        match fields.text()? {
            "" => return Ok(all),
            one => all.push(one.to_owned()),
        }
    }
}

fn state(fields: &mut Fields<'_>) -> Result<BlockDeviceState, BadAnswer> {
    match fields.text()? {
        "absent" => return Ok(BlockDeviceState::Absent),
        "several" => {
            return Ok(BlockDeviceState::Several { nodes: fields.text()?.lines().map(str::to_owned).collect() });
        }
        "other" => return Ok(BlockDeviceState::Other),
        "block" => {}
        other => return Err(BadAnswer(format!("`{other}` is no state of a block device"))),
    }
    let (node, number) = (fields.text()?.to_owned(), fields.text()?.to_owned());
    let size: u64 = fields.number()?;
    let (read_only, is_partition) = (fields.flag()?, fields.flag()?);
    let evidence = Evidence {
        blkid_status: fields.number()?,
        blkid: String::from_utf8_lossy(fields.bytes()?).into_owned(),
        wipefs_status: fields.number()?,
        wipefs: String::from_utf8_lossy(fields.bytes()?).into_owned(),
        partitions: list(fields)?,
        holders: list(fields)?,
        mounted_at: fields.text()?.lines().map(fstab::unescape).collect(),
        swap: fields.flag()?,
        content: fields.text()?.to_owned(),
        second: fields.text()?.to_owned(),
    };
    let head: Vec<u8> =
        fields.text()?.split_whitespace().filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let mounted_size = fields
        .text()?
        .split_once(' ')
        .and_then(|(block, count)| block.parse::<u64>().ok()?.checked_mul(count.parse().ok()?));
    let cut_off = fields.flag()?;
    let behind = behind(fields.text()?, size);
    let kind = evidence.tag("TYPE");
    let used = file_system_size(&kind, &head, mounted_size);
    Ok(BlockDeviceState::Present(Device {
        node,
        number,
        size,
        read_only,
        is_partition,
        uuid: evidence.tag("UUID"),
        label: evidence.tag("LABEL"),
        unused_mib: used.map_or(0, |used| unused(size, used)),
        marks: evidence.marks(),
        mounted_at: evidence.mounted_at,
        kind,
        cut_off,
        behind,
    }))
}

/// What the probes said.
struct Evidence {
    blkid_status: i32,
    blkid: String,
    wipefs_status: i32,
    wipefs: String,
    partitions: Vec<String>,
    holders: Vec<String>,
    mounted_at: Vec<String>,
    swap: bool,
    content: String,
    /// What another reader said, and the kernel when it was asked for the device alone; `signed` where nobody asked.
    second: String,
}

impl Evidence {
    /// A tag of `blkid -o export`, which escapes with backslashes what is not plain.
    fn tag(&self, name: &str) -> String {
        let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.replace('\\', ""));
        self.blkid.lines().find_map(value).unwrap_or_default()
    }

    /// Everything that says "not blank", each for itself, so that no single probe decides.
    fn marks(&self) -> Vec<String> {
        let mut marks = Vec::new();
        let mut say = |on: bool, text: String| {
            if on {
                marks.push(text);
            }
        };
        let (kind, table) = (self.tag("TYPE"), self.tag("PTTYPE"));
        say(!self.mounted_at.is_empty(), format!("is mounted at {}", self.mounted_at.join(", ")));
        say(self.swap, "is in use as swap".into());
        say(!self.holders.is_empty(), format!("is in use by {} (LVM, RAID or encryption)", self.holders.join(", ")));
        say(!self.partitions.is_empty(), format!("has partitions ({})", self.partitions.join(", ")));
        say(!table.is_empty(), format!("has a partition table ({table})"));
        say(!kind.is_empty(), described(&kind));
        // 2 is "nothing found"; 8 is several contradicting signatures.
        match self.blkid_status {
            0 if !kind.is_empty() || !table.is_empty() => {}
            0 => say(true, "bears a mark that blkid does not name".into()),
            2 => say(!self.blkid.trim().is_empty(), "bears a mark that blkid does not name".into()),
            8 => say(true, "bears several contradicting signatures".into()),
            other => say(true, format!("can not be judged: blkid ended with {other}")),
        }
        let wiped: Vec<&str> =
            self.wipefs.split_whitespace().filter(|name| **name != kind && **name != table).collect();
        say(!wiped.is_empty(), format!("bears the signature of {}", wiped.join(", ")));
        say(self.wipefs_status != 0, format!("can not be judged: wipefs ended with {}", self.wipefs_status));
        let told = !kind.is_empty() || !table.is_empty() || !wiped.is_empty();
        match self.content.as_str() {
            "zero" => {}
            "data" => say(!told, "holds data without a file system (not all of it is zero)".into()),
            _ => say(true, "can not be read from end to end".into()),
        }
        let seen_in_use = !self.mounted_at.is_empty() || self.swap || !self.holders.is_empty();
        match self.second.as_str() {
            "zero" | "signed" => {}
            "data" => {
                say(
                    !told && self.content == "zero",
                    "holds data without a file system (a second reader says so)".into(),
                );
            }
            "busy" => say(
                !seen_in_use,
                "is in use by something that does not show (a container's mount, a part of a larger file system)"
                    .into(),
            ),
            _ => say(self.content == "zero", "can not be judged: a second reader could not read it".into()),
        }
        marks
    }
}

/// What a type of blkid means to people.
fn described(kind: &str) -> String {
    match kind {
        "crypto_LUKS" => "is encrypted (LUKS)".into(),
        "LVM2_member" => "is a part of an LVM volume group".into(),
        "linux_raid_member" => "is a part of a RAID array".into(),
        "zfs_member" => "is a part of a ZFS pool".into(),
        "swap" => "is a swap device".into(),
        "btrfs" => "holds a btrfs file system, or a part of one".into(),
        other => format!("holds {other}"),
    }
}

fn number(bytes: &[u8], at: usize, width: usize, little: bool) -> Option<u64> {
    let bytes = bytes.get(at..at + width)?;
    let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    Some(if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
}

/// Bytes that the file system on a device knows of, from its superblock (ext4: at 1024, little-endian; xfs: at 0,
/// big-endian). A mounted xfs keeps its superblock to itself for a while, so there the mount is asked, which leaves the
/// log out.
fn file_system_size(kind: &str, head: &[u8], mounted: Option<u64>) -> Option<u64> {
    match kind {
        "ext2" | "ext3" | "ext4" => {
            let block = 1024u64.checked_shl(u32::try_from(number(head, 1024 + 24, 4, true)?).ok()?)?;
            let wide = number(head, 1024 + 0x60, 4, true)? & 0x80 != 0;
            let high = if wide { number(head, 1024 + 0x150, 4, true)? } else { 0 };
            ((high << 32) | number(head, 1024 + 4, 4, true)?).checked_mul(block)
        }
        "xfs" => {
            let block = number(head, 4, 4, false)?;
            let all = number(head, 8, 8, false)?.checked_mul(block);
            let log_is_inside = number(head, 48, 8, false)? != 0;
            let log = if log_is_inside { number(head, 96, 4, false)?.checked_mul(block)? } else { 0 };
            mounted.map_or(all, |mounted| mounted.checked_add(log))
        }
        _ => None,
    }
}

/// What growing would gain, in MiB. A file system never fills its device to the last byte, so a little is nothing.
fn unused(size: u64, used: u64) -> u64 {
    let unused = size.saturating_sub(used) >> 20;
    if unused > (size >> 20) / 200 && unused >= 32 { unused } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_or_refused() {
        for good in ["/dev/disk/by-id/scsi-0DO_Volume_data", "LABEL=data", "UUID=0b0c-12", "/dev/sdb"] {
            assert!(DeviceName::new(good).is_ok(), "{good}");
        }
        for bad in ["sdb", "/etc/passwd", "LABEL=", "/dev/../etc/passwd", "UUID=a b", "/dev/x\ny"] {
            assert!(DeviceName::new(bad).is_err(), "{bad}");
        }
    }

    fn blank() -> Evidence {
        Evidence {
            blkid_status: 2,
            blkid: String::new(),
            wipefs_status: 0,
            wipefs: String::new(),
            partitions: Vec::new(),
            holders: Vec::new(),
            mounted_at: Vec::new(),
            swap: false,
            content: "zero".into(),
            second: "zero".into(),
        }
    }

    #[test]
    fn one_probe_that_objects_is_enough() {
        assert_eq!(blank().marks(), Vec::<String>::new());
        type Objecting = (fn(&mut Evidence), &'static str);
        let objecting: [Objecting; 17] = [
            (|e| e.blkid_status = 4, "can not be judged"),
            (|e| e.blkid_status = 8, "contradicting"),
            (|e| e.blkid_status = 0, "does not name"),
            (|e| e.blkid = "USAGE=other\n".into(), "does not name"),
            (|e| (e.blkid_status, e.blkid) = (0, "TYPE=zfs_member\n".into()), "ZFS"),
            (|e| (e.blkid_status, e.blkid) = (0, "PTTYPE=gpt\n".into()), "partition table (gpt)"),
            (|e| e.wipefs_status = 1, "wipefs ended with 1"),
            (|e| e.wipefs = "LVM2_member\n".into(), "signature of LVM2_member"),
            (|e| e.partitions = vec!["sdb1".into()], "sdb1"),
            (|e| e.holders = vec!["dm-0".into()], "dm-0"),
            (|e| e.mounted_at = vec!["/srv".into()], "mounted at /srv"),
            (|e| e.swap = true, "swap"),
            (|e| e.content = "data".into(), "without a file system"),
            (|e| e.content = "unreadable".into(), "can not be read"),
            (|e| e.second = "data".into(), "a second reader says so"),
            (|e| e.second = "busy".into(), "does not show"),
            (|e| e.second = String::new(), "a second reader could not"),
        ];
        for (object, said) in objecting {
            let mut evidence = blank();
            object(&mut evidence);
            let marks = evidence.marks();
            assert!(marks.iter().any(|mark| mark.contains(said)), "{said}: {marks:?}");
        }
    }

    #[test]
    fn a_little_room_is_nothing() {
        assert_eq!(unused(10 << 30, (10 << 30) - (20 << 20)), 0);
        assert_eq!(unused(10 << 30, 5 << 30), 5 << 10);
        assert_eq!(unused(1 << 30, 2 << 30), 0, "nothing is ever shrunk");
    }
}
