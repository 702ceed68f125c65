//! The laws that every resource obeys, whatever the machine. A resource is under them from its line in `KINDS` on:
//! `every_kind_is_under_the_laws` compares the two lists.

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::*;
use crate::action::{Action, Undo};
use crate::machine::{System, Unknown};

/// A machine that answers each of `questions` in some way.
fn machine(questions: Vec<Question>) -> BoxedStrategy<Machine> {
    let mut questions = questions;
    questions.push(System::Here.into());
    let answers: Vec<_> = questions.iter().map(Question::any).collect();
    answers
        .prop_map(|answers| {
            let mut machine = Machine::default();
            for answer in answers {
                answer.set(&mut machine);
            }
            machine
        })
        .boxed()
}

fn task() -> Unknown {
    Unknown { task: 1, name: "the task".into() }
}

fn actions(plan: &Plan) -> Vec<Action> {
    plan.changes.iter().flat_map(|change| change.actions.clone()).collect()
}

/// Plans until nothing is left to do, as an apply does when a task becomes known only after its own first change.
/// Gives the machine that results, and how many rounds it took.
fn converge(resource: &dyn Declared, start: &Machine, plan: Plan) -> Result<Machine, TestCaseError> {
    let mut now = start.clone();
    for action in actions(&plan) {
        now.perform(&task(), |machine| action.effect(machine));
    }
    match resource.plan(&now) {
        Ok(again) => {
            prop_assert!(
                again.changes.is_empty(),
                "a second plan changes again: {again:#?}\nafter {plan:#?}\non {start:#?}"
            );
        }
        // What a change makes unknowable is decided after the next look; a refusal must have come before the change.
        Err(Blocked::Unknown(_)) => {}
        Err(blocked) => {
            prop_assert!(false, "blocked after its own changes: {blocked:?}\nafter {plan:#?}\non {start:#?}")
        }
    }
    Ok(now)
}

/// Undoing every action, last first, leads back to where it began, as far as that is known.
fn undo(start: &Machine, plan: &Plan) -> Result<(), TestCaseError> {
    let mut stations = vec![start.clone()];
    let all = actions(plan);
    for action in &all {
        let mut next = stations.last().unwrap().clone();
        next.perform(&task(), |machine| action.effect(machine));
        stations.push(next);
    }
    let mut now = stations.last().unwrap().clone();
    for (action, before) in all.iter().zip(&stations).rev() {
        let Undo::By(back) = action.undo(before) else { return Ok(()) };
        for action in back {
            now.perform(&task(), |machine| action.effect(machine));
        }
        for question in start.questions() {
            prop_assert_eq!(before.difference(&now, &question), None, "undoing {:?} on {:#?}", action, before);
        }
    }
    Ok(())
}

fn holds<R: Resource + Clone>() {
    let cases = R::any().prop_flat_map(|resource| {
        let mut questions = Resource::facts(&resource);
        questions.extend(Resource::asserts(&resource));
        (Just(resource), machine(questions))
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&cases, |(resource, start)| {
        match Resource::plan(&resource, &start) {
            Err(Blocked::NotAsked(question)) => prop_assert!(false, "{question:?} is read but not in `facts`"),
            Err(Blocked::Unknown(unknown)) => prop_assert!(false, "unknown on a machine that is known: {unknown:?}"),
            Err(Blocked::Refused(refusal)) => prop_assert!(!refusal.what.is_empty()),
            Ok(plan) => {
                prop_assert!(!plan.changes.is_empty() || !plan.why.is_empty(), "in sync without a why: {resource:?}");
                converge(&resource, &start, plan.clone())?;
                undo(&start, &plan)?;
            }
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{}: {error}", R::NAME);
    }
}

macro_rules! laws {
    ($($test:ident: $resource:ty,)*) => {
        $(#[test]
        fn $test() {
            holds::<$resource>();
        })*

        #[test]
        fn every_kind_is_under_the_laws() {
            let here = [$(<$resource as Resource>::NAME),*];
            let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name()).collect();
            assert_eq!(here.as_slice(), kinds, "the list of laws! and KINDS differ");
        }
    };
}

laws! {
    packages: packages::Packages,
    file: file::File,
    template: template::Template,
    service: service::Service,
    apt_repository: apt_repository::AptRepository,
    unattended_upgrades: unattended_upgrades::UnattendedUpgrades,
    docker_engine: docker_engine::DockerEngine,
    docker_daemon: docker_daemon::DockerDaemon,
    docker_volume: docker_volume::DockerVolume,
    docker_network: docker_network::DockerNetwork,
    docker_firewall: docker_firewall::DockerFirewall,
    kamal_home: kamal_home::KamalHome,
    group: group::Group,
    user: user::User,
    authorized_keys: authorized_keys::AuthorizedKeys,
    sshd: sshd::Sshd,
    sudoers: sudoers::Sudoers,
    directory: directory::Directory,
    link: link::Link,
    line: line::Line,
    block: block::Block,
    swap: swap::Swap,
    sysctl: sysctl::Sysctl,
    mount: mount::Mount,
    volume: volume::Volume,
    ufw: ufw::Ufw,
    first_boot: first_boot::FirstBoot,
    time_sync: time_sync::TimeSync,
    timezone: timezone::Timezone,
    hostname: hostname::Hostname,
    command: command::Command,
    last_look: last_look::LastLook,
}

#[test]
fn every_example_is_read_without_a_problem() {
    for kind in KINDS {
        let table = toml::de::DeTable::parse(kind.example()).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        let value = toml::Spanned::new(table.span(), toml::de::DeValue::Table(table.into_inner()));
        let (_, problems) = kind.decode(value.into()).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        assert_eq!(problems, Vec::new(), "{}", kind.name());
    }
}

#[test]
fn every_kind_and_field_is_documented() {
    for kind in KINDS {
        let schema = kind.schema().to_value();
        assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{} has no docs", kind.name());
        let fields = schema["properties"].as_object().cloned().unwrap_or_default();
        for (name, field) in fields {
            assert!(field["description"].is_string(), "{}.{name} has no docs", kind.name());
        }
        assert_eq!(schema["additionalProperties"], false, "{} takes unknown fields", kind.name());
    }
}
