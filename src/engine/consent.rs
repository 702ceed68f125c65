//! One question for a whole run: every host plans first, then the operator is asked once, then all go on or none does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::base::name::HostName;

/// What the operator said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consented {
    /// Go on.
    Yes,
    /// Do not.
    No,
    /// There is nobody to ask.
    NotAskable,
    /// All hosts or none, and one of them failed before it had a plan.
    NotAll,
}

/// Puts the question: hosts that would be changed, with the number of their tasks that differ.
pub type Question = Arc<dyn Fn(Vec<(HostName, usize)>) -> BoxFuture<'static, Consented> + Send + Sync>;

/// Gathers the plans of all hosts, asks once, and tells every host the answer.
#[derive(Clone)]
pub struct Consent {
    question: Option<Question>,
    /// Whether nobody goes on when one host has failed before it had a plan.
    all_or_none: bool,
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    answer: watch::Sender<Option<Consented>>,
}

/// How far the hosts are.
struct Waiting {
    /// Hosts that have not planned or failed yet.
    left: usize,
    /// The changes of those that have planned.
    planned: BTreeMap<HostName, usize>,
    /// Whether one has failed.
    failed: bool,
}

impl Consent {
    /// For `hosts` hosts. Without a `question` all go on at once.
    pub fn new(hosts: usize, question: Option<Question>) -> Self {
        let waiting = Mutex::new(Waiting { left: hosts, planned: BTreeMap::new(), failed: false });
        let shared = Arc::new(Shared { waiting, answer: watch::Sender::new(None) });
        Self { question, all_or_none: false, shared }
    }

    /// The same, and nobody goes on unless all hosts could.
    #[must_use]
    pub fn all_or_none(self) -> Self {
        Self { all_or_none: true, ..self }
    }

    /// The same question, to be put anew about `hosts` other hosts.
    #[must_use]
    pub(super) fn anew(&self, hosts: usize) -> Self {
        Self { all_or_none: self.all_or_none, ..Self::new(hosts, self.question.clone()) }
    }

    /// The host `name` has planned `changes` changes: waits for all other hosts and for the answer.
    pub async fn planned(&self, name: &HostName, changes: usize) -> Consented {
        let mut answer = self.shared.answer.subscribe();
        self.account(Some((name.clone(), changes))).await;
        if changes == 0 || (self.question.is_none() && !self.all_or_none) {
            return Consented::Yes;
        }
        loop {
            if let Some(said) = *answer.borrow_and_update() {
                return said;
            }
            // The sender lives as long as `self`.
            if answer.changed().await.is_err() {
                return Consented::NotAskable;
            }
        }
    }

    /// A host has failed before it had a plan.
    pub async fn passed(&self) {
        self.account(None).await;
    }

    async fn account(&self, planned: Option<(HostName, usize)>) {
        let (hosts, failed) = {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.left = waiting.left.saturating_sub(1);
            waiting.failed |= planned.is_none();
            if let Some((name, changes)) = planned.filter(|(_, changes)| *changes > 0) {
                waiting.planned.insert(name, changes);
            }
            if waiting.left > 0 || waiting.planned.is_empty() {
                return;
            }
            (waiting.planned.clone(), waiting.failed)
        };
        let said = match &self.question {
            _ if failed && self.all_or_none => Consented::NotAll,
            Some(question) => question(hosts.into_iter().collect()).await,
            None => Consented::Yes,
        };
        self.shared.answer.send_replace(Some(said));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn name(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    #[tokio::test]
    async fn all_hosts_are_asked_about_once_when_the_last_has_planned() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let question: Question = Arc::new(move |hosts| {
            count.fetch_add(1, Ordering::SeqCst);
            assert_eq!(hosts, [(name("a"), 2), (name("b"), 1)]);
            Box::pin(async { Consented::No })
        });
        let consent = Consent::new(4, Some(question));
        let (a, b) = (name("a"), name("b"));
        let (one, other, same, ()) =
            tokio::join!(consent.planned(&a, 2), consent.planned(&b, 1), consent.planned(&a, 0), consent.passed());
        assert_eq!((one, other, same), (Consented::No, Consented::No, Consented::Yes));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn where_all_or_none_go_on_a_host_that_failed_stops_the_others_unasked() {
        let question: Question = Arc::new(|_| panic!("nobody is asked"));
        for question in [Some(question), None] {
            let consent = Consent::new(2, question).all_or_none();
            let a = name("a");
            let (one, ()) = tokio::join!(consent.planned(&a, 2), consent.passed());
            assert_eq!(one, Consented::NotAll);
        }
        let consent = Consent::new(2, None).all_or_none();
        let (a, b) = (name("a"), name("b"));
        let (one, other) = tokio::join!(consent.planned(&a, 2), consent.planned(&b, 1));
        assert_eq!((one, other), (Consented::Yes, Consented::Yes));
    }

    #[tokio::test]
    async fn nothing_to_change_is_no_question() {
        let question: Question = Arc::new(|_| panic!("nobody is asked"));
        assert_eq!(Consent::new(1, Some(question)).planned(&name("a"), 0).await, Consented::Yes);
        assert_eq!(Consent::new(1, None).planned(&name("a"), 9).await, Consented::Yes);
    }
}
