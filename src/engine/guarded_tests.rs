//! Guarded groups against a scripted host that keeps a guard as a real one does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::action::ConfigureSshd;
use crate::base::Digest;
use crate::base::name::HostName;
use crate::engine::{Job, testing};
use crate::machine::{Session, SessionState, SshLogin, SshLoginState, Volatile};
use crate::ssh::fake::{Asked, Fake, Reply};
use crate::ssh::{ConnectError, Connection, Connector, Login};

/// A host: what it is asked, and how it answers.
#[derive(Default)]
struct Host {
    asked: Vec<String>,
    /// The nonce of the guard that is armed.
    armed: Option<String>,
    /// The nonce of the guard that has fired.
    fired: Option<String>,
    confirmed: Option<String>,
    /// Status of the step.
    step: u8,
    /// Fires when somebody wants to confirm: the window is over.
    late: bool,
    /// Users who are let in, as `user@…:port`; everybody when empty.
    lets_in: Vec<String>,
    offers: Vec<String>,
    /// Logins that failed.
    refused: usize,
}

impl Host {
    fn answer(&mut self, asked: &Asked) -> Reply {
        self.asked.push(asked.function.clone());
        let status = |status| Reply { status, body: Vec::new() };
        match asked.function.as_str() {
            "guard_arm" => {
                self.armed = asked.args.get(1).cloned();
                status(0)
            }
            "sshd_configure" => status(self.step),
            "guard_confirm" if self.late => {
                self.fired = self.armed.take();
                status(78)
            }
            "guard_confirm" if self.armed.is_some() && self.armed.as_ref() == asked.args.first() => {
                self.confirmed = self.armed.take();
                status(0)
            }
            "guard_confirm" => status(79),
            "guard_put_back" if self.armed.is_none() => status(79),
            "guard_put_back" => {
                self.fired = self.armed.take();
                status(0)
            }
            "guard_report" => {
                let report = self.fired.as_ref().map(|nonce| format!("nonce={nonce}\nwhy=asked\nat=x\nend=1"));
                Reply::fields([if self.armed.is_some() { "armed" } else { "" }, &report.unwrap_or_default()])
            }
            _ => status(0),
        }
    }

    fn connect(host: &Arc<Mutex<Host>>, target: &Target) -> Result<Connection, ConnectError> {
        let mut state = host.lock().unwrap();
        if !state.lets_in.is_empty() && !state.lets_in.contains(&target.place()) {
            state.refused += 1;
            let (offered, skipped, methods) = Default::default();
            return Err(ConnectError::NoKeyAccepted { place: target.place(), offered, skipped, methods });
        }
        let login = Login { methods_offered: state.offers.clone(), user: target.user.clone(), ..Login::default() };
        let host = host.clone();
        Ok(Connection::fake_as(Fake::new(move |asked| host.lock().unwrap().answer(asked)), login))
    }
}

fn model(settings: &[(&str, &str)], ports: &[u16]) -> Machine {
    let mut machine = Machine::default();
    let session = SessionState {
        client: Volatile::new(None),
        client_port: Volatile::new(None),
        server: Volatile::new(None),
        server_port: Some(22),
        user: "root".into(),
        sudo: false,
    };
    machine.set(Session::Here, session);
    let settings: BTreeMap<_, _> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    for login in ["", "ann"] {
        let login = SshLogin::try_from(login.to_owned()).unwrap();
        let state = SshLoginState {
            settings: settings.clone(),
            ports: ports.iter().copied().collect(),
            deaf: BTreeSet::new(),
            groups: BTreeSet::new(),
            broken: None,
        };
        machine.set(login, state);
    }
    machine
}

/// Runs one guarded step on `host`; what came of it, the events, and where the run goes on.
async fn run(host: Host, after: Machine) -> (Result<(), Stop>, Vec<EventKind>, Host, String) {
    let host = Arc::new(Mutex::new(host));
    let connecting = host.clone();
    let (run, mut incoming) = testing::run(Connector::scripted(move |target| Host::connect(&connecting, target)));
    // Ctrl-C in the window ends no group half way.
    run.stop.cancel();
    let target = Target::new(HostName::new("box").unwrap(), "root");
    let action = ConfigureSshd { files: vec![], meets: BTreeMap::new(), ports: BTreeSet::new(), socket: false };
    let steps = [Step { task: 7, name: "sshd".into(), place: "x.toml:1".into(), action: action.into() }];
    let mut work = Work::new(Job { target: target.clone(), tasks: Vec::new(), playbooks: Digest::of("") }, &run);
    let before = model(&[("permitrootlogin", "yes")], &[22]);
    let lets_in = std::mem::take(&mut host.lock().unwrap().lets_in);
    let mut line = Line::open(&run.connector, &target).await.unwrap();
    host.lock().unwrap().lets_in = lets_in;
    let came = work.guarded(&mut line, (&before, &after), &steps, None, (0, 1)).await;
    let place = line.target.place();
    drop(line);
    drop(work);
    drop(run);
    let mut kinds = Vec::new();
    while let Some(event) = incoming.recv().await {
        kinds.push(event.kind);
    }
    let state = std::mem::take(&mut *host.lock().unwrap());
    (came, kinds, state, place)
}

fn has(kinds: &[EventKind], name: &str) -> bool {
    kinds.iter().any(|kind| serde_json::to_value(kind).unwrap()["event"] == name)
}

#[tokio::test]
async fn a_new_login_confirms() {
    let host = Host { offers: vec!["publickey".into()], ..Host::default() };
    let (came, kinds, host, place) = run(host, model(&[("passwordauthentication", "no")], &[22])).await;
    came.unwrap();
    assert!(has(&kinds, "guard_armed") && has(&kinds, "guard_confirmed"), "{kinds:?}");
    assert!(host.confirmed.is_some() && host.fired.is_none());
    assert_eq!(host.asked[..4], ["guard_arm", "sshd_configure", "guard_note", "guard_confirm"]);
    assert_eq!(place, "root@box");
}

#[tokio::test]
async fn a_step_that_fails_is_put_back_at_once() {
    let (came, kinds, host, _) = run(Host { step: 1, ..Host::default() }, model(&[], &[22])).await;
    let stop = came.unwrap_err();
    assert_eq!(stop.exit, Exit::GuardRestored);
    assert!(stop.failure.what.contains("task 7 `sshd`"), "{}", stop.failure.what);
    assert!(has(&kinds, "guard_restored") && host.fired.is_some());
    assert!(!host.asked.contains(&"guard_confirm".to_owned()), "nobody confirms half a group");
}

#[tokio::test]
async fn who_is_not_let_in_has_it_put_back_and_knocks_only_once() {
    let host = Host { lets_in: vec!["somebody@else".into()], ..Host::default() };
    let (came, kinds, host, _) = run(host, model(&[], &[22])).await;
    let stop = came.unwrap_err();
    assert_eq!(stop.exit, Exit::GuardRestored);
    assert!(stop.failure.what.contains("accepted no key"), "{}", stop.failure.what);
    assert!(has(&kinds, "guard_restored") && host.fired.is_some() && host.confirmed.is_none());
    assert_eq!(host.refused, 1, "sshd punishes those who insist");
}

#[tokio::test]
async fn passwords_that_are_still_offered_confirm_nothing() {
    let host = Host { offers: vec!["publickey".into(), "password".into()], ..Host::default() };
    let (came, _, host, _) = run(host, model(&[("passwordauthentication", "no")], &[22])).await;
    let stop = came.unwrap_err();
    assert!(stop.failure.what.contains("publickey, password"), "{}", stop.failure.what);
    assert!(host.fired.is_some() && host.confirmed.is_none());
    // Where they are not declared off it is nobody's concern.
    let host = Host { offers: vec!["publickey".into(), "password".into()], ..Host::default() };
    let (came, ..) = run(host, model(&[("passwordauthentication", "yes")], &[22])).await;
    came.unwrap();
}

#[tokio::test]
async fn a_confirmation_that_comes_too_late_is_told_as_put_back() {
    let (came, kinds, host, _) = run(Host { late: true, ..Host::default() }, model(&[], &[22])).await;
    assert_eq!(came.unwrap_err().exit, Exit::GuardRestored);
    assert!(has(&kinds, "guard_restored") && host.confirmed.is_none());
}

#[tokio::test]
async fn the_run_goes_on_by_the_new_port() {
    let host = Host { lets_in: vec!["root@box:2222".into()], ..Host::default() };
    let (came, kinds, host, place) = run(host, model(&[], &[22, 2222])).await;
    came.unwrap();
    assert_eq!(place, "root@box:2222");
    assert!(host.confirmed.is_some());
    let login = kinds.iter().find_map(|kind| match kind {
        EventKind::GuardConfirmed { login, .. } => Some(login.as_str()),
        _ => None,
    });
    assert_eq!(login, Some("root@box:2222"));
}

#[tokio::test]
async fn whoever_still_may_confirms_when_root_is_shut_out() {
    let host = Host { lets_in: vec!["ann@box".into()], ..Host::default() };
    let (came, _, host, place) = run(host, model(&[("permitrootlogin", "no")], &[22])).await;
    came.unwrap();
    assert_eq!((place.as_str(), host.confirmed.is_some()), ("ann@box", true));
}

#[tokio::test]
async fn a_look_beside_a_proof_is_waited_for_unless_the_proof_has_failed() {
    let slow = async {
        tokio::task::yield_now().await;
        Some(3)
    };
    assert_eq!(beside(async { Ok::<_, ()>(1) }, slow).await, (Ok(1), Some(3)));
    // The window is not spent on waiting for it.
    let never = std::future::pending::<Option<i32>>();
    assert_eq!(beside(async { Err::<i32, _>(()) }, never).await, (Err(()), None));
}
