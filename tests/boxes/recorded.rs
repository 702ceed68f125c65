//! The facts of fresh boxes that `tests/recorded` plans on: still what a fresh box says. With `BEDPLATE_RECORD=1` they
//! are written anew, as is due when a built-in playbook asks for something that it did not ask for before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bedplate::base::event::Verdict;
use bedplate::base::name::{AbsPath, UserName};
use bedplate::machine::{AptSources, AuthorizedKeys, File, FileState, Machine, Question, Session, System, Volatile};
use bedplate::plan::{self, Task};
use bedplate::sandbox::Suite;

use super::built_in;
use super::docker::Bench;

/// What the box says to all that these tasks ask.
fn look(bench: &Bench, tasks: &[Task]) -> Machine {
    let mut machine = Machine::default();
    let mut asked: BTreeSet<Question> = tasks.iter().flat_map(Task::facts).collect();
    asked.insert(System::Here.into());
    for _ in 0..4 {
        machine.absorb(bench.ask(asked));
        asked = plan::plan(tasks, &machine).needs;
        if asked.is_empty() {
            return machine;
        }
    }
    panic!("the tasks go on asking: {asked:?}");
}

/// `text` with another name for the box.
fn renamed(state: &mut FileState, name: &str) {
    if let (Some(text), FileState::Present { mode, owner, .. }) = (state.content().map(str::to_owned), state.clone()) {
        *state = FileState::text(&text.replace(name, "debian"), mode, owner);
    }
}

/// Without what is this machine's or this box's own: mirrors, addresses, names.
fn without_traces(mut machine: Machine) -> Machine {
    let stock = |texts: &mut BTreeMap<String, String>| {
        for text in texts.values_mut() {
            let line = |line: &str| {
                let word = |word: &str| {
                    match word {
                        url if url.contains("://") && url.contains("security") => {
                            "http://deb.debian.org/debian-security"
                        }
                        url if url.contains("://") => "http://deb.debian.org/debian",
                        word => word,
                    }
                    .to_owned()
                };
                line.split(' ').map(word).collect::<Vec<_>>().join(" ")
            };
            *text = text.lines().map(|text| line(text) + "\n").collect();
        }
    };
    machine.update(&AptSources::All, stock);
    let name = machine.known(&System::Here).expect("what the box is").hostname.clone();
    for path in ["/etc/hostname", "/etc/hosts"] {
        let file = File::at(&AbsPath::new(path).expect("a path"));
        machine.update(&file, |state| renamed(state, &name));
    }
    machine.update(&AuthorizedKeys(UserName::new("root").expect("a name")), |state| renamed(&mut state.file, &name));
    machine.update(&System::Here, |system| {
        system.hostname = "debian".into();
        system.kernel = "6.12.0-1-amd64".into();
        system.clock = Volatile::new(1_700_000_000);
        system.memory_kib = 4_000_000;
        system.processors = 2;
    });
    machine.update(&Session::Here, |session| {
        session.client = Volatile::new(Some("198.51.100.7".into()));
        session.client_port = Volatile::new(Some(50_000));
        session.server = Volatile::new(Some("203.0.113.5".into()));
    });
    machine
}

/// What each task comes to.
fn verdicts(tasks: &[Task], machine: &Machine) -> Vec<(String, Verdict)> {
    let plan = plan::plan(tasks, machine);
    assert_eq!(plan.needs, BTreeSet::new(), "run with BEDPLATE_RECORD=1: the tasks ask for more than was recorded");
    plan.tasks.into_iter().map(|task| (task.shown.name, task.shown.verdict)).collect()
}

fn a_fresh_box_is_as_recorded(suite: Suite, name: &str) {
    let bench = Bench::up(suite, &[]);
    let mut seen = Machine::default();
    for (_, set) in built_in::USERS {
        seen.absorb(look(&bench, &built_in::tasks(set)));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(format!("{name}.json"));
    if std::env::var_os("BEDPLATE_RECORD").is_some() {
        let text = serde_json::to_string_pretty(&without_traces(seen.clone())).expect("a machine as JSON");
        std::fs::write(&path, text + "\n").expect("the facts are written");
    }
    let text = std::fs::read_to_string(&path).expect("recorded facts");
    let recorded: Machine = serde_json::from_str(&text).expect("a machine in JSON");
    for (user, set) in built_in::USERS {
        let tasks = built_in::tasks(set);
        assert_eq!(verdicts(&tasks, &recorded), verdicts(&tasks, &seen), "{user}");
    }
}

#[test]
#[ignore = "full tier: holds recorded facts true"]
fn a_fresh_debian_11_is_as_recorded() {
    a_fresh_box_is_as_recorded(Suite::Bullseye, "debian-11");
}

#[test]
#[ignore = "full tier: holds recorded facts true"]
fn a_fresh_debian_12_is_as_recorded() {
    a_fresh_box_is_as_recorded(Suite::Bookworm, "debian-12");
}

#[test]
#[ignore = "full tier: holds recorded facts true"]
fn a_fresh_debian_13_is_as_recorded() {
    a_fresh_box_is_as_recorded(Suite::Trixie, "debian-13");
}
