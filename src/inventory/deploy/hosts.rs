//! A deploy.yml as an inventory: its hosts with their roles as groups, and the variables that follow from it. The same
//! as text, for `bedplate init`, so that both come to the same tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Deploy, FILE, Proxy, Said, Setting, Volume};
use crate::base::name::{DockerName, HostName};
use crate::base::{Diagnostic, Diagnostics, Span};
use crate::inventory::read::Connection;
use crate::inventory::{Address, Host, Inventory};
use crate::playbook::scope::Given;
use crate::playbook::starter::Filled;
use crate::playbook::tree::{Data, Entry, Node, Table};
use crate::playbook::write;

/// Who is first met on a host: the deploy user is yet to be made there, and has no sudo afterwards.
const FIRST: &str = "root";

/// A host of the file, with all that names it.
struct Found {
    address: Said<String>,
    groups: Vec<String>,
    proxied: bool,
    ports: Vec<u16>,
    volumes: Vec<Said<Volume>>,
    /// What Kamal has in the home for accessories here: folders, and files that it brings.
    folders: Vec<Said<String>>,
    files: Vec<Said<String>>,
}

/// The inventory that `deploy` makes. `said`: variables that are set elsewhere, which need not be known from here.
/// `all_needed`: whether every host must be known, as none was named. What is missing goes to `found`.
pub fn inventory(deploy: &Deploy, said: &BTreeSet<String>, all_needed: bool, found: &mut Diagnostics) -> Inventory {
    let hosts = hosts(deploy, all_needed, found);
    let variables = common(deploy, said, found);
    let given = |variables: &[(&'static str, Node, Span)]| -> Vec<Given> {
        let given = |(name, node, span): &(&'static str, Node, Span)| Given {
            name: (*name).to_owned(),
            node: Node { range: span.range.clone(), ..node.clone() },
            range: span.range.clone(),
            source: span.source.clone(),
        };
        variables.iter().map(given).collect()
    };
    let common = given(&variables);
    let connection = connection(deploy, found);
    let mut groups: Vec<String> = Vec::new();
    for group in hosts.iter().flat_map(|host| &host.groups) {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    let mut all = Vec::new();
    for host in &hosts {
        let Some((name, address)) = named(host, found) else { continue };
        let mut variables = common.clone();
        variables.extend(given(&own(deploy, host)));
        all.push(Host {
            name,
            address,
            port: None,
            user: connection.user.clone(),
            keys: connection.keys.clone().unwrap_or_default(),
            jump: connection.jump.as_ref().map(|(jump, _)| jump.clone()),
            fingerprint: None,
            sudo: None,
            operator_keys: Vec::new(),
            groups: host.groups.clone(),
            playbooks: None,
            variables,
            place: Some(host.address.span.clone()),
        });
    }
    Inventory {
        hosts: all,
        groups,
        playbooks: None,
        defaults: connection,
        variables: common,
        source: deploy.source.clone(),
    }
}

/// The parts of a bedplate.toml that says the same as `deploy`. What can not be said goes to `found`.
pub fn starter(deploy: &Deploy, found: &mut Diagnostics) -> Filled {
    let connection = connection(deploy, found);
    let mut defaults = String::new();
    let texts =
        |texts: &[String]| Node { range: 0..0, data: Data::List(texts.iter().map(|text| text_node(text)).collect()) };
    let _ = writeln!(defaults, "user = {}", write::inline(&text_node(FIRST)));
    if let Some(keys) = &connection.keys {
        let _ = writeln!(defaults, "key = {}", write::inline(&texts(keys)));
    }
    if let Some((jump, _)) = &connection.jump {
        let _ = writeln!(defaults, "jump = {}", write::inline(&text_node(jump)));
    }
    let mut hosts_text = format!("# As {FILE} has them: roles and accessories are groups.\n");
    let all = hosts(deploy, false, found);
    let mut groups: BTreeSet<&str> = BTreeSet::new();
    for host in &all {
        groups.extend(host.groups.iter().map(String::as_str));
        let key = write::key(&host.address.value);
        let _ = writeln!(hosts_text, "[hosts.{key}]\ngroups = {}", write::inline(&texts(&host.groups)));
        let own = own(deploy, host);
        if !own.is_empty() {
            let _ = writeln!(hosts_text, "[hosts.{key}.variables]");
        }
        for (name, node, span) in own {
            let _ = writeln!(hosts_text, "# {}\n{name} = {}", span.line(), write::value(&node));
        }
        hosts_text.push('\n');
    }
    for group in groups {
        let _ = writeln!(hosts_text, "[groups.{}]", write::key(group));
    }
    let mut variables = String::new();
    for (name, node, span) in common(deploy, &BTreeSet::new(), found) {
        let _ = writeln!(variables, "# {}\n{name} = {}", span.line(), write::value(&node));
    }
    Filled { defaults, hosts: hosts_text, variables }
}

fn text_node(text: &str) -> Node {
    Node { range: 0..0, data: Data::Text(text.to_owned()) }
}

/// Every host once, in the order of the file.
fn hosts(deploy: &Deploy, all_needed: bool, found: &mut Diagnostics) -> Vec<Found> {
    let mut hosts: Vec<Found> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    let roles = deploy.roles.iter().flat_map(|role| {
        let volumes = deploy.volumes.iter().chain(&role.volumes);
        role.hosts
            .iter()
            .map(move |server| (&server.address, &role.name, &role.proxy, volumes.clone().cloned().collect()))
    });
    let accessories = deploy.accessories.iter().flat_map(|accessory| {
        accessory.hosts.iter().map(move |host| (host, &accessory.name, &accessory.proxy, accessory.volumes.clone()))
    });
    for (address, group, proxy, volumes) in roles.chain(accessories) {
        let said = match address {
            Setting::Known(said) => said,
            Setting::Unknown(why) => {
                unknown(format!("a host of `{group}` is not known: {}", why.value), &why.span, all_needed, found);
                continue;
            }
            Setting::Absent => continue,
        };
        let index = *at.entry(said.value.clone()).or_insert_with(|| {
            hosts.push(Found {
                address: said.clone(),
                groups: Vec::new(),
                proxied: false,
                ports: Vec::new(),
                volumes: Vec::new(),
                folders: Vec::new(),
                files: Vec::new(),
            });
            hosts.len() - 1
        });
        let Some(host) = hosts.get_mut(index) else { continue };
        if !host.groups.contains(group) {
            host.groups.push(group.clone());
        }
        host.proxied |= proxy.is_some();
        for port in proxy.iter().flat_map(Proxy::ports) {
            if !host.ports.contains(&port) {
                host.ports.push(port);
            }
        }
        for volume in volumes {
            if !host.volumes.iter().any(|other| other.value == volume.value) {
                host.volumes.push(volume);
            }
        }
    }
    for host in &mut hosts {
        for accessory in deploy.accessories.iter().filter(|accessory| host.groups.contains(&accessory.name)) {
            host.files.extend(accessory.files.iter().cloned());
            let homely =
                accessory.directories.iter().chain(&accessory.files).filter(|said| !said.value.starts_with('/'));
            for Said { value, span } in homely {
                let folder = value.split('/').next().unwrap_or_default().to_owned();
                if !host.folders.iter().any(|other| other.value == folder) {
                    host.folders.push(Said { value: folder, span: span.clone() });
                }
            }
        }
    }
    hosts
}

fn unknown(message: String, span: &Span, needed: bool, found: &mut Diagnostics) {
    let wrong = if needed { Diagnostic::error(message) } else { Diagnostic::warning(message) };
    let help = "name the host, as in `bedplate check root@203.0.113.5`, or write bedplate.toml with `bedplate init`";
    found.push(wrong.at(span.clone(), "unknown here").help(help));
}

fn named(host: &Found, found: &mut Diagnostics) -> Option<(HostName, String)> {
    let read = Address::parse(&host.address.value).and_then(|address| Ok((address.name()?, address)));
    match read {
        Ok((name, Address { user: None, host, port: None })) => Some((name, host)),
        Ok(_) => {
            let wrong = Diagnostic::error("a host of Kamal's has neither a user nor a port in its address");
            let help = "write `ssh: { user: …, port: … }` in the file";
            found.push(wrong.at(host.address.span.clone(), "").help(help));
            None
        }
        Err(why) => {
            let wrong = Diagnostic::error(format!("this is not the address of a host: {why}"));
            found.push(wrong.at(host.address.span.clone(), "").help("write a name or a number, such as 203.0.113.5"));
            None
        }
    }
}

/// How hosts are first met.
fn connection(deploy: &Deploy, found: &mut Diagnostics) -> Connection {
    let mut jump = None;
    match &deploy.ssh.proxy {
        Setting::Known(said) => {
            // Kamal goes there as root unless it says otherwise.
            let text = if said.value.contains('@') { said.value.clone() } else { format!("root@{}", said.value) };
            match crate::inventory::read::jump(&text, &[]) {
                Ok(hops) => jump = Some((hops, said.span.clone())),
                Err(why) => {
                    let wrong = Diagnostic::error(format!("`ssh.proxy` is not the address of a host: {why}"));
                    found.push(wrong.at(said.span.clone(), "").help("such as `proxy: root@203.0.113.1`"));
                }
            }
        }
        Setting::Unknown(why) => {
            let wrong = Diagnostic::error(format!("`ssh.proxy` is not known: {}", why.value));
            let help = "write bedplate.toml with `bedplate init`, and `jump = \"root@203.0.113.1\"` there";
            found.push(wrong.at(why.span.clone(), "").help(help));
        }
        Setting::Absent => {}
    }
    if let Setting::Known(said) = &deploy.ssh.proxy_command {
        let wrong = Diagnostic::warning("`ssh.proxy_command` is not taken from here");
        let help =
            format!("write `ProxyCommand {}` for these hosts into ~/.ssh/config, where Kamal reads it too", said.value);
        found.push(wrong.at(said.span.clone(), "").help(help));
    }
    let keys: Vec<String> = deploy.ssh.keys.iter().map(|key| key.value.clone()).collect();
    Connection { user: Some(FIRST.into()), port: None, keys: (!keys.is_empty()).then_some(keys), jump, sudo: None }
}

/// The variables of all hosts.
fn common(deploy: &Deploy, said: &BTreeSet<String>, found: &mut Diagnostics) -> Vec<(&'static str, Node, Span)> {
    let mut variables = Vec::new();
    // Without a user Kamal logs in as root, and there is nobody to be made.
    let top = deploy.tree.entry("ssh").or(deploy.tree.entry("service")).map(|entry| entry.span.clone());
    let top = top.unwrap_or_else(|| Span::new(&deploy.source, 0..0));
    match &deploy.ssh.user {
        Setting::Absent => variables.push(("deploy_user", text_node("root"), top)),
        Setting::Known(user) => variables.push(("deploy_user", literal(&user.value), user.span.clone())),
        Setting::Unknown(why) if !said.contains("deploy_user") => {
            let wrong = Diagnostic::error(format!("`ssh.user` is not known: {}", why.value));
            found.push(wrong.at(why.span.clone(), "unknown here").help("say it: `--set deploy_user=NAME`"));
        }
        Setting::Unknown(_) => {}
    }
    match &deploy.ssh.port {
        Setting::Known(port) if port.value != 22 => {
            let node = Node { range: 0..0, data: Data::Integer(port.value.to_string()) };
            variables.push(("ssh_port", node, port.span.clone()));
        }
        Setting::Unknown(why) if !said.contains("ssh_port") => {
            let wrong = Diagnostic::error(format!("`ssh.port` is not known: {}", why.value));
            found.push(wrong.at(why.span.clone(), "unknown here").help("say it: `--set ssh_port=22`"));
        }
        _ => {}
    }
    variables
}

/// A text that no template is made of.
fn literal(text: &str) -> Node {
    text_node(&text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #"))
}

/// The variables of one host.
fn own(deploy: &Deploy, host: &Found) -> Vec<(&'static str, Node, Span)> {
    let mut variables = Vec::new();
    let table = |key: &str, text: &str| {
        let entry = Entry { key: key.to_owned(), key_range: 0..0, node: text_node(text) };
        Node { range: 0..0, data: Data::Table(Table { entries: vec![entry] }) }
    };
    let named: Vec<(&str, &Span)> = host
        .volumes
        .iter()
        .filter_map(|volume| match &volume.value {
            Volume::Named(name) if DockerName::new(name.as_str()).is_ok() => Some((name.as_str(), &volume.span)),
            _ => None,
        })
        .collect();
    if let Some((_, span)) = named.first() {
        let list = named.iter().map(|(name, _)| table("name", name)).collect();
        variables.push(("docker_volumes", Node { range: 0..0, data: Data::List(list) }, (*span).clone()));
    }
    for (name, list) in [("kamal_folders", &host.folders), ("kamal_files", &host.files)] {
        if let Some(first) = list.first() {
            let texts = list.iter().map(|said| literal(&said.value)).collect();
            variables.push((name, Node { range: 0..0, data: Data::List(texts) }, first.span.clone()));
        }
    }
    if host.ports != [80, 443] {
        let rule = |port: &u16| table("allow", &format!("{port}/tcp"));
        let span = deploy.tree.entry("proxy").map_or(&host.address.span, |entry| &entry.span);
        let span = if host.proxied { span } else { &host.address.span };
        let list = Node { range: 0..0, data: Data::List(host.ports.iter().map(rule).collect()) };
        variables.push(("firewall_rules", list, span.clone()));
    }
    variables
}
