//! What can go wrong with apt on a server, made to go wrong: who is in the way is said, what was broken is mended, what
//! must not happen does not.

use std::process::Stdio;

use bedplate::base::Exit;
use bedplate::base::event::EventKind;
use bedplate::sandbox::Suite;

use super::docker::Bench;

/// All that a run was told by the host, and why it failed.
fn said(events: &[EventKind]) -> String {
    let lines = events.iter().filter_map(|event| match event {
        EventKind::Output { line } => Some(line.clone()),
        EventKind::HostFailed(failure) => Some(format!("{}\n{}", failure.what, failure.said.join("\n"))),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn install(names: &str) -> String {
    format!("install = [{names}]\n")
}

#[test]
fn apt_s_troubles_are_told_or_mended() {
    let mut bench = Bench::up(Suite::Bookworm, &[("packages", &install("\"rsyslog\", \"systemd-timesyncd\""))]);

    // A configuration file that is there before its package is kept, without a question.
    bench.inside("echo '# mine' >/etc/rsyslog.conf");
    bench.settles();
    assert_eq!(bench.inside("cat /etc/rsyslog.conf"), "# mine\n");

    // A package that another must leave for is not installed.
    bench.tasks[0].1 = install("\"chrony\"");
    let refused = said(&bench.apply().exits(Exit::HostFailed).events);
    assert!(refused.contains("would remove systemd-timesyncd"), "{refused}");
    bench.inside("dpkg-query -W -f '${db:Status-Abbrev}' systemd-timesyncd | grep '^ii'");

    // dpkg was stopped half way, before anything was configured, and its journal is there.
    let half = "cd /tmp && apt-get download -q hello >/dev/null 2>&1 && dpkg --unpack hello_*.deb >/dev/null && \
        dpkg --audit | grep -q hello";
    bench.inside(half);
    bench.tasks[0].1 = install("\"jq\"");
    let mended = said(&bench.apply().exits(Exit::Done).events);
    assert!(mended.contains("finishing an interrupted installation"), "{mended}");
    assert_eq!(bench.inside("dpkg --audit"), "");

    // Somebody holds the lock of the lists, then lets go.
    bench.inside("rm -f /run/bedplate/apt-lists");
    bench.tasks[0].1 = install("\"acl\"");
    let mut holder = bench.sandbox.ssh(
        "root",
        ["perl -e 'use Fcntl; my $lock = pack(q(ssx4qqlx4), F_WRLCK, 0, 0, 0, 0); open F, q(>), \
          q(/var/lib/apt/lists/lock); fcntl(F, F_SETLK, $lock) or die; $| = 1; print q(held); sleep 4'"],
    );
    let mut holder = holder.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("ssh runs");
    std::io::Read::read_exact(holder.stdout.as_mut().expect("a pipe"), &mut [0; 4]).expect("the lock is held");
    let waited = said(&bench.apply().exits(Exit::Done).events);
    assert!(waited.contains("waiting for perl (process "), "{waited}");
    assert!(waited.contains("which holds /var/lib/apt/lists/lock"), "{waited}");
    holder.wait().expect("the holder ends");

    // No room for the archives.
    bench.tasks[0].1 = install("\"gnupg\"");
    bench.inside("mount -t tmpfs -o size=64k tmpfs /var/cache/apt/archives && mkdir /var/cache/apt/archives/partial");
    let full = said(&bench.apply().exits(Exit::HostFailed).events);
    assert!(full.contains("the disk is full: make room"), "{full}");
    bench.inside("umount /var/cache/apt/archives");

    // A mirror that does not answer is an error that names it; apt itself calls it a warning.
    bench.inside("mkdir /root/kept && mv /etc/apt/sources.list* /root/kept/ && mkdir /etc/apt/sources.list.d");
    bench.inside("echo 'deb http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list");
    let silent = said(&bench.apply().exits(Exit::HostFailed).events);
    assert!(silent.contains("http://127.0.0.1:9 does not serve"), "{silent}");
    assert!(silent.contains("the package lists can not be fetched"), "{silent}");
    bench.inside("rm -r /etc/apt/sources.list* && mv /root/kept/* /etc/apt/");

    bench.settles();
}
