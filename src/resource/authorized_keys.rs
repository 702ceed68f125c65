//! The public keys that may log in as a user.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::WriteAuthorizedKeys;
use crate::action::file::Found;
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::UserName;
use crate::machine::account::Account;
use crate::machine::authorized_keys::KeyLine;
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{self, Blocked, KeysState, Machine, Question, UserState};

/// The public keys that may log in as a user, in `.ssh/authorized_keys`.
///
/// The file and its folder are made to belong to the user alone, as sshd demands. A link in their place is never
/// followed. Keys that no task declares are reported, and removed only with `exclusive`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKeys {
    /// Whose login it is.
    pub user: UserName,
    /// Public keys, a line each, as in a `.pub` file; options before a key are kept.
    #[serde(default)]
    pub keys: Vec<KeyLine>,
    /// Another user whose keys are taken too, such as `root`: the keys alone, without options. (Cloud images let root's
    /// keys do nothing but print "Please login as the user …".)
    /// Empty for nobody.
    #[serde(default, deserialize_with = "user_or_nobody")]
    #[schemars(with = "String")]
    pub from: Option<UserName>,
    /// Where neither `keys` nor `from` names any: public keys for a user who has none that opens a shell, so that whoever
    /// came in by a password has a key before passwords are off.
    #[serde(default)]
    pub if_none: Vec<KeyLine>,
    /// Whether all other keys are removed. A user is never left without any.
    #[serde(default)]
    pub exclusive: bool,
}

fn user_or_nobody<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<UserName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { UserName::new(text).map(Some).map_err(serde::de::Error::custom) }
}

impl AuthorizedKeys {
    fn question(&self) -> machine::AuthorizedKeys {
        machine::AuthorizedKeys(self.user.clone())
    }

    /// The keys that must be there, each once.
    fn wanted(&self, machine: &Machine, state: &KeysState) -> Result<Vec<KeyLine>, Blocked> {
        let mut wanted: Vec<KeyLine> = Vec::new();
        let mut add = |key: KeyLine| {
            if !wanted.iter().any(|known| known.is_same_key(&key)) {
                wanted.push(key);
            }
        };
        self.keys.iter().cloned().for_each(&mut add);
        if let Some(from) = &self.from {
            let source = machine.get(&machine::AuthorizedKeys(from.clone()))?;
            source.keys().into_iter().map(KeyLine::without_options).for_each(&mut add);
        }
        if self.is_open() && !opens_a_shell(state) {
            wanted.clone_from(&self.if_none);
        }
        Ok(wanted)
    }

    /// Whether the task says nothing of which keys there are, but for a user who has none.
    fn is_open(&self) -> bool {
        self.keys.is_empty() && self.from.is_none()
    }

    /// A user is never left without a key that opens a shell. One who has such a key may keep it although the task
    /// names none: root's keys may have gone after they were given on.
    fn refuse_none(&self, state: &KeysState, wanted: &[KeyLine]) -> Result<(), Blocked> {
        let keeps = !self.exclusive && opens_a_shell(state);
        if !wanted.is_empty() || keeps || self.is_open() {
            return Ok(());
        }
        let what = match &self.from {
            Some(from) => format!("{from} has no key that {} could be given", self.user),
            None => format!("{} would be left without any key", self.user),
        };
        Err(Blocked::refused(what, "name the public keys in `keys` (for the deploy user: the variable `deploy_keys`)"))
    }

    fn account<'a>(&self, machine: &'a Machine) -> Result<&'a Account, Blocked> {
        match machine.get(&machine::User(self.user.clone()))? {
            UserState::Present(account) => Ok(account),
            UserState::Absent => Err(Blocked::refused(
                format!("there is no user {}", self.user),
                "declare the user in an earlier task, or correct the name",
            )),
        }
    }

    /// What must not be touched: a link, a folder in the file's place, something that is no text.
    fn refuse_strange(&self, state: &KeysState) -> Result<(), Blocked> {
        let folder = match &state.folder {
            FileState::Absent => None,
            FileState::Present { kind: Kind::Directory, .. } => None,
            FileState::Present { kind: Kind::Link { .. }, .. } => Some("a link, which is not followed"),
            FileState::Present { .. } => Some("not a directory"),
        };
        let file = match &state.file {
            FileState::Absent => None,
            FileState::Present { kind: Kind::File { content: Some(_), .. }, .. } => None,
            FileState::Present { kind: Kind::Link { .. }, .. } => Some("a link, which is not followed"),
            FileState::Present { .. } => Some("not a text file of sensible size"),
        };
        let what = match (folder, file) {
            (Some(folder), _) => format!("{}/.ssh is {folder}", state.home),
            (None, Some(file)) => format!("{}/.ssh/authorized_keys is {file}", state.home),
            (None, None) => return Ok(()),
        };
        Err(Blocked::refused(what, "look at what put it there, move it away, then run again"))
    }
}

/// Whether one of the keys there is not tied to a command or otherwise bound.
fn opens_a_shell(state: &KeysState) -> bool {
    state.keys().iter().any(|key| key.options.is_empty())
}

/// The file as it should be: what is there, in its order, with wanted keys as they are wanted and missing ones added.
struct Wanted {
    text: String,
    minus: Vec<KeyLine>,
    plus: Vec<KeyLine>,
    undeclared: Vec<KeyLine>,
}

fn merge(present: &str, wanted: &[KeyLine], exclusive: bool) -> Wanted {
    let mut lines: Vec<String> = Vec::new();
    let (mut minus, mut plus, mut undeclared) = (Vec::new(), Vec::new(), Vec::new());
    let mut missing: Vec<&KeyLine> = wanted.iter().collect();
    for line in present.lines() {
        let Ok(key) = KeyLine::parse(line) else {
            lines.push(line.to_owned());
            continue;
        };
        match wanted.iter().find(|wanted| wanted.is_same_key(&key)) {
            Some(same) if same.options == key.options => {
                missing.retain(|missing| !missing.is_same_key(&key));
                lines.push(line.to_owned());
            }
            // The same key with other options goes: sshd takes the first line of a key, with what it forbids.
            Some(_) => minus.push(key),
            None if exclusive => minus.push(key),
            None => {
                undeclared.push(key);
                lines.push(line.to_owned());
            }
        }
    }
    for key in missing {
        lines.push(key.to_string());
        plus.push(key.clone());
    }
    if minus.is_empty() && plus.is_empty() {
        return Wanted { text: present.to_owned(), minus, plus, undeclared };
    }
    let text = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Wanted { text, minus, plus, undeclared }
}

impl Resource for AuthorizedKeys {
    const NAME: &'static str = "authorized_keys";
    const EXAMPLE: &'static str = "user = \"deploy\"\nfrom = \"root\"\nkeys = [\"ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ann@example\"]\n";

    fn check(&self, problems: &mut Problems) {
        if self.is_open() && self.exclusive {
            let help = "name keys, or a user in `from` whose keys are taken";
            problems.push("exclusive", "all keys would go, and none is named", Some(help));
        }
        if self.from.as_ref() == Some(&self.user) {
            problems.push("from", "the keys of a user can not come from the same user", Some("leave `from` out"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        let source = self.from.iter().map(|from| machine::AuthorizedKeys(from.clone()).into());
        [self.question().into(), machine::User(self.user.clone()).into()].into_iter().chain(source).collect()
    }

    fn asserts(&self) -> Vec<Question> {
        vec![self.question().into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let account = self.account(machine)?;
        let state = machine.get(&self.question())?;
        let wanted = self.wanted(machine, state)?;
        if self.is_open() && wanted.is_empty() {
            return Ok(Plan::in_sync(if opens_a_shell(state) { "there are keys" } else { "no key is declared" }));
        }
        self.refuse_strange(state)?;
        self.refuse_none(state, &wanted)?;
        let present = state.file.content().unwrap_or_default();
        let result = merge(present, &wanted, self.exclusive);
        let finding = |key: &KeyLine| Finding {
            id: "undeclared-key".into(),
            what: format!("{} may log in as {}, and no task declares it", key.title(), self.user),
            help: Some("declare the key, or set `exclusive` to have all such keys removed".into()),
        };
        let undeclared = result.undeclared.iter().filter(|_| !self.is_open());
        let findings: Vec<Finding> = undeclared.map(finding).collect();

        let owner = Owner::named(self.user.as_str(), &account.group);
        let right = |state: &FileState, wanted: u32| {
            matches!(state,
            FileState::Present { mode, owner: is, .. } if (*mode, is) == (wanted, &owner))
        };
        let attributes = right(&state.folder, 0o700) && right(&state.file, 0o600);
        if attributes && result.minus.is_empty() && result.plus.is_empty() {
            let why = match wanted.len() {
                0 => "there are keys, and none is declared".to_owned(),
                1 => "the declared key is there".to_owned(),
                count => format!("all {count} declared keys are there"),
            };
            return Ok(Plan::in_sync(why).with_findings(findings));
        }
        let path = state.path().map_err(|bad| {
            Blocked::refused(bad.to_string(), "give the user a home that is an absolute path in an earlier task")
        })?;
        let diff = if result.minus.is_empty() && result.plus.is_empty() {
            Diff::value(path.as_str(), "others may read or write it, or own it", format!("{owner}, 0700 and 0600"))
        } else {
            let titles = |keys: &[KeyLine]| keys.iter().map(KeyLine::title).collect();
            Diff::Set {
                what: format!("keys that may log in as {}", self.user),
                minus: titles(&result.minus),
                plus: titles(&result.plus),
            }
        };
        let action = WriteAuthorizedKeys {
            user: self.user.clone(),
            group: account.group.clone(),
            path,
            text: result.text,
            found: Found::of(&state.file),
            cuts: !result.minus.is_empty(),
        };
        Ok(Plan::changes(vec![Change::by(action).diff(diff)], "").with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let key = |line: &str| KeyLine::parse(line).unwrap();
        let (one, two) = (key(testing::ONE), key(testing::TWO));
        let restricted = KeyLine { options: "restrict,pty".into(), ..one.clone() };
        let keys = proptest::sample::subsequence(vec![one, two, restricted], 0..3);
        let from = proptest::sample::select(vec![None, Some(UserName::new("root").unwrap())]);
        let if_none = proptest::sample::subsequence(vec![key(testing::ONE), key(testing::TWO)], 0..2);
        (keys, from, if_none, any::<bool>())
            .prop_map(|(keys, from, if_none, exclusive)| AuthorizedKeys {
                user: UserName::new("deploy").unwrap(),
                keys,
                from,
                if_none,
                exclusive,
            })
            .boxed()
    }
}

#[cfg(test)]
use crate::machine::authorized_keys::testing;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(line: &str) -> KeyLine {
        KeyLine::parse(line).unwrap()
    }

    #[test]
    fn a_forced_command_of_a_cloud_image_gives_way_to_the_key() {
        let present = format!("# by hand\ncommand=\"echo no\" {}\n", testing::ONE);
        let result = merge(&present, &[key(testing::ONE)], false);
        assert_eq!(result.text, format!("# by hand\n{}\n", testing::ONE));
        assert_eq!((result.minus.len(), result.plus.len()), (1, 1));
    }

    #[test]
    fn keys_that_nobody_declared_stay_unless_told_otherwise() {
        let present = format!("{}\n{}\n", testing::TWO, testing::ONE);
        let kept = merge(&present, &[key(testing::ONE)], false);
        assert_eq!((kept.text.as_str(), kept.undeclared.len()), (present.as_str(), 1));
        let gone = merge(&present, &[key(testing::ONE)], true);
        assert_eq!((gone.text, gone.minus.len()), (format!("{}\n", testing::ONE), 1));
    }

    #[test]
    fn a_last_line_without_an_end_does_not_swallow_the_next_key() {
        let result = merge(testing::TWO, &[key(testing::ONE)], false);
        assert_eq!(result.text, format!("{}\n{}\n", testing::TWO, testing::ONE));
    }
}
