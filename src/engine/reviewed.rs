//! Reviewed plans: what a check has planned, saved to be looked at and agreed on, and held against what an apply would
//! do later.
//!
//! The file is evidence and never an instruction. An apply plans anew, from the playbooks as they are and from what the
//! hosts answer; it goes on only where that is what the file says, and on all hosts or on none. So a file that somebody
//! has edited can stop a run, and can not lead it anywhere.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::host::{Stop, Work};
use super::{Job, steps};
use crate::base::event::{EventKind, Finding, TaskPlan, Verdict};
use crate::base::name::HostName;
use crate::base::{Digest, Exit};
use crate::plan::HostPlan;

/// The version of [`SavedPlan`].
pub const PLAN_VERSION: u32 = 1;

/// A plan of one or more hosts. Secrets are in it as they are in what a check shows: not at all, or as digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// [`PLAN_VERSION`].
    pub v: u32,
    /// The version of bedplate that planned it.
    pub bedplate: String,
    /// When, RFC 3339 in UTC.
    pub made: String,
    /// Who: `ann@laptop`.
    pub by: String,
    /// What followed `check`, without secrets.
    pub arguments: Vec<String>,
    /// The hosts, in the order of the run.
    pub hosts: Vec<SavedHost>,
}

/// The plan of one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedHost {
    /// Its name.
    pub host: HostName,
    /// How it is reached: `user@address:port`.
    pub login: String,
    /// Digest of the tasks as rendered for it: of playbooks, templates, variables and tags.
    pub playbooks: Digest,
    /// Digest of what would be sent to it, and of the states of files, rules and devices that this was planned on.
    pub actions: Digest,
    /// Every task with what it came to, as the check showed it.
    pub tasks: Vec<TaskPlan>,
    /// What no task declares, as the check showed it.
    pub findings: Vec<Finding>,
}

/// What a run has to do with a saved plan.
#[derive(Debug, Clone, Default)]
pub enum Review {
    /// Nothing.
    #[default]
    None,
    /// It gathers one, host by host.
    Gather(Sheet),
    /// It does what this one says, or nothing.
    Hold(Arc<SavedPlan>),
}

/// The hosts' plans as they come in.
#[derive(Debug, Clone, Default)]
pub struct Sheet(Arc<Mutex<Vec<SavedHost>>>);

impl Sheet {
    /// Adds the plan of a host.
    pub(super) fn add(&self, job: &Job, plan: &HostPlan) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(SavedHost::of(job, plan));
    }

    /// The plans that came in, in the order of `jobs`. `None` when one of them has none.
    pub fn hosts<'a>(&self, jobs: impl IntoIterator<Item = &'a HostName>) -> Option<Vec<SavedHost>> {
        let gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.into_iter().map(|name| gathered.iter().find(|host| host.host == *name).cloned()).collect()
    }
}

/// Why a saved plan can not be used for a run, before anything is contacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// A lower-case phrase.
    pub what: String,
    /// One thing to do.
    pub help: &'static str,
}

/// What to do about most of it.
const ANEW: &str = "look at it again: save a new plan with `bedplate check --save FILE`";

impl SavedPlan {
    /// Reads a file. Errors: why it is no plan that this version can hold to.
    pub fn read(text: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match value.get("v").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(PLAN_VERSION) => {}
            Some(version) => return Err(format!("it has version {version}, and this bedplate knows {PLAN_VERSION}")),
            None => return Err("it has no version `v`".into()),
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// The plan of a host.
    pub fn host(&self, name: &HostName) -> Option<&SavedHost> {
        self.hosts.iter().find(|host| host.host == *name)
    }

    /// Whether the files and the command line still are what the plan was made of. `narrowed`: hosts were named, so that
    /// the run may be about fewer. Errors: the first thing that is not.
    pub fn fits(&self, jobs: &[Job], version: &str, narrowed: bool) -> Result<(), Misfit> {
        let misfit = |what: String, help| Err(Misfit { what, help });
        if self.bedplate != version {
            return misfit(format!("it was made by bedplate {}, and this is {version}", self.bedplate), ANEW);
        }
        for job in jobs {
            let name = &job.target.name;
            let Some(host) = self.host(name) else {
                return misfit(
                    format!("it does not say what to do on {name}"),
                    "name the hosts that the plan is about",
                );
            };
            if host.login != job.target.place() {
                let what = format!("it is about {name} as {}, which now is {}", host.login, job.target.place());
                return misfit(what, ANEW);
            }
            if host.playbooks != job.playbooks {
                let what = format!("the tasks of {name} are not those that it was made of");
                return misfit(
                    what,
                    "a playbook, a template, a variable or `--tags` is another one now: put it back, or save a new plan \
                     with `bedplate check --save FILE`",
                );
            }
        }
        let missing = self.hosts.iter().find(|host| !jobs.iter().any(|job| job.target.name == host.host));
        match missing.filter(|_| !narrowed) {
            Some(host) => misfit(format!("it is also about {}, which is not in this run", host.host), ANEW),
            None => Ok(()),
        }
    }
}

impl SavedHost {
    fn of(job: &Job, plan: &HostPlan) -> Self {
        Self {
            host: job.target.name.clone(),
            login: job.target.place(),
            playbooks: job.playbooks.clone(),
            actions: actions(plan),
            tasks: plan.tasks.iter().map(|task| task.shown.clone()).collect(),
            findings: plan.findings.clone(),
        }
    }

    /// What an apply would do otherwise than this says, a phrase each; none when it is the same.
    pub(super) fn moved(&self, plan: &HostPlan) -> Vec<String> {
        let now: Vec<&TaskPlan> = plan.tasks.iter().map(|task| &task.shown).collect();
        if now.len() != self.tasks.len() {
            return vec![format!("it has {} tasks in place of {}", now.len(), self.tasks.len())];
        }
        let mut moved: Vec<String> =
            self.tasks.iter().zip(now).filter_map(|(saved, now)| difference(saved, now)).collect();
        if moved.is_empty() && self.actions != actions(plan) {
            moved.push("what it would be sent, or what that was planned on, is not the same".into());
        }
        moved
    }
}

impl Work<'_> {
    /// What would be done must be what a saved plan says, where the run is held to one.
    pub(super) fn as_reviewed(&self, plan: &HostPlan) -> Result<(), Stop> {
        let Review::Hold(saved) = &self.run.review else { return Ok(()) };
        let Some(host) = saved.host(&self.job.target.name) else {
            return Err(Stop::new(Exit::BadInput, "the saved plan does not say what to do on this host", None)
                .before_any_change());
        };
        let moved = host.moved(plan);
        let Some(first) = moved.first() else { return Ok(()) };
        let more = match moved.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let what = format!("the host has moved on since the plan was saved: {first}{more}");
        let help = "look at it again: save a new plan with `bedplate check --save FILE`";
        Err(Stop::new(Exit::BadInput, what, Some(help.into())).before_any_change())
    }

    /// What only the first round made known was not reviewed, and is not done.
    pub(super) async fn beyond_review(&self, plan: &HostPlan) -> Exit {
        let open = plan.tasks.iter().filter(|task| !matches!(task.shown.verdict, Verdict::InSync | Verdict::Skipped));
        let names: Vec<String> = open.map(|task| format!("`{}`", task.shown.name)).collect();
        let text = format!(
            "what the saved plan says is done; what was not known when it was saved is not: {}. Save a new plan for that",
            names.join(", ")
        );
        self.teller.tell(EventKind::Note { text }).await;
        Exit::Drift
    }
}

/// Digest of what would be sent to a host. Calls hold the states that they were planned on; secrets are left out.
fn actions(plan: &HostPlan) -> Digest {
    let scripts: Vec<String> = plan.segments().iter().map(|segment| steps::batch(segment.steps()).show()).collect();
    Digest::of(scripts.join("\n"))
}

/// How a task has become another one than was reviewed. What is in sync may be so for another reason.
fn difference(saved: &TaskPlan, now: &TaskPlan) -> Option<String> {
    let task = format!("task {} `{}`", now.task, now.name);
    if (saved.task, &saved.name, &saved.resource) != (now.task, &now.name, &now.resource) {
        return Some(format!("{task} is in the place of `{}`", saved.name));
    }
    if saved.verdict != now.verdict {
        return Some(format!("{task} was {} and now is {}", word(saved.verdict), word(now.verdict)));
    }
    let quiet = matches!(now.verdict, Verdict::InSync | Verdict::Skipped);
    let same = (&saved.changes, saved.guarded) == (&now.changes, now.guarded) && (quiet || saved.why == now.why);
    (!same).then(|| {
        let summaries =
            |task: &TaskPlan| task.changes.iter().map(|c| c.summary.as_str()).collect::<Vec<_>>().join(", ");
        let (before, after) = (summaries(saved), summaries(now));
        if before == after {
            format!("{task} would {after}, but from or to something else")
        } else {
            format!("{task} was to {before} and now would {after}")
        }
    })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::InSync => "in sync",
        Verdict::Change => "to change",
        Verdict::KnownLater => "known later",
        Verdict::Skipped => "skipped",
        Verdict::Refused => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Diagnostics;
    use crate::inventory;
    use crate::machine::{File, FileState, Machine};
    use crate::plan;
    use crate::playbook::{Memory, Playbooks, Settings};
    use crate::ssh::config::{Myself, SshConfig};
    use crate::ssh::{Request, resolve};

    const HASH: &str =
        "$6$saltsalt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    /// The built-in playbooks for a host, with these settings.
    fn job(set: &[&str]) -> Job {
        let mut found = Diagnostics::new();
        let playbooks = Playbooks::builtin(&mut found);
        let hosts = inventory::select(None, &["root@203.0.113.5".into()], &[], &mut found);
        let settings = Settings { set: set.iter().map(|set| (*set).to_owned()).collect(), ..Settings::default() };
        let compiled = plan::compile(&playbooks, &hosts, &settings, &Memory::default(), &mut found).remove(0);
        assert!(found.is_empty(), "{}", found.render(false));
        let me = Myself { user: "ann".into(), home: "/home/ann".into(), uid: 1000, host: "laptop".into() };
        let mut request = Request::new(HostName::new("203.0.113.5").unwrap());
        request.user = Some("root".into());
        let target = resolve(&request, &SshConfig::none(me)).unwrap().target;
        Job { target, tasks: compiled.tasks, playbooks: compiled.digest }
    }

    /// What a fresh Debian 12 answered.
    fn bare() -> Machine {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/debian-12.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn saved(job: &Job, machine: &Machine) -> SavedPlan {
        SavedPlan {
            v: PLAN_VERSION,
            bedplate: "1".into(),
            made: "2026-01-02T03:04:05Z".into(),
            by: "ann@laptop".into(),
            arguments: Vec::new(),
            hosts: vec![SavedHost::of(job, &plan::plan(&job.tasks, machine))],
        }
    }

    #[test]
    fn a_plan_that_is_saved_and_read_is_the_same_and_holds_no_secret() {
        let job = job(&["admin_user=alice", &format!("admin_password={HASH}")]);
        let saved = saved(&job, &bare());
        let text = serde_json::to_string_pretty(&saved).unwrap();
        assert!(text.contains("make /swapfile") && text.contains("user alice"));
        assert!(!text.contains("aaaaaaaa"), "the password's hash is in it");
        let read = SavedPlan::read(&text).unwrap();
        assert_eq!(read, saved);
        assert_eq!(read.fits(&[job], "1", false), Ok(()));
    }

    #[test]
    fn the_same_host_with_other_readings_is_as_it_was() {
        let job = job(&[]);
        let saved = saved(&job, &bare());
        let mut later = bare();
        let names: Vec<_> = later.all::<crate::machine::FileSystem>().map(|(name, _)| name.clone()).collect();
        for name in names {
            later.update(&name, |state| state.available_kib = crate::machine::Volatile::new(7_777_777));
        }
        assert_eq!(saved.hosts[0].moved(&plan::plan(&job.tasks, &later)), [""; 0]);
    }

    #[test]
    fn a_host_that_has_moved_on_is_told_by_task() {
        let job = job(&[]);
        let saved = saved(&job, &bare());
        let file = "/etc/security/limits.d/60-bedplate-core.conf";
        let path = crate::base::name::AbsPath::new(file).unwrap();
        let mut there = bare();
        there.set(File::at(&path), FileState::text("* hard core 1\n", 0o644, crate::machine::file::Owner::root()));
        let moved = saved.hosts[0].moved(&plan::plan(&job.tasks, &there));
        assert_eq!(moved.len(), 1, "{moved:?}");
        assert!(moved[0].contains("`no core dumps of logins` would write") && moved[0].contains("something else"));
        let after = plan::plan(&job.tasks, &bare()).predicted;
        let moved = saved.hosts[0].moved(&plan::plan(&job.tasks, &after));
        assert!(moved.iter().any(|what| what.contains("`swap file` was to change and now is in sync")), "{moved:?}");
    }

    #[test]
    fn a_file_that_somebody_edited_leads_nowhere() {
        let job = job(&[]);
        let now = plan::plan(&job.tasks, &bare());
        type Edit = fn(&mut SavedHost);
        let edits: [Edit; 5] = [
            |host| host.tasks[3].verdict = Verdict::InSync,
            |host| drop(host.tasks.pop()),
            |host| host.tasks.iter_mut().for_each(|task| task.changes.clear()),
            |host| host.tasks[1].name = "another".into(),
            |host| host.actions = Digest::of("something else"),
        ];
        for (number, edit) in edits.into_iter().enumerate() {
            let mut host = saved(&job, &bare()).hosts.remove(0);
            assert_eq!(host.moved(&now), [""; 0]);
            edit(&mut host);
            assert_ne!(host.moved(&now), [""; 0], "edit {number} is not seen");
        }
    }

    #[test]
    fn what_has_changed_on_this_side_is_told_before_anything_is_contacted() {
        let first = job(&[]);
        let plan = saved(&first, &bare());
        let told = |jobs: &[Job], plan: &SavedPlan, narrowed| plan.fits(jobs, "1", narrowed).unwrap_err().what;
        let other = job(&["timezone=Europe/Berlin"]);
        assert!(told(&[other], &plan, false).contains("the tasks of 203.0.113.5 are not those"));
        assert!(plan.fits(&[job(&[])], "2", false).unwrap_err().what.contains("made by bedplate 1, and this is 2"));
        let mut moved = job(&[]);
        moved.target.port = 2222;
        assert!(told(&[moved], &plan, false).contains("root@203.0.113.5, which now is root@203.0.113.5:2222"));
        let mut more = plan.clone();
        more.hosts.push(SavedHost { host: HostName::new("web2").unwrap(), ..plan.hosts[0].clone() });
        assert!(told(&[job(&[])], &more, false).contains("also about web2"));
        assert_eq!(more.fits(&[job(&[])], "1", true), Ok(()), "one of its hosts may be named");
        let mut none = plan;
        none.hosts.clear();
        assert!(told(&[job(&[])], &none, true).contains("does not say what to do on 203.0.113.5"));
    }

    #[test]
    fn what_is_no_plan_is_not_read() {
        assert!(SavedPlan::read("{}").unwrap_err().contains("no version"));
        assert!(SavedPlan::read("{\"v\":2}").unwrap_err().contains("version 2"));
        assert!(SavedPlan::read("{\"v\":1,\"hosts\":[],\"run\":\"rm\"}").is_err());
        assert!(SavedPlan::read("[").is_err());
    }
}
