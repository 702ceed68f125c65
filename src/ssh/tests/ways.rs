//! The way to a host: jump hosts, shared by many, and proxy commands.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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

/// A proxy command of one process: what it is killed with leaves nothing behind.
fn through(proxy: &Sshd, server: &Sshd) -> String {
    let known = proxy.path("proxy_known_hosts");
    std::fs::write(&known, format!("[127.0.0.1]:{} {}\n", proxy.port, proxy.host_key())).unwrap();
    format!(
        "exec ssh -F none -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={} -p {} -W 127.0.0.1:{} 127.0.0.1",
        proxy.path("id").display(),
        known.display(),
        proxy.port,
        server.port
    )
}

#[tokio::test]
async fn a_proxy_command_carries_a_connection_and_ends_with_it() {
    let (proxy, server) = (Sshd::start(""), Sshd::start(""));
    let target = Target { proxy_command: Some(through(&proxy, &server)), ..server.target() };
    let connector = Connector::new(Policy::default(), Arc::new(Refuse));
    let connection = connector.connect(&target).await.unwrap();
    assert_eq!(connection.exec("echo there", b"").await.unwrap().stdout, b"there\n");
    connection.close().await;
    let limit = Instant::now() + Duration::from_secs(20);
    // Its own server sees it go.
    while !["closed by", "reset by", "Disconnected from"].iter().any(|end| proxy.log().contains(end)) {
        assert!(Instant::now() < limit, "the proxy command lives on: {}", proxy.log());
        tokio::task::yield_now().await;
    }
    let broken = Target { proxy_command: Some("exit 3".to_owned()), connect_timeout: Duration::from_secs(1), ..target };
    let error = connector.connect(&broken).await.unwrap_err();
    assert!(matches!(error, ConnectError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_jump_host_that_was_away_for_a_moment_is_tried_again() {
    let (bastion, inner) = (Sshd::start(""), Sshd::start(""));
    let connector = Connector::new(Policy::default(), Arc::new(Refuse));
    // Nothing listens there yet: the port is bound and let go again.
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = away.local_addr().unwrap().port();
    drop(away);
    let jump = Target { port, host_key_alias: Some("bastion".to_owned()), ..bastion.target() };
    let known = bastion.path("alias_known_hosts");
    std::fs::write(&known, format!("bastion {}\n", bastion.host_key())).unwrap();
    let target = Target { jumps: vec![Target { known_hosts: vec![known], ..jump }], ..inner.target() };
    let error = connector.connect(&target).await.unwrap_err();
    assert!(error.is_passing(), "{error:?}");
    let (_relay, _) = super::unfit::relay_at(port, bastion.port).await;
    connector.connect(&target).await.unwrap();
}

/// A server on loopback that turns the first `refused` connections away with `greeting`, as one does that limits logins,
/// and passes the others on to `port`; and how many came.
async fn turning_away(refused: usize, greeting: &'static [u8], port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = came.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            if counted.fetch_add(1, Ordering::SeqCst) < refused {
                near.write_all(greeting).await.ok();
                continue;
            }
            tokio::spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    (own, came)
}

#[tokio::test]
async fn a_bastion_that_limits_logins_is_tried_again_and_one_that_shuts_us_out_is_not() {
    let (bastion, inner) = (Sshd::start(""), Sshd::start(""));
    let known = bastion.path("alias_known_hosts");
    std::fs::write(&known, format!("bastion {}\n", bastion.host_key())).unwrap();
    let through = |port| {
        let alias = Some("bastion".to_owned());
        let jump = Target { port, host_key_alias: alias, known_hosts: vec![known.clone()], ..bastion.target() };
        Target { jumps: vec![jump], ..inner.target() }
    };
    for greeting in [&b"Exceeded MaxStartups\r\n"[..], b""] {
        let (port, came) = turning_away(2, greeting, bastion.port).await;
        let connector = Connector::new(Policy::default(), Arc::new(Refuse));
        connector.connect(&through(port)).await.unwrap();
        assert_eq!(came.load(Ordering::SeqCst), 3, "{greeting:?}");
    }
    let (port, came) = turning_away(9, b"Not allowed at this time\r\n", bastion.port).await;
    let error = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&through(port)).await.unwrap_err();
    assert!(error.to_string().contains("Not allowed"), "{error}");
    assert_eq!(came.load(Ordering::SeqCst), 1, "who is shut out does not knock again");
}

#[tokio::test]
async fn only_so_many_proxy_commands_log_in_at_once() {
    // They end when this goes; each leaves a mark when it begins.
    let folder = tempfile::tempdir().unwrap();
    let command = format!("touch {0}/$$ && exec sleep 600", folder.path().display());
    let connector = Arc::new(Connector::new(Policy::default(), Arc::new(Refuse)));
    let server = Server::start(Conduct::default()).await;
    let attempts = (0..12).map(|number| {
        let address = format!("host{number}");
        let target = Target { address, proxy_command: Some(command.clone()), ..server.target("root") };
        let connector = connector.clone();
        async move { connector.connect(&target).await.map(|_| ()) }
    });
    let mut attempts = tokio::task::JoinSet::from_iter(attempts);
    let begun = || std::fs::read_dir(folder.path()).unwrap().count();
    let limit = Instant::now() + Duration::from_secs(20);
    while begun() < 8 {
        assert!(Instant::now() < limit, "{} have begun", begun());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The others wait for a place, which none of these gives back.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(begun(), 8);
    attempts.abort_all();
    while attempts.join_next().await.is_some() {}
}

/// A relay that counts how often the talk turns from the server back to the client: the round trips.
async fn counting(port: u16) -> (u16, Arc<Mutex<(bool, usize)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let turns = Arc::new(Mutex::new((false, 0)));
    let counted = turns.clone();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut up, mut down) = (vec![0; 256 * 1024], vec![0; 256 * 1024]);
        loop {
            // What was sent together arrives together: the wait is far longer than either side takes to speak.
            tokio::time::sleep(Duration::from_millis(30)).await;
            tokio::select! {
                length = near.read(&mut up) => {
                    let Ok(length @ 1..) = length else { return };
                    counted.lock().unwrap().0 = true;
                    far.write_all(&up[..length]).await.ok();
                }
                length = far.read(&mut down) => {
                    let Ok(length @ 1..) = length else { return };
                    {
                        let mut counted = counted.lock().unwrap();
                        counted.1 += usize::from(std::mem::take(&mut counted.0));
                    }
                    near.write_all(&down[..length]).await.ok();
                }
            }
        }
    });
    (own, turns)
}

#[tokio::test]
async fn the_first_batch_goes_with_the_command_unless_it_holds_a_secret() {
    let key = new_key();
    let conduct = Conduct { keys: vec![super::server::fingerprint(&key)], ..Conduct::default() };
    let server = Server::start(conduct).await;
    let target = server.target_with("root", &key);
    let connection = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.unwrap();
    let begun =
        |server: &Server| server.seen().into_iter().filter(|seen| seen.starts_with("exec ")).collect::<Vec<_>>();
    let mut shell = connection.shell().await.unwrap();
    for word in ["first", "second"] {
        let frames = run(&mut shell, &say(&[word])).await.unwrap();
        assert_eq!(frames[0].body, format!("{word}\0").into_bytes());
    }
    let (one, other) = (say(&["third"]), say(&["fourth"]));
    let (_, then) = shell.run_then(&one, &other, &mut |_| {}).await.unwrap();
    assert_eq!(then.unwrap()[0].body, b"fourth\0");
    let secret = crate::base::Secret::new("hunter2");
    let batch = crate::shell::Batch::new(
        crate::shell::Mode::Probe,
        vec![crate::shell::Call::new(&super::PLAY, "play_say").arg(&secret)],
    );
    let mut shell = connection.shell().await.unwrap();
    assert_eq!(run(&mut shell, &batch).await.unwrap()[0].body, b"hunter2\0");
    let begun = begun(&server);
    assert_eq!(begun.len(), 2);
    assert!(begun[0].starts_with("exec sh -c "), "{}", begun[0]);
    assert_eq!(begun[1], "exec sh", "a secret goes by standard input alone");
}

#[tokio::test]
async fn a_batch_costs_one_round_trip_and_a_login_few() {
    let server = Sshd::start("");
    let (port, turns) = counting(server.port).await;
    let target = Target { port, host_key_alias: Some("counted".to_owned()), ..server.target() };
    std::fs::write(server.path("known_hosts"), format!("counted {}\n", server.host_key())).unwrap();
    let connection = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.unwrap();
    let mut shell = connection.shell().await.unwrap();
    run(&mut shell, &say(&["first"])).await.unwrap();
    // Version and algorithms, key exchange, service, key probe, signature, channel, command with the first batch; the
    // TCP handshake is not seen here. A host may split an answer in two.
    let login = turns.lock().unwrap().1;
    assert!((5..=7).contains(&login), "{login} round trips");
    let words: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(&mut shell, &say(&words)).await.unwrap();
    let batch = turns.lock().unwrap().1 - login;
    assert_eq!(batch, 1, "a batch cost {batch} round trips");
}
