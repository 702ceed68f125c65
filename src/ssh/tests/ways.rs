//! The way to a host: jump hosts, shared by many, and proxy commands.

use std::sync::Arc;
use std::time::Duration;

use crate::ssh::{ConnectError, Connector, Policy, Refuse, Target};

use super::server::{Conduct, Server, new_key};
use super::sshd::Sshd;
use super::{run, say};

fn logins(server: &Sshd) -> usize {
    server.log().matches("Accepted publickey").count()
}

#[tokio::test]
async fn hosts_behind_a_jump_host_share_one_login_on_it() {
    let (first, second, inner) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let target = Target { jumps: vec![first.target(), second.target()], ..inner.target() };
    let connector = Connector::new(Policy::default(), Arc::new(Refuse));
    let attempts = (0..4).map(|_| connector.connect(&target));
    for connection in futures::future::join_all(attempts).await {
        let connection = connection.unwrap();
        let mut shell = connection.shell().await.unwrap();
        assert_eq!(run(&mut shell, &say(&["through"])).await.unwrap()[0].body, b"through\0");
    }
    assert_eq!((logins(&first), logins(&second), logins(&inner)), (1, 1, 4));
}

#[tokio::test]
async fn a_jump_host_that_fails_is_asked_once_for_all_behind_it() {
    let bastion = Server::start(Conduct::default()).await;
    let jump = bastion.target_with("root", &new_key());
    let inner = Sshd::start("");
    let target = Target { jumps: vec![jump], ..inner.target() };
    let connector = Connector::new(Policy::default(), Arc::new(Refuse));
    for result in futures::future::join_all((0..5).map(|_| connector.connect(&target))).await {
        let error = result.unwrap_err();
        let ConnectError::Jump { source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, ConnectError::NoKeyAccepted { .. }), "{error:?}");
        assert!(error.to_string().contains("accepted no key"), "{error}");
    }
    assert_eq!(*bastion.connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_jump_host_that_forwards_nothing_says_so() {
    let (bastion, inner) = (Sshd::start("AllowTcpForwarding no"), Sshd::start(""));
    let target = Target { jumps: vec![bastion.target()], ..inner.target() };
    let error = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.unwrap_err();
    assert!(matches!(error, ConnectError::Forward { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("AllowTcpForwarding"));
}

#[tokio::test]
async fn a_proxy_command_carries_a_connection() {
    let server = Sshd::start("");
    let command = format!("exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}; cat <&3 & exec cat >&3'", server.port);
    let target = Target { proxy_command: Some(command), ..server.target() };
    let connector = Connector::new(Policy::default(), Arc::new(Refuse));
    let connection = connector.connect(&target).await.unwrap();
    assert_eq!(connection.exec("echo there", b"").await.unwrap().stdout, b"there\n");
    let broken = Target { proxy_command: Some("exit 3".to_owned()), connect_timeout: Duration::from_secs(5), ..target };
    let error = connector.connect(&broken).await.unwrap_err();
    assert!(matches!(error, ConnectError::Closed { .. }), "{error:?}");
}
