//! Which files and units decide who gets in: whatever touches one of them is guarded, whoever declared it.

use super::{Access, Saved};
use crate::base::name::{AbsPath, UnitName};

/// Paths by what they can cut. One that ends in `/` stands for all below it, one that ends in `*` for all that begin so.
const PATHS: [(&str, &[&str]); 5] = [
    ("sshd", &["/etc/ssh/", "/etc/systemd/system/ssh*", "/etc/hosts.allow", "/etc/hosts.deny", "/etc/default/ssh"]),
    ("firewall", &["/etc/ufw/", "/etc/default/ufw", "/etc/nftables.conf", "/etc/nftables.d/", "/etc/iptables/"]),
    ("sudo", &["/etc/sudoers", "/etc/sudoers.d/", "/etc/sudo.conf"]),
    (
        "accounts",
        &[
            "/etc/passwd",
            "/etc/shadow",
            "/etc/group",
            "/etc/gshadow",
            "/etc/nsswitch.conf",
            "/etc/pam.conf",
            "/etc/pam.d/",
            "/etc/security/access.conf",
            "/etc/security/access.d/",
            "/etc/security/faillock.conf",
            "/etc/security/time.conf",
            "/etc/nologin",
        ],
    ),
    ("network", &["/etc/network/", "/etc/netplan/", "/etc/systemd/network/"]),
];

/// Units by what they can cut.
const UNITS: [(&str, &[&str]); 3] = [
    ("sshd", &["ssh.service", "sshd.service", "ssh.socket"]),
    ("firewall", &["ufw.service", "nftables.service", "netfilter-persistent.service"]),
    (
        "network",
        &["networking.service", "systemd-networkd.service", "systemd-networkd.socket", "NetworkManager.service"],
    ),
];

/// What a change of the file, link or directory at `path` can cut, and what must be saved before.
pub(super) fn of_path(path: &AbsPath) -> Option<Access> {
    let text = path.as_str();
    let is = |pattern: &&str| match (pattern.strip_suffix('*'), pattern.strip_suffix('/')) {
        (Some(start), _) => text.starts_with(start),
        (None, Some(folder)) => text == folder || text.starts_with(*pattern),
        (None, None) => text == *pattern,
    };
    let keys = text.ends_with("/.ssh") || text.contains("/.ssh/");
    let what = match PATHS.iter().find(|(_, patterns)| patterns.iter().any(is)) {
        Some((what, _)) => *what,
        None if keys => "accounts",
        None => return None,
    };
    let mut saves = vec![Saved::File(path.clone())];
    // What was not in force before the change must be in force again after it: the units are made to read their files.
    match what {
        "sshd" => saves.extend([AbsPath::new("/etc/ssh").ok().map(Saved::Folder)].into_iter().flatten()),
        "firewall" => saves.push(Saved::Firewall),
        _ => {}
    }
    saves.extend(units(what));
    Some(Access { what, saves })
}

/// What starting, stopping or reloading `unit` can cut, and what must be saved before.
pub(super) fn of_unit(unit: &UnitName) -> Option<Access> {
    let (what, _) = UNITS.iter().find(|(_, names)| names.contains(&unit.as_str()))?;
    let mut saves = vec![Saved::Unit(unit.clone())];
    if *what == "firewall" {
        saves.push(Saved::Firewall);
    }
    saves.extend(units(what));
    Some(Access { what, saves })
}

/// The units through which sshd and ufw are in force.
fn units(what: &str) -> Vec<Saved> {
    let names: &[&str] = match what {
        "sshd" => &["ssh.service", "ssh.socket"],
        "firewall" => &["ufw.service"],
        _ => &[],
    };
    names.iter().filter_map(|name| UnitName::new(*name).ok().map(Saved::Unit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(path: &str) -> Option<&'static str> {
        of_path(&AbsPath::new(path).unwrap()).map(|access| access.what)
    }

    #[test]
    fn files_that_decide_who_gets_in_are_told_from_others() {
        assert_eq!(cuts("/etc/ssh/sshd_config.d/x.conf"), Some("sshd"));
        assert_eq!(cuts("/etc/systemd/system/ssh.service.d/x.conf"), Some("sshd"));
        assert_eq!(cuts("/etc/ufw/before.rules"), Some("firewall"));
        assert_eq!(cuts("/etc/sudoers.d/ann"), Some("sudo"));
        assert_eq!(cuts("/root/.ssh/authorized_keys"), Some("accounts"));
        assert_eq!(cuts("/home/ann/.ssh"), Some("accounts"));
        assert_eq!(cuts("/etc/netplan/50-cloud-init.yaml"), Some("network"));
        for harmless in ["/etc/fstab", "/etc/sudoersish", "/etc/sshx", "/srv/ssh/x", "/etc/security/limits.d/x.conf"] {
            assert_eq!(cuts(harmless), None, "{harmless}");
        }
        let socket = of_unit(&UnitName::new("ssh.socket").unwrap()).unwrap();
        assert_eq!((socket.what, socket.saves.len()), ("sshd", 3));
        assert!(of_unit(&UnitName::new("docker.service").unwrap()).is_none());
    }
}
