//! Runs as the engine tells them, for the tests of this room.

use crate::base::event::{Event, EventKind, Failure, Finding, PlannedChange, SCHEMA, Tally, TaskPlan, Verdict};
use crate::base::name::HostName;
use crate::base::{Diff, Digest, Exit};

pub(super) fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

pub(super) fn at(ms: u64, name: &str, kind: EventKind) -> Event {
    let host = (!name.is_empty()).then(|| host(name));
    Event { v: SCHEMA, ms, host, kind }
}

pub(super) fn started(command: &str, arguments: &[&str], hosts: &[&str]) -> Event {
    let kind = EventKind::RunStarted {
        command: command.into(),
        arguments: arguments.iter().map(|a| (*a).into()).collect(),
        version: "0.1.0".into(),
        hosts: hosts.iter().map(|name| host(name)).collect(),
    };
    at(0, "", kind)
}

pub(super) fn task(task: usize, name: &str, resource: &str, verdict: Verdict) -> TaskPlan {
    TaskPlan {
        task,
        name: name.into(),
        resource: resource.into(),
        place: format!("playbooks/base.toml:{}", task * 7 + 5),
        verdict,
        why: String::new(),
        help: None,
        changes: Vec::new(),
        guarded: false,
    }
}

fn because(mut task: TaskPlan, why: &str) -> TaskPlan {
    task.why = why.into();
    task
}

fn changing(mut task: TaskPlan, changes: Vec<(&str, Option<Diff>)>) -> TaskPlan {
    task.changes = changes.into_iter().map(|(s, diff)| PlannedChange { summary: s.into(), diff }).collect();
    task
}

const FSTAB: &str = "# /etc/fstab: static file system information.\nUUID=4c1f-9a / ext4 errors=remount-ro 0 1\n\
                     UUID=77ab-02 /boot ext4 defaults 0 2\n";

/// A plan with every sort of task in it.
pub(super) fn tasks() -> Vec<TaskPlan> {
    let sshd = "# Managed by bedplate.\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n";
    vec![
        because(
            task(1, "the clock is kept right", "service", Verdict::InSync),
            "systemd-timesyncd.service is enabled and active",
        ),
        changing(
            task(2, "a swap file of 2 GiB", "swap", Verdict::Change),
            vec![
                ("make the swap file /swapfile of 2 GiB", None),
                (
                    "write /etc/fstab",
                    Some(Diff::Text {
                        path: "/etc/fstab".into(),
                        before: Some(FSTAB.into()),
                        after: Some(format!("{FSTAB}/swapfile none swap sw 0 0\n")),
                    }),
                ),
            ],
        ),
        changing(
            task(3, "Docker from the distribution", "packages", Verdict::Change),
            vec![(
                "install docker.io",
                Some(Diff::Set { what: "packages".into(), minus: vec![], plus: vec!["docker.io".into()] }),
            )],
        ),
        changing(
            task(4, "the kernel swaps late", "sysctl", Verdict::Change),
            vec![("set vm.swappiness", Some(Diff::value("vm.swappiness", "60", "10")))],
        ),
        changing(
            task(5, "a user that deploys", "user", Verdict::Change),
            vec![
                ("add the user deploy", None),
                (
                    "set the password of deploy",
                    Some(Diff::Opaque { what: "password".into(), before: None, after: Some(Digest::of("x")) }),
                ),
            ],
        ),
        TaskPlan {
            guarded: true,
            ..changing(
                task(6, "sshd lets in keys only", "sshd", Verdict::Change),
                vec![
                    (
                        "write /etc/ssh/sshd_config.d/00-bedplate.conf",
                        Some(Diff::Text {
                            path: "/etc/ssh/sshd_config.d/00-bedplate.conf".into(),
                            before: None,
                            after: Some(sshd.into()),
                        }),
                    ),
                    ("reload ssh.service", None),
                ],
            )
        },
        because(
            task(7, "Docker keeps its logs small", "file", Verdict::KnownLater),
            "known after task 3 (Docker from the distribution)",
        ),
        because(task(8, "transparent huge pages", "sysctl", Verdict::Skipped), "the host is a container"),
        TaskPlan {
            help: Some("name another device, or empty /dev/sdb yourself".into()),
            ..because(
                task(9, "a volume for the database", "volume", Verdict::Refused),
                "/dev/sdb holds an ext4 file system with data",
            )
        },
    ]
}

pub(super) fn finding() -> Finding {
    Finding {
        id: "foreign-ufw-rule".into(),
        what: "port 8080/tcp is open to everyone, and no task says so".into(),
        help: Some("add it to `allow`, or close it with `ufw delete allow 8080/tcp`".into()),
    }
}

pub(super) fn tally_of(tasks: &[TaskPlan], findings: usize) -> Tally {
    let mut tally = Tally { findings, ..Tally::default() };
    tasks.iter().for_each(|task| tally.count(task.verdict));
    tally
}

/// Connecting to `name` and asking it, from `ms` on.
pub(super) fn asked(ms: u64, name: &str) -> Vec<Event> {
    let system = "Debian 12 (bookworm) amd64".into();
    vec![
        at(ms, name, EventKind::HostConnecting { address: "root@203.0.113.5:22".into() }),
        at(ms + 310, name, EventKind::HostConnected { user: "root".into(), took_ms: 310 }),
        at(ms + 740, name, EventKind::ProbeFinished { system, facts: 84, took_ms: 430 }),
    ]
}

/// A check of one host that `tasks` and `findings` came to.
pub(super) fn check(tasks: Vec<TaskPlan>, findings: Vec<Finding>) -> Vec<Event> {
    let tally = tally_of(&tasks, findings.len());
    let exit = match tally {
        Tally { refused: 1.., .. } => Exit::HostFailed,
        Tally { changed: 1.., .. } => Exit::Drift,
        _ => Exit::Done,
    };
    let mut events = vec![started("check", &["root@203.0.113.5"], &["web1"])];
    events.extend(asked(2, "web1"));
    events.push(at(750, "web1", EventKind::Planned { tasks, findings }));
    events.push(at(760, "web1", EventKind::HostFinished { tally, exit }));
    events.push(at(761, "", EventKind::RunFinished { tally, exit }));
    events
}

fn action(ms: u64, task: usize, name: &str, action: &str, step: usize, took_ms: u64) -> [Event; 2] {
    let started = EventKind::ActionStarted { task, name: name.into(), action: action.into(), step, steps: 3 };
    let finished = EventKind::ActionFinished { task, action: action.into(), took_ms };
    [at(ms, "web1", started), at(ms + took_ms, "web1", finished)]
}

fn apply_up_to_the_guard() -> Vec<Event> {
    let tasks: Vec<TaskPlan> = tasks().into_iter().filter(|t| matches!(t.task, 1 | 3 | 6)).collect();
    let mut events = vec![started("apply", &["root@203.0.113.5"], &["web1"])];
    events.extend(asked(2, "web1"));
    events.push(at(750, "web1", EventKind::Planned { tasks, findings: vec![] }));
    let [begin, end] = action(800, 3, "Docker from the distribution", "install docker.io", 1, 14_210);
    let line = "Unpacking docker.io (26.1.5) …".into();
    events.extend([begin, at(9_000, "web1", EventKind::Output { line }), end]);
    let covers = vec!["sshd".into()];
    events.push(at(15_020, "web1", EventKind::GuardArmed { window_s: 90, covers }));
    let file = "write /etc/ssh/sshd_config.d/00-bedplate.conf";
    events.extend(action(15_030, 6, "sshd lets in keys only", file, 2, 12));
    events.extend(action(15_050, 6, "sshd lets in keys only", "reload ssh.service", 3, 140));
    events
}

fn ended(events: &mut Vec<Event>, ms: u64, tally: Tally, exit: Exit) {
    events.push(at(ms, "web1", EventKind::HostFinished { tally, exit }));
    events.push(at(ms + 1, "", EventKind::RunFinished { tally, exit }));
}

/// An apply that installs, hardens sshd under the guard, is confirmed and holds.
pub(super) fn apply_with_guard() -> Vec<Event> {
    let mut events = apply_up_to_the_guard();
    let login = "root@203.0.113.5:22".into();
    events.push(at(15_600, "web1", EventKind::GuardConfirmed { login, took_ms: 580 }));
    events.push(at(16_100, "web1", EventKind::Verified { differs: vec![], took_ms: 480 }));
    ended(&mut events, 16_110, Tally { in_sync: 1, changed: 2, ..Tally::default() }, Exit::Done);
    events
}

/// The same, but nobody can log in any more.
pub(super) fn apply_restored() -> Vec<Event> {
    let mut events = apply_up_to_the_guard();
    let restored = vec!["/etc/ssh/sshd_config.d/00-bedplate.conf".into(), "ssh.service".into()];
    let cause = "no new login came in within 90 s: connection refused on port 22".to_owned();
    events.push(at(
        105_100,
        "web1",
        EventKind::GuardRestored { restored, cause: cause.clone(), left: vec![], forced: vec![] },
    ));
    let failure = Failure {
        what: "no answer on port 22 after sshd was reloaded; the guard put the old configuration back".into(),
        place: Some("playbooks/base.toml:47".into()),
        said: vec![],
        state: Some("sshd is as before task 6; task 3 stays applied".into()),
        help: Some("see `journalctl -u ssh` on web1, then run `bedplate check web1`".into()),
    };
    events.push(at(105_200, "web1", EventKind::HostFailed(failure)));
    ended(&mut events, 105_300, Tally { in_sync: 1, changed: 1, failed: 1, ..Tally::default() }, Exit::GuardRestored);
    events
}

/// An apply that fails at apt.
pub(super) fn apply_failing() -> Vec<Event> {
    let mut events: Vec<Event> = apply_up_to_the_guard().into_iter().take(6).collect();
    let failure = Failure {
        what: "task 3 `Docker from the distribution` failed: `apt-get install` ended with status 100".into(),
        place: Some("playbooks/base.toml:26".into()),
        said: vec![
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)".into(),
            "E: Unable to acquire the dpkg frontend lock".into(),
        ],
        state: Some("nothing was changed; tasks 3 to 9 were not begun".into()),
        help: Some("wait for unattended-upgrades, then run `bedplate apply` again".into()),
    };
    events.push(at(12_400, "web1", EventKind::HostFailed(failure)));
    ended(&mut events, 12_410, Tally { in_sync: 1, failed: 1, ..Tally::default() }, Exit::HostFailed);
    events
}

/// A check of twenty hosts: most drift alike, three are in sync, one drifts alone, one does not answer.
pub(super) fn check_twenty() -> Vec<Event> {
    let names: Vec<String> = (1..=20).map(|n| format!("web{n}")).collect();
    let mut events = vec![started("check", &[], &names.iter().map(String::as_str).collect::<Vec<_>>())];
    // They begin and end in another order than they are listed in.
    for (at_, name) in names.iter().enumerate().rev() {
        events.extend(asked(at_ as u64 * 30, name).into_iter().take(if at_ == 6 { 1 } else { 3 }));
    }
    let all = tasks();
    let mut sum = Tally::default();
    for (index, name) in names.iter().enumerate().rev() {
        let ms = 900 + index as u64 * 40;
        if index == 6 {
            let failure = Failure {
                what: "no answer on port 22 within 10 s".into(),
                state: Some("nothing was changed".into()),
                help: Some("see whether web7 is up: `ssh root@web7`".into()),
                ..Failure::default()
            };
            events.push(at(10_100, name, EventKind::HostFailed(failure)));
            events.push(at(10_101, name, EventKind::HostFinished { tally: Tally::default(), exit: Exit::Unreachable }));
            continue;
        }
        let chosen: &[usize] = match index {
            1 | 4 | 9 => &[0, 7],
            12 => &[0, 1, 3],
            _ => &[0, 3, 5],
        };
        let tasks: Vec<TaskPlan> = chosen.iter().map(|at| all[*at].clone()).collect();
        let findings = if index == 12 { vec![finding()] } else { vec![] };
        let tally = tally_of(&tasks, findings.len());
        let exit = if tally.changed > 0 { Exit::Drift } else { Exit::Done };
        events.push(at(ms, name, EventKind::Planned { tasks, findings }));
        events.push(at(ms + 5, name, EventKind::HostFinished { tally, exit }));
        sum = sum.plus(tally);
    }
    events.push(at(10_110, "", EventKind::RunFinished { tally: sum, exit: Exit::Unreachable }));
    events
}

/// A check of forty hosts that was told to stop at the first failure: most are in sync, three drift alike, one does not
/// answer, and ten are left.
pub(super) fn check_forty_stopped() -> Vec<Event> {
    let names: Vec<String> = (1..=40).map(|n| format!("web{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut events = vec![started("check", &["--max-failures", "1"], &names)];
    let all = tasks();
    let mut sum = Tally::default();
    for (index, name) in names.iter().enumerate() {
        let ms = 100 + index as u64 * 40;
        if index >= 30 {
            let why = "1 host failed, and no further one is begun then (--max-failures 1)".to_owned();
            events.push(at(1500, name, EventKind::HostNotBegun { why }));
            continue;
        }
        events.extend(asked(ms, name));
        if index == 20 {
            let what = "no answer on port 22 within 10 s".into();
            events.push(at(ms, name, EventKind::HostFailed(Failure { what, ..Failure::default() })));
            let tally = Tally { failed: 1, ..Tally::default() };
            events.push(at(ms, name, EventKind::HostFinished { tally, exit: Exit::Unreachable }));
            continue;
        }
        let chosen: &[usize] = if [3, 17, 29].contains(&index) { &[3, 7] } else { &[7] };
        let tasks: Vec<TaskPlan> = chosen.iter().map(|at| all[*at].clone()).collect();
        let tally = tally_of(&tasks, 0);
        let exit = if tally.changed > 0 { Exit::Drift } else { Exit::Done };
        events.push(at(ms + 30, name, EventKind::Planned { tasks, findings: Vec::new() }));
        events.push(at(ms + 35, name, EventKind::HostFinished { tally, exit }));
        sum = sum.plus(tally);
    }
    events.push(at(1510, "", EventKind::RunFinished { tally: sum, exit: Exit::Unreachable }));
    events
}

/// Each of them.
pub(super) fn all() -> Vec<Vec<Event>> {
    vec![
        check(tasks(), vec![finding()]),
        check(vec![tasks().swap_remove(0)], vec![]),
        apply_with_guard(),
        apply_restored(),
        apply_failing(),
        check_twenty(),
        check_forty_stopped(),
    ]
}
