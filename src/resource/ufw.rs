//! ufw: what may come in, and that it is so in the running firewall too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::unit::Verb;
use crate::action::{ConfigureUfw, ControlUnit};
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::UnitName;
use crate::machine::ufw::{Defaults, Firewall, Policy, Rule};
use crate::machine::{Blocked, Machine, Question, Session, SessionState, Ufw as Here, Unit};

/// The firewall ufw, for IPv4 and IPv6: shut but for SSH and what you allow.
///
/// The port that you are connected over and `ssh_port` are always open to everybody, and never throttled by `limit`
/// (deploys log in often). The running firewall is compared with ufw's files: rules that somebody flushed are found
/// though `ufw status` says all is well, and are built anew. Rules of others are reported, not removed. The change runs
/// under the guard: if no new login gets in, the host puts everything back by itself.
///
/// Ports that Docker publishes go round these rules.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ufw {
    /// Whether it is on.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What becomes of what comes in and no rule names.
    #[serde(default = "deny")]
    pub incoming: Policy,
    /// What becomes of what goes out and no rule names.
    #[serde(default = "allow")]
    pub outgoing: Policy,
    /// What becomes of what passes through and no rule names. Docker's own rules come first.
    #[serde(default = "deny")]
    pub routed: Policy,
    /// The port of SSH; `0` for the one that you are connected over.
    #[serde(default)]
    pub ssh_port: u16,
    /// Further rules, such as `{ allow = "80/tcp" }`.
    #[serde(default)]
    pub rules: Vec<UfwRule>,
    /// Whether rules that nobody declares are removed, not only reported.
    #[serde(default)]
    pub exclusive: bool,
}

/// One rule for what comes in.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UfwRule {
    /// Lets in: a port with its protocol such as `80/tcp`, a range such as `8000:8010/udp`, ports such as
    /// `80,443/tcp`, or a bare port for both protocols.
    #[serde(default)]
    pub allow: Option<String>,
    /// Drops without a word.
    #[serde(default)]
    pub deny: Option<String>,
    /// Refuses.
    #[serde(default)]
    pub reject: Option<String>,
    /// Lets in, but no address more than six times within thirty seconds.
    #[serde(default)]
    pub limit: Option<String>,
    /// Only from this address or network, such as `10.0.0.0/8`.
    #[serde(default)]
    pub from: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub comment: Option<String>,
}

fn yes() -> bool {
    true
}

fn deny() -> Policy {
    Policy::Deny
}

fn allow() -> Policy {
    Policy::Allow
}

/// What the comments of our own rules begin with.
const OURS: &str = "bedplate";

impl UfwRule {
    /// The action and what it is about. Errors: none, or more than one.
    fn action(&self) -> Result<(&'static str, &str), &'static str> {
        let all = [("allow", &self.allow), ("deny", &self.deny), ("reject", &self.reject), ("limit", &self.limit)];
        let mut given = all.into_iter().filter_map(|(action, ports)| Some((action, ports.as_deref()?)));
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err("a rule needs one of `allow`, `deny`, `reject`, `limit`"),
            (Some(_), Some(_)) => Err("a rule has only one of `allow`, `deny`, `reject`, `limit`"),
        }
    }

    /// The rules of ufw for it, one a family. Errors: a field and what is wrong with it.
    fn rules(&self) -> Result<Vec<Rule>, (&'static str, String)> {
        let (action, ports) = self.action().map_err(|what| ("", what.to_owned()))?;
        let (port, protocol) = ports_of(ports).map_err(|what| (action, what))?;
        let comment = match self.comment.as_deref().map(str::trim) {
            None | Some("") => OURS.to_owned(),
            Some(text) if text.chars().all(|c| c.is_ascii_alphanumeric() || " .,:/+-_@()".contains(c)) => {
                format!("{OURS}: {text}")
            }
            Some(_) => return Err(("comment", "ufw takes only letters, digits, blanks and `.,:/+-_@()`".to_owned())),
        };
        let from = self.from.as_deref().filter(|from| *from != "any").map(network).transpose();
        let from = from.map_err(|what| ("from", what))?;
        let families = match from {
            None => vec![false, true],
            Some((address, _)) => vec![address.is_ipv6()],
        };
        let from = from.map(written);
        Ok(families
            .into_iter()
            .map(|v6| Rule {
                comment: comment.clone(),
                ..Rule::incoming(v6, action, &protocol, &port, from.as_deref())
            })
            .collect())
    }
}

/// `80/tcp` as ufw writes it: ports and protocol. Errors: what it is not.
fn ports_of(text: &str) -> Result<(String, String), String> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol @ ("tcp" | "udp"))) => (ports, protocol),
        Some(_) => return Err(format!("`{text}` has neither /tcp nor /udp behind it")),
        None => (text, "any"),
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for part in ports.split(',') {
        let range = match part.split_once(':') {
            Some((first, last)) => number(first).zip(number(last)).filter(|(first, last)| first < last),
            None => number(part).map(|port| (port, port)),
        };
        parts.push(range.ok_or_else(|| format!("`{text}` is no port: write such as `80/tcp` or `8000:8010/tcp`"))?);
    }
    let several = parts.len() > 1 || parts.iter().any(|(first, last)| first != last);
    if several && protocol == "any" {
        return Err(format!("`{text}` has several ports, and ufw then needs /tcp or /udp behind them"));
    }
    if parts.iter().map(|(first, last)| if first == last { 1 } else { 2 }).sum::<usize>() > 15 {
        return Err(format!("`{text}` has more than the fifteen ports that a rule can hold"));
    }
    parts.sort_unstable();
    parts.dedup();
    let word = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}:{last}") };
    Ok((parts.iter().map(word).collect::<Vec<_>>().join(","), protocol.to_owned()))
}

/// An address with the length of its network, the bits behind it cleared as ufw does. Errors: what it is not.
fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let bad = || format!("`{text}` is neither an address nor a network such as `10.0.0.0/8`");
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let whole = if address.is_ipv6() { 128 } else { 32 };
    let length = length.map_or(Ok(whole), |length| length.parse::<u8>().map_err(|_| bad()))?;
    if length > whole {
        return Err(bad());
    }
    Ok((masked(address, length), length))
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

fn written((address, length): (IpAddr, u8)) -> String {
    let whole = if address.is_ipv6() { 128 } else { 32 };
    if length == whole { address.to_string() } else { format!("{address}/{length}") }
}

/// Whether `client` is in the network of a rule. One that can not be read is taken to hold it.
fn is_from(rule: &Rule, client: Option<&str>) -> bool {
    let (Ok((network, length)), Some(Ok(client))) = (network(&rule.from), client.map(str::parse::<IpAddr>)) else {
        return true;
    };
    network.is_ipv6() == client.is_ipv6() && masked(client, length) == network
}

fn is_ours(rule: &Rule) -> bool {
    rule.comment == OURS || rule.comment.strip_prefix(OURS).is_some_and(|rest| rest.starts_with(':'))
}

impl Ufw {
    fn ssh_ports(&self, session: &SessionState) -> BTreeSet<u16> {
        let declared = (self.ssh_port != 0).then_some(self.ssh_port);
        let ports: BTreeSet<u16> = session.server_port.into_iter().chain(declared).collect();
        if ports.is_empty() { BTreeSet::from([22]) } else { ports }
    }

    /// The rules that are declared, those for SSH first; one for the same packets as an earlier one is none.
    fn wanted(&self, ports: &BTreeSet<u16>) -> Vec<Rule> {
        let mut wanted: Vec<Rule> = Vec::new();
        let ssh = ports.iter().map(|port| UfwRule {
            allow: Some(format!("{port}/tcp")),
            comment: Some("ssh".into()),
            ..UfwRule::default()
        });
        for rule in ssh.chain(self.rules.iter().cloned()).filter_map(|rule| rule.rules().ok()).flatten() {
            if !wanted.iter().any(|other| other.same_packets(&rule)) {
                wanted.push(rule);
            }
        }
        wanted
    }

    fn after(&self, now: &Firewall, wanted: &[Rule], ports: &BTreeSet<u16>) -> Firewall {
        let defaults = Defaults { incoming: self.incoming, outgoing: self.outgoing, routed: self.routed };
        let satisfies = |rule: &Rule, wanted: &Rule| rule.same_packets(wanted) && rule.verdict() == wanted.action;
        let shuts_ssh = |rule: &Rule| {
            rule.verdict() != "allow" && rule.from_anywhere() && ports.iter().any(|port| rule.covers("tcp", *port))
        };
        let mut rules: BTreeSet<Rule> = BTreeSet::new();
        for rule in &now.rules {
            let declared = wanted.iter().any(|wanted| satisfies(rule, wanted));
            let replaced = wanted.iter().any(|wanted| rule.same_packets(wanted));
            if declared || !(replaced || is_ours(rule) || self.exclusive || shuts_ssh(rule)) {
                rules.insert(rule.clone());
            }
        }
        for rule in wanted {
            if !rules.iter().any(|present| satisfies(present, rule)) {
                rules.insert(rule.clone());
            }
        }
        Firewall { enabled: true, defaults, ipv6: true, rules, broken: None }
    }
}

impl Resource for Ufw {
    const NAME: &'static str = "ufw";
    const EXAMPLE: &'static str = "ssh_port = 22\nrules = [{ allow = \"80/tcp\", comment = \"web\" }, { allow = \"443\" }, \
        { allow = \"5432/tcp\", from = \"10.0.0.0/8\" }]\n";

    fn check(&self, problems: &mut Problems) {
        let mut seen: Vec<Rule> = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            match rule.rules() {
                Err((field, what)) => problems.push(&format!("rules.{index}.{field}"), what, None),
                Ok(rules) => {
                    if rules.iter().any(|rule| seen.iter().any(|other| other.same_packets(rule))) {
                        let what = "another rule is about the same packets";
                        problems.push(&format!("rules.{index}"), what, Some("leave one of the two out"));
                    }
                    let port = if self.ssh_port == 0 { 22 } else { self.ssh_port };
                    if rules
                        .iter()
                        .any(|rule| rule.action != "allow" && rule.from_anywhere() && rule.covers("tcp", port))
                    {
                        let what = "this would shut or throttle SSH, and deploys log in often";
                        problems.push(&format!("rules.{index}"), what, Some("leave it out: SSH is open by itself"));
                    }
                    seen.extend(rules);
                }
            }
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![Here::Here.into(), Session::Here.into()];
        facts.extend(UnitName::new("ufw.service").ok().map(|unit| Question::from(Unit(unit))));
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        vec![Here::Here.into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&Here::Here)?;
        let session = machine.get(&Session::Here)?;
        let Some(now) = &state.ufw else {
            if !self.enabled {
                return Ok(Plan::in_sync("ufw is not installed"));
            }
            return Err(Blocked::refused("ufw is not installed", "install it in an earlier task"));
        };
        if !self.enabled {
            if !now.enabled {
                return Ok(Plan::in_sync("it is off"));
            }
            let after = Firewall { enabled: false, broken: None, ..now.clone() };
            let action = ConfigureUfw { before: now.clone(), after, open: BTreeSet::new() };
            return Ok(Plan::changes(vec![Change::by(action).diff(Diff::value("ufw", "on", "off"))], ""));
        }
        if let Some(other) = state.others.iter().next() {
            return Err(Blocked::refused(
                format!("{other} starts at boot too, and two firewalls undo one another's rules"),
                format!("turn {other} off if ufw is to be the firewall, or leave this task out"),
            ));
        }
        let ports = self.ssh_ports(session);
        let wanted = self.wanted(&ports);
        let after = self.after(now, &wanted, &ports);
        let client = session.client.reading().as_deref();
        let shut = after.rules.iter().find(|rule| {
            rule.verdict() != "allow" && is_from(rule, client) && ports.iter().any(|port| rule.covers("tcp", *port))
        });
        if let Some(rule) = shut {
            return Err(Blocked::refused(
                format!("the rule `{rule}` would shut or throttle the way that you come in by"),
                "take that rule out, or connect from another address",
            ));
        }
        let mut changes = boot(machine)?;
        if *now != after {
            changes.extend(shown(now, &after));
            let action = ConfigureUfw { before: now.clone(), after: after.clone(), open: ports };
            let mut change = Change::by(action);
            if let Some(broken) = &now.broken {
                change = change.diff(Diff::value("running firewall", broken.as_str(), "as ufw's files say"));
            }
            changes.push(change);
        }
        let why = format!("it is on with the {} declared rules, and the running firewall has them", wanted.len());
        Ok(Plan::changes(changes, why).with_findings(foreign(&after, &wanted)))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        use proptest::sample::select;
        let ports = select(vec!["80/tcp", "443", "8000:9000/tcp", "25/tcp"]);
        let rule = (ports, any::<bool>(), select(vec![None, None, Some("10.1.2.3/8"), Some("2001:db8::1")])).prop_map(
            |(ports, lets, from)| UfwRule {
                allow: lets.then(|| ports.to_owned()),
                deny: (!lets).then(|| ports.to_owned()),
                from: from.map(str::to_owned),
                ..UfwRule::default()
            },
        );
        let policy = || select(vec![Policy::Allow, Policy::Deny, Policy::Reject]);
        (any::<(bool, bool)>(), policy(), policy(), select(vec![0, 22, 2222]), proptest::collection::vec(rule, 0..4))
            .prop_map(|((enabled, exclusive), incoming, routed, ssh_port, rules)| Ufw {
                enabled,
                incoming,
                outgoing: Policy::Allow,
                routed,
                ssh_port,
                rules,
                exclusive,
            })
            .boxed()
    }
}

/// ufw.service loads the rules at boot.
fn boot(machine: &Machine) -> Result<Vec<Change>, Blocked> {
    let Ok(unit) = UnitName::new("ufw.service") else { return Ok(Vec::new()) };
    let state = machine.get(&Unit(unit.clone()))?;
    let verb = match (state.masked, state.enabled) {
        (true, _) => Verb::Unmask,
        (false, Some(false)) => Verb::Enable,
        _ => return Ok(Vec::new()),
    };
    Ok(vec![Change::by(ControlUnit { unit, verb })])
}

/// What changes but for the rules' being in force.
fn shown(now: &Firewall, after: &Firewall) -> Vec<Change> {
    let by_words =
        |diff: Diff, summary: &str| Change { summary: summary.into(), diff: Some(diff), actions: Vec::new() };
    let mut changes = Vec::new();
    let (minus, plus): (Vec<String>, Vec<String>) = (
        now.rules.difference(&after.rules).map(Rule::to_string).collect(),
        after.rules.difference(&now.rules).map(Rule::to_string).collect(),
    );
    if !minus.is_empty() || !plus.is_empty() {
        changes.push(by_words(Diff::Set { what: "ufw's rules".into(), minus, plus }, "change ufw's rules"));
    }
    if now.defaults != after.defaults {
        let say = |d: Defaults| {
            format!("incoming {}, outgoing {}, routed {}", d.incoming.word(), d.outgoing.word(), d.routed.word())
        };
        changes
            .push(by_words(Diff::value("ufw default", say(now.defaults), say(after.defaults)), "set ufw's policies"));
    }
    if now.ipv6 != after.ipv6 {
        changes.push(by_words(Diff::value("IPV6", "no", "yes"), "let ufw mind IPv6"));
    }
    changes
}

/// Rules that nobody declares.
fn foreign(after: &Firewall, wanted: &[Rule]) -> Vec<Finding> {
    let stray = after.rules.iter().filter(|rule| !wanted.iter().any(|wanted| wanted.same_packets(rule)));
    let said: BTreeSet<String> = stray.map(|rule| rule.to_string().replace(" (v6)", "")).collect();
    said.into_iter()
        .map(|rule| Finding {
            id: "foreign-ufw-rule".into(),
            what: format!("ufw has the rule `{rule}`, which no task declares"),
            help: Some(
                "declare it, delete it with `ufw delete`, or set `exclusive = true` to have such rules removed".into(),
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_networks_are_as_ufw_writes_them() {
        let ports = |text: &str| ports_of(text).map(|(ports, protocol)| format!("{ports} {protocol}"));
        assert_eq!(ports("443,80/tcp").unwrap(), "80,443 tcp");
        assert_eq!(ports("53").unwrap(), "53 any");
        for bad in ["0", "80,443", "http", "8010:8000/tcp", "80/sctp", "", "70000/tcp"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
        assert_eq!(network("10.1.2.3/8").map(written).unwrap(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.7/32").map(written).unwrap(), "192.0.2.7");
        assert_eq!(network("2001:DB8::1/32").map(written).unwrap(), "2001:db8::/32");
        assert!(network("0.0.0.0/33").is_err() && network("example.org").is_err());
    }

    #[test]
    fn a_rule_from_elsewhere_does_not_shut_us_out() {
        let rule = Rule::incoming(false, "deny", "tcp", "22", Some("10.0.0.0/8"));
        assert!(is_from(&rule, Some("10.9.9.9")) && is_from(&rule, None));
        assert!(!is_from(&rule, Some("192.0.2.1")) && !is_from(&rule, Some("2001:db8::1")));
    }
}
