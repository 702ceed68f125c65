//! Which hosts there are: `bedplate.toml`, addresses on the command line, and which of them a run is for. Nothing here
//! contacts a host.

use std::sync::Arc;

use crate::base::diagnostic::nearest;
use crate::base::name::HostName;
use crate::base::{Diagnostic, Diagnostics, Source, Span};
use crate::playbook::scope::Given;

pub mod address;
pub mod deploy;
pub mod key;
pub mod read;
pub mod reference;
pub mod schema;
mod shard;

pub use address::Address;
pub use read::read;
pub use shard::Shard;

/// A host to work on.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// How messages call it.
    pub name: HostName,
    /// Name or number to connect to, without brackets.
    pub address: String,
    /// Port, if it was said.
    pub port: Option<u16>,
    /// Login, if it was said.
    pub user: Option<String>,
    /// Private keys to try, as paths; `~/` is the home folder.
    pub keys: Vec<String>,
    /// The hosts to go through, as `ssh -J` takes them; `none` for none.
    pub jump: Option<String>,
    /// The fingerprint that its key must have, such as `SHA256:…`.
    pub fingerprint: Option<String>,
    /// Whether changes go through sudo; `None` lets the login decide.
    pub sudo: Option<bool>,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// The only playbooks that it gets, each with the place where it is named; all when `None`.
    pub playbooks: Option<Vec<(String, Span)>>,
    /// The operator's own public keys, when the login is root's: what a host gets that knows no key yet.
    pub operator_keys: Vec<String>,
    /// What the inventory sets for it, from the least to the most important.
    pub variables: Vec<Given>,
    /// Where it is declared; `None` for an address of the command line.
    pub place: Option<Span>,
}

impl Host {
    /// What `host` is in templates.
    pub fn value(&self) -> minijinja::Value {
        let groups: Vec<minijinja::Value> =
            self.groups.iter().map(|group| minijinja::Value::from(group.as_str())).collect();
        minijinja::Value::from_pairs([
            ("name", minijinja::Value::from(self.name.as_str())),
            ("address", minijinja::Value::from(self.address.as_str())),
            ("user", minijinja::Value::from(self.user.as_deref().unwrap_or(""))),
            ("groups", minijinja::Value::from(groups)),
            ("operator_keys", minijinja::Value::from(self.operator_keys.clone())),
        ])
    }
}

/// What `bedplate.toml` says.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The hosts, in the order of the file.
    pub hosts: Vec<Host>,
    /// The groups.
    pub groups: Vec<String>,
    /// The set of playbooks, where it is named.
    pub playbooks: Option<Vec<(String, Span)>>,
    /// What holds for a host that is given by its address: the settings of `[defaults]` and `[variables]`.
    pub defaults: read::Connection,
    /// The variables of all hosts.
    pub variables: Vec<Given>,
    /// The file.
    pub source: Arc<Source>,
}

impl Inventory {
    /// Which playbooks its runs have.
    pub fn choice(&self) -> crate::playbook::Choice {
        match &self.playbooks {
            Some(names) => crate::playbook::Choice::Named(names.clone()),
            None => crate::playbook::Choice::Folder,
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| host.name.as_str()).chain(self.groups.iter().map(String::as_str))
    }
}

/// The hosts of a run: `targets` are names or groups of the inventory, or addresses; none means the whole inventory.
/// `limit` then leaves only hosts that match a name, a group or a glob, and none that match one with `!` before it.
/// Mistakes go to `found`.
pub fn select(
    inventory: Option<&Inventory>,
    targets: &[String],
    limit: &[String],
    found: &mut Diagnostics,
) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    if targets.is_empty() {
        match inventory {
            Some(inventory) if inventory.hosts.is_empty() => {
                let wrong = Diagnostic::error(format!("there is no host in {}", inventory.source.name));
                found.push(wrong.help(match inventory.source.name == deploy::FILE {
                    true => "add one: `servers: [203.0.113.5]`",
                    false => "add one: `[hosts.web1]` with `address = \"203.0.113.5\"` below it",
                }));
            }
            Some(inventory) => hosts.clone_from(&inventory.hosts),
            None => found.push(
                Diagnostic::error("no host is named")
                    .help("name one, as in `root@203.0.113.5`, or write bedplate.toml with `bedplate init`"),
            ),
        }
    }
    for target in targets {
        for host in target_hosts(inventory, target, found) {
            if !hosts.iter().any(|other| other.name == host.name) {
                hosts.push(host);
            }
        }
    }
    limited(hosts, limit, found)
}

fn target_hosts(inventory: Option<&Inventory>, target: &str, found: &mut Diagnostics) -> Vec<Host> {
    if let Some(inventory) = inventory {
        let member = |host: &&Host| host.name.as_str() == target || host.groups.iter().any(|group| group == target);
        let members: Vec<Host> = inventory.hosts.iter().filter(member).cloned().collect();
        if !members.is_empty() {
            return members;
        }
        if inventory.groups.iter().any(|group| group == target) {
            found.push(Diagnostic::error(format!("no host is in the group `{target}`")));
            return Vec::new();
        }
        let bare = !target.contains(['@', '.', ':']) && target != "localhost";
        if let Some(near) = nearest(target, inventory.names()).filter(|_| bare) {
            let wrong = Diagnostic::error(format!("there is no host or group `{target}` in {}", inventory.source.name));
            let help = format!("did you mean `{near}`? (an address that is not in the inventory: `ssh://{target}`)");
            found.push(wrong.help(help));
            return Vec::new();
        }
    }
    match bare_host(inventory, target) {
        Ok(host) => vec![host],
        Err(why) => {
            let shown = without_password(target);
            let source = Source::new("command line", shown.as_str());
            let wrong = Diagnostic::error(format!("this is not the address of a host: {why}"));
            let span = Span::new(&source, 0..shown.len());
            found.push(wrong.at(span, "").help("write `user@host`, `user@host:port` or `user@[v6]:port`"));
            Vec::new()
        }
    }
}

/// A password that was given by mistake is not to reach a log.
fn without_password(target: &str) -> String {
    let (scheme, rest) = target.split_once("://").map_or(("", target), |(scheme, rest)| (scheme, rest));
    let parts = rest.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host)));
    match parts {
        Some((user, host)) if scheme.is_empty() => format!("{user}:…@{host}"),
        Some((user, host)) => format!("{scheme}://{user}:…@{host}"),
        None => target.to_owned(),
    }
}

/// A host that is given by its address alone.
fn bare_host(inventory: Option<&Inventory>, target: &str) -> Result<Host, String> {
    let address = Address::parse(target)?;
    let defaults = inventory.map(|inventory| inventory.defaults.clone()).unwrap_or_default();
    Ok(Host {
        name: address.name()?,
        address: address.host,
        port: address.port.or(defaults.port),
        user: address.user.or(defaults.user),
        keys: defaults.keys.unwrap_or_default(),
        jump: defaults.jump.and_then(|(jump, _)| read::jump(&jump, inventory.map_or(&[], |i| &i.hosts)).ok()),
        fingerprint: None,
        sudo: defaults.sudo,
        operator_keys: Vec::new(),
        groups: Vec::new(),
        playbooks: None,
        variables: inventory.map(|inventory| inventory.variables.clone()).unwrap_or_default(),
        place: None,
    })
}

fn limited(hosts: Vec<Host>, limit: &[String], found: &mut Diagnostics) -> Vec<Host> {
    let patterns: Vec<&str> = limit.iter().flat_map(|list| list.split(',')).map(str::trim).collect();
    let patterns: Vec<&str> = patterns.into_iter().filter(|pattern| !pattern.is_empty()).collect();
    if patterns.is_empty() || hosts.is_empty() {
        return hosts;
    }
    let mut wrong = false;
    for pattern in &patterns {
        let bare = pattern.strip_prefix('!').unwrap_or(pattern);
        if hosts.iter().any(|host| matches(host, bare)) {
            continue;
        }
        wrong = true;
        let diagnostic = Diagnostic::error(format!("`--limit {pattern}` matches no host"));
        let names = hosts.iter().map(|host| host.name.as_str());
        let names: Vec<&str> = names.chain(hosts.iter().flat_map(|h| h.groups.iter().map(String::as_str))).collect();
        found.push(match nearest(bare, names.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("hosts: {}", names[..hosts.len()].join(", "))),
        });
    }
    let (not, only): (Vec<&str>, Vec<&str>) = patterns.into_iter().partition(|pattern| pattern.starts_with('!'));
    let stays = |host: &Host| {
        (only.is_empty() || only.iter().any(|pattern| matches(host, pattern)))
            && !not.iter().any(|pattern| matches(host, &pattern[1..]))
    };
    let left: Vec<Host> = hosts.into_iter().filter(stays).collect();
    if left.is_empty() && !wrong {
        found.push(Diagnostic::error("`--limit` leaves no host").help("leave one of its parts out"));
    }
    left
}

fn matches(host: &Host, pattern: &str) -> bool {
    glob(pattern, host.name.as_str()) || host.groups.iter().any(|group| glob(pattern, group))
}

/// `*` stands for any text, `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
