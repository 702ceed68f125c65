//! How a host is reached: everything that a connection needs, settled before anything is dialled.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::name::HostName;

/// Whether the held shell is root's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Become {
    /// Stay the login user.
    Never,
    /// Become root with sudo, unless the login user is root.
    #[default]
    Sudo,
}

/// Which addresses of a name are dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4 only.
    Four,
    /// IPv6 only.
    Six,
}

/// What is done with the key of a host never seen before (`StrictHostKeyChecking`). A changed key is refused whatever
/// stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NewKeys {
    /// Refuse.
    Refuse,
    /// Ask the operator.
    #[default]
    Ask,
    /// Take it and remember it.
    Accept,
}

/// Which ssh-agent holds keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Agent {
    /// The one of `SSH_AUTH_SOCK`, if there is one.
    #[default]
    Environment,
    /// The one at this socket.
    Socket(PathBuf),
    /// None.
    Off,
}

/// How soon a silent link is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How long the host may be silent before it is asked for a sign of life.
    pub interval: Duration,
    /// After how many unanswered questions the connection is given up.
    pub count: u32,
}

impl Keepalive {
    /// The time after which a silent link is given up.
    pub fn limit(&self) -> Duration {
        self.interval * self.count
    }
}

impl Default for Keepalive {
    /// Ten seconds, three times: noticed after half a minute.
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), count: 3 }
    }
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name by which the inventory and every message know it.
    pub name: HostName,
    /// The name or address to dial.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// Login user.
    pub user: String,
    /// Private key files, in the order in which they are offered.
    pub keys: Vec<PathBuf>,
    /// Whether `keys` were named by somebody (else they are OpenSSH's default files, which may be missing).
    pub keys_named: bool,
    /// Whether keys of the agent that are not among `keys` are left alone.
    pub identities_only: bool,
    /// Which agent.
    pub agent: Agent,
    /// The only host key to take, as `SHA256:…`; the known hosts are not asked then.
    pub fingerprint: Option<String>,
    /// `known_hosts` files; a new key is added to the first.
    pub known_hosts: Vec<PathBuf>,
    /// The system's `known_hosts` files.
    pub global_known_hosts: Vec<PathBuf>,
    /// The name to look up in them instead of the address.
    pub host_key_alias: Option<String>,
    /// What is done with a key never seen before.
    pub new_keys: NewKeys,
    /// Hosts to go through, the first one first.
    pub jumps: Vec<Target>,
    /// A command on this machine whose input and output are the connection.
    pub proxy_command: Option<String>,
    /// Which addresses are dialled.
    pub family: Family,
    /// How long dialling, the handshake and each step of authentication may take, the operator's thinking not counted.
    pub connect_timeout: Duration,
    /// How soon a silent link is noticed.
    pub keepalive: Keepalive,
    /// Whether the held shell is root's.
    pub become_root: Become,
}

impl Target {
    /// A target with OpenSSH's defaults and no files: for tests, and to be filled.
    pub fn new(name: HostName, user: impl Into<String>) -> Self {
        Self {
            address: name.as_str().to_owned(),
            name,
            port: 22,
            user: user.into(),
            keys: Vec::new(),
            keys_named: false,
            identities_only: false,
            agent: Agent::Environment,
            fingerprint: None,
            known_hosts: Vec::new(),
            global_known_hosts: Vec::new(),
            host_key_alias: None,
            new_keys: NewKeys::Ask,
            jumps: Vec::new(),
            proxy_command: None,
            family: Family::Any,
            connect_timeout: Duration::from_secs(15),
            keepalive: Keepalive::default(),
            become_root: Become::Sudo,
        }
    }

    /// `user@address`, with the port when it is not 22.
    pub fn place(&self) -> String {
        let address = if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.clone() };
        if self.port == 22 {
            format!("{}@{address}", self.user)
        } else {
            format!("{}@{address}:{}", self.user, self.port)
        }
    }

    /// The name that `known_hosts` has for it.
    pub fn known_as(&self) -> String {
        match &self.host_key_alias {
            Some(alias) => alias.to_lowercase(),
            None => super::known_hosts::lookup_name(&self.address, self.port),
        }
    }
}
