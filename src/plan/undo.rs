//! Taking back what a run has done. Each step that is done is kept with the actions that lead back from it and with what
//! it changed, before and after. Later these are tasks like any others: what still is as the run left it goes back, what
//! is as before the run needs nothing, and what somebody has changed since is left alone.
//!
//! Pure, as all of this floor.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Declaration, Step, Task};
use crate::action::file::Content;
use crate::action::unit::Verb;
use crate::action::{Action, LoadUnit, RemovePath, Undo, WriteFile};
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::loaded::LoadedState;
use crate::machine::{Blocked, Machine, Question};
use crate::resource::{Change, Declared, Plan, WayIn};

/// The playbook that the tasks of an undo say that they are from.
pub const PLAYBOOK: &str = "undo";
/// A step that takes more room than this is not kept.
const ROOM: usize = 512 << 10;

/// One step that a run has done, as the host keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptStep {
    /// Name of the task.
    pub task: String,
    /// The action's summary.
    pub action: String,
    /// How it is taken back.
    pub back: Back,
    /// What it changed, as that was before it.
    pub before: Machine,
    /// The same as it was behind it.
    pub after: Machine,
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Back {
    /// By these actions, in order.
    By(Vec<Action>),
    /// By making the service read its files once more, when they are as they were.
    ReadAgain(Box<LoadUnit>),
    /// Not at all; why, as a phrase.
    Stays(String),
}

impl KeptStep {
    /// What is kept of `step`, which leads from `before` to `after`; nothing where there is nothing to take back.
    pub fn of(step: &Step, before: &Machine, after: &Machine) -> Option<Self> {
        let (task, action) = (step.name.clone(), step.action.summary());
        let changed = |question: &Question| before.difference(after, question).is_some();
        let changed: BTreeSet<Question> = before.questions().into_iter().filter(changed).collect();
        let stays = |why: &str| Self {
            task: task.clone(),
            action: action.clone(),
            back: Back::Stays(why.to_owned()),
            before: Machine::default(),
            after: Machine::default(),
        };
        let back = match (&step.action, step.action.undo(before)) {
            (Action::LoadUnit(load), _) => {
                let verb = if load.verb == Verb::Start { Verb::Restart } else { load.verb };
                Back::ReadAgain(Box::new(LoadUnit { loaded: load.loaded.clone(), verb }))
            }
            (_, Undo::By(actions)) if actions.is_empty() => return None,
            (_, Undo::By(_)) if changed.is_empty() => {
                return Some(stays("what it changed was not looked at, so nobody could tell whose it is now"));
            }
            (_, Undo::By(actions)) => Back::By(actions),
            (_, Undo::Impossible(why)) => return Some(stays(why)),
        };
        let kept = Self {
            task: task.clone(),
            action: action.clone(),
            back,
            before: before.only(&changed),
            after: after.only(&changed),
        };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        Some(match serde_json::from_slice::<Self>(&text) {
            // A secret is never written, so what holds one does not read back.
            Err(_) => stays("it holds a secret, which is not kept"),
            Ok(_) if text.len() > ROOM => stays("what was there before is too large to be kept"),
            Ok(_) => kept,
        })
    }
}

/// The tasks that take the steps of run `run` back, the last one first.
pub fn tasks(run: &str, steps: Vec<KeptStep>) -> Vec<Task> {
    // As it was before the first step that touched it.
    let mut first = Machine::default();
    for step in steps.iter().rev() {
        first.absorb(step.before.clone());
    }
    let (again, mut back): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|step| matches!(step.back, Back::ReadAgain(_)));
    back.reverse();
    let tasks = back.into_iter().chain(again).enumerate().map(|(index, step)| {
        let first = first.only(&step.before.questions().into_iter().collect());
        Task {
            number: index + 1,
            name: step.task.clone(),
            playbook: PLAYBOOK.to_owned(),
            place: format!("run {run}"),
            declaration: Declaration::Ready(Box::new(TakeBack { step, first })),
            when: None,
        }
    });
    tasks.collect()
}

/// The run that `tasks` take back, if they do.
pub fn run_of(tasks: &[Task]) -> Option<&str> {
    let task = tasks.first().filter(|task| task.playbook == PLAYBOOK)?;
    task.place.strip_prefix("run ")
}

/// One step, declared to be taken back.
#[derive(Debug)]
struct TakeBack {
    step: KeptStep,
    first: Machine,
}

impl TakeBack {
    /// Whether the host is as `known` says. Errors: that is not known yet.
    fn is(&self, machine: &Machine, known: &Machine) -> Result<bool, Blocked> {
        let mut is = true;
        for question in known.questions() {
            if let Some(unknown) = machine.unknown(&question) {
                return Err(Blocked::Unknown(unknown.clone()));
            }
            is &= known.difference(machine, &question).is_none();
        }
        Ok(is)
    }
}

/// An action as the plan shows it: files with what changes in them.
fn shown(action: &Action, machine: &Machine) -> Vec<Change> {
    let text = |path: &AbsPath, before: Option<&str>, after: Option<&str>| Diff::Text {
        path: path.to_string(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    let now = |path: &AbsPath| machine.file(path).ok().and_then(|state| state.content());
    let change = Change::by(action.clone());
    match action {
        Action::WriteFile(WriteFile { path, content: Content::Text(after), .. }) => match now(path) {
            Some(before) => vec![change.diff(text(path, Some(before), Some(after)))],
            None => vec![change],
        },
        Action::RemovePath(RemovePath { path, .. }) => match now(path) {
            Some(before) => vec![change.diff(text(path, Some(before), None))],
            None => vec![change],
        },
        Action::ConfigureSshd(sshd) => {
            let files = sshd.files.iter().map(|file| Change {
                summary: format!("write {}", file.path),
                diff: Some(text(&file.path, file.before.as_deref(), file.after.as_deref())),
                actions: Vec::new(),
            });
            files.chain([change]).collect()
        }
        _ => vec![change],
    }
}

impl Declared for TakeBack {
    fn name(&self) -> &'static str {
        PLAYBOOK
    }

    fn facts(&self) -> Vec<Question> {
        match &self.step.back {
            Back::ReadAgain(load) => vec![load.loaded.clone().into()],
            _ => self.step.before.questions(),
        }
    }

    fn asserts(&self) -> Vec<Question> {
        self.facts()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let what = &self.step.action;
        let actions = match &self.step.back {
            Back::Stays(why) => return Ok(Plan::skipped(format!("can not be undone: {what}: {why}"))),
            Back::ReadAgain(load) => {
                return Ok(match machine.get(&load.loaded)? {
                    LoadedState::Current => Plan::in_sync("the service has read what is there"),
                    LoadedState::Stale => Plan::changes(vec![Change::by((**load).clone())], ""),
                });
            }
            Back::By(actions) => actions,
        };
        if self.is(machine, &self.step.before)? || self.is(machine, &self.first)? {
            return Ok(Plan::in_sync("it is as it was before the run"));
        }
        if !self.is(machine, &self.step.after)? {
            return Ok(Plan::skipped(format!("left alone: {what}: what it made has changed since")));
        }
        Ok(Plan::changes(actions.iter().flat_map(|action| shown(action, machine)).collect(), ""))
    }

    fn way_in(&self) -> Option<WayIn> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::file::{Content, Found};
    use crate::action::{InstallPackages, WriteFile};
    use crate::base::Digest;
    use crate::base::event::Verdict;
    use crate::base::name::{AbsPath, PackageName};
    use crate::machine::file::{Kind, Owner};
    use crate::machine::{File, FileState, Package, PackageState};
    use crate::plan::plan;

    fn path() -> AbsPath {
        AbsPath::new("/etc/motd").unwrap()
    }

    fn file(text: &str) -> FileState {
        FileState::text(text, 0o644, Owner::root())
    }

    fn step(action: impl Into<Action>) -> Step {
        Step { task: 1, name: "motd".into(), place: "x.toml:1".into(), action: action.into() }
    }

    fn write(from: &str, to: &str) -> Step {
        let found = Found::of(&file(from));
        let (content, mode) = (Content::Text(to.into()), 0o644);
        step(WriteFile { path: path(), content, mode, owner: Owner::root(), found })
    }

    fn machine(text: &str) -> Machine {
        let mut machine = Machine::default();
        machine.set(File::at(&path()), file(text));
        machine.set(Package(PackageName::new("tree").unwrap()), PackageState::Absent);
        machine
    }

    /// What is kept of `steps`, as the host gives it back.
    fn kept(steps: &[Step]) -> Vec<KeptStep> {
        let mut now = machine("old");
        let mut kept = Vec::new();
        for step in steps {
            let before = now.clone();
            let by = crate::machine::Unknown { task: 1, name: String::new() };
            now.perform(&by, |machine| step.action.effect(machine));
            kept.extend(KeptStep::of(step, &before, &now));
        }
        serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap()
    }

    fn verdicts(steps: Vec<KeptStep>, on: &Machine) -> (Vec<Verdict>, Machine) {
        let tasks = tasks("1a2b3c4d", steps);
        assert_eq!(run_of(&tasks), Some("1a2b3c4d"));
        let plan = plan(&tasks, on);
        assert!(crate::plan::fold::fights(&tasks, &plan).is_empty(), "{plan:#?}");
        (plan.tasks.iter().map(|task| task.shown.verdict).collect(), plan.predicted)
    }

    #[test]
    fn what_is_as_the_run_left_it_goes_back_step_by_step() {
        let steps = kept(&[write("old", "new"), write("new", "newer")]);
        let (verdict, predicted) = verdicts(steps.clone(), &machine("newer"));
        assert_eq!(verdict, [Verdict::Change, Verdict::Change]);
        assert_eq!(predicted.known(&File::at(&path())), Some(&file("old")));
        // Once more there is nothing to do; halfway the rest is done; what somebody has changed is left alone.
        assert_eq!(verdicts(steps.clone(), &machine("old")).0, [Verdict::InSync, Verdict::InSync]);
        assert_eq!(verdicts(steps.clone(), &machine("new")).0, [Verdict::InSync, Verdict::Change]);
        let (verdict, predicted) = verdicts(steps, &machine("somebody's"));
        assert_eq!(verdict, [Verdict::Skipped, Verdict::Skipped]);
        assert_eq!(predicted.known(&File::at(&path())), Some(&file("somebody's")));
    }

    #[test]
    fn what_can_not_be_undone_is_said() {
        let packages = BTreeSet::from([PackageName::new("tree").unwrap()]);
        let steps = kept(&[step(InstallPackages { packages, recommends: false })]);
        let plan = plan(&tasks("0", steps), &machine("old"));
        assert_eq!(plan.tasks[0].shown.verdict, Verdict::Skipped);
        assert!(
            plan.tasks[0].shown.why.starts_with("can not be undone: install tree: "),
            "{}",
            plan.tasks[0].shown.why
        );
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let large = "x".repeat(ROOM);
        let kind = Kind::File { size: ROOM as u64, digest: Some(Digest::of(&large)), content: Some(large) };
        let mut before = machine("");
        before.set(File::at(&path()), FileState::Present { kind, mode: 0o644, owner: Owner::root() });
        let kept = KeptStep::of(&write("", "new"), &before, &machine("new")).unwrap();
        assert!(matches!(kept.back, Back::Stays(why) if why.contains("too large")));
    }
}
