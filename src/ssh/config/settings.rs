//! The settings of one host that bedplate obeys. The first value wins; key files add up.

use std::time::Duration;

use super::super::target::{Family, NewKeys};
use super::token;

/// What `ssh_config` says of one host, tokens not yet replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HostName`.
    pub host_name: Option<String>,
    /// `User`.
    pub user: Option<String>,
    /// `Port`.
    pub port: Option<u16>,
    /// `IdentityFile`, all of them.
    pub identity_files: Vec<String>,
    /// `IdentitiesOnly`.
    pub identities_only: Option<bool>,
    /// `IdentityAgent`.
    pub identity_agent: Option<String>,
    /// `ProxyJump`; excludes `proxy_command`.
    pub proxy_jump: Option<String>,
    /// `ProxyCommand`; excludes `proxy_jump`.
    pub proxy_command: Option<String>,
    /// `UserKnownHostsFile`.
    pub user_known_hosts: Option<Vec<String>>,
    /// `GlobalKnownHostsFile`.
    pub global_known_hosts: Option<Vec<String>>,
    /// `HostKeyAlias`.
    pub host_key_alias: Option<String>,
    /// `ConnectTimeout`; zero for `none`.
    pub connect_timeout: Option<Duration>,
    /// `ServerAliveInterval`; zero for never.
    pub alive_interval: Option<Duration>,
    /// `ServerAliveCountMax`.
    pub alive_count: Option<u32>,
    /// `StrictHostKeyChecking`.
    pub new_keys: Option<NewKeys>,
    /// `AddressFamily`.
    pub family: Option<Family>,
}

impl Settings {
    /// Takes one line in. Errors: a value that makes no sense, or a setting that bedplate does not follow.
    pub(super) fn take(&mut self, keyword: &str, rest: &str, words: &[String]) -> Result<(), String> {
        let first = words.first().map(String::as_str);
        let needed = || first.filter(|word| !word.is_empty()).ok_or_else(|| format!("`{keyword}` has no value"));
        match keyword {
            "hostname" => keep(&mut self.host_name, needed()?.to_owned()),
            "user" => keep(&mut self.user, needed()?.to_owned()),
            "port" => keep(&mut self.port, port(needed()?)?),
            "identityfile" => {
                let file = needed()?.to_owned();
                if !self.identity_files.contains(&file) {
                    self.identity_files.push(file);
                }
            }
            "identitiesonly" => keep(&mut self.identities_only, yes_or_no(keyword, needed()?)?),
            "identityagent" => keep(&mut self.identity_agent, needed()?.to_owned()),
            "proxyjump" | "proxycommand" => self.take_proxy(keyword, rest),
            "userknownhostsfile" => keep(&mut self.user_known_hosts, words.to_vec()),
            "globalknownhostsfile" => keep(&mut self.global_known_hosts, words.to_vec()),
            "hostkeyalias" => keep(&mut self.host_key_alias, needed()?.to_owned()),
            "connecttimeout" => keep(&mut self.connect_timeout, span(keyword, needed()?)?),
            "serveraliveinterval" => keep(&mut self.alive_interval, span(keyword, needed()?)?),
            "serveralivecountmax" => {
                let count =
                    needed()?.parse().map_err(|_| format!("`{}` is not a number", first.unwrap_or_default()))?;
                keep(&mut self.alive_count, count);
            }
            "stricthostkeychecking" => keep(&mut self.new_keys, new_keys(needed()?)?),
            "addressfamily" => keep(&mut self.family, family(needed()?)?),
            "canonicalizehostname" if matches!(first, Some("yes" | "always" | "true")) => {
                return Err(
                    "`CanonicalizeHostname` is not followed: bedplate connects to the name that it was given, so \
                            that its host key and its place in the inventory stay one; give the full name"
                        .to_owned(),
                );
            }
            // Everything else is of no concern here: forwarding, multiplexing, terminals.
            _ => {}
        }
        Ok(())
    }

    /// These two are not split into words, and whichever comes first shuts out the other.
    fn take_proxy(&mut self, keyword: &str, rest: &str) {
        if self.proxy_jump.is_some() || self.proxy_command.is_some() {
            return;
        }
        let value = Some(rest.trim_end().to_owned());
        if keyword == "proxyjump" {
            self.proxy_jump = value.map(|jump| jump.split([' ', '\t']).next().unwrap_or_default().to_owned());
        } else {
            self.proxy_command = value;
        }
    }
}

fn keep<T>(place: &mut Option<T>, value: T) {
    if place.is_none() {
        *place = Some(value);
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("`{text}` is not a port"))
}

fn yes_or_no(keyword: &str, text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("`{keyword}` is yes or no, not `{text}`")),
    }
}

fn span(keyword: &str, text: &str) -> Result<Duration, String> {
    match text {
        "none" => Ok(Duration::ZERO),
        text => token::span(text).ok_or_else(|| format!("`{text}` is not a time for `{keyword}`")),
    }
}

fn new_keys(text: &str) -> Result<NewKeys, String> {
    match text.to_lowercase().as_str() {
        "yes" | "true" => Ok(NewKeys::Refuse),
        "ask" => Ok(NewKeys::Ask),
        // ssh would take even a changed key with `no`, with everything dangerous switched off; a tool that works as
        // root can not, so it means no more than `accept-new`.
        "accept-new" | "no" | "false" | "off" => Ok(NewKeys::Accept),
        _ => Err(format!("`{text}` is no value of `StrictHostKeyChecking`")),
    }
}

fn family(text: &str) -> Result<Family, String> {
    match text.to_lowercase().as_str() {
        "any" => Ok(Family::Any),
        "inet" => Ok(Family::Four),
        "inet6" => Ok(Family::Six),
        _ => Err(format!("`{text}` is no value of `AddressFamily`")),
    }
}
