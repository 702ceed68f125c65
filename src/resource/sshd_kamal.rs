//! What somebody else's lines in sshd's files forbid that Kamal needs. They keep no person out and are not undone, but
//! `kamal deploy` would fail by them.

use super::sshd_algorithms::KAMAL;
use super::sshd_foreign::Wanted;
use crate::base::event::Finding;
use crate::machine::SshLoginState;

/// The limits that a login of one of `users` would meet once `wanted` is in force.
pub(super) fn limits(wanted: &[Wanted], users: &[(String, &SshLoginState)]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for (user, says) in users {
        let value = |keyword: &str| {
            let declared = wanted.iter().find(|wanted| wanted.name.eq_ignore_ascii_case(keyword));
            declared.map(|wanted| &wanted.value).or_else(|| says.settings.get(&keyword.to_ascii_lowercase()))
        };
        if let Some(word) = value("AllowTcpForwarding").filter(|word| matches!(word.as_str(), "no" | "local")) {
            found.push(Finding {
                id: "sshd-no-forwarding".into(),
                what: format!(
                    "sshd has `AllowTcpForwarding {word}` for {user}: Kamal can not lend this host a registry of yours"
                ),
                help: Some(
                    "if your deploys use a local registry, set `ssh_settings = { AllowTcpForwarding = \"yes\" }`"
                        .into(),
                ),
            });
        }
        for (keyword, has) in KAMAL {
            let Some(list) = value(keyword).filter(|list| !list.split(',').any(|name| has.contains(&name))) else {
                continue;
            };
            found.push(Finding {
                id: "sshd-no-common-algorithm".into(),
                what: format!("sshd has only {keyword} that Kamal does not: {list}"),
                help: Some(format!("add one of {}; `ssh_algorithms = \"strong\"` does", has.join(", "))),
            });
        }
    }
    // Algorithms are the same for all users.
    found.sort_by(|one, other| (&one.id, &one.what).cmp(&(&other.id, &other.what)));
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn says(settings: &[(&str, &str)]) -> SshLoginState {
        let settings: BTreeMap<_, _> = settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let (ports, deaf, groups) = (BTreeSet::from([22]), BTreeSet::new(), BTreeSet::new());
        SshLoginState { settings, ports, deaf, groups, broken: None }
    }

    #[test]
    fn what_kamal_needs_is_looked_for_once_for_all_users() {
        let (kex, forwarding) = (("kexalgorithms", "curve25519-sha256"), ("allowtcpforwarding", "no"));
        let (root, deploy) = (says(&[kex]), says(&[kex, forwarding]));
        let users = [("root".to_owned(), &root), ("deploy".to_owned(), &deploy)];
        let found: Vec<(String, String)> = limits(&[], &users).into_iter().map(|one| (one.id, one.what)).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].0 == "sshd-no-common-algorithm" && found[0].1.contains("curve25519-sha256"), "{found:?}");
        assert!(found[1].0 == "sshd-no-forwarding" && found[1].1.contains("for deploy"), "{found:?}");

        // What is declared is what they will meet.
        let wanted = |name, value: &str| Wanted { name, value: value.into(), printed: true };
        let wanted = [wanted("KexAlgorithms", "a,ecdh-sha2-nistp256"), wanted("AllowTcpForwarding", "remote")];
        assert_eq!(limits(&wanted, &users), []);
    }
}
