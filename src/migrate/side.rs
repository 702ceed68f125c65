//! One of the two hosts of a move: its line, and what it is asked and told over it. What a move decides is not here.

use std::time::{Duration, Instant};

use crate::base::Exit;
use crate::base::event::{EventKind, Failure};
use crate::base::name::HostName;
use crate::engine::record::{self, Lock};
use crate::engine::{Run, Teller};
use crate::shell::frame::{BadAnswer, Part, printable_lines};
use crate::shell::{Batch, Call, Mode};
use crate::ssh::{ConnectError, Connection, HeldShell, SessionError, Target};

/// How long the lock of a host is waited for.
const LOCK_WITHIN: Duration = Duration::from_secs(20);

/// Why a move does not go on.
#[derive(Debug)]
pub struct Trouble {
    /// What is told of it.
    pub failure: Box<Failure>,
    /// On which host, where it is one's.
    pub host: Option<HostName>,
    /// What the process ends with.
    pub exit: Exit,
}

impl Trouble {
    /// A failure of a host or of the move itself.
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        let failure = Failure { what: what.into(), help: Some(help.into()), ..Failure::default() };
        Self { failure: Box::new(failure), host: None, exit: Exit::HostFailed }
    }

    /// Something that is not begun, as it must not be.
    pub(super) fn refused(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit: Exit::BadInput, ..Self::new(what, help) }
    }

    pub(super) fn said(mut self, lines: Vec<String>) -> Self {
        self.failure.said = lines;
        self
    }

    pub(super) fn on(mut self, host: &HostName) -> Self {
        self.host.get_or_insert_with(|| host.clone());
        self
    }

    pub(super) fn state(mut self, state: &str) -> Self {
        self.failure.state.get_or_insert_with(|| state.to_owned());
        self
    }
}

impl From<SessionError> for Trouble {
    fn from(error: SessionError) -> Self {
        let failure = Failure { what: error.to_string(), help: error.help(), said: error.said(), ..Failure::default() };
        Self { failure: Box::new(failure), host: None, exit: error.exit() }
    }
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Self {
        let failure = Failure { what: error.to_string(), help: error.help(), ..Failure::default() };
        Self { failure: Box::new(failure), host: None, exit: error.exit() }
    }
}

impl From<BadAnswer> for Trouble {
    fn from(error: BadAnswer) -> Self {
        Trouble::new(format!("the host's answer makes no sense {error}"), "run again; if it stays, please report it")
    }
}

/// A host with a root shell on it.
pub(super) struct Side {
    /// How it is called.
    pub(super) name: HostName,
    /// How it was reached.
    pub(super) target: Target,
    pub(super) connection: Connection,
    shell: HeldShell,
    pub(super) teller: Teller,
}

impl Side {
    /// Comes to a host. Errors: it can not be reached.
    pub(super) async fn open(target: &Target, run: &Run) -> Result<Self, Trouble> {
        let teller = Teller::new(run, Some(&target.name));
        teller.tell(EventKind::HostConnecting { address: target.place() }).await;
        let begun = Instant::now();
        let connection = run.connector.connect(target).await.map_err(|error| Trouble::from(error).on(&target.name))?;
        let shell = connection.shell().await.map_err(|error| Trouble::from(error).on(&target.name))?;
        let user = connection.login().user.clone();
        teller.tell(EventKind::HostConnected { user, took_ms: millis(begun) }).await;
        Ok(Self { name: target.name.clone(), target: target.clone(), connection, shell, teller })
    }

    /// Keeps every other run off the host for as long as this one is there. What an earlier part of this move left
    /// running there is waited for. Errors: another run holds it.
    pub(super) async fn lock(&mut self, run: &Run) -> Result<(), Trouble> {
        let limit = self.target.keepalive.limit();
        let until = Instant::now() + LOCK_WITHIN;
        loop {
            let taken = record::lock(&mut self.shell, &run.operator, limit).await;
            match taken.map_err(|error| Trouble::from(error).on(&self.name))? {
                Lock::Taken => return Ok(()),
                Lock::Held(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(500)).await,
                Lock::Held(_) => {
                    let help = "wait for it to end; a run that has lost its connection lets go within two minutes";
                    let trouble = Trouble::new("another run holds this host", help).on(&self.name);
                    return Err(Trouble { exit: Exit::HostBusy, ..trouble });
                }
                Lock::Failed(said) => {
                    let trouble = Trouble::new("the host's lock can not be taken", "look at the free space of /run");
                    return Err(trouble.said(said).on(&self.name));
                }
            }
        }
    }

    /// Asks, and gives one answer for each call. Errors: no answer.
    pub(super) async fn ask(&mut self, calls: Vec<Call>) -> Result<Vec<(u8, Vec<u8>)>, Trouble> {
        let asked = calls.len();
        let results = self.shell.run(&Batch::new(Mode::Probe, calls), &mut |_| {}).await;
        let results = results.map_err(|error| Trouble::from(error).on(&self.name))?;
        if results.len() < asked {
            return Err(Trouble::new("the host has not answered everything", "run again").on(&self.name));
        }
        Ok(results.into_iter().map(|result| (result.status, result.body)).collect())
    }

    /// Has one thing done, and gives what it printed. `what` is told when it fails.
    pub(super) async fn act(&mut self, what: &str, call: Call) -> Result<Vec<u8>, Trouble> {
        self.act_heard(what, call, &mut |_| {}).await
    }

    /// The same, each piece of output given as it comes.
    pub(super) async fn act_heard(
        &mut self,
        what: &str,
        call: Call,
        heard: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Vec<u8>, Trouble> {
        let mut on = |part: &Part| {
            if let Part::Output { bytes, .. } = part {
                heard(bytes);
            }
        };
        let results = self.shell.run(&Batch::new(Mode::Act, vec![call]), &mut on).await;
        let results = results.map_err(|error| Trouble::from(error).on(&self.name))?;
        match results.into_iter().next() {
            Some(result) if result.status == 0 => Ok(result.body),
            Some(result) => {
                let mut said = printable_lines(&result.body);
                said.drain(..said.len().saturating_sub(12));
                let trouble =
                    Trouble::new(format!("{what}: it ended with {}", result.status), "see what the host said");
                Err(trouble.said(said).on(&self.name))
            }
            None => Err(Trouble::new(format!("{what}: the host was told to stop"), "run again").on(&self.name)),
        }
    }

    /// Tells something about this host.
    pub(super) async fn note(&self, text: impl Into<String>) {
        self.teller.tell(EventKind::Note { text: text.into() }).await;
    }

    /// Leaves in good order.
    pub(super) async fn close(self) {
        self.shell.close();
        self.connection.close().await;
    }
}

/// Milliseconds since `begun`.
pub(super) fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// `1:05 min`, `12 s`, `0.4 s`.
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{}:{:02} min", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_say_them() {
        let times = [400, 12_000, 65_000].map(|ms| time(Duration::from_millis(ms)));
        assert_eq!(times, ["0.4 s", "12 s", "1:05 min"]);
    }
}
