//! The gate before a deploy: a new login as Kamal makes it, and everything that Kamal needs, looked at and judged; and the
//! deployer's command behind it. The gate changes nothing on a host, and nothing here but the list of known hosts where
//! it is told to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::base::Exit;
use crate::base::event::{EventKind, Failure, Readiness, ReadyCheck, Tally, Verdict};
use crate::base::name::UserName;
use crate::engine::{Job, Run, Teller, saved};
use crate::inventory::deploy::{Deploy, Proxy};
use crate::machine::{Machine, SshLogin};
use crate::plan;
use crate::playbook::Disk;
use crate::ssh::known_hosts::{self, KnownAs};
use crate::ssh::{Become, ConnectError, Connection, Login, Target};

pub mod deployer;
pub mod hook;
mod judge;
mod local;
mod look;
mod net_ssh;

use judge::Case;
use look::Questions;

/// A host of the gate.
#[derive(Debug)]
pub struct Candidate {
    /// How it is reached by bedplate, and its tasks.
    pub job: Job,
    /// Kamal's login.
    pub user: String,
    /// Its roles and accessories; empty for a host that deploy.yml does not name.
    pub groups: Vec<String>,
}

/// The app that is to be deployed.
#[derive(Debug)]
pub struct App {
    /// Its configuration, when there is one.
    pub deploy: Option<Deploy>,
    /// Its folder.
    pub folder: std::path::PathBuf,
    /// Whether hosts that this machine knows in a way that Kamal does not understand get a plain line among the known
    /// hosts, with the key that they showed.
    pub make_known: bool,
}

/// What came of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// What the process ends with: 0 only when Kamal will work on every host.
    pub exit: Exit,
    /// Whether the app runs on every host that it is for.
    pub deployed: bool,
}

/// Looks at every host and tells the whole as events, from `RunStarted` to `RunFinished`.
pub async fn ready(candidates: Vec<Candidate>, app: App, run: Run) -> Gate {
    let teller = Teller::new(&run, None);
    let hosts = candidates.iter().map(|candidate| candidate.job.target.name.clone()).collect();
    let version = run.version.clone();
    teller
        .tell(EventKind::RunStarted { command: "ready".into(), version, hosts, arguments: run.arguments.clone() })
        .await;
    let app = Arc::new(app);
    let mut working = JoinSet::new();
    for candidate in candidates {
        let (run, app) = (run.clone(), app.clone());
        working.spawn(async move {
            let _place = run.places.acquire().await;
            one(&candidate, &app, &run).await
        });
    }
    let (mut tally, mut exit, mut deployed) = (Tally::default(), Exit::Done, true);
    while let Some(ended) = working.join_next().await {
        let (more, worse, here) = ended.unwrap_or((Tally { failed: 1, ..Tally::default() }, Exit::HostFailed, false));
        tally = tally.plus(more);
        exit = exit.worst(worse);
        deployed &= here;
    }
    if run.stop.is_cancelled() {
        exit = Exit::Interrupted;
    }
    teller.tell(EventKind::RunFinished { tally, exit }).await;
    Gate { exit, deployed }
}

/// The script that a host is asked by, as it would be sent.
pub fn script(app: &App, groups: &[String]) -> String {
    look::script(&questions(app, groups))
}

async fn one(candidate: &Candidate, app: &App, run: &Run) -> (Tally, Exit, bool) {
    let teller = Teller::new(run, Some(&candidate.job.target.name));
    let mut tally = Tally::default();
    let mut deployed = false;
    let exit = match checks(candidate, app, run, &teller).await {
        Ok((checks, here)) => {
            deployed = here;
            for check in checks {
                match check.readiness {
                    Readiness::Ready => tally.in_sync += 1,
                    Readiness::Warning => tally.findings += 1,
                    Readiness::NotReady => tally.failed += 1,
                }
                teller.tell(EventKind::ReadyChecked(check)).await;
            }
            if tally.failed == 0 { Exit::Done } else { Exit::HostFailed }
        }
        Err((failure, exit)) => {
            tally.failed = 1;
            teller.tell(EventKind::HostFailed(failure)).await;
            exit
        }
    };
    teller.tell(EventKind::HostFinished { tally, exit }).await;
    (tally, exit, deployed)
}

/// A login like Kamal's: its user, its port, no sudo.
fn as_kamal(candidate: &Candidate, app: &App) -> Target {
    let port = app.deploy.as_ref().and_then(|deploy| deploy.ssh.port.known().copied());
    let target = &candidate.job.target;
    Target {
        user: candidate.user.clone(),
        port: port.unwrap_or(target.port),
        become_root: Become::Never,
        ..target.clone()
    }
}

fn questions(app: &App, groups: &[String]) -> Questions {
    let Some(deploy) = &app.deploy else { return Questions::default() };
    let server = deploy.registry.server.known().map_or("registry-1.docker.io", String::as_str);
    let host = server.trim_start_matches("https://").split('/').next().unwrap_or_default();
    let host = if matches!(host, "docker.io" | "hub.docker.com") { "registry-1.docker.io" } else { host };
    // What would be an option of curl's is no host.
    let sound = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]_".contains(c)) && !host.starts_with('-');
    Questions {
        registry: (sound && !host.is_empty() && !deploy.registry.is_local()).then(|| host.to_owned()),
        folders: judge::folders(deploy, groups),
        volumes: judge::volumes(deploy, groups),
        files: judge::files(deploy, groups),
    }
}

async fn checks(
    candidate: &Candidate,
    app: &App,
    run: &Run,
    teller: &Teller,
) -> Result<(Vec<ReadyCheck>, bool), (Failure, Exit)> {
    let target = as_kamal(candidate, app);
    teller.tell(EventKind::HostConnecting { address: target.place() }).await;
    let connection = match run.connector.connect(&target).await {
        Ok(connection) => connection,
        Err(error) if refused(&error) => return Ok((vec![refused_login(&target, &error)], false)),
        Err(error) => {
            let help = error.help();
            return Err((Failure { what: error.to_string(), help, ..Failure::default() }, Exit::Unreachable));
        }
    };
    let login = ReadyCheck {
        check: "login".into(),
        readiness: Readiness::Ready,
        what: format!("{} logs in with {}", target.place(), connection.login().method),
        help: None,
    };
    let questions = questions(app, &candidate.groups);
    let look = look_around(&connection, &questions).await;
    let offers = connection.login().offers.clone();
    let known = known(connection.login(), &target, app.make_known);
    connection.close().await;
    let look = look.map_err(|why| {
        let help =
            format!("the shell of {} must be a POSIX one: `getent passwd {}` on the host", target.user, target.user);
        (Failure { what: why, help: Some(help), ..Failure::default() }, Exit::HostFailed)
    })?;
    let mut job_target = candidate.job.target.clone();
    job_target.port = target.port;
    let (machine, plan) = declared(candidate, job_target, run).await;
    let mut case = Case {
        user: &candidate.user,
        questions,
        offers,
        deploy: app.deploy.as_ref(),
        proxy_ports: proxy_ports(app, &candidate.groups),
        known,
        now: jiff::Timestamp::now().as_second(),
        forwarding: machine.and_then(|machine| forwarding(&machine, &candidate.user)),
        plan,
        look,
        ..Case::default()
    };
    from_here(&mut case, &target, app, &candidate.groups).await;
    let mut checks = vec![login];
    checks.extend(judge::judge(&case));
    let deployed = case.deploy.is_some_and(|deploy| judge::deployed(&case.look, deploy, &candidate.groups));
    Ok((checks, deployed))
}

/// How this machine knows the host whose login this is, as Kamal will find it.
fn known(login: &Login, target: &Target, make: bool) -> KnownAs {
    let Some((name, key)) = login.host_key.split_once(' ') else { return KnownAs::NotAtAll };
    let known = known_hosts::known_as(&target.known_hosts, name, key);
    if known == KnownAs::Plain || !make {
        return known;
    }
    let Some(file) = target.known_hosts.first() else { return known };
    match known_hosts::append_line(file, &login.host_key) {
        Ok(()) => KnownAs::Plain,
        Err(_) => known,
    }
}

async fn look_around(connection: &Connection, questions: &Questions) -> Result<look::Look, String> {
    let mut shell = connection.shell().await.map_err(|error| error.to_string())?;
    let look = look::look(&mut shell, questions).await.map_err(|error| error.to_string());
    shell.close();
    look
}

fn refused(error: &ConnectError) -> bool {
    matches!(error, ConnectError::NoKeyAccepted { .. } | ConnectError::TooManyFailures { .. })
}

fn refused_login(target: &Target, error: &ConnectError) -> ReadyCheck {
    let help = if target.user == "root" {
        "set `ssh: { user: … }` in config/deploy.yml, or let root log in by key".to_owned()
    } else {
        format!("`bedplate apply` makes {} and gives it root's keys", target.user)
    };
    ReadyCheck {
        check: "login".into(),
        readiness: Readiness::NotReady,
        what: format!("{} can not log in: {error}", target.place()),
        help: Some(help),
    }
}

/// The ports that kamal-proxy publishes on a host of these groups.
fn proxy_ports(app: &App, groups: &[String]) -> Vec<u16> {
    let Some(deploy) = &app.deploy else { return vec![80, 443] };
    let ports: BTreeSet<u16> = deploy.proxies(groups).into_iter().flat_map(Proxy::ports).collect();
    ports.into_iter().collect()
}

type Declared = (Option<Machine>, Option<Result<Vec<String>, String>>);

/// The host as its tasks see it, and those of them that do not hold.
async fn declared(candidate: &Candidate, target: Target, run: &Run) -> Declared {
    let tasks = &candidate.job.tasks;
    match saved::facts_by(&target, tasks, run).await {
        Ok(machine) => {
            let plan = plan::plan(tasks, &machine);
            let open =
                plan.tasks.iter().filter(|task| !matches!(task.shown.verdict, Verdict::InSync | Verdict::Skipped));
            let open = open.map(|task| task.shown.name.clone()).collect();
            (Some(machine), Some(Ok(open)))
        }
        Err((failure, _)) => (None, Some(Err(failure.what))),
    }
}

fn forwarding(machine: &Machine, user: &str) -> Option<String> {
    let own = UserName::new(user).ok().map(|user| SshLogin(Some(user)));
    let state = own.and_then(|login| machine.known(&login)).or_else(|| machine.known(&SshLogin(None)))?;
    state.settings.get("allowtcpforwarding").cloned()
}

/// What only this side can see.
async fn from_here(case: &mut Case<'_>, target: &Target, app: &App, groups: &[String]) {
    case.addresses = match target.address.parse::<IpAddr>() {
        Ok(address) => BTreeSet::from([address]),
        Err(_) => local::addresses(&target.address).await,
    };
    if target.jumps.is_empty() && target.proxy_command.is_none() {
        let published = case.look.docker.containers.iter().flat_map(|(_, ports)| judge::published(ports));
        let ports: BTreeSet<u16> = case.proxy_ports.iter().copied().chain(published).collect();
        let own = case.look.addresses.iter().copied().map(IpAddr::V6);
        let addresses: BTreeSet<IpAddr> = case.addresses.iter().copied().chain(own).collect();
        let doors = addresses.iter().flat_map(|address| ports.iter().map(move |port| (*address, *port)));
        let knocks = doors.map(|(address, port)| async move {
            judge::Knock { address, port, seen: local::knock(address, port).await }
        });
        case.knocks = Some(futures::future::join_all(knocks).await);
    }
    let Some(deploy) = &app.deploy else { return };
    case.secrets = local::secret_names(&Disk::new(Path::new(&app.folder)), deploy);
    let names: BTreeSet<&str> =
        deploy.proxies(groups).into_iter().flat_map(|proxy| &proxy.hosts).map(|name| name.value.as_str()).collect();
    for name in names {
        case.names.push((name.to_owned(), local::addresses(name).await));
    }
}
