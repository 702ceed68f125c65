//! Swap files.

use serde::{Deserialize, Serialize};

use super::{Act, Undo};
use crate::base::name::AbsPath;
use crate::machine::swap::{ActiveSwap, SWAP, SwapFound};
use crate::machine::{Machine, SwapFile, SwapFileState, Swaps};
use crate::shell::{Call, Library};

static SWAPPING: Library = Library { name: "action_swap.sh", text: include_str!("swap.sh"), needs: &[&SWAP] };

/// How the room of a swap file is taken: the kernel needs every block of it in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Reserved at once: where the file system's reserved blocks are as good as written ones (ext4).
    Reserve,
    /// Written with zeros.
    Write,
    /// Written with zeros, into a file that is never copied on write (btrfs).
    NoCow,
}

impl Method {
    fn word(self) -> &'static str {
        match self {
            Method::Reserve => "reserve",
            Method::Write => "write",
            Method::NoCow => "nocow",
        }
    }
}

/// Makes a swap file and uses it; in the place of one of another size without ever having less swap than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MakeSwap {
    /// Where.
    pub path: AbsPath,
    /// How large.
    pub size_mib: u64,
    /// How its room is taken.
    pub method: Method,
    /// Bytes of the swap file that is there; `None` when there is nothing.
    pub found: Option<u64>,
}

/// The names that a change of `path` uses beside it.
fn beside(path: &AbsPath) -> [String; 2] {
    [format!("{path}.bedplate-part"), format!("{path}.bedplate-bridge")]
}

/// In an effect: `path` is in use with `size`, or no longer; nothing is left beside it.
fn set_active(machine: &mut Machine, path: &AbsPath, size: Option<u64>) {
    machine.update(&Swaps::Here, |swaps| {
        for name in beside(path) {
            swaps.active.remove(&name);
        }
        match size {
            Some(size) => {
                let swap = ActiveSwap { file: true, size_mib: size.div_ceil(1 << 20) };
                swaps.active.insert(path.to_string(), swap);
            }
            None => {
                swaps.active.remove(path.as_str());
            }
        }
    });
}

impl Act for MakeSwap {
    fn summary(&self) -> String {
        match self.found {
            Some(size) if size != self.size_mib << 20 => {
                format!("resize {} from {} MiB to {} MiB of swap", self.path, size >> 20, self.size_mib)
            }
            _ => format!("make {} with {} MiB of swap and use it", self.path, self.size_mib),
        }
    }

    fn call(&self) -> Call {
        Call::new(&SWAPPING, "swap_make")
            .arg(&self.path)
            .arg(self.size_mib.to_string())
            .arg(self.method.word())
            .arg(self.found.map_or_else(|| "absent".to_owned(), |size| size.to_string()))
    }

    fn effect(&self, machine: &mut Machine) {
        let size = self.size_mib << 20;
        let found = SwapFound::File { swap: true, size, mode: 0o600, uid: 0 };
        machine.set(SwapFile(self.path.clone()), SwapFileState { found, leftover: 0 });
        set_active(machine, &self.path, Some(size));
    }

    fn undo(&self, before: &Machine) -> Undo {
        let nothing = SwapFileState { found: SwapFound::Absent, leftover: 0 };
        let was_nothing = before.known(&SwapFile(self.path.clone())) == Some(&nothing);
        let is_ours = |name: &String| name.starts_with(self.path.as_str());
        match before.known(&Swaps::Here) {
            Some(swaps) if was_nothing && !swaps.active.keys().any(is_ours) => {
                Undo::By(vec![RemoveSwap { path: self.path.clone() }.into()])
            }
            _ => Undo::Impossible("the swap file of before is gone"),
        }
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// Uses a swap file that is there, and makes it root's alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivateSwap {
    /// Where.
    pub path: AbsPath,
}

impl Act for ActivateSwap {
    fn summary(&self) -> String {
        format!("use the swap file {}, readable by root alone", self.path)
    }

    fn call(&self) -> Call {
        Call::new(&SWAPPING, "swap_activate").arg(&self.path)
    }

    fn effect(&self, machine: &mut Machine) {
        let mut bytes = None;
        machine.update(&SwapFile(self.path.clone()), |state| {
            if let SwapFound::File { size, mode, uid, .. } = &mut state.found {
                (*mode, *uid) = (0o600, 0);
                bytes = Some(*size);
            }
        });
        let on = machine.known(&Swaps::Here).is_some_and(|swaps| swaps.active.contains_key(self.path.as_str()));
        if let (Some(bytes), false) = (bytes, on) {
            machine.update(&Swaps::Here, |swaps| {
                let swap = ActiveSwap { file: true, size_mib: bytes.div_ceil(1 << 20) };
                swaps.active.insert(self.path.to_string(), swap);
            });
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("swap that was off or open to others is not made so again")
    }
}

/// Stops using a swap file and removes it, with what an interrupted run left beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoveSwap {
    /// Where.
    pub path: AbsPath,
}

impl Act for RemoveSwap {
    fn summary(&self) -> String {
        format!("stop using the swap file {} and remove it", self.path)
    }

    fn call(&self) -> Call {
        Call::new(&SWAPPING, "swap_remove").arg(&self.path)
    }

    fn effect(&self, machine: &mut Machine) {
        let state = SwapFileState { found: SwapFound::Absent, leftover: 0 };
        machine.set(SwapFile(self.path.clone()), state);
        set_active(machine, &self.path, None);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a removed swap file is only made anew by the task that declares it")
    }

    fn is_slow(&self) -> bool {
        true
    }
}
