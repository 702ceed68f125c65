//! Hosts that let one in and are of no use, links that die, and servers that are none.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::base::Exit;
use crate::shell::{Batch, Call, Mode};
use crate::ssh::{
    Become, ConnectError, Connection, Connector, Ending, Keepalive, Policy, Refuse, SessionError, SudoError, Target,
};

use super::server::{Conduct, Exec, Server, fingerprint, new_key};
use super::sshd::Sshd;
use super::{Operator, PLAY, run, say};

async fn logged_in(conduct: Conduct, user: &str) -> (Server, Connection) {
    let key = new_key();
    let server = Server::start(Conduct { keys: vec![fingerprint(&key)], ..conduct }).await;
    let target = server.target_with(user, &key);
    let connection = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.unwrap();
    (server, connection)
}

async fn first_answer(exec: Exec) -> SessionError {
    let (_server, connection) = logged_in(Conduct { exec, ..Conduct::default() }, "root").await;
    let mut shell = connection.shell().await.unwrap().first_answer_within(Duration::from_millis(300));
    run(&mut shell, &say(&["x"])).await.unwrap_err()
}

#[tokio::test]
async fn logins_without_a_shell_are_told_apart() {
    for (exec, expected) in [
        (Exec::Refused, "run commands"),
        (Exec::Silent, "does not answer"),
        (Exec::NoStatus, "no shell"),
        (Exec::Prints("This account is currently not available.\n"), "has no shell"),
        (
            Exec::Prints("WARNING: Your password has expired.\nPassword change required but no TTY available.\n"),
            "expired",
        ),
        (Exec::Prints("Please login as the user \"ubuntu\" rather than the user \"root\".\n"), "sends this login away"),
    ] {
        let error = first_answer(exec.clone()).await;
        assert!(matches!(error, SessionError::NoShell { .. }), "{exec:?}: {error:?}");
        assert!(error.to_string().contains(expected), "{exec:?}: {error}");
        assert!(error.help().is_some());
        if let Exec::Prints(text) = exec {
            assert_eq!(error.said().join("\n"), text.trim_end());
        }
    }
}

#[tokio::test]
async fn a_noisy_login_is_understood_all_the_same() {
    let (_server, connection) =
        logged_in(Conduct { exec: Exec::Noisy("\x1b[1mWelcome\0!\n"), ..Conduct::default() }, "root").await;
    let mut shell = connection.shell().await.unwrap();
    assert_eq!(run(&mut shell, &say(&["x"])).await.unwrap()[0].body, b"x\0");
    assert_eq!(shell.noise(), b"\x1b[1mWelcome\0!\n");
}

#[tokio::test]
async fn a_login_shell_that_takes_no_long_word_is_served_all_the_same() {
    let (server, connection) = logged_in(Conduct { exec: Exec::NoLongWord, ..Conduct::default() }, "root").await;
    let mut shell = connection.shell().await.unwrap();
    for word in ["one", "two"] {
        assert_eq!(run(&mut shell, &say(&[word])).await.unwrap()[0].body, [word.as_bytes(), b"\0"].concat());
    }
    let asked: Vec<String> = server.seen().into_iter().filter(|seen| seen.starts_with("exec ")).collect();
    assert!(matches!(asked.as_slice(), [long, short] if long.len() > 1000 && short == "exec sh"), "{asked:?}");
}

#[tokio::test]
async fn a_command_without_a_status_has_not_succeeded() {
    let (_server, connection) = logged_in(Conduct { exec: Exec::NoStatus, ..Conduct::default() }, "root").await;
    let error = connection.exec("true", b"").await.unwrap_err();
    assert!(matches!(error, SessionError::NoStatus { how: Ending::NoStatus, .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_goes_away_is_lost_with_a_reason() {
    let error = first_answer(Exec::HangsUp).await;
    let SessionError::Lost { why, .. } = &error else { panic!("{error:?}") };
    // Which of the two depends on what was under way.
    assert!(["the host closed the connection", "the connection was reset"].contains(&why.as_str()), "{why}");
    assert_eq!(error.exit(), Exit::Unreachable);
}

/// A made-up sudo, in words as the real ones have them.
const SUDO: &str = r#"#!/bin/sh
WANT=$(cat "$0.password" 2>/dev/null)
mode=$(cat "$0.mode" 2>/dev/null)
if [ "$1" = -n ]; then
	case "$mode" in
	free) shift; exec "$@" ;;
	sudo-rs) echo "sudo: interactive authentication is required" >&2; exit 1 ;;
	foreign) echo "sudo: es wird ein Passwort benötigt" >&2; exit 1 ;;
	missing) echo "sh: 1: sudo: not found" >&2; exit 127 ;;
	*) echo "sudo: a password is required" >&2; exit 1 ;;
	esac
fi
[ "$1 $2 $3" = "-S -k -p" ] || exit 99
prompt=$4
shift 4
if [ "$mode" = fickle ]; then exec "$@"; fi
for try in 1 2 3; do
	case "$mode" in
	sudo-rs) printf '[sudo: %s] Password: ' "$prompt" >&2 ;;
	*) printf '%s' "$prompt" >&2 ;;
	esac
	IFS= read -r given || { echo "sudo: no password was provided" >&2; exit 1; }
	echo "given $given" >>"$0.log"
	if [ "$given" = "$WANT" ]; then
		if [ "$mode" = stranger ]; then echo "admin is not in the sudoers file." >&2; exit 1; fi
		exec "$@"
	fi
	echo "Sorry, try again." >&2
done
exit 1
"#;

async fn with_sudo(mode: &str, operator: Arc<Operator>) -> (Result<Vec<u8>, SessionError>, Vec<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let sudo = folder.path().join("sudo");
    std::fs::write(&sudo, SUDO).unwrap();
    std::fs::set_permissions(&sudo, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("sudo.mode"), mode).unwrap();
    std::fs::write(folder.path().join("sudo.password"), "rosebud").unwrap();
    let key = new_key();
    let conduct =
        Conduct { keys: vec![fingerprint(&key)], programs: Some(folder.path().to_owned()), ..Conduct::default() };
    let server = Server::start(conduct).await;
    let target = Target { become_root: Become::Sudo, ..server.target_with("admin", &key) };
    let connector = Connector::new(Policy::default(), operator);
    let mut last = Err(SessionError::Refused { why: String::new() });
    for _ in 0..2 {
        let connection = connector.connect(&target).await.unwrap();
        let mut shell = connection.shell().await.unwrap();
        last = run(&mut shell, &say(&["as root"])).await.map(|frames| frames[0].body.clone());
        if last.is_err() {
            break;
        }
    }
    let execs = server.seen().into_iter().filter(|seen| seen.starts_with("exec")).collect();
    (last, execs, std::fs::read_to_string(folder.path().join("sudo.log")).unwrap_or_default())
}

#[tokio::test]
async fn sudo_without_a_password_costs_nothing_extra() {
    let operator = Operator::default().shared();
    let (result, execs, _) = with_sudo("free", operator.clone()).await;
    assert_eq!(result.unwrap(), b"as root\0");
    assert_eq!(execs, ["exec sudo -n sh", "exec sudo -n sh"]);
    assert!(operator.asked().is_empty());
}

#[tokio::test]
async fn sudo_with_a_password_asks_once_a_run() {
    for mode in ["plain", "sudo-rs", "foreign"] {
        let operator = Operator { sudo: Some("rosebud"), ..Operator::default() }.shared();
        let (result, execs, log) = with_sudo(mode, operator.clone()).await;
        assert_eq!(result.unwrap(), b"as root\0", "{mode}");
        assert_eq!(operator.asked(), ["sudo admin box"], "{mode}");
        assert_eq!(log, "given rosebud\ngiven rosebud\n", "{mode}: nothing but the password may be read as one");
        assert!(execs.iter().all(|exec| !exec.contains("rosebud")), "the password stands in a command");
    }
}

#[tokio::test]
async fn a_sudo_that_does_not_ask_after_all_is_told_no_password() {
    // The shell behind it would take the password for a command.
    let operator = Operator { sudo: Some("rosebud"), ..Operator::default() }.shared();
    let (result, _, log) = with_sudo("fickle", operator.clone()).await;
    assert_eq!(result.unwrap(), b"as root\0");
    assert_eq!((operator.asked().len(), log.as_str()), (0, ""));
}

#[tokio::test]
async fn a_wrong_sudo_password_is_tried_once() {
    let operator = Operator { sudo: Some("guess"), ..Operator::default() }.shared();
    let (result, _, log) = with_sudo("plain", operator).await;
    assert!(matches!(result, Err(SessionError::Sudo(SudoError::WrongPassword { .. }))), "{result:?}");
    assert_eq!(log, "given guess\n");
}

#[tokio::test]
async fn sudo_that_can_not_be_had_is_told_apart() {
    let nobody = with_sudo("plain", Operator::default().shared()).await.0.unwrap_err();
    assert!(matches!(nobody, SessionError::Sudo(SudoError::PasswordNeeded { .. })), "{nobody:?}");
    assert_eq!(nobody.exit(), Exit::BadInput);
    let right = || Operator { sudo: Some("rosebud"), ..Operator::default() }.shared();
    let missing = with_sudo("missing", right()).await.0.unwrap_err();
    assert!(matches!(missing, SessionError::Sudo(SudoError::Missing { .. })), "{missing:?}");
    let stranger = with_sudo("stranger", right()).await.0.unwrap_err();
    let SessionError::Sudo(SudoError::NotAllowed { said, .. }) = &stranger else { panic!("{stranger:?}") };
    assert!(said.join("\n").contains("admin is not in the sudoers file."), "{said:?}");
}

/// A relay that can go silent while both its ends stay up.
async fn relay(port: u16) -> (u16, Arc<AtomicBool>) {
    relay_at(0, port).await
}

/// The same on a port of one's choice.
pub(super) async fn relay_at(own: u16, port: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind(("127.0.0.1", own)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let silent = Arc::new(AtomicBool::new(false));
    let flag = silent.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(near_read, far_write), (far_read, near_write)] {
                let flag = flag.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(length @ 1..) = from.read(&mut buffer).await {
                        if flag.load(Ordering::Relaxed) {
                            std::future::pending::<()>().await;
                        }
                        if to.write_all(&buffer[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (own, silent)
}

#[tokio::test]
async fn a_silent_link_is_noticed_in_time_idle_or_in_the_middle_of_an_upload() {
    for upload in [false, true] {
        let server = Sshd::start("");
        let (port, silent) = relay(server.port).await;
        let keepalive = Keepalive { interval: Duration::from_millis(200), count: 3 };
        let target = Target { port, host_key_alias: Some("alias".to_owned()), keepalive, ..server.target() };
        std::fs::write(server.path("known_hosts"), format!("alias {}\n", server.host_key())).unwrap();
        let connection = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.unwrap();
        let mut shell = connection.shell().await.unwrap();
        run(&mut shell, &say(&["x"])).await.unwrap();
        let begun = Instant::now();
        let batch = if upload {
            say(&[&"much ".repeat(4_000_000)])
        } else {
            Batch::new(Mode::Act, vec![Call::new(&PLAY, "play_say").arg("done"), Call::new(&PLAY, "play_wait")])
        };
        // The first frame of the second kind has ended by then; the call after it never does.
        let flag = silent.clone();
        flag.store(upload, Ordering::Relaxed);
        let error = shell
            .run(&batch, &mut |part| {
                if matches!(part, crate::shell::frame::Part::Begin { index: 1 }) {
                    flag.store(true, Ordering::Relaxed);
                }
            })
            .await
            .unwrap_err();
        let SessionError::Lost { why, progress } = &error else { panic!("{error:?}") };
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        if upload {
            assert!(why.contains("nothing could be sent") || why.contains("does not answer"), "{why}");
        } else {
            assert_eq!(why, "the host does not answer any more");
            assert_eq!(progress.ended.iter().map(|f| f.index).collect::<Vec<_>>(), [0]);
            assert_eq!(progress.open.as_ref().map(|(index, _)| *index), Some(1));
        }
    }
}

#[tokio::test]
async fn what_does_not_let_anyone_in_is_told_apart() {
    let operator = Operator::default().shared();
    let attempt = |port: u16, limit: u64| {
        let connector = Connector::new(Policy::default(), operator.clone());
        let name = crate::base::name::HostName::new("box").unwrap();
        let target = Target {
            address: "127.0.0.1".to_owned(),
            port,
            connect_timeout: Duration::from_millis(limit),
            ..Target::new(name, "root")
        };
        async move { connector.connect(&target).await.unwrap_err() }
    };
    let greets = |greeting: &'static [u8]| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(greeting).await.ok();
                let mut buffer = [0; 512];
                let _length = stream.read(&mut buffer).await.unwrap_or(0);
                if greeting == b"silent" {
                    std::future::pending::<()>().await;
                }
            }
        });
        port
    };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = attempt(closed, 5000).await;
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    for greeting in [&b"Exceeded MaxStartups\r\n"[..], b"Not allowed at this time\r\n", b""] {
        let error = attempt(greets(greeting).await, 1000).await;
        assert!(matches!(error, ConnectError::Closed { .. }), "{greeting:?}: {error:?}");
        assert!(error.help().unwrap().contains("PerSourcePenalties"));
    }
    let error = attempt(greets(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, 5000).await;
    assert!(matches!(error, ConnectError::NotSsh { .. }), "{error:?}");
    let error = attempt(greets(b"silent").await, 300).await;
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    let old = Sshd::start("KexAlgorithms ecdh-sha2-nistp256");
    let mut target = old.target();
    target.connect_timeout = Duration::from_secs(5);
    let error = Connector::new(Policy::default(), operator.clone()).connect(&target).await.unwrap_err();
    let ConnectError::NoCommonAlgorithm { kind, theirs, .. } = &error else { panic!("{error:?}") };
    assert_eq!(kind, "key exchange");
    assert!(theirs.contains("ecdh-sha2-nistp256"), "{theirs}");
    let mut target = old.target();
    target.address = "no-such-name.invalid".to_owned();
    let error = Connector::new(Policy::default(), operator).connect(&target).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotResolved { .. } | ConnectError::TimedOut { .. }), "{error:?}");
}
