//! Tests of many hosts: scripted ones, of which some can not be reached.

use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::rollout::BatchSize;
use super::{Consent, Consented, Job, Mode, Rollout, Run, testing};
use crate::base::event::EventKind;
use crate::base::name::HostName;
use crate::base::{Digest, Exit};
use crate::ssh::{ConnectError, Connector, Target};

fn jobs(count: usize) -> Vec<Job> {
    let name = |number| HostName::new(format!("host{number}")).unwrap();
    let job = |number| Job { target: Target::new(name(number), "root"), tasks: Vec::new(), playbooks: Digest::of("") };
    (1..=count).map(job).collect()
}

/// What came of a run over `count` hosts that can not be reached: which were dialled, which were not begun, the exit.
struct Ran {
    dialled: Vec<String>,
    not_begun: Vec<String>,
    notes: Vec<String>,
    exit: Exit,
}

async fn ran(count: usize, rollout: Rollout, change: impl FnOnce(&mut Run)) -> Ran {
    let dialled = Arc::new(Mutex::new(Vec::new()));
    let log = dialled.clone();
    let connector = Connector::scripted(move |target: &Target| {
        log.lock().unwrap().push(target.name.to_string());
        Err(ConnectError::Refused { address: target.address.clone(), port: target.port })
    });
    let (mut run, mut events) = testing::run(connector);
    run.mode = Mode::Check;
    run.rollout = rollout;
    change(&mut run);
    let told = tokio::spawn(async move {
        let (mut not_begun, mut notes) = (Vec::new(), Vec::new());
        while let Some(event) = events.recv().await {
            match (event.kind, event.host) {
                (EventKind::HostNotBegun { .. }, host) => not_begun.push(host.unwrap().to_string()),
                (EventKind::Note { text }, None) => notes.push(text),
                _ => {}
            }
        }
        (not_begun, notes)
    });
    let exit = super::fleet::run(jobs(count), run, "check").await;
    let (not_begun, notes) = told.await.unwrap();
    let dialled = dialled.lock().unwrap().clone();
    Ran { dialled, not_begun, notes, exit }
}

fn sizes(text: &str) -> Vec<BatchSize> {
    text.split(',').map(|size| size.parse().unwrap()).collect()
}

#[tokio::test]
async fn without_a_limit_every_host_is_begun() {
    let ran = ran(5, Rollout::default(), |_| {}).await;
    assert_eq!((ran.dialled.len(), ran.not_begun.len(), ran.exit), (5, 0, Exit::Unreachable));
    assert!(ran.notes.is_empty());
}

#[tokio::test]
async fn after_so_many_failures_no_further_host_is_begun() {
    // One place, so that the hosts go one after another.
    let ran = ran(6, Rollout::new(Vec::new(), Some(2)), |_| {}).await;
    assert_eq!((ran.dialled.len(), ran.not_begun.len(), ran.exit), (2, 4, Exit::Unreachable));
}

#[tokio::test]
async fn a_canary_that_fails_spares_all_others() {
    let places = |run: &mut Run| run.places = Arc::new(Semaphore::new(16));
    let ran = ran(7, Rollout::new(sizes("1,3"), None), places).await;
    assert_eq!(ran.dialled, ["host1"]);
    assert_eq!(ran.not_begun.len(), 6);
    assert_eq!(ran.notes, ["batch 1 of 3: host1"], "batches that do not begin are not announced");
}

#[tokio::test]
async fn batches_follow_each_other_while_failures_are_allowed() {
    let places = |run: &mut Run| run.places = Arc::new(Semaphore::new(16));
    let ran = ran(7, Rollout::new(sizes("1,3"), Some(2)), places).await;
    // The second batch is worked on side by side, and has begun as a whole when its first host fails.
    assert_eq!(ran.dialled[0], "host1");
    let second: std::collections::BTreeSet<&str> = ran.dialled[1..].iter().map(String::as_str).collect();
    assert!(second.iter().all(|host| ["host2", "host3", "host4"].contains(host)), "{second:?}");
    assert!(ran.not_begun.iter().filter(|host| ["host5", "host6", "host7"].contains(&host.as_str())).count() == 3);
    assert_eq!(ran.dialled.len() + ran.not_begun.len(), 7);
}

#[tokio::test]
async fn a_run_that_is_interrupted_leaves_hosts_that_it_has_not_begun_alone() {
    let ran = ran(4, Rollout::default(), |run| run.stop.cancel()).await;
    assert_eq!((ran.dialled.len(), ran.not_begun.len(), ran.exit), (0, 4, Exit::Interrupted));
}

#[tokio::test]
async fn each_batch_is_asked_about_on_its_own() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let question: super::consent::Question = Arc::new(move |hosts: Vec<(HostName, usize)>| {
        log.lock().unwrap().push(hosts.len());
        Box::pin(async { Consented::Yes })
    });
    let first = Consent::new(5, Some(question)).anew(2);
    let (a, b) = (HostName::new("a").unwrap(), HostName::new("b").unwrap());
    let said = tokio::join!(first.planned(&a, 1), first.planned(&b, 1));
    assert_eq!(said, (Consented::Yes, Consented::Yes));
    assert_eq!(first.anew(1).planned(&a, 3).await, Consented::Yes);
    assert_eq!(*asked.lock().unwrap(), [2, 1]);
}
