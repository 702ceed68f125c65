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

/// Kills every process in the box whose name is one of `names`, as soon as dpkg unpacks something.
fn kill_while_unpacking(bench: &Bench, names: &str) {
    bench.inside(&format!(
        "for i in $(seq 600); do
            for process in /proc/[0-9]*; do
                read -r name <$process/comm || continue
                [ \"$name\" = dpkg ] || continue
                sleep 0.5
                for process in /proc/[0-9]*; do
                    read -r name <$process/comm || continue
                    # Not the one that listens, whose parent is the first process.
                    read -r _ _ _ parent _ <$process/stat
                    [ \"$parent\" != 1 ] || continue
                    case ' {names} ' in *\" $name \"*) kill -9 ${{process#/proc/}} ;; esac
                done
                exit 0
            done
            sleep 0.05
        done 2>/dev/null
        exit 1"
    ));
}

#[test]
#[ignore = "full tier: the connection, then apt itself, is killed while packages unpack"]
fn an_installation_that_is_cut_off_is_finished_by_the_next_run() {
    let mut bench = Bench::up(Suite::Bookworm, &[("packages", &install("\"docker.io\", \"unattended-upgrades\""))]);
    // The connection goes; apt, in a session of its own, goes on.
    std::thread::scope(|scope| {
        let run = scope.spawn(|| bench.apply());
        kill_while_unpacking(&bench, "sshd sshd-session");
        assert_ne!(run.join().expect("a run").exit, Exit::Done, "the run did not notice that its connection is gone");
    });
    // What goes on still holds the host: another run must not come between.
    bench.apply().exits(Exit::HostBusy);
    bench.inside("while grep -qsx apt-get /proc/[0-9]*/comm; do sleep 0.1; done");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut again = bench.apply();
    while again.exit == Exit::HostBusy && std::time::Instant::now() < until {
        again = bench.apply();
    }
    let again = again.exits(Exit::Done);
    assert!(!said(&again.events).contains("interrupted installation"), "dpkg was torn: {}", said(&again.events));
    assert_eq!(bench.inside("dpkg --audit"), "");
    bench.check().exits(Exit::Done);

    // apt itself goes, as when memory runs out.
    bench.tasks[0].1 = install("\"restic\", \"lynis\", \"gnupg\", \"needrestart\", \"fail2ban\"");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| bench.apply());
        kill_while_unpacking(&bench, "apt-get dpkg dpkg-deb");
        assert_eq!(run.join().expect("a run").exit, Exit::HostFailed);
    });
    let again = bench.apply().exits(Exit::Done);
    assert!(said(&again.events).contains("finishing an interrupted installation"), "{}", said(&again.events));
    assert_eq!(bench.inside("dpkg --audit"), "");
    bench.check().exits(Exit::Done);
}
