//! Users and groups as the databases in `/etc` have them. Password hashes stay on the host: their digests are told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot};
use crate::base::Digest;
use crate::base::name::{GroupName, UserName};
use crate::shell::{Call, Library};

static ACCOUNT: Library = Library { name: "account.sh", text: include_str!("account.sh"), needs: &[] };

/// Is there a group of this name?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(pub GroupName);

/// What the group database says. Who is in a group is part of [`User`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupState {
    /// There is none.
    Absent,
    /// There is one, of this number.
    Present(Number),
}

/// The number of a user or group. One that the host has yet to choose agrees with every number.
#[derive(Debug, Clone, Copy, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(pub Option<u32>);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        !matches!((self.0, other.0), (Some(one), Some(other)) if one != other)
    }
}

/// How is this user?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct User(pub UserName);

/// What the user databases say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// There is none.
    Absent,
    /// There is one.
    Present(Account),
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// User number.
    pub uid: Number,
    /// Name of the primary group, or its number where it has no name.
    pub group: String,
    /// The comment (GECOS), without empty parts at its end.
    pub comment: String,
    /// Home directory as written in the database.
    pub home: String,
    /// Whether that directory is there.
    pub home_state: Home,
    /// Login shell.
    pub shell: String,
    /// Names of the supplementary groups.
    pub groups: BTreeSet<String>,
    /// What the password is.
    pub password: Password,
    /// Whether the password or the account has run out.
    pub aging: Aging,
}

/// A home directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// There is none.
    Missing,
    /// It belongs to its user.
    Own,
    /// It belongs to someone else.
    Foreign,
}

/// What stands in the place of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Password {
    /// None that could ever match (`*`): the account is used by key.
    None,
    /// `!` before it. sshd without PAM refuses even keys to such an account (sshd(8), "locked").
    Locked,
    /// The empty password.
    Empty,
    /// A hash of this digest.
    Set(Digest),
}

/// Whether an account has run out: then every login, by key too, ends in a question or a refusal (shadow(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aging {
    /// It has not.
    Fine,
    /// The password must be changed at the next login.
    MustChange,
    /// The password is older than it may be.
    PasswordExpired,
    /// The account's own last day is over.
    AccountExpired,
}

impl Fact for Group {
    type Answer = GroupState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&ACCOUNT, "account_groups")
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<GroupState>, BadAnswer> {
        let groups = groups(&String::from_utf8_lossy(fields.bytes()?));
        if groups.is_empty() {
            return Err(BadAnswer("/etc/group can not be read".into()));
        }
        let state = |question: &&Self| {
            let line = groups.iter().find(|line| line.name == question.0.as_str());
            line.map_or(GroupState::Absent, |line| GroupState::Present(Number(Some(line.gid))))
        };
        Ok(questions.iter().map(state).collect())
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<GroupState> {
        use proptest::prelude::*;
        let number = proptest::sample::select(vec![27, 999, 1000, 5000]);
        prop_oneof![Just(GroupState::Absent), number.prop_map(|gid| GroupState::Present(Number(Some(gid))))].boxed()
    }
}

impl Fact for User {
    type Answer = UserState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&ACCOUNT, "account_users").args(questions.iter().map(|user| user.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<UserState>, BadAnswer> {
        let passwd = String::from_utf8_lossy(fields.bytes()?).into_owned();
        let groups = groups(&String::from_utf8_lossy(fields.bytes()?));
        let shadow = shadow(fields)?;
        let mut owners: BTreeMap<String, u32> = BTreeMap::new();
        loop {
            let home = fields.text()?;
            if home.is_empty() {
                break;
            }
            owners.insert(home.to_owned(), fields.number()?);
        }
        if !passwd.contains("root:") {
            return Err(BadAnswer("/etc/passwd can not be read".into()));
        }
        let state = |question: &&Self| {
            let mut lines = passwd.lines();
            let account = lines.find_map(|line| account(line, question.0.as_str(), &groups, &shadow, &owners));
            account.map_or(UserState::Absent, UserState::Present)
        };
        Ok(questions.iter().map(state).collect())
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<UserState> {
        use proptest::prelude::*;
        use proptest::sample::{select, subsequence};
        let name = self.0.to_string();
        let passwords = vec![Password::None, Password::Locked, Password::Empty, Password::Set(Digest::of("$6$a$b"))];
        let agings = vec![Aging::Fine, Aging::MustChange, Aging::PasswordExpired, Aging::AccountExpired];
        let groups = subsequence(vec!["docker", "sudo", "adm", "video"], 0..4);
        let homes = vec![format!("/home/{name}"), "/srv/app".to_owned()];
        let home = (select(homes), select(vec![Home::Missing, Home::Own, Home::Foreign]));
        let text = (select(vec!["/bin/bash", "/bin/sh", "/usr/sbin/nologin"]), select(vec!["", "Deployer"]));
        let numbers = (select(vec![1000u32, 5000]), select(vec![name, "users".to_owned()]));
        let present = (numbers, home, text, groups, select(passwords), select(agings)).prop_map(
            |((uid, group), (home, home_state), (shell, comment), groups, password, aging)| {
                UserState::Present(Account {
                    uid: Number(Some(uid)),
                    group,
                    comment: comment.into(),
                    home,
                    home_state,
                    shell: shell.into(),
                    groups: groups.into_iter().map(str::to_owned).collect(),
                    password,
                    aging,
                })
            },
        );
        prop_oneof![1 => Just(UserState::Absent), 4 => present].boxed()
    }
}

struct GroupLine {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// The lines of the group database (group(5)); what is not of its form is passed over, as the C library does.
fn groups(text: &str) -> Vec<GroupLine> {
    let line = |line: &str| {
        let mut parts = line.split(':');
        let (name, gid) = (parts.next()?.to_owned(), parts.nth(1)?.parse().ok()?);
        let members = parts.next()?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Some(GroupLine { name, gid, members })
    };
    text.lines().filter_map(line).collect()
}

/// Name, password and aging up to an empty name.
fn shadow(fields: &mut Fields<'_>) -> Result<BTreeMap<String, (Password, Aging)>, BadAnswer> {
    let mut known = BTreeMap::new();
    loop {
        let name = fields.text()?.to_owned();
        if name.is_empty() {
            return Ok(known);
        }
        let password = match fields.text()? {
            "none" => Password::None,
            "locked" => Password::Locked,
            "empty" => Password::Empty,
            digest => Password::Set(Digest::parse(digest).map_err(BadAnswer)?),
        };
        let aging = match fields.text()? {
            "fine" => Aging::Fine,
            "must-change" => Aging::MustChange,
            "password-expired" => Aging::PasswordExpired,
            "account-expired" => Aging::AccountExpired,
            other => return Err(BadAnswer(format!("`{other}` is no state of an account's age"))),
        };
        known.insert(name, (password, aging));
    }
}

/// One line of the user database (passwd(5)), if it is the one of `name`.
fn account(
    line: &str,
    name: &str,
    groups: &[GroupLine],
    shadow: &BTreeMap<String, (Password, Aging)>,
    owners: &BTreeMap<String, u32>,
) -> Option<Account> {
    let parts: Vec<&str> = line.split(':').collect();
    let [found, _, uid, gid, comment, home, shell] = parts.as_slice() else { return None };
    if *found != name {
        return None;
    }
    let (uid, gid): (u32, u32) = (uid.parse().ok()?, gid.parse().ok()?);
    let (password, aging) = shadow.get(name).cloned().unwrap_or((Password::Locked, Aging::Fine));
    let members = groups.iter().filter(|group| group.members.iter().any(|member| member == name));
    Some(Account {
        uid: Number(Some(uid)),
        group: groups.iter().find(|group| group.gid == gid).map_or(gid.to_string(), |group| group.name.clone()),
        comment: comment.trim_end_matches(',').to_owned(),
        home: (*home).to_owned(),
        home_state: match owners.get(*home) {
            None => Home::Missing,
            Some(owner) if *owner == uid => Home::Own,
            Some(_) => Home::Foreign,
        },
        shell: (*shell).to_owned(),
        groups: members.map(|group| group.name.clone()).collect(),
        password,
        aging,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User(UserName::new(name).unwrap())
    }

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\ndeploy:x:1000:1000:Deploy,,,:/home/deploy:/bin/bash\n\
        guest:x:1001:77::/home/guest:/bin/sh";
    const GROUP: &str = "root:x:0:\nsudo:x:27:guest,deploy\ndocker:x:999:deploy\ndeploy:x:1000:\n";

    #[test]
    fn reads_the_databases() {
        let hash = Digest::of("$y$j9T$x").as_str().to_owned();
        let body = format!(
            "{PASSWD}\0{GROUP}\0deploy\0none\0must-change\0guest\0{hash}\0fine\0\0/home/deploy\x001000\0/home/guest\x000\0\0"
        );
        let (deploy, guest, nobody) = (user("deploy"), user("guest"), user("nobody"));
        let states = User::parse(&[&deploy, &guest, &nobody], &mut Fields::new(body.as_bytes())).unwrap();
        let UserState::Present(deploy) = &states[0] else { panic!("{states:?}") };
        assert_eq!(
            (deploy.uid, deploy.group.as_str(), deploy.comment.as_str()),
            (Number(Some(1000)), "deploy", "Deploy")
        );
        assert_eq!(deploy.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["docker", "sudo"]);
        assert_eq!(
            (&deploy.password, deploy.aging, deploy.home_state),
            (&Password::None, Aging::MustChange, Home::Own)
        );
        let UserState::Present(guest) = &states[1] else { panic!("{states:?}") };
        assert_eq!((guest.group.as_str(), guest.home_state), ("77", Home::Foreign));
        assert!(matches!(guest.password, Password::Set(_)));
        assert_eq!(states[2], UserState::Absent);
    }

    #[test]
    fn a_host_that_does_not_answer_is_not_a_host_without_users() {
        assert!(User::parse(&[&user("deploy")], &mut Fields::new(b"\0\0\0\0")).is_err());
        assert!(Group::parse(&[&Group(GroupName::new("docker").unwrap())], &mut Fields::new(b"\0")).is_err());
    }

    #[test]
    fn a_number_yet_to_be_chosen_agrees_with_every_number() {
        assert_eq!(Number(None), Number(Some(3)));
        assert_ne!(Number(Some(4)), Number(Some(3)));
    }

    /// The shell half, on the databases of the machine that runs the tests: root is there, and no hash is told.
    #[test]
    fn asks_a_real_shell() {
        let machine = crate::machine::testing::probe(vec![user("root").into(), user("no-such-user").into()]);
        let Some(UserState::Present(root)) = machine.known(&user("root")) else { panic!("{machine:?}") };
        assert_eq!((root.uid, root.group.as_str(), root.home.as_str()), (Number(Some(0)), "root", "/root"));
        assert_eq!(root.home_state, Home::Own);
        assert_eq!(machine.known(&user("no-such-user")), Some(&UserState::Absent));
    }
}
