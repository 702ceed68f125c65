//! What sshd says and what it should say, as lines for people: part of [`super::sshd`].

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::{SshLogin, SshLoginState};

/// One thing that sshd says, and should say.
pub(super) struct Difference {
    /// What it says.
    pub(super) now: String,
    /// What it should say.
    pub(super) then: String,
    /// Whether it is a setting; else a port.
    pub(super) settings: bool,
}

/// Two values as they are shown: of long lists only what goes and what comes.
fn parted(now: &str, then: &str) -> (String, String) {
    let list = |text: &'_ str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (list(now), list(then));
    if old.len() < 3 || new.len() < 3 {
        return (now.to_owned(), then.to_owned());
    }
    let only = |some: &[String], others: &[String]| {
        some.iter().filter(|name| !others.contains(name)).cloned().collect::<Vec<_>>()
    };
    let said = |mut names: Vec<String>, others: usize| {
        if others > 0 {
            names.push(format!("{others} more"));
        }
        names.join(", ")
    };
    let (goes, comes) = (only(&old, &new), only(&new, &old));
    if goes.is_empty() && comes.is_empty() {
        return (format!("{} first", old[0]), format!("{} first", new[0]));
    }
    let (kept_old, kept_new) = (old.len() - goes.len(), new.len() - comes.len());
    (said(goes, kept_old), said(comes, kept_new))
}

/// All that differs: settings by login, and the ports.
pub(super) fn differences(
    meets: &BTreeMap<String, String>,
    ports: &BTreeSet<u16>,
    says: &[(SshLogin, String, &SshLoginState)],
) -> Vec<Difference> {
    let mut all: Vec<Difference> = Vec::new();
    let users: BTreeSet<&str> = says.iter().map(|(_, user, _)| user.as_str()).collect();
    for (keyword, value) in meets {
        // What is the same for all logins is said once.
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (_, user, state) in says {
            let now = state.settings.get(keyword).map_or("", String::as_str);
            if now != value {
                found.entry(now).or_default().insert(user);
            }
        }
        for (now, of) in found {
            let whose = if of == users {
                String::new()
            } else {
                format!("{}: ", of.into_iter().collect::<Vec<_>>().join(", "))
            };
            let (now, then) = parted(now, value);
            let line = |value: String| format!("{whose}{keyword} {value}");
            all.push(Difference { now: line(now), then: line(then), settings: true });
        }
    }
    if says.iter().any(|(_, _, state)| state.ports != *ports || !state.deaf.is_empty()) {
        let list = |ports: &BTreeSet<u16>| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
        let heard = says.first().map(|(_, _, state)| state.ports.difference(&state.deaf).copied().collect());
        all.push(Difference {
            now: format!("listens on {}", list(&heard.unwrap_or_default())),
            then: format!("listens on {}", list(ports)),
            settings: false,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::UserName;

    fn says(user: &str, ciphers: &str, x11: &str) -> (SshLogin, String, SshLoginState) {
        let settings = [("ciphers", ciphers), ("x11forwarding", x11)];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let ports = BTreeSet::from([22]);
        let state = SshLoginState { settings, ports, deaf: BTreeSet::new(), groups: BTreeSet::new(), broken: None };
        (SshLogin(UserName::new(user).ok()), user.to_owned(), state)
    }

    fn shown(all: &[(SshLogin, String, SshLoginState)]) -> Vec<String> {
        let meets = [("ciphers", "b,c,d"), ("x11forwarding", "no")];
        let meets = meets.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let all: Vec<_> = all.iter().map(|(login, user, state)| (login.clone(), user.clone(), state)).collect();
        let lines = differences(&meets, &BTreeSet::from([22]), &all);
        lines.into_iter().flat_map(|line| [format!("-{}", line.now), format!("+{}", line.then)]).collect()
    }

    #[test]
    fn what_all_logins_meet_is_said_once_and_of_lists_what_differs() {
        let alike = [says("root", "a,b,c", "yes"), says("deploy", "a,b,c", "yes")];
        assert_eq!(
            shown(&alike),
            ["-ciphers a, 2 more", "+ciphers d, 2 more", "-x11forwarding yes", "+x11forwarding no"]
        );
        let apart = [says("root", "d,c,b", "no"), says("deploy", "b,c,d", "yes")];
        assert_eq!(
            shown(&apart),
            [
                "-root: ciphers d first",
                "+root: ciphers b first",
                "-deploy: x11forwarding yes",
                "+deploy: x11forwarding no"
            ]
        );
    }
}
