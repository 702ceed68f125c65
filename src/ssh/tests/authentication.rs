//! Which keys and passwords are given, in which order, and how refusals are told.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use russh::MethodKind;

use crate::base::Exit;
use crate::ssh::{Agent, ConnectError, Connection, Connector, Policy, Refuse, Target};

use super::Operator;
use super::server::{Conduct, Server, fingerprint, new_key};
use super::sshd::{Sshd, keygen};

async fn connect(target: &Target, policy: Policy, operator: &Arc<Operator>) -> Result<Connection, ConnectError> {
    Connector::new(policy, operator.clone()).connect(target).await
}

/// An agent of our own, ended by its process id.
struct OwnAgent {
    child: std::process::Child,
    socket: std::path::PathBuf,
}

impl Drop for OwnAgent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl OwnAgent {
    fn start(folder: &std::path::Path, keys: &[&str]) -> Self {
        let socket = folder.join("agent");
        crate::tools::need("ssh-agent", "openssh-client");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-agent runs");
        let agent = Self { child, socket };
        let limit = std::time::Instant::now() + Duration::from_secs(20);
        while !agent.socket.exists() {
            assert!(std::time::Instant::now() < limit, "ssh-agent did not start");
            std::thread::yield_now();
        }
        for key in keys {
            let mut add = Command::new("ssh-add");
            add.arg("-q").arg(folder.join(key)).env("SSH_AUTH_SOCK", &agent.socket).stdin(Stdio::null());
            assert!(add.stderr(Stdio::null()).status().unwrap().success(), "ssh-add {key}");
        }
        agent
    }
}

fn authorize(server: &Sshd, key: &str) {
    std::fs::copy(server.path(key).with_extension("pub"), server.path("authorized_keys")).unwrap();
}

#[tokio::test]
async fn every_type_of_key_logs_in_on_openssh() {
    let server = Sshd::start("");
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let name = format!("key_{kind}");
        keygen(&server.path(&name), kind, "");
        authorize(&server, &name);
        let target = Target { keys: vec![server.path(&name)], ..server.target() };
        let connection = connect(&target, Policy::default(), &Operator::default().shared()).await.unwrap();
        assert!(connection.login().method.contains(&name), "{:?}", connection.login());
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_and_only_for_a_key_that_the_host_would_take() {
    let server = Sshd::start("");
    keygen(&server.path("locked"), "ed25519", "open sesame");
    keygen(&server.path("stranger"), "ed25519", "something");
    authorize(&server, "locked");
    let target = Target { keys: vec![server.path("stranger"), server.path("locked")], ..server.target() };
    let operator = Operator { passphrase: Some("open sesame"), ..Operator::default() }.shared();
    let connector = Connector::new(Policy::default(), operator.clone());
    connector.connect(&target).await.unwrap();
    connector.connect(&target).await.unwrap();
    assert_eq!(operator.asked(), [format!("passphrase {}", server.path("locked").display())]);
    let nobody = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.unwrap_err();
    assert!(matches!(&nobody, ConnectError::PassphraseNeeded { path } if *path == server.path("locked")), "{nobody:?}");
    assert_eq!(nobody.exit(), Exit::BadInput);
    let wrong = Operator { passphrase: Some("nonsense"), ..Operator::default() }.shared();
    let error = connect(&target, Policy::default(), &wrong).await.unwrap_err();
    assert!(matches!(error, ConnectError::PassphraseNeeded { .. }), "{error:?}");
    assert_eq!(wrong.asked().len(), 3);
}

#[tokio::test]
async fn an_agent_signs_and_its_other_keys_are_left_alone_where_one_is_named() {
    let server = Sshd::start("");
    for key in ["a1", "a2", "mine"] {
        keygen(&server.path(key), if key == "mine" { "rsa" } else { "ed25519" }, "");
    }
    let agent = OwnAgent::start(server.folder.path(), &["a1", "a2", "mine"]);
    authorize(&server, "mine");
    let any = Target { keys: vec![], keys_named: false, agent: Agent::Socket(agent.socket.clone()), ..server.target() };
    let operator = Operator::default().shared();
    let connection = connect(&any, Policy::default(), &operator).await.unwrap();
    assert!(connection.login().method.contains("in the agent"), "{:?}", connection.login());
    // The private file is gone; the public half names the agent's key.
    let named = Target { keys: vec![server.path("mine.pub")], keys_named: true, identities_only: true, ..any.clone() };
    connect(&named, Policy::default(), &operator).await.unwrap();
    let other = Target { keys: vec![server.path("a1")], ..named };
    let error = connect(&other, Policy::default(), &operator).await.unwrap_err();
    let ConnectError::NoKeyAccepted { offered, .. } = &error else { panic!("{error:?}") };
    assert_eq!(offered.len(), 1, "{offered:?}");
}

#[tokio::test]
async fn refused_keys_are_told_and_few() {
    let keys: Vec<_> = (0..8).map(|_| new_key()).collect();
    let server =
        Server::start(Conduct { methods: vec![MethodKind::PublicKey, MethodKind::Password], ..Conduct::default() })
            .await;
    let mut target = server.target("root");
    for (number, key) in keys.iter().enumerate() {
        let path = server.folder.path().join(format!("id{number}"));
        key.write_openssh_file(&path, Default::default()).unwrap();
        target.keys.push(path);
    }
    target.keys.push(server.folder.path().join("missing"));
    let error = connect(&target, Policy::default(), &Operator::default().shared()).await.unwrap_err();
    let expected: Vec<String> = keys[..5].iter().map(|key| format!("offered {}", fingerprint(key))).collect();
    assert_eq!(server.seen(), expected);
    assert_eq!(error.exit(), Exit::Unreachable);
    let text = error.to_string();
    assert!(keys[..5].iter().all(|key| text.contains(&fingerprint(key))), "{text}");
    let help = error.help().unwrap();
    assert!(help.contains("--ask-password") && help.contains("missing") && help.contains("3 more keys"), "{help}");
}

#[tokio::test]
async fn openssh_ending_the_login_is_told_as_such() {
    let server = Sshd::start("MaxAuthTries 2");
    let mut target = server.target();
    target.keys.clear();
    for number in 0..4 {
        let path = server.path(&format!("k{number}"));
        keygen(&path, "ed25519", "");
        target.keys.push(path);
    }
    let error = connect(&target, Policy::default(), &Operator::default().shared()).await.unwrap_err();
    assert!(matches!(error, ConnectError::TooManyFailures { .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_goes_out_only_when_the_operator_asked_for_it() {
    for methods in [
        vec![MethodKind::PublicKey, MethodKind::Password],
        vec![MethodKind::PublicKey, MethodKind::KeyboardInteractive],
    ] {
        let conduct =
            Conduct { methods, password: Some("hunter22"), prompts: vec!["Password: "], ..Conduct::default() };
        let server = Server::start(conduct).await;
        let key = new_key();
        let target = server.target_with("root", &key);
        let right = Operator { password: Some("hunter22"), ..Operator::default() }.shared();
        let unasked = connect(&target, Policy::default(), &right).await.unwrap_err();
        assert!(matches!(unasked, ConnectError::NoKeyAccepted { .. }), "{unasked:?}");
        assert_eq!(right.asked(), Vec::<String>::new());
        let policy = Policy { ask_password: true, ..Policy::default() };
        let connection = connect(&target, policy, &right).await.unwrap();
        assert_eq!(connection.login().method, "password");
        let wrong = Operator { password: Some("nope"), ..Operator::default() }.shared();
        let error = connect(&target, policy, &wrong).await.unwrap_err();
        assert!(matches!(error, ConnectError::WrongPassword { .. }), "{error:?}");
        assert_eq!(server.seen().iter().filter(|seen| seen.contains("nope")).count(), 1, "{:?}", server.seen());
    }
}

#[tokio::test]
async fn an_expired_password_is_told_and_never_changed() {
    let conduct = Conduct {
        methods: vec![MethodKind::KeyboardInteractive],
        password: Some("hunter22"),
        prompts: vec!["Password: ", "You are required to change your password immediately.\nNew password: "],
        ..Conduct::default()
    };
    let server = Server::start(conduct).await;
    let operator = Operator { password: Some("hunter22"), ..Operator::default() }.shared();
    let policy = Policy { ask_password: true, ..Policy::default() };
    let error = connect(&server.target("root"), policy, &operator).await.unwrap_err();
    assert!(matches!(error, ConnectError::PasswordExpired { .. }), "{error:?}");
    assert_eq!(server.seen(), ["answer hunter22"]);
}

#[tokio::test]
async fn the_methods_that_a_host_offers_are_learned_on_request() {
    let server = Sshd::start("PasswordAuthentication no\nKbdInteractiveAuthentication no");
    let policy = Policy { learn_methods: true, ..Policy::default() };
    let connection = connect(&server.target(), policy, &Operator::default().shared()).await.unwrap();
    assert_eq!(connection.login().methods_offered, ["publickey"]);
    let server = Sshd::start("PasswordAuthentication yes\nKbdInteractiveAuthentication no");
    let connection = connect(&server.target(), policy, &Operator::default().shared()).await.unwrap();
    assert_eq!(connection.login().methods_offered, ["publickey", "password"]);
}
