//! The connection that a host is looked at through: from where, to which port, as whom.

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, Volatile};
use crate::shell::{Call, Library};

/// Finds out about the connection; other sorts ask as it too.
pub(crate) static SESSION: Library = Library { name: "session.sh", text: include_str!("session.sh"), needs: &[] };

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// This connection.
    Here,
}

/// A connection as the host sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionState {
    /// Address it comes from; `None` when it is not one of sshd's (a console, a local run).
    pub client: Volatile<Option<String>>,
    /// Port it comes from.
    pub client_port: Volatile<Option<u16>>,
    /// Address of the host that it goes to.
    pub server: Volatile<Option<String>>,
    /// Port of the host that it goes to, behind any forwarding on the way.
    pub server_port: Option<u16>,
    /// Who logged in.
    pub user: String,
    /// Whether that user became root by sudo.
    pub sudo: bool,
}

impl Fact for Session {
    type Answer = SessionState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&SESSION, "session_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SessionState>, BadAnswer> {
        let line = fields.text()?.to_owned();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (client, client_port, server, server_port) = match words.as_slice() {
            [] => (None, None, None, None),
            [client, client_port, server, server_port] => {
                let port = |text: &str| text.parse::<u16>().ok();
                (Some(plain(client)), port(client_port), Some(plain(server)), port(server_port))
            }
            _ => return Err(BadAnswer(format!("`{}` is no SSH_CONNECTION", line.escape_debug()))),
        };
        Ok(vec![SessionState {
            client: Volatile::new(client),
            client_port: Volatile::new(client_port),
            server: Volatile::new(server),
            server_port,
            user: fields.text()?.to_owned(),
            sudo: fields.flag()?,
        }])
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<SessionState> {
        use proptest::prelude::*;
        let client = proptest::sample::select(vec![None, Some("198.51.100.7"), Some("2001:db8::7")]);
        let port = proptest::sample::select(vec![22u16, 2222, 2200]);
        let user = proptest::sample::select(vec!["root", "deploy", "admin"]);
        (client, port, user, any::<bool>())
            .prop_map(|(client, port, user, sudo)| SessionState {
                client: Volatile::new(client.map(str::to_owned)),
                client_port: Volatile::new(client.map(|_| 40000)),
                server: Volatile::new(client.map(|_| "203.0.113.5".to_owned())),
                server_port: client.map(|_| port),
                user: user.into(),
                sudo: sudo && user != "root",
            })
            .boxed()
    }
}

/// An IPv4 address that came in by an IPv6 socket is still one of IPv4; a zone says nothing about who it is.
fn plain(address: &str) -> String {
    let address = address.split('%').next().unwrap_or(address);
    address.strip_prefix("::ffff:").unwrap_or(address).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> SessionState {
        Session::parse(&[&Session::Here], &mut Fields::new(body)).unwrap().remove(0)
    }

    #[test]
    fn reads_a_connection_and_the_lack_of_one() {
        let seen = read(b"::ffff:198.51.100.7 4242 203.0.113.5 2222\0admin\x001\0");
        assert_eq!(seen.client.reading().as_deref(), Some("198.51.100.7"));
        assert_eq!((seen.server_port, seen.user.as_str(), seen.sudo), (Some(2222), "admin", true));
        assert_eq!(read(b"\0root\x000\0").server_port, None);
        assert!(Session::parse(&[&Session::Here], &mut Fields::new(b"a b\0root\x000\0")).is_err());
    }
}
