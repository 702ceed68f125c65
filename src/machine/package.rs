//! Debian packages as dpkg has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot};
use crate::base::name::PackageName;
use crate::shell::{Call, Library};

static PACKAGE: Library = Library { name: "package.sh", text: include_str!("package.sh"), needs: &[] };

/// How is this package?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Package(pub PackageName);

/// What dpkg says of a package. A version that is yet to come ("any") is the same as every version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    /// Not there (configuration files of an earlier installation may be).
    Absent,
    /// Installed and configured.
    Installed {
        /// Its version; `None` for one that a plan installs: "any".
        version: Option<String>,
        /// Whether it is held back from upgrades.
        held: bool,
    },
    /// Half installed, half configured or waiting for triggers: dpkg was interrupted.
    Broken {
        /// dpkg's three-letter status, such as `iF `.
        status: String,
    },
}

impl PartialEq for PackageState {
    fn eq(&self, other: &Self) -> bool {
        use PackageState::{Absent, Broken, Installed};
        match (self, other) {
            (Absent, Absent) => true,
            (Broken { status: one }, Broken { status: other }) => one == other,
            (Installed { version, held }, Installed { version: other, held: other_held }) => {
                held == other_held && (version == other || version.is_none() || other.is_none())
            }
            _ => false,
        }
    }
}

impl PackageState {
    /// Whether it is installed and configured.
    pub fn is_installed(&self) -> bool {
        matches!(self, PackageState::Installed { .. })
    }
}

impl Fact for Package {
    type Answer = PackageState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&PACKAGE, "package_probe").args(questions.iter().map(|package| &package.0).map(PackageName::as_str))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<PackageState>, BadAnswer> {
        let mut states: BTreeMap<&str, PackageState> = BTreeMap::new();
        for line in fields.text()?.lines() {
            let mut words = line.split('\t');
            let (Some(name), Some(status), Some(version)) = (words.next(), words.next(), words.next()) else {
                return Err(BadAnswer(format!("`{}` is not a line of dpkg-query", line.escape_debug())));
            };
            let state = state(status, version);
            // A foreign architecture of the same package may be listed too; one installed copy is enough.
            if !states.get(name).is_some_and(PackageState::is_installed) {
                states.insert(name, state);
            }
        }
        Ok(questions.iter().map(|q| states.remove(q.0.as_str()).unwrap_or(PackageState::Absent)).collect())
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<PackageState> {
        use proptest::prelude::*;
        prop_oneof![
            Just(PackageState::Absent),
            any::<bool>().prop_map(|held| PackageState::Installed { version: Some("1.0-1".into()), held }),
            Just(PackageState::Broken { status: "iF ".into() }),
        ]
        .boxed()
    }
}

/// dpkg's status abbreviation (dpkg-query(1)): wanted, state, error.
fn state(status: &str, version: &str) -> PackageState {
    let letters: Vec<char> = status.chars().collect();
    match (letters.first(), letters.get(1)) {
        (wanted, Some('i')) => {
            PackageState::Installed { version: Some(version.to_owned()), held: wanted == Some(&'h') }
        }
        (_, Some('n' | 'c')) | (_, None) => PackageState::Absent,
        _ => PackageState::Broken { status: status.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_agrees_with_every_version() {
        let installed =
            |version: Option<&str>, held| PackageState::Installed { version: version.map(Into::into), held };
        assert_eq!(installed(None, false), installed(Some("1"), false));
        assert_ne!(installed(Some("2"), false), installed(Some("1"), false));
        assert_ne!(installed(None, true), installed(Some("1"), false));
    }

    #[test]
    fn reads_what_dpkg_says() {
        let names = ["a", "b", "c", "d", "e"].map(|name| Package(PackageName::new(format!("{name}x")).unwrap()));
        let body = b"ax\tii \t1.2-3\nbx\thi \t2\ncx\trc \t3\ndx\tiF \t4\n\0";
        let states = Package::parse(&names.iter().collect::<Vec<_>>(), &mut Fields::new(body)).unwrap();
        assert_eq!(
            states,
            [
                PackageState::Installed { version: Some("1.2-3".into()), held: false },
                PackageState::Installed { version: Some("2".into()), held: true },
                PackageState::Absent,
                PackageState::Broken { status: "iF ".into() },
                PackageState::Absent,
            ]
        );
    }
}
