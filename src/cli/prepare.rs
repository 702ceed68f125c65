//! What `check`, `apply`, `facts` and `demo` share: arguments to a run of the engine, drawn by the report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::arguments::{self, Output, Selection};
use super::prompt::Terminal;
use super::{Failed, drawn as shown, note, say};
use crate::base::name::HostName;
use crate::base::{Diagnostics, Exit};
use crate::engine::jobs::{Jobs, Wanted};
use crate::engine::record::Operator;
use crate::engine::saved::{self, SavedFacts};
use crate::engine::{self, Consent, Consented, Job, Mode, Review, Run, consent, descriptors, jobs};
use crate::playbook::Settings;
use crate::report::{self, Running, Stage};
use crate::ssh::config::{Myself, SshConfig};
use crate::ssh::{Answer, Connector, Policy};

/// How a run is made of a command.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    /// The command's name.
    pub(super) command: &'static str,
    /// Whether it changes anything.
    pub(super) mode: Mode,
    /// Whether findings alone count as drift.
    pub(super) strict: bool,
    /// How long a guarded group may stay unconfirmed.
    pub(super) window: Duration,
    /// Whether the operator is asked before anything is changed.
    pub(super) ask_first: bool,
    /// How it goes over many hosts.
    pub(super) rollout: arguments::Rollout,
    /// What it has to do with a saved plan.
    pub(super) review: Review,
    /// The option that named the file of that plan, and the file.
    pub(super) file: Option<(&'static str, PathBuf)>,
}

impl Manner {
    /// A look that changes nothing.
    pub(super) fn look(command: &'static str) -> Self {
        Self {
            command,
            mode: Mode::Check,
            strict: false,
            window: Duration::ZERO,
            ask_first: false,
            rollout: arguments::Rollout::default(),
            review: Review::None,
            file: None,
        }
    }
}

/// Reads inventory and playbooks for `selection`, and shows warnings. Errors: every mistake found.
pub(super) async fn read(selection: &Selection) -> Result<Jobs, Failed> {
    let jobs = read_silently(selection).await?;
    warn(&jobs.warnings);
    Ok(jobs)
}

/// Shows warnings.
pub(super) fn warn(warnings: &Diagnostics) {
    if !warnings.is_empty() {
        note(shown(warnings).trim_end());
    }
}

/// The same without showing warnings.
pub(super) async fn read_silently(selection: &Selection) -> Result<Jobs, Failed> {
    let me = Myself::detect();
    let config = match &selection.login.ssh_config {
        None => SshConfig::usual(me),
        Some(path) if path.as_os_str() == "none" => SshConfig::none(me),
        Some(path) if !path.exists() => {
            return Err(Failed::input(format!("there is no file {}", path.display()))
                .help("look at the path after `-F`; `-F none` reads no configuration"));
        }
        Some(path) => SshConfig::only(path, me),
    };
    let wanted = Wanted {
        hosts: selection.hosts.clone(),
        inventory: selection.inventory.clone(),
        destination: selection.destination.clone(),
        successor: selection.successor.clone(),
        limit: selection.limit.clone(),
        shard: selection.shard,
        keys: selection.login.keys.clone(),
        settings: Settings {
            set: selection.set.clone(),
            tags: selection.tags.clone(),
            skip_tags: selection.skip_tags.clone(),
            env: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        },
    };
    if let Some(missing) = wanted.keys.iter().find(|key| !key.starts_with('~') && !Path::new(key).exists()) {
        return Err(Failed::input(format!("there is no private key {missing}")).help("look at the path after `--key`"));
    }
    Ok(jobs::jobs(&wanted, &config).await?)
}

/// What the command line said about hosts and tasks, as it would be typed again, without secrets.
pub(super) fn arguments(selection: &Selection, jobs: &Jobs) -> Vec<String> {
    let mut words = selection.successor.as_ref().map_or_else(|| selection.hosts.clone(), |new| vec![new.clone()]);
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    let path = |path: &Path| path.display().to_string();
    selection.inventory.iter().for_each(|file| option("--inventory", path(file)));
    selection.destination.iter().for_each(|name| option("--destination", name.clone()));
    selection.limit.iter().for_each(|pattern| option("--limit", pattern.clone()));
    selection.shard.iter().for_each(|shard| option("--shard", shard.to_string()));
    selection.tags.iter().for_each(|tag| option("--tags", tag.clone()));
    selection.skip_tags.iter().for_each(|tag| option("--skip-tags", tag.clone()));
    for set in &selection.set {
        let name = set.split('=').next().unwrap_or_default();
        let secret = jobs.read.playbooks.variables.get(name).is_some_and(|variable| variable.secret);
        option("--set", if secret { format!("{name}=…") } else { jobs.secrets.redact(set) });
    }
    selection.login.keys.iter().for_each(|key| option("--key", key.clone()));
    selection.login.ssh_config.iter().for_each(|file| option("-F", path(file)));
    words
}

/// Who runs this, for locks and journals.
pub(super) fn operator() -> Operator {
    let me = Myself::detect();
    Operator {
        name: format!("{}@{}", me.user, me.host),
        process: std::process::id(),
        since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

/// A run over `jobs` that tells itself to `running`.
pub(super) fn run_of(jobs: &Jobs, selection: &Selection, manner: &Manner, running: &Running) -> Run {
    let login = &selection.login;
    let policy = Policy { accept_new: login.accept_new, ask_password: login.ask_password, ..Policy::default() };
    let terminal = Arc::new(Terminal::new(running.stage.clone()));
    let mut arguments = arguments(selection, jobs);
    arguments.extend(manner.rollout.words());
    if let Some((option, file)) = &manner.file {
        arguments.extend([(*option).to_owned(), file.display().to_string()]);
    }
    let consent =
        Consent::new(jobs.jobs.len(), manner.ask_first.then(|| question(manner.command, running.stage.clone())));
    let consent = if matches!(manner.review, Review::Hold(_)) { consent.all_or_none() } else { consent };
    Run {
        mode: manner.mode,
        strict: manner.strict,
        arguments,
        operator: operator(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        window: manner.window,
        places: Arc::new(Semaphore::new(places(selection, jobs.jobs.len()))),
        rollout: manner.rollout.rollout(),
        consent,
        review: manner.review.clone(),
        redactor: jobs.secrets.clone(),
        stop: CancellationToken::new(),
        connector: Arc::new(Connector::new(policy, terminal)),
        events: running.events.clone(),
        started: Instant::now(),
    }
}

/// How many hosts are worked on at once: as many as were asked for, where so many files may be open.
fn places(selection: &Selection, hosts: usize) -> usize {
    let wanted = usize::from(selection.parallel).min(hosts).max(1);
    let room = descriptors::make_room(wanted);
    if room.hosts < wanted {
        note(&format!(
            "warning: {} hosts at once, not {wanted}: this process may have no more than {} files open\n  = help: raise it \
             with `ulimit -n`, or with LimitNOFILE of the unit that runs this",
            room.hosts, room.files
        ));
    }
    room.hosts
}

/// The one question before anything is changed, below the plans that it is about.
fn question(command: &'static str, stage: Stage) -> consent::Question {
    Arc::new(move |hosts: Vec<(HostName, usize)>| {
        let stage = stage.clone();
        Box::pin(async move {
            stage.settled().await;
            let tasks: usize = hosts.iter().map(|(_, changes)| changes).sum();
            let text = match &hosts[..] {
                [(host, _)] if command == "undo" => format!("Undo {} on {host}?", counted(tasks, "step")),
                [(host, _)] => format!("Apply {} to {host}?", counted(tasks, "task")),
                hosts => format!("Apply {} to {}?", counted(tasks, "task"), counted(hosts.len(), "host")),
            };
            let terminal = Terminal::new(stage);
            match tokio::task::spawn_blocking(move || terminal.confirm(&text)).await {
                Ok(Answer::Yes) => Consented::Yes,
                Ok(Answer::No) => Consented::No,
                Ok(Answer::NotAskable) | Err(_) => Consented::NotAskable,
            }
        })
    })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Runs `jobs` and draws them. Gives what the process ends with.
pub(super) async fn run(jobs: Jobs, selection: &Selection, output: &Output, manner: &Manner) -> Result<Exit, Failed> {
    drawn(jobs, selection, output, manner, |jobs, run| Box::pin(engine::run(jobs, run, manner.command))).await
}

/// Does `work` and draws what it tells. Gives what the process ends with.
pub(super) async fn drawn<'a>(
    jobs: Jobs,
    selection: &Selection,
    output: &Output,
    manner: &Manner,
    work: impl FnOnce(Vec<Job>, Run) -> futures::future::BoxFuture<'a, Exit>,
) -> Result<Exit, Failed> {
    let running = super::drawing(&super::settings(output, super::setting_rows(&jobs)))?;
    let run = run_of(&jobs, selection, manner, &running);
    let stop = run.stop.clone();
    let Running { events, done, .. } = running;
    drop(events);
    let ended = tokio::select! {
        exit = work(jobs.jobs, run) => Ok(exit),
        failed = twice_interrupted(stop) => Err(failed),
    };
    let exit = ended?;
    let errors = done.await.map_err(|error| Failed::host(format!("the report broke off: {error}")))?;
    match errors.into_iter().next() {
        None => Ok(exit),
        Some(error) => Err(error.into()),
    }
}

/// The first Ctrl-C asks the hosts to end after the action in hand; the second ends this process, and what runs on a
/// host then is left to itself (a guard there still fires).
async fn twice_interrupted(stop: CancellationToken) -> Failed {
    told_to_end().await;
    stop.cancel();
    note("stopping after the action in hand; Ctrl-C again leaves at once");
    told_to_end().await;
    Failed::interrupted(
        "left while hosts were at work; run `check` to see where things stand (of a move: `bedplate migrate … --abort`)",
    )
}

/// Ctrl-C, or what a terminal sends that is closed, or a system that goes down. Never, where they can not be heard.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let heard = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = heard(SignalKind::interrupt()) => {}
        () = heard(SignalKind::terminate()) => {}
        () = heard(SignalKind::hangup()) => {}
    }
}

/// Prints the script that asks each host.
pub(super) fn show_probe(jobs: &Jobs) -> Exit {
    for job in &jobs.jobs {
        say(&format!("# {}: asks what is true; changes nothing\n{}\n", job.target.name, saved::probe_script(job)));
    }
    Exit::Done
}

/// Prints the script that asks each host, asks it, and prints the scripts that an apply would send then.
pub(super) async fn show_actions(jobs: &Jobs, selection: &Selection) -> Result<Exit, Failed> {
    let mut worst = show_probe(jobs);
    let silent = report::start(&report::Settings { no_bars: true, ..report::Settings::default() })?;
    let run = run_of(jobs, selection, &Manner::look("apply"), &silent);
    for job in &jobs.jobs {
        match saved::facts(job, &run).await {
            Ok(machine) => {
                let scripts = saved::action_scripts(job, &machine);
                let all = scripts.len();
                for (number, script) in scripts.iter().enumerate() {
                    say(&format!("# {}: acts, script {} of {all}\n{script}\n", job.target.name, number + 1));
                }
                if all == 0 {
                    say(&format!("# {}: there is nothing to do\n", job.target.name));
                }
            }
            Err((failure, exit)) => {
                note(&told(job.target.name.as_str(), &failure));
                worst = worst.worst(exit);
            }
        }
    }
    Ok(worst)
}

/// A failure outside a run, in lines.
pub(super) fn told(host: &str, failure: &crate::base::event::Failure) -> String {
    let mut text = format!("{host}: {}", failure.what);
    failure.said.iter().for_each(|line| text.push_str(&format!("\n  | {line}")));
    failure.help.iter().for_each(|help| text.push_str(&format!("\n  = help: {help}")));
    text
}

/// Reads facts that `bedplate facts --json` saved. One line a host. Errors: the file is not such.
pub(super) fn saved_facts(path: &Path) -> Result<Vec<SavedFacts>, Failed> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::input(format!("the facts {shown} can not be read: {error}")))?;
    let wrong = |line: usize, why: String| {
        Failed::input(format!("{shown}:{}: not saved facts: {why}", line + 1))
            .help("save them with `bedplate facts HOST --json > FILE`")
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut all = Vec::new();
    for (number, line) in lines {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| wrong(number, error.to_string()))?;
        let version = value.get("v").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(saved::FACTS_VERSION)) {
            return Err(wrong(number, "it has another version, or none".into()));
        }
        all.push(serde_json::from_value(value).map_err(|error| wrong(number, error.to_string()))?);
    }
    if all.is_empty() { Err(wrong(0, "it is empty".into())) } else { Ok(all) }
}

/// Plans on saved facts with no host at all.
pub(super) async fn check_saved(
    path: &Path,
    selection: &Selection,
    output: &Output,
    strict: bool,
) -> Result<Exit, Failed> {
    let saved = saved_facts(path)?;
    let mut selection = selection.clone();
    if selection.hosts.is_empty() {
        selection.hosts = saved.iter().map(|facts| facts.host.to_string()).collect();
    }
    let jobs = read(&selection).await?;
    let mut hosts = Vec::new();
    for job in &jobs.jobs {
        let facts = saved.iter().find(|facts| facts.host == job.target.name).or(match &saved[..] {
            [only] if jobs.jobs.len() == 1 => Some(only),
            _ => None,
        });
        let Some(facts) = facts else {
            return Err(Failed::input(format!("there are no facts of {} in {}", job.target.name, path.display())));
        };
        hosts.push((job, &facts.machine));
    }
    let running = super::drawing(&super::settings(output, super::setting_rows(&jobs)))?;
    let run = run_of(&jobs, &selection, &Manner { strict, ..Manner::look("check") }, &running);
    let Running { events, done, .. } = running;
    drop(events);
    let exit = saved::check(&hosts, &run).await;
    drop(run);
    let errors = done.await.map_err(|error| Failed::host(format!("the report broke off: {error}")))?;
    match errors.into_iter().next() {
        None => Ok(exit),
        Some(error) => Err(error.into()),
    }
}
