//! What Kamal keeps in the home of its login user, moved along when that user becomes another.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::{MoveKamalFolder, OwnKamalFiles};
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::UserName;
use crate::machine::kamal_home::{KamalFolder, NewPlace, OldPlace};
use crate::machine::{Blocked, KamalHome as Fact, Machine, Question};

/// What Kamal keeps in the home of its login user: `.kamal` and the folders of accessories, data among them. Where the
/// user was another before (`ssh: { user: … }` was set or changed), they are moved to the new home. A link stays in the old
/// place, so that containers which were made with it keep their data, also when they start anew.
///
/// Nothing is copied and nothing is removed. A folder that is in both homes is left alone in both and pointed out.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KamalHome {
    /// Who deploys.
    pub user: UserName,
    /// Who deployed before.
    #[serde(default = "root")]
    pub from: UserName,
    /// Folders of accessories, by their names in the home, such as `shop-db`. Those that Kamal has booted are found without.
    #[serde(default)]
    pub folders: Vec<String>,
    /// Files of accessories that Kamal uploads, by their paths below the home, such as `shop-db/etc/my.cnf`: they must belong to
    /// who deploys, or the next upload hangs.
    #[serde(default)]
    pub files: Vec<String>,
}

#[expect(clippy::expect_used, reason = "a constant")]
fn root() -> UserName {
    UserName::new("root").expect("a name")
}

impl KamalHome {
    fn question(&self) -> Fact {
        Fact {
            from: self.from.clone(),
            to: self.user.clone(),
            folders: self.folders.iter().cloned().collect(),
            files: self.files.iter().cloned().collect(),
        }
    }

    fn inside(&self, folder: &str) -> BTreeSet<String> {
        let inside = |file: &&String| file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files.iter().filter(inside).cloned().collect()
    }

    fn moved(&self, folder: &str) -> Change {
        let action = MoveKamalFolder {
            from: self.from.clone(),
            to: self.user.clone(),
            folder: folder.to_owned(),
            files: self.inside(folder),
        };
        let place = |user: &UserName| format!("~{user}/{folder}");
        Change::by(action).diff(Diff::value(folder, place(&self.from), place(&self.user)))
    }

    fn twice(&self, folder: &str) -> Finding {
        let (old, new) = (&self.from, &self.user);
        Finding {
            id: "kamal-folder-twice".into(),
            what: format!("{folder} is in the home of {old} and in that of {new}: Kamal uses the latter"),
            help: Some(format!("look which holds your data; move ~{old}/{folder} away once nothing needs it")),
        }
    }
}

impl Resource for KamalHome {
    const NAME: &'static str = "kamal_home";
    const EXAMPLE: &'static str = "user = \"deploy\"\nfolders = [\"shop-db\"]\n";

    fn check(&self, problems: &mut Problems) {
        if self.user == self.from {
            problems.push("from", "this is who deploys now", Some("name who deployed before"));
        }
        let plain = |name: &str| {
            !name.is_empty()
                && !name.contains(|c: char| c.is_control() || c == ' ')
                && !matches!(name, "." | ".." | "--")
        };
        if self.folders.iter().any(|folder| !plain(folder) || folder.contains('/')) {
            problems.push("folders", "a folder must be named without its path", Some("such as `shop-db`"));
        }
        if self.files.iter().any(|file| !file.contains('/') || !file.split('/').all(plain)) {
            problems.push("files", "a file must be named from the home on", Some("such as `shop-db/etc/my.cnf`"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![self.question().into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&self.question())?;
        let (mut changes, mut findings, mut moving) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (folder, KamalFolder { old, new }) in &state.folders {
            match (old, new) {
                (OldPlace::Folder, NewPlace::Absent) if !state.one_file_system => {
                    return Err(Blocked::refused(
                        format!(
                            "{folder} can not be moved: the homes of {} and {} are on different file systems",
                            self.from, self.user
                        ),
                        "stop the containers that use it (`docker ps`), copy it with `cp -a`, then boot them again with Kamal",
                    ));
                }
                (OldPlace::Folder, NewPlace::Absent) | (OldPlace::Half, _) => {
                    changes.push(self.moved(folder));
                    moving.insert(folder.clone());
                }
                (OldPlace::Folder, _) => findings.push(self.twice(folder)),
                (OldPlace::Absent | OldPlace::Moved | OldPlace::Other, _) => {}
            }
        }
        if let (Some(lock), false) = (&state.lock, changes.is_empty()) {
            return Err(Blocked::refused(
                format!("a deploy is at work, or one was cut off: {lock} is there"),
                "wait for it, or run `kamal lock release` as the user of before; then run again",
            ));
        }
        let moves = |file: &str| moving.iter().any(|folder| self.inside(folder).contains(file));
        let foreign = state.files.iter().filter(|(file, theirs)| !**theirs && !moves(file));
        let files: BTreeSet<String> = foreign.map(|(file, _)| file.clone()).collect();
        if !files.is_empty() {
            changes.push(Change::by(OwnKamalFiles { from: self.from.clone(), to: self.user.clone(), files }));
        }
        let why = format!("nothing of Kamal's is left in the home of {}", self.from);
        Ok(Plan::changes(changes, why).with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let folders = proptest::sample::subsequence(vec!["shop-db", "shop-cache"], 0..3);
        let files = proptest::sample::subsequence(vec!["shop-db/etc/my.cnf", "shop-search/a/b"], 0..3);
        (folders, files)
            .prop_map(|(folders, files)| KamalHome {
                user: UserName::new("deploy").unwrap(),
                from: root(),
                folders: folders.into_iter().map(str::to_owned).collect(),
                files: files.into_iter().map(str::to_owned).collect(),
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::KamalHomeState;

    fn home() -> KamalHome {
        KamalHome {
            user: UserName::new("deploy").unwrap(),
            from: root(),
            folders: Vec::new(),
            files: vec!["shop-db/etc/my.cnf".to_owned()],
        }
    }

    fn plan(state: KamalHomeState) -> Result<Plan, Blocked> {
        let mut machine = Machine::default();
        machine.set(home().question(), state);
        home().plan(&machine)
    }

    fn state(folder: &str, old: OldPlace, new: NewPlace) -> KamalHomeState {
        let folders = [(folder.to_owned(), KamalFolder { old, new })].into_iter().collect();
        KamalHomeState { folders, one_file_system: true, ..KamalHomeState::default() }
    }

    #[test]
    fn what_is_in_the_old_home_alone_is_moved_and_what_is_in_both_is_pointed_out() {
        let moved = plan(state("shop-db", OldPlace::Folder, NewPlace::Absent)).unwrap();
        assert_eq!(moved.changes.len(), 1);
        assert_eq!(moved.changes[0].summary, "move shop-db from the home of root to that of deploy");
        let both = plan(state("shop-db", OldPlace::Folder, NewPlace::Folder)).unwrap();
        assert!(both.changes.is_empty() && both.findings.len() == 1);
        assert_eq!(plan(state("shop-db", OldPlace::Half, NewPlace::Folder)).unwrap().changes.len(), 1);
        assert!(plan(state("shop-db", OldPlace::Moved, NewPlace::Folder)).unwrap().changes.is_empty());
    }

    #[test]
    fn a_lock_or_another_file_system_stands_in_the_way_of_a_move_and_of_nothing_else() {
        let lock = Some("/root/.kamal/lock-shop".to_owned());
        let locked = |old| plan(KamalHomeState { lock: lock.clone(), ..state("shop-db", old, NewPlace::Absent) });
        assert!(matches!(locked(OldPlace::Folder), Err(Blocked::Refused(_))));
        assert!(locked(OldPlace::Absent).is_ok());
        let apart = KamalHomeState { one_file_system: false, ..state("a", OldPlace::Folder, NewPlace::Absent) };
        assert!(matches!(plan(apart), Err(Blocked::Refused(_))));
    }

    #[test]
    fn files_that_kamal_uploads_become_its_user_s() {
        let mut state = state("shop-db", OldPlace::Absent, NewPlace::Folder);
        state.files.insert("shop-db/etc/my.cnf".into(), false);
        assert_eq!(plan(state.clone()).unwrap().changes[0].summary, "give shop-db/etc/my.cnf to deploy");
        state.files.insert("shop-db/etc/my.cnf".into(), true);
        assert!(plan(state).unwrap().changes.is_empty());
    }
}
