//! The guard of volumes where its witnesses lie: each probe in turn says that a device with data is blank (or fails, or
//! is not there), and each in turn is the only one that sees something. All is live on loop devices of this machine, in a
//! mount namespace of its own, where a program or a file of the kernel is covered by one that lies. Parts that this
//! machine's kernel can not have (device-mapper, md) are told by such made-up files of the kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::blank::{Disk, SMALL, said};

/// One cover: a program, a file or a folder of this machine, and what stands in its place.
enum Lie {
    /// A program that does this instead.
    Program(&'static str, &'static str),
    /// A file of the kernel with this content.
    File(String, String),
    /// A folder of the kernel with these empty entries: folders, but for the files `size` and `ro`.
    Folder(String, Vec<String>),
    /// What is mounted at that place does not show here, as in another container.
    NotMounted(String),
}

use Lie::{Folder, NotMounted, Program};

/// A shell in which the lies are told. `folder` holds what they need.
fn shell(lies: &[Lie], folder: &Path) -> Command {
    let mut line = String::from("set -e\n");
    for (number, lie) in lies.iter().enumerate() {
        let from = folder.join(number.to_string());
        let _ = fs::remove_file(&from);
        let to = match lie {
            Program(name, does) => {
                fs::write(&from, format!("#!/bin/sh\n{does}\n")).expect("written");
                fs::set_permissions(&from, fs::Permissions::from_mode(0o755)).expect("made a program");
                said("sh", &["-c", &format!("readlink -f \"$(PATH=/usr/sbin:/usr/bin command -v {name})\"")])
            }
            Lie::File(path, content) => {
                fs::write(&from, content).expect("written");
                path.clone()
            }
            Folder(path, entries) => {
                fs::create_dir_all(&from).expect("a folder");
                for entry in entries {
                    // What covers the folder may be covered in part itself.
                    match entry.as_str() {
                        "size" | "ro" => fs::write(from.join(entry), "").expect("a file"),
                        entry => fs::create_dir_all(from.join(entry)).expect("a folder"),
                    }
                }
                path.clone()
            }
            NotMounted(place) => {
                line.push_str(&format!("umount '{place}'\n"));
                continue;
            }
        };
        line.push_str(&format!("mount --bind '{}' '{to}'\n", from.display()));
    }
    line.push_str("exec dash -s");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &line]);
    command
}

/// The name of the disk among the kernel's files.
fn of_kernel(disk: &Disk, below: &str) -> String {
    let name = disk.node.trim_start_matches("/dev/");
    format!("/sys/devices/virtual/block/{name}/{below}")
}

const BLKID: Lie = Program("blkid", "exit 2");
const WIPEFS: Lie = Program("wipefs", "exit 0");
const CMP: Lie = Program("cmp", "exit 0");
const PERL: Lie = Program("perl", "printf zero");

fn no_swap() -> Lie {
    Lie::File("/proc/swaps".into(), "Filename\tType\tSize\tUsed\tPriority\n".into())
}

#[track_caller]
fn is_refused(disk: &Disk, what: &str, lies: &[Lie], mark: &str) {
    let before = disk.digest();
    is_told(disk, what, lies, mark);
    assert_eq!(disk.digest(), before, "{what} was changed");
}

/// The same of a disk that the kernel itself may write to meanwhile.
#[track_caller]
fn is_told(disk: &Disk, what: &str, lies: &[Lie], mark: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let marks = disk.seen_by(shell(lies, folder.path())).marks.join("; ");
    assert!(!marks.is_empty() && marks.contains(mark), "{what}: {marks:?}");
    for kind in ["ext4", "xfs"] {
        let (status, text) = disk.format_by(shell(lies, folder.path()), kind);
        assert!(status != 0 && !text.contains("mkfs"), "{what} got as far as the formatting: {text}");
    }
}

/// What is done to a disk, by name.
type Made = (&'static str, fn(&Disk));

#[test]
fn one_probe_that_says_blank_is_not_believed() {
    let disk = Disk::of(SMALL);
    said("mkfs.ext4", &["-q", &disk.node]);
    for lie in [BLKID, WIPEFS, CMP, PERL] {
        is_refused(&disk, "a file system", &[lie], "");
    }
}

#[test]
#[ignore = "full tier: more disks, and probes that fail; the quick one shows a file system and probes that say blank"]
fn no_probe_that_lies_or_fails_lets_any_data_go() {
    let disks: [Made; 4] = [
        ("a file system", |disk| drop(said("mkfs.ext4", &["-q", &disk.node]))),
        ("a partition table", |disk| {
            disk.write(446, &[0, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0]);
            disk.write(510, &[0x55, 0xaa]);
        }),
        ("data at the start", |disk| disk.write(4096, b"row 1")),
        ("data at the end", |disk| disk.write(SMALL - 77, b"row 1")),
    ];
    // Each says blank, then fails, then can not be run at all.
    let programs: [(&str, [&str; 3]); 4] = [
        ("blkid", ["exit 2", "exit 4", "exit 127"]),
        ("wipefs", ["exit 0", "exit 1", "exit 127"]),
        ("cmp", ["exit 0", "exit 2", "exit 127"]),
        ("perl", ["printf zero", "exit 1", "exit 127"]),
    ];
    for (what, make) in disks {
        let disk = Disk::of(SMALL);
        make(&disk);
        for (program, lies) in programs {
            for lie in lies {
                is_refused(&disk, &format!("{what} ({program} does `{lie}`)"), &[Program(program, lie)], "");
            }
        }
    }
}

/// The lies are told: with all witnesses of what is on a disk covered, data there look like none.
#[test]
fn with_all_witnesses_covered_a_disk_with_data_looks_blank() {
    let disk = Disk::of(SMALL);
    said("mkfs.ext4", &["-q", &disk.node]);
    let folder = tempfile::tempdir().expect("a folder");
    let seen = disk.seen_by(shell(&[BLKID, WIPEFS, CMP, PERL], folder.path()));
    assert_eq!(seen.marks, Vec::<String>::new());
}

#[test]
fn one_program_that_alone_sees_something_is_enough() {
    let disk = Disk::of(SMALL);
    let alone: [(Lie, &str); 12] = [
        (Program("blkid", "echo TYPE=zfs_member"), "ZFS"),
        (Program("blkid", "echo PTTYPE=gpt"), "partition table (gpt)"),
        (Program("blkid", "echo USAGE=other; exit 2"), "does not name"),
        (Program("blkid", "exit 8"), "contradicting"),
        (Program("blkid", "exit 4"), "blkid ended with 4"),
        (Program("wipefs", "echo LVM2_member"), "LVM2_member"),
        (Program("wipefs", "exit 1"), "wipefs ended with 1"),
        (Program("cmp", "exit 1"), "holds data"),
        (Program("cmp", "exit 2"), "can not be read from end to end"),
        (Program("perl", "printf data"), "second reader says so"),
        (Program("perl", "exit 127"), "second reader could not read it"),
        (Program("perl", "printf busy"), "does not show"),
    ];
    for (lie, mark) in alone {
        let Program(program, does) = lie else { continue };
        let others = [BLKID, WIPEFS, CMP, PERL].into_iter().filter(|lie| match lie {
            Program(name, _) => *name != program,
            _ => true,
        });
        let lies: Vec<Lie> = others.chain([lie]).collect();
        is_refused(&disk, &format!("{program} does `{does}`"), &lies, mark);
    }
}

/// Two readers look for data, and each finds them wherever they are while the other says that there are none.
#[test]
fn each_reader_alone_finds_data_at_the_start_at_the_end_and_between() {
    let places: [Made; 3] = [
        ("the first byte", |disk| disk.write(0, &[1])),
        ("the last byte", |disk| disk.write(SMALL - 1, &[1])),
        // Wide enough that no reader steps over it.
        ("the middle", |disk| disk.write(16 << 20, &[1; 8 << 20])),
    ];
    for (what, make) in places {
        let disk = Disk::of(SMALL);
        make(&disk);
        for (reader, lie) in [("cmp", CMP), ("perl", PERL)] {
            is_refused(&disk, &format!("{what}, where {reader} lies"), &[BLKID, WIPEFS, lie], "holds data");
        }
    }
}

#[test]
fn one_file_of_the_kernel_that_alone_tells_of_a_use_is_enough() {
    let disk = Disk::of(SMALL);
    let name = disk.node.trim_start_matches("/dev/").to_owned();
    let all = || vec![BLKID, WIPEFS, CMP, PERL];
    let with = |lie: Lie| all().into_iter().chain([lie]).collect::<Vec<_>>();
    is_refused(&disk, "a holder", &with(Folder(of_kernel(&disk, "holders"), vec!["dm-0".into()])), "is in use by dm-0");
    let entries = vec![format!("{name}p1/partition"), "holders".into(), "size".into(), "ro".into()];
    let mut lies = with(Folder(of_kernel(&disk, ""), entries));
    // What covers the folder covers these too.
    for (file, content) in [("size", format!("{}\n", SMALL / 512)), ("ro", "0\n".into())] {
        lies.push(Lie::File(of_kernel(&disk, file), content));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let marks = disk.seen_by(shell(&lies, folder.path())).marks;
    assert_eq!(marks, [format!("has partitions ({name}p1)")]);
    let (status, text) = disk.format_by(shell(&lies, folder.path()), "ext4");
    assert!(status != 0 && text.contains("has partitions"), "{text}");

    let place = tempfile::tempdir().expect("a folder");
    let place = place.path().to_string_lossy().into_owned();
    said("mkfs.ext4", &["-q", &disk.node]);
    said("mount", &["-o", "ro", &disk.node, &place]);
    is_refused(&disk, "a mount", &all(), "is mounted at");
    // Another container has it mounted, and its mark is gone: only the kernel knows.
    let hidden = || vec![BLKID, WIPEFS, CMP, NotMounted(place.clone())];
    is_refused(&disk, "a mount elsewhere", &hidden(), "does not show");
    said("umount", &[&place]);

    // The tests beside this one may hold copies of that mount for a while.
    let disk = Disk::of(SMALL);
    said("mkswap", &["-f", &disk.node]);
    said("swapon", &[&disk.node]);
    // Whoever is short of memory on this machine is swapped out to it.
    is_told(&disk, "swap", &all(), "is in use as swap");
    is_told(&disk, "swap that the kernel does not list", &[BLKID, WIPEFS, CMP, no_swap()], "does not show");
    said("swapoff", &[&disk.node]);
    let head = fs::read(&disk.node).expect("the disk");
    assert_eq!(head.get(4086..4096), Some(&b"SWAPSPACE2"[..]), "the mark of the swap is gone");
}

/// What can not be asked is no permission: one file of the kernel is missing, or says that this is no whole device, while
/// all other witnesses say blank.
#[test]
fn what_the_kernel_does_not_tell_counts_as_no() {
    let disk = Disk::of(SMALL);
    let sys = |entries: &[&str]| {
        let entries = entries.iter().map(|entry| (*entry).to_owned()).collect();
        let files = [("size", format!("{}\n", SMALL / 512)), ("ro", "0\n".into())];
        let files = files.map(|(file, content)| Lie::File(of_kernel(&disk, file), content));
        [Folder(of_kernel(&disk, ""), entries)].into_iter().chain(files).collect::<Vec<_>>()
    };
    let proc =
        |entries: &[&str]| vec![Folder("/proc".into(), entries.iter().map(|entry| (*entry).to_owned()).collect())];
    let untold: [(Vec<Lie>, &str); 6] = [
        (vec![Lie::File(disk.node.clone(), String::new())], "is not a block device"),
        (sys(&["size", "ro", "holders", "partition"]), "only whole devices are formatted"),
        (sys(&["size", "ro"]), "what uses"),
        (sys(&["size", "holders"]).into_iter().take(2).collect(), "can be written is not known"),
        (proc(&[]), "what is mounted is not known"),
        (proc(&["self/mountinfo"]), "what is in use as swap is not known"),
    ];
    for (entries, is_partition) in
        [(&["size", "ro", "holders"][..], false), (&["size", "ro", "holders", "partition"], true)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(disk.seen_by(shell(&sys(entries), folder.path())).is_partition, is_partition, "{entries:?}");
    }
    let before = disk.digest();
    for (lies, said) in untold {
        let folder = tempfile::tempdir().expect("a folder");
        let (status, text) = disk.format_by(shell(&lies, folder.path()), "ext4");
        assert!(status != 0 && text.contains(said), "{said}: {text}");
        assert_eq!(disk.digest(), before, "{said}");
    }
}

/// A formatting that fails half-way leaves a record, by which the next look knows whose the rest is; one that only claims
/// to have worked is not believed.
#[test]
fn a_formatting_that_fails_or_only_says_that_it_worked_is_told() {
    for (does, said) in [("exit 1", "mkfs.ext4 failed on"), ("exit 0", "does not hold what was just made on it")] {
        let disk = Disk::of(SMALL);
        let record = format!("/var/lib/bedplate/formatting{}", disk.node.replace('/', "-"));
        let folder = tempfile::tempdir().expect("a folder");
        let (status, text) = disk.format_by(shell(&[Program("mkfs.ext4", does)], folder.path()), "ext4");
        let cut_off = disk.seen_by(shell(&[], folder.path())).cut_off;
        let kept = fs::remove_file(&record);
        assert!(status != 0 && text.contains(said), "{text}");
        assert!(cut_off && kept.is_ok(), "mkfs does `{does}`, and nothing tells whose the rest is");
    }
}

/// What no reader can see, the formatting itself meets: the kernel lets nobody write there.
#[test]
fn a_disk_that_only_claims_that_it_can_be_written_is_left_as_it_is() {
    let disk = Disk::of(SMALL);
    said("blockdev", &["--setro", &disk.node]);
    let folder = tempfile::tempdir().expect("a folder");
    let lies = [Lie::File(of_kernel(&disk, "ro"), "0\n".into())];
    let before = disk.digest();
    let (status, text) = disk.format_by(shell(&lies, folder.path()), "ext4");
    said("blockdev", &["--setrw", &disk.node]);
    assert!(status != 0 && text.contains("failed"), "{text}");
    assert_eq!(disk.digest(), before);
}
