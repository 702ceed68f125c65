//! The way back: the old host's containers are started again, after a failure or on request, whether the new host is there
//! or not. The old host is what counts: everything else is told and gone past.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::chain::{Kept, Move, Part, Stage, marked, with};
use super::copy::COPY;
use super::freight::{self, Candidates, Freight, Wishes};
use super::side::{Side, Trouble, time};
use super::{forward, freeze, survey, thaw};
use crate::base::Exit;
use crate::base::event::EventKind;
use crate::engine::{Run, Teller};
use crate::shell::Call;

/// How long the old host is tried to be reached again after a failure.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a deploy is waited for that a killed run may have left behind.
const DEPLOY: Duration = Duration::from_secs(45);
/// How long it is tried to be reached for the keys alone.
const KEYS: Duration = Duration::from_secs(120);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(3);

/// Starts the old host's containers again after a failure behind the freeze, and says so.
pub(super) async fn took_back(trouble: Trouble, job: &Move, run: &Run, kept: &Mutex<Kept>) -> Trouble {
    if with(kept, |kept| kept.stopped).is_none() {
        keys(job, run, Part::FinalCopy).await;
        let before = with(kept, |kept| kept.stopped_before.clone());
        return match before.is_empty() {
            true => trouble.state("nothing was stopped: the app serves on the old host"),
            false => {
                trouble.state("the app is still stopped on the old host, since an earlier run; `--abort` starts it")
            }
        };
    }
    let until = Instant::now() + PATIENCE + Duration::from_secs(job.means.patience.into());
    let mut last = loop {
        match start(job, run).await {
            Ok(()) => {
                keys(job, run, Part::FinalCopy).await;
                return trouble
                    .state("what was stopped on the old host has been started again: the app serves there as before");
            }
            Err(again) if Instant::now() > until => break again,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    let place = job.old.place();
    let why = std::mem::take(&mut last.failure.what);
    let text = format!(
        "the app is STOPPED on the old host, and could not be started again from here ({why}). The host does so by itself \
         {} s after it has lost this machine; `bedplate migrate {place} --to {} --abort` does it at once",
        job.means.grace.as_secs(),
        job.new.place()
    );
    trouble.state(&text)
}

/// Starts what was stopped on the old host. Its lock is waited for: a `docker stop` that goes on there holds it.
async fn start(job: &Move, run: &Run) -> Result<(), Trouble> {
    let mut old = Side::open(&job.old, run).await?;
    old.lock(run).await?;
    forward::stop(&mut old).await?;
    let names = freeze::start(&mut old, &job.means).await?;
    if names.is_empty() {
        old.note("nothing was stopped").await;
    } else {
        old.note(format!("started again: {}", names.join(", "))).await;
    }
    old.close().await;
    Ok(())
}

/// Takes back keys that were lent, as far as the old host can be reached; they are of no use after some minutes anyway.
pub(super) async fn keys(job: &Move, run: &Run, part: Part) {
    if !matches!(part, Part::FirstCopy | Part::Rehearse | Part::FinalCopy) {
        return;
    }
    // A host that reboots is there again soon; whoever has interrupted the run is not kept waiting for it.
    let until = Instant::now() + KEYS;
    let mut told = false;
    loop {
        match Side::open(&job.old, run).await {
            Ok(mut old) => {
                let call = Call::new(&COPY, "copy_take_back").arg(&old.connection.login().user);
                let _ = old.act("taking the key back", call).await;
                old.close().await;
                return;
            }
            Err(trouble) if Instant::now() < until && !run.stop.is_cancelled() => {
                if !std::mem::replace(&mut told, true) {
                    let text = format!(
                        "{}: it is tried again for {} to take back the key that was lent to the new host; Ctrl-C leaves that to \
                         the next run, and the key is of no use after ten minutes",
                        trouble.failure.what,
                        time(KEYS)
                    );
                    Teller::new(run, Some(&job.old.name)).tell(EventKind::Note { text }).await;
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = run.stop.cancelled() => return,
                }
            }
            Err(_) => return,
        }
    }
}

/// Puts the old host back in service. Errors: it could not be, or there is nothing to go back from.
pub(super) async fn back(job: &Move, run: &Run, kept: &Mutex<Kept>) -> Result<(), Trouble> {
    let mut old = Side::open(&job.old, run).await?;
    let begun = freeze::has_begun(&mut old).await?;
    let gone_back = thaw::has_fired(&mut old).await?;
    let fingerprint = old.connection.login().host_key_fingerprint.clone();
    if gone_back {
        old.note("has started again by itself what the move had stopped").await;
    }
    old.close().await;
    if !begun && !gone_back {
        let what = "nothing was stopped on the old host by a move";
        let help =
            "look at which host is which: the old one comes first, the new one behind `--to`; nothing was changed";
        return Err(Trouble { exit: Exit::BadInput, ..Trouble::new(what, help) }.on(&job.old.name));
    }
    if let Err(trouble) = give_up(job, run, &fingerprint, kept).await {
        let text = format!(
            "the app could not be stopped on the new host ({}): see to it that it does not run there as well",
            trouble.failure.what
        );
        Teller::new(run, Some(&job.new.name)).tell(EventKind::Note { text }).await;
    }
    start(job, run).await
}

/// Takes the app away from the new host: two of one app would both do its work. Its data stay.
async fn give_up(job: &Move, run: &Run, fingerprint: &str, kept: &Mutex<Kept>) -> Result<(), Trouble> {
    let mut new = Side::open(&job.new, run).await?;
    new.lock(run).await?;
    let stage = match marked(&mut new).await? {
        Some((from, stage)) if from == fingerprint => stage,
        _ => {
            new.note("nothing of the old host's was brought here: it is left as it is").await;
            new.close().await;
            return Ok(());
        }
    };
    // Where this run has stopped the old host itself, nobody can have come to the new one; where it has deployed itself,
    // that is over.
    let (own, deployed) = with(kept, |kept| (kept.stopped.is_some(), kept.deployed));
    if !deployed {
        nobody_deploys(&mut new, &job.user).await?;
    }
    let host = survey::survey(&mut new, &job.user).await?;
    let mut there = Freight::default();
    if !host.docker.is_empty() {
        let wishes = Wishes { deploy: job.deploy.as_ref(), groups: &job.groups, also: &job.also, skip: &job.skip };
        let candidates = Candidates { wrong: Vec::new(), ..freight::candidates(&host, &host.home, wishes) };
        let paths: Vec<String> = candidates.found.iter().map(|candidate| candidate.from.clone()).collect();
        let found = survey::paths(&mut new, &paths).await?;
        there = freight::freight(&host, candidates, &found);
    }
    // What came to an app that has run there is there only: it takes consent to copy over it. Written down before the app
    // is taken away, or another attempt could not tell.
    let begun = host.containers.iter().any(|container| container.label("service").is_some());
    let served = matches!(stage, Stage::Switched | Stage::Aborted) || (stage == Stage::Switching && !own && begun);
    let mark = async |new: &mut Side, stage: Stage| {
        let text = format!("{fingerprint} {}", stage.word());
        new.act("writing down how far it is", Call::new(&COPY, "copy_mark").arg(text)).await
    };
    if served {
        mark(&mut new, Stage::Aborted).await?;
    }
    let names: Vec<String> = there.apps.iter().chain(&there.others).cloned().collect();
    if !names.is_empty() {
        freeze::stop_all(&mut new, &names, &job.means).await?;
        // Kamal passes over an accessory whose container is there, running or not.
        let kamal = |name: &String| {
            host.containers.iter().any(|container| container.name == *name && container.label("service").is_some())
        };
        let made: Vec<String> = names.iter().filter(|name| kamal(name)).cloned().collect();
        freeze::remove(&mut new, &made).await?;
        new.note(format!("stopped on the new host: {}", names.join(", "))).await;
    }
    if !served {
        mark(&mut new, Stage::Copying).await?;
    }
    new.close().await;
    Ok(())
}

/// Waits until no deploy runs on the new host: one that a killed run has left behind would start the app there again.
async fn nobody_deploys(new: &mut Side, user: &str) -> Result<(), Trouble> {
    let until = Instant::now() + DEPLOY;
    let mut told = false;
    loop {
        let answers = new.ask(vec![Call::new(&COPY, "copy_deploys").arg(user)]).await?;
        let locks =
            answers.first().map(|(_, body)| String::from_utf8_lossy(body).trim().to_owned()).unwrap_or_default();
        if locks.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            new.note(format!(
                "{locks} is still there: end the deploy if one runs, or it starts the app here as well; if none does, \
                 `kamal lock release`"
            ))
            .await;
            return Ok(());
        }
        if !told {
            new.note(format!("a deploy runs here or was cut off: it is waited for ({locks})")).await;
            told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
