//! Removing boxes and everything that was made for them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::boot::kill;
use super::command::{command, output, run};
use super::error::{Doing as _, Result};
use super::firewall::{self, Purpose};
use super::process::{Process, wait_until};
use super::registry::{self, Record};
use super::{kernel, registry::STATE};

/// Removes the box of that name, whoever made it. Errors: there is none, or something of it stays behind.
pub fn down(name: &str) -> Result<()> {
    teardown(&registry::record(name)?)
}

/// Removes the boxes whose makers died without removing them, and returns their names. Kept boxes stay.
///
/// Errors: something of one stays behind.
pub fn sweep() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for record in registry::left_over()? {
        teardown(&record)?;
        names.push(record.name);
    }
    Ok(names)
}

/// Removes a box. It may be half-made, or half-removed by a killed process: each step is content with nothing to do.
pub(super) fn teardown(record: &Record) -> Result<()> {
    let Some(record) = claim(record)? else { return Ok(()) };
    let want = record.file("want");
    fs::write(&want, "stop\n").doing(|| format!("can not write {}", want.display()))?;
    // The keeper may be between two boots, so it is asked until it is gone.
    let stopped = wait_until(Duration::from_secs(15), || {
        if let Some(nspawn) = record.nspawn() {
            kill(nspawn, nspawn.leader());
        }
        let _ = fs::write(&want, "stop\n");
        !record.keeper.is_some_and(Process::lives)
    });
    if !stopped && let Some(keeper) = record.keeper {
        keeper.signal("KILL");
        keeper.wait_gone(Duration::from_secs(5));
    }
    let script = record.file("boot.sh");
    if script.exists() && record.file("environment").exists() {
        run(&["sh", &script.to_string_lossy(), "clean", &record.directory().to_string_lossy()])?;
    }
    for disk in &record.disks {
        // One that is detached already is what is wanted.
        let _ = output(&mut command(&["losetup", "-d", &disk.device]))?;
    }
    remove_tree(&record.place)?;
    let lock = registry::lock()?;
    firewall::remove(&record.name, Purpose::Fault)?;
    firewall::remove(&record.name, Purpose::Path)?;
    remove_tree(&record.directory())?;
    if registry::records()?.is_empty() {
        kernel::restore(&lock)?;
        remove_groups();
    }
    Ok(())
}

/// Makes this process the owner, so that no other sweeps the same box meanwhile. `None`: the box is gone.
fn claim(record: &Record) -> Result<Option<Record>> {
    let lock = registry::lock()?;
    let Ok(mut current) = registry::record(&record.name) else { return Ok(None) };
    if current.place != record.place {
        // Another box has taken the name since.
        return Ok(None);
    }
    current.owner = Process::this();
    current.save(&lock)?;
    Ok(Some(current))
}

/// Two that remove the same tree may stumble over each other, so it is tried until the tree is gone.
fn remove_tree(path: &Path) -> Result<()> {
    let mut last = Ok(());
    wait_until(Duration::from_secs(5), || {
        last = run(&["rm", "-rf", "--one-file-system", "--", &path.to_string_lossy()]).map(drop);
        if last.is_err() {
            // A mount point that a playbook has made immutable.
            let _ = run(&["chattr", "-R", "-f", "-i", "--", &path.to_string_lossy()]);
        }
        last.is_ok() && !path.exists()
    });
    last
}

/// The control groups above those of the boxes. One that is not empty is somebody's still.
fn remove_groups() {
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else { return };
    let _ = fs::remove_dir("/sys/fs/cgroup/bedplate-sandbox");
    for hierarchy in hierarchies.flatten() {
        let _ = fs::remove_dir(hierarchy.path().join("bedplate-sandbox"));
    }
    // Only the lock is left, and it must stay: another process may wait on it.
    let _ = fs::remove_file(Path::new(STATE).join(".kernel.json"));
}
