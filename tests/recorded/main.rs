//! The built-in playbooks on recorded facts of bare hosts: what is foretold, what is only known later, that nothing is
//! refused, that no two tasks fight, and that a second plan on what the first one foretells is empty. No box, no network.
//!
//! `debian-*.json` are what fresh boxes of `bedplate sandbox` answered; a test of the boxes holds them true and, on
//! request, writes them anew. No Ubuntu was asked: `ubuntu_24_04` makes one by hand.

#![allow(clippy::expect_used, clippy::panic, reason = "a test tells its failure by a panic")]

use std::path::Path;

use bedplate::base::event::Verdict;
use bedplate::machine::Machine;
use bedplate::plan;

mod built_in;
mod by_hand;
mod memory;
mod scripts;
mod skipped;
#[path = "../tools/mod.rs"]
mod tools;

fn recorded(name: &str) -> Machine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).expect("recorded facts");
    serde_json::from_str(&text).expect("a machine in JSON")
}

/// Plans what each of the users wants on `machine`; `late` are the tasks that are only known later, by user.
fn foretold(host: &str, machine: &Machine, late: &[(&str, &[&str])]) {
    for (user, set) in built_in::USERS {
        let tasks = built_in::tasks(set);
        let plan = plan::plan(&tasks, machine);
        let asks = "asks what was not recorded: BEDPLATE_RECORD=1 cargo test --test boxes recorded -- --ignored";
        assert!(plan.needs.is_empty(), "{host}, {user}: {asks}: {:?}", plan.needs);
        if let Some(refused) = plan.refused() {
            panic!("{host}, {user}: `{}` is refused: {}", refused.shown.name, refused.shown.why);
        }
        let put_off = plan.tasks.iter().filter(|task| task.shown.verdict == Verdict::KnownLater);
        let put_off: Vec<&str> = put_off.map(|task| task.shown.name.as_str()).collect();
        let expected = late.iter().find(|(name, _)| *name == user).map_or(&[][..], |(_, tasks)| tasks);
        assert_eq!(put_off, expected, "{host}, {user}: these are known later");
        assert_eq!(plan::fold::fights(&tasks, &plan), [], "{host}, {user}");
        let changes = plan.tasks.iter().filter(|task| task.shown.verdict == Verdict::Change).count();
        assert!(changes > 10, "{host}, {user}: a bare host needs more than {changes} changes");
    }
}

#[test]
fn all_is_foretold_on_a_bare_debian_11() {
    foretold("a box", &recorded("debian-11"), &[]);
    foretold("a machine", &by_hand::machine_of_its_own(recorded("debian-11")), &[]);
}

#[test]
fn all_is_foretold_on_a_bare_debian_12() {
    foretold("a box", &recorded("debian-12"), &[]);
    foretold("a machine", &by_hand::machine_of_its_own(recorded("debian-12")), &[]);
}

#[test]
fn all_is_foretold_on_a_bare_debian_13() {
    foretold("a box", &recorded("debian-13"), &[]);
    foretold("a machine", &by_hand::machine_of_its_own(recorded("debian-13")), &[]);
}

#[test]
fn all_is_foretold_on_an_ubuntu_24_04_made_by_hand() {
    foretold("a machine", &by_hand::ubuntu_24_04(recorded("debian-12")), &[]);
}
