//! The rules for what Docker publishes: their file, the unit that loads them at boot, and the table that runs.
//!
//! They are a table of nftables of their own. A drop there is final whatever other tables say, so that neither Docker
//! nor ufw nor either of the two iptables can open or lose anything by what they do to their own chains.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Question, Slot, Volatile, file};
use crate::shell::{Call, Library};

/// Reads the rules; the action that changes them asks the same way.
pub(crate) static DOCKER_FIREWALL: Library =
    Library { name: "docker_firewall.sh", text: include_str!("docker_firewall.sh"), needs: &[] };

/// The file of the rules.
pub const RULES: &str = "/etc/bedplate/docker-firewall.nft";
/// The unit that loads them, before there is a network.
pub const UNIT_FILE: &str = "/etc/systemd/system/bedplate-docker-firewall.service";
/// Its text.
pub const UNIT: &str = include_str!("docker_firewall.service");

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerFirewall {
    /// This host's.
    Here,
}

/// The rules for what Docker publishes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DockerFirewallState {
    /// Whether nft is installed.
    pub nft: bool,
    /// The text of the rules; `None` when there is no file.
    pub rules: Option<String>,
    /// The unit that loads them at boot.
    pub boot: Boot,
    /// Whether the running table is what the file says; with no file, whether there is no table.
    pub live: bool,
    /// Interfaces that lead out of the host.
    pub uplinks: Volatile<BTreeSet<String>>,
    /// Whether rules of iptables-nft and of iptables-legacy are in force side by side.
    pub mixed: Volatile<bool>,
}

/// The unit that loads the rules at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// There is none.
    Absent,
    /// It is there as it should be, and enabled.
    Ready,
    /// Its text is another, or it is not enabled.
    Other,
}

impl DockerFirewallState {
    /// A host without such rules.
    pub fn none(nft: bool) -> Self {
        Self {
            nft,
            rules: None,
            boot: Boot::Absent,
            live: true,
            uplinks: Volatile::new(BTreeSet::new()),
            mixed: Volatile::new(false),
        }
    }
}

/// A text behind a mark, with a dot at its end that keeps line breaks; nothing for no file.
fn text(field: &str) -> Option<String> {
    field.strip_prefix('=').and_then(|text| text.strip_suffix('.')).map(str::to_owned)
}

impl Fact for DockerFirewall {
    type Answer = DockerFirewallState;
    const COST: u32 = 5;

    fn call(_: &[&Self]) -> Call {
        Call::new(&DOCKER_FIREWALL, "docker_firewall_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<DockerFirewallState>, BadAnswer> {
        let nft = fields.flag()?;
        let (unit, rules) = (text(fields.text()?), text(fields.text()?));
        let enabled = fields.flag()?;
        let live = match fields.text()? {
            "same" => true,
            "absent" => rules.is_none(),
            _ => false,
        };
        let boot = match unit {
            None => Boot::Absent,
            Some(unit) if enabled && unit == UNIT => Boot::Ready,
            Some(_) => Boot::Other,
        };
        let uplinks = Volatile::new(fields.text()?.lines().map(str::to_owned).collect());
        let mixed = Volatile::new(fields.flag()?);
        Ok(vec![DockerFirewallState { nft, rules, boot, live, uplinks, mixed }])
    }

    fn derives_from(&self, other: &Question) -> bool {
        file::is_about(other, RULES) || file::is_about(other, UNIT_FILE)
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<DockerFirewallState> {
        use proptest::prelude::*;
        use proptest::sample::select;
        let rules = select(vec![None, Some("table inet bedplate_docker {\n}\n".to_owned())]);
        let boot = select(vec![Boot::Absent, Boot::Ready, Boot::Other]);
        let uplink = select(vec!["eth0", "br-lan"]);
        (any::<(bool, bool, bool)>(), rules, boot, uplink)
            .prop_map(|((nft, live, mixed), rules, boot, uplink)| DockerFirewallState {
                nft,
                rules,
                boot,
                live,
                uplinks: Volatile::new(BTreeSet::from([uplink.to_owned()])),
                mixed: Volatile::new(mixed),
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> DockerFirewallState {
        let body: String = fields.iter().flat_map(|field| [field, "\0"]).collect();
        DockerFirewall::parse(&[&DockerFirewall::Here], &mut Fields::new(body.as_bytes())).unwrap().remove(0)
    }

    #[test]
    fn a_host_without_rules() {
        let state = read(&["0", "", "", "0", "absent", "eth0\neth0\n", "0"]);
        assert_eq!(state, DockerFirewallState::none(false));
        assert_eq!(state.uplinks.reading().len(), 1);
    }

    #[test]
    fn rules_that_do_not_run_are_seen() {
        let unit = format!("={UNIT}.");
        let body = |live: &str, enabled: &str| read(&["1", &unit, "=a\nb\n.", enabled, live, "eth0\n", "0"]);
        let state = body("same", "1");
        assert_eq!((state.rules.as_deref(), state.boot, state.live), (Some("a\nb\n"), Boot::Ready, true));
        assert!(!body("absent", "1").live);
        assert!(!body("other", "1").live);
        assert_eq!(body("same", "0").boot, Boot::Other);
    }
}
