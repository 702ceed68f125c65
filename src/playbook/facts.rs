//! What `facts.` offers to conditions and templates: names that stay, whatever the model behind them is called.

use std::collections::BTreeMap;

use minijinja::value::Value;

use crate::machine::{SystemState, Volatile};

/// Every fact by name, with what it is.
pub const FACTS: [(&str, &str); 10] = [
    ("arch", "Debian's name of the architecture: `amd64`, `arm64`"),
    ("codename", "of the release: `bookworm`, `noble`"),
    ("container", "what the host is a container of (`lxc`, `systemd-nspawn`); empty on a machine of its own"),
    ("hostname", "as the kernel has it"),
    ("kernel", "release of the kernel, such as `6.1.0-18-amd64`"),
    ("major", "first number of the version: `12`, `24`; 0 where there is none"),
    ("memory_mb", "memory in MiB, in total"),
    ("os", "`debian` or `ubuntu`"),
    ("processors", "number of processors"),
    ("version", "of the release: `12`, `24.04`"),
];

/// Whether there is a fact of that name.
pub fn exists(name: &str) -> bool {
    FACTS.iter().any(|(known, _)| *known == name)
}

/// The facts of a host as templates see them.
pub fn of(system: &SystemState) -> Value {
    let facts: [(&str, Value); 10] = [
        ("arch", Value::from(system.architecture.as_str())),
        ("codename", Value::from(system.codename.as_str())),
        ("container", Value::from(system.container.as_str())),
        ("hostname", Value::from(system.hostname.as_str())),
        ("kernel", Value::from(system.kernel.as_str())),
        ("major", Value::from(system.major().unwrap_or(0))),
        ("memory_mb", Value::from(system.memory_mib())),
        ("os", Value::from(system.id.as_str())),
        ("processors", Value::from(system.processors)),
        ("version", Value::from(system.version.as_str())),
    ];
    Value::from(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

/// Hosts as different as they come: what reads facts is tried on them before a real host is contacted.
pub fn samples() -> Vec<SystemState> {
    let releases = [
        ("debian", "11", "bullseye", "5.10.0-28-amd64", "", 512, 1),
        ("debian", "12", "bookworm", "6.1.0-18-amd64", "", 8192, 4),
        ("debian", "13", "trixie", "6.12.0-1-amd64", "lxc", 2048, 2),
        ("ubuntu", "20.04", "focal", "5.4.0-170-generic", "", 1024, 1),
        ("ubuntu", "22.04", "jammy", "5.15.0-91-generic", "systemd-nspawn", 4096, 2),
        ("ubuntu", "24.04", "noble", "6.8.0-31-generic", "", 65536, 16),
        ("ubuntu", "26.04", "resolute", "7.0.0-1-generic", "", 16384, 8),
    ];
    let sample =
        |(id, version, codename, kernel, container, memory, processors): (&str, &str, &str, &str, &str, u64, u32)| {
            SystemState {
                id: id.into(),
                version: version.into(),
                codename: codename.into(),
                architecture: if memory == 16384 { "arm64".into() } else { "amd64".into() },
                kernel: kernel.into(),
                hostname: "sample".into(),
                container: container.into(),
                memory_kib: memory * 1024,
                processors,
                systemd: true,
                reboot_required: false,
                clock: Volatile::new(1_700_000_000),
                root: true,
                read_only: Vec::new(),
            }
        };
    releases.into_iter().map(sample).collect()
}
