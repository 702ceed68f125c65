//! ufw: what may come in, and that it is so in the running firewall too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::firewall_rule::{FirewallRule, masked, network, written};
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
/// though `ufw status` says all is well, and are built anew. Rules of others are reported, not removed, and so are rules
/// that let in before ufw is asked. The change runs under the guard: if no new login gets in, the host puts everything
/// back by itself.
///
/// Ports that Docker publishes go round these rules: give the same ones to a `docker_firewall` task.
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
    pub rules: Vec<FirewallRule>,
    /// Whether rules that nobody declares are removed, not only reported.
    #[serde(default)]
    pub exclusive: bool,
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

/// The rules of ufw for a declared one, one a family. Errors: a field and what is wrong with it.
fn rules_of(rule: &FirewallRule) -> Result<Vec<Rule>, (&'static str, String)> {
    let read = rule.read()?;
    let comment = if read.comment.is_empty() { OURS.to_owned() } else { format!("{OURS}: {}", read.comment) };
    let families = read.from.map_or_else(|| vec![false, true], |(address, _)| vec![address.is_ipv6()]);
    let from = read.from.map(written);
    let (port, protocol) = (read.port_words(), read.protocol.unwrap_or("any"));
    let one =
        |v6| Rule { comment: comment.clone(), ..Rule::incoming(v6, read.action, protocol, &port, from.as_deref()) };
    Ok(families.into_iter().map(one).collect())
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
        let ssh = ports.iter().map(|port| FirewallRule {
            allow: Some(format!("{port}/tcp")),
            comment: Some("ssh".into()),
            ..FirewallRule::default()
        });
        for rule in ssh.chain(self.rules.iter().cloned()).filter_map(|rule| rules_of(&rule).ok()).flatten() {
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
            match rules_of(rule) {
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
        let mut findings = foreign(&after, &wanted);
        findings.extend(state.around.reading().iter().map(|rule| around(rule)));
        Ok(Plan::changes(changes, why).with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        use proptest::sample::select;
        let ports = select(vec!["80/tcp", "443", "8000:9000/tcp", "25/tcp"]);
        let rule = (ports, any::<bool>(), select(vec![None, None, Some("10.1.2.3/8"), Some("2001:db8::1")])).prop_map(
            |(ports, lets, from)| FirewallRule {
                allow: lets.then(|| ports.to_owned()),
                deny: (!lets).then(|| ports.to_owned()),
                from: from.map(str::to_owned),
                ..FirewallRule::default()
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

/// A rule of the running firewall that lets in before ufw is asked.
fn around(rule: &str) -> Finding {
    let (words, program) = match rule.strip_suffix(" (v6)") {
        Some(words) => (words, "ip6tables"),
        None => (rule, "iptables"),
    };
    Finding {
        id: "rule-before-ufw".into(),
        what: format!(
            "the running firewall has the rule `{rule}` before ufw's: what it lets in, ufw is not asked about"
        ),
        help: Some(format!("declare it as a rule of ufw, then `{program} -D INPUT {words}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules of others stay and are told, unless the task says that there are none but its own.
    #[test]
    fn rules_that_nobody_declares_go_only_when_told() {
        let plan = |text: &str| {
            let task: Ufw = toml::from_str(text).unwrap();
            let ports = BTreeSet::from([22]);
            let wanted = task.wanted(&ports);
            let mut now = Firewall { enabled: true, ..Firewall::stock() };
            let theirs = [
                Rule::incoming(false, "allow", "tcp", "9999", None),
                Rule::incoming(true, "allow", "tcp", "9999", None),
            ];
            now.rules.extend(theirs.clone());
            let after = task.after(&now, &wanted, &ports);
            let stay = theirs.iter().filter(|rule| after.rules.contains(rule)).count();
            let ours = after.rules.iter().filter(|rule| rule.covers("tcp", 80) || rule.covers("tcp", 22)).count();
            (stay, ours, foreign(&after, &wanted).len())
        };
        assert_eq!(plan("rules = [{ allow = \"80/tcp\" }]\n"), (2, 4, 1), "one finding for both families");
        assert_eq!(plan("exclusive = true\nrules = [{ allow = \"80/tcp\" }]\n"), (0, 4, 0));
    }

    #[test]
    fn a_rule_from_elsewhere_does_not_shut_us_out() {
        let rule = Rule::incoming(false, "deny", "tcp", "22", Some("10.0.0.0/8"));
        assert!(is_from(&rule, Some("10.9.9.9")) && is_from(&rule, None));
        assert!(!is_from(&rule, Some("192.0.2.1")) && !is_from(&rule, Some("2001:db8::1")));
    }
}
