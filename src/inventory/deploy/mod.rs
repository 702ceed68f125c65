//! Kamal's `config/deploy.yml`: who is in it, how they are logged in to, what they keep. Read, never run and never
//! rewritten; what Kamal itself would refuse is warned of and gone past.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Diagnostic, Diagnostics, Source, Span};
use crate::playbook::local::Local;

mod erb;
mod hosts;
mod mend;
mod read;
mod rehost;
mod rejected;
pub mod yaml;

pub use hosts::{inventory, starter};
pub use mend::{Mended, mended};
pub use rehost::{NotEdited, rehosted, still_holding};
pub use rejected::rejected;

/// Where Kamal has its configuration, from the folder of the app.
pub const FILE: &str = "config/deploy.yml";

/// A value and where it was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// A setting as far as it can be known.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting<T> {
    /// It is not set.
    Absent,
    /// It is this.
    Known(Said<T>),
    /// It is set, to what is not known: why.
    Unknown(Said<String>),
}

impl<T> Setting<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Setting::Known(said) => Some(&said.value),
            _ => None,
        }
    }
}

/// What a deploy.yml says of hosts and of what they must offer.
#[derive(Debug, Clone, PartialEq)]
pub struct Deploy {
    /// The file.
    pub source: Arc<Source>,
    /// The destination that is laid over it.
    pub destination: Option<String>,
    /// The app's name.
    pub service: Setting<String>,
    /// Roles in the order of the file.
    pub roles: Vec<Role>,
    /// Accessories in the order of the file.
    pub accessories: Vec<Accessory>,
    /// How Kamal logs in.
    pub ssh: Ssh,
    /// Volumes of every app container.
    pub volumes: Vec<Said<Volume>>,
    /// The proxy, as far as roles do not say otherwise.
    pub proxy: Proxy,
    /// The registry.
    pub registry: Registry,
    /// What images are built for, such as `amd64`; empty when it is not said.
    pub arch: Vec<Said<String>>,
    /// Names of all secrets that it declares.
    pub secrets: Vec<Said<String>>,
    /// Where Kamal's secrets are, from the folder of the app.
    pub secrets_path: String,
    /// The whole tree.
    pub tree: yaml::Node,
}

/// A role of the app.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Its hosts with their tags.
    pub hosts: Vec<Server>,
    /// What kamal-proxy serves of it; `None` where it does not.
    pub proxy: Option<Proxy>,
    /// Volumes of its `options`.
    pub volumes: Vec<Said<Volume>>,
    /// What its `options` publish.
    pub ports: Vec<Said<String>>,
}

/// A host of a role.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its address.
    pub address: Setting<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// An accessory.
#[derive(Debug, Clone, PartialEq)]
pub struct Accessory {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Its hosts, those of its roles and tags among them.
    pub hosts: Vec<Setting<String>>,
    /// What it publishes, as Docker takes it: `5432`, `127.0.0.1:5432:5432`.
    pub ports: Vec<Said<String>>,
    /// Its volumes.
    pub volumes: Vec<Said<Volume>>,
    /// Folders on the host, absolute or from the login's home, with the service's name before them.
    pub directories: Vec<Said<String>>,
    /// Files that Kamal brings to the host, from the login's home, with the service's name before them.
    pub files: Vec<Said<String>>,
    /// What kamal-proxy serves of it; `None` where it does not.
    pub proxy: Option<Proxy>,
}

/// How Kamal logs in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ssh {
    /// The login; `root` when it is absent.
    pub user: Setting<String>,
    /// The port; 22 when it is absent.
    pub port: Setting<u16>,
    /// The host to go through.
    pub proxy: Setting<String>,
    /// A command that is the way there.
    pub proxy_command: Setting<String>,
    /// Paths of private keys.
    pub keys: Vec<Said<String>>,
}

/// What lies in a container on something of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// A volume of Docker's.
    Named(String),
    /// A folder of the host, absolute or from the login's home.
    Folder(String),
}

/// kamal-proxy, as far as the host is concerned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proxy {
    /// The names that it serves.
    pub hosts: Vec<Said<String>>,
    /// Whether it serves TLS.
    pub tls: bool,
    /// The port for HTTP; `None` when it publishes none.
    pub http_port: Option<u16>,
    /// The port for HTTPS; `None` when it publishes none.
    pub https_port: Option<u16>,
}

impl Proxy {
    /// The ports that it publishes.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        [self.http_port, self.https_port].into_iter().flatten()
    }
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    /// Its address; Docker Hub when it is absent.
    pub server: Setting<String>,
    /// Whether a user name is set.
    pub username: bool,
    /// Whether a password is set.
    pub password: bool,
    /// Where the registry is set.
    pub span: Option<Span>,
}

impl Registry {
    /// Whether it is one of the operator's machine, which Kamal lends to the hosts by a forwarded port.
    pub fn is_local(&self) -> bool {
        self.server.known().is_some_and(|server| server.split([':', '/']).next() == Some("localhost"))
    }
}

impl Deploy {
    /// What kamal-proxy serves on a host of `groups`; for a host that the file does not name, what it serves at all.
    pub fn proxies(&self, groups: &[String]) -> Vec<&Proxy> {
        if groups.is_empty() {
            return vec![&self.proxy];
        }
        let roles = self.roles.iter().map(|role| (&role.name, &role.proxy));
        let all = roles.chain(self.accessories.iter().map(|accessory| (&accessory.name, &accessory.proxy)));
        all.filter(|(name, _)| groups.contains(name)).filter_map(|(_, proxy)| proxy.as_ref()).collect()
    }

    /// Kamal's login user, when it is known.
    pub fn user(&self) -> Option<&str> {
        match &self.ssh.user {
            Setting::Absent => Some("root"),
            Setting::Known(said) => Some(&said.value),
            Setting::Unknown(_) => None,
        }
    }

    /// The path of the destination's own file.
    pub fn destination_file(destination: &str) -> String {
        format!("config/deploy.{destination}.yml")
    }

    /// The role whose hosts Kamal asks first.
    fn primary(tree: &yaml::Node) -> String {
        tree.get("primary_role").and_then(yaml::Node::text).unwrap_or("web").to_owned()
    }
}

/// Reads the configuration of the app in `local`, with its destination's laid over it. `None`: there is none, or it can
/// not be read, which goes to `found`. What Kamal would refuse goes there as warnings.
pub fn load(
    local: &dyn Local,
    destination: Option<&str>,
    env: &BTreeMap<String, String>,
    found: &mut Diagnostics,
) -> Option<Deploy> {
    let mut env = env.clone();
    if let Some(destination) = destination {
        env.insert("KAMAL_DESTINATION".into(), destination.into());
    }
    let (source, mut tree) = read_file(local, FILE, &env, found)?;
    if let Some(destination) = destination {
        let path = Deploy::destination_file(destination);
        match read_file(local, &path, &env, found) {
            Some((_, over)) => tree = yaml::laid_over(tree, over),
            None if local.read(&path).is_ok_and(|text| text.is_none()) => {
                let wrong = Diagnostic::error(format!("there is no {path}"));
                found.push(wrong.help("look at the name after `--destination`"));
                return None;
            }
            None => return None,
        }
    }
    if !matches!(tree.data, yaml::Data::Map(_)) {
        let wrong = Diagnostic::error(format!("{FILE} must hold keys with values, not {}", tree.sort()));
        found.push(wrong.at(tree.span.clone(), "").help("write one anew with `kamal init`"));
        return None;
    }
    let deploy = read::deploy(source, destination, tree, found);
    for wrong in rejected::rejected(&deploy).iter() {
        found.push(wrong.clone());
    }
    Some(deploy)
}

fn read_file(
    local: &dyn Local,
    path: &str,
    env: &BTreeMap<String, String>,
    found: &mut Diagnostics,
) -> Option<(Arc<Source>, yaml::Node)> {
    match local.read(path) {
        Ok(Some(text)) => {
            let source = Source::new(path, text);
            let tree = yaml::read(&source, env, found)?;
            Some((source, tree))
        }
        Ok(None) => None,
        Err(why) => {
            let wrong = Diagnostic::error(format!("{path} can not be read: {why}"));
            found.push(wrong.help("make it readable UTF-8 text, or name hosts in bedplate.toml"));
            None
        }
    }
}

#[cfg(test)]
mod awkward;
#[cfg(test)]
mod tests;
