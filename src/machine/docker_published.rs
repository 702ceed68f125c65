//! The ports that Docker publishes to everybody, as the running rules have them, and whether anything closes them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, Volatile};
use crate::shell::{Call, Library};

static DOCKER_PUBLISHED: Library =
    Library { name: "docker_published.sh", text: include_str!("docker_published.sh"), needs: &[] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerPublished {
    /// This host.
    Here,
}

/// What is published. It comes and goes with every deploy, so that nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DockerPublishedState {
    /// Ports that every address of the host has.
    pub ports: Volatile<BTreeSet<PublishedPort>>,
    /// Whether bedplate's table, or a rule of the owner's in `DOCKER-USER`, stands before them.
    pub closed: Volatile<bool>,
}

/// One port of the host that leads to a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Its number.
    pub port: u16,
    /// `tcp`, `udp`.
    pub protocol: String,
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// One rule of Docker's, as `iptables -S` writes it. Nothing where it is about one address of the host alone.
fn published(rule: &str) -> Option<PublishedPort> {
    let words: Vec<&str> = rule.split_whitespace().collect();
    let behind = |option: &str| words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1)).copied();
    if behind("-d").is_some() || behind("-j") != Some("DNAT") {
        return None;
    }
    Some(PublishedPort { port: behind("--dport")?.parse().ok()?, protocol: behind("-p")?.to_owned() })
}

/// Whether a rule of `DOCKER-USER` does more than to let pass: what it closes is its owner's to know.
fn closes(rule: &str) -> bool {
    let target = rule.strip_prefix("-A DOCKER-USER").and_then(|rule| rule.split_once("-j ")).map(|(_, target)| target);
    target.is_some_and(|target| !matches!(target.split(' ').next(), Some("RETURN" | "ACCEPT")))
}

impl Fact for DockerPublished {
    type Answer = DockerPublishedState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&DOCKER_PUBLISHED, "docker_published_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<DockerPublishedState>, BadAnswer> {
        let ours = fields.flag()?;
        let (rules4, rules6) = (fields.text()?.to_owned(), fields.text()?.to_owned());
        let closed = ours || fields.text()?.lines().any(closes);
        let ports = rules4.lines().chain(rules6.lines()).filter_map(published).collect();
        Ok(vec![DockerPublishedState { ports: Volatile::new(ports), closed: Volatile::new(closed) }])
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<DockerPublishedState> {
        use proptest::prelude::*;
        let ports = proptest::sample::subsequence(vec![80u16, 5432], 0..3);
        (ports, any::<bool>())
            .prop_map(|(ports, closed)| DockerPublishedState {
                ports: Volatile::new(
                    ports.into_iter().map(|port| PublishedPort { port, protocol: "tcp".into() }).collect(),
                ),
                closed: Volatile::new(closed),
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAT: &str = "-N DOCKER\n-A DOCKER -i docker0 -j RETURN\n\
        -A DOCKER ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.2:5432\n\
        -A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 6379 -j DNAT --to-destination 172.17.0.3:6379\n\
        -A DOCKER ! -i br-1 -p udp -m udp --dport 53 -j DNAT --to-destination 172.18.0.2:53\n";

    fn answer(ours: &str, user: &str) -> DockerPublishedState {
        let body = format!("{ours}\0{NAT}\0{NAT}\0{user}\0");
        DockerPublished::parse(&[&DockerPublished::Here], &mut Fields::new(body.as_bytes())).unwrap().remove(0)
    }

    #[test]
    fn what_is_published_to_everybody_is_read() {
        let state = answer("0", "-N DOCKER-USER\n-A DOCKER-USER -j RETURN\n");
        let ports: Vec<String> = state.ports.reading().iter().map(PublishedPort::to_string).collect();
        assert_eq!(ports, ["53/udp", "5432/tcp"], "what is bound to 127.0.0.1 is not open");
        assert!(!state.closed.reading());
    }

    #[test]
    fn a_rule_of_the_owner_or_of_ours_closes() {
        assert!(answer("1", "").closed.reading());
        assert!(answer("0", "-A DOCKER-USER -i eth0 -j DROP\n-A DOCKER-USER -j RETURN\n").closed.reading());
        assert!(answer("0", "-A DOCKER-USER -j ufw-user-forward\n").closed.reading(), "another chain may close");
        assert!(!answer("0", "-A DOCKER-USER -s 10.0.0.0/8 -j ACCEPT\n").closed.reading());
    }
}
