//! Who must still get in when sshd has changed: what would leave nobody is refused before anything is touched.

use super::sshd::{RootLogin, Sshd};
use super::sshd_foreign;
use crate::base::name::UserName;
use crate::machine::{AuthorizedKeys, Blocked, Machine, Question, SessionState, SshLoginState, User, UserState};

/// Shells that nobody gets a prompt from.
const NO_SHELLS: [&str; 4] = ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"];

impl Sshd {
    pub(super) fn refusals(&self, session: &SessionState, says: &[(String, &SshLoginState)]) -> Result<(), Blocked> {
        if self.root_login == RootLogin::No
            && session.user == "root"
            && self.users.iter().all(|user| user.as_str() == "root")
        {
            return Err(Blocked::refused(
                "with `root_login = \"no\"` nobody could log in: root is who you come as, and no other user is named",
                "name a user with a key and sudo in `users`, or leave root its key with \"prohibit-password\"",
            ));
        }
        for (user, says) in says {
            if let Some(list) = sshd_foreign::shut_out(user, says, session.client.reading().as_deref()) {
                return Err(Blocked::refused(
                    format!("{list} of sshd's configuration shuts {user} out"),
                    format!("let {user} in there, or take the line out; bedplate does not widen who may log in"),
                ));
            }
            let methods = says.settings.get("authenticationmethods").map_or("any", String::as_str);
            let by_key = methods.split_whitespace().any(|way| matches!(way, "any" | "publickey"));
            if !self.passwords && !by_key {
                return Err(Blocked::refused(
                    format!("AuthenticationMethods is `{methods}`: without passwords {user} could not log in"),
                    "take `AuthenticationMethods` out of sshd's configuration, or set `passwords = true`",
                ));
            }
        }
        Ok(())
    }

    /// Those who must be able to log in when root may not.
    fn successors(&self) -> impl Iterator<Item = &UserName> {
        let needed = self.root_login == RootLogin::No;
        self.users.iter().filter(move |user| needed && user.as_str() != "root")
    }

    /// What is asked about them.
    pub(super) fn needed_logins(&self) -> Vec<Question> {
        let both = |user: &UserName| [User(user.clone()).into(), AuthorizedKeys(user.clone()).into()];
        self.successors().flat_map(both).collect()
    }

    /// Where root is shut out, somebody with an account, a shell and a key must be left. That sudo lets that user go
    /// on is proved by the new login, which has to become root.
    pub(super) fn somebody_is_left(&self, machine: &Machine) -> Result<(), Blocked> {
        let mut lacks = Vec::new();
        for user in self.successors() {
            let account = machine.get(&User(user.clone()))?;
            let keys = machine.get(&AuthorizedKeys(user.clone()))?;
            match account {
                UserState::Absent => lacks.push(format!("there is no user {user}")),
                UserState::Present(account) if NO_SHELLS.contains(&account.shell.as_str()) => {
                    lacks.push(format!("the shell of {user} is {}", account.shell));
                }
                UserState::Present(_) if keys.keys().is_empty() => lacks.push(format!("{user} has no key")),
                UserState::Present(_) => return Ok(()),
            }
        }
        if lacks.is_empty() {
            return Ok(());
        }
        Err(Blocked::refused(
            format!("with `root_login = \"no\"` nobody could log in: {}", lacks.join(", ")),
            "make a user with a key and sudo in an earlier task (`admin_user`), or leave root its key with \"prohibit-password\"",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::machine::account::{Account, Aging, Home, Number, Password};
    use crate::machine::authorized_keys::testing::ONE;
    use crate::machine::file::Owner;
    use crate::machine::{FileState, KeysState};

    fn sshd(text: &str) -> Sshd {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn nobody_left_is_refused_and_one_is_enough() {
        let sshd = sshd("root_login = \"no\"\nusers = [\"ann\", \"bob\"]\n");
        let mut machine = Machine::default();
        for name in ["ann", "bob"] {
            let user = UserName::new(name).unwrap();
            machine.set(User(user.clone()), UserState::Absent);
            machine.set(AuthorizedKeys(user), KeysState::none(format!("/home/{name}")));
        }
        let Err(Blocked::Refused(refusal)) = sshd.somebody_is_left(&machine) else { panic!("nobody is left") };
        assert!(refusal.what.contains("there is no user ann, there is no user bob"), "{}", refusal.what);

        let bob = UserName::new("bob").unwrap();
        let mut account = Account {
            uid: Number(Some(1000)),
            group: "bob".into(),
            comment: String::new(),
            home: "/home/bob".into(),
            home_state: Home::Own,
            shell: "/usr/sbin/nologin".into(),
            groups: BTreeSet::new(),
            password: Password::None,
            aging: Aging::Fine,
        };
        let key = FileState::text(ONE, 0o600, Owner::root());
        let keys = KeysState { file: key, ..KeysState::none("/home/bob") };
        machine.set(AuthorizedKeys(bob.clone()), keys);
        machine.set(User(bob.clone()), UserState::Present(account.clone()));
        assert!(sshd.somebody_is_left(&machine).is_err(), "nobody gets in by nologin");
        account.shell = "/bin/sh".into();
        machine.set(User(bob), UserState::Present(account));
        sshd.somebody_is_left(&machine).unwrap();
    }
}
