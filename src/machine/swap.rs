//! Swap: what is in use, whether this host may have any, and what is at the path of a swap file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot};
use crate::base::name::AbsPath;
use crate::shell::{Call, Library};

/// The probes of swap; the actions use its small functions too.
pub static SWAP: Library = Library { name: "swap.sh", text: include_str!("swap.sh"), needs: &[] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Swaps {
    /// This host.
    Here,
}

/// What swap is in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapsState {
    /// Why this host can not have swap of its own, as a phrase; empty when it can.
    pub unable: String,
    /// What is on, by path. The kernel of a container's host lists the swap of all its containers: what does not exist
    /// here is left out.
    pub active: BTreeMap<String, ActiveSwap>,
}

/// One swap that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSwap {
    /// Whether it is a file, or else a partition (zram too).
    pub file: bool,
    /// Its size in MiB, rounded up: the kernel leaves the first page out.
    pub size_mib: u64,
}

impl Fact for Swaps {
    type Answer = SwapsState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&SWAP, "swap_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SwapsState>, BadAnswer> {
        let mut state = SwapsState { unable: fields.text()?.to_owned(), active: BTreeMap::new() };
        while !fields.is_empty() {
            let path = fields.text()?.to_owned();
            let file = fields.text()? == "file";
            let size_mib = fields.number::<u64>()?.div_ceil(1024);
            state.active.insert(path, ActiveSwap { file, size_mib });
        }
        Ok(vec![state])
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<SwapsState> {
        use proptest::prelude::*;
        let path = proptest::sample::select(vec![
            "/swapfile",
            "/swap.img",
            "/dev/sda5",
            "/dev/zram0",
            "/swapfile.bedplate-bridge",
        ]);
        let active = (path, 1u64..9000)
            .prop_map(|(path, size_mib)| (path.to_owned(), ActiveSwap { file: !path.starts_with("/dev"), size_mib }));
        let unable = prop_oneof![5 => Just(""), 1 => Just("it is an unprivileged container")];
        (unable, proptest::collection::vec(active, 0..4))
            .prop_map(|(unable, active)| SwapsState { unable: unable.into(), active: active.into_iter().collect() })
            .boxed()
    }
}

/// What is at the path of this swap file? Unlike a question about a file it never reads the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SwapFile(pub AbsPath);

/// What is at the path of a swap file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapFileState {
    /// What is there.
    pub found: SwapFound,
    /// Bytes that an interrupted run left beside it.
    pub leftover: u64,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwapFound {
    /// Nothing.
    Absent,
    /// A plain file.
    File {
        /// Whether it bears the mark of `mkswap`.
        swap: bool,
        /// Bytes.
        size: u64,
        /// The low twelve bits: `0o600`.
        mode: u32,
        /// User number of its owner.
        uid: u32,
    },
    /// A directory, a link, a device.
    Other,
}

impl Fact for SwapFile {
    type Answer = SwapFileState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&SWAP, "swap_file_probe").args(questions.iter().map(|question| question.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SwapFileState>, BadAnswer> {
        let one = |_: &&Self| {
            let kind = fields.text()?;
            let size = fields.number()?;
            let mode = fields.text()?;
            let mode = u32::from_str_radix(mode, 8).map_err(|_| BadAnswer(format!("`{mode}` is not a file mode")))?;
            let uid = fields.number()?;
            let found = match kind {
                "absent" => SwapFound::Absent,
                "swap" | "file" => SwapFound::File { swap: kind == "swap", size, mode, uid },
                _ => SwapFound::Other,
            };
            Ok(SwapFileState { found, leftover: fields.number()? })
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
    fn any(&self) -> proptest::strategy::BoxedStrategy<SwapFileState> {
        use proptest::prelude::*;
        let mode = proptest::sample::select(vec![0o600, 0o644]);
        let file = (any::<bool>(), 1u64..9000, mode, 0u32..2).prop_map(|(swap, mib, mode, uid)| SwapFound::File {
            swap,
            size: mib << 20,
            mode,
            uid,
        });
        let found = prop_oneof![2 => Just(SwapFound::Absent), 4 => file, 1 => Just(SwapFound::Other)];
        let leftover = prop_oneof![3 => Just(0u64), 1 => 1u64..1 << 32];
        (found, leftover).prop_map(|(found, leftover)| SwapFileState { found, leftover }).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_on() {
        let body = b"\0/swapfile\0file\x002097148\0/dev/zram0\0partition\x001020\0";
        let state = Swaps::parse(&[&Swaps::Here], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!(state.active["/swapfile"], ActiveSwap { file: true, size_mib: 2048 });
        assert_eq!(state.active["/dev/zram0"], ActiveSwap { file: false, size_mib: 1 });
        assert_eq!(state.unable, "");
    }
}
