//! The guard of volumes, on loop devices of this machine: whatever is on a device, formatting refuses it and does not
//! change a byte; only a device of zeros is formatted. Each kind says whether it is shown live (made by the tool itself,
//! or truly in use) or by the superblock bytes that its tool writes: kernels of test machines have no device-mapper, md or
//! ZFS. What such a kernel could only say by its own files is in `lying.rs`, and what a plan makes of it by facts alone
//! in the tests of `block_device`.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bedplate::action::{Act as _, MakeFileSystem};
use bedplate::base::Digest;
use bedplate::machine::block_device::{BlockDeviceState, Device, DeviceName};
use bedplate::machine::{BlockDevice, Probe};
use bedplate::shell::{Batch, Mode, Nonce, frame};

/// xfs takes no less.
pub(super) const LARGE: u64 = 320 << 20;
pub(super) const SMALL: u64 = 40 << 20;
const UUID: &str = "6b1e9f6e-0000-4000-a000-0123456789ab";

/// A loop device; detached and removed when it goes.
pub(super) struct Disk {
    pub(super) node: String,
    size: u64,
    pub(super) file: PathBuf,
    _folder: tempfile::TempDir,
}

#[track_caller]
pub(super) fn said(command: &str, args: &[&str]) -> String {
    let output = Command::new(command)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("this test needs `{command}` and root: {error}"));
    assert!(
        output.status.success(),
        "this test needs root and loop devices: `{command} {args:?}` said {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Disk {
    pub(super) fn of(size: u64) -> Self {
        crate::tools::need("mkfs.ext4", "e2fsprogs");
        crate::tools::need("mkfs.xfs", "xfsprogs");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("disk");
        File::create(&file).and_then(|file| file.set_len(size)).expect("a sparse file");
        let node = said("losetup", &["--find", "--show", &file.to_string_lossy()]);
        // A device stays read-only when the file behind it goes, as after a test that was killed.
        said("blockdev", &["--setrw", &node]);
        Self { node, size, file, _folder: folder }
    }

    pub(super) fn write(&self, at: u64, bytes: &[u8]) {
        let mut device = OpenOptions::new().write(true).open(&self.node).expect("the device opens");
        device
            .seek(SeekFrom::Start(at))
            .and_then(|_| device.write_all(bytes))
            .and_then(|()| device.sync_all())
            .expect("written");
    }

    pub(super) fn digest(&self) -> Digest {
        said("blockdev", &["--flushbufs", &self.node]);
        let mut content = Vec::new();
        File::open(&self.file).and_then(|mut file| file.read_to_end(&mut content)).expect("read");
        Digest::of(content)
    }

    fn name(&self) -> DeviceName {
        DeviceName::new(self.node.as_str()).expect("a name")
    }

    fn seen(&self) -> Device {
        self.seen_by(dash())
    }

    /// What a probe in that shell says of it.
    pub(super) fn seen_by(&self, shell: Command) -> Device {
        let question = BlockDevice(self.name());
        let probe = Probe::new([question.clone().into()]);
        let bodies = run(shell, &probe.batch());
        let machine = probe.read(bodies.iter().map(|(_, body)| body.as_slice())).expect("an answer");
        match machine.get(&question) {
            Ok(BlockDeviceState::Present(device)) => device.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn format(&self, kind: &str) -> (u8, String) {
        self.format_by(dash(), kind)
    }

    /// Asks for a file system in that shell; status and what was said.
    pub(super) fn format_by(&self, shell: Command, kind: &str) -> (u8, String) {
        self.format_as(self.name(), shell, kind)
    }

    /// The same by another name, which is to mean this device.
    fn format_as(&self, device: DeviceName, shell: Command, kind: &str) -> (u8, String) {
        let action = MakeFileSystem {
            device,
            node: self.node.clone(),
            size: self.size,
            kind: kind.into(),
            uuid: UUID.into(),
            label: "data".into(),
        };
        // A host has one run at a time, and its formatting one log: these tests too, and those of another checkout.
        let one = File::create("/run/bedplate-formats").expect("root");
        one.lock().expect("a lock");
        let (status, body) = run(shell, &Batch::new(Mode::Act, vec![action.call()])).remove(0);
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// What is on it is seen or, at the latest, met by the formatting, which leaves every byte as it is.
    #[track_caller]
    fn is_refused(&self, what: &str, mark: &str) {
        let before = self.digest();
        let device = self.seen();
        let marks = device.marks.join("; ");
        assert!(marks.contains(mark), "{what}: {marks:?}");
        // mkfs.xfs would refuse much by itself.
        let (status, text) = self.format("ext4");
        assert_ne!(status, 0, "{what} was formatted: {text}");
        assert_eq!(self.digest(), before, "{what} was changed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What a failed test has left in use.
        for command in ["swapoff", "umount"] {
            let _ = Command::new(command).arg(&self.node).stderr(Stdio::null()).status();
        }
        let _ = Command::new("losetup").args(["-d", &self.node]).status();
    }
}

fn dash() -> Command {
    let mut dash = Command::new("dash");
    dash.arg("-s");
    dash
}

fn run(mut shell: Command, batch: &Batch) -> Vec<(u8, Vec<u8>)> {
    let nonce = Nonce::new(u128::from(std::process::id()));
    let mut child = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs dash: {error}"));
    let script = batch.render(&nonce, 1, &[]).expect("a script");
    child.stdin.take().expect("an input").write_all(script.as_bytes()).expect("sent");
    let output = child.wait_with_output().expect("an answer").stdout;
    let parts = frame::Reader::new(&nonce).push(&output).expect("frames");
    let ends = parts.into_iter().filter_map(|part| match part {
        frame::Part::End { status, body, .. } => Some((status, body)),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_device_of_zeros_is_formatted_once() {
    for kind in ["ext4", "xfs"] {
        let disk = Disk::of(LARGE);
        let blank = disk.seen();
        assert_eq!((blank.marks, blank.size, blank.kind.as_str()), (Vec::new(), LARGE, ""));
        let (status, text) = disk.format(kind);
        assert_eq!(status, 0, "{text}");
        let made = disk.seen();
        assert_eq!((made.kind.as_str(), made.uuid.as_str(), made.label.as_str()), (kind, UUID, "data"));
        assert_eq!((made.unused_mib, made.cut_off), (0, false));
        let before = disk.digest();
        assert_eq!(disk.format(kind).0, 0, "a second run finds its work done");
        assert_eq!(disk.digest(), before);
        // The same device with another file system wanted is not blank any more.
        let other = if kind == "ext4" { "xfs" } else { "ext4" };
        assert_ne!(disk.format(other).0, 0);
        assert_eq!(disk.digest(), before);
    }
}

/// How a kind is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// By its own tool.
    Live,
    /// By the bytes that its tool writes.
    Bytes,
}

/// CRC-32 as LVM takes it: its own start, and nothing at the end.
fn crc_of_lvm(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

fn lvm(disk: &Disk) {
    // Of lvm2, lib/format_text/layout.h and lib/label/label.h: a label in the second sector.
    let mut label = vec![0; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = 1;
    label[20] = 32;
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(b"0b0c0d0e0f0g0h0i0j0k0l0m0n0o0p0q");
    let sum = crc_of_lvm(&label[20..]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    disk.write(512, &label);
}

/// A superblock of md(4) of version 1, where its minor version has it.
fn raid(disk: &Disk, at: u64) {
    disk.write(at, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
    disk.write(at + 144, &(at / 512).to_le_bytes());
}

/// Four labels of uberblocks, on a device that is large enough for ZFS.
fn zfs(disk: &Disk) {
    for label in [0, 256 << 10, LARGE - (512 << 10), LARGE - (256 << 10)] {
        for uberblock in 0..16u64 {
            disk.write(label + (128 << 10) + uberblock * 1024, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]);
        }
    }
}

fn partitioned(disk: &Disk, table: &str) {
    crate::tools::need("sfdisk", "fdisk");
    let mut sfdisk = Command::new("sfdisk");
    sfdisk.args(["-q", "--no-reread", "--no-tell-kernel", &disk.node]);
    let mut child = sfdisk.stdin(Stdio::piped()).spawn().expect("sfdisk runs");
    let table = format!("label: {table}\nstart=2048, type=L\n");
    child.stdin.take().expect("an input").write_all(table.as_bytes()).expect("sent");
    assert!(child.wait().expect("an end").success(), "sfdisk failed");
}

#[test]
fn a_device_with_anything_on_it_is_refused_unchanged() {
    use Shown::{Bytes, Live};
    type Inject = fn(&Disk);
    let cases: [(Shown, &str, &str, Inject); 22] = [
        (Live, "ext4", "holds ext4", |disk| drop(said("mkfs.ext4", &["-q", &disk.node]))),
        (Live, "xfs", "holds xfs", |disk| drop(said("mkfs.xfs", &["-q", &disk.node]))),
        (Live, "btrfs", "btrfs", |disk| {
            crate::tools::need("mkfs.btrfs", "btrfs-progs");
            said("mkfs.btrfs", &["-q", &disk.node]);
        }),
        (Live, "swap", "is a swap device", |disk| drop(said("mkswap", &[&disk.node]))),
        (Live, "a partition table (MBR)", "partition table (dos)", |disk| partitioned(disk, "dos")),
        (Live, "a partition table (GPT)", "partition table (gpt)", |disk| partitioned(disk, "gpt")),
        (Live, "the second copy of a GPT alone", "gpt", |disk| {
            partitioned(disk, "gpt");
            disk.write(0, &[0; 2 << 20]);
        }),
        (Bytes, "a GPT header without its table", "holds data", |disk| disk.write(512, b"EFI PART\x00\x00\x01\x00")),
        (Bytes, "LUKS", "is encrypted (LUKS)", |disk| {
            disk.write(0, b"LUKS\xba\xbe\x00\x01aes");
            disk.write(168, b"0b0c0d0e-0000-4000-a000-000000000000\0");
        }),
        (Bytes, "LUKS 2", "is encrypted (LUKS)", |disk| {
            disk.write(0, b"LUKS\xba\xbe\x00\x02");
            disk.write(168, b"0b0c0d0e-0000-4000-a000-000000000000\0");
        }),
        (Bytes, "LVM", "is a part of an LVM volume group", lvm),
        (Bytes, "an LVM label whose sum is wrong", "LVM2_member", |disk| {
            disk.write(512, b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001");
        }),
        (Bytes, "RAID 1.2", "is a part of a RAID array", |disk| raid(disk, 4096)),
        (Bytes, "RAID 1.1", "is a part of a RAID array", |disk| raid(disk, 0)),
        (Bytes, "RAID 1.0, whose mark is at the end", "is a part of a RAID array", |disk| raid(disk, SMALL - 8192)),
        (Bytes, "RAID 0.90, whose mark is at the end", "is a part of a RAID array", |disk| {
            disk.write(SMALL - (64 << 10), &[0xfc, 0x4e, 0x2b, 0xa9, 0, 0, 0, 0, 90, 0, 0, 0]);
        }),
        (Bytes, "ZFS", "is a part of a ZFS pool", zfs),
        (Bytes, "an image of a CD", "iso9660", |disk| disk.write(32 << 10, b"\x01CD001\x01\0")),
        (Live, "one byte at the start", "holds data", |disk| disk.write(0, &[1])),
        (Live, "bytes after the first MiB", "holds data", |disk| disk.write(1 << 20, b"row 1")),
        (Live, "the last byte", "holds data", |disk| disk.write(SMALL - 1, &[1])),
        (Live, "bytes that the first look misses", "", |disk| disk.write((20 << 20) + 77, b"row 1")),
    ];
    for (shown, what, mark, inject) in cases {
        let disk = Disk::of(if matches!(what, "xfs" | "btrfs" | "ZFS") { LARGE } else { SMALL });
        inject(&disk);
        disk.is_refused(&format!("{what} ({shown:?})"), mark);
    }
}

/// A file system on two devices shows one of them where it is mounted. The other is in use all the same, though nothing
/// is written on it any more.
#[test]
fn the_second_device_of_a_mounted_file_system_is_refused_though_it_is_wiped() {
    crate::tools::need("mkfs.btrfs", "btrfs-progs");
    let disks = [Disk::of(LARGE), Disk::of(LARGE)];
    said("mkfs.btrfs", &["-q", "-d", "single", "-m", "single", &disks[0].node, &disks[1].node]);
    let place = tempfile::tempdir().expect("a folder");
    said("mount", &[&disks[0].node, &place.path().to_string_lossy()]);
    said("blkdiscard", &["-f", "-z", &disks[1].node]);
    let seen = disks[1].seen();
    let (status, text) = disks[1].format("ext4");
    said("umount", &[&place.path().to_string_lossy()]);
    assert!(seen.marks.join("; ").contains("does not show"), "{:?}", seen.marks);
    assert!(status != 0 && text.contains("does not show"), "{text}");
}

#[test]
fn a_device_in_use_or_not_as_planned_is_refused_unchanged() {
    let disk = Disk::of(SMALL);
    let file = OpenOptions::new().append(true).open(&disk.file).expect("the file opens");
    file.set_len(SMALL + (16 << 20)).expect("it grows");
    said("losetup", &["-c", &disk.node]);
    assert_eq!(disk.seen().marks, Vec::<String>::new());
    let (status, text) = disk.format("ext4");
    assert_eq!(status, 75, "another size than planned: {text}");

    // The name means another device by now, as after an exchange.
    let (disk, other) = (Disk::of(SMALL), Disk::of(SMALL));
    let before = (disk.digest(), other.digest());
    let (status, text) = disk.format_as(other.name(), dash(), "ext4");
    assert_eq!(status, 75, "another device than planned: {text}");
    assert_eq!((disk.digest(), other.digest()), before);

    let disk = Disk::of(SMALL);
    assert_eq!(disk.format("ext4").0, 0);
    let place = tempfile::tempdir().expect("a folder");
    said("mount", &[&disk.node, &place.path().to_string_lossy()]);
    let seen = disk.seen();
    let (status, text) = disk.format("xfs");
    said("umount", &[&place.path().to_string_lossy()]);
    assert!(seen.marks[0].contains("is mounted at"), "{:?}", seen.marks);
    assert_ne!(status, 0, "{text}");

    let disk = Disk::of(SMALL);
    said("mkswap", &[&disk.node]);
    said("swapon", &[&disk.node]);
    // The mark is taken off while the swap is in use: what is in use is still seen.
    OpenOptions::new().write(true).open(&disk.file).and_then(|file| file.write_all_at(&[0; 4096], 0)).expect("written");
    let seen = disk.seen();
    let (status, text) = disk.format("ext4");
    said("swapoff", &[&disk.node]);
    assert!(seen.marks.iter().any(|mark| mark.contains("in use as swap")), "{:?}", seen.marks);
    assert_ne!(status, 0, "{text}");

    let disk = Disk::of(SMALL);
    said("blockdev", &["--setro", &disk.node]);
    assert!(disk.seen().read_only);
    let (status, text) = disk.format("ext4");
    said("blockdev", &["--setrw", &disk.node]);
    assert!(status != 0 && text.contains("read-only"), "{text}");
}

#[test]
fn a_formatting_that_was_cut_off_is_told_and_not_repeated() {
    let disk = Disk::of(SMALL);
    disk.write(4 << 20, b"half a file system");
    let record = format!("/var/lib/bedplate/formatting{}", disk.node.replace('/', "-"));
    std::fs::create_dir_all("/var/lib/bedplate").expect("root");
    std::fs::write(&record, "").expect("root");
    let seen = disk.seen();
    let (status, _) = disk.format("ext4");
    std::fs::remove_file(&record).expect("removed");
    assert!(seen.cut_off);
    assert_ne!(status, 0);
}

/// Two devices with one label are never chosen between.
#[test]
fn a_label_that_two_devices_bear_is_ambiguous() {
    let disks = [Disk::of(SMALL), Disk::of(SMALL)];
    for disk in &disks {
        said("mkfs.ext4", &["-q", "-L", "bp-twice", &disk.node]);
    }
    let question = BlockDevice(DeviceName::new("LABEL=bp-twice").expect("a name"));
    let probe = Probe::new([question.clone().into()]);
    let bodies = run(dash(), &probe.batch());
    let machine = probe.read(bodies.iter().map(|(_, body)| body.as_slice())).expect("an answer");
    assert!(matches!(machine.get(&question), Ok(BlockDeviceState::Several { nodes }) if nodes.len() == 2));
}
