//! What is wrong with a host at large, or may be: failed and masked units, half installed, held and downgraded packages,
//! accounts that are root or open, files that everybody may write, and all that is mounted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, Volatile, fstab, version};
use crate::shell::{Call, Library};

static HEALTH: Library = Library { name: "health.sh", text: include_str!("health.sh"), needs: &[] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// This host.
    Here,
}

/// What is wrong, and what may be. It comes and goes by itself, so that nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthState {
    /// Units that systemd calls failed.
    pub failed_units: Volatile<Vec<String>>,
    /// Units that somebody has masked for good.
    pub masked_units: Volatile<Vec<String>>,
    /// Packages that dpkg has unpacked but not configured, or the like.
    pub half_installed: Volatile<Vec<String>>,
    /// Packages that are held back from upgrades.
    pub held: Volatile<Vec<String>>,
    /// Packages that came to their version from a later one.
    pub downgraded: Volatile<Vec<Downgrade>>,
    /// Accounts besides root whose number is 0.
    pub superusers: Volatile<Vec<String>>,
    /// Accounts that are let in without a password.
    pub open_accounts: Volatile<Vec<String>>,
    /// Files and folders of the system's configuration that everybody may write.
    pub writable: Volatile<Vec<String>>,
    /// Everything that is mounted.
    pub mounts: Volatile<Vec<LiveMount>>,
    /// Names of the unit files of mounts.
    pub mount_units: Volatile<Vec<String>>,
}

/// A package that came to its version from a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downgrade {
    /// Its name.
    pub package: String,
    /// The version that it had.
    pub before: String,
    /// The version that it has.
    pub now: String,
    /// When: `2026-01-31`.
    pub day: String,
}

impl Downgrade {
    /// From day, name and the two versions; nothing where it was an upgrade. Errors: they are not four words.
    fn parse(text: &str) -> Result<Option<Self>, BadAnswer> {
        let words: Vec<&str> = text.split(' ').collect();
        let [day, package, before, now] = words[..] else {
            return Err(BadAnswer(format!("`{}` is no change of a package", text.escape_debug())));
        };
        let back = version::compare(now, before).is_lt();
        Ok(back.then(|| Self { package: package.into(), before: before.into(), now: now.into(), day: day.into() }))
    }
}

/// One mount of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMount {
    /// The device, or whatever name the file system gives.
    pub source: String,
    /// `ext4`.
    pub kind: String,
    /// What of the file system is mounted: `/` is all of it.
    pub root: String,
    /// Where.
    pub target: String,
}

impl LiveMount {
    /// From the kernel's four words. Errors: they are not four.
    fn parse(text: &str) -> Result<Self, BadAnswer> {
        let words: Vec<&str> = text.split(' ').collect();
        let [source, kind, root, target] = words[..] else {
            return Err(BadAnswer(format!("`{}` is not a mount", text.escape_debug())));
        };
        Ok(Self { source: source.into(), kind: kind.into(), root: root.into(), target: fstab::unescape(target) })
    }
}

impl Fact for Health {
    type Answer = HealthState;
    const COST: u32 = 8;

    fn call(_: &[&Self]) -> Call {
        Call::new(&HEALTH, "health_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<HealthState>, BadAnswer> {
        let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in fields.text()?.lines() {
            let (word, what) =
                line.split_once(' ').ok_or_else(|| BadAnswer(format!("`{}` is no answer", line.escape_debug())))?;
            seen.entry(word).or_default().push(what.to_owned());
        }
        let mut all = |word: &str| Volatile::new(seen.remove(word).unwrap_or_default());
        let mounts = all("mount").reading().iter().map(|text| LiveMount::parse(text)).collect::<Result<_, _>>()?;
        let changed =
            all("changed").reading().iter().map(|text| Downgrade::parse(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![HealthState {
            downgraded: Volatile::new(changed.into_iter().flatten().collect()),
            failed_units: all("failed"),
            masked_units: all("masked"),
            half_installed: all("half"),
            held: all("held"),
            superusers: all("root"),
            open_accounts: all("open"),
            writable: all("writable"),
            mounts: Volatile::new(mounts),
            mount_units: all("unit"),
        }])
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<HealthState> {
        use proptest::prelude::*;
        let names = || {
            let some = proptest::sample::subsequence(vec!["one", "two"], 0..3);
            some.prop_map(|names| Volatile::new(names.into_iter().map(str::to_owned).collect::<Vec<_>>()))
        };
        (names(), names(), names(), names(), names(), names())
            .prop_map(|(failed_units, half_installed, held, superusers, open_accounts, writable)| HealthState {
                failed_units,
                half_installed,
                held,
                superusers,
                open_accounts,
                writable,
                ..HealthState::default()
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_answer() {
        let body = b"failed a.service\nfailed b.timer\nheld ufw\nroot toor\nwritable /etc/a b\n\
            mount /dev/sdb ext4 / /mnt/my\\040data\nmasked c.service\n\
            changed 2026-01-02 curl 7.88.1-10+deb12u5 7.74.0-1\nchanged 2026-01-02 wget 1.20-1 1.21-1\0";
        let state = Health::parse(&[&Health::Here], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!(state.failed_units.reading(), &["a.service", "b.timer"]);
        assert_eq!(state.masked_units.reading(), &["c.service"]);
        assert_eq!((&state.held.reading()[0], &state.superusers.reading()[0]), (&"ufw".into(), &"toor".into()));
        assert_eq!(state.writable.reading(), &["/etc/a b"]);
        assert_eq!(state.mounts.reading()[0].target, "/mnt/my data");
        assert!(state.half_installed.reading().is_empty());
        let downgraded: Vec<&str> = state.downgraded.reading().iter().map(|d| d.package.as_str()).collect();
        assert_eq!(downgraded, ["curl"], "an upgrade is no downgrade");
        assert!(Health::parse(&[&Health::Here], &mut Fields::new(b"mount /dev/sdb\0")).is_err());
    }

    #[test]
    fn what_this_machine_has_mounted_is_read() {
        let machine = crate::machine::testing::probe(vec![Health::Here.into()]);
        let health = machine.known(&Health::Here).unwrap();
        assert!(health.mounts.reading().iter().any(|mount| mount.target == "/"), "{:?}", health.mounts);
        assert!(health.mounts.reading().iter().any(|mount| mount.kind == "proc"), "{:?}", health.mounts);
    }
}
