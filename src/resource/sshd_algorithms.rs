//! The algorithms that sshd should offer, of those that it has, and those that Kamal can speak.

use crate::machine::SshLoginState;
use crate::machine::sshd::Config;

/// Algorithms without known weakness, best first. diffie-hellman-group-exchange is there for Kamal, whose net-ssh has
/// neither curve25519 nor chacha20 without further gems; its groups are those of `/etc/ssh/moduli`.
pub(super) const STRONG: [(&str, &[&str]); 4] = [
    (
        "KexAlgorithms",
        &[
            "mlkem768x25519-sha256",
            "sntrup761x25519-sha512",
            "sntrup761x25519-sha512@openssh.com",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            GROUP_EXCHANGE,
        ],
    ),
    (
        "Ciphers",
        &[
            "chacha20-poly1305@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-gcm@openssh.com",
            "aes256-ctr",
            "aes192-ctr",
            "aes128-ctr",
        ],
    ),
    ("MACs", &["hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "umac-128-etm@openssh.com"]),
    (
        "HostKeyAlgorithms",
        &[
            "ssh-ed25519-cert-v01@openssh.com",
            "rsa-sha2-512-cert-v01@openssh.com",
            "rsa-sha2-256-cert-v01@openssh.com",
            "ssh-ed25519",
            "rsa-sha2-512",
            "rsa-sha2-256",
        ],
    ),
];
pub(super) const GROUP_EXCHANGE: &str = "diffie-hellman-group-exchange-sha256";

/// What net-ssh 7.3 without further gems has, as Kamal ships it.
pub(super) const KAMAL: [(&str, &[&str]); 3] = [
    (
        "KexAlgorithms",
        &[
            "ecdh-sha2-nistp521",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp256",
            GROUP_EXCHANGE,
            "diffie-hellman-group14-sha256",
        ],
    ),
    ("Ciphers", &["aes256-ctr", "aes192-ctr", "aes128-ctr", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"]),
    ("MACs", &["hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512", "hmac-sha2-256"]),
];

/// The strong ones of what this sshd has. `None`: it has none of them, or no key to go with them.
pub(super) fn strong(keyword: &str, names: &[&str], config: &Config, says: &SshLoginState) -> Option<String> {
    if keyword == "HostKeyAlgorithms" {
        let keys = says.settings.get("hostkey")?;
        if !keys.contains("ed25519") && !keys.contains("rsa") {
            return None;
        }
    }
    let has: Vec<&str> = config.defaults.get(&keyword.to_ascii_lowercase())?.split(',').collect();
    // Left out of newer releases' defaults, but known to all of them.
    let list: Vec<&str> = names.iter().copied().filter(|name| has.contains(name) || *name == GROUP_EXCHANGE).collect();
    (!list.is_empty()).then(|| list.join(","))
}
