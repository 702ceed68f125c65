//! The guard of volumes, on loop devices of this machine: whatever is on a device, formatting refuses it and does not
//! change a byte; only a device of zeros is formatted.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use bedplate::action::{Act as _, MakeFileSystem};
use bedplate::base::Digest;
use bedplate::machine::block_device::{BlockDeviceState, Device, DeviceName};
use bedplate::machine::{BlockDevice, Probe};
use bedplate::shell::{Batch, Mode, Nonce, frame};

/// xfs takes no less.
const LARGE: u64 = 320 << 20;
const SMALL: u64 = 40 << 20;
const UUID: &str = "6b1e9f6e-0000-4000-a000-0123456789ab";

/// A loop device; detached and removed when it goes.
struct Disk {
    node: String,
    size: u64,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

#[track_caller]
fn said(command: &str, args: &[&str]) -> String {
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
    fn of(size: u64) -> Self {
        crate::tools::need("mkfs.ext4", "e2fsprogs");
        crate::tools::need("mkfs.xfs", "xfsprogs");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("disk");
        File::create(&file).and_then(|file| file.set_len(size)).expect("a sparse file");
        let node = said("losetup", &["--find", "--show", &file.to_string_lossy()]);
        Self { node, size, file, _folder: folder }
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let mut device = OpenOptions::new().write(true).open(&self.node).expect("the device opens");
        device
            .seek(SeekFrom::Start(at))
            .and_then(|_| device.write_all(bytes))
            .and_then(|()| device.sync_all())
            .expect("written");
    }

    fn digest(&self) -> Digest {
        said("blockdev", &["--flushbufs", &self.node]);
        let mut content = Vec::new();
        File::open(&self.file).and_then(|mut file| file.read_to_end(&mut content)).expect("read");
        Digest::of(content)
    }

    fn name(&self) -> DeviceName {
        DeviceName::new(self.node.as_str()).expect("a name")
    }

    fn seen(&self) -> Device {
        let question = BlockDevice(self.name());
        let probe = Probe::new([question.clone().into()]);
        let bodies = run(&probe.batch());
        let machine = probe.read(bodies.iter().map(|(_, body)| body.as_slice())).expect("an answer");
        match machine.get(&question) {
            Ok(BlockDeviceState::Present(device)) => device.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for a file system; status and what was said.
    fn format(&self, kind: &str) -> (u8, String) {
        let action = MakeFileSystem {
            device: self.name(),
            node: self.node.clone(),
            size: self.size,
            kind: kind.into(),
            uuid: UUID.into(),
            label: "data".into(),
        };
        // A host has one run at a time, and its formatting one log.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, body) = run(&Batch::new(Mode::Act, vec![action.call()])).remove(0);
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// What is on it is seen or, at the latest, met by the formatting, which leaves every byte as it is.
    #[track_caller]
    fn is_refused(&self, what: &str, mark: &str) {
        let before = self.digest();
        let device = self.seen();
        let marks = device.marks.join("; ");
        assert!(marks.contains(mark), "{what}: {marks:?}");
        for kind in ["ext4", "xfs"] {
            let (status, text) = self.format(kind);
            assert_ne!(status, 0, "{what} was formatted: {text}");
        }
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

fn run(batch: &Batch) -> Vec<(u8, Vec<u8>)> {
    let nonce = Nonce::new(u128::from(std::process::id()));
    let mut child = Command::new("dash")
        .arg("-s")
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

#[test]
fn a_device_with_anything_on_it_is_refused_unchanged() {
    type Inject = fn(&Disk);
    let cases: [(&str, &str, Inject); 13] = [
        ("ext4", "holds ext4", |disk| drop(said("mkfs.ext4", &["-q", &disk.node]))),
        ("xfs", "holds xfs", |disk| drop(said("mkfs.xfs", &["-q", &disk.node]))),
        ("swap", "is a swap device", |disk| drop(said("mkswap", &[&disk.node]))),
        ("LUKS", "LUKS", |disk| {
            disk.write(0, b"LUKS\xba\xbe\x00\x01aes");
            disk.write(168, b"0b0c0d0e-0000-4000-a000-000000000000\0");
        }),
        ("a RAID member", "RAID", |disk| {
            // Version 1.2 of md: 4 KiB from the start (md(4)).
            disk.write(4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
            disk.write(4096 + 144, &8u64.to_le_bytes());
        }),
        ("a partition table (MBR)", "partition table (dos)", |disk| {
            disk.write(446, &[0, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0]);
            disk.write(510, &[0x55, 0xaa]);
        }),
        ("a GPT header alone", "", |disk| disk.write(512, b"EFI PART\x00\x00\x01\x00")),
        ("an LVM label", "", |disk| disk.write(512, b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001")),
        ("ZFS labels", "", |disk| disk.write(128 << 10, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0])),
        ("one byte at the start", "holds data", |disk| disk.write(0, &[1])),
        ("bytes after the first MiB", "holds data", |disk| disk.write(1 << 20, b"row 1")),
        ("the last byte", "holds data", |disk| disk.write(SMALL - 1, &[1])),
        ("bytes that the first look misses", "", |disk| disk.write((20 << 20) + 77, b"row 1")),
    ];
    for (what, mark, inject) in cases {
        let disk = Disk::of(if what == "xfs" { LARGE } else { SMALL });
        inject(&disk);
        disk.is_refused(what, mark);
    }
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
    let bodies = run(&probe.batch());
    let machine = probe.read(bodies.iter().map(|(_, body)| body.as_slice())).expect("an answer");
    assert!(matches!(machine.get(&question), Ok(BlockDeviceState::Several { nodes }) if nodes.len() == 2));
}
