//! From a name to a TCP stream: all addresses of the name, both families in turn, a quarter of a second apart
//! (RFC 8305), within one limit.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::connect_error::ConnectError;
use super::target::{Family, Target};

/// Head start of one address over the next.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the target's address. Errors: the name, or the most telling failure of its addresses.
pub(super) async fn dial(target: &Target) -> Result<TcpStream, ConnectError> {
    let limit = target.connect_timeout;
    let address = || target.address.clone();
    let timed_out = || ConnectError::TimedOut { address: address(), port: target.port, after: limit };
    let work = async {
        let addresses = resolve(target).await?;
        tracing::debug!(address = target.address, port = target.port, ?addresses, "dialling");
        race(addresses).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused { address: address(), port: target.port },
            io::ErrorKind::TimedOut => timed_out(),
            _ => ConnectError::NotReached { address: address(), port: target.port, why: error.to_string() },
        })
    };
    let stream = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out()))?;
    // Small packets must not wait for acknowledgements; a stream that can not be told works all the same.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |why: String| ConnectError::NotResolved { address: target.address.clone(), why };
    let bare = target.address.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, target.port)).await.map_err(|error| failed(error.to_string()))?;
    let wanted: Vec<SocketAddr> = found
        .filter(|address| match target.family {
            Family::Any => true,
            Family::Four => address.is_ipv4(),
            Family::Six => address.is_ipv6(),
        })
        .collect();
    if wanted.is_empty() {
        return Err(failed("it has no address of the wanted family".to_owned()));
    }
    Ok(interleave(wanted))
}

/// Both families in turn, beginning with the one that the resolver put first.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_six = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_six);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        match (first.next(), second.next()) {
            (None, None) => return order,
            (one, other) => order.extend(one.into_iter().chain(other)),
        }
    }
}

/// The first address that answers; else the last error, a refusal before anything vaguer.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut worst: Option<io::Error> = None;
    if let Some(address) = waiting.next() {
        running.spawn(TcpStream::connect(address));
    }
    loop {
        let next = tokio::time::sleep(STAGGER);
        tokio::select! {
            done = running.join_next() => match done {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => {
                    if worst.as_ref().is_none_or(|w| w.kind() != io::ErrorKind::ConnectionRefused) {
                        worst = Some(error);
                    }
                    if let Some(address) = waiting.next() {
                        running.spawn(TcpStream::connect(address));
                    }
                }
                Some(Err(_)) => {}
                None => return Err(worst.unwrap_or_else(|| io::Error::other("no address"))),
            },
            () = next, if waiting.len() > 0 => {
                if let Some(address) = waiting.next() {
                    running.spawn(TcpStream::connect(address));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns() {
        let parse = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = parse(&["[::1]:22", "[::2]:22", "1.1.1.1:22"]);
        assert_eq!(interleave(mixed), parse(&["[::1]:22", "1.1.1.1:22", "[::2]:22"]));
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_live_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(race(vec![closed, live]).await.unwrap().peer_addr().unwrap(), live);
        assert_eq!(race(vec![closed]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
