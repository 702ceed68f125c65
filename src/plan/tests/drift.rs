//! Drift on the model: the built-in playbooks on a host that they have prepared, of which one fact has become another.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;
use crate::base::event::TaskPlan;
use crate::machine::{FileState, Machine, PackageState, Question, Sysctl, SysctlState, System};
use crate::plan::fold::fights;

/// The built-in tasks of a host without an inventory.
fn built_in(set: &[&str]) -> Vec<Task> {
    let mut found = Diagnostics::new();
    let playbooks = Playbooks::builtin(&mut found);
    let hosts = inventory::select(None, &["root@203.0.113.5".into()], &[], &mut found);
    let settings = Settings { set: set.iter().map(|set| (*set).to_owned()).collect(), ..Settings::default() };
    let made = compile(&playbooks, &hosts, &settings, &Memory::default(), &mut found);
    Made { hosts: made, found }.tasks()
}

/// What a fresh Debian 12 answered, as if it were no container: a kernel that may be set.
fn bare() -> Machine {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/debian-12.json");
    let mut machine: Machine = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    machine.update(&System::Here, |system| system.container = String::new());
    let settings: Vec<Sysctl> = machine.all::<Sysctl>().map(|(setting, _)| setting.clone()).collect();
    for setting in settings {
        machine.update(&setting, |state| {
            if let SysctlState::Present { writable, .. } = state {
                *writable = true;
            }
        });
    }
    machine
}

/// The host when all is done, as the plan foretells it.
struct Prepared {
    machine: Machine,
    /// Numbers of the tasks that only a look at the real host would decide (the key of a repository is fetched there).
    unseen: BTreeSet<usize>,
}

impl Prepared {
    fn by(tasks: &[Task]) -> Self {
        let first = plan(tasks, &bare());
        assert!(first.needs.is_empty(), "{:?}", first.needs);
        let blocked = [first.put_off(), first.refused()].into_iter().flatten().map(|task| &task.shown);
        assert_eq!(blocked.collect::<Vec<_>>(), Vec::<&TaskPlan>::new());
        let mut prepared = Self { machine: first.predicted, unseen: BTreeSet::new() };
        let settled = plan(tasks, &prepared.machine);
        for task in prepared.open(&settled) {
            assert_eq!(task.shown.verdict, Verdict::KnownLater, "{:?}", task.shown);
        }
        prepared.unseen = prepared.open(&settled).map(|task| task.shown.task).collect();
        assert!(prepared.unseen.len() < 2, "{:?}", prepared.unseen);
        prepared
    }

    /// The tasks of `plan` that are not as they should be.
    fn open<'a>(&'a self, plan: &'a HostPlan) -> impl Iterator<Item = &'a PlannedTask> {
        plan.tasks.iter().filter(|task| {
            let settled = matches!(task.shown.verdict, Verdict::InSync | Verdict::Skipped);
            !settled && !self.unseen.contains(&task.shown.task)
        })
    }
}

fn reads(task: &Task, question: &Question, machine: &Machine) -> bool {
    let late = match &task.declaration {
        Declaration::Ready(_) => None,
        Declaration::Late(late) => late.resolve(machine).ok().map(|resource| resource.facts()),
    };
    task.facts().contains(question) || late.is_some_and(|facts| facts.contains(question))
}

/// Whether a fact that a task asserts can not be another one without being drift.
fn is_declared_whole(before: &Machine, now: &Machine, question: &Question) -> bool {
    match question {
        Question::File(file) => {
            let written = file.path.as_str().contains("bedplate");
            let text = |machine: &Machine| machine.known(file).and_then(FileState::content).map(str::to_owned);
            written && text(before) != text(now)
        }
        Question::Sysctl(setting) => matches!(
            (before.known(setting), now.known(setting)),
            (Some(SysctlState::Present { value: one, .. }), Some(SysctlState::Present { value: other, writable: true })) if one != other
        ),
        Question::Package(package) if package.0.as_str() != "systemd-timesyncd" => {
            before.known(package).is_some_and(PackageState::is_installed)
                && !now.known(package).is_some_and(PackageState::is_installed)
        }
        _ => false,
    }
}

/// What must hold when the fact that `question` asks for has become another one.
fn drifted(tasks: &[Task], before: &Prepared, now: &Machine, question: &Question) -> Result<(), TestCaseError> {
    let found = plan(tasks, now);
    prop_assert!(found.needs.is_empty(), "it goes on asking: {:?}", found.needs);
    // Those behind the first one may be named because of what the first one does.
    if let Some(first) = before.open(&found).next() {
        let task = tasks.iter().find(|task| task.number == first.shown.task).expect("the task");
        prop_assert!(reads(task, question, now), "`{}` does not look at it, and is named for it", task.name);
    }
    let asserted = found.tasks.iter().any(|task| task.asserts.contains(question));
    if asserted && is_declared_whole(&before.machine, now, question) {
        prop_assert!(before.open(&found).next().is_some(), "nobody names it");
    }
    if before.open(&found).all(|task| task.shown.verdict != Verdict::KnownLater) {
        prop_assert_eq!(fights(tasks, &found), vec![], "what was repaired is not in sync");
    }
    Ok(())
}

fn random_drift(set: &[&str], cases: u32) {
    let tasks = built_in(set);
    let before = Prepared::by(&tasks);
    let machine = &before.machine;
    let known: Vec<Question> =
        machine.questions().into_iter().filter(|question| machine.unknown(question).is_none()).collect();
    let drift = proptest::sample::select(known).prop_flat_map(|question| (Just(question.clone()), question.any()));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&drift, |(question, answer)| {
        let mut now = machine.clone();
        answer.set(&mut now);
        drifted(&tasks, &before, &now, &question)
    });
    if let Err(error) = outcome {
        panic!("{set:?}: {error}");
    }
}

#[test]
fn one_fact_that_drifts_is_named_by_who_answers_for_it_and_repaired_for_good() {
    random_drift(&[], 200);
}

#[test]
fn the_same_with_an_administrator_and_the_distribution_s_docker() {
    random_drift(&["docker_source=distribution", "admin_user=alice", "root_login=no", "ssh_port=2222"], 200);
}
