//! Backups: the data of a host as archives in a folder here, and back. What is data, how it is stopped and how trees are
//! compared is decided by the rooms around; here is the order of it all. [`record`] knows the folder, `archive` what is in
//! an archive, `host` what a host is asked; [`make`] and [`put`] string them together.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Means;
use super::side::{Side, Trouble, millis};
use crate::base::Exit;
use crate::base::event::{EventKind, Tally};
use crate::engine::{Run, Teller};
use crate::ssh::Target;

mod archive;
mod host;
pub mod make;
pub mod put;
pub mod record;

/// What would have to be taken back if it ended now.
#[derive(Debug, Default)]
struct Undone {
    /// Whether containers stand still.
    stopped: bool,
    /// Whether folders are being filled on the host.
    staged: bool,
    /// What is said of the state of the data.
    data: &'static str,
}

/// Does `work` on a host, and tells it from `RunStarted` to `RunFinished`. Whatever comes of it, containers are started
/// again, or it is said that they could not be. Gives what the process ends with.
async fn told(
    command: &str,
    target: &Target,
    run: &Run,
    means: &Means,
    undone: &Mutex<Undone>,
    work: impl Future<Output = Result<Exit, Trouble>>,
) -> Exit {
    let whole = Teller::new(run, None);
    let (version, arguments) = (run.version.clone(), run.arguments.clone());
    let hosts = vec![target.name.clone()];
    whole.tell(EventKind::RunStarted { command: command.to_owned(), version, hosts, arguments }).await;
    let worked = tokio::select! {
        worked = work => worked,
        () = run.stop.cancelled() => {
            Err(Trouble { exit: Exit::Interrupted, ..Trouble::new("interrupted", "run it again") })
        }
    };
    let exit = match worked {
        Ok(exit) => exit,
        Err(trouble) => {
            let trouble = took_back(trouble, target, run, means, undone).await;
            Teller::new(run, trouble.host.as_ref()).tell(EventKind::HostFailed(*trouble.failure)).await;
            trouble.exit
        }
    };
    let tally = Tally::default();
    Teller::new(run, Some(&target.name)).tell(EventKind::HostFinished { tally, exit }).await;
    whole.tell(EventKind::RunFinished { tally, exit }).await;
    exit
}

fn with<T>(undone: &Mutex<Undone>, change: impl FnOnce(&mut Undone) -> T) -> T {
    // Whoever panicked with it left it whole: it is only ever set field by field.
    change(&mut undone.lock().unwrap_or_else(PoisonError::into_inner))
}

/// After a failure: starts again what was stopped, and removes what was half-done.
async fn took_back(trouble: Trouble, target: &Target, run: &Run, means: &Means, undone: &Mutex<Undone>) -> Trouble {
    let Undone { stopped, staged, data } = with(undone, std::mem::take);
    if !stopped && !staged {
        return if data.is_empty() { trouble } else { trouble.state(data) };
    }
    let back = async {
        // The line that failed is not to be relied on.
        let mut side = Side::open(target, run).await?;
        let started = match stopped {
            // What runs on half of the data would write into it.
            true => match host::settled(&mut side).await {
                Ok(()) => host::start(&mut side, means).await.map(|_| ()),
                error => error,
            },
            false => Ok(()),
        };
        // What is staged there may be another run's by now; if it can not be told, the next run takes it away.
        if staged && side.lock(run).await.is_ok() {
            let _ = host::sweep(&mut side).await;
        }
        side.close().await;
        started
    };
    match back.await {
        Ok(()) if stopped => trouble.state(&format!("{data}; what was stopped has been started again")),
        Ok(()) => trouble.state(data),
        Err(again) if stopped => {
            let (why, place) = (&again.failure.what, target.place());
            let text = format!(
                "{data}; containers are STOPPED there and could not be started again ({why}): \
                 `bedplate backup {place} --start` starts them, and so does the next backup or restore"
            );
            trouble.state(&text)
        }
        Err(_) => trouble.state(data),
    }
}

/// A host that is worked on step by step.
struct Steps<'a> {
    teller: &'a Teller,
    name: &'static str,
    step: usize,
    steps: usize,
}

impl Steps<'_> {
    /// Tells that a step begins.
    async fn begin(&mut self, action: String) -> Instant {
        self.step += 1;
        let (step, steps, name) = (self.step, self.steps.max(self.step), self.name.to_owned());
        self.teller.tell(EventKind::ActionStarted { task: 0, name, action, step, steps }).await;
        Instant::now()
    }

    /// Tells that it has ended well.
    async fn end(&self, action: String, begun: Instant) {
        self.teller.tell(EventKind::ActionFinished { task: 0, action, took_ms: millis(begun) }).await;
    }
}

/// Does what takes long here without keeping others waiting.
async fn here<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Trouble::new(format!("work on this machine broke off: {error}"), "please report it"))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
