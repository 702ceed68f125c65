//! A swap file, in use and in `/etc/fstab`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::mount_table::Table;
use super::{Change, Plan, Problems, Resource};
use crate::action::swap::Method;
use crate::action::{ActivateSwap, MakeSwap, RemoveSwap};
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::fstab::{self, Entry};
use crate::machine::swap::SwapFound;
use crate::machine::{
    Blocked, File, FileSystem, FileSystemState, Machine, Question, SwapFile, SwapFileState, Swaps, SwapsState, System,
};

/// A swap file: made, readable by root alone, in use, and in `/etc/fstab`.
///
/// A file whose size is within a tenth of the wanted one is kept. One of another size is replaced without ever having less
/// swap than before. What is at the path and is not swap is never touched. A container that has no swap of its own is
/// passed over.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// Where the swap file is. No spaces.
    #[serde(default = "default_path")]
    pub path: AbsPath,
    /// `512M`, `2G`; `0` for none; or `auto`: as much as there is memory below 4 GB of it, 4 GB below 16 GB, the square
    /// root above, and never more than a quarter of the file system. With `auto`, swap that is in use elsewhere (a
    /// partition, zram, another file) counts: when there is enough, none is added.
    #[serde(default)]
    pub size: Size,
}

fn default_path() -> AbsPath {
    AbsPath::literal("/swapfile")
}

/// Size of a swap file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub enum Size {
    /// From memory and disk.
    #[default]
    Auto,
    /// In MiB; 0 is none.
    Mib(u64),
}

impl TryFrom<String> for Size {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is not a size of swap: write `auto`, `0`, or a number with M or G, such as \"512M\"");
        match text.as_str() {
            "auto" => return Ok(Size::Auto),
            "0" => return Ok(Size::Mib(0)),
            _ => {}
        }
        let unit = if text.ends_with('M') { 1 } else { 1024 };
        let number = text.strip_suffix(['M', 'G']).ok_or_else(bad)?;
        let mib = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(bad)?;
        // More than 1 TiB is a slip of the finger, whatever the machine.
        if mib > 1 << 20 { Err(bad()) } else { Ok(Size::Mib(mib)) }
    }
}

/// The least swap that is worth a file, in MiB.
const LEAST: u64 = 32;

/// cloud-init's rule, from totals alone, so that no run changes what the next one wants: memory is rounded up to what
/// was bought (the kernel keeps some to itself). `None` where the disk is too small for any.
fn suggested(memory_kib: u64, disk_kib: u64) -> Option<u64> {
    let memory = (memory_kib / 1024).div_ceil(128) * 128;
    let from_memory = match memory {
        0..4096 => memory,
        4096..16384 => 4096,
        _ => ((memory as f64 / 1024.0).sqrt().round() as u64) * 1024,
    };
    let size = from_memory.min(disk_kib / 1024 / 4 / 32 * 32);
    (size >= LEAST).then_some(size)
}

fn is_near(have: u64, want: u64) -> bool {
    have.abs_diff(want).saturating_mul(10) <= want
}

/// All that a plan looks at.
struct Seen<'a> {
    swaps: &'a SwapsState,
    file: &'a SwapFileState,
    disk: &'a FileSystemState,
    table: Table,
}

impl Swap {
    fn entry(&self) -> Entry {
        Entry {
            line: 0,
            source: self.path.to_string(),
            target: "none".into(),
            kind: "swap".into(),
            options: "sw".into(),
            pass: 0,
        }
    }

    /// Numbers of the lines of fstab that are about this file, and the first of them.
    fn entries(&self, text: &str) -> Vec<Entry> {
        let ours = |entry: &Entry| entry.kind == "swap" && entry.source == self.path.as_str();
        fstab::entries(text).into_iter().filter(ours).collect()
    }

    /// fstab with exactly one entry that is used at boot; none other is touched.
    fn listed(&self, text: &str) -> String {
        let entries = self.entries(text);
        let Some(first) = entries.first() else { return fstab::with(text, &self.entry()) };
        let text = if first.has("noauto") {
            fstab::replaced(text, &Entry { line: first.line, ..self.entry() })
        } else {
            text.to_owned()
        };
        fstab::without(&text, &entries.iter().skip(1).map(|entry| entry.line).collect::<Vec<_>>())
    }

    fn unlisted(&self, text: &str) -> String {
        fstab::without(text, &self.entries(text).iter().map(|entry| entry.line).collect::<Vec<_>>())
    }

    /// What is in use besides this task's own file, in MiB, and in words.
    fn elsewhere(&self, swaps: &SwapsState) -> (u64, String) {
        let beside = format!("{}.bedplate-", self.path);
        let ours = |path: &str| path == self.path.as_str() || path.starts_with(&beside);
        let others = swaps.active.iter().filter(|(path, _)| !ours(path));
        let mut names = Vec::new();
        let total = others.fold(0u64, |total, (path, swap)| {
            names.push(path.as_str());
            total.saturating_add(swap.size_mib)
        });
        (total, names.join(", "))
    }

    /// How the room is taken on this file system. Errors: it can not hold swap.
    fn method(&self, disk: &FileSystemState) -> Result<Method, Blocked> {
        let no = |why: &str| {
            let help = "set `path` to a file on ext4, xfs or btrfs, or `size` to 0";
            Err(Blocked::refused(format!("{} can not be swap: {why}", self.path), help))
        };
        match disk.kind.as_str() {
            "ext2/ext3" => Ok(Method::Reserve),
            "xfs" => Ok(Method::Write),
            "btrfs" => Ok(Method::NoCow),
            "zfs" => no("swap files on ZFS can deadlock when memory is short, and the kernel refuses them"),
            "f2fs" => no("F2FS moves blocks of files, so the kernel refuses most swap files on it"),
            "tmpfs" | "ramfs" => no("it would be in memory itself"),
            "overlayfs" | "aufs" => no("it would be on an overlay, which the kernel does not swap to"),
            other => no(&format!("the file system `{other}` is not known to hold swap files safely")),
        }
    }

    /// Makes sure that there is room: while one file takes the place of another, two of the new size may be there.
    fn room(&self, seen: &Seen<'_>, want: u64) -> Result<(), Blocked> {
        let have = match seen.file.found {
            SwapFound::File { size, .. } => size >> 20,
            _ => 0,
        };
        let need = if have == 0 { want } else { want.max((2 * want).saturating_sub(have)) };
        let spare = (seen.disk.total_kib / 1024 / 20).min(512);
        let free = (seen.disk.available_kib.reading() / 1024).saturating_add(seen.file.leftover >> 20);
        if free >= need + spare {
            return Ok(());
        }
        Err(Blocked::refused(
            format!(
                "there is no room for {want} MiB of swap at {}: it takes {need} MiB, and {free} MiB are free ({spare} MiB must stay so)",
                self.path
            ),
            "make room, or set a smaller `size`, or put it on another file system with `path`",
        ))
    }

    fn not_ours(&self) -> Blocked {
        Blocked::refused(
            format!("there is something at {} that is not swap, so it is left alone", self.path),
            "move it away if nothing needs it, or set another `path`",
        )
    }

    fn plan_none(&self, seen: &Seen<'_>) -> Result<Plan, Blocked> {
        let mut changes: Vec<Change> = seen.table.change(self.unlisted(seen.table.text())).into_iter().collect();
        let is_swap = matches!(seen.file.found, SwapFound::File { swap: true, .. });
        if is_swap || (seen.file.leftover > 0 && seen.file.found == SwapFound::Absent) {
            let before = match seen.file.found {
                SwapFound::File { size, .. } => format!("{} MiB", size >> 20),
                _ => "what an interrupted run left".into(),
            };
            let diff = Diff::value(self.path.as_str(), before, "none");
            changes.push(Change::by(RemoveSwap { path: self.path.clone() }).diff(diff));
        }
        Ok(Plan::changes(changes, "there is none, as wanted"))
    }

    fn plan_some(&self, seen: &Seen<'_>, want: u64) -> Result<Plan, Blocked> {
        let on = seen.swaps.active.contains_key(self.path.as_str());
        let listed = |mut changes: Vec<Change>, why: String| {
            changes.extend(seen.table.change(self.listed(seen.table.text())));
            Ok(Plan::changes(changes, why))
        };
        let (have, mode, uid) = match seen.file.found {
            SwapFound::Other | SwapFound::File { swap: false, .. } => return Err(self.not_ours()),
            SwapFound::Absent => {
                let method = self.method(seen.disk)?;
                self.room(seen, want)?;
                let make = MakeSwap { path: self.path.clone(), size_mib: want, method, found: None };
                let diff = Diff::value("swap", "none", format!("{want} MiB at {}", self.path));
                return listed(vec![Change::by(make).diff(diff)], String::new());
            }
            SwapFound::File { size, mode, uid, .. } => (size, mode, uid),
        };
        if !is_near(have >> 20, want) || seen.file.leftover > 0 {
            // Within the tolerance only the leftovers go: the file keeps its size.
            let size_mib = if is_near(have >> 20, want) && have % (1 << 20) == 0 { have >> 20 } else { want };
            let method = self.method(seen.disk)?;
            if size_mib << 20 != have {
                self.room(seen, want)?;
            }
            let make = MakeSwap { path: self.path.clone(), size_mib, method, found: Some(have) };
            let diff = Diff::value(self.path.as_str(), format!("{} MiB", have >> 20), format!("{size_mib} MiB"));
            return listed(vec![Change::by(make).diff(diff)], String::new());
        }
        let why = format!("{} MiB of swap are in use at {}, now and at boot", have >> 20, self.path);
        if on && mode == 0o600 && uid == 0 {
            return listed(Vec::new(), why);
        }
        let before = format!("{}, mode {mode:04o}, user {uid}", if on { "on" } else { "off" });
        let diff = Diff::value(self.path.as_str(), before, "on, mode 0600, user 0");
        listed(vec![Change::by(ActivateSwap { path: self.path.clone() }).diff(diff)], why)
    }
}

impl Resource for Swap {
    const NAME: &'static str = "swap";
    const EXAMPLE: &'static str = "path = \"/swapfile\"\nsize = \"2G\"\n";

    fn check(&self, problems: &mut Problems) {
        // /proc/swaps and fstab escape these; a path without them has one spelling everywhere.
        if self.path.as_str().contains([' ', '\t', '\\', '#']) || self.path.as_str() == "/" {
            problems.push(
                "path",
                "a swap file's path has no spaces, `\\` or `#`",
                Some("use a plain path such as /swapfile"),
            );
        }
        if matches!(self.size, Size::Mib(mib) if mib > 0 && mib < LEAST) {
            problems.push("size", "so little swap is of no use", Some("use 32M or more, or 0 for none"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![
            System::Here.into(),
            Swaps::Here.into(),
            SwapFile(self.path.clone()).into(),
            FileSystem(self.path.clone()).into(),
            File::at(&fstab::path()).into(),
        ]
    }

    fn asserts(&self) -> Vec<Question> {
        vec![Swaps::Here.into(), SwapFile(self.path.clone()).into(), File::at(&fstab::path()).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let swaps = machine.get(&Swaps::Here)?;
        let system = machine.get(&System::Here)?;
        if !swaps.unable.is_empty() {
            return Ok(Plan::skipped(format!("this host can not have swap of its own: {}", swaps.unable)));
        }
        if ["lxc", "lxc-libvirt", "openvz", "docker", "podman"].contains(&system.container.as_str()) {
            let why = format!("this host is a container ({}), whose swap is its host's", system.container);
            return Ok(Plan::skipped(why));
        }
        let seen = Seen {
            swaps,
            file: machine.get(&SwapFile(self.path.clone()))?,
            disk: machine.get(&FileSystem(self.path.clone()))?,
            table: Table::on(machine)?,
        };
        let want = match self.size {
            Size::Mib(0) => return self.plan_none(&seen),
            Size::Mib(mib) => mib,
            Size::Auto => match suggested(system.memory_kib, seen.disk.total_kib) {
                Some(mib) => mib,
                None => return Ok(Plan::skipped(format!("the file system of {} is too small for swap", self.path))),
            },
        };
        let (elsewhere, names) = self.elsewhere(swaps);
        let enough = elsewhere >= want || is_near(elsewhere, want);
        if self.size == Size::Auto && enough && seen.file.found == SwapFound::Absent && seen.file.leftover == 0 {
            let stale = seen.table.change(self.unlisted(seen.table.text()));
            let why = format!("{elsewhere} MiB of swap are in use already ({names}), and {want} MiB are enough");
            return Ok(Plan::changes(stale.into_iter().collect(), why));
        }
        self.plan_some(&seen, want)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let size = prop_oneof![Just(Size::Auto), Just(Size::Mib(0)), (LEAST..9000).prop_map(Size::Mib)];
        size.prop_map(|size| Swap { path: default_path(), size }).boxed()
    }
}
