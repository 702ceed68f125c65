//! ufw: its files, and whether the running firewall is what they say. `ufw status` believes the files alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Question, Slot, Volatile, file};
use crate::shell::{Call, Library};

static UFW: Library = Library { name: "ufw.sh", text: include_str!("ufw.sh"), needs: &[] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ufw {
    /// This host's.
    Here,
}

/// ufw and its rivals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UfwState {
    /// Other firewalls that start at boot, such as `firewalld`.
    pub others: BTreeSet<String>,
    /// ufw itself; `None` when it is not installed.
    pub ufw: Option<Firewall>,
    /// While it is on: rules of the running firewall that let in what comes before ufw is asked.
    #[serde(default)]
    pub around: Volatile<BTreeSet<String>>,
}

impl UfwState {
    /// A host with this ufw, and no firewall beside it.
    pub fn of(ufw: Option<Firewall>) -> Self {
        Self { others: BTreeSet::new(), ufw, around: Volatile::default() }
    }
}

/// An installed ufw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Whether it is on, now and at boot, as far as its files say.
    pub enabled: bool,
    /// What becomes of what no rule names.
    pub defaults: Defaults,
    /// Whether it minds IPv6.
    pub ipv6: bool,
    /// The rules, without their order.
    pub rules: BTreeSet<Rule>,
    /// While it is on: how the running firewall differs from the files, as a phrase.
    pub broken: Option<String>,
}

impl Firewall {
    /// As its package leaves it on every release: off, shut but for what goes out, without a rule.
    pub fn stock() -> Self {
        let defaults = Defaults { incoming: Policy::Deny, outgoing: Policy::Allow, routed: Policy::Deny };
        Self { enabled: false, defaults, ipv6: true, rules: BTreeSet::new(), broken: None }
    }
}

/// The three default policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// Of what comes in.
    pub incoming: Policy,
    /// Of what goes out.
    pub outgoing: Policy,
    /// Of what passes through.
    pub routed: Policy,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// It passes.
    Allow,
    /// It is dropped without a word.
    Deny,
    /// It is refused.
    Reject,
}

impl Policy {
    /// As `ufw default` writes it.
    pub fn word(self) -> &'static str {
        match self {
            Policy::Allow => "allow",
            Policy::Deny => "deny",
            Policy::Reject => "reject",
        }
    }

    /// As iptables writes it.
    fn of(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "ACCEPT" => Policy::Allow,
            "REJECT" => Policy::Reject,
            _ => Policy::Deny,
        }
    }
}

/// One rule of one family: ufw's own words for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// Whether it is one of IPv6.
    pub v6: bool,
    /// `allow`, `deny`, `reject`, `limit`; with `route:` before it for what passes through, `_log` behind it.
    pub action: String,
    /// `tcp`, `udp`, `any` or another protocol.
    pub protocol: String,
    /// Ports that it goes to: `80`, `90,91`, `8000:8010`, `any`.
    pub to_port: String,
    /// Addresses that it goes to, `0.0.0.0/0` or `::/0` for all.
    pub to: String,
    /// Ports that it comes from.
    pub from_port: String,
    /// Addresses that it comes from.
    pub from: String,
    /// Application profiles that it was made from: of its end, of its origin; `-` for none.
    pub profiles: Option<(String, String)>,
    /// `in`, `out`, with interfaces behind: `in_eth0`, `in_eth0!out_eth1`.
    pub direction: String,
    /// The comment; empty for none.
    pub comment: String,
}

impl Rule {
    /// A rule for what comes in to a port.
    pub fn incoming(v6: bool, action: &str, protocol: &str, port: &str, from: Option<&str>) -> Self {
        let all = if v6 { "::/0" } else { "0.0.0.0/0" };
        Self {
            v6,
            action: action.into(),
            protocol: protocol.into(),
            to_port: port.into(),
            to: all.into(),
            from_port: "any".into(),
            from: from.unwrap_or(all).into(),
            profiles: None,
            direction: "in".into(),
            comment: String::new(),
        }
    }

    /// Whether it is about the same packets as `other`, whatever becomes of them: ufw puts one in the other's place.
    pub fn same_packets(&self, other: &Rule) -> bool {
        let key = |rule: &Rule| {
            (
                rule.v6,
                rule.protocol.clone(),
                rule.to_port.clone(),
                rule.to.clone(),
                rule.from_port.clone(),
                rule.from.clone(),
                rule.profiles.clone(),
                rule.direction.clone(),
                rule.action.starts_with("route:"),
            )
        };
        key(self) == key(other)
    }

    /// Whether it is about packets of `protocol` that come in to `port`, by whatever interface.
    pub fn covers(&self, protocol: &str, port: u16) -> bool {
        let in_range = |range: &str| match range.split_once(':') {
            Some((first, last)) => {
                first.parse::<u16>().is_ok_and(|first| first <= port)
                    && last.parse::<u16>().is_ok_and(|last| port <= last)
            }
            None => range == "any" || range.parse() == Ok(port),
        };
        !self.action.starts_with("route:")
            && self.direction.starts_with("in")
            && (self.protocol == "any" || self.protocol == protocol)
            && self.to_port.split(',').any(in_range)
    }

    /// Whether it is about everybody.
    pub fn from_anywhere(&self) -> bool {
        matches!(self.from.as_str(), "0.0.0.0/0" | "::/0") && self.from_port == "any"
    }

    /// What becomes of the packets: the action without its marks.
    pub fn verdict(&self) -> &str {
        let action = self.action.strip_prefix("route:").unwrap_or(&self.action);
        action.split('_').next().unwrap_or(action)
    }

    /// Reads one `### tuple ###` line of ufw's files. Errors: it is not of the known form.
    fn parse(line: &str, v6: bool) -> Result<Self, BadAnswer> {
        let bad = || BadAnswer(format!("ufw's rule `{}` is not understood", line.escape_debug()));
        let (words, comment) = line.split_once(" comment=").unwrap_or((line, ""));
        let words: Vec<&str> = words.split_whitespace().collect();
        let ([action, protocol, to_port, to, from_port, from], rest) =
            words.split_first_chunk::<6>().ok_or_else(bad)?;
        let (profiles, direction) = match rest {
            [direction] => (None, *direction),
            [to, from, direction] => (Some(((*to).to_owned(), (*from).to_owned())), *direction),
            _ => return Err(bad()),
        };
        Ok(Self {
            v6,
            action: (*action).to_owned(),
            protocol: (*protocol).to_owned(),
            to_port: (*to_port).to_owned(),
            to: (*to).to_owned(),
            from_port: (*from_port).to_owned(),
            from: (*from).to_owned(),
            profiles,
            direction: direction.to_owned(),
            comment: unhex(comment.trim()).ok_or_else(bad)?,
        })
    }
}

/// As a person would say it: `allow in 80/tcp from 10.0.0.0/8 (v6)`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.action, self.direction)?;
        match (self.to_port.as_str(), self.protocol.as_str()) {
            ("any", "any") => write!(f, "everything")?,
            ("any", protocol) => write!(f, "{protocol}")?,
            (port, "any") => write!(f, "{port}")?,
            (port, protocol) => write!(f, "{port}/{protocol}")?,
        }
        if !matches!(self.to.as_str(), "0.0.0.0/0" | "::/0") {
            write!(f, " to {}", self.to)?;
        }
        if !self.from_anywhere() {
            write!(f, " from {}", self.from)?;
        }
        if self.v6 {
            write!(f, " (v6)")?;
        }
        if self.comment.is_empty() { Ok(()) } else { write!(f, " # {}", self.comment) }
    }
}

fn unhex(text: &str) -> Option<String> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

impl Fact for Ufw {
    type Answer = UfwState;
    const COST: u32 = 7;

    fn call(_: &[&Self]) -> Call {
        Call::new(&UFW, "ufw_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<UfwState>, BadAnswer> {
        let installed = fields.flag()?;
        let others = fields.text()?.lines().map(str::to_owned).collect();
        if !installed {
            return Ok(vec![UfwState { others, ..UfwState::of(None) }]);
        }
        let enabled = fields.text()? == "yes";
        let defaults = Defaults {
            incoming: Policy::of(fields.text()?),
            outgoing: Policy::of(fields.text()?),
            routed: Policy::of(fields.text()?),
        };
        let ipv6 = fields.text()? == "yes";
        let (files4, files6) = (fields.text()?.to_owned(), fields.text()?.to_owned());
        let mut rules = BTreeSet::new();
        for (text, v6) in [(&files4, false), (&files6, true)] {
            for line in text.lines().filter_map(|line| line.strip_prefix("### tuple ###")) {
                rules.insert(Rule::parse(line.trim(), v6)?);
            }
        }
        let (mut broken, mut around) = (None, BTreeSet::new());
        if enabled {
            let (live4, live6) = (fields.text()?, fields.text()?);
            broken = differs(&files4, live4, "ufw", &defaults).map(|how| format!("IPv4: {how}"));
            around.extend(before_ufw(live4, "ufw").map(str::to_owned));
            if ipv6 && live6 != "none" {
                broken =
                    broken.or_else(|| differs(&files6, live6, "ufw6", &defaults).map(|how| format!("IPv6: {how}")));
                around.extend(before_ufw(live6, "ufw6").map(|rule| format!("{rule} (v6)")));
            }
        }
        let ufw = Some(Firewall { enabled, defaults, ipv6, rules, broken });
        Ok(vec![UfwState { others, ufw, around: Volatile::new(around) }])
    }

    fn derives_from(&self, other: &Question) -> bool {
        match other {
            Question::Package(package) => {
                matches!(package.0.as_str(), "ufw" | "firewalld" | "nftables" | "iptables-persistent")
            }
            other => {
                file::is_below(other, "/etc/ufw")
                    || file::is_about(other, "/etc/default/ufw")
                    || file::is_about(other, "/etc/nftables.conf")
            }
        }
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<UfwState> {
        any::state()
    }
}

/// The chains of ufw that each chain of the kernel leads to, in this order, on every release (ufw-init-functions).
const JUMPS: [&str; 6] = ["before-logging", "before", "after", "after-logging", "reject", "track"];

/// Rules that let in before ufw's own are asked. One that is about the host itself is everybody's.
fn before_ufw<'a>(live: &'a str, prefix: &str) -> impl Iterator<Item = &'a str> {
    let first = format!("-A INPUT -j {prefix}-before-input");
    let before = live.lines().take_while(move |line| *line != first);
    before.filter_map(|line| line.strip_prefix("-A INPUT ")).filter(|rule| {
        let loopback = rule.starts_with("-i lo ") || rule.contains(" -i lo ");
        rule.ends_with("-j ACCEPT") && !loopback && !rule.contains("ESTABLISHED")
    })
}

/// How the running firewall of one family differs from what the files say; `None`: not at all.
fn differs(file: &str, live: &str, prefix: &str, defaults: &Defaults) -> Option<String> {
    let lines: BTreeSet<&str> = live.lines().collect();
    for (chain, name, policy) in [
        ("INPUT", "input", defaults.incoming),
        ("OUTPUT", "output", defaults.outgoing),
        ("FORWARD", "forward", defaults.routed),
    ] {
        let way = format!("-A {chain} -j {prefix}-");
        let jumps: Vec<&str> = live.lines().filter_map(|line| line.strip_prefix(way.as_str())).collect();
        let expected = JUMPS.map(|part| format!("{part}-{name}"));
        if let Some(missing) = expected.iter().find(|jump| !jumps.contains(&jump.as_str())) {
            return Some(format!("{chain} does not lead to {prefix}-{missing}"));
        }
        if jumps != expected {
            return Some(format!("{chain} leads to ufw's rules in another order than ufw's"));
        }
        if !lines.contains(format!("-A {prefix}-before-{name} -j {prefix}-user-{name}").as_str()) {
            return Some(format!("{prefix}-before-{name} does not lead to ufw's rules"));
        }
        // ufw refuses by a rule of its own behind a policy that drops.
        let policy = if policy == Policy::Allow { "ACCEPT" } else { "DROP" };
        if !lines.contains(format!("-P {chain} {policy}").as_str()) {
            return Some(format!("the policy of {chain} is not {policy}"));
        }
    }
    let rules = |text: &str| {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for line in text.lines().filter(|line| is_user_rule(line, prefix)) {
            *count.entry(normal(line)).or_default() += 1;
        }
        count
    };
    let (wanted, found) = (rules(file), rules(live));
    let missing = wanted.iter().find(|(rule, count)| found.get(*rule).is_none_or(|found| found < count));
    if let Some((rule, _)) = missing {
        return Some(format!("the rule `{rule}` is not in force"));
    }
    let extra = found.iter().find(|(rule, count)| wanted.get(*rule).is_none_or(|wanted| wanted < count));
    extra.map(|(rule, _)| format!("a rule `{rule}` is in force that no file has"))
}

fn is_user_rule(line: &str, prefix: &str) -> bool {
    let Some(rest) = line.strip_prefix("-A ").and_then(|rest| rest.strip_prefix(prefix)) else { return false };
    ["-user-input ", "-user-output ", "-user-forward "].iter().any(|chain| rest.starts_with(chain))
}

/// A rule as both iptables-restore and `iptables -S` mean it: in the files options stand in another order, and what the
/// kernel adds (matches by name, masks, the details of `recent`) is left out.
fn normal(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut kept: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let value = words.get(at + 1).copied().unwrap_or_default();
        match words[at] {
            "-m" | "--name" | "--mask" | "--comment" => at += 2,
            "--rsource" => at += 1,
            option @ ("-s" | "-d") => {
                let address = value.strip_suffix("/32").or_else(|| value.strip_suffix("/128")).unwrap_or(value);
                kept.push(format!("{option} {address}"));
                at += 2;
            }
            option if option.starts_with('-') && !value.starts_with('-') && at + 1 < words.len() => {
                kept.push(format!("{option} {value}"));
                at += 2;
            }
            option => {
                kept.push(option.to_owned());
                at += 1;
            }
        }
    }
    let chain = if kept.is_empty() { String::new() } else { kept.remove(0) };
    kept.sort();
    format!("{chain} {}", kept.join(" "))
}

#[cfg(test)]
mod any {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn rule() -> BoxedStrategy<Rule> {
        let action = select(vec!["allow", "deny", "limit", "reject"]);
        let port = select(vec!["22", "80", "443", "any", "2222", "8000:9000"]);
        let from = select(vec![None, None, Some("10.0.0.0/8")]);
        let comment = select(vec!["", "bedplate", "bedplate: web", "mine"]);
        (any::<bool>(), action, select(vec!["tcp", "any"]), port, from, comment)
            .prop_map(|(v6, action, protocol, port, from, comment)| Rule {
                comment: comment.into(),
                ..Rule::incoming(v6 && from.is_none(), action, protocol, port, from)
            })
            .boxed()
    }

    pub(super) fn state() -> BoxedStrategy<UfwState> {
        let policy = || select(vec![Policy::Allow, Policy::Deny, Policy::Reject]);
        let others = select(vec![None, None, None, None, Some("firewalld")]);
        let broken = select(vec![None, None, Some("IPv4: INPUT does not lead to ufw's rules".to_owned())]);
        let rules = proptest::collection::vec(rule(), 0..6);
        let ufw = (any::<(bool, bool)>(), policy(), policy(), policy(), rules, broken).prop_map(
            |((enabled, ipv6), incoming, outgoing, routed, all, broken)| {
                // ufw holds one rule for the same packets, and none of a family that it does not mind.
                let mut rules: BTreeSet<Rule> = BTreeSet::new();
                for rule in all {
                    if (ipv6 || !rule.v6) && !rules.iter().any(|other| other.same_packets(&rule)) {
                        rules.insert(rule);
                    }
                }
                let defaults = Defaults { incoming, outgoing, routed };
                Firewall { enabled, defaults, ipv6, rules, broken: broken.filter(|_| enabled) }
            },
        );
        (others, proptest::option::weighted(0.9, ufw))
            .prop_map(|(other, ufw)| UfwState {
                others: other.into_iter().map(str::to_owned).collect(),
                ..UfwState::of(ufw)
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests;
