//! Coming to a host: the connection, the host's lock, and the first look, which asks in the same exchange whether an
//! earlier run's guard is at work there or has left word.

use std::time::{Duration, Instant};

use super::Mode;
use super::guard::{self, Now, Report, Standing, Why};
use super::host::{Stop, Work, millis};
use super::line::Line;
use super::probe;
use super::record::{self, Lock};
use crate::base::Exit;
use crate::base::event::EventKind;
use crate::machine::{Machine, System};
use crate::plan::HostPlan;
use crate::ssh::HeldShell;

/// Between two looks at a guard.
const PAUSE: Duration = Duration::from_secs(1);
/// How much longer than a window an earlier run's guard is waited for: it has work to do when it fires.
const RESTORING: Duration = Duration::from_secs(60);

impl Work<'_> {
    /// Connects, and takes the host's lock if anything is to be changed.
    pub(super) async fn arrive(&self) -> Result<Line, Stop> {
        self.teller.tell(EventKind::HostConnecting { address: self.job.target.place() }).await;
        let begun = Instant::now();
        let mut line = Line::open(&self.run.connector, &self.job.target).await?;
        let login = line.connection.login();
        let user = if login.user == "root" { login.user.clone() } else { format!("{} (sudo)", login.user) };
        self.teller.tell(EventKind::HostConnected { user, took_ms: millis(begun) }).await;
        if self.run.mode == Mode::Apply {
            self.lock(&mut line.shell).await?;
        }
        Ok(line)
    }

    /// Looks for the first time, and plans. A guard that is at work is waited for: what it will put back is not to be
    /// planned on.
    pub(super) async fn first_look(&self, line: &mut Line) -> Result<(Machine, HostPlan), Stop> {
        let begun = Instant::now();
        let (mut machine, standing) = probe::first_look(&mut line.shell, &self.job.tasks).await?;
        if self.rest(line, standing).await? {
            (machine, _) = probe::first_look(&mut line.shell, &self.job.tasks).await?;
        }
        let (machine, plan) = probe::plan_on(&mut line.shell, &self.job.tasks, machine).await?;
        self.tell_probe(&machine, begun).await?;
        Ok((machine, plan))
    }

    /// Tells what an earlier guard left, and waits while one is at work. Whether it was waited for.
    async fn rest(&self, line: &mut Line, mut standing: Standing) -> Result<bool, Stop> {
        let until = Instant::now() + self.run.window + RESTORING;
        let waited = standing.now != Now::Idle;
        if waited {
            let text = "an earlier run's guard is at work on this host: waiting until it has put everything back";
            self.teller.tell(EventKind::Note { text: text.into() }).await;
        }
        while standing.now != Now::Idle {
            if Instant::now() > until || self.run.stop.is_cancelled() {
                let what = "another run's guard is armed on this host, and does not come to its end";
                let help = "wait for that run to end, then try again";
                let mut stop = Stop::new(Exit::HostBusy, what, Some(help.into()));
                stop.failure.state = Some("nothing was changed".into());
                return Err(stop);
            }
            tokio::time::sleep(PAUSE).await;
            standing = guard::report(&mut line.shell).await?;
        }
        if waited && self.run.mode == Mode::Apply {
            // A guard that fires tells every run to stop; taking the lock anew takes that back.
            self.lock(&mut line.shell).await?;
        }
        if let Some(report) = standing.report {
            self.teller.tell(EventKind::Note { text: story(&report) }).await;
            // A check leaves no trace: whoever applies is told it too.
            if self.run.mode == Mode::Apply {
                guard::seen(&mut line.shell).await?;
            }
        }
        Ok(waited)
    }

    async fn lock(&self, shell: &mut HeldShell) -> Result<(), Stop> {
        match record::lock(shell, &self.run.operator).await? {
            Lock::Taken => Ok(()),
            Lock::Held(owner) => {
                let what = match owner {
                    Some(owner) => format!(
                        "another run holds this host: {} (process {}) since {}",
                        owner.name, owner.process, owner.since
                    ),
                    None => "another run holds this host".to_owned(),
                };
                let help = "wait for it to end; a lock goes by itself with the run that holds it";
                let mut stop = Stop::new(Exit::HostBusy, what, Some(help.into()));
                stop.failure.state = Some("nothing was changed".into());
                Err(stop)
            }
            Lock::Failed(said) => {
                let help = "look at the free space of /run and at whether the login is root";
                let mut stop = Stop::new(Exit::HostFailed, "the host's lock can not be taken", Some(help.into()));
                stop.failure.said = said;
                stop.failure.state = Some("nothing was changed".into());
                Err(stop)
            }
        }
    }

    /// Sees to it that the lock is held also when the shell that took it has gone.
    pub(super) async fn keep_lock(&self, line: &mut Line) -> Result<(), Stop> {
        if !line.has_lost_lock() {
            return Ok(());
        }
        match record::lock(&mut line.shell, &self.run.operator).await? {
            // The host may not know yet that the connection that took it has gone.
            Lock::Held(Some(owner)) if owner == self.run.operator => Ok(()),
            Lock::Taken => Ok(()),
            _ => {
                let help = "run again when the other run has ended";
                Err(Stop::new(Exit::HostBusy, "the host's lock was lost to another run", Some(help.into())))
            }
        }
    }

    async fn tell_probe(&self, machine: &Machine, begun: Instant) -> Result<(), Stop> {
        let system = machine.known(&System::Here);
        let title = system.map(|system| system.title()).unwrap_or_default();
        let facts = machine.questions().len();
        self.teller.tell(EventKind::ProbeFinished { system: title, facts, took_ms: millis(begun) }).await;
        match system {
            Some(system) if !system.root => Err(Stop::new(
                Exit::HostFailed,
                "the login is not root",
                Some("log in as root, or as a user who may use sudo".into()),
            )),
            Some(system) if !system.systemd => Err(Stop::new(
                Exit::HostFailed,
                "systemd does not run on this host",
                Some("bedplate needs Debian or Ubuntu with systemd as the first process".into()),
            )),
            Some(system) if !matches!(system.id.as_str(), "debian" | "ubuntu") => Err(Stop::new(
                Exit::HostFailed,
                format!("`{}` is neither Debian nor Ubuntu", system.id),
                Some("bedplate prepares Debian 11 to 13 and Ubuntu 20.04 to 26.04".into()),
            )),
            _ => Ok(()),
        }
    }
}

/// What an earlier guard left, for people.
fn story(report: &Report) -> String {
    let why = match report.why {
        Why::Timeout => "no new login had confirmed an earlier run's change in time",
        Why::Reboot => "the host had started anew before an earlier run's change was confirmed",
        Why::Asked => "a step of an earlier run had failed",
    };
    let end = match report.problems.as_slice() {
        [] => "all is as it was before that run".to_owned(),
        problems => format!("but {}", problems.join("; ")),
    };
    format!("this host has put itself back at {}, because {why}; {end}", report.at)
}
