//! `bedplate ready`: whether Kamal will work.

use std::sync::{Arc, Mutex};

use super::arguments::{Output, Ready, Selection};
use super::{Failed, prepare, say};
use crate::base::Diagnostics;
use crate::base::Exit;
use crate::engine::Job;
use crate::engine::jobs::Jobs;
use crate::handoff::{self, App, Candidate, Gate};
use crate::inventory::deploy;
use crate::playbook::Disk;

/// Runs the command.
pub(super) fn run(command: &Ready, output: &Output) -> Result<Exit, Failed> {
    super::runtime()?.block_on(async {
        let asked = asked(&command.selection).await?;
        prepare::warn(&asked.warnings);
        if asked.selection.show_script {
            for (job, candidate) in asked.jobs.jobs.iter().zip(&asked.candidates) {
                let script = handoff::script(&asked.app, &candidate.groups);
                say(&format!("# {}: asks what Kamal's user finds; changes nothing\n{script}\n", job.target.name));
            }
            return Ok(Exit::Done);
        }
        Ok(gate(asked, output).await?.exit)
    })
}

/// Who is to be looked at, and for what app.
pub(super) struct Asked {
    pub(super) jobs: Jobs,
    pub(super) selection: Selection,
    pub(super) app: App,
    /// What is odd in the files, without what the gate tells.
    pub(super) warnings: Diagnostics,
    candidates: Vec<Login>,
}

impl Asked {
    /// Kamal's login on each host.
    pub(super) fn users(&self) -> Vec<String> {
        self.candidates.iter().map(|candidate| candidate.user.clone()).collect()
    }
}

/// Kamal's way in to a host.
struct Login {
    user: String,
    groups: Vec<String>,
}

/// Reads all that the gate is asked about. Errors: every mistake found.
pub(super) async fn asked(selection: &Selection) -> Result<Asked, Failed> {
    let (mut selection, destination) = (selection.clone(), selection.destination.clone());
    let inventory = selection.inventory.is_some() || std::path::Path::new(crate::engine::jobs::INVENTORY).exists();
    if inventory {
        // There it says which app is meant, and not which hosts.
        selection.destination = None;
    }
    let mut jobs = prepare::read_silently(&selection).await?;
    let deploy = match jobs.read.deploy.take() {
        Some(deploy) => Some(deploy),
        None => beside(destination.as_deref(), &jobs)?,
    };
    let mut warnings = Diagnostics::new();
    // What Kamal refuses is among the gate's own lines.
    let rejected = deploy.as_ref().map(deploy::rejected).unwrap_or_default();
    let others = jobs.warnings.iter().filter(|warning| !rejected.iter().any(|other| other == *warning));
    others.for_each(|warning| warnings.push(warning.clone()));
    let app = App { deploy, folder: jobs.read.folder.clone(), make_known: false };
    let users = jobs.settings.iter().map(|(host, _)| user(&jobs, &app, host.as_str()));
    let groups = jobs.read.hosts.iter().map(|host| host.groups.clone());
    let candidates = users.zip(groups).map(|(user, groups)| Login { user, groups }).collect();
    Ok(Asked { jobs, selection, app, candidates, warnings })
}

/// Looks, and draws it.
pub(super) async fn gate(asked: Asked, output: &Output) -> Result<Gate, Failed> {
    let Asked { jobs, selection, app, candidates, .. } = asked;
    let manner = prepare::Manner::look("ready");
    let seen = Arc::new(Mutex::new(None));
    let kept = seen.clone();
    let work = |jobs: Vec<Job>, run| -> futures::future::BoxFuture<'static, Exit> {
        let candidates = jobs.into_iter().zip(candidates);
        let candidates = candidates.map(|(job, Login { user, groups })| Candidate { job, user, groups }).collect();
        Box::pin(async move {
            let gate = handoff::ready(candidates, app, run).await;
            if let Ok(mut kept) = kept.lock() {
                *kept = Some(gate);
            }
            gate.exit
        })
    };
    let exit = prepare::drawn(jobs, &selection, output, &manner, work).await?;
    let gate = seen.lock().ok().and_then(|gate| *gate);
    Ok(gate.unwrap_or(Gate { exit, deployed: false }))
}

/// Kamal's configuration beside another inventory. Errors: it can not be read.
fn beside(destination: Option<&str>, jobs: &Jobs) -> Result<Option<deploy::Deploy>, Failed> {
    let mut found = Diagnostics::new();
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let disk = Disk::new(&jobs.read.folder);
    let deploy = deploy::load(&disk, destination, &env, &mut found);
    if found.has_errors() { Err(found.into()) } else { Ok(deploy) }
}

/// Kamal's login on a host: what deploy.yml says, or else the user that the playbooks make for it.
fn user(jobs: &Jobs, app: &App, host: &str) -> String {
    let said = app.deploy.as_ref().and_then(|deploy| deploy.user());
    let settings = jobs.settings.iter().find(|(name, _)| name.as_str() == host).map(|(_, settings)| settings);
    let made = settings.into_iter().flatten().find(|setting| setting.name == "deploy_user").map(|s| s.value.as_str());
    let made = made.filter(|user| !["empty", "not set", "not shown"].contains(user));
    said.or(made).unwrap_or("root").to_owned()
}
