//! What the gate looks at on the operator's side: names of secrets, names in the DNS, ports as they are seen from here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::inventory::deploy::Deploy;
use crate::playbook::Local;

/// How long a port may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a port looks from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Something answers.
    Open,
    /// The host says that nobody listens: the way there is free.
    Closed,
    /// Nothing comes back, or something on the way refuses.
    Filtered,
    /// This machine has no way there at all: it has no address of that family.
    NoWay,
}

/// Names of secrets that Kamal's files give, and the files that were read. Values are not kept.
pub(super) fn secret_names(local: &dyn Local, deploy: &Deploy) -> (BTreeSet<String>, Vec<String>) {
    let own = match &deploy.destination {
        Some(destination) => format!("{}.{destination}", deploy.secrets_path),
        None => deploy.secrets_path.clone(),
    };
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    for path in [format!("{}-common", deploy.secrets_path), own] {
        if let Ok(Some(text)) = local.read(&path) {
            names.extend(names_in(&text));
            files.push(path);
        }
    }
    (names, files)
}

fn names_in(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter_map(|line| {
        let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
        let (name, _) = line.split_once('=')?;
        let name = name.trim();
        let legal = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        legal.then(|| name.to_owned())
    })
}

/// The addresses of `name`, as this machine sees them; none when there are none.
pub(super) async fn addresses(name: &str) -> BTreeSet<IpAddr> {
    let lookup = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name.to_owned(), 0)));
    match lookup.await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        _ => BTreeSet::new(),
    }
}

/// Knocks at a port.
pub(super) async fn knock(address: IpAddr, port: u16) -> Seen {
    match tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect((address, port))).await {
        Ok(Ok(_)) => Seen::Open,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Seen::Closed,
        // What a host without IPv6 says of an address of IPv6.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NetworkUnreachable => Seen::NoWay,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::AddrNotAvailable => Seen::NoWay,
        Ok(Err(_)) | Err(_) => Seen::Filtered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_read() {
        let text = "# comment\nA=hunter2\nexport B=$(op read x=y)\n\n not a line\nC-D=1\n";
        assert_eq!(names_in(text).collect::<Vec<_>>(), ["A", "B"]);
    }

    #[tokio::test]
    async fn a_closed_port_is_no_filtered_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(knock(address.ip(), address.port()).await, Seen::Open);
        drop(listener);
        assert_eq!(knock(address.ip(), address.port()).await, Seen::Closed);
    }
}
