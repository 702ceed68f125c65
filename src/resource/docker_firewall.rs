//! The firewall for what Docker publishes.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::firewall_rule::{FirewallRule, written};
use super::{Change, Plan, Problems, Resource};
use crate::action::SetDockerFirewall;
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::AbsPath;
use crate::machine::docker::CONFIGURATION;
use crate::machine::docker_firewall::{Boot, DockerFirewallState, RULES};
use crate::machine::ufw::Policy;
use crate::machine::{Blocked, DockerFirewall as Here, File, Machine, Question, Ufw};

/// Ports that Docker publishes obey a firewall too.
///
/// Docker leads what comes to a published port past ufw, so that `-p 5432:5432` is open to the world whatever ufw says.
/// Here what comes from outside to Docker's networks is let through only by the rules; what containers send, to one
/// another, outwards, or to the host's own address and back, is left alone. A rule is about the port that is published
/// on the host (`8080` of `-p 8080:80`), for IPv4 and IPv6, whichever container has it after the next deploy. What is
/// bound to 127.0.0.1 stays closed from outside, and so is the direct way to a container's own address.
///
/// The rules are a table of nftables of their own, in force before there is a network and before Docker starts: no
/// restart of Docker, no reload of ufw, and no flush of iptables touches it. Containers on the host's network, macvlan
/// and ipvlan go round it: the first obey ufw. Whoever comes in through a container (a jump host, a VPN) needs the port
/// that it publishes among the rules.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerFirewall {
    /// Whether there are such rules; `false` takes them away.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What becomes of what comes in to a published port and no rule names.
    #[serde(default = "deny")]
    pub incoming: Policy,
    /// The rules, such as `{ allow = "80/tcp" }`: the first that fits counts. `limit` lets in here.
    #[serde(default)]
    pub rules: Vec<FirewallRule>,
    /// Interfaces of Docker's networks, `*` at the end for any ending. A network with a bridge name of its own needs it
    /// here.
    #[serde(default = "bridges")]
    pub inside: Vec<String>,
    /// Whether containers are kept from the cloud's metadata service (port 80 of 169.254.169.254 and fd00:ec2::254), which
    /// hands out the host's own credentials. Names, which some clouds resolve at the same address, still are.
    #[serde(default)]
    pub block_metadata: bool,
}

/// Where clouds answer what a host is: all but AWS' second have one address.
const METADATA: [(&str, &str); 2] = [("ip", "169.254.169.254"), ("ip6", "fd00:ec2::254")];

fn yes() -> bool {
    true
}

fn deny() -> Policy {
    Policy::Deny
}

fn bridges() -> Vec<String> {
    ["docker0", "docker_gwbridge", "br-*"].map(str::to_owned).to_vec()
}

fn configuration() -> Option<AbsPath> {
    AbsPath::new(CONFIGURATION).ok()
}

/// A name that the kernel takes for an interface, with or without `*` behind it.
fn is_interface(name: &str) -> bool {
    let stem = name.strip_suffix('*').unwrap_or(name);
    (1..=15).contains(&stem.len()) && stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |stem| name.starts_with(stem))
}

/// What nft calls it.
fn verdict(action: &str) -> &'static str {
    match action {
        "deny" => "drop",
        "reject" => "reject",
        _ => "accept",
    }
}

impl DockerFirewall {
    /// The file of the rules, its table written as nft lists it, so that the two can be compared as they are.
    fn text(&self) -> String {
        let mut text = String::from(
            "# Written by bedplate, which puts changes back: declare rules in its playbook instead.\n\
             # What comes from outside to Docker's networks, by the port that is published on the host.\n\
             table inet bedplate_docker\n\
             delete table inet bedplate_docker\n\
             table inet bedplate_docker {\n\
             \tchain forward {\n\
             \t\ttype filter hook forward priority filter - 5; policy accept;\n\
             \t\tct state established,related accept\n",
        );
        for (family, address) in METADATA.iter().filter(|_| self.block_metadata) {
            for name in &self.inside {
                let _ = writeln!(text, "\t\tiifname \"{name}\" {family} daddr {address} tcp dport 80 reject");
            }
        }
        for name in &self.inside {
            let _ = writeln!(text, "\t\tiifname \"{name}\" accept");
        }
        for name in &self.inside {
            let _ = writeln!(text, "\t\toifname \"{name}\" jump published");
        }
        text.push_str("\t}\n\n\tchain published {\n\t\tct original ip daddr 127.0.0.0/8 drop\n");
        for rule in &self.rules {
            text.push_str(&lines(rule));
        }
        // What was not led here by Docker came by a container's own address.
        let _ = writeln!(text, "\t\tct status dnat {}\n\t\tdrop\n\t}}\n}}", verdict(self.incoming.word()));
        text
    }

    /// Docker 29 can make rules of nftables, and then leaves the rest to the host: ufw's own chain would drop all that
    /// it lets through, whatever is said here.
    fn refuse_nftables_of_docker(machine: &Machine) -> Result<(), Blocked> {
        let Some(path) = configuration() else { return Ok(()) };
        let settings = machine.file(&path)?.content().map(serde_json::from_str::<serde_json::Value>);
        let backend = settings.and_then(Result::ok);
        let is_nftables = backend.is_some_and(|settings| settings["firewall-backend"] == "nftables");
        let ufw = machine.get(&Ufw::Here)?.ufw.as_ref();
        if is_nftables && ufw.is_some_and(|ufw| ufw.enabled) {
            return Err(Blocked::refused(
                "Docker is set to make rules of nftables (`firewall-backend`), and ufw drops what those let through",
                "take `firewall-backend` out of the settings of Docker: iptables, its default, works beside ufw",
            ));
        }
        Ok(())
    }

    fn findings(state: &DockerFirewallState) -> Vec<Finding> {
        if !state.mixed.reading() {
            return Vec::new();
        }
        vec![Finding {
            id: "two-iptables".into(),
            what:
                "rules of iptables-nft and of iptables-legacy are in force side by side, and each is blind to the other"
                    .into(),
            help: Some("choose one with `update-alternatives --config iptables`, then restart the host".into()),
        }]
    }
}

/// A declared rule in nft's words, a line for each part and protocol.
fn lines(rule: &FirewallRule) -> String {
    let Ok(read) = rule.read() else { return String::new() };
    let from = read.from.map_or_else(String::new, |network| {
        format!(" {} saddr {}", if network.0.is_ipv6() { "ip6" } else { "ip" }, written(network))
    });
    let comment = if read.comment.is_empty() { String::new() } else { format!(" comment \"{}\"", read.comment) };
    let protocols = read.protocol.map_or_else(|| vec!["tcp", "udp"], |one| vec![one]);
    let mut text = String::new();
    for protocol in protocols {
        for (first, last) in &read.ports {
            let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
            let _ = writeln!(
                text,
                "\t\tct status dnat meta l4proto {protocol} ct original proto-dst {ports}{from} {}{comment}",
                verdict(read.action)
            );
        }
    }
    text
}

impl Resource for DockerFirewall {
    const NAME: &'static str = "docker_firewall";
    const EXAMPLE: &'static str = "rules = [{ allow = \"80/tcp\", comment = \"web\" }, { allow = \"443\" }, \
        { allow = \"5432/tcp\", from = \"10.0.0.0/8\" }]\n";

    fn check(&self, problems: &mut Problems) {
        for (index, rule) in self.rules.iter().enumerate() {
            match rule.read() {
                Err((field, what)) => problems.push(&format!("rules.{index}.{field}"), what, None),
                // nft(8): at most 128 bytes.
                Ok(read) if read.comment.len() > 100 => {
                    problems.push(&format!("rules.{index}.comment"), "this is too long", Some("100 letters at most"));
                }
                Ok(_) => {}
            }
        }
        for (index, name) in self.inside.iter().enumerate() {
            if !is_interface(name) {
                let what = format!("`{name}` is no name of an interface");
                problems.push(&format!("inside.{index}"), what, Some("write such as `docker0` or `br-*`"));
            }
        }
        if self.inside.is_empty() {
            problems.push("inside", "without an interface no rule is ever met", Some("leave `inside` out"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![Here::Here.into(), Ufw::Here.into()];
        facts.extend(configuration().map(|path| File::at(&path).into()));
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        vec![Here::Here.into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&Here::Here)?;
        let after = self.enabled.then(|| self.text());
        let boot = if self.enabled { Boot::Ready } else { Boot::Absent };
        if self.enabled {
            if !state.nft {
                return Err(Blocked::refused("nft is not installed", "install nftables in an earlier task"));
            }
            if machine.get(&Ufw::Here)?.others.contains("nftables") {
                return Err(Blocked::refused(
                    "nftables.service flushes all rules of all programs when it is loaded, these too",
                    "take `flush ruleset` out of /etc/nftables.conf, or disable nftables.service",
                ));
            }
            Self::refuse_nftables_of_docker(machine)?;
            let taken = state.uplinks.reading().iter().find(|name| self.inside.iter().any(|inside| fits(inside, name)));
            if let Some(name) = taken {
                return Err(Blocked::refused(
                    format!("{name}, which leads out of this host, would be taken for one of Docker's networks"),
                    "name Docker's own interfaces in `inside`",
                ));
            }
        }
        let findings = Self::findings(state);
        if state.rules == after && state.boot == boot && state.live {
            let why = if self.enabled { "the rules are in force, now and at boot" } else { "there are no such rules" };
            return Ok(Plan::in_sync(why).with_findings(findings));
        }
        let mut change = Change::by(SetDockerFirewall { before: state.rules.clone(), after: after.clone() });
        if state.rules != after {
            change = change.diff(Diff::Text { path: RULES.into(), before: state.rules.clone(), after });
        } else if !state.live {
            change = change.diff(Diff::value("running rules", "not those of the file", "those of the file"));
        }
        Ok(Plan::changes(vec![change], "").with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        use proptest::sample::select;
        let rule =
            (select(vec!["80/tcp", "443", "8000:9000/udp"]), any::<bool>(), select(vec![None, Some("10.1.2.3/8")]))
                .prop_map(|(ports, lets, from)| FirewallRule {
                    allow: lets.then(|| ports.to_owned()),
                    reject: (!lets).then(|| ports.to_owned()),
                    from: from.map(str::to_owned),
                    ..FirewallRule::default()
                });
        let incoming = select(vec![Policy::Allow, Policy::Deny, Policy::Reject]);
        (any::<(bool, bool)>(), incoming, proptest::collection::vec(rule, 0..3))
            .prop_map(|((enabled, block_metadata), incoming, rules)| {
                let inside = bridges();
                DockerFirewall { enabled, incoming, rules, inside, block_metadata }
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::FileState;
    use crate::machine::file::Owner;
    use crate::machine::ufw::{Firewall, UfwState};
    use std::collections::BTreeSet;

    fn resource(text: &str) -> DockerFirewall {
        toml::from_str(text).unwrap()
    }

    fn machine(nft: bool, others: &[&str], uplink: &str) -> Machine {
        let mut machine = Machine::default();
        let uplinks = crate::machine::Volatile::new(BTreeSet::from([uplink.to_owned()]));
        machine.set(Here::Here, DockerFirewallState { uplinks, ..DockerFirewallState::none(nft) });
        let others = others.iter().map(|name| (*name).to_owned()).collect();
        machine.set(Ufw::Here, UfwState { others, ..UfwState::of(None) });
        machine.set(File::at(&configuration().unwrap()), FileState::Absent);
        machine
    }

    #[test]
    fn docker_s_own_nftables_are_refused_beside_ufw() {
        let mut with = machine(true, &[], "eth0");
        let settings = "{\"firewall-backend\": \"nftables\"}";
        with.set(File::at(&configuration().unwrap()), FileState::text(settings, 0o644, Owner::root()));
        assert!(resource(DockerFirewall::EXAMPLE).plan(&with).is_ok(), "without ufw nobody drops it");
        with.set(Ufw::Here, UfwState::of(Some(Firewall { enabled: true, ..Firewall::stock() })));
        let Err(Blocked::Refused(refusal)) = resource(DockerFirewall::EXAMPLE).plan(&with) else { panic!() };
        assert!(refusal.what.contains("firewall-backend"), "{}", refusal.what);
    }

    #[test]
    fn the_metadata_service_is_closed_to_containers_alone() {
        let text = resource("block_metadata = true").text();
        assert!(text.contains("iifname \"docker0\" ip daddr 169.254.169.254 tcp dport 80 reject\n"), "{text}");
        let (closed, let_out) = (text.find("169.254.169.254"), text.find("iifname \"docker0\" accept"));
        assert!(closed < let_out, "what is let out first is not closed: {text}");
        assert!(!resource("").text().contains("169.254"));
    }

    #[test]
    fn rules_are_about_the_published_port() {
        let text = resource(DockerFirewall::EXAMPLE).text();
        for line in [
            "ct status dnat meta l4proto tcp ct original proto-dst 80 accept comment \"web\"\n",
            "ct status dnat meta l4proto udp ct original proto-dst 443 accept\n",
            "ct status dnat meta l4proto tcp ct original proto-dst 5432 ip saddr 10.0.0.0/8 accept\n",
            "\t\tct status dnat drop\n\t\tdrop\n",
            // Before Docker 28 a neighbour on the same link reaches what is published for the host alone.
            "\tchain published {\n\t\tct original ip daddr 127.0.0.0/8 drop\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let text =
            resource("incoming = \"allow\"\nrules = [{ deny = \"8000:8010/tcp\", from = \"2001:db8::/32\" }]").text();
        assert!(
            text.contains("proto-dst 8000-8010 ip6 saddr 2001:db8::/32 drop\n\t\tct status dnat accept\n"),
            "{text}"
        );
    }

    #[test]
    fn what_can_not_hold_is_refused() {
        let refusal = |machine: Machine| match resource(DockerFirewall::EXAMPLE).plan(&machine) {
            Err(Blocked::Refused(refusal)) => refusal.what,
            other => panic!("{other:?}"),
        };
        assert_eq!(refusal(machine(false, &[], "eth0")), "nft is not installed");
        assert!(refusal(machine(true, &["nftables"], "eth0")).contains("flushes all rules"));
        assert!(refusal(machine(true, &[], "br-lan")).contains("br-lan, which leads out"));
        assert_eq!(resource("enabled = false").plan(&machine(false, &["nftables"], "br-lan")).unwrap().changes, []);
    }

    #[test]
    fn mistakes_are_told_by_field() {
        let told = |text: &str| {
            let mut problems = Problems::default();
            Resource::check(&resource(text), &mut problems);
            problems.into_vec().into_iter().map(|problem| problem.field.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(told("rules = [{ allow = \"http\" }]"), ["rules.0.allow"]);
        assert_eq!(told("inside = [\"br 0\", \"docker0\"]"), ["inside.0"]);
        assert_eq!(told("inside = []"), ["inside"]);
    }
}
