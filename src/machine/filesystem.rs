//! File systems: which one would hold a path, and how large it is.

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, Volatile};
use crate::base::name::AbsPath;
use crate::shell::{Call, Library};

static FILESYSTEM: Library = Library { name: "filesystem.sh", text: include_str!("filesystem.sh"), needs: &[] };

/// Which file system holds this path, or would hold it if something were made there?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileSystem(pub AbsPath);

/// A file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSystemState {
    /// Its type as `stat -f` names it; ext2 to ext4 are all `ext2/ext3`.
    pub kind: String,
    /// Its whole size in KiB.
    pub total_kib: u64,
    /// What is free for use, in KiB.
    pub available_kib: Volatile<u64>,
}

impl Fact for FileSystem {
    type Answer = FileSystemState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&FILESYSTEM, "filesystem_probe").args(questions.iter().map(|question| question.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<FileSystemState>, BadAnswer> {
        let one = |_: &&Self| {
            let kind = fields.text()?.to_owned();
            let block: u64 = fields.number()?;
            let mut kib =
                || Ok::<u64, BadAnswer>((u128::from(fields.number::<u64>()?) * u128::from(block) / 1024) as u64);
            Ok(FileSystemState { kind, total_kib: kib()?, available_kib: Volatile::new(kib()?) })
        };
        questions.iter().map(one).collect()
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<FileSystemState> {
        use proptest::prelude::*;
        let kinds = ["ext2/ext3", "ext2/ext3", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlayfs"];
        (proptest::sample::select(kinds.to_vec()), 0u64..200_000_000, 0u64..=100)
            .prop_map(|(kind, total_kib, free)| FileSystemState {
                kind: kind.into(),
                total_kib,
                available_kib: Volatile::new(total_kib * free / 100),
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_in_kib() {
        let question = FileSystem(AbsPath::new("/swapfile").unwrap());
        let state =
            FileSystem::parse(&[&question], &mut Fields::new(b"xfs\x004096\x001000\x00250\x00")).unwrap().remove(0);
        assert_eq!((state.total_kib, *state.available_kib.reading()), (4000, 1000));
        let body = format!("xfs\x004096\x00{0}\x00{0}\x00", u64::MAX);
        assert!(
            FileSystem::parse(&[&question], &mut Fields::new(body.as_bytes())).is_ok(),
            "a hostile answer is no panic"
        );
    }
}
