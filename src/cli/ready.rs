//! `bedplate ready`: whether Kamal will work.

use super::arguments::{Output, Ready};
use super::{Failed, prepare, say};
use crate::base::Diagnostics;
use crate::base::Exit;
use crate::engine::Job;
use crate::engine::jobs::Jobs;
use crate::handoff::{self, App, Candidate};
use crate::inventory::deploy;
use crate::playbook::Disk;

/// Runs the command.
pub(super) fn run(command: &Ready, output: &Output) -> Result<Exit, Failed> {
    let mut selection = command.selection.clone();
    let inventory = selection.inventory.is_some() || std::path::Path::new(crate::engine::jobs::INVENTORY).exists();
    if inventory {
        // There it says which app is meant, and not which hosts.
        selection.destination = None;
    }
    super::runtime()?.block_on(async {
        let mut jobs = prepare::read(&selection).await?;
        let deploy = match jobs.read.deploy.take() {
            Some(deploy) => Some(deploy),
            None => beside(command, &jobs)?,
        };
        let app = App { deploy, folder: jobs.read.folder.clone() };
        let users: Vec<String> = jobs.settings.iter().map(|(host, _)| user(&jobs, &app, host.as_str())).collect();
        let groups: Vec<Vec<String>> = jobs.read.hosts.iter().map(|host| host.groups.clone()).collect();
        if selection.show_script {
            for (job, groups) in jobs.jobs.iter().zip(&groups) {
                let script = handoff::script(&app, groups);
                say(&format!("# {}: asks what Kamal's user finds; changes nothing\n{script}\n", job.target.name));
            }
            return Ok(Exit::Done);
        }
        let manner = prepare::Manner::look("ready");
        let work = |jobs: Vec<Job>, run| -> futures::future::BoxFuture<'static, Exit> {
            let people = users.into_iter().zip(groups);
            let candidates = jobs.into_iter().zip(people).map(|(job, (user, groups))| Candidate { job, user, groups });
            Box::pin(handoff::ready(candidates.collect(), app, run))
        };
        prepare::drawn(jobs, &selection, output, &manner, work).await
    })
}

/// Kamal's configuration beside another inventory. Errors: it can not be read.
fn beside(command: &Ready, jobs: &Jobs) -> Result<Option<deploy::Deploy>, Failed> {
    let mut found = Diagnostics::new();
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let disk = Disk::new(&jobs.read.folder);
    let deploy = deploy::load(&disk, command.selection.destination.as_deref(), &env, &mut found);
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
