//! Changes of `/etc/fstab` for what is mounted: one entry a path, all other lines as they are. Not a resource.

use super::Change;
use crate::action::file::{Content, Found};
use crate::action::{ReloadSystemd, WriteFile};
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::block_device::Device;
use crate::machine::file::Owner;
use crate::machine::fstab::{self, Entry};
use crate::machine::{Blocked, Machine};

/// fstab as it is on a machine.
pub(super) struct Table {
    text: String,
    mode: u32,
    owner: Owner,
    found: Found,
}

/// How fstab names a device: by the UUID of its file system, which stays when nodes move.
pub(super) fn source_of(device: &Device) -> String {
    if device.uuid.is_empty() { device.node.clone() } else { format!("UUID={}", device.uuid) }
}

impl Table {
    /// fstab of `machine`. Errors: not asked, not known, not a plain file.
    pub(super) fn on(machine: &Machine) -> Result<Self, Blocked> {
        let (text, mode, owner) = fstab::on(machine)?;
        Ok(Self { text, mode, owner, found: Found::of(machine.file(&fstab::path())?) })
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The entries of a path, in order.
    pub(super) fn at(&self, path: &str) -> Vec<Entry> {
        fstab::entries(&self.text).into_iter().filter(|entry| entry.target == path && entry.kind != "swap").collect()
    }

    /// The change that leads to `after`, with systemd told; `None` when nothing changes.
    pub(super) fn change(&self, after: String) -> Option<Change> {
        if self.text == after {
            return None;
        }
        let path = fstab::path();
        let diff = Diff::Text {
            path: path.to_string(),
            before: (self.found != Found::Absent).then(|| self.text.clone()),
            after: Some(after.clone()),
        };
        let (mode, owner, found) = (self.mode, self.owner.clone(), self.found.clone());
        let write = WriteFile { path, content: Content::Text(after), mode, owner, found };
        Some(Change::by(write).diff(diff).then(ReloadSystemd))
    }

    /// The change after which `wanted` is the one entry of its path. An entry that is there keeps its further options.
    /// Errors: it names another source than one of `names`.
    pub(super) fn with(&self, wanted: &Entry, names: &[String]) -> Result<Option<Change>, Blocked> {
        let entries = self.at(&wanted.target);
        let Some(first) = entries.first() else {
            return Ok(self.change(fstab::with(&self.text, wanted)));
        };
        if let Some(other) = entries.iter().find(|entry| !names.contains(&entry.source)) {
            return Err(Blocked::refused(
                format!("/etc/fstab mounts {} at {}, and not {}", other.source, wanted.target, wanted.source),
                "if the device was exchanged on purpose, take that line out of /etc/fstab and run again; otherwise attach \
                 the right device",
            ));
        }
        let missing: Vec<&str> =
            wanted.options.split(',').filter(|option| *option != "defaults" && !has(first, option)).collect();
        let kind_fits = first.kind == wanted.kind || first.kind == "auto";
        let boots = !first.has("noauto");
        let mut text = self.text.clone();
        if !missing.is_empty() || !kind_fits || first.source != wanted.source || !boots {
            let kept = first.options.split(',').filter(|option| !matches!(*option, "noauto" | "defaults"));
            let mut options: Vec<&str> = kept.filter(|option| !replaced(option, &missing)).collect();
            options.extend(missing);
            if options.is_empty() {
                options.push("defaults");
            }
            let entry = Entry { line: first.line, options: options.join(","), ..wanted.clone() };
            text = fstab::replaced(&text, &entry);
        }
        let extra: Vec<usize> = entries.iter().skip(1).map(|entry| entry.line).collect();
        Ok(self.change(fstab::without(&text, &extra)))
    }

    /// The change after which `path` has no entry.
    pub(super) fn without(&self, path: &AbsPath) -> Option<Change> {
        let lines: Vec<usize> = self.at(path.as_str()).iter().map(|entry| entry.line).collect();
        self.change(fstab::without(&self.text, &lines))
    }
}

fn has(entry: &Entry, option: &str) -> bool {
    // Any time limit is a time limit.
    option.starts_with("x-systemd.device-timeout=") && entry.has("x-systemd.device-timeout")
        || entry.options.split(',').any(|have| have == option)
}

/// Whether one of `missing` says otherwise than `option`: `ro` than `rw`, `size=1M` than `size=2M`.
fn replaced(option: &str, missing: &[&str]) -> bool {
    missing.iter().any(|new| {
        let (old, new) = (option.trim_start_matches("no"), new.trim_start_matches("no"));
        let valued = old.contains('=') && old.split('=').next() == new.split('=').next();
        valued || old == new || matches!((old, new), ("ro", "rw") | ("rw", "ro"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        Table { text: text.into(), mode: 0o644, owner: Owner::root(), found: Found::Other }
    }

    fn entry(options: &str) -> Entry {
        Entry {
            line: 0,
            source: "UUID=1".into(),
            target: "/mnt/data".into(),
            kind: "ext4".into(),
            options: options.into(),
            pass: 2,
        }
    }

    fn after(text: &str, options: &str) -> Option<String> {
        let change = table(text).with(&entry(options), &["UUID=1".into(), "/dev/sdb".into()]).unwrap()?;
        match change.diff {
            Some(Diff::Text { after, .. }) => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_entry_keeps_what_others_gave_it() {
        let text =
            "/dev/sdb /mnt/data ext4 defaults,noauto,discard,rw 0 2\n# end\n/dev/sdb /mnt/data ext4 defaults 0 0\n";
        let wanted = "UUID=1 /mnt/data ext4 discard,ro,nofail 0 2\n# end\n";
        assert_eq!(after(text, "ro,nofail").unwrap(), wanted);
        assert_eq!(after(wanted, "ro,nofail"), None);
    }

    #[test]
    fn an_entry_of_another_device_is_refused() {
        let refused = table("UUID=2 /mnt/data ext4 defaults 0 2\n").with(&entry("defaults"), &["UUID=1".into()]);
        assert!(matches!(refused, Err(Blocked::Refused(refusal)) if refusal.what.contains("UUID=2")));
    }
}
