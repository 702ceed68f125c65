//! ufw: rules, policies, on or off.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ACTION, Access, Act, Saved, Undo};
use crate::base::Digest;
use crate::base::name::UnitName;
use crate::machine::ufw::{Firewall, Rule, UfwState};
use crate::machine::{Machine, Ufw};
use crate::shell::{Call, Library};

static UFW: Library = Library { name: "action/ufw.sh", text: include_str!("ufw.sh"), needs: &[&ACTION] };

/// Brings ufw from one state to another: rules that let in first, then those that go, then the policies, then on. A
/// running firewall that is not what the files say is built anew, without touching the chains of others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigureUfw {
    /// What it was planned on.
    pub before: Firewall,
    /// What it will be.
    pub after: Firewall,
    /// Ports that must be open to everybody at the end, or nothing is switched on.
    pub open: BTreeSet<u16>,
}

impl ConfigureUfw {
    /// Rules that come. One with the same packets as an old one takes its place.
    fn added(&self) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self.after.rules.difference(&self.before.rules).collect();
        rules.sort_by_key(|rule| rule.verdict() != "allow");
        rules
    }

    /// Rules that go and whose place no other takes.
    fn removed(&self) -> Vec<&Rule> {
        let gone = self.before.rules.difference(&self.after.rules);
        gone.filter(|rule| !self.after.rules.iter().any(|other| other.same_packets(rule))).collect()
    }
}

impl Act for ConfigureUfw {
    fn summary(&self) -> String {
        match (self.before.enabled, self.after.enabled) {
            (false, true) => "set ufw's rules and switch it on".into(),
            (true, false) => "switch ufw off".into(),
            _ if self.before.rules != self.after.rules => "change ufw's rules".into(),
            _ if self.before.broken.is_some() => "build the running firewall anew from ufw's rules".into(),
            _ => "set ufw's policies".into(),
        }
    }

    fn call(&self) -> Call {
        let (before, after) = (&self.before, &self.after);
        let ipv6 = match (before.ipv6, after.ipv6) {
            (false, true) => "yes",
            (true, false) => "no",
            _ => "-",
        };
        let on = match (before.enabled, after.enabled) {
            (false, true) => "enable",
            (true, false) => "disable",
            // Other policies and the other family are in force only then.
            (true, true) if before.ipv6 != after.ipv6 => "reload",
            _ => "keep",
        };
        let defaults = if before.defaults == after.defaults {
            String::new()
        } else {
            let all = after.defaults;
            [all.incoming, all.outgoing, all.routed].map(|policy| policy.word()).join(" ")
        };
        let open: Vec<String> = self.open.iter().map(u16::to_string).collect();
        let mut call = Call::new(&UFW, "ufw_configure")
            .arg(digest(&before.rules))
            .arg(digest(&after.rules))
            .arg(ipv6)
            .arg(on)
            .arg(defaults)
            .arg(if before.broken.is_some() && after.enabled { "1" } else { "0" })
            .arg(if after.enabled { open.join(" ") } else { String::new() });
        for rule in self.added() {
            call = call.arg("add").arg(words(rule).join("\n")).arg(rule.comment.as_str());
        }
        for rule in self.removed() {
            call = call.arg("delete").arg(words(rule).join("\n")).arg("");
        }
        call
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&Ufw::Here, |state: &mut UfwState| state.ufw = Some(self.after.clone()));
    }

    fn undo(&self, _: &Machine) -> Undo {
        if self.before.broken.is_some() {
            return Undo::Impossible("the running firewall of before was not what any file said");
        }
        let back = ConfigureUfw { before: self.after.clone(), after: self.before.clone(), open: BTreeSet::new() };
        Undo::By(vec![back.into()])
    }

    fn access(&self) -> Option<Access> {
        let unit = UnitName::new("ufw.service").ok().map(Saved::Unit);
        Some(Access { what: "firewall", saves: unit.into_iter().chain([Saved::Firewall]).collect() })
    }
}

/// Digest of rules as ufw's files hold them, in the order of their text.
fn digest(rules: &BTreeSet<Rule>) -> String {
    let mut lines: Vec<String> = rules.iter().map(tuple).collect();
    lines.sort();
    Digest::of(lines.iter().map(|line| format!("{line}\n")).collect::<String>()).as_str().to_owned()
}

/// A rule as a `### tuple ###` line has it.
fn tuple(rule: &Rule) -> String {
    let Rule { action, protocol, to_port, to, from_port, from, direction, .. } = rule;
    let mut line = format!("{action} {protocol} {to_port} {to} {from_port} {from}");
    if let Some((to, from)) = &rule.profiles {
        line.push_str(&format!(" {to} {from}"));
    }
    line.push_str(&format!(" {direction}"));
    if !rule.comment.is_empty() {
        let hex: String = rule.comment.bytes().map(|byte| format!("{byte:02x}")).collect();
        line.push_str(&format!(" comment={hex}"));
    }
    line
}

/// A rule as the command line of ufw has it (ufw(8), full syntax). Addresses are always named, which keeps a rule to its
/// own family.
fn words(rule: &Rule) -> Vec<String> {
    let mut words = Vec::new();
    let action = match rule.action.strip_prefix("route:") {
        Some(action) => {
            words.push("route".to_owned());
            action
        }
        None => &rule.action,
    };
    let (verdict, log) = action.split_once('_').map_or((action, None), |(verdict, log)| (verdict, Some(log)));
    words.push(verdict.to_owned());
    for direction in rule.direction.split('!') {
        let (way, interface) = direction.split_once('_').map_or((direction, None), |(way, on)| (way, Some(on)));
        // A route without interfaces has no way of its own.
        if interface.is_some() || words[0] != "route" {
            words.push(way.to_owned());
        }
        words.extend(interface.into_iter().flat_map(|interface| ["on".to_owned(), interface.to_owned()]));
    }
    words.extend(log.map(str::to_owned));
    let (to_profile, from_profile) = rule.profiles.clone().unwrap_or_else(|| ("-".into(), "-".into()));
    if rule.protocol != "any" && rule.profiles.is_none() {
        words.extend(["proto".to_owned(), rule.protocol.clone()]);
    }
    for (side, address, port, profile) in
        [("from", &rule.from, &rule.from_port, from_profile), ("to", &rule.to, &rule.to_port, to_profile)]
    {
        words.extend([side.to_owned(), address.clone()]);
        if profile != "-" {
            words.extend(["app".to_owned(), profile.replace("%20", " ")]);
        } else if port != "any" {
            words.extend(["port".to_owned(), port.clone()]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_said_in_ufw_s_words() {
        let mut rule = Rule::incoming(false, "allow", "tcp", "80", None);
        rule.comment = "bedplate: web".into();
        assert_eq!(words(&rule).join(" "), "allow in proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 80");
        assert_eq!(tuple(&rule), "allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=626564706c6174653a20776562");
        rule.action = "route:deny_log-all".into();
        rule.direction = "in_eth0!out_eth1".into();
        rule.profiles = Some(("Nginx%20Full".into(), "-".into()));
        assert_eq!(
            words(&rule),
            [
                "route",
                "deny",
                "in",
                "on",
                "eth0",
                "out",
                "on",
                "eth1",
                "log-all",
                "from",
                "0.0.0.0/0",
                "to",
                "0.0.0.0/0",
                "app",
                "Nginx Full"
            ]
        );
    }
}
