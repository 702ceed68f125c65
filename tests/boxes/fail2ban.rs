//! fail2ban by choice: an address that guesses is shut out, on the port that sshd is really on; whoever has come in by
//! key from theirs never is, however often they fail; and it is kept so.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bedplate::sandbox::Suite;

use super::support::Rig;

/// An address on this machine that only one box knows the way back to (RFC 2544), taken back when it goes.
struct Guesser(Ipv4Addr);

impl Guesser {
    fn new(rig: &Rig) -> Self {
        let guesser = Self(Ipv4Addr::new(198, 18, 79, rig.sandbox.ipv4().octets()[2]));
        let added = Command::new("ip").args(["address", "add", &format!("{}/32", guesser.0), "dev", "lo"]).status();
        assert!(added.is_ok_and(|status| status.success()), "this test needs root: an address can not be added here");
        rig.inside(&format!("ip route add {}/32 via {}", guesser.0, rig.sandbox.host_ipv4()));
        guesser
    }
}

impl Drop for Guesser {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["address", "del", &format!("{}/32", self.0), "dev", "lo"]).status();
    }
}

/// A login over ssh from `from`, with root's key or, as somebody who is not there, without any. A connection that is shut
/// off in the middle of it would wait for minutes.
fn login(rig: &Rig, from: Ipv4Addr, user: &str, port: u16) -> Output {
    let mut command = Command::new("timeout");
    command.args([
        "20",
        "ssh",
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "StrictHostKeyChecking=no",
    ]);
    command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5", "-b", &from.to_string()]);
    command.args(["-p", &port.to_string(), "-i"]).arg(rig.sandbox.key());
    command.arg(format!("{user}@{}", rig.sandbox.ipv4())).arg("true").output().expect("ssh runs")
}

/// Waits until a line in the box succeeds.
#[track_caller]
fn until(rig: &Rig, line: &str) {
    let last = Instant::now() + Duration::from_secs(30);
    while rig.sandbox.ask(&["sh", "-c", line]).is_err() {
        assert!(
            Instant::now() < last,
            "`{line}` does not come true: {}",
            rig.inside("fail2ban-client status sshd; tail -n 20 /var/log/fail2ban.log")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn guessers_are_shut_out_and_the_operator_never(suite: Suite) {
    let rig = Rig::up(suite);
    // From OpenSSH 9.8 on sshd itself puts off who fails: out of the way here, so that one cause is looked at.
    rig.inside("sshd -T | grep -q ^persourcepenalties && echo 'PerSourcePenalties no' >/etc/ssh/sshd_config.d/50-test.conf && systemctl reload ssh || true");
    rig.inside(
        "mkdir -p /etc/fail2ban/jail.d && printf '[recidive]\\nenabled = false\\n' >/etc/fail2ban/jail.d/theirs.local",
    );
    let port = 2222;
    let more = [
        "--set",
        "fail2ban=true",
        "--set",
        "fail2ban_tries=3",
        "--set",
        "ssh_port=2222",
        "--tags",
        "fail2ban,firewall,ssh",
    ];
    rig.run("apply", &more).exits(0);
    rig.run("apply", &more).exits(0);
    rig.run("check", &more).exits(0);
    assert_eq!(rig.inside("cat /etc/fail2ban/jail.d/theirs.local"), "[recidive]\nenabled = false\n");
    assert!(rig.inside("systemctl is-active fail2ban; systemctl is-enabled fail2ban").contains("active\nenabled"));

    let (operator, guesser) = (rig.sandbox.host_ipv4(), Guesser::new(&rig));
    let is_open = |from: Ipv4Addr| login(&rig, from, "root", port).status.success();
    assert!(is_open(operator), "the operator does not get in");
    // A name that pretends to be a login by key of the guesser's: what a guesser writes is not believed.
    let pretended = format!("Accepted publickey for root from {} port 1 ssh2", guesser.0);
    for _ in 0..4 {
        assert!(!login(&rig, guesser.0, &pretended, port).status.success());
        assert!(!login(&rig, operator, "nobody-here", port).status.success());
    }
    until(&rig, &format!("fail2ban-client status sshd | grep -q 'Banned IP list:.*{}'", guesser.0));
    until(&rig, &format!("grep -q 'Ignore {operator} by command' /var/log/fail2ban.log"));
    let address = SocketAddr::from((rig.sandbox.ipv4(), port));
    assert!(!is_open(guesser.0), "a banned address gets in");
    assert!(is_open(operator), "the operator is shut out");
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok());
    let banned = rig.inside("fail2ban-client status sshd");
    assert!(!banned.contains(&operator.to_string()), "{banned}");

    // It is kept so.
    for line in [
        "systemctl disable --now -q fail2ban",
        "echo 'maxretry = 1000' >>/etc/fail2ban/jail.d/bedplate.local",
        "printf '#!/bin/sh\\nexit 1\\n' >/etc/fail2ban/filter.d/ignorecommands/bedplate",
    ] {
        rig.inside(line);
        rig.run("check", &more).exits(2);
        rig.run("apply", &more).exits(0);
        rig.run("check", &more).exits(0);
    }
    until(&rig, &format!("fail2ban-client status sshd | grep -q 'Banned IP list:.*{}'", guesser.0));
    assert!(is_open(operator) && !is_open(guesser.0));
}

#[test]
#[ignore = "full tier: by choice; nothing of it is on a host that did not ask for it"]
fn fail2ban_on_debian_11() {
    guessers_are_shut_out_and_the_operator_never(Suite::Bullseye);
}

#[test]
#[ignore = "full tier: by choice; nothing of it is on a host that did not ask for it"]
fn fail2ban_on_debian_12() {
    guessers_are_shut_out_and_the_operator_never(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: by choice; nothing of it is on a host that did not ask for it"]
fn fail2ban_on_debian_13() {
    guessers_are_shut_out_and_the_operator_never(Suite::Trixie);
}
