//! What Kamal keeps in the home of its login user, where that user has become another: its own folder, and those of
//! accessories with their data.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot};
use crate::base::name::UserName;
use crate::shell::{Call, Library};

/// The probe; the actions use its small functions too.
pub static KAMAL_HOME: Library = Library { name: "kamal_home.sh", text: include_str!("kamal_home.sh"), needs: &[] };

/// Where is what Kamal keeps of these users? Written as a text: both users, the folders, `--`, the files, with blanks
/// between, which none of them holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KamalHome {
    /// Who deployed.
    pub from: UserName,
    /// Who deploys.
    pub to: UserName,
    /// Folders below the home that are looked for besides `.kamal` and those of accessories that Kamal has booted.
    pub folders: BTreeSet<String>,
    /// Files, by their paths below the home, that Kamal uploads.
    pub files: BTreeSet<String>,
}

impl From<KamalHome> for String {
    fn from(question: KamalHome) -> Self {
        let users = [question.from.to_string(), question.to.to_string()].into_iter();
        let words = users.chain(question.folders).chain(["--".to_owned()]).chain(question.files);
        words.collect::<Vec<_>>().join(" ")
    }
}

impl TryFrom<String> for KamalHome {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let user = |word: Option<&str>| UserName::new(word.unwrap_or_default()).map_err(|wrong| wrong.to_string());
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let (from, to) = (user(words.next())?, user(words.next())?);
        let folders = words.by_ref().take_while(|word| *word != "--").map(str::to_owned).collect();
        Ok(Self { from, to, folders, files: words.map(str::to_owned).collect() })
    }
}

/// Where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KamalHomeState {
    /// Folders by name; those in neither home are left out.
    pub folders: BTreeMap<String, KamalFolder>,
    /// Whether the homes are on one file system; only looked at where there is a folder in the old one.
    pub one_file_system: bool,
    /// A lock of Kamal's in the old home.
    pub lock: Option<String>,
    /// The files that are there, and whether they belong to who deploys.
    pub files: BTreeMap<String, bool>,
}

/// A folder of Kamal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KamalFolder {
    /// In the old home.
    pub old: OldPlace,
    /// In the new home.
    pub new: NewPlace,
}

/// What is in the old home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldPlace {
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// A link that leads to the new home.
    Moved,
    /// Nothing, but a link that only has to be put in place: a move was cut off.
    Half,
    /// Something else.
    Other,
}

/// What is in the new home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewPlace {
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// Something else.
    Other,
}

impl Fact for KamalHome {
    type Answer = KamalHomeState;

    fn call(questions: &[&Self]) -> Call {
        questions.iter().fold(Call::new(&KAMAL_HOME, "kamal_probe"), |call, question| {
            call.arg(question.from.as_str())
                .arg(question.to.as_str())
                .arg(question.folders.len().to_string())
                .arg(question.files.len().to_string())
                .args(&question.folders)
                .args(&question.files)
        })
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<KamalHomeState>, BadAnswer> {
        questions.iter().map(|question| state(question, fields)).collect()
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<KamalHomeState> {
        use proptest::prelude::*;
        use proptest::sample::select;
        let old = select(vec![OldPlace::Absent, OldPlace::Folder, OldPlace::Moved, OldPlace::Half, OldPlace::Other]);
        let new = select(vec![NewPlace::Absent, NewPlace::Folder, NewPlace::Other]);
        // What the probe calls moved or half has a folder to lead to.
        let folder = (old, new).prop_map(|(old, new)| match old {
            OldPlace::Half => KamalFolder { old, new: NewPlace::Folder },
            _ => KamalFolder { old, new },
        });
        let names: Vec<String> = self.folders.iter().cloned().chain([".kamal".into(), "shop-cache".into()]).collect();
        let folders = proptest::collection::btree_map(select(names), folder, 0..4);
        let lock = prop_oneof![4 => Just(None), 1 => Just(Some("/root/.kamal/lock-shop".to_owned()))];
        let files = self.files.clone().into_iter().collect::<Vec<_>>();
        let owned = proptest::collection::vec(proptest::option::of(any::<bool>()), files.len());
        (folders, prop_oneof![6 => Just(true), 1 => Just(false)], lock, owned)
            .prop_map(move |(folders, one_file_system, lock, owned)| KamalHomeState {
                folders,
                one_file_system,
                lock,
                files: files.iter().cloned().zip(owned).filter_map(|(file, theirs)| Some((file, theirs?))).collect(),
            })
            .boxed()
    }
}

fn state(question: &KamalHome, fields: &mut Fields<'_>) -> Result<KamalHomeState, BadAnswer> {
    let mut state = KamalHomeState::default();
    loop {
        let name = fields.text()?;
        if name.is_empty() {
            break;
        }
        let old = match fields.text()? {
            "folder" => OldPlace::Folder,
            "moved" => OldPlace::Moved,
            "half" => OldPlace::Half,
            "absent" => OldPlace::Absent,
            _ => OldPlace::Other,
        };
        let new = match fields.text()? {
            "absent" => NewPlace::Absent,
            "folder" => NewPlace::Folder,
            _ => NewPlace::Other,
        };
        state.folders.insert(name.to_owned(), KamalFolder { old, new });
    }
    state.one_file_system = fields.flag()?;
    state.lock = Some(fields.text()?.to_owned()).filter(|lock| !lock.is_empty());
    for file in &question.files {
        match fields.text()? {
            "theirs" => state.files.insert(file.clone(), true),
            "other" => state.files.insert(file.clone(), false),
            _ => None,
        };
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(from: &str) -> KamalHome {
        KamalHome {
            from: UserName::new(from).unwrap(),
            to: UserName::new("nobody").unwrap(),
            folders: BTreeSet::from(["shop-db".to_owned()]),
            files: BTreeSet::from(["shop-db/etc/my.cnf".to_owned()]),
        }
    }

    #[test]
    fn answers_are_read_for_each_question() {
        let body =
            b".kamal\0folder\0absent\0shop-db\0half\0folder\0\x001\0/root/.kamal/lock-shop\0other\0\x001\0\0absent\0";
        let (one, two) = (question("root"), question("daemon"));
        let states = KamalHome::parse(&[&one, &two], &mut Fields::new(body)).unwrap();
        assert_eq!(states[0].folders[".kamal"], KamalFolder { old: OldPlace::Folder, new: NewPlace::Absent });
        assert_eq!(states[0].folders["shop-db"], KamalFolder { old: OldPlace::Half, new: NewPlace::Folder });
        assert_eq!(states[0].files, BTreeMap::from([("shop-db/etc/my.cnf".to_owned(), false)]));
        assert!(states[0].lock.is_some() && states[0].one_file_system);
        assert_eq!(states[1], KamalHomeState { one_file_system: true, ..KamalHomeState::default() });
    }

    #[test]
    fn a_question_is_read_back_as_it_was_written() {
        for (folders, files) in [(&[][..], &[][..]), (&["a", "b"][..], &["a/b"][..]), (&[][..], &["a/b", "c/d"][..])] {
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let question = KamalHome { folders: set(folders), files: set(files), ..question("root") };
            assert_eq!(KamalHome::try_from(String::from(question.clone())), Ok(question));
        }
        assert!(KamalHome::try_from(String::new()).is_err());
    }

    #[test]
    fn asks_a_real_shell() {
        let question = question("no-such-user");
        let machine = crate::machine::testing::probe(vec![question.clone().into()]);
        assert!(machine.known(&question).unwrap().files.is_empty());
    }
}
