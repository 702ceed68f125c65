//! What speaks against formatting, by facts: one thing at a time, on a host where all else is in favour of it.

use super::*;
use crate::machine::block_device::{Behind, BlockDeviceState};
use crate::machine::{Volatile, mount};

const NAME: &str = "/dev/disk/by-id/scsi-0HC_Volume_1";

fn declared(more: &str) -> Volume {
    toml::from_str(&format!("device = \"{NAME}\"\npath = \"/mnt/data\"\n{more}")).unwrap()
}

/// A blank disk of 1 GiB.
fn blank() -> Device {
    Device {
        node: "/dev/sdb".into(),
        number: "8:16".into(),
        size: 1 << 30,
        read_only: false,
        is_partition: false,
        kind: String::new(),
        uuid: String::new(),
        label: String::new(),
        mounted_at: Vec::new(),
        unused_mib: 0,
        marks: Vec::new(),
        cut_off: false,
        behind: None,
    }
}

/// The same with a file system.
fn formatted() -> Device {
    let (kind, uuid, label) = ("ext4".into(), "0b0c".into(), "data".into());
    Device { kind, uuid, label, marks: vec!["holds ext4".into()], ..blank() }
}

/// A host with that device, that table of file systems, and that at the place of the mount.
fn host(device: Device, fstab: &str, point: mount::Point) -> Machine {
    let text = include_str!("../../../tests/recorded/debian-12.json");
    let mut machine: Machine = serde_json::from_str(text).unwrap();
    machine.set(BlockDevice(DeviceName::new(NAME).unwrap()), BlockDeviceState::Present(device));
    machine.set(File::at(&fstab::path()), FileState::text(fstab, 0o644, Owner::root()));
    machine.set(
        MountPoint(AbsPath::literal("/mnt/data")),
        MountPointState { mounted: None, point, immutable: false, identity: Volatile::default() },
    );
    for path in [declared("").drop_in().unwrap(), AbsPath::literal("/mnt/data/storage")] {
        machine.set(File::at(&path), FileState::Absent);
    }
    machine.set(tool().unwrap(), crate::machine::PackageState::Absent);
    machine
}

/// What the plan would do, or why it does nothing.
fn planned(volume: &Volume, machine: &Machine) -> Result<String, String> {
    match volume.plan(machine) {
        Ok(plan) => Ok(plan.changes.iter().map(|change| change.summary.clone()).collect::<Vec<_>>().join("; ")),
        Err(Blocked::Refused(refusal)) => Err(format!("{}: {}", refusal.what, refusal.help.unwrap_or_default())),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_blank_device_is_formatted_and_one_with_its_file_system_is_not() {
    let said = planned(&declared(""), &host(blank(), "", mount::Point::Empty)).unwrap();
    assert!(said.contains("make an ext4 file system on the blank device"), "{said}");
    let said = planned(&declared("label = \"data\"\n"), &host(formatted(), "", mount::Point::Empty)).unwrap();
    assert!(!said.contains("make an") && !said.is_empty(), "{said}");
}

#[test]
fn one_thing_that_speaks_against_it_is_enough() {
    type Objecting = (&'static str, fn(&mut Device), &'static str, &'static str);
    let objecting: [Objecting; 11] = [
        ("", |d| d.marks = vec!["is in use by dm-0".into()], "", "is not blank: it is in use by dm-0"),
        ("", |d| d.kind = "crypto_LUKS".into(), "", "is not blank"),
        ("filesystem = \"xfs\"\n", |d| *d = formatted(), "", "set `filesystem = \"ext4\"`"),
        ("label = \"other\"\n", |d| *d = formatted(), "", "labelled `data`, and not `other`"),
        ("", |d| (d.cut_off, d.marks) = (true, vec!["holds data".into()]), "", "a formatting by bedplate was cut off"),
        ("", |d| d.is_partition = true, "", "only whole devices are formatted"),
        ("", |d| d.read_only = true, "", "is read-only"),
        ("options = [\"ro\"]\n", |d| d.read_only = true, "", "can not hold a file system"),
        ("", |d| d.size = 8 << 20, "", "can not hold a file system"),
        ("minimum_size = \"10G\"\n", |_| (), "", "less than the 10240 MiB"),
        ("", |_| (), "UUID=1b1c /mnt/data ext4 nofail 0 2\n", "has a volume at /mnt/data already: UUID=1b1c"),
    ];
    for (more, object, fstab, why) in objecting {
        let mut device = blank();
        object(&mut device);
        let said = planned(&declared(more), &host(device, fstab, mount::Point::Empty)).expect_err(why);
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn what_stands_in_the_way_of_the_mount_stands_in_the_way_of_formatting() {
    for (point, why) in [(mount::Point::Full, "is not empty"), (mount::Point::Other, "is not a folder")] {
        let said = planned(&declared(""), &host(blank(), "", point)).expect_err(why);
        assert!(said.contains(why), "{said}");
    }
    let elsewhere = Device { mounted_at: vec!["/srv".into()], ..formatted() };
    let said = planned(&declared(""), &host(elsewhere, "", mount::Point::Empty)).expect_err("elsewhere");
    assert!(said.contains("is mounted at /srv, and not at /mnt/data"), "{said}");
    // Where else it is mounted is told before what is on it.
    let elsewhere = Device { kind: "xfs".into(), ..Device { mounted_at: vec!["/srv".into()], ..formatted() } };
    let said = planned(&declared(""), &host(elsewhere, "", mount::Point::Empty)).expect_err("elsewhere");
    assert!(said.contains("is mounted at /srv, and not at /mnt/data"), "{said}");
    let entry = "UUID=1b1c /mnt/data ext4 nofail 0 2\n";
    let said = planned(&declared(""), &host(formatted(), entry, mount::Point::Empty)).expect_err("exchanged");
    assert!(said.contains("/etc/fstab mounts UUID=1b1c"), "{said}");
}

#[test]
fn what_has_grown_is_filled_and_nothing_is_made_smaller() {
    let grown = Device { unused_mib: 500, ..formatted() };
    let said = planned(&declared(""), &host(grown, "", mount::Point::Empty)).unwrap();
    assert!(said.contains("fill"), "{said}");
    let said = planned(&declared(""), &host(formatted(), "", mount::Point::Empty)).unwrap();
    assert!(!said.contains("fill"), "{said}");
    let behind = Some(Box::new(Behind { disk: "/dev/sdb".into(), partition: 1, mib: 700 }));
    let part = Device { is_partition: true, behind, ..formatted() };
    let said = planned(&declared(""), &host(part, "", mount::Point::Empty)).unwrap();
    assert!(said.contains("let partition 1 of /dev/sdb reach to the end") && said.contains("fill"), "{said}");
}
