//! From what the operator wrote to the jobs of a run: inventory, playbooks and `~/.ssh/config` read, compiled and
//! resolved. Every mistake of every file is found here, and nothing is contacted.

use std::path::{Path, PathBuf};

use super::Job;
use crate::base::name::HostName;
use crate::base::secret::Redactor;
use crate::base::{Diagnostic, Diagnostics, Source};
use crate::inventory::deploy::{self, Deploy};
use crate::inventory::{self, Host, Inventory, Shard};
use crate::plan;
use crate::playbook::scope::{ENVIRONMENT_PREFIX, Given};
use crate::playbook::setting::Setting;
use crate::playbook::{Choice, Disk, Local as _, Playbooks, Settings};
use crate::ssh::config::SshConfig;
use crate::ssh::{Become, Request, Target, public_keys, resolve};

/// The inventory's usual name.
pub const INVENTORY: &str = "bedplate.toml";

/// What a run is to be about.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Names of the inventory, or addresses; none means the whole inventory.
    pub hosts: Vec<String>,
    /// The inventory as it was named; [`INVENTORY`] of the present folder, if there is one, when absent.
    pub inventory: Option<PathBuf>,
    /// Kamal's destination, where its deploy.yml is the inventory.
    pub destination: Option<String>,
    /// Another host that is to be in the place of the one that `hosts` names: with its tasks, its variables and its way
    /// in, at another address.
    pub successor: Option<String>,
    /// Which of the hosts.
    pub limit: Vec<String>,
    /// Which share of those.
    pub shard: Option<Shard>,
    /// Private keys to try first.
    pub keys: Vec<String>,
    /// Variables, tags and the environment.
    pub settings: Settings,
}

/// The jobs of a run, and what was odd on the way to them.
#[derive(Debug)]
pub struct Jobs {
    /// One a host.
    pub jobs: Vec<Job>,
    /// Every secret that any task reads.
    pub secrets: Redactor,
    /// Warnings, to be shown.
    pub warnings: Diagnostics,
    /// What the playbooks are told on each host, for reports.
    pub settings: Vec<(HostName, Vec<Setting>)>,
    /// What was read, for those who need more of it than tasks.
    pub read: Read,
}

/// The files of a run as they were read.
#[derive(Debug)]
pub struct Read {
    /// The hosts of the run.
    pub hosts: Vec<Host>,
    /// The playbooks of the run.
    pub playbooks: Playbooks,
    /// Where paths in them are relative to.
    pub folder: PathBuf,
    /// Kamal's configuration, where it is the inventory.
    pub deploy: Option<Deploy>,
}

/// Reads and compiles all that a run needs. Errors: every mistake found, in the order of the files.
pub async fn jobs(wanted: &Wanted, config: &SshConfig) -> Result<Jobs, Diagnostics> {
    let mut found = Diagnostics::new();
    let folder = folder_of(wanted.inventory.as_deref());
    let disk = Disk::new(&folder);
    let mut inventory = read_inventory(wanted.inventory.as_deref(), &disk, &mut found);
    let deploy = match &inventory {
        None if wanted.inventory.is_none() => {
            read_deploy(wanted.destination.as_deref(), &disk, &wanted.settings, &mut found)
        }
        inventory => {
            if let (Some(inventory), Some(_)) = (inventory, &wanted.destination) {
                let message = format!(
                    "`--destination` is for Kamal's {}, and {} is the inventory",
                    deploy::FILE,
                    inventory.source.name
                );
                found.push(
                    Diagnostic::error(message).help("leave it out; choose hosts by their groups, or with `--limit`"),
                );
            }
            None
        }
    };
    let choice = inventory.as_ref().map_or(Choice::Folder, Inventory::choice);
    let playbooks = Playbooks::load(&disk, &choice, &mut found);
    if let Some(deploy) = &deploy {
        inventory = Some(inventory_of(deploy, wanted, &playbooks, &mut found));
    }
    let mut hosts = inventory::select(inventory.as_ref(), &wanted.hosts, &wanted.limit, &mut found);
    if let Some(shard) = wanted.shard {
        let all = hosts.len();
        hosts = shard.of(hosts);
        if hosts.is_empty() && all > 0 {
            found.push(Diagnostic::warning(format!("there is no host in the share {shard}: there are {all} in all")));
        }
    }
    if let Some(successor) = &wanted.successor {
        hosts = succeeded(inventory.as_ref(), hosts, successor, &mut found);
    }
    let mut targets = Vec::new();
    for host in &mut hosts {
        let target = target(host, wanted, config, &mut found);
        if let Some(target) = target.as_ref().filter(|target| target.user == "root") {
            host.operator_keys = public_keys(target).await;
        }
        targets.push(target);
    }
    let compiled = plan::compile(&playbooks, &hosts, &wanted.settings, &disk, &mut found);
    let mut secrets = Redactor::default();
    let mut jobs = Vec::new();
    let mut settings = Vec::new();
    for ((host, target), tasks) in hosts.iter().zip(targets).zip(compiled) {
        secrets.learn_all(&tasks.secrets);
        settings.push((host.name.clone(), tasks.settings.clone()));
        jobs.extend(target.map(|target| Job { target, tasks: tasks.tasks, playbooks: tasks.digest }));
    }
    if found.has_errors() {
        return Err(found);
    }
    Ok(Jobs { jobs, secrets, warnings: found, settings, read: Read { hosts, playbooks, folder, deploy } })
}

fn folder_of(inventory: Option<&Path>) -> PathBuf {
    let parent = inventory.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn read_inventory(named: Option<&Path>, disk: &Disk, found: &mut Diagnostics) -> Option<Inventory> {
    let shown = named.map_or_else(|| INVENTORY.to_owned(), |path| path.display().to_string());
    let file = named.map_or_else(|| Some(INVENTORY.into()), |path| path.file_name().map(|name| name.to_string_lossy()));
    let wrong = match file.map_or(Ok(None), |file| disk.read(&file)) {
        Ok(Some(text)) => return Some(inventory::read(&Source::new(&shown, text), found)),
        Ok(None) if named.is_none() => return None,
        Ok(None) => Diagnostic::error(format!("there is no inventory {shown}")),
        Err(why) => Diagnostic::error(format!("the inventory {shown} can not be read: {why}")),
    };
    found.push(wrong.help("look at the path after `--inventory`, or write one with `bedplate init`"));
    None
}

/// Kamal's configuration, which is the inventory where there is no other.
fn read_deploy(destination: Option<&str>, disk: &Disk, settings: &Settings, found: &mut Diagnostics) -> Option<Deploy> {
    let deploy = deploy::load(disk, destination, &settings.env, found);
    if let (None, Some(destination), false) = (&deploy, destination, found.has_errors()) {
        let wrong = Diagnostic::error(format!("there is no {} for the destination {destination}", deploy::FILE));
        found.push(wrong.help("run it in the folder of an app that Kamal deploys"));
    }
    deploy
}

/// `deploy` as an inventory, without what the playbooks of this folder do not know.
fn inventory_of(deploy: &Deploy, wanted: &Wanted, playbooks: &Playbooks, found: &mut Diagnostics) -> Inventory {
    let set = wanted.settings.set.iter().filter_map(|set| set.split('=').next()).map(str::to_owned);
    let said = set.chain(
        wanted.settings.env.keys().filter_map(|name| name.strip_prefix(ENVIRONMENT_PREFIX).map(str::to_lowercase)),
    );
    let mut inventory = deploy::inventory(deploy, &said.collect(), wanted.hosts.is_empty(), found);
    let declared = |given: &Given| playbooks.variables.contains_key(&given.name);
    inventory.variables.retain(declared);
    inventory.hosts.iter_mut().for_each(|host| host.variables.retain(declared));
    inventory
}

/// The host that `name` is, where the inventory knows it; else each of `hosts` at that address.
fn succeeded(inventory: Option<&Inventory>, hosts: Vec<Host>, name: &str, found: &mut Diagnostics) -> Vec<Host> {
    let mut own = inventory::select(inventory, &[name.to_owned()], &[], found);
    if own.iter().any(|host| host.place.is_some()) {
        return own;
    }
    let Some(bare) = own.pop() else { return Vec::new() };
    let at = |host: Host| Host {
        name: bare.name.clone(),
        address: bare.address.clone(),
        port: bare.port,
        user: inventory::Address::parse(name).ok().and_then(|address| address.user).or(host.user),
        // A provider shows each server's own.
        fingerprint: None,
        ..host
    };
    hosts.into_iter().map(at).collect()
}

fn target(host: &Host, wanted: &Wanted, config: &SshConfig, found: &mut Diagnostics) -> Option<Target> {
    let mut request = Request::new(host.name.clone());
    request.address = Some(host.address.clone());
    request.port = host.port;
    request.user.clone_from(&host.user);
    request.keys = wanted.keys.iter().chain(&host.keys).cloned().collect();
    request.fingerprint.clone_from(&host.fingerprint);
    request.jump.clone_from(&host.jump);
    request.become_root = if host.sudo == Some(false) { Become::Never } else { Become::Sudo };
    match resolve(&request, config) {
        Ok(resolved) => {
            resolved.warnings.into_iter().for_each(|warning| found.push(warning));
            Some(resolved.target)
        }
        Err(wrong) => {
            found.push(*wrong);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::config::Myself;

    fn none() -> SshConfig {
        SshConfig::none(Myself { user: "ann".into(), home: "/home/ann".into(), uid: 1000, host: "laptop".into() })
    }

    async fn in_folder(files: &[(&str, &str)], hosts: &[&str]) -> Result<Jobs, String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let wanted = Wanted {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            inventory: Some(folder.path().join(INVENTORY)),
            ..Wanted::default()
        };
        jobs(&wanted, &none()).await.map_err(|found| found.render(false))
    }

    #[tokio::test]
    async fn an_inventory_gives_its_hosts_their_own_way_in() {
        let text = "[hosts.web1]\naddress = \"::1\"\nport = 2222\nuser = \"ops\"\nsudo = false\n";
        let jobs = in_folder(&[(INVENTORY, text)], &[]).await.unwrap();
        let target = &jobs.jobs[0].target;
        assert_eq!((target.name.as_str(), target.address.as_str(), target.port), ("web1", "::1", 2222));
        assert_eq!((target.user.as_str(), target.become_root), ("ops", Become::Never));
        assert!(jobs.jobs[0].tasks.len() > 10, "the built-in playbooks are there");
    }

    #[tokio::test]
    async fn a_successor_has_the_tasks_of_the_host_before_it() {
        let text = "[hosts.web1]\naddress = \"192.0.2.1\"\nuser = \"ops\"\nport = 2222\n[hosts.web1.variables]\ntimezone = \"Asia/Tokyo\"\n\
                    [hosts.web2]\naddress = \"192.0.2.2\"\n";
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(INVENTORY), text).unwrap();
        let of = |successor: &str| Wanted {
            hosts: vec!["web1".into()],
            successor: Some(successor.into()),
            inventory: Some(folder.path().join(INVENTORY)),
            ..Wanted::default()
        };
        let zone = |jobs: &Jobs| jobs.settings[0].1.iter().find(|s| s.name == "timezone").map(|s| s.value.clone());
        let stranger = jobs(&of("192.0.2.9"), &none()).await.unwrap();
        let target = &stranger.jobs[0].target;
        assert_eq!((target.address.as_str(), target.port, target.user.as_str()), ("192.0.2.9", 22, "ops"));
        assert_eq!(zone(&stranger).as_deref(), Some("Asia/Tokyo"));
        let known = jobs(&of("web2"), &none()).await.unwrap();
        assert_eq!(known.jobs[0].target.address, "192.0.2.2");
        assert_ne!(zone(&known).as_deref(), Some("Asia/Tokyo"), "a host of the inventory has variables of its own");
    }

    #[tokio::test]
    async fn mistakes_in_different_files_are_told_together() {
        let wrong = in_folder(
            &[(INVENTORY, "[hosts.web1]\nadress = \"::1\"\n"), ("playbooks/10-own.toml", "[[task]]\nnme = \"x\"\n")],
            &[],
        );
        let told = wrong.await.unwrap_err();
        assert!(told.contains("adress") && told.contains("nme"), "{told}");
    }

    #[tokio::test]
    async fn an_inventory_that_was_named_must_be_there() {
        let told = in_folder(&[], &["root@::1"]).await.unwrap_err();
        assert!(told.contains("there is no inventory"), "{told}");
    }
}
