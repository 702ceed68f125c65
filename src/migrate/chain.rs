//! The move in its order: look, copy while the app serves, stop, copy what has changed, compare, and afterwards settle or
//! take back. Each part comes to both hosts anew, so any of them can be the first of another run.

use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::copy::COPY;
use super::freight::Freight;
use super::manifest::{self};
use super::side::{Side, Trouble, millis};
use super::{Manner, Means, back, forward, freeze, survey, thaw};
use crate::base::Exit;
use crate::base::event::{EventKind, Tally};
use crate::engine::{Run, Teller};
use crate::inventory::deploy::{Deploy, Proxy};
use crate::shell::Call;
use crate::ssh::Target;

/// What a move is about.
#[derive(Debug)]
pub struct Move {
    /// The old host.
    pub old: Target,
    /// The new host.
    pub new: Target,
    /// The deployer's login.
    pub user: String,
    /// Kamal's configuration, where there is one.
    pub deploy: Option<Deploy>,
    /// The host's roles and accessories.
    pub groups: Vec<String>,
    /// Volumes and paths besides.
    pub also: Vec<String>,
    /// Volumes and paths that stay.
    pub skip: Vec<String>,
    /// How copies are made.
    pub manner: Manner,
    /// How what writes is stopped.
    pub means: Means,
    /// Whether what still comes to the old host is to go on to the new one.
    pub forward: bool,
    /// Whether what is on the new host may be overwritten.
    pub overwrite: bool,
}

/// How far a new host is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Copying,
    Verified,
    /// The deployer may have begun.
    Switching,
    Switched,
    /// Taken back after it had served.
    Aborted,
}

const STAGES: [Stage; 5] = [Stage::Copying, Stage::Verified, Stage::Switching, Stage::Switched, Stage::Aborted];

impl Stage {
    pub(super) fn word(self) -> &'static str {
        match self {
            Stage::Copying => "copying",
            Stage::Verified => "verified",
            Stage::Switching => "switching",
            Stage::Switched => "switched",
            Stage::Aborted => "aborted",
        }
    }
}

/// What parts of a move leave for those after them.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// What is moved.
    pub freight: Freight,
    /// How long the first copy took.
    pub first_copy: Duration,
    /// How long a second pass over everything took, with the look on both sides.
    pub second_pass: Duration,
    /// When the app was stopped.
    pub stopped: Option<Instant>,
    /// What an earlier run had stopped and nobody has started since.
    pub stopped_before: Vec<String>,
    /// By which addresses of IPv6 the world reaches the old host and the new one.
    pub ipv6: (Vec<Ipv6Addr>, Vec<Ipv6Addr>),
    /// How far an earlier run had come.
    pub earlier: Earlier,
    /// Whether this very run has started the deployer.
    pub deployed: bool,
}

/// How far an earlier run had come with what can be gone on with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Earlier {
    /// Not behind the last copy: all of it is done anew, and copies go fast.
    #[default]
    Copied,
    /// It may have begun to deploy: nothing is copied any more.
    Deploying,
    /// The new host serves; what still comes to the old one can be handed on.
    Moved,
}

/// A part of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// See what there is to move, and whether it can be.
    Look,
    /// Copy it while the app serves.
    FirstCopy,
    /// Pass over it again while the app serves: what the last copy would take.
    Rehearse,
    /// Stop what writes, copy the rest, compare.
    FinalCopy,
    /// Hand on to the new host what still comes to the old one.
    Forward,
    /// Start again what was stopped, and stop the app on the new host.
    Abort,
    /// Write down that the deployer begins: from then on nothing is copied over the new host.
    Switching,
    /// Write down that the new host serves.
    Settle,
    /// Remove what was installed and kept for the copies.
    Tidy,
}

/// Does a part, and tells it from `RunStarted` to `RunFinished`. Gives what the process would end with.
pub async fn part(part: Part, job: Arc<Move>, run: Run, kept: Arc<Mutex<Kept>>) -> Exit {
    let whole = Teller::new(&run, None);
    let hosts = vec![job.old.name.clone(), job.new.name.clone()];
    let (command, version, arguments) = ("migrate".to_owned(), run.version.clone(), run.arguments.clone());
    whole.tell(EventKind::RunStarted { command, version, hosts, arguments }).await;
    let interrupted = || Trouble { exit: Exit::Interrupted, ..Trouble::new("interrupted", "run again to go on") };
    let worked = match part {
        // Whoever goes back is not to be stopped half-way.
        Part::Abort => back::back(&job, &run, &kept).await,
        _ => tokio::select! {
            worked = work(part, &job, &run, &kept) => worked,
            () = run.stop.cancelled() => Err(interrupted()),
        },
    };
    let worked = match worked {
        Err(trouble) if part == Part::FinalCopy => Err(back::took_back(trouble, &job, &run, &kept).await),
        Err(trouble) => {
            back::keys(&job, &run, part).await;
            Err(trouble)
        }
        worked => worked,
    };
    let exit = match worked {
        Ok(()) => Exit::Done,
        Err(trouble) => {
            let teller = Teller::new(&run, trouble.host.as_ref());
            teller.tell(EventKind::HostFailed(*trouble.failure)).await;
            trouble.exit
        }
    };
    for target in [&job.old, &job.new] {
        let tally = Tally::default();
        Teller::new(&run, Some(&target.name)).tell(EventKind::HostFinished { tally, exit }).await;
    }
    whole.tell(EventKind::RunFinished { tally: Tally::default(), exit }).await;
    exit
}

pub(super) fn with<T>(kept: &Mutex<Kept>, change: impl FnOnce(&mut Kept) -> T) -> T {
    // Whoever panicked with it left it whole: it is only ever set field by field.
    let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    change(&mut kept)
}

async fn work(part: Part, job: &Move, run: &Run, kept: &Mutex<Kept>) -> Result<(), Trouble> {
    let (old, new) = tokio::join!(Side::open(&job.old, run), Side::open(&job.new, run));
    let (mut old, mut new) = (old?, new?);
    if old.connection.login().host_key == new.connection.login().host_key && !old.connection.login().host_key.is_empty()
    {
        let what = "both hosts show the same host key: they are one, or one is a copy of the other's disk";
        return Err(Trouble::refused(
            what,
            "name another host behind `--to`; a copied disk needs host keys of its own",
        ));
    }
    let mut both = Both { job, run, old: &mut old, new: &mut new, steps: (0, 0) };
    let result = match part {
        Part::Look => both.look().await.map(|(freight, earlier)| {
            with(kept, |kept| (kept.freight, kept.earlier) = (freight, earlier));
        }),
        // A run that deploys again what an earlier one had begun to deploy has nothing to copy.
        Part::FirstCopy | Part::FinalCopy if both.is_deploying().await?.is_some() => {
            both.new.note("nothing is copied any more: an earlier run had begun to deploy there").await;
            Ok(())
        }
        Part::FirstCopy => both.first_copy(kept).await,
        Part::Rehearse => both.rehearse(kept).await,
        Part::FinalCopy => both.final_copy(kept).await,
        Part::Forward => both.forward().await,
        // Going back needs the old host alone.
        Part::Abort => Ok(()),
        Part::Switching => {
            with(kept, |kept| kept.deployed = true);
            both.switching().await
        }
        Part::Settle => both.settle(kept).await,
        Part::Tidy => both.tidy().await,
    };
    old.close().await;
    new.close().await;
    result
}

/// Both hosts, in a part of a move.
pub(super) struct Both<'a> {
    pub(super) job: &'a Move,
    pub(super) run: &'a Run,
    pub(super) old: &'a mut Side,
    pub(super) new: &'a mut Side,
    /// Steps begun, and how many there are.
    pub(super) steps: (usize, usize),
}

impl Both<'_> {
    pub(super) async fn lock(&mut self) -> Result<(), Trouble> {
        self.old.lock(self.run).await?;
        self.new.lock(self.run).await
    }

    /// Tells that a step begins.
    pub(super) async fn begin(&mut self, action: &str) -> Instant {
        self.steps.0 += 1;
        let (step, steps) = (self.steps.0, self.steps.1.max(self.steps.0));
        let (action, name) = (action.to_owned(), "migrate".to_owned());
        self.new.teller.tell(EventKind::ActionStarted { task: 0, name, action, step, steps }).await;
        Instant::now()
    }

    /// Tells that it has ended well.
    pub(super) async fn end(&mut self, action: String, begun: Instant) {
        self.new.teller.tell(EventKind::ActionFinished { task: 0, action, took_ms: millis(begun) }).await;
    }

    /// Whose data the new host is being filled with, and how far.
    pub(super) async fn marked(&mut self) -> Result<Option<(String, Stage)>, Trouble> {
        marked(self.new).await
    }

    pub(super) async fn mark(&mut self, stage: Stage) -> Result<(), Trouble> {
        let text = format!("{} {}", self.old.connection.login().host_key_fingerprint, stage.word());
        self.new.act("writing down how far it is", Call::new(&COPY, "copy_mark").arg(text)).await.map(|_| ())
    }

    async fn forward(&mut self) -> Result<(), Trouble> {
        self.lock().await?;
        let mut ports: Vec<u16> = match &self.job.deploy {
            Some(deploy) => deploy.proxies(&self.job.groups).into_iter().flat_map(Proxy::ports).collect(),
            None => vec![80, 443],
        };
        ports.sort_unstable();
        ports.dedup();
        forward::start(self.old, &self.job.new.address, &ports).await?;
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        self.old.note(format!("forwards {} to {}", ports.join(" and "), self.job.new.address)).await;
        Ok(())
    }

    async fn marked_as(&mut self, stage: Stage) -> Result<(), Trouble> {
        self.lock().await?;
        self.mark(stage).await
    }

    /// From here on the old host stays stopped: first it is kept from going back by itself, then the new one may serve.
    async fn switching(&mut self) -> Result<(), Trouble> {
        self.lock().await?;
        // A run that deploys again finds the host kept from it.
        if self.is_deploying().await?.is_none() {
            thaw::claim(self.old).await?;
        }
        self.mark(Stage::Switching).await
    }

    async fn settle(&mut self, kept: &Mutex<Kept>) -> Result<(), Trouble> {
        if let (Ok(old), Ok(new)) = (survey::ipv6(self.old).await, survey::ipv6(self.new).await) {
            with(kept, |kept| kept.ipv6 = (old, new));
        }
        self.marked_as(Stage::Switched).await?;
        let (old, new) = (&self.job.old, &self.job.new);
        let text = format!(
            "The app of this host has moved to {} on {}. Its containers are stopped here and its data kept as they were then.\n\
             To go back: bedplate migrate {} --to {} --abort",
            new.address,
            jiff::Timestamp::now().strftime("%Y-%m-%d"),
            old.place(),
            new.place()
        );
        freeze::moved(self.old, &text).await
    }

    async fn tidy(&mut self) -> Result<(), Trouble> {
        self.lock().await?;
        for side in [&mut *self.old, &mut *self.new] {
            manifest::forget(side).await?;
            side.act("removing what was installed for the copy", Call::new(&COPY, "copy_unpack")).await?;
        }
        Ok(())
    }
}

/// Whose data a new host is being filled with, and how far.
pub(super) async fn marked(new: &mut Side) -> Result<Option<(String, Stage)>, Trouble> {
    let answers = new.ask(vec![Call::new(&COPY, "copy_marked")]).await?;
    let text = answers.first().map(|(_, body)| String::from_utf8_lossy(body).trim().to_owned()).unwrap_or_default();
    Ok(text
        .split_once(' ')
        .and_then(|(from, stage)| Some((from.to_owned(), STAGES.into_iter().find(|known| known.word() == stage)?))))
}
