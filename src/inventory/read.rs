//! `bedplate.toml` read into hosts. Host over group over `[defaults]`; of two groups the one named last wins.

use std::ops::Range;
use std::sync::Arc;

use super::key::{DEFAULTS, GROUP, HOST, INVENTORY, Key, names};
use super::{Address, Host, Inventory};
use crate::base::diagnostic::nearest;
use crate::base::name::HostName;
use crate::base::{Diagnostic, Diagnostics, Source, Span};
use crate::playbook::reader::unknown_key;
use crate::playbook::scope::Given;
use crate::playbook::tree::{self, Data, Entry, Table};

/// How to connect, as far as it was said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connection {
    /// Login.
    pub user: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Paths of private keys.
    pub keys: Option<Vec<String>>,
    /// Host to go through: a name of the inventory or an address, and where it was said.
    pub jump: Option<(String, Span)>,
    /// Whether to use sudo.
    pub sudo: Option<bool>,
}

impl Connection {
    fn or(self, other: &Connection) -> Self {
        let other = other.clone();
        Self {
            user: self.user.or(other.user),
            port: self.port.or(other.port),
            keys: self.keys.or(other.keys),
            jump: self.jump.or(other.jump),
            sudo: self.sudo.or(other.sudo),
        }
    }
}

struct Group {
    name: String,
    connection: Connection,
    variables: Vec<Given>,
    playbooks: Option<Vec<(String, Span)>>,
}

/// Reads an inventory. Mistakes go to `found`.
pub fn read(source: &Arc<Source>, found: &mut Diagnostics) -> Inventory {
    let (root, whole) = tree::read(source, found);
    let mut ignored = Diagnostics::new();
    let mut reader = Reader { source, found: if whole { found } else { &mut ignored } };
    let empty = Table::default();
    reader.inventory(root.table().unwrap_or(&empty))
}

/// The hosts to go through as `ssh -J` takes them: names of `hosts`, or addresses, with commas between.
/// Errors: what is neither.
pub fn jump(text: &str, hosts: &[Host]) -> Result<String, String> {
    let hop = |text: &str| match hosts.iter().find(|host| host.name.as_str() == text) {
        Some(host) => Ok(Address { user: host.user.clone(), host: host.address.clone(), port: host.port }.to_string()),
        None if text == "none" => Ok(text.to_owned()),
        None => Address::parse(text).map(|address| address.to_string()),
    };
    text.split(',').map(|part| hop(part.trim())).collect::<Result<Vec<_>, _>>().map(|hops| hops.join(","))
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn span(&self, range: &Range<usize>) -> Span {
        Span::new(self.source, range.clone())
    }

    fn error(&mut self, message: impl Into<String>, range: &Range<usize>, help: impl Into<String>) {
        let (diagnostic, help) = (Diagnostic::error(message).at(self.span(range), ""), help.into());
        self.found.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    fn inventory(&mut self, root: &Table) -> Inventory {
        self.unknown_keys(root, &INVENTORY, "the inventory");
        let empty = Table::default();
        let defaults = self.table(root, "defaults").unwrap_or(&empty);
        self.unknown_keys(defaults, &DEFAULTS, "`[defaults]`");
        let defaults = self.connection(defaults);
        let variables = self.variables(root);
        let groups: Vec<Group> =
            self.table(root, "groups").unwrap_or(&empty).entries.iter().filter_map(|entry| self.group(entry)).collect();
        let mut hosts = Vec::new();
        let mut jumps = Vec::new();
        for entry in &self.table(root, "hosts").unwrap_or(&empty).entries {
            if let Some((host, jump)) = self.host(entry, &defaults, &variables, &groups) {
                jumps.push(jump);
                hosts.push(host);
            }
        }
        self.jumps(&mut hosts, jumps);
        self.same_address(&hosts);
        Inventory {
            hosts,
            groups: groups.into_iter().map(|group| group.name).collect(),
            playbooks: self.playbooks(root),
            defaults,
            variables,
            source: self.source.clone(),
        }
    }

    fn unknown_keys(&mut self, table: &Table, known: &[Key], of: &str) {
        let known = names(known);
        for entry in table.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.found.push(unknown_key(self.source, entry, &known, of));
        }
    }

    fn table<'t>(&mut self, table: &'t Table, key: &str) -> Option<&'t Table> {
        let node = table.get(key)?;
        if node.table().is_none() {
            self.error(
                format!("`{key}` must be a table, not {}", node.sort()),
                &node.range,
                format!("begin it with `[{key}]`"),
            );
        }
        node.table()
    }

    fn text(&mut self, table: &Table, key: &str) -> Option<String> {
        let node = table.get(key)?;
        match node.text() {
            Some("") => self.error(format!("`{key}` is empty"), &node.range, "leave it out"),
            None => {
                self.error(format!("`{key}` must be a string, not {}", node.sort()), &node.range, "put it in quotes");
            }
            Some(text) => return Some(text.to_owned()),
        }
        None
    }

    /// A string, or a list of strings.
    fn texts(&mut self, table: &Table, key: &str) -> Option<Vec<(String, Span)>> {
        let node = table.get(key)?;
        let single = [node.clone()];
        let items = node.list().unwrap_or(&single);
        let mut texts = Vec::new();
        for item in items {
            match item.text() {
                Some(text) => texts.push((text.to_owned(), self.span(&item.range))),
                None => {
                    let message = format!("`{key}` must be a string or a list of strings, not {}", item.sort());
                    self.error(message, &item.range, "put it in quotes");
                }
            }
        }
        Some(texts)
    }

    fn playbooks(&mut self, table: &Table) -> Option<Vec<(String, Span)>> {
        self.texts(table, "playbooks")
    }

    fn connection(&mut self, table: &Table) -> Connection {
        let port = table.get("port").and_then(|node| match &node.data {
            Data::Integer(digits) if digits.parse::<u16>().is_ok_and(|port| port > 0) => digits.parse().ok(),
            _ => {
                self.error("`port` must be a number from 1 to 65535", &node.range, "such as `port = 22`");
                None
            }
        });
        let sudo = table.get("sudo").and_then(|node| match node.data {
            Data::Boolean(sudo) => Some(sudo),
            _ => {
                self.error("`sudo` must be `true` or `false`", &node.range, "leave the quotes out");
                None
            }
        });
        let jump = self.text(table, "jump").zip(table.get("jump").map(|node| self.span(&node.range)));
        Connection {
            user: self.text(table, "user"),
            port,
            keys: self.texts(table, "key").map(|keys| keys.into_iter().map(|(path, _)| path).collect()),
            jump,
            sudo,
        }
    }

    fn variables(&mut self, table: &Table) -> Vec<Given> {
        let Some(table) = self.table(table, "variables") else { return Vec::new() };
        let given = table.entries.iter().map(|entry| Given {
            name: entry.key.clone(),
            node: entry.node.clone(),
            range: entry.key_range.clone(),
            source: self.source.clone(),
        });
        given.collect()
    }

    fn named_table<'t>(&mut self, entry: &'t Entry, what: &str) -> Option<&'t Table> {
        if entry.node.table().is_none() {
            let help = format!("write `[{what}s.{}]` with its settings below it", entry.key);
            self.error(format!("a {what} must be a table, not {}", entry.node.sort()), &entry.node.range, help);
        }
        entry.node.table()
    }

    fn group(&mut self, entry: &Entry) -> Option<Group> {
        let table = self.named_table(entry, "group")?;
        self.unknown_keys(table, &GROUP, "a group");
        Some(Group {
            name: entry.key.clone(),
            connection: self.connection(table),
            variables: self.variables(table),
            playbooks: self.playbooks(table),
        })
    }

    fn host(
        &mut self,
        entry: &Entry,
        defaults: &Connection,
        variables: &[Given],
        groups: &[Group],
    ) -> Option<(Host, Option<(String, Span)>)> {
        let table = self.named_table(entry, "host")?;
        self.unknown_keys(table, &HOST, "a host");
        let name = match HostName::new(entry.key.as_str()) {
            Ok(name) => name,
            Err(bad) => {
                self.error(bad.to_string(), &entry.key_range, "such as `[hosts.web3]`, with its `address` below");
                return None;
            }
        };
        let address = self.address(entry, table)?;
        let members = self.members(table, groups);
        let mut connection = self.connection(table);
        for group in members.iter().rev() {
            connection = connection.or(&group.connection);
        }
        connection = connection.or(defaults);
        let mut given = variables.to_vec();
        given.extend(members.iter().flat_map(|group| group.variables.iter().cloned()));
        given.extend(self.variables(table));
        let of_groups: Vec<_> = members.iter().filter_map(|group| group.playbooks.clone()).flatten().collect();
        let playbooks = self.playbooks(table).or((!of_groups.is_empty()).then_some(of_groups));
        let host = Host {
            name,
            address: address.host,
            port: address.port.or(connection.port),
            user: address.user.or(connection.user),
            keys: connection.keys.unwrap_or_default(),
            jump: None,
            fingerprint: self.fingerprint(table),
            sudo: connection.sudo,
            operator_keys: Vec::new(),
            groups: members.iter().map(|group| group.name.clone()).collect(),
            playbooks,
            variables: given,
            place: Some(self.span(&entry.key_range)),
        };
        Some((host, connection.jump))
    }

    fn fingerprint(&mut self, table: &Table) -> Option<String> {
        let text = self.text(table, "fingerprint")?;
        let hash = text.strip_prefix("SHA256:").map(|hash| hash.trim_end_matches('='));
        if hash
            .is_none_or(|hash| hash.len() != 43 || !hash.chars().all(|c| c.is_ascii_alphanumeric() || "+/".contains(c)))
        {
            let range = table.get("fingerprint").map_or(0..0, |node| node.range.clone());
            let help = "take it from `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host: `SHA256:…`";
            self.error("`fingerprint` is not that of a host key", &range, help);
            return None;
        }
        Some(text)
    }

    /// The address; without one the name is it, as in `[hosts."web1.example.com"]`.
    fn address(&mut self, entry: &Entry, table: &Table) -> Option<Address> {
        let (text, range) = match table.get("address") {
            Some(node) => (self.text(table, "address")?, &node.range),
            None => (entry.key.clone(), &entry.key_range),
        };
        match Address::parse(&text) {
            Ok(address) => Some(address),
            Err(why) => {
                self.error(format!("this is not an address: {why}"), range, "such as `address = \"203.0.113.5\"`");
                None
            }
        }
    }

    fn members<'g>(&mut self, table: &Table, groups: &'g [Group]) -> Vec<&'g Group> {
        let mut members: Vec<&Group> = Vec::new();
        for (name, span) in self.texts(table, "groups").unwrap_or_default() {
            match groups.iter().find(|group| group.name == name) {
                Some(group) if members.iter().any(|other| other.name == group.name) => {
                    let wrong = Diagnostic::error(format!("the group `{name}` is named twice")).at(span, "");
                    self.found.push(wrong.help("leave one of the two out"));
                }
                Some(group) => members.push(group),
                None => {
                    let wrong = Diagnostic::error(format!("there is no group `{name}`")).at(span, "not declared");
                    self.found.push(match nearest(&name, groups.iter().map(|group| group.name.as_str())) {
                        Some(near) => wrong.help(format!("did you mean `{near}`?")),
                        None => wrong.help(format!("add `[groups.{name}]`")),
                    });
                }
            }
        }
        members
    }

    fn jumps(&mut self, hosts: &mut [Host], jumps: Vec<Option<(String, Span)>>) {
        let all = hosts.to_vec();
        for (host, wanted) in hosts.iter_mut().zip(jumps) {
            // A jump host of the inventory does not go through itself when all hosts are told to.
            let Some((text, span)) = wanted.filter(|(text, _)| text != host.name.as_str()) else { continue };
            match jump(&text, &all) {
                Ok(jump) => host.jump = Some(jump),
                Err(why) => {
                    let wrong = Diagnostic::error(format!("`jump` is neither a host nor an address: {why}"));
                    let help = "name a host of this file, or an address such as \"root@203.0.113.1\"";
                    self.found.push(wrong.at(span, "").help(help));
                }
            }
        }
    }

    fn same_address(&mut self, hosts: &[Host]) {
        for (index, host) in hosts.iter().enumerate() {
            let same = |other: &&Host| {
                (&other.address, other.port.unwrap_or(22), &other.jump)
                    == (&host.address, host.port.unwrap_or(22), &host.jump)
            };
            let Some(first) = hosts[..index].iter().find(same) else { continue };
            let message = format!("`{}` and `{}` are the same host, {}", first.name, host.name, host.address);
            let mut wrong = Diagnostic::error(message);
            if let (Some(at), Some(also)) = (&host.place, &first.place) {
                wrong = wrong.at(at.clone(), "the second").also(also.clone(), "the first");
            }
            self.found.push(wrong.help("leave one of them out: two runs on one host would wait for one another"));
        }
    }
}
