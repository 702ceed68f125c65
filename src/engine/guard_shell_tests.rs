//! What the host runs by itself, on folders of this machine: whose work is put back, and that nobody's is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use proptest::collection::btree_map;
use proptest::prelude::*;

use super::RESTORE;

/// What is at a path.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Absent,
    File(String, u32),
    Link(String),
    Folder(BTreeMap<String, Tree>),
}
use Tree::{Absent, File, Folder, Link};

impl Tree {
    fn make(&self, path: &Path) {
        match self {
            Absent => {}
            File(text, mode) => {
                fs::write(path, text).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Link(target) => symlink(target, path).unwrap(),
            Folder(entries) => {
                fs::create_dir_all(path).unwrap();
                entries.iter().for_each(|(name, entry)| entry.make(&path.join(name)));
            }
        }
    }

    fn at(path: &Path) -> Tree {
        let Ok(found) = fs::symlink_metadata(path) else { return Absent };
        if found.is_symlink() {
            return Link(fs::read_link(path).unwrap().to_string_lossy().into_owned());
        }
        if found.is_file() {
            return File(fs::read_to_string(path).unwrap(), found.permissions().mode() & 0o777);
        }
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name().to_string_lossy().into_owned(), Tree::at(&entry.path()))
        };
        Folder(fs::read_dir(path).unwrap().map(entry).collect())
    }

    fn entry(&self, name: &str) -> &Tree {
        match self {
            Folder(entries) => entries.get(name).unwrap_or(&Absent),
            _ => &Absent,
        }
    }

    /// Every file in it, by its path.
    fn files(&self, at: &str) -> Vec<(String, Tree)> {
        match self {
            Absent => Vec::new(),
            Folder(entries) => entries.iter().flat_map(|(name, tree)| tree.files(&format!("{at}/{name}"))).collect(),
            leaf => vec![(at.to_owned(), leaf.clone())],
        }
    }

    fn leaf(&self, path: &str) -> &Tree {
        path.split('/').skip(1).fold(self, |tree, name| tree.entry(name))
    }
}

/// What came of it, what was said of it, and the copies.
struct Ended {
    now: Tree,
    said: Vec<String>,
    kept: Tree,
}

/// Puts `saved` back where `now` is, when the steps had left `left`: `None` when that is not known.
fn put_back(saved: &Tree, left: Option<&Tree>, now: &Tree, force: bool) -> Ended {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name);
    fs::create_dir(at("guard")).unwrap();
    saved.make(&at("saved"));
    left.unwrap_or(&Absent).make(&at("left"));
    now.make(&at("now"));
    let words = "guard_home=$1/guard guard_kept=$1/kept guard_nonce=0f guard_known=$2 guard_force=$3\n\
        guard_back \"$1/now\" \"$1/saved\" \"$1/left\"\n";
    let flag = |set: bool| if set { "1" } else { "" };
    let output = Command::new("dash")
        .args(["-c", &format!("{RESTORE}\n{words}"), "dash"])
        .arg(room.path())
        .args([flag(left.is_some()), flag(force)])
        .output()
        .expect("dash is needed for this test");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let read = |name: &str| fs::read_to_string(at("guard").join(name)).unwrap_or_default();
    let said: BTreeSet<String> = [read("report.part"), read("stays")].concat().lines().map(str::to_owned).collect();
    let said = said.into_iter().collect();
    let copies = format!("kept/0f{}", room.path().display());
    Ended { now: Tree::at(&at("now")), said, kept: Tree::at(&at(&copies).join("now")) }
}

fn file() -> impl Strategy<Value = Tree> {
    (prop_oneof!["a", "b", "c", Just(String::new())], prop_oneof![Just(0o600u32), Just(0o644)])
        .prop_map(|(text, mode)| File(text, mode))
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![4 => file(), 1 => "[xy]".prop_map(Link)];
    let name = || "(one|two|\\.three|fo ur|\\*)";
    let folder = btree_map(name(), leaf.clone(), 0..4).prop_map(Folder);
    let deep = btree_map(name(), prop_oneof![3 => leaf.clone(), 1 => folder.clone()], 0..4).prop_map(Folder);
    prop_oneof![2 => Just(Absent), 4 => leaf, 2 => folder, 4 => deep]
}

/// Before the steps, behind them, and when the guard fires: mostly alike, as they are on a host.
fn three() -> impl Strategy<Value = (Tree, Tree, Tree)> {
    let change = |before: Tree| {
        let same = before.clone();
        let entry = (tree(), 0usize..4).prop_map(move |(new, place)| match before.clone() {
            Folder(mut entries) => {
                let name = entries.keys().nth(place).cloned().unwrap_or_else(|| "five".to_owned());
                match new {
                    Absent => entries.remove(&name),
                    new => entries.insert(name, new),
                };
                Folder(entries)
            }
            _ => new,
        });
        prop_oneof![1 => Just(same), 2 => entry]
    };
    let behind = tree().prop_flat_map(move |saved| (Just(saved.clone()), change(saved)));
    behind.prop_flat_map(move |(saved, left)| (Just(saved), Just(left.clone()), change(left)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_the_steps_did_goes_and_nobody_elses_work_is_lost((saved, left, now) in three()) {
        // Nobody knows whose work it is, or the door is shut: all is as it was.
        prop_assert_eq!(&put_back(&saved, None, &now, false).now, &saved);
        let forced = put_back(&saved, Some(&left), &now, true);
        prop_assert_eq!(&forced.now, &saved);
        // Nobody else was there.
        let alone = put_back(&saved, Some(&left), &left, false);
        prop_assert_eq!((&alone.now, &alone.said), (&saved, &vec![]));

        let ended = put_back(&saved, Some(&left), &now, false);
        for (ended, force) in [(&ended, false), (&forced, true)] {
            for (path, file) in now.files("") {
                let theirs = &file != left.leaf(&path) && &file != saved.leaf(&path);
                let lives = &file == ended.now.leaf(&path) || &file == ended.kept.leaf(&path);
                prop_assert!(!theirs || lives, "{} is lost: {:?}, said {:?}", path, file, ended.said);
                prop_assert!(!theirs || !ended.said.is_empty(), "nothing is said of {}", path);
                // What is nobody's but theirs is left alone.
                let untouched = left.leaf(&path) == saved.leaf(&path) && left.leaf(&path) == &Absent;
                let above = path.rsplit_once('/').map_or("", |(above, _)| above);
                let in_place = matches!((saved.leaf(above), left.leaf(above)), (Folder(_), Folder(_)));
                if theirs && untouched && in_place && !force {
                    prop_assert_eq!(&file, ended.now.leaf(&path), "{} is not left alone", path);
                }
            }
        }
        for (path, file) in left.files("") {
            let ours = &file == now.leaf(&path) && &file != saved.leaf(&path);
            prop_assert!(!ours || &file != ended.now.leaf(&path), "{} stays as the steps left it", path);
        }
    }
}

#[test]
fn an_entry_is_whose_changed_it_last() {
    let text = |text: &str| File(text.to_owned(), 0o644);
    let folder = |entries: &[(&str, Tree)]| Folder(entries.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect());
    let saved = folder(&[("main", text("old")), ("gone", text("x")), ("theirs", text("t"))]);
    let left = folder(&[("main", text("new")), ("ours", text("y")), ("theirs", text("t")), ("both", text("z"))]);
    let now = folder(&[
        ("main", text("new")),
        ("ours", text("y")),
        ("theirs", text("t2")),
        ("both", text("z2")),
        ("added", text("a")),
    ]);
    let ended = put_back(&saved, Some(&left), &now, false);
    assert_eq!(
        ended.now,
        folder(&[("main", text("old")), ("gone", text("x")), ("theirs", text("t2")), ("added", text("a"))])
    );
    assert_eq!(ended.kept, folder(&[("both", text("z2"))]));
    let said = ended.said.join("\n");
    assert!(said.contains("/now/both") && said.contains("/now/theirs") && said.contains("/now/added"), "{said}");
    assert_eq!(ended.said.len(), 3, "{said}");
}
