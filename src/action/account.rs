//! Users and groups. What can take a login away from someone is guarded; what can only add one is not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::file::Content;
use super::{Access, Act, Action, Saved, Undo};
use crate::base::name::{AbsPath, GroupName, UserName};
use crate::machine::account::{Account, Aging, Home, Number, Password};
use crate::machine::{AuthorizedKeys, Group, GroupState, Machine, User, UserState};
use crate::shell::{Call, Library};

pub(super) static ACCOUNT: Library =
    Library { name: "account_action.sh", text: include_str!("account.sh"), needs: &[] };

/// Makes a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddGroup {
    /// Its name.
    pub group: GroupName,
    /// Its number, or the host's choice.
    pub gid: Option<u32>,
    /// Whether the number is out of those for services.
    pub system: bool,
}

impl Act for AddGroup {
    fn summary(&self) -> String {
        format!("add group {}", self.group)
    }

    fn call(&self) -> Call {
        let gid = self.gid.map(|gid| gid.to_string()).unwrap_or_default();
        Call::new(&ACCOUNT, "account_group_add").arg(&self.group).arg(gid).arg(flag(self.system))
    }

    fn effect(&self, machine: &mut Machine) {
        machine.set(Group(self.group.clone()), GroupState::Present(Number(self.gid)));
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::By(vec![RemoveGroup { group: self.group.clone() }.into()])
    }
}

fn flag(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}

/// Removes a group. What belongs to it keeps its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoveGroup {
    /// Its name.
    pub group: GroupName,
}

impl Act for RemoveGroup {
    fn summary(&self) -> String {
        format!("remove group {}", self.group)
    }

    fn call(&self) -> Call {
        Call::new(&ACCOUNT, "account_group_remove").arg(&self.group)
    }

    fn effect(&self, machine: &mut Machine) {
        machine.set(Group(self.group.clone()), GroupState::Absent);
        let members: Vec<User> = machine.all::<User>().map(|(user, _)| user.clone()).collect();
        for user in members {
            machine.update(&user, |state| {
                if let UserState::Present(account) = state {
                    account.groups.remove(self.group.as_str());
                }
            });
        }
    }

    fn undo(&self, before: &Machine) -> Undo {
        match before.known(&Group(self.group.clone())) {
            Some(GroupState::Present(Number(gid))) => {
                Undo::By(vec![AddGroup { group: self.group.clone(), gid: *gid, system: false }.into()])
            }
            _ => Undo::Impossible("the group's number of before is not known"),
        }
    }

    fn access(&self) -> Option<Access> {
        Some(Access { what: "accounts", saves: vec![Saved::Group(self.group.clone())] })
    }
}

/// Makes a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddUser {
    /// Login name.
    pub user: UserName,
    /// Number, or the host's choice.
    pub uid: Option<u32>,
    /// Whether the number is out of those for services.
    pub system: bool,
    /// Primary group, or one of the user's own name.
    pub group: Option<GroupName>,
    /// Supplementary groups, all of which exist.
    pub groups: BTreeSet<GroupName>,
    /// Home directory.
    pub home: AbsPath,
    /// Whether that is made.
    pub create_home: bool,
    /// Login shell.
    pub shell: AbsPath,
    /// The comment.
    pub comment: String,
    /// A hash, or `*`.
    pub password: Content,
}

impl Act for AddUser {
    fn summary(&self) -> String {
        format!("add user {}", self.user)
    }

    fn call(&self) -> Call {
        Call::new(&ACCOUNT, "account_user_add")
            .arg(&self.user)
            .arg(self.uid.map(|uid| uid.to_string()).unwrap_or_default())
            .arg(flag(self.system))
            .arg(self.group.as_ref().map_or("", GroupName::as_str))
            .arg(&self.home)
            .arg(flag(self.create_home))
            .arg(&self.shell)
            .arg(self.comment.as_str())
            .arg(self.password.arg())
            .args(self.groups.iter().map(GroupName::as_str))
    }

    fn effect(&self, machine: &mut Machine) {
        let user = User(self.user.clone());
        let account = Account {
            uid: Number(self.uid),
            group: self.group.as_ref().map_or(self.user.to_string(), ToString::to_string),
            comment: self.comment.clone(),
            home: self.home.to_string(),
            home_state: Home::Own,
            shell: self.shell.to_string(),
            groups: self.groups.iter().map(ToString::to_string).collect(),
            password: password(&self.password),
            aging: Aging::Fine,
        };
        machine.set(user.clone(), UserState::Present(account));
        if !self.create_home {
            // Whether the directory is there was not asked.
            machine.forget(&user);
        }
        forget_keys_elsewhere(machine, &self.user, &self.home);
        if let (None, Ok(own)) = (&self.group, GroupName::new(self.user.as_str())) {
            machine.update(&Group(own), |state| {
                if *state == GroupState::Absent {
                    *state = GroupState::Present(Number(None));
                }
            });
        }
    }

    fn undo(&self, before: &Machine) -> Undo {
        match before.known(&User(self.user.clone())) {
            Some(UserState::Absent) => Undo::By(vec![RemoveUser { user: self.user.clone() }.into()]),
            _ => Undo::Impossible("the user was there before"),
        }
    }
}

/// The keys that were looked at are those of another home.
fn forget_keys_elsewhere(machine: &mut Machine, user: &UserName, home: &AbsPath) {
    let keys = AuthorizedKeys(user.clone());
    if machine.known(&keys).is_some_and(|state| state.home != home.as_str()) {
        machine.forget(&keys);
    }
}

/// What the model has of a password.
fn password(content: &Content) -> Password {
    match content.reveal() {
        "" => Password::Empty,
        text if text.starts_with('!') => Password::Locked,
        text if text.starts_with('$') => Password::Set(content.digest()),
        _ => Password::None,
    }
}

/// Removes a user. The home stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoveUser {
    /// Login name.
    pub user: UserName,
}

impl Act for RemoveUser {
    fn summary(&self) -> String {
        format!("remove user {} and keep the home", self.user)
    }

    fn call(&self) -> Call {
        Call::new(&ACCOUNT, "account_user_remove").arg(&self.user)
    }

    fn effect(&self, machine: &mut Machine) {
        machine.set(User(self.user.clone()), UserState::Absent);
        machine.forget(&AuthorizedKeys(self.user.clone()));
        // userdel takes the user's own group along if nobody else is in it.
        if let Ok(own) = GroupName::new(self.user.as_str()) {
            machine.forget(&Group(own));
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a removed user's password is gone")
    }

    fn access(&self) -> Option<Access> {
        accounts(&self.user)
    }
}

fn accounts(user: &UserName) -> Option<Access> {
    Some(Access { what: "accounts", saves: vec![Saved::Account(user.clone())] })
}

/// Changes one thing about a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeUser {
    /// Login name.
    pub user: UserName,
    /// What.
    pub aspect: Aspect,
}

/// What changes about a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// The comment.
    Comment {
        /// What it was.
        found: String,
        /// What it will be.
        wanted: String,
    },
    /// Where the home is said to be. Nothing is moved.
    HomeEntry {
        /// What it was.
        found: String,
        /// What it will be.
        wanted: String,
        /// Whether the directory is made.
        make: bool,
    },
    /// The login shell.
    Shell {
        /// What it was.
        found: String,
        /// What it will be.
        wanted: String,
    },
    /// The primary group.
    Primary(GroupName),
    /// The password.
    Password {
        /// What it was.
        found: Password,
        /// A hash, or `*`.
        wanted: Content,
    },
    /// One more supplementary group.
    Join(GroupName),
    /// One supplementary group less.
    Leave(GroupName),
    /// An account that has run out can be used again.
    Renew(Aging),
    /// The home directory is made, or given to its user.
    MakeHome,
}

impl Act for ChangeUser {
    fn summary(&self) -> String {
        let user = &self.user;
        match &self.aspect {
            Aspect::Comment { .. } => format!("set the comment of user {user}"),
            Aspect::HomeEntry { wanted, .. } => format!("set the home of user {user} to {wanted}"),
            Aspect::Shell { wanted, .. } => format!("set the shell of user {user} to {wanted}"),
            Aspect::Primary(group) => format!("set the primary group of user {user} to {group}"),
            Aspect::Password { .. } => format!("set the password of user {user}"),
            Aspect::Join(group) => format!("add user {user} to group {group}"),
            Aspect::Leave(group) => format!("take user {user} out of group {group}"),
            Aspect::Renew(_) => format!("renew user {user}, who has run out"),
            Aspect::MakeHome => format!("make the home of user {user}"),
        }
    }

    fn call(&self) -> Call {
        let call = |function| Call::new(&ACCOUNT, function).arg(&self.user);
        match &self.aspect {
            Aspect::Comment { found, wanted } => call("account_comment").arg(found).arg(wanted),
            Aspect::HomeEntry { found, wanted, make } => {
                call("account_move_home").arg(found).arg(wanted).arg(flag(*make))
            }
            Aspect::Shell { found, wanted } => call("account_shell").arg(found).arg(wanted),
            Aspect::Primary(group) => call("account_primary").arg(group),
            Aspect::Password { found, wanted } => {
                let found = match found {
                    Password::None => "none",
                    Password::Locked => "locked",
                    Password::Empty => "empty",
                    Password::Set(digest) => digest.as_str(),
                };
                call("account_password").arg(found).arg(wanted.arg())
            }
            Aspect::Join(group) => call("account_join").arg(group),
            Aspect::Leave(group) => call("account_leave").arg(group),
            Aspect::Renew(aging) => call("account_renew").arg(match aging {
                Aging::Fine | Aging::MustChange => "must-change",
                Aging::PasswordExpired => "password-expired",
                Aging::AccountExpired => "account-expired",
            }),
            Aspect::MakeHome => call("account_home"),
        }
    }

    fn effect(&self, machine: &mut Machine) {
        let user = User(self.user.clone());
        machine.update(&user, |state| {
            if let UserState::Present(account) = state {
                self.aspect.change(account);
            }
        });
        match &self.aspect {
            Aspect::HomeEntry { wanted, make, .. } => {
                if !make {
                    machine.forget(&user);
                }
                if machine.known(&AuthorizedKeys(self.user.clone())).is_some_and(|keys| keys.home != *wanted) {
                    machine.forget(&AuthorizedKeys(self.user.clone()));
                }
            }
            // usermod gives the files in the home to the new group.
            Aspect::Primary(_) => machine.forget(&AuthorizedKeys(self.user.clone())),
            _ => {}
        }
    }

    fn undo(&self, before: &Machine) -> Undo {
        let Some(UserState::Present(account)) = before.known(&User(self.user.clone())) else {
            return Undo::Impossible("the user of before is not known");
        };
        match self.aspect.opposite(account) {
            Ok(Some(aspect)) => Undo::By(vec![Action::from(ChangeUser { user: self.user.clone(), aspect })]),
            Ok(None) => Undo::By(Vec::new()),
            Err(why) => Undo::Impossible(why),
        }
    }

    fn access(&self) -> Option<Access> {
        match &self.aspect {
            Aspect::Comment { .. } | Aspect::Join(_) | Aspect::Renew(_) | Aspect::MakeHome => None,
            // Nobody logs in with a password that is none.
            Aspect::Password { found: Password::None | Password::Locked, .. } => None,
            _ => accounts(&self.user),
        }
    }
}

impl Aspect {
    fn change(&self, account: &mut Account) {
        match self {
            Aspect::Comment { wanted, .. } => account.comment.clone_from(wanted),
            Aspect::HomeEntry { wanted, .. } => {
                account.home.clone_from(wanted);
                account.home_state = Home::Own;
            }
            Aspect::Shell { wanted, .. } => account.shell.clone_from(wanted),
            Aspect::Primary(group) => account.group = group.to_string(),
            Aspect::Password { wanted, .. } => {
                account.password = password(wanted);
                // The day of the last change is today's.
                if account.aging != Aging::AccountExpired {
                    account.aging = Aging::Fine;
                }
            }
            Aspect::Join(group) => {
                account.groups.insert(group.to_string());
            }
            Aspect::Leave(group) => {
                account.groups.remove(group.as_str());
            }
            Aspect::Renew(_) => account.aging = Aging::Fine,
            Aspect::MakeHome => account.home_state = Home::Own,
        }
    }

    /// What leads back to `before`; nothing where it already was so.
    fn opposite(&self, before: &Account) -> Result<Option<Aspect>, &'static str> {
        let (was, is) = (|text: &String| text.clone(), |text: &String| text.clone());
        Ok(Some(match self {
            Aspect::Comment { wanted, .. } => Aspect::Comment { found: is(wanted), wanted: was(&before.comment) },
            Aspect::HomeEntry { wanted, .. } => {
                Aspect::HomeEntry { found: is(wanted), wanted: was(&before.home), make: false }
            }
            Aspect::Shell { wanted, .. } => Aspect::Shell { found: is(wanted), wanted: was(&before.shell) },
            Aspect::Primary(_) => match GroupName::new(before.group.as_str()) {
                Ok(group) => Aspect::Primary(group),
                Err(_) => return Err("the primary group of before has no name"),
            },
            Aspect::Password { .. } if before.aging != Aging::Fine => {
                return Err("an account that had run out is not brought back to that");
            }
            Aspect::Password { wanted, .. } => {
                let text = match before.password {
                    Password::None => "*",
                    Password::Locked => "!",
                    Password::Empty => "",
                    Password::Set(_) => return Err("the hash of before is not known"),
                };
                Aspect::Password { found: password(wanted), wanted: Content::Text(text.into()) }
            }
            Aspect::Join(group) if before.groups.contains(group.as_str()) => return Ok(None),
            Aspect::Join(group) => Aspect::Leave(group.clone()),
            Aspect::Leave(group) if !before.groups.contains(group.as_str()) => return Ok(None),
            Aspect::Leave(group) => Aspect::Join(group.clone()),
            Aspect::Renew(_) => return Err("an account that had run out is not brought back to that"),
            Aspect::MakeHome => return Err("a home is never removed"),
        }))
    }
}
