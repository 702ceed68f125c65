//! The settings of this machine's kernel that boxes need changed: remembered by the first box, put back by the last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::{Doing as _, Result};
use super::registry::{Lock, STATE, write_whole};

/// A setting and the least value that boxes need.
const NEEDS: [(&str, u64); 3] = [
    // Boxes reach the package mirrors, and one another, through this machine.
    ("net/ipv4/ip_forward", 1),
    // Each systemd takes a dozen; the kernel's 128 are used up by the tenth box, whose sshd then never starts.
    ("fs/inotify/max_user_instances", 2048),
    ("fs/inotify/max_user_watches", 65536),
];

fn memory() -> PathBuf {
    Path::new(STATE).join(".kernel.json")
}

/// Raises what is too low, and remembers what it was.
pub(super) fn raise(_lock: &Lock) -> Result<()> {
    let mut before = remembered();
    for (key, need) in NEEDS {
        let path = Path::new("/proc/sys").join(key);
        let value = fs::read_to_string(&path).doing(|| format!("can not read {}", path.display()))?;
        if value.trim().parse::<u64>().is_ok_and(|value| value >= need) {
            continue;
        }
        before.entry(key.to_owned()).or_insert_with(|| value.trim().to_owned());
        // Remembered before it is changed: a kill in between must not lose it.
        let text = serde_json::to_string(&before).map_err(std::io::Error::from);
        text.and_then(|text| write_whole(&memory(), &text))
            .doing(|| format!("can not write {}", memory().display()))?;
        fs::write(&path, need.to_string()).doing(|| format!("can not set {}", path.display()))?;
    }
    Ok(())
}

/// Puts back what [`raise`] changed. What someone else has set since is left alone.
pub(super) fn restore(_lock: &Lock) -> Result<()> {
    for (key, value) in remembered() {
        let path = Path::new("/proc/sys").join(&key);
        let ours = NEEDS.iter().any(|(need, least)| {
            *need == key && fs::read_to_string(&path).is_ok_and(|now| now.trim() == least.to_string())
        });
        if ours {
            fs::write(&path, value).doing(|| format!("can not set {}", path.display()))?;
        }
    }
    let _ = fs::remove_file(memory());
    Ok(())
}

fn remembered() -> BTreeMap<String, String> {
    fs::read_to_string(memory()).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
