//! A Docker bridge network that is there before Kamal makes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::CreateDockerNetwork;
use crate::base::event::Finding;
use crate::base::name::DockerName;
use crate::machine::docker::DockerNetworkState;
use crate::machine::{Blocked, Docker, DockerNetwork as Fact, Machine, Question};

/// The option that sets the largest packet of a bridge network.
const MTU: &str = "com.docker.network.driver.mtu";

/// A Docker bridge network, such as `kamal`. Kamal takes one that is there as its own.
///
/// A network that is there with other options is not touched: containers may be on it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerNetwork {
    /// Its name.
    pub name: DockerName,
    /// Largest packet on it: `auto` makes it smaller where the host's own link takes less than 1500 bytes (else TLS
    /// hangs in containers), a number sets it, empty leaves it to Docker.
    #[serde(default)]
    pub mtu: String,
    /// Whether it speaks IPv6 as well.
    #[serde(default)]
    pub ipv6: bool,
    /// Options of the bridge driver, such as `com.docker.network.bridge.name`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl DockerNetwork {
    fn wanted(&self, uplink: u32) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        let mtu =
            if self.mtu == "auto" { Some(uplink).filter(|mtu| (1..1500).contains(mtu)) } else { self.mtu.parse().ok() };
        if let Some(mtu) = mtu {
            options.insert(MTU.into(), mtu.to_string());
        }
        options
    }

    /// What is there and what of it is not as wanted.
    fn judge(
        &self,
        driver: &str,
        options: &BTreeMap<String, String>,
        ipv6: bool,
        uplink: u32,
    ) -> Result<Plan, Blocked> {
        let wanted = self.wanted(uplink);
        let must = wanted.iter().filter(|(key, _)| self.mtu != "auto" || key.as_str() != MTU);
        let wrong: Vec<String> = must
            .filter(|(key, value)| options.get(*key) != Some(*value))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        if driver != "bridge" || ipv6 != self.ipv6 || !wrong.is_empty() {
            let mut differs = wrong;
            if driver != "bridge" {
                differs.push(format!("driver bridge (it is {driver})"));
            }
            if ipv6 != self.ipv6 {
                differs.push(if self.ipv6 { "IPv6".into() } else { "no IPv6".into() });
            }
            return Err(Blocked::refused(
                format!("the Docker network {} is there without {}", self.name, differs.join(", ")),
                format!("stop the containers on it, `docker network rm {}`, and run again", self.name),
            ));
        }
        let is: u32 = options.get(MTU).and_then(|mtu| mtu.parse().ok()).unwrap_or(1500);
        let mut findings = Vec::new();
        if self.mtu == "auto" && (1..is.min(1500)).contains(&uplink) {
            findings.push(Finding {
                id: "docker-network-mtu".into(),
                what: format!(
                    "packets of {is} bytes on the Docker network {} do not fit the host's link ({uplink}): TLS in \
                     containers may hang",
                    self.name
                ),
                help: Some(format!("stop the containers on it, `docker network rm {}`, and apply again", self.name)),
            });
        }
        Ok(Plan::in_sync("it is there").with_findings(findings))
    }
}

impl Resource for DockerNetwork {
    const NAME: &'static str = "docker_network";
    const EXAMPLE: &'static str = "name = \"kamal\"\nmtu = \"auto\"\n";

    fn check(&self, problems: &mut Problems) {
        if !matches!(self.mtu.as_str(), "" | "auto") && self.mtu.parse::<u32>().is_err() {
            problems.push("mtu", "this is neither `auto` nor a number of bytes", None);
        }
        if ["bridge", "host", "none"].contains(&self.name.as_str()) {
            problems.push("name", "this network is Docker's own", Some("choose another name"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![Fact(self.name.clone()).into(), Docker::Daemon.into()]
    }

    fn asserts(&self) -> Vec<Question> {
        vec![Fact(self.name.clone()).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let uplink = *machine.get(&Docker::Daemon)?.uplink_mtu.reading();
        match machine.get(&Fact(self.name.clone()))? {
            DockerNetworkState::Present { driver, options, ipv6 } => self.judge(driver, options, *ipv6, uplink),
            DockerNetworkState::NoDaemon => Err(Blocked::refused(
                format!("Docker does not run or does not answer, so the network {} can not be made", self.name),
                "let a `docker_engine` task stand before this one; if there is one, see `journalctl -u docker`",
            )),
            DockerNetworkState::Absent => {
                let (name, options, ipv6) = (self.name.clone(), self.wanted(uplink), self.ipv6);
                Ok(Plan::changes(vec![Change::by(CreateDockerNetwork { name, options, ipv6 })], ""))
            }
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let mtu = proptest::sample::select(vec!["", "auto", "1450"]);
        (mtu, any::<bool>())
            .prop_map(|(mtu, ipv6)| DockerNetwork {
                name: DockerName::new("kamal").unwrap(),
                mtu: mtu.into(),
                ipv6,
                options: BTreeMap::new(),
            })
            .boxed()
    }
}
