//! Debian packages that must be installed.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::InstallPackages;
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::PackageName;
use crate::machine::{Blocked, Machine, Package, PackageState, Question};

/// Packages that must be installed, in any version.
///
/// Neighbouring tasks install in one apt transaction. apt never asks a question, keeps configuration files that were
/// edited, waits for its locks and says who holds them; an installation that would remove other packages is refused.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Names of the packages.
    pub install: Vec<PackageName>,
    /// Whether packages that these recommend come along, as apt does by default.
    #[serde(default)]
    pub recommends: bool,
}

/// Nobody declares that a package stays as old as it is.
fn held_back(name: &PackageName, version: Option<&str>) -> Finding {
    Finding {
        id: "held-package".into(),
        what: format!(
            "package {name} is held back at {} from all upgrades, security fixes included",
            version.unwrap_or("its version")
        ),
        help: Some(format!("`apt-mark unhold {name}`")),
    }
}

impl Resource for Packages {
    const NAME: &'static str = "packages";
    const EXAMPLE: &'static str = "install = [\"curl\", \"ca-certificates\"]\n";

    fn check(&self, problems: &mut Problems) {
        if self.install.is_empty() {
            problems.push("install", "no package is named", Some("name one, or leave the task out"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        self.install.iter().map(|name| Package(name.clone()).into()).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let mut missing = BTreeSet::new();
        let mut versions = Vec::new();
        let mut findings = Vec::new();
        for name in &self.install {
            match machine.get(&Package(name.clone()))? {
                PackageState::Installed { version, held } => {
                    findings.extend(held.then(|| held_back(name, version.as_deref())));
                    versions.push(format!("{name} {}", version.as_deref().unwrap_or("(any version)")));
                }
                PackageState::Absent | PackageState::Broken { .. } => {
                    missing.insert(name.clone());
                }
            }
        }
        if missing.is_empty() {
            return Ok(Plan::in_sync(format!("installed: {}", versions.join(", "))).with_findings(findings));
        }
        let plus = missing.iter().map(|name| name.to_string()).collect();
        let action = InstallPackages { packages: missing, recommends: self.recommends };
        let diff = Diff::Set { what: "packages".into(), minus: Vec::new(), plus };
        Ok(Plan::changes(vec![Change::by(action).diff(diff)], "").with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let names = proptest::sample::subsequence(vec!["curl", "sudo", "openssh-server", "nginx"], 1..4);
        (names, any::<bool>())
            .prop_map(|(names, recommends)| Packages {
                install: names.into_iter().filter_map(|name| PackageName::new(name).ok()).collect(),
                recommends,
            })
            .boxed()
    }
}
