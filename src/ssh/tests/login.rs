//! Logins on a real OpenSSH server.

use std::sync::Arc;

use crate::ssh::{Connector, Policy, Refuse};

use super::sshd::{Sshd, me};
use super::{run, say};

#[tokio::test]
async fn a_key_logs_in_and_a_held_shell_answers_batch_after_batch() {
    let server = Sshd::start("");
    let connection = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&server.target()).await.unwrap();
    let login = connection.login();
    assert_eq!(login.user, me());
    assert!(login.server.starts_with("SSH-2.0-OpenSSH"), "{login:?}");
    assert_eq!(login.cipher, "aes256-gcm@openssh.com");
    assert_eq!(login.host_key, format!("[127.0.0.1]:{} {}", server.port, server.host_key()));
    assert!(login.method.contains("id (SHA256:"), "{login:?}");
    let mut shell = connection.shell().await.unwrap();
    for word in ["one", "two", "it's three\n"] {
        let frames = run(&mut shell, &say(&[word])).await.unwrap();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].body, format!("{word}\0").as_bytes());
    }
    let output = connection.exec("cat; exit 3", b"input").await.unwrap();
    assert_eq!((output.status, output.stdout.as_slice()), (3, b"input".as_slice()));
    assert_eq!(connection.client_address().await.unwrap(), Some("127.0.0.1".parse().unwrap()));
    connection.close().await;
}
