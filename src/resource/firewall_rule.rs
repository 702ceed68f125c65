//! A rule for what comes in, as a playbook writes it: for ufw, and for what Docker publishes.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

/// One rule for what comes in.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirewallRule {
    /// Lets in: a port with its protocol such as `80/tcp`, a range such as `8000:8010/udp`, ports such as
    /// `80,443/tcp`, or a bare port for both protocols.
    #[serde(default)]
    pub allow: Option<String>,
    /// Drops without a word.
    #[serde(default)]
    pub deny: Option<String>,
    /// Refuses.
    #[serde(default)]
    pub reject: Option<String>,
    /// Lets in, but no address more than six times within thirty seconds.
    #[serde(default)]
    pub limit: Option<String>,
    /// Only from this address or network, such as `10.0.0.0/8`.
    #[serde(default)]
    pub from: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A rule that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    /// `allow`, `deny`, `reject` or `limit`.
    pub(super) action: &'static str,
    /// First and last port of each part, in order.
    pub(super) ports: Vec<(u16, u16)>,
    /// `tcp` or `udp`; `None` for both.
    pub(super) protocol: Option<&'static str>,
    /// Address and length of the network that it is about; `None` for everybody.
    pub(super) from: Option<(IpAddr, u8)>,
    /// What it is for; empty if nobody says.
    pub(super) comment: String,
}

impl Read {
    /// `80,8000:8010`.
    pub(super) fn port_words(&self) -> String {
        let word =
            |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}:{last}") };
        self.ports.iter().map(word).collect::<Vec<_>>().join(",")
    }
}

impl FirewallRule {
    /// The action and what it is about. Errors: none, or more than one.
    fn action(&self) -> Result<(&'static str, &str), &'static str> {
        let all = [("allow", &self.allow), ("deny", &self.deny), ("reject", &self.reject), ("limit", &self.limit)];
        let mut given = all.into_iter().filter_map(|(action, ports)| Some((action, ports.as_deref()?)));
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err("a rule needs one of `allow`, `deny`, `reject`, `limit`"),
            (Some(_), Some(_)) => Err("a rule has only one of `allow`, `deny`, `reject`, `limit`"),
        }
    }

    /// What it means. Errors: a field and what is wrong with it.
    pub(super) fn read(&self) -> Result<Read, (&'static str, String)> {
        let (action, ports) = self.action().map_err(|what| ("", what.to_owned()))?;
        let (ports, protocol) = ports_of(ports).map_err(|what| (action, what))?;
        let comment = self.comment.as_deref().map(str::trim).unwrap_or_default();
        if !comment.chars().all(|c| c.is_ascii_alphanumeric() || " .,:/+-_@()".contains(c)) {
            return Err(("comment", "ufw takes only letters, digits, blanks and `.,:/+-_@()`".to_owned()));
        }
        let from = self.from.as_deref().filter(|from| *from != "any").map(network).transpose();
        let from = from.map_err(|what| ("from", what))?;
        Ok(Read { action, ports, protocol, from, comment: comment.to_owned() })
    }
}

/// First and last port of each part of `80/tcp`.
type Ports = Vec<(u16, u16)>;

/// `80/tcp` in parts: ports and protocol. Errors: what it is not.
fn ports_of(text: &str) -> Result<(Ports, Option<&'static str>), String> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, "tcp")) => (ports, Some("tcp")),
        Some((ports, "udp")) => (ports, Some("udp")),
        Some(_) => return Err(format!("`{text}` has neither /tcp nor /udp behind it")),
        None => (text, None),
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for part in ports.split(',') {
        let range = match part.split_once(':') {
            Some((first, last)) => number(first).zip(number(last)).filter(|(first, last)| first < last),
            None => number(part).map(|port| (port, port)),
        };
        parts.push(range.ok_or_else(|| format!("`{text}` is no port: write such as `80/tcp` or `8000:8010/tcp`"))?);
    }
    let several = parts.len() > 1 || parts.iter().any(|(first, last)| first != last);
    if several && protocol.is_none() {
        return Err(format!("`{text}` has several ports, and ufw then needs /tcp or /udp behind them"));
    }
    if parts.iter().map(|(first, last)| if first == last { 1 } else { 2 }).sum::<usize>() > 15 {
        return Err(format!("`{text}` has more than the fifteen ports that a rule can hold"));
    }
    parts.sort_unstable();
    parts.dedup();
    Ok((parts, protocol))
}

/// An address with the length of its network, the bits behind it cleared as ufw does. Errors: what it is not.
pub(super) fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let bad = || format!("`{text}` is neither an address nor a network such as `10.0.0.0/8`");
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let whole = if address.is_ipv6() { 128 } else { 32 };
    let length = length.map_or(Ok(whole), |length| length.parse::<u8>().map_err(|_| bad()))?;
    if length > whole {
        return Err(bad());
    }
    Ok((masked(address, length), length))
}

pub(super) fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

pub(super) fn written((address, length): (IpAddr, u8)) -> String {
    let whole = if address.is_ipv6() { 128 } else { 32 };
    if length == whole { address.to_string() } else { format!("{address}/{length}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_networks_are_as_ufw_writes_them() {
        let ports = |text: &str| {
            let rule = FirewallRule { allow: Some(text.into()), ..FirewallRule::default() };
            rule.read().map(|read| format!("{} {}", read.port_words(), read.protocol.unwrap_or("any")))
        };
        assert_eq!(ports("443,80/tcp").unwrap(), "80,443 tcp");
        assert_eq!(ports("53").unwrap(), "53 any");
        for bad in ["0", "80,443", "http", "8010:8000/tcp", "80/sctp", "", "70000/tcp"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
        assert_eq!(network("10.1.2.3/8").map(written).unwrap(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.7/32").map(written).unwrap(), "192.0.2.7");
        assert_eq!(network("2001:DB8::1/32").map(written).unwrap(), "2001:db8::/32");
        assert!(network("0.0.0.0/33").is_err() && network("example.org").is_err());
    }
}
