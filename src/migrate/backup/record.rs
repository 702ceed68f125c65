//! A backup as a folder: `manifest.json`, an archive for each tree, and `SHA256SUMS` over all of them, which
//! `sha256sum --check` reads too. Writes, reads and proves such folders, and takes old ones away. Knows no host.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::archive::{self, Tree, hex};
use crate::migrate::freight::To;
use crate::migrate::survey::Volume;

/// The form of the manifest. Another one is refused.
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form.
    pub version: u32,
    /// Which bedplate made it.
    pub bedplate: String,
    /// The host's name.
    pub host: String,
    /// The fingerprint of the host's key.
    pub host_key: String,
    /// When it was begun, in UTC: `2026-11-23T19:49:26Z`.
    pub taken: String,
    /// Whether containers stood still meanwhile.
    pub stopped: bool,
    /// The trees.
    pub trees: Vec<Saved>,
    /// What was left on the host, and why.
    pub left: Vec<String>,
    /// Names by which trees were known that are links, and where these led; the links themselves are in no archive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(String, String)>,
}

/// A tree of a backup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// How it is called: `volume shop_storage`.
    pub what: String,
    /// The volume of Docker's that it is, or is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<SavedVolume>,
    /// Where it was on the host.
    pub path: String,
    /// Whether it is a single file.
    pub file: bool,
    /// The archive's name.
    pub archive: String,
    /// SHA-256 of the archive.
    pub sha256: String,
    /// Bytes of the archive.
    pub size: u64,
    /// Bytes that it takes on a disk when unpacked.
    pub used: u64,
    /// Entries, and bytes of all files.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// SHA-256 over all names, sorts, modes, owners, sizes, links and files' own SHA-256.
    pub digest: String,
    /// Databases of SQLite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
    /// What was being written to meanwhile, and may be neither what it was before nor what it was after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_use: Vec<String>,
}

/// A volume of Docker's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedVolume {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Its options.
    #[serde(default)]
    pub options: std::collections::BTreeMap<String, String>,
    /// Its labels.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
    /// The folder in it; empty for all of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub below: String,
    /// Owner, group and mode of the volume's own folder, where only a folder in it is saved: `1000:1000 755`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

/// A database of SQLite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Below the tree; empty for the tree that is a file.
    pub path: String,
    /// What `PRAGMA integrity_check` says: `ok`, or what is wrong.
    pub integrity: String,
}

impl Saved {
    /// Where it goes.
    pub(super) fn to(&self) -> To {
        match &self.volume {
            None => To::Path(self.path.clone()),
            Some(saved) => To::Volume {
                volume: Volume {
                    name: saved.name.clone(),
                    driver: saved.driver.clone(),
                    mountpoint: String::new(),
                    options: Some(saved.options.clone()),
                    labels: Some(saved.labels.clone()),
                },
                below: saved.below.clone(),
            },
        }
    }

    /// The volume of where a tree goes.
    pub(super) fn volume_of(to: &To) -> Option<SavedVolume> {
        match to {
            To::Path(_) => None,
            To::Volume { volume, below } => Some(SavedVolume {
                name: volume.name.clone(),
                driver: volume.driver.clone(),
                options: volume.options.clone().unwrap_or_default(),
                labels: volume.labels.clone().unwrap_or_default(),
                below: below.clone(),
                owner: String::new(),
            }),
        }
    }
}

impl Manifest {
    pub(super) fn new(host: &str, host_key: &str, taken: &str, stopped: bool, bedplate: &str) -> Self {
        Self {
            version: VERSION,
            bedplate: bedplate.to_owned(),
            host: host.to_owned(),
            host_key: host_key.to_owned(),
            taken: taken.to_owned(),
            stopped,
            trees: Vec::new(),
            left: Vec::new(),
            links: Vec::new(),
        }
    }

    /// Whether every database of SQLite in it is whole.
    pub(super) fn is_sound(&self) -> bool {
        self.trees.iter().flat_map(|tree| &tree.databases).all(|database| database.integrity == "ok")
    }

    fn files(&self) -> BTreeSet<String> {
        let own = [MANIFEST, SUMS].map(str::to_owned);
        self.trees.iter().map(|tree| tree.archive.clone()).chain(own).collect()
    }
}

/// The name of a backup's folder. `stamp`: `20261123-194926`.
pub(super) fn folder_name(host: &str, stamp: &str) -> String {
    format!("{}-{stamp}", file_name(host))
}

/// A text as a file's name.
pub(super) fn file_name(text: &str) -> String {
    let sound = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = text.chars().map(sound).take(120).collect();
    name.trim_start_matches('.').trim_matches('_').to_owned()
}

/// A folder that is being filled. Dropped before it is done, it goes away.
#[derive(Debug)]
pub(super) struct Filling {
    temporary: PathBuf,
    last: PathBuf,
    done: bool,
    /// The folder itself, locked for as long as it is being filled.
    _lock: Option<File>,
}

impl Filling {
    /// Begins a folder in `parent`, having removed what an earlier run for a host of that name has left half-done. What
    /// another run is filling meanwhile stays: two hosts may have one name.
    pub(super) fn begin(parent: &Path, host: &str, stamp: &str) -> io::Result<Self> {
        for entry in fs::read_dir(parent)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let part = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part"));
            let stamped = part.and_then(|part| part.strip_prefix(&format!("{}-", file_name(host))));
            let path = parent.join(&name);
            if stamped.is_some_and(is_stamp) && lock(&path)?.is_some() {
                fs::remove_dir_all(path)?;
            }
        }
        let name = folder_name(host, stamp);
        let (temporary, last) = (parent.join(format!(".{name}.part")), parent.join(name));
        if last.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", last.display())));
        }
        fs::DirBuilder::new().mode(0o700).create(&temporary)?;
        let lock = lock(&temporary)?;
        Ok(Self { temporary, last, done: false, _lock: lock })
    }

    /// A new file in it.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        new_file(&self.temporary.join(name))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.temporary.join(name)
    }

    /// Writes the manifest and the sums, sees to it that all is on the disk, and gives the folder its name.
    pub(super) fn finish(mut self, manifest: &Manifest) -> io::Result<PathBuf> {
        let text = serde_json::to_string_pretty(manifest)? + "\n";
        let mut sums = format!("{}  {MANIFEST}\n", sum_of(&mut text.as_bytes())?.0);
        for tree in &manifest.trees {
            sums += &format!("{}  {}\n", tree.sha256, tree.archive);
        }
        for (name, text) in [(MANIFEST, text), (SUMS, sums)] {
            let mut file = self.file(name)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
        }
        File::open(&self.temporary)?.sync_all()?;
        fs::rename(&self.temporary, &self.last)?;
        self.done = true;
        if let Some(parent) = self.last.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(self.last.clone())
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Locks a folder for as long as the handle lives. `None`: somebody else has.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let handle = File::open(folder)?;
    match rustix::fs::flock(&handle, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        // Where the file system knows no locks, nobody else has one.
        _ => Ok(Some(handle)),
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn is_stamp(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(text.split_once('-'), Some((day, time)) if day.len() == 8 && time.len() == 6 && digits(day) && digits(time))
}

/// SHA-256 of all that can be read, and how much it was.
pub(super) fn sum_of(from: &mut impl Read) -> io::Result<(String, u64)> {
    let mut hash = sha2::Sha256::new();
    let mut part = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        match from.read(&mut part)? {
            0 => return Ok((hex(&hash.finalize()), bytes)),
            length => {
                hash.update(&part[..length]);
                bytes += length as u64;
            }
        }
    }
}

/// Why a folder is no backup that can be trusted: reads after "BACKUP can not be restored: ".
pub(super) type Untrue = String;

/// Reads the manifest of a backup, and sees that it is as it was written. Errors: it is not.
pub(super) fn read(folder: &Path) -> Result<Manifest, Untrue> {
    let missing = |name: &str, error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is missing: it is no backup of bedplate's, or not all of one"),
        _ => format!("{name} can not be read: {error}"),
    };
    let text = fs::read(folder.join(MANIFEST)).map_err(|error| missing(MANIFEST, error))?;
    let sums = fs::read_to_string(folder.join(SUMS)).map_err(|error| missing(SUMS, error))?;
    let (sum, _) = sum_of(&mut text.as_slice()).map_err(|error| error.to_string())?;
    if !sums.lines().any(|line| line == format!("{sum}  {MANIFEST}")) {
        return Err(format!("{MANIFEST} is not as it was written"));
    }
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| format!("{MANIFEST}: {error}"))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        version => return Err(format!("{MANIFEST} has the form {version:?}, and this bedplate knows {VERSION}")),
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(|error| format!("{MANIFEST}: {error}"))?;
    let sound = |name: &str| !name.is_empty() && !name.starts_with('.') && file_name(name) == name;
    let strays = |path: &str| path.contains('\n') || path.split('/').any(|part| part == "..");
    let wrong = |tree: &&Saved| {
        let below = tree.volume.as_ref().is_some_and(|volume| strays(&volume.below) || volume.below.starts_with('/'));
        !sound(&tree.archive) || !tree.path.starts_with('/') || strays(&tree.path) || below
    };
    if let Some(odd) = manifest.trees.iter().find(wrong) {
        return Err(format!("{MANIFEST} names {} at {}", odd.archive, odd.path));
    }
    Ok(manifest)
}

/// Reads an archive through, and compares it with what the manifest says. Errors: it is truncated, altered or missing.
pub(super) fn prove(folder: &Path, tree: &Saved) -> Result<(), Untrue> {
    let name = &tree.archive;
    let file = File::open(folder.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is missing"),
        _ => format!("{name} can not be read: {error}"),
    })?;
    let size = file.metadata().map_err(|error| format!("{name}: {error}"))?.len();
    if size != tree.size {
        let how = if size < tree.size { "truncated" } else { "altered" };
        return Err(format!("{name} is {how}: it has {size} bytes, and {} were written", tree.size));
    }
    let (sum, found) = examine(file, tree.file);
    if sum.map_err(|error| format!("{name} can not be read: {error}"))? != tree.sha256 {
        return Err(format!("{name} is altered: its SHA-256 is not the one that was written down"));
    }
    let found = found.map_err(|error| format!("{name} can not be read: {error}"))?;
    if found.digest() != tree.digest {
        return Err(format!("what is in {name} is not what was written down"));
    }
    Ok(())
}

/// Reads an archive through: its SHA-256, and what is in it.
pub(super) fn examine(file: File, single: bool) -> (io::Result<String>, io::Result<Tree>) {
    let mut counted = Counting { from: file, hash: sha2::Sha256::new() };
    let found = archive::read_compressed(&mut counted, single);
    // Whatever is wrong in it, the sum is over all of it.
    let rest = io::copy(&mut counted, &mut io::sink());
    (rest.map(|_| hex(&counted.hash.finalize())), found)
}

/// Counts the SHA-256 of all that is read through it.
struct Counting {
    from: File,
    hash: sha2::Sha256,
}

impl Read for Counting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(into)?;
        self.hash.update(&into[..length]);
        Ok(length)
    }
}

/// What became of older backups.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Retired {
    /// Names of those that were removed.
    pub(super) removed: Vec<String>,
    /// Names of those that were left though they are too many, and why.
    pub(super) left: Vec<(String, String)>,
}

/// Removes the oldest backups of `newest`'s host in `parent`, so that `keep` stay, `newest` among them. Only what is a
/// backup of that host by its own manifest is counted or touched, and only its own files are removed. A host of the same
/// name with another key may be another one, or one that was lost: its backups stay, and are told.
pub(super) fn retire(parent: &Path, newest: &Path, keep: usize) -> io::Result<Retired> {
    let wrong = |why: Untrue| io::Error::new(io::ErrorKind::InvalidData, why);
    let ours = read(newest).map_err(wrong)?;
    let (mut others, mut foreign) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let stamped = name.strip_prefix(&format!("{}-", file_name(&ours.host))).is_some_and(is_stamp);
        if path == newest || !stamped || !entry.file_type()?.is_dir() {
            continue;
        }
        if let Ok(manifest) = read(&path)
            && manifest.host == ours.host
        {
            if manifest.host_key != ours.host_key {
                foreign.push((name, "it is of a host with another key".to_owned()));
                continue;
            }
            others.push((manifest.taken.clone(), name, path, manifest));
        }
    }
    others.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| other.1.cmp(&one.1)));
    foreign.sort();
    let mut retired = Retired { left: foreign, ..Retired::default() };
    for (_, name, path, manifest) in others.into_iter().skip(keep.max(1) - 1) {
        let there: io::Result<BTreeSet<String>> =
            fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
        let files = manifest.files();
        if let Some(foreign) = there?.iter().find(|name| !files.contains(*name)) {
            retired.left.push((name, format!("{foreign} in it is not of the backup")));
            continue;
        }
        // The manifest goes first: what is left of a removal that is cut off is no backup.
        for file in [MANIFEST.to_owned()].into_iter().chain(files) {
            match fs::remove_file(path.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::remove_dir(&path)?;
        retired.removed.push(name);
    }
    Ok(retired)
}

/// Bytes that may still be written to the file system of a folder. Errors: it is none, or not writable.
pub(super) fn room(folder: &Path) -> io::Result<u64> {
    let probe = folder.join(format!(".bedplate-{}", std::process::id()));
    new_file(&probe)?;
    fs::remove_file(&probe)?;
    let facts = rustix::fs::statvfs(folder)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

#[cfg(test)]
mod tests;
