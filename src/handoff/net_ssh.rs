//! The algorithms of net-ssh 7.3 as Kamal 2.12 ships it: without the gems for curve25519 and chacha20. What a server
//! offers besides these Kamal can not use.

use crate::ssh::Offers;

const KEX: &[&str] = &[
    "ecdh-sha2-nistp521",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp256",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group14-sha1",
];
const HOST_KEYS: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp256",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-rsa",
];
const CIPHERS: &[&str] =
    &["aes256-ctr", "aes192-ctr", "aes128-ctr", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"];
const MACS: &[&str] =
    &["hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512", "hmac-sha2-256", "hmac-sha1"];

/// What Kamal and a server would agree on: for each sort its name, sshd's keyword, and the algorithm, or all that Kamal
/// has when there is none in common.
pub(super) fn agreed(offers: &Offers) -> [(&'static str, &'static str, Result<&'static str, String>); 4] {
    let first = |ours: &'static [&'static str], theirs: &[String]| {
        let common = ours.iter().find(|name| theirs.iter().any(|their| their == *name));
        common.copied().ok_or_else(|| ours.join(","))
    };
    [
        ("key exchange", "KexAlgorithms", first(KEX, &offers.kex)),
        ("host key", "HostKeyAlgorithms", first(HOST_KEYS, &offers.host_keys)),
        ("cipher", "Ciphers", first(CIPHERS, &offers.ciphers)),
        ("message authentication", "MACs", first(MACS, &offers.macs)),
    ]
}
