//! Where a host is, as people write it: `host`, `user@host:port`, `[v6]:port`, `user@2001:db8::1`, `ssh://user@host:port`.

use std::net::Ipv6Addr;

use crate::base::name::HostName;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The login, if it was said.
    pub user: Option<String>,
    /// Name or number of the host, without brackets.
    pub host: String,
    /// The port, if it was said.
    pub port: Option<u16>,
}

impl Address {
    /// Reads an address. A bare IPv6 address has no port: `[2001:db8::1]:22` has one.
    /// Errors: what is wrong, as a phrase.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("ssh://").map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user_name(user)?), rest),
            None => (None, rest),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, behind) = inner.split_once(']').ok_or("the bracket is not closed")?;
                let port = match behind.strip_prefix(':') {
                    Some(port) => Some(port_number(port)?),
                    None if behind.is_empty() => None,
                    None => return Err("only `:PORT` may stand behind the bracket".into()),
                };
                (version_6(host)?, port)
            }
            None if rest.matches(':').count() > 1 => (version_6(rest)?, None),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port_number(port)?)),
                None => (rest, None),
            },
        };
        HostName::new(host).map_err(|bad| bad.to_string())?;
        Ok(Self { user, host: host.to_owned(), port })
    }

    /// The name by which messages know a host that is in no inventory.
    pub fn name(&self) -> Result<HostName, String> {
        let name = match self.port {
            Some(port) if port != 22 && !self.host.contains(':') => format!("{}:{port}", self.host),
            _ => self.host.clone(),
        };
        HostName::new(name).map_err(|bad| bad.to_string())
    }
}

/// As ssh takes it.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        let bracket = self.host.contains(':') && self.port.is_some();
        f.write_str(&if bracket { format!("[{}]", self.host) } else { self.host.clone() })?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn user_name(text: &str) -> Result<String, String> {
    // Directory services have names that useradd would refuse, so only what could be taken for something else is.
    if text.is_empty() {
        return Err("there is no user before the `@`".into());
    }
    if text.contains(':') {
        return Err("a password can not be given in an address".into());
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || "/'\"".contains(c);
    if text.starts_with('-') || text.contains(bad) {
        return Err(format!("`{}` is not a user name", text.escape_debug()));
    }
    Ok(text.to_owned())
}

fn port_number(text: &str) -> Result<u16, String> {
    let digits = text.chars().all(|c| c.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if port > 0 && digits => Ok(port),
        _ => Err(format!("`{}` is not a port: it must be a number from 1 to 65535", text.escape_debug())),
    }
}

fn version_6(text: &str) -> Result<&str, String> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "x"));
    match address.parse::<Ipv6Addr>() {
        Ok(_) if !zone.is_empty() => Ok(text),
        _ => Err(format!("`{}` is not an IPv6 address; write a port as `[ADDRESS]:PORT`", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, String, Option<u16>) {
        let address = Address::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        (address.user, address.host, address.port)
    }

    #[test]
    fn reads_what_people_write() {
        let user = |name: &str| Some(name.to_owned());
        assert_eq!(parsed("web1"), (None, "web1".into(), None));
        assert_eq!(parsed("root@203.0.113.5"), (user("root"), "203.0.113.5".into(), None));
        assert_eq!(parsed("root@web.example.com:2222"), (user("root"), "web.example.com".into(), Some(2222)));
        assert_eq!(parsed("deploy@2001:db8::1"), (user("deploy"), "2001:db8::1".into(), None));
        assert_eq!(parsed("[2001:db8::1]:2222"), (None, "2001:db8::1".into(), Some(2222)));
        assert_eq!(parsed("root@[fe80::1%eth0]"), (user("root"), "fe80::1%eth0".into(), None));
        assert_eq!(parsed("ssh://root@[::1]:22/"), (user("root"), "::1".into(), Some(22)));
        assert_eq!(parsed("ssh://web1"), (None, "web1".into(), None));
        assert_eq!(parsed("a@b@web1"), (user("a@b"), "web1".into(), None));
    }

    #[test]
    fn refuses_what_is_not_one_host() {
        for bad in [
            "",
            "root@",
            "@web",
            "web:",
            "web:0",
            "web:65536",
            "web:+22",
            "[::1",
            "[::1]22",
            "1:2:3",
            "-oX",
            "root:pw@web",
            "a b@web",
            "web 1",
            "-x@web",
            "[web]:22",
            "fe80::1%",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_tells_two_ports_apart() {
        assert_eq!(Address::parse("root@box:2201").unwrap().name().unwrap().as_str(), "box:2201");
        assert_eq!(Address::parse("root@box:22").unwrap().name().unwrap().as_str(), "box");
    }
}
