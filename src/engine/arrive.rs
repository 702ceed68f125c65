//! Coming to a host: the connection, the host's lock, and the first look, which asks in the same exchange whether an
//! earlier run's guard is at work there or has left word.

use std::time::{Duration, Instant};

use super::Mode;
use super::guard::{self, Now, Report, Standing, Why};
use super::host::{Stop, Work, millis};
use super::line::Line;
use super::probe::{self, Behind};
use super::record::{self, Lock};
use super::way;
use crate::base::Exit;
use crate::base::event::EventKind;
use crate::machine::{Machine, System};
use crate::plan::HostPlan;
use crate::ssh::Target;

/// Between two looks at a guard.
const PAUSE: Duration = Duration::from_secs(1);
/// How much longer than a window an earlier run's guard is waited for: it has work to do when it fires.
const RESTORING: Duration = Duration::from_secs(60);

impl Work<'_> {
    /// Connects. If anything is to be changed, the host's lock is taken with the first look.
    pub(super) async fn arrive(&self) -> Result<Line, Stop> {
        self.teller.tell(EventKind::HostConnecting { address: self.job.target.place() }).await;
        let begun = Instant::now();
        let line = self.come_in().await?;
        let login = line.connection.login();
        let user = if login.user == "root" { login.user.clone() } else { format!("{} (sudo)", login.user) };
        self.teller.tell(EventKind::HostConnected { user, took_ms: millis(begun) }).await;
        Ok(line)
    }

    /// A line by whichever way still leads in: the target's, or the port and the users that the tasks declare.
    pub(super) async fn come_in(&self) -> Result<Line, Stop> {
        let declared = way::declared(&self.job.tasks);
        let mut own = None;
        for target in way::ports(&self.job.target, &declared) {
            let error = match Line::open(&self.run.connector, &target).await {
                Ok(line) => return Ok(self.came_in(line).await),
                Err(error) => error,
            };
            if error.is_refused_key() {
                for user in declared.users.iter().filter(|user| user.as_str() != target.user) {
                    let target = Target { user: user.as_str().to_owned(), ..target.clone() };
                    if let Ok(line) = Line::open(&self.run.connector, &target).await {
                        return Ok(self.came_in(line).await);
                    }
                }
            }
            if target.port == self.job.target.port {
                let passing = error.is_passing();
                own = Some(error);
                if !passing {
                    break;
                }
            }
        }
        Err(own.map_or_else(|| Stop::new(Exit::Unreachable, "there is no way to this host", None), Stop::from))
    }

    async fn came_in(&self, mut line: Line) -> Line {
        line.target.connect_timeout = self.job.target.connect_timeout;
        let (place, asked) = (line.target.place(), self.job.target.place());
        if place != asked {
            let text = format!("came in as {place} instead of {asked}: so it is declared");
            self.teller.tell(EventKind::Note { text }).await;
        }
        line
    }

    /// Looks for the first time, and plans. A guard that is at work is waited for: what it will put back is not to be
    /// planned on.
    pub(super) async fn first_look(&self, line: &mut Line) -> Result<(Machine, HostPlan), Stop> {
        let begun = Instant::now();
        let (mut machine, standing) = match self.run.mode {
            Mode::Check => probe::first_look(&mut line.shell, &self.job.tasks).await?,
            Mode::Apply => self.lock_and_look(line).await?,
        };
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
            self.lock(line).await?;
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

    /// Takes the host's lock, and looks behind that in the same exchange. What was seen while another run held it
    /// counts for nothing.
    async fn lock_and_look(&self, line: &mut Line) -> Result<(Machine, Standing), Stop> {
        let lock = record::lock_batch(&self.run.operator, line.target.keepalive.limit());
        let look = Behind::first(&self.job.tasks);
        let (locked, seen) = line.shell.run_then(&lock, look.batch(), &mut |_| {}).await?;
        self.ours(record::locked(&locked))?;
        match look.standing(&seen?) {
            Some(seen) => Ok(seen),
            None => Ok(probe::first_look(&mut line.shell, &self.job.tasks).await?),
        }
    }

    async fn lock(&self, line: &mut Line) -> Result<(), Stop> {
        self.ours(record::lock(&mut line.shell, &self.run.operator, line.target.keepalive.limit()).await?)
    }

    /// Whether the lock is ours.
    fn ours(&self, lock: Lock) -> Result<(), Stop> {
        match lock {
            Lock::Taken => Ok(()),
            Lock::Held(owner) => {
                let what = match owner {
                    Some(owner) => format!(
                        "another run holds this host: {} (process {}) since {}",
                        owner.name, owner.process, owner.since
                    ),
                    None => "another run holds this host".to_owned(),
                };
                let help = "wait for it to end; a run that has lost its connection lets go within two minutes";
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
        match record::lock(&mut line.shell, &self.run.operator, line.target.keepalive.limit()).await? {
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
            Some(system) if !system.read_only.is_empty() => Err(Stop::new(
                Exit::HostFailed,
                format!("nothing can be written to {} on this host: mounted read-only", system.read_only.join(", ")),
                Some(
                    "look at `dmesg` for errors of the disk, which make Linux mount it read-only; when it is whole again \
                     (`fsck`), `mount -o remount,rw /` or reboot, then run again"
                        .into(),
                ),
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
        [] if report.left.is_empty() => "all is as it was before that run".to_owned(),
        [] => "what that run had changed is as it was".to_owned(),
        problems => format!("but {}", problems.join("; ")),
    };
    let told = [vec![end], report.of_others()].concat().join("; ");
    format!("this host has put itself back at {}, because {why}; {told}", report.at)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::base::Digest;
    use crate::base::name::HostName;
    use crate::engine::{Job, testing};
    use crate::plan::{Declaration, Task};
    use crate::resource::sshd::Sshd;
    use crate::ssh::fake::{Fake, Reply};
    use crate::ssh::{ConnectError, Connection, Connector};

    fn sshd(text: &str) -> Task {
        let sshd: Sshd = toml::from_str(text).unwrap();
        Task {
            number: 1,
            name: "sshd".into(),
            playbook: "access".into(),
            place: "x.toml:1".into(),
            declaration: Declaration::Ready(Box::new(sshd)),
            when: None,
        }
    }

    /// Where a run ends up that is to go to `asked`, on a host that listens on `port` and lets `user` in; and which
    /// doors it knocked at.
    async fn comes_in(
        asked: (&str, u16),
        declared: &str,
        port: u16,
        user: &'static str,
    ) -> (Option<String>, Vec<String>) {
        let knocked = Arc::new(Mutex::new(Vec::new()));
        let log = knocked.clone();
        let connector = Connector::scripted(move |target: &Target| {
            log.lock().unwrap().push(target.place());
            if target.port != port {
                return Err(ConnectError::Refused { address: target.address.clone(), port: target.port });
            }
            if target.user != user {
                let (offered, skipped, methods) = Default::default();
                return Err(ConnectError::NoKeyAccepted { place: target.place(), offered, skipped, methods });
            }
            Ok(Connection::fake(Fake::new(|_| Reply::default())))
        });
        let (run, _events) = testing::run(connector);
        let target = Target { port: asked.1, ..Target::new(HostName::new("box").unwrap(), asked.0) };
        let job = Job { target, tasks: vec![sshd(declared)], playbooks: Digest::of("") };
        let line = Work::new(job, &run).come_in().await;
        let knocked = knocked.lock().unwrap().clone();
        (line.ok().map(|line| line.target.place()), knocked)
    }

    #[tokio::test]
    async fn a_port_that_was_moved_is_found_again() {
        let moved = comes_in(("root", 22), "port = 2222\n", 2222, "root").await;
        assert_eq!(moved, (Some("root@box:2222".into()), vec!["root@box:2222".into()]));
        let bare = comes_in(("root", 22), "port = 2222\n", 22, "root").await;
        assert_eq!(bare, (Some("root@box".into()), vec!["root@box:2222".into(), "root@box".into()]));
        let own = comes_in(("root", 2200), "port = 2222\n", 2222, "root").await;
        assert_eq!(own, (Some("root@box:2222".into()), vec!["root@box:2200".into(), "root@box:2222".into()]));
        assert_eq!(comes_in(("root", 22), "", 22, "root").await.1, ["root@box"], "nothing is guessed");
    }

    #[tokio::test]
    async fn whoever_still_may_logs_in() {
        let declared = "root_login = \"no\"\nusers = [\"ann\"]\n";
        let (place, knocked) = comes_in(("root", 22), declared, 22, "ann").await;
        assert_eq!((place, knocked), (Some("ann@box".into()), vec!["root@box".into(), "ann@box".into()]));
        // Where root may log in, a key that is not let in is a mistake to be told, not to be got round.
        let (place, knocked) = comes_in(("root", 22), "users = [\"ann\"]\n", 22, "ann").await;
        assert_eq!((place, knocked.len()), (None, 1));
    }

    #[tokio::test]
    async fn what_is_seen_while_another_run_holds_the_lock_counts_for_nothing() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let connector = Connector::scripted(move |_| {
            let log = log.clone();
            Ok(Connection::fake(Fake::new(move |asked| {
                log.lock().unwrap().push(asked.function.clone());
                let owner = r#"{"name":"ann@laptop","process":7,"since":"noon"}"#;
                match asked.function.as_str() {
                    "host_lock" => Reply::failure(76, owner),
                    _ => Reply::default(),
                }
            })))
        });
        let (run, _events) = testing::run(connector);
        let target = Target::new(HostName::new("box").unwrap(), "root");
        let work = Work::new(Job { target, tasks: Vec::new(), playbooks: Digest::of("") }, &run);
        let mut line = work.come_in().await.unwrap();
        let stop = work.first_look(&mut line).await.unwrap_err();
        assert_eq!(stop.exit, Exit::HostBusy);
        assert!(stop.failure.what.contains("ann@laptop (process 7) since noon"), "{}", stop.failure.what);
        let asked = asked.lock().unwrap();
        assert_eq!(asked.first().map(String::as_str), Some("host_lock"), "the lock goes first: {asked:?}");
    }
}
