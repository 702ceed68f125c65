//! What boxes there are on this machine, on disk, so that any process can list, enter and remove them, and so that the
//! next one clears up after one that was killed. Whoever changes something holds the lock.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::Suite;
use super::address::Link;
use super::error::{Doing as _, Error, Result};
use super::process::Process;

/// The state of all boxes; it is empty after a reboot of this machine, as are the boxes' processes and networks.
pub(super) const STATE: &str = "/run/bedplate-sandbox";

/// What every box's interface is called, before its index.
pub(super) const LINK_PREFIX: &str = "bpbox";

/// One box, as `state.json` in its directory of state.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) suite: Suite,
    pub(super) index: u8,
    pub(super) link: Link,
    /// The directory that holds the box's tree and disks, and nothing else.
    pub(super) place: PathBuf,
    pub(super) memory_limit_mib: Option<u64>,
    /// Who removes it; `None` for a box that is to outlive its maker.
    pub(super) owner: Option<Process>,
    /// The script that keeps it.
    pub(super) keeper: Option<Process>,
    pub(super) disks: Vec<Disk>,
}

/// A loop device that a box was given.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Disk {
    /// `/dev/loop3`, the same outside and inside.
    pub(super) device: String,
    /// Its name below `/dev/disk/by-id`.
    pub(super) by_id: Option<String>,
}

impl Record {
    pub(super) fn directory(&self) -> PathBuf {
        Path::new(STATE).join(&self.name)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.place.join("root")
    }

    pub(super) fn link_name(&self) -> String {
        format!("{LINK_PREFIX}{}", self.index)
    }

    pub(super) fn namespace(&self) -> String {
        format!("bedplate-{}", self.name)
    }

    /// systemd-nspawn, while the box runs.
    pub(super) fn nspawn(&self) -> Option<Process> {
        Process::find(fs::read_to_string(self.file("nspawn.pid")).ok()?.trim().parse().ok()?)
    }

    /// The box's first process as this machine sees it, while the box runs.
    pub(super) fn leader(&self) -> Option<Process> {
        self.nspawn()?.leader()
    }

    /// Whether the process that was to remove it is gone.
    fn is_left_over(&self) -> bool {
        self.owner.is_some_and(|owner| !owner.lives())
    }

    /// Writes it. Errors: the file can not be written.
    pub(super) fn save(&self, _lock: &Lock) -> Result<()> {
        let path = self.file("state.json");
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from);
        text.and_then(|text| write_whole(&path, &text)).doing(|| format!("can not write {}", path.display()))
    }
}

/// A box as others see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its release.
    pub suite: Suite,
    /// Its address.
    pub ipv4: Ipv4Addr,
    /// Its other address.
    pub ipv6: Ipv6Addr,
    /// Whether it runs.
    pub running: bool,
    /// root's private key for it.
    pub key: PathBuf,
    /// Its host keys as lines of known_hosts.
    pub known_hosts: PathBuf,
}

impl From<&Record> for Info {
    fn from(record: &Record) -> Self {
        Self {
            name: record.name.clone(),
            suite: record.suite,
            ipv4: record.link.guest4,
            ipv6: record.link.guest6,
            running: record.nspawn().is_some(),
            key: record.file("key"),
            known_hosts: record.file("known_hosts"),
        }
    }
}

/// Held by whoever changes the registry, this machine's settings or its rules for boxes.
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock, which ends with the file")] File);

/// Waits for the lock.
pub(super) fn lock() -> Result<Lock> {
    let path = Path::new(STATE).join(".lock");
    fs::create_dir_all(STATE).doing(|| format!("can not make {STATE}"))?;
    let file = File::create(&path).doing(|| format!("can not make {}", path.display()))?;
    file.lock().doing(|| format!("can not lock {}", path.display()))?;
    Ok(Lock(file))
}

/// Every box, by name. A directory without a readable record is what a killed process left: it has no box yet.
pub(super) fn records() -> Result<Vec<Record>> {
    let entries = match fs::read_dir(STATE) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing(|| format!("can not read {STATE}")),
    };
    let mut found: Vec<Record> = entries.flatten().filter_map(|entry| load(&entry.path())).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn load(directory: &Path) -> Option<Record> {
    serde_json::from_str(&fs::read_to_string(directory.join("state.json")).ok()?).ok()
}

/// The box of that name. Errors: there is none.
pub(super) fn record(name: &str) -> Result<Record> {
    records()?.into_iter().find(|record| record.name == name).ok_or_else(|| Error::NoSuchBox(name.to_owned()))
}

/// The boxes whose owner died without removing them.
pub(super) fn left_over() -> Result<Vec<Record>> {
    Ok(records()?.into_iter().filter(Record::is_left_over).collect())
}

/// Errors: the name is not legal for a host, a namespace and a directory.
pub(super) fn check_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = name.len() <= 40 && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
    if fits && name.chars().all(legal) { Ok(()) } else { Err(Error::BadName(name.to_owned())) }
}

/// The lowest free of `box1`, `box2` …
pub(super) fn free_name(records: &[Record]) -> String {
    let mut number = 1_u32;
    while records.iter().any(|record| record.name == format!("box{number}")) {
        number += 1;
    }
    format!("box{number}")
}

/// Writes a file so that a reader sees all of it or what was there before.
pub(super) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_out_of_a_path_or_an_interface_are_refused() {
        for name in ["web", "web-1", "a"] {
            check_name(name).unwrap();
        }
        for name in ["", "-a", "a-", "1a", "../x", "Web", "a b", ".lock", &"x".repeat(41)] {
            assert!(matches!(check_name(name), Err(Error::BadName(_))), "{name}");
        }
    }

    #[test]
    fn a_record_reads_back() {
        let (index, link) = super::super::address::allocate(&[], &[]).unwrap();
        let record = Record {
            name: "web".into(),
            suite: Suite::Trixie,
            index,
            link,
            place: "/var/cache/x".into(),
            memory_limit_mib: Some(512),
            owner: Process::this(),
            keeper: None,
            disks: vec![Disk { device: "/dev/loop3".into(), by_id: Some("scsi-0HC_Volume_1".into()) }],
        };
        let text = serde_json::to_string(&record).unwrap();
        let back: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        assert!(!back.is_left_over(), "this process lives");
        assert_eq!(free_name(&[record]), "box1");
    }
}
