//! The fold: tasks in order, each planned against the machine that the ones before it will have made.

use std::collections::BTreeSet;

use super::{Declaration, Segment, Task, segment};
use crate::action::Action;
use crate::base::event::{Finding, PlannedChange, TaskPlan, Verdict};
use crate::machine::{Blocked, Machine, Question, Unknown};
use crate::resource::{Declared, Plan};

/// What is to be done on one host, and what it will have become.
#[derive(Debug)]
pub struct HostPlan {
    /// Every task with what it came to, in order.
    pub tasks: Vec<PlannedTask>,
    /// What no task declares.
    pub findings: Vec<Finding>,
    /// The machine as it will be.
    pub predicted: Machine,
    /// Questions that must be asked before this plan is whole; the plan is of no use while there are any.
    pub needs: BTreeSet<Question>,
}

/// One task as planned.
#[derive(Debug)]
pub struct PlannedTask {
    /// How it is shown.
    pub shown: TaskPlan,
    /// Its actions.
    pub actions: Vec<Action>,
    /// The facts that it makes true.
    pub asserts: Vec<Question>,
}

/// One action of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Number of the task.
    pub task: usize,
    /// Name of the task.
    pub name: String,
    /// `playbook file:line` of the task.
    pub place: String,
    /// What to do.
    pub action: Action,
}

impl HostPlan {
    /// The steps that can be done now: those of the tasks before the first one that was put off or refused. An apply
    /// does them, looks again, and plans anew; so tasks never overtake one another.
    pub fn segments(&self) -> Vec<Segment> {
        let ready =
            self.tasks.iter().take_while(|task| !matches!(task.shown.verdict, Verdict::KnownLater | Verdict::Refused));
        let mut steps: Vec<Step> = Vec::new();
        for task in ready {
            for action in &task.actions {
                if let Some(last) = steps.last_mut()
                    && last.action.merge(action)
                {
                    continue;
                }
                steps.push(Step {
                    task: task.shown.task,
                    name: task.shown.name.clone(),
                    place: task.shown.place.clone(),
                    action: action.clone(),
                });
            }
        }
        segment::segments(steps)
    }

    /// Whether nothing is to be done and nothing is open.
    pub fn is_in_sync(&self) -> bool {
        self.tasks.iter().all(|task| matches!(task.shown.verdict, Verdict::InSync | Verdict::Skipped))
    }

    /// The first task that must not be done.
    pub fn refused(&self) -> Option<&PlannedTask> {
        self.tasks.iter().find(|task| task.shown.verdict == Verdict::Refused)
    }

    /// The first task that is only known after another.
    pub fn put_off(&self) -> Option<&PlannedTask> {
        self.tasks.iter().find(|task| task.shown.verdict == Verdict::KnownLater)
    }
}

/// Plans `tasks` on `machine`.
pub fn plan(tasks: &[Task], machine: &Machine) -> HostPlan {
    let mut fold = HostPlan {
        tasks: Vec::with_capacity(tasks.len()),
        findings: Vec::new(),
        predicted: machine.clone(),
        needs: BTreeSet::new(),
    };
    for task in tasks {
        let planned = fold.task(task);
        fold.tasks.push(planned);
    }
    fold
}

/// A task's declaration as it is for this machine.
enum Resolved<'a> {
    Here(&'a dyn Declared),
    Late(Box<dyn Declared>),
}

impl Resolved<'_> {
    fn resource(&self) -> &dyn Declared {
        match self {
            Resolved::Here(resource) => *resource,
            Resolved::Late(resource) => resource.as_ref(),
        }
    }
}

impl HostPlan {
    fn task(&mut self, task: &Task) -> PlannedTask {
        let mut shown = TaskPlan {
            task: task.number,
            name: task.name.clone(),
            resource: task.resource().to_owned(),
            place: task.place.clone(),
            verdict: Verdict::InSync,
            why: String::new(),
            help: None,
            changes: Vec::new(),
            guarded: false,
        };
        match self.applies(task) {
            Ok(true) => {}
            Ok(false) => {
                let condition = task.when.as_ref().map_or("", |when| when.text());
                shown.verdict = Verdict::Skipped;
                shown.why = format!("`{condition}` does not hold here");
                return PlannedTask { shown, actions: Vec::new(), asserts: Vec::new() };
            }
            // Whether it applies is open, so what it would make true is open too.
            Err(blocked) => return self.blocked(task, shown, blocked, Vec::new()),
        }
        let resolved = match &task.declaration {
            Declaration::Ready(resource) => Ok(Resolved::Here(resource.as_ref())),
            Declaration::Late(late) => late.resolve(&self.predicted).map(Resolved::Late),
        };
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err(blocked) => return self.blocked(task, shown, blocked, Vec::new()),
        };
        let resource = resolved.resource();
        let missing: Vec<Question> =
            resource.facts().into_iter().filter(|question| !self.predicted.has(question)).collect();
        let asserts = resource.asserts();
        if !missing.is_empty() {
            self.needs.extend(missing);
            shown.verdict = Verdict::KnownLater;
            return PlannedTask { shown, actions: Vec::new(), asserts };
        }
        match resource.plan(&self.predicted) {
            Ok(plan) => self.planned(shown, plan, asserts),
            Err(blocked) => self.blocked(task, shown, blocked, asserts),
        }
    }

    fn applies(&self, task: &Task) -> Result<bool, Blocked> {
        task.when.as_ref().map_or(Ok(true), |when| when.holds(&self.predicted))
    }

    fn planned(&mut self, mut shown: TaskPlan, plan: Plan, asserts: Vec<Question>) -> PlannedTask {
        let by = Unknown { task: shown.task, name: shown.name.clone() };
        shown.why = plan.why;
        shown.verdict = match (plan.skipped, plan.changes.is_empty()) {
            (true, _) => Verdict::Skipped,
            (false, true) => Verdict::InSync,
            (false, false) => Verdict::Change,
        };
        let mut actions = Vec::new();
        for change in plan.changes {
            for action in &change.actions {
                self.predicted.perform(&by, |machine| action.effect(machine));
                shown.guarded |= action.access().is_some();
            }
            actions.extend(change.actions);
            shown.changes.push(PlannedChange { summary: change.summary, diff: change.diff });
        }
        for finding in plan.findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        PlannedTask { shown, actions, asserts }
    }

    fn blocked(&mut self, task: &Task, mut shown: TaskPlan, blocked: Blocked, asserts: Vec<Question>) -> PlannedTask {
        match blocked {
            Blocked::Refused(refusal) => {
                shown.verdict = Verdict::Refused;
                shown.why = refusal.what;
                shown.help = refusal.help;
            }
            Blocked::Unknown(unknown) => {
                shown.verdict = Verdict::KnownLater;
                shown.why = format!("known after task {} ({})", unknown.task, unknown.name);
                self.put_off_facts(task, &asserts);
            }
            Blocked::NotAsked(question) => {
                shown.verdict = Verdict::KnownLater;
                self.needs.insert(question);
            }
        }
        PlannedTask { shown, actions: Vec::new(), asserts }
    }

    /// Nobody behind this task may take for granted what it would make true.
    fn put_off_facts(&mut self, task: &Task, asserts: &[Question]) {
        let by = Unknown { task: task.number, name: task.name.clone() };
        let of_ready = match &task.declaration {
            Declaration::Ready(resource) if asserts.is_empty() => resource.asserts(),
            _ => asserts.to_vec(),
        };
        self.predicted.perform(&by, |machine| {
            for question in &of_ready {
                machine.forget_question(question);
            }
        });
    }
}

/// Two tasks that want different things of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fight {
    /// The task that a second plan would change again.
    pub task: usize,
    /// A later task that touches what it asserts, where one was found.
    pub other: Option<usize>,
    /// What the second plan would do.
    pub changes: Vec<String>,
}

/// Plans a second time on what the first plan predicts. Every change that it finds is a fight between two tasks, found
/// before anything is touched.
pub fn fights(tasks: &[Task], first: &HostPlan) -> Vec<Fight> {
    let second = plan(tasks, &first.predicted);
    let mut fights = Vec::new();
    for task in second.tasks.iter().filter(|task| task.shown.verdict == Verdict::Change) {
        let touches = |other: &&PlannedTask| {
            other.shown.task != task.shown.task && other.asserts.iter().any(|question| task.asserts.contains(question))
        };
        fights.push(Fight {
            task: task.shown.task,
            other: first.tasks.iter().rev().find(touches).map(|other| other.shown.task),
            changes: task.shown.changes.iter().map(|change| change.summary.clone()).collect(),
        });
    }
    fights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::{AbsPath, PackageName, UnitName};
    use crate::machine::{FileState, Package, PackageState, System, Unit, UnitState};
    use crate::resource::{file, packages, service};

    fn task(number: usize, resource: impl Declared + 'static) -> Task {
        Task {
            number,
            name: format!("task {number}"),
            playbook: "test".into(),
            place: "test.toml:1".into(),
            declaration: Declaration::Ready(Box::new(resource)),
            when: None,
        }
    }

    fn install(name: &str) -> packages::Packages {
        packages::Packages { install: vec![PackageName::new(name).unwrap()], recommends: false }
    }

    fn run(unit: &str) -> service::Service {
        service::Service {
            unit: UnitName::new(unit).unwrap(),
            running: Some(true),
            enabled: Some(true),
            masked: false,
            restart_on: Vec::new(),
            reload_on: Vec::new(),
        }
    }

    fn write(path: &str, content: &str) -> file::File {
        file::File {
            path: AbsPath::new(path).unwrap(),
            content: Some(content.into()),
            mode: file::Mode(0o644),
            owner: "root".into(),
            group: "root".into(),
            secret: false,
            state: file::Presence::Present,
        }
    }

    /// A bare box that answers what `tasks` ask: nothing is installed, nothing runs, no file is there.
    fn bare(tasks: &[Task]) -> Machine {
        let mut machine = Machine::default();
        for question in tasks.iter().flat_map(Task::facts) {
            match question {
                Question::Package(package) => machine.set(package, PackageState::Absent),
                Question::File(file) => machine.set(file, FileState::Absent),
                Question::Unit(unit) => machine.set(unit, UnitState::absent()),
                other => panic!("a bare box has no answer to {other:?}"),
            }
        }
        machine
    }

    #[test]
    fn a_task_is_planned_on_what_the_one_before_will_have_made() {
        let tasks = [task(1, write("/etc/a", "x")), task(2, write("/etc/a", "x"))];
        let plan = plan(&tasks, &bare(&tasks));
        assert_eq!(plan.tasks[0].shown.verdict, Verdict::Change);
        assert_eq!(plan.tasks[1].shown.verdict, Verdict::InSync);
    }

    #[test]
    fn what_a_package_brings_is_known_later_and_never_taken_for_granted() {
        let tasks = [task(1, install("nginx")), task(2, run("nginx.service")), task(3, write("/etc/nginx/a", "x"))];
        let plan = plan(&tasks, &bare(&tasks));
        assert_eq!(plan.tasks[1].shown.verdict, Verdict::KnownLater);
        assert_eq!(plan.tasks[1].shown.why, "known after task 1 (task 1)");
        assert_eq!(plan.tasks[2].shown.verdict, Verdict::KnownLater);
        let segments = plan.segments();
        assert!(
            matches!(segments.as_slice(), [Segment::Plain(steps)] if steps.len() == 1),
            "only what stands before the first unknown is done"
        );
    }

    #[test]
    fn what_the_table_knows_is_foretold() {
        let tasks = [task(1, install("openssh-server")), task(2, run("ssh.service"))];
        let mut machine = bare(&tasks);
        machine.set(System::Here, system());
        let plan = plan(&tasks, &machine);
        assert_eq!(plan.tasks[1].shown.verdict, Verdict::InSync);
        assert!(plan.predicted.known(&Package(PackageName::new("openssh-server").unwrap())).unwrap().is_installed());
        assert_eq!(plan.predicted.known(&Unit(UnitName::new("ssh.service").unwrap())), Some(&UnitState::running()));
    }

    fn system() -> crate::machine::SystemState {
        use crate::machine::{Fact as _, Fields};
        let body = b"debian\x0012\0bookworm\0amd64\x006.1\0box\0\x001000000\x000-1\x001\x000\x001\x000\0\0";
        System::parse(&[&System::Here], &mut Fields::new(body)).unwrap().remove(0)
    }

    #[test]
    fn neighbouring_installations_are_one_transaction() {
        let tasks = [task(1, install("curl")), task(2, install("sudo"))];
        let plan = plan(&tasks, &bare(&tasks));
        let segments = plan.segments();
        assert_eq!(segments[0].steps().len(), 1);
        assert_eq!(segments[0].steps()[0].action.summary(), "install curl, sudo");
    }

    #[test]
    fn tasks_that_fight_are_found_before_anything_is_touched() {
        let tasks = [task(1, write("/etc/a", "x")), task(2, write("/etc/a", "y"))];
        let first = plan(&tasks, &bare(&tasks));
        let fights = fights(&tasks, &first);
        assert_eq!((fights[0].task, fights[0].other), (1, Some(2)));
        let peaceful = [task(1, write("/etc/a", "x")), task(2, write("/etc/b", "y"))];
        let first = plan(&peaceful, &bare(&peaceful));
        assert_eq!(super::fights(&peaceful, &first), []);
    }

    #[test]
    fn a_question_that_was_not_asked_is_asked() {
        let tasks = [task(1, install("curl"))];
        let plan = plan(&tasks, &Machine::default());
        assert_eq!(plan.needs.len(), 1);
    }
}
