//! A user who must exist, or must not.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Presence;
use super::{Change, Plan, Problems, Resource};
use crate::action::account::Aspect;
use crate::action::file::Content;
use crate::action::{Action, AddUser, ChangeUser, RemoveUser};
use crate::base::name::{AbsPath, GroupName, UserName};
use crate::base::{Diff, Digest, Secret};
use crate::machine::account::{Account, Aging, Home, Password};
use crate::machine::{self, Blocked, GroupState, Machine, Question, Session, UserState};

/// A user account.
///
/// What is left out is not cared for: an existing account keeps it, a new one gets what is usual (a home below
/// `/home`, `/bin/bash`, no password). An account that has run out, so that every login ends in a question, is renewed.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: UserName,
    /// User number. Left out, the host chooses; a user who has another number is refused, as the files would be lost.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Whether a new user gets one of the numbers for services.
    #[serde(default)]
    pub system: bool,
    /// Primary group. A new user gets one of the user's own name.
    #[serde(default)]
    pub group: Option<GroupName>,
    /// Supplementary groups that the user is in. They must exist: declare them before.
    #[serde(default)]
    pub groups: Vec<GroupName>,
    /// Whether the user is taken out of all other supplementary groups.
    #[serde(default)]
    pub exclusive_groups: bool,
    /// Login shell, such as `/bin/bash`.
    #[serde(default)]
    pub shell: Option<AbsPath>,
    /// Home directory. Of an existing user only the entry is changed; no file is moved.
    #[serde(default)]
    pub home: Option<AbsPath>,
    /// Whether the home directory is made.
    #[serde(default = "yes")]
    pub create_home: bool,
    /// The comment: a full name, or what the account is for.
    #[serde(default)]
    pub comment: Option<String>,
    /// `none` for an account that is used by key (`*`, which unlike a locked password keeps keys working), a hash as
    /// `mkpasswd` or `openssl passwd -6` makes it, or `unmanaged`: an existing account keeps what it has, a new one
    /// gets none.
    #[serde(default)]
    pub password: PasswordChoice,
    /// Whether the user should be there. A removed user's home stays.
    #[serde(default)]
    pub state: Presence,
}

fn yes() -> bool {
    true
}

/// What the password should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PasswordChoice {
    /// What it is.
    #[default]
    Unmanaged,
    /// None.
    None,
    /// One of this hash.
    Hash(Secret),
}

impl TryFrom<String> for PasswordChoice {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "unmanaged" => Ok(PasswordChoice::Unmanaged),
            "none" => Ok(PasswordChoice::None),
            hash if is_hash(hash) => Ok(PasswordChoice::Hash(Secret::new(text))),
            _ => Err("a password is `none`, `unmanaged`, or a hash such as `openssl passwd -6` makes; \
                      the password itself must not be written here"),
        }
    }
}

impl JsonSchema for PasswordChoice {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PasswordChoice".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Whether `text` has the form of a hash (crypt(5)): `$method$…`, of letters that shadow(5) can hold.
fn is_hash(text: &str) -> bool {
    let legal = |letter: char| letter.is_ascii_graphic() && !":;*!\\".contains(letter);
    let parts: Vec<&str> = text.split('$').collect();
    parts.len() >= 4 && parts[0].is_empty() && !parts[1].is_empty() && text.chars().all(legal)
}

impl PasswordChoice {
    fn content(&self) -> Content {
        match self {
            PasswordChoice::Unmanaged | PasswordChoice::None => Content::Text("*".into()),
            PasswordChoice::Hash(hash) => Content::Secret(hash.clone()),
        }
    }

    fn is(&self, found: &Password) -> bool {
        match (self, found) {
            (PasswordChoice::Unmanaged, _) | (PasswordChoice::None, Password::None) => true,
            (PasswordChoice::Hash(hash), Password::Set(digest)) => Digest::of(hash.reveal()) == *digest,
            _ => false,
        }
    }
}

/// A password in a word, for people.
fn word(password: &Password) -> String {
    match password {
        Password::None => "none".into(),
        Password::Locked => "locked".into(),
        Password::Empty => "the empty one".into(),
        Password::Set(digest) => format!("a hash ({})", digest.short()),
    }
}

impl User {
    fn question(&self) -> machine::User {
        machine::User(self.name.clone())
    }

    /// The groups that must exist before: one that a package brings is known only after it.
    fn expect_groups(&self, machine: &Machine) -> Result<(), Blocked> {
        for group in self.groups.iter().chain(&self.group) {
            if *machine.get(&machine::Group(group.clone()))? == GroupState::Absent {
                return Err(Blocked::refused(
                    format!("there is no group {group} for user {}", self.name),
                    "declare the group in an earlier task, or correct the name",
                ));
            }
        }
        Ok(())
    }

    fn add(&self) -> Result<Plan, Blocked> {
        let path = |text: String| {
            AbsPath::new(text).map_err(|bad| Blocked::refused(bad.to_string(), "name the path in the task"))
        };
        let action = AddUser {
            user: self.name.clone(),
            uid: self.uid,
            system: self.system,
            group: self.group.clone(),
            groups: self.groups.iter().filter(|group| Some(*group) != self.group.as_ref()).cloned().collect(),
            home: self.home.clone().map_or_else(|| path(format!("/home/{}", self.name)), Ok)?,
            create_home: self.create_home,
            shell: self.shell.clone().map_or_else(|| path("/bin/bash".into()), Ok)?,
            comment: self.comment.clone().unwrap_or_default(),
            password: self.password.content(),
        };
        let groups: Vec<String> = action.groups.iter().map(ToString::to_string).collect();
        let mut about = format!("home {}, shell {}", action.home, action.shell);
        if !groups.is_empty() {
            about.push_str(&format!(", in {}", groups.join(", ")));
        }
        let diff = Diff::Value { what: format!("user {}", self.name), before: None, after: Some(about) };
        Ok(Plan::changes(vec![Change::by(action).diff(diff)], ""))
    }

    fn change(&self, aspect: Aspect, before: &str, after: &str) -> Change {
        let action = ChangeUser { user: self.name.clone(), aspect };
        Change::by(Action::from(action)).diff(Diff::value(format!("user {}", self.name), before, after))
    }

    fn changes(&self, account: &Account) -> Vec<Change> {
        let mut changes = Vec::new();
        if account.aging != Aging::Fine {
            let before = match account.aging {
                Aging::AccountExpired => "account expired",
                Aging::PasswordExpired => "password expired",
                _ => "must change the password at the next login",
            };
            changes.push(self.change(Aspect::Renew(account.aging), before, "can log in"));
        }
        if let Some(group) = self.group.as_ref().filter(|group| group.as_str() != account.group) {
            changes.push(self.change(Aspect::Primary(group.clone()), &account.group, group.as_str()));
        }
        if let Some(comment) = self.comment.as_ref().filter(|comment| **comment != account.comment) {
            let aspect = Aspect::Comment { found: account.comment.clone(), wanted: comment.clone() };
            changes.push(self.change(aspect, &account.comment, comment));
        }
        if let Some(shell) = self.shell.as_ref().filter(|shell| shell.as_str() != account.shell) {
            let aspect = Aspect::Shell { found: account.shell.clone(), wanted: shell.to_string() };
            changes.push(self.change(aspect, &account.shell, shell.as_str()));
        }
        match self.home.as_ref().filter(|home| home.as_str() != account.home) {
            Some(home) => {
                let (found, wanted) = (account.home.clone(), home.to_string());
                let aspect = Aspect::HomeEntry { found, wanted, make: self.create_home };
                changes.push(self.change(aspect, &account.home, home.as_str()));
            }
            None if self.create_home && account.home_state != Home::Own => {
                let before = if account.home_state == Home::Missing { "missing" } else { "belongs to someone else" };
                let after = format!("{} belongs to {}", account.home, self.name);
                changes.push(self.change(Aspect::MakeHome, &format!("{} {before}", account.home), &after));
            }
            None => {}
        }
        if !self.password.is(&account.password) {
            let aspect = Aspect::Password { found: account.password.clone(), wanted: self.password.content() };
            let after = if self.password == PasswordChoice::None { "none: by key alone" } else { "another hash" };
            changes.push(self.change(aspect, &format!("password {}", word(&account.password)), after));
        }
        changes.extend(self.memberships(account));
        changes
    }

    fn memberships(&self, account: &Account) -> Vec<Change> {
        let primary = self.group.as_ref().map_or(account.group.as_str(), GroupName::as_str);
        let set = |minus: &str, plus: &str| Diff::Set {
            what: format!("groups of {}", self.name),
            minus: [minus].iter().filter(|name| !name.is_empty()).map(|name| (*name).to_owned()).collect(),
            plus: [plus].iter().filter(|name| !name.is_empty()).map(|name| (*name).to_owned()).collect(),
        };
        let change = |aspect| Change::by(Action::from(ChangeUser { user: self.name.clone(), aspect }));
        let wanted: BTreeSet<&GroupName> = self.groups.iter().filter(|group| group.as_str() != primary).collect();
        let mut changes: Vec<Change> = wanted
            .iter()
            .filter(|group| !account.groups.contains(group.as_str()))
            .map(|group| change(Aspect::Join((*group).clone())).diff(set("", group.as_str())))
            .collect();
        if self.exclusive_groups {
            let declared = |name: &str| name == primary || wanted.iter().any(|group| group.as_str() == name);
            let surplus = account.groups.iter().filter(|name| !declared(name));
            let leave = surplus.filter_map(|name| GroupName::new(name.as_str()).ok());
            changes.extend(leave.map(|group| change(Aspect::Leave(group.clone())).diff(set(group.as_str(), ""))));
        }
        changes
    }
}

impl Resource for User {
    const NAME: &'static str = "user";
    const EXAMPLE: &'static str =
        "name = \"deploy\"\ngroups = [\"docker\"]\nshell = \"/bin/bash\"\npassword = \"none\"\n";

    fn check(&self, problems: &mut Problems) {
        if self.state == Presence::Absent && self.name.as_str() == "root" {
            problems.push("name", "root can not be removed", Some("leave the task out"));
        }
        if self.home.as_ref().is_some_and(|home| home.as_str() == "/") {
            problems.push("home", "`/` is nobody's home", Some("name a directory of the user's own"));
        }
        if self.comment.as_ref().is_some_and(|comment| comment.contains([':', '\n', '\0']) || comment.ends_with(',')) {
            problems.push("comment", "a comment holds no colon and no line break, and ends in no comma", None);
        }
        if self.group.as_ref().is_some_and(|group| self.groups.contains(group)) {
            problems.push("groups", "the primary group is named again", Some("leave it out of `groups`"));
        }
        if self.groups.iter().collect::<BTreeSet<_>>().len() != self.groups.len() {
            problems.push("groups", "a group is named twice", Some("name each once"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        let groups = self.groups.iter().chain(&self.group).map(|group| machine::Group(group.clone()).into());
        let session = (self.state == Presence::Absent).then(|| Session::Here.into());
        std::iter::once(self.question().into()).chain(groups).chain(session).collect()
    }

    fn asserts(&self) -> Vec<Question> {
        vec![self.question().into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&self.question())?;
        let account = match (self.state, state) {
            (Presence::Absent, UserState::Absent) => return Ok(Plan::in_sync("there is none")),
            (Presence::Absent, UserState::Present(_)) => {
                if machine.get(&Session::Here)?.user == self.name.as_str() {
                    return Err(Blocked::refused(
                        format!("{} is who bedplate is logged in as", self.name),
                        "log in as another user to remove this one",
                    ));
                }
                return Ok(Plan::changes(vec![Change::by(RemoveUser { user: self.name.clone() })], ""));
            }
            (Presence::Present, UserState::Absent) => {
                self.expect_groups(machine)?;
                return self.add();
            }
            (Presence::Present, UserState::Present(account)) => account,
        };
        self.expect_groups(machine)?;
        if let (Some(wanted), Some(found)) = (self.uid, account.uid.0)
            && wanted != found
        {
            return Err(Blocked::refused(
                format!("user {} has the number {found}, not {wanted}", self.name),
                "changing it would leave the user's files to nobody: set `uid` to what it is, or leave it out",
            ));
        }
        let why = format!("home {}, shell {}, password {}", account.home, account.shell, word(&account.password));
        Ok(Plan::changes(self.changes(account), why))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        use proptest::sample::{select, subsequence};
        let group = |name: &str| GroupName::new(name).unwrap();
        let path = |text: &str| AbsPath::new(text).unwrap();
        let groups = subsequence(vec![group("docker"), group("sudo")], 0..3);
        let primary = select(vec![None, Some(group("users")), Some(group("docker"))]);
        let shell = select(vec![None, Some(path("/bin/bash"))]);
        let home = select(vec![None, Some(path("/home/deploy")), Some(path("/srv/app"))]);
        let comment = select(vec![None, Some("Deployer".to_owned())]);
        let hash = PasswordChoice::Hash(Secret::new("$6$salt$hash"));
        let password = select(vec![PasswordChoice::Unmanaged, PasswordChoice::None, hash]);
        let state = select(vec![Presence::Present, Presence::Present, Presence::Absent]);
        let numbers = (select(vec![None, Some(1000)]), any::<bool>(), any::<bool>(), any::<bool>());
        (numbers, groups, primary, shell, home, comment, password, state)
            .prop_map(
                |(
                    (uid, system, exclusive_groups, create_home),
                    groups,
                    group,
                    shell,
                    home,
                    comment,
                    password,
                    state,
                )| {
                    let name = UserName::new("deploy").unwrap();
                    User {
                        name,
                        uid,
                        system,
                        group,
                        groups,
                        exclusive_groups,
                        shell,
                        home,
                        create_home,
                        comment,
                        password,
                        state,
                    }
                },
            )
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_written_in_the_clear() {
        for good in ["none", "unmanaged", "$6$salt$hash", "$y$j9T$abc$def"] {
            assert!(PasswordChoice::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["hunter2", "", "*", "!", "$6$", "$6$a$b:0", "$6$a$b\nroot::"] {
            assert!(PasswordChoice::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
