//! From what the operator wrote (inventory, command line) and `~/.ssh/config` to a [`Target`]. What the operator wrote
//! wins, as ssh's command line does; then the configuration; then OpenSSH's defaults.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::Diagnostic;
use crate::base::name::HostName;

use super::config::{Found, Query, Settings, SshConfig, Tokens, environment, lower_name, tilde};
use super::target::{Agent, Become, Family, Keepalive, NewKeys, Target};

/// OpenSSH's default key files, best first: every refusal counts against us.
const DEFAULT_KEYS: [&str; 3] = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"];
/// The tokens that file names may hold.
const FILE_TOKENS: &str = "%hnprkudilL";
/// Jump hosts may have jump hosts so deep.
const JUMP_DEPTH: usize = 8;

/// What the operator wrote about a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name by which the inventory and every message know it.
    pub name: HostName,
    /// What to connect to, where that is not the name: as one would type it after `ssh`.
    pub address: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Login user.
    pub user: Option<String>,
    /// Key files; `~` is the home folder.
    pub keys: Vec<String>,
    /// The only host key to take, as `SHA256:…`.
    pub fingerprint: Option<String>,
    /// Jump hosts as `ssh -J` takes them; `none` for none.
    pub jump: Option<String>,
    /// Whether the held shell is root's.
    pub become_root: Become,
}

impl Request {
    /// A request that leaves everything to the configuration.
    pub fn new(name: HostName) -> Self {
        Self {
            name,
            address: None,
            port: None,
            user: None,
            keys: Vec::new(),
            fingerprint: None,
            jump: None,
            become_root: Become::Sudo,
        }
    }
}

/// A target, and what was odd on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// How the host is reached.
    pub target: Target,
    /// Lines of the configuration that were passed over.
    pub warnings: Vec<Diagnostic>,
}

/// Settles how a host is reached. Reads the configuration files, and runs the commands of `Match exec` in them.
/// Errors: jump hosts or a proxy command that make no sense.
pub fn resolve(request: &Request, config: &SshConfig) -> Result<Resolved, Box<Diagnostic>> {
    resolve_at(request, config, 0)
}

fn resolve_at(request: &Request, config: &SshConfig, depth: usize) -> Result<Resolved, Box<Diagnostic>> {
    let original = request.address.as_deref().unwrap_or(request.name.as_str());
    let settled = Settings {
        user: request.user.clone(),
        port: request.port,
        proxy_jump: request.jump.clone(),
        ..Settings::default()
    };
    let Found { settings, mut warnings } = config.lookup(&Query { host: original.to_owned(), settled });
    let mut fill = Fill { config, original, settings: &settings, host: original.to_owned(), warnings: Vec::new() };
    fill.host = fill.host_name();
    let mut target = fill.target(request)?;
    warnings.append(&mut fill.warnings);
    if let Some(jump) = settings.proxy_jump.as_deref().filter(|jump| !jump.eq_ignore_ascii_case("none")) {
        let (jumps, more) = jumps(jump, config, depth)?;
        target.jumps = jumps;
        warnings.extend(more);
    }
    Ok(Resolved { target, warnings })
}

struct Fill<'a> {
    config: &'a SshConfig,
    original: &'a str,
    settings: &'a Settings,
    host: String,
    warnings: Vec<Diagnostic>,
}

impl Fill<'_> {
    fn tokens(&self) -> Tokens<'_> {
        let me = self.config.me();
        Tokens {
            original: self.original,
            host: &self.host,
            port: self.settings.port.unwrap_or(22),
            user: self.settings.user.as_deref().unwrap_or(&me.user),
            key_alias: self.settings.host_key_alias.as_deref().unwrap_or(self.original),
            me,
        }
    }

    fn warned<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.warnings.push(Diagnostic::warning(why).help("see ssh_config(5), TOKENS"))).ok()
    }

    fn host_name(&mut self) -> String {
        let expanded = self.settings.host_name.as_ref().map(|name| self.tokens().expand(name, "%h"));
        let name = expanded.and_then(|name| self.warned(name));
        lower_name(name.as_deref().unwrap_or(self.original))
    }

    fn file(&mut self, text: &str) -> Option<PathBuf> {
        let expanded = environment(text).and_then(|text| self.tokens().expand(&text, FILE_TOKENS));
        let expanded = self.warned(expanded)?;
        Some(tilde(&expanded, self.config.me()))
    }

    fn files(&mut self, texts: &[String]) -> Vec<PathBuf> {
        let named = texts.iter().filter(|text| !text.eq_ignore_ascii_case("none"));
        named.filter_map(|text| self.file(text)).collect()
    }

    fn keys(&mut self, request: &Request) -> (Vec<PathBuf>, bool) {
        let mut named: Vec<String> = request.keys.clone();
        named.extend(self.settings.identity_files.iter().cloned());
        if named.is_empty() {
            return (self.files(&DEFAULT_KEYS.map(str::to_owned)), false);
        }
        let mut keys = self.files(&named);
        let mut seen = Vec::new();
        keys.retain(|key| {
            !seen.contains(key) && {
                seen.push(key.clone());
                true
            }
        });
        (keys, true)
    }

    fn agent(&mut self) -> Agent {
        match self.settings.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => Agent::Environment,
            Some("none") => Agent::Off,
            Some(text) => {
                // `$NAME` names a variable that holds the path.
                let path = match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                    Some(name) => std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from),
                    None => self.file(text),
                };
                path.map_or(Agent::Off, Agent::Socket)
            }
        }
    }

    fn known_hosts(&mut self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let usual = || vec!["~/.ssh/known_hosts".to_owned(), "~/.ssh/known_hosts2".to_owned()];
        let system = || vec!["/etc/ssh/ssh_known_hosts".to_owned(), "/etc/ssh/ssh_known_hosts2".to_owned()];
        let own = self.files(&self.settings.user_known_hosts.clone().unwrap_or_else(usual));
        let global = self.files(&self.settings.global_known_hosts.clone().unwrap_or_else(system));
        (own, global)
    }

    fn target(&mut self, request: &Request) -> Result<Target, Box<Diagnostic>> {
        let (keys, keys_named) = self.keys(request);
        let (known_hosts, global_known_hosts) = self.known_hosts();
        let agent = self.agent();
        let proxy_command = self.proxy_command()?;
        let settings = self.settings;
        let usual = Keepalive::default();
        let unset = Target::new(request.name.clone(), "");
        Ok(Target {
            address: self.host.clone(),
            port: settings.port.unwrap_or(22),
            user: settings.user.clone().unwrap_or_else(|| self.config.me().user.clone()),
            keys,
            keys_named,
            identities_only: settings.identities_only.unwrap_or(false),
            agent,
            fingerprint: request.fingerprint.clone(),
            known_hosts,
            global_known_hosts,
            host_key_alias: settings.host_key_alias.clone(),
            new_keys: settings.new_keys.unwrap_or(NewKeys::Ask),
            jumps: Vec::new(),
            proxy_command,
            family: settings.family.unwrap_or(Family::Any),
            connect_timeout: settings
                .connect_timeout
                .filter(|limit| *limit > Duration::ZERO)
                .unwrap_or(unset.connect_timeout),
            // A silent link must be noticed, also where the configuration leaves it to TCP.
            keepalive: match settings.alive_interval.filter(|interval| *interval > Duration::ZERO) {
                Some(interval) => Keepalive { interval, count: settings.alive_count.unwrap_or(usual.count).max(1) },
                None => usual,
            },
            become_root: request.become_root,
            name: request.name.clone(),
        })
    }

    /// Errors: a name in it could do more in a shell than be a name.
    fn proxy_command(&self) -> Result<Option<String>, Box<Diagnostic>> {
        let Some(command) = self.settings.proxy_command.as_deref() else { return Ok(None) };
        if command.eq_ignore_ascii_case("none") {
            return Ok(None);
        }
        let tokens = self.tokens();
        // They may come from elsewhere than from whoever wrote the command.
        let odd = |c: char| "'\"`$\\;&<>|(){}".contains(c) || c.is_whitespace() || c.is_control();
        if [tokens.host, tokens.user, tokens.original].iter().any(|name| name.contains(odd)) {
            let why = "the host or user name holds characters that must not get into a `ProxyCommand`";
            return Err(Box::new(Diagnostic::error(why).help("correct the name")));
        }
        tokens
            .expand(command, "%hnpr")
            .map(Some)
            .map_err(|why| Box::new(Diagnostic::error(why).help("see ssh_config(5), TOKENS")))
    }
}

/// The jump hosts of a `ProxyJump`, each settled by the configuration like a host of its own.
fn jumps(text: &str, config: &SshConfig, depth: usize) -> Result<(Vec<Target>, Vec<Diagnostic>), Box<Diagnostic>> {
    if depth >= JUMP_DEPTH {
        let circle = Diagnostic::error(format!("the jump hosts lead in a circle at `{text}`"));
        return Err(Box::new(circle.help("set `ProxyJump none` for the jump host itself")));
    }
    let mut chain = Vec::new();
    let mut warnings = Vec::new();
    for (place, hop) in text.split(',').enumerate() {
        let bad = |why: String| {
            Box::new(Diagnostic::error(why).help("write jump hosts as `user@host:port`, with commas between"))
        };
        let (user, host, port) = split_hop(hop.trim()).ok_or_else(|| bad(format!("`{hop}` is no jump host")))?;
        let name = HostName::new(host).map_err(|why| bad(why.to_string()))?;
        // Only the first of a chain may have jump hosts of its own: the others are reached through those before them.
        let jump = (place > 0).then(|| "none".to_owned());
        let request = Request { user, port, jump, become_root: Become::Never, ..Request::new(name) };
        let resolved = resolve_at(&request, config, depth + 1)?;
        warnings.extend(resolved.warnings);
        let mut target = resolved.target;
        chain.append(&mut target.jumps);
        if place > 0 {
            target.proxy_command = None;
        }
        chain.push(target);
    }
    Ok((chain, warnings))
}

/// `[user@]host[:port]`, also as `ssh://…`; an IPv6 address stands in brackets.
fn split_hop(hop: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let hop = hop.strip_prefix("ssh://").unwrap_or(hop).trim_end_matches('/');
    let (user, place) = match hop.rsplit_once('@') {
        Some((user, place)) if !user.is_empty() => (Some(user.to_owned()), place),
        Some(_) => return None,
        None => (None, hop),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        // More than one colon is a bare IPv6 address.
        None => match place.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (place, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port: &u16| *port > 0)?),
        None => None,
    };
    (!host.is_empty()).then(|| (user, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_taken_apart() {
        let hop = |user: Option<&str>, host: &str, port| Some((user.map(str::to_owned), host.to_owned(), port));
        for (text, expected) in [
            ("bastion", hop(None, "bastion", None)),
            ("me@bastion:2222", hop(Some("me"), "bastion", Some(2222))),
            ("ssh://me@bastion:2222", hop(Some("me"), "bastion", Some(2222))),
            ("[2001:db8::1]:22", hop(None, "2001:db8::1", Some(22))),
            ("2001:db8::1", hop(None, "2001:db8::1", None)),
            ("@x", None),
            ("", None),
            ("x:0", None),
        ] {
            assert_eq!(split_hop(text), expected, "{text}");
        }
    }
}
