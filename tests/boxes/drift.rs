//! Drift is found, named, and repaired, and nothing else is: random damage to a converged box.

#![allow(clippy::print_stdout, reason = "the damage that is drawn, and how long each takes, is worth reading")]

use std::time::Instant;

use bedplate::base::EventKind;
use bedplate::base::event::{TaskPlan, Verdict};
use bedplate::engine::saved::SavedFacts;
use bedplate::machine::Machine;
use bedplate::sandbox::Suite;

use super::damage::{self, Damage, Luck};
use super::support::{Ran, Rig};

/// The tasks of the first plan in a run.
fn plan(ran: &Ran) -> Vec<TaskPlan> {
    let plan = ran.events().into_iter().find_map(|event| match event.kind {
        EventKind::Planned { tasks, .. } => Some(tasks),
        _ => None,
    });
    plan.unwrap_or_default()
}

/// The tasks that are named as not being as declared. Those that are only known after one of them are not.
fn named(ran: &Ran) -> Vec<String> {
    let open = |task: &TaskPlan| matches!(task.verdict, Verdict::Change | Verdict::Refused);
    plan(ran).into_iter().filter(open).map(|task| task.name).collect()
}

/// What an apply did for tasks whose changes it had shown, after it had looked at them again: nothing that was shown.
fn did_more(ran: &Ran) -> Vec<String> {
    let shown: Vec<usize> =
        plan(ran).into_iter().filter(|task| task.verdict == Verdict::Change).map(|task| task.task).collect();
    let again = ran.events().into_iter().skip_while(|event| !matches!(event.kind, EventKind::Verified { .. }));
    let more = again.filter_map(|event| match event.kind {
        EventKind::ActionFinished { task, action, .. } if shown.contains(&task) => Some(action),
        _ => None,
    });
    more.collect()
}

/// The names of what no task declares.
fn findings(ran: &Ran) -> Vec<String> {
    let planned = ran.events().into_iter().find_map(|event| match event.kind {
        EventKind::Planned { findings, .. } => Some(findings),
        _ => None,
    });
    planned.unwrap_or_default().into_iter().map(|finding| finding.id).collect()
}

/// What is true of the box. Errors: it does not answer.
fn facts(rig: &Rig) -> Result<Machine, String> {
    let ran = rig.run("facts", &["--json"]);
    let saved: Result<SavedFacts, _> = serde_json::from_str(&ran.stdout);
    saved.map(|saved| saved.machine).map_err(|error| format!("no facts: {error}: {}", ran.stderr))
}

/// What of `before` is different in `now`, in words.
fn differences(before: &Machine, now: &Machine) -> Vec<String> {
    let differing = before.questions().into_iter().filter_map(|question| {
        let (before, now) = before.difference(now, &question)?;
        Some(format!("{question:?} was {before} and is {now}"))
    });
    differing.collect()
}

/// Does `damage`, looks, repairs, and looks again. Errors: everything that was not as it should be.
fn drift(rig: &Rig, converged: &Machine, damage: &Damage) -> Result<(), String> {
    let mut wrong = Vec::new();
    let line = damage.line.replace("$swap", &format!("/swapfile-{}", rig.sandbox.name()));
    if let Err(error) = rig.sandbox.ask(&["sh", "-c", &line]) {
        return Err(format!("`{}` can not be done: {error}", damage.line));
    }
    let check = rig.run("check", &["--json"]);
    if check.code != 2 || named(&check) != damage.tasks {
        wrong.push(format!("check exits {} and names {:?}, not {:?}", check.code, named(&check), damage.tasks));
    }
    let apply = rig.run("apply", &["--json"]);
    if apply.code != 0 || plan(&apply) != plan(&check) {
        let last: Vec<&str> = apply.stdout.lines().rev().take(4).collect();
        wrong.push(format!("apply exits {} after {:?}: {last:?} {}", apply.code, named(&apply), apply.stderr));
    }
    if !did_more(&apply).is_empty() {
        wrong.push(format!("apply did more than it showed: {:?}", did_more(&apply)));
    }
    let again = rig.run("check", &["--json"]);
    if again.code != 0 {
        wrong.push(format!("a check after it exits {} and names {:?}", again.code, named(&again)));
    }
    if !damage.stays {
        let differing = facts(rig).map_or_else(|error| vec![error], |now| differences(converged, &now));
        wrong.extend(differing.into_iter().map(|line| line.chars().take(600).collect::<String>()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("`{}`\n    {}", damage.line, wrong.join("\n    "))) }
}

/// A box as the built-in playbooks make it, and what is true of it.
fn converged() -> (Rig, Machine) {
    let rig = Rig::up(Suite::Bookworm);
    rig.run("apply", &["--json"]).exits(0);
    let facts = facts(&rig).expect("a box that answers");
    (rig, facts)
}

fn drift_machine(chosen: impl FnOnce(Vec<Damage>) -> Vec<Damage>) {
    let mut luck = Luck::new();
    let (mut rig, mut facts) = converged();
    let damages = chosen(damage::all(&mut luck));
    let mut wrong = Vec::new();
    for damage in &damages {
        let begun = Instant::now();
        let result = drift(&rig, &facts, damage);
        println!("{:4.1} s  {}", begun.elapsed().as_secs_f32(), damage.line);
        if let Err(error) = result {
            println!("{error}");
            wrong.push(error);
            // What was not put right must not spoil what comes after it.
            drop(rig);
            (rig, facts) = converged();
        } else if damage.stays {
            facts = self::facts(&rig).expect("a box that answers");
        }
    }
    assert!(wrong.is_empty(), "{} of {} damages:\n{}", wrong.len(), damages.len(), wrong.join("\n"));
}

#[test]
fn random_damage_is_named_and_exactly_it_is_repaired() {
    // Packages that come back take their time.
    let quick = |damage: &Damage| !damage.line.starts_with("apt-get");
    drift_machine(|all| all.into_iter().filter(quick).take(5).collect());
}

#[test]
#[ignore = "full tier: dozens of damages, minutes"]
fn every_kind_of_damage_is_named_and_exactly_it_is_repaired() {
    drift_machine(|all| all);
}

#[test]
#[ignore = "full tier: foreign rules, users and keys on a box, a minute; not in the quick one"]
fn what_nobody_declares_is_found_is_no_drift_and_is_left_alone() {
    let (rig, _) = converged();
    let usual = findings(&rig.run("check", &["--json"]).exits(0));
    let mut wrong = Vec::new();
    for (line, id, back) in damage::STRAYS {
        rig.inside(line);
        let check = rig.run("check", &["--json"]);
        let strict = rig.run("check", &["--json", "--strict"]);
        let apply = rig.run("apply", &["--json"]);
        let mut news = findings(&apply);
        usual.iter().for_each(|known| news.retain(|id| id != known));
        let seen = (check.code, strict.code, apply.code, named(&apply), news);
        if seen != (0, 2, 0, Vec::new(), vec![(*id).to_owned()]) || findings(&check) != findings(&apply) {
            wrong.push(format!("`{line}`: {seen:?}"));
        }
        rig.inside(back);
        if findings(&rig.run("check", &["--json"])) != usual {
            wrong.push(format!("`{back}`: it is still found"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
