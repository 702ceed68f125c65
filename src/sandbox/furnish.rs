//! What makes a copied image one particular box: its name, its keys, its resolver.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rand::RngExt as _;
use russh::keys::{Algorithm, PrivateKey, ssh_key::LineEnding};

use super::below;
use super::command::run;
use super::error::{Doing as _, Result};
use super::image::put;
use super::registry::Record;

/// Resolvers for a machine whose own are all its own loopback's (Cloudflare's and Quad9's public ones).
const PUBLIC_RESOLVERS: [&str; 2] = ["1.1.1.1", "9.9.9.9"];

/// Furnishes the tree of `record`, and writes its key, its known_hosts and its boot script to its directory of state.
pub(super) fn furnish(record: &Record, authorized_keys: &[String]) -> Result<()> {
    let root = record.root();
    let name = &record.name;
    put(&root, "etc/hostname", &format!("{name}\n"))?;
    put(
        &root,
        "etc/hosts",
        &format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
    )?;
    let id = rand::rng().random::<u128>();
    put(&root, "etc/machine-id", &format!("{id:032x}\n"))?;
    // It may be a link to the image's resolver.
    let _ = fs::remove_file(below(&root, "/etc/resolv.conf"));
    put(&root, "etc/resolv.conf", &resolvers())?;
    for path in ["etc/apt/sources.list", "etc/apt/sources.list.d/debian.sources", "etc/apt/apt.conf.d/90fetch"] {
        if let Ok(text) = fs::read_to_string(below(&root, path)) {
            put(&root, path, &reachable(&text, record.link.host4))?;
        }
    }
    write_keys(record, &root, authorized_keys)?;
    put(&record.directory(), "boot.sh", include_str!("boot.sh"))
}

fn write_keys(record: &Record, root: &Path, authorized_keys: &[String]) -> Result<()> {
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
    let texts = key.and_then(|mut key| {
        key.set_comment(format!("bedplate-sandbox {}", record.name));
        Ok((key.to_openssh(LineEnding::LF)?, key.public_key().to_openssh()?))
    });
    let (private, public) = texts.map_err(std::io::Error::other).doing(|| "can not make a key".to_owned())?;
    put(&record.directory(), "key", &private)?;
    put(&record.directory(), "key.pub", &format!("{public}\n"))?;
    let mut authorized = format!("{public}\n");
    for key in authorized_keys {
        let _ = writeln!(authorized, "{}", key.trim());
    }
    put(root, "root/.ssh/authorized_keys", &authorized)?;
    for (path, mode) in [
        (record.file("key"), 0o600),
        (below(root, "/root/.ssh"), 0o700),
        (below(root, "/root/.ssh/authorized_keys"), 0o600),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .doing(|| format!("can not protect {}", path.display()))?;
    }
    run(&["chroot", &root.to_string_lossy(), "ssh-keygen", "-q", "-A"])?;
    let mut known_hosts = String::new();
    for sort in ["ed25519", "ecdsa", "rsa"] {
        let path = below(root, &format!("/etc/ssh/ssh_host_{sort}_key.pub"));
        let line = fs::read_to_string(&path).doing(|| format!("can not read {}", path.display()))?;
        let key = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let _ = writeln!(known_hosts, "{},{} {key}", record.link.guest4, record.link.guest6);
    }
    put(&record.directory(), "known_hosts", &known_hosts)
}

/// The resolvers of this machine that a box can reach. Where a stub on the loopback answers, those behind it.
fn resolvers() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut found = outside_loopback(&read("/etc/resolv.conf"));
    if found.is_empty() {
        found = outside_loopback(&read("/run/systemd/resolve/resolv.conf"));
    }
    if found.is_empty() {
        found = PUBLIC_RESOLVERS.iter().map(|address| format!("nameserver {address}\n")).collect();
    }
    found
}

fn outside_loopback(resolv_conf: &str) -> String {
    let lines = || resolv_conf.lines().map(str::trim);
    let server = |line: &&str| {
        line.strip_prefix("nameserver").is_some_and(|a| !a.trim().starts_with("127.") && a.trim() != "::1")
    };
    if !lines().any(|line| server(&line)) {
        return String::new();
    }
    let kept = |line: &&str| server(line) || line.starts_with("search") || line.starts_with("options");
    lines().filter(kept).fold(String::new(), |text, line| text + line + "\n")
}

/// A proxy or mirror on this machine's loopback, as the box reaches it.
fn reachable(text: &str, host: Ipv4Addr) -> String {
    let host = format!("://{host}");
    text.replace("://127.0.0.1", &host).replace("://localhost", &host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_on_the_loopback_is_no_resolver_for_a_box() {
        assert_eq!(outside_loopback("nameserver 127.0.0.53\noptions edns0\n"), "");
        assert_eq!(
            outside_loopback("# x\nnameserver 127.0.0.1\nnameserver 10.0.0.53\nsearch a.example\n"),
            "nameserver 10.0.0.53\nsearch a.example\n"
        );
    }

    #[test]
    fn a_proxy_on_the_loopback_is_reached_by_this_machines_address() {
        let text =
            "Acquire::http::Proxy \"http://127.0.0.1:3142\";\nAcquire::https::Proxy \"http://proxy.example:1\";\n";
        let seen = reachable(text, Ipv4Addr::new(10, 213, 1, 1));
        assert!(seen.contains("http://10.213.1.1:3142") && seen.contains("proxy.example:1"), "{seen}");
    }
}
