//! Distribution, kernel, memory, processor: what a host is.

use serde::{Deserialize, Serialize};

use super::session::SESSION;
use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, Volatile};
use crate::shell::{Call, Library};

static SYSTEM: Library = Library { name: "system.sh", text: include_str!("system.sh"), needs: &[&SESSION] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// This host.
    Here,
}

/// What a host is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystemState {
    /// `ID` of os-release: `debian`, `ubuntu`.
    pub id: String,
    /// `VERSION_ID`: `12`, `24.04`. Empty on Debian testing.
    pub version: String,
    /// `VERSION_CODENAME`: `bookworm`, `noble`.
    pub codename: String,
    /// Debian's name of the architecture: `amd64`, `arm64`.
    pub architecture: String,
    /// Kernel release, such as `6.1.0-18-amd64`.
    pub kernel: String,
    /// Host name as the kernel has it.
    pub hostname: String,
    /// What the host is a container of (`lxc`, `systemd-nspawn` …); empty on a machine of its own.
    pub container: String,
    /// `MemTotal` in KiB.
    pub memory_kib: u64,
    /// Processors that are on line.
    pub processors: u32,
    /// Whether systemd runs as the first process.
    pub systemd: bool,
    /// Whether a reboot is asked for by an update (`/run/reboot-required`).
    pub reboot_required: bool,
    /// Seconds since 1970 by the host's clock.
    pub clock: Volatile<u64>,
    /// Whether the login is root, as all changes need.
    pub root: bool,
    /// Which of `/`, `/etc`, `/usr` and `/var` nobody can write to, as after an error of the disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<String>,
}

impl SystemState {
    /// Such as `Debian 12 (bookworm) amd64`.
    pub fn title(&self) -> String {
        let mut name = self.id.clone();
        if let Some(first) = name.get_mut(0..1) {
            first.make_ascii_uppercase();
        }
        format!("{name} {} ({}) {}", self.version, self.codename, self.architecture)
    }

    /// Major version as a number; `None` where there is none.
    pub fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }

    /// Total memory in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.memory_kib / 1024
    }
}

impl Fact for System {
    type Answer = SystemState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&SYSTEM, "system_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SystemState>, BadAnswer> {
        Ok(vec![SystemState {
            id: fields.text()?.to_owned(),
            version: fields.text()?.to_owned(),
            codename: fields.text()?.to_owned(),
            architecture: fields.text()?.to_owned(),
            kernel: fields.text()?.to_owned(),
            hostname: fields.text()?.to_owned(),
            container: fields.text()?.to_owned(),
            memory_kib: fields.number()?,
            processors: processors(fields.text()?),
            systemd: fields.flag()?,
            reboot_required: fields.flag()?,
            clock: Volatile::new(fields.number()?),
            root: fields.number::<u32>()? == 0,
            read_only: fields.text()?.split_whitespace().map(str::to_owned).collect(),
        }])
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<SystemState> {
        use proptest::prelude::*;
        let releases = [
            ("debian", "11", "bullseye"),
            ("debian", "12", "bookworm"),
            ("debian", "13", "trixie"),
            ("ubuntu", "20.04", "focal"),
            ("ubuntu", "22.04", "jammy"),
            ("ubuntu", "24.04", "noble"),
            ("ubuntu", "26.04", "resolute"),
        ];
        (proptest::sample::select(releases.to_vec()), 200_000u64..70_000_000, any::<bool>())
            .prop_map(|((id, version, codename), memory_kib, container)| SystemState {
                id: id.into(),
                version: version.into(),
                codename: codename.into(),
                architecture: "amd64".into(),
                kernel: "6.1.0".into(),
                hostname: "box".into(),
                container: if container { "lxc".into() } else { String::new() },
                memory_kib,
                processors: 2,
                systemd: true,
                reboot_required: false,
                clock: Volatile::new(1_700_000_000),
                root: true,
                read_only: Vec::new(),
            })
            .boxed()
    }
}

/// Counts a kernel CPU list such as `0-3,8`.
fn processors(list: &str) -> u32 {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)?.saturating_add(1))
    });
    ranges.fold(0u32, u32::saturating_add).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_processors() {
        assert_eq!(processors("0-3,8\n"), 5);
        assert_eq!(processors("0"), 1);
        assert_eq!(processors("nonsense-4294967295"), 1);
    }

    #[test]
    fn reads_an_answer() {
        let body =
            b"debian\x0012\0bookworm\0amd64\x006.1.0\0box\0\x00512000\x000-1\x001\x000\x001700000000\x000\0/etc /usr\0";
        let state = System::parse(&[&System::Here], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!(state.title(), "Debian 12 (bookworm) amd64");
        assert_eq!((state.memory_mib(), state.processors, state.major()), (500, 2, Some(12)));
        assert_eq!(state.read_only, ["/etc", "/usr"]);
    }
}
