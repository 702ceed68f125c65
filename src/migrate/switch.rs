//! What the world sees of a move: whether the app answers at an address, and where names lead. From this machine alone.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::inventory::deploy::{Deploy, yaml::Node};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at the app.
const PAUSE: Duration = Duration::from_millis(500);
/// Most bytes of an answer that are read: its first line is what counts.
const MOST: usize = 4096;

/// A question to the app as the world puts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name that it is asked by; the address when absent.
    pub name: Option<String>,
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
}

/// What to ask on a host of these groups: each name that kamal-proxy serves there, at the path of its health check.
pub fn questions(deploy: &Deploy, groups: &[String]) -> Vec<Question> {
    let path = |node: &Node| node.get("healthcheck")?.get("path")?.text().map(str::to_owned);
    let path = deploy.tree.get("proxy").and_then(path).unwrap_or_else(|| "/up".to_owned());
    let mut all = Vec::new();
    for proxy in deploy.proxies(groups) {
        let Some(port) = proxy.http_port else { continue };
        let ask = |name: Option<String>| Question { name, port, path: path.clone() };
        if proxy.hosts.is_empty() {
            all.push(ask(None));
        }
        all.extend(proxy.hosts.iter().map(|name| ask(Some(name.value.clone()))));
    }
    all
}

/// The names that kamal-proxy serves on a host of these groups.
pub fn names(deploy: &Deploy, groups: &[String]) -> BTreeSet<String> {
    deploy.proxies(groups).into_iter().flat_map(|proxy| &proxy.hosts).map(|name| name.value.clone()).collect()
}

/// Asks until the app answers as one that is well, and gives the status. Errors: what it answered last, when `limit` is over.
pub async fn healthy(address: &str, question: &Question, limit: Duration) -> Result<u16, String> {
    let until = Instant::now() + limit;
    loop {
        let why = match tokio::time::timeout(PATIENCE, ask(address, question)).await {
            // A redirect is kamal-proxy's own where it serves TLS. One that knows no app of this name says 404, one whose app
            // is away 502 to 504.
            Ok(Ok(status @ (200..=399 | 401 | 403))) => return Ok(status),
            Ok(Ok(status)) => format!("it answers {status}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        if Instant::now() > until {
            return Err(why);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(address: &str, question: &Question) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect((address, question.port)).await?;
    let name = question.name.as_deref().unwrap_or(address);
    let text = format!(
        "GET {} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: bedplate\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        question.path
    );
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while answer.len() < MOST && !answer.contains(&b'\n') {
        match stream.read(&mut part).await? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    status(&answer).ok_or_else(|| std::io::Error::other("what answers there does not speak HTTP"))
}

/// The status of `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    text.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

/// Where a name leads, as this machine sees it.
pub async fn addresses(name: &str) -> BTreeSet<IpAddr> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name.to_owned(), 0))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        _ => BTreeSet::new(),
    }
}

/// What a name's records have to become: the sentence for its owner; `None` when it leads to the new host alone.
/// `besides` are more addresses of the new host: where the name has one of that kind now, it gets the new host's.
pub fn record(
    name: &str,
    now: &BTreeSet<IpAddr>,
    old: &BTreeSet<IpAddr>,
    (new, besides): (&BTreeSet<IpAddr>, &BTreeSet<IpAddr>),
) -> Option<String> {
    let like = |one: &IpAddr, all: &BTreeSet<IpAddr>| all.iter().any(|other| other.is_ipv4() == one.is_ipv4());
    if !now.is_empty() && now.iter().all(|now| new.contains(now) || besides.contains(now)) {
        return None;
    }
    let mut new = new.clone();
    for other in besides {
        if like(other, now) && !like(other, &new) {
            new.insert(*other);
        }
    }
    let sort = |address: &IpAddr| if address.is_ipv4() { "A" } else { "AAAA" };
    let mut words = Vec::new();
    for address in &new {
        let from: Vec<String> =
            now.iter().filter(|n| n.is_ipv4() == address.is_ipv4()).map(IpAddr::to_string).collect();
        match from.as_slice() {
            [] => words.push(format!("{} {address}", sort(address))),
            from if from == [address.to_string()] => {}
            from => words.push(format!("{} from {} to {address}", sort(address), from.join(" and "))),
        }
    }
    for stale in now.iter().filter(|now| !like(now, &new)) {
        words.push(format!("{} {stale} removed", sort(stale)));
    }
    let elsewhere = now.iter().any(|now| !old.contains(now) && !new.contains(now));
    let hint = if elsewhere { " (it leads to neither host now: behind a proxy or CDN, change it there)" } else { "" };
    Some(format!("{name}: set {}{hint}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn records_are_told_as_they_have_to_be_set() {
        let (old, new) = (set(&["203.0.113.5"]), set(&["198.51.100.7"]));
        let say = |now: &[&str]| record("shop.example.com", &set(now), &old, (&new, &set(&[])));
        assert_eq!(say(&["203.0.113.5"]).unwrap(), "shop.example.com: set A from 203.0.113.5 to 198.51.100.7");
        assert_eq!(say(&[]).unwrap(), "shop.example.com: set A 198.51.100.7");
        assert_eq!(say(&["198.51.100.7"]), None);
        let both = say(&["203.0.113.5", "2001:db8::5"]).unwrap();
        assert!(both.ends_with("A from 203.0.113.5 to 198.51.100.7, AAAA 2001:db8::5 removed (it leads to neither host now: behind a proxy or CDN, change it there)"), "{both}");
    }

    #[test]
    fn a_name_with_ipv6_gets_the_new_host_s_and_one_without_none() {
        let (old, new, besides) =
            (set(&["203.0.113.5", "2001:db8::5"]), set(&["198.51.100.7"]), set(&["2001:db8::7", "2001:db8::8"]));
        let say = |now: &[&str]| record("shop.example.com", &set(now), &old, (&new, &besides));
        let both = "shop.example.com: set A from 203.0.113.5 to 198.51.100.7, AAAA from 2001:db8::5 to 2001:db8::7";
        assert_eq!(say(&["203.0.113.5", "2001:db8::5"]).unwrap(), both);
        assert_eq!(say(&["203.0.113.5"]).unwrap(), "shop.example.com: set A from 203.0.113.5 to 198.51.100.7");
        assert_eq!(say(&["198.51.100.7", "2001:db8::8"]), None);
        let half = say(&["198.51.100.7", "2001:db8::5"]).unwrap();
        assert_eq!(half, "shop.example.com: set AAAA from 2001:db8::5 to 2001:db8::7");
    }

    #[test]
    fn a_status_is_read_from_http_alone() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 502 Bad Gateway\r\n"), Some(502));
        assert_eq!(status(b"SSH-2.0-x\r\n"), None);
    }

    #[tokio::test]
    async fn an_app_is_waited_for_until_it_is_well() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            for answer in ["HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 1024];
                let length = stream.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
                assert!(asked.starts_with("GET /up HTTP/1.1\r\nHost: shop.example.com\r\n"), "{asked}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let question = Question { name: Some("shop.example.com".into()), port, path: "/up".into() };
        assert_eq!(healthy("127.0.0.1", &question, Duration::from_secs(20)).await, Ok(200));
        served.await.unwrap();
        let gone = healthy("127.0.0.1", &question, Duration::ZERO).await;
        assert!(gone.is_err(), "{gone:?}");
    }
}
