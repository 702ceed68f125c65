//! The main path: a bare box, planned, applied, found in sync, used, rebooted, and still in sync.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bedplate::base::EventKind;
use bedplate::base::event::{TaskPlan, Verdict};
use bedplate::sandbox::{Options, Suite};

use super::support::{Ran, Rig};

/// The first plan in a run: every task with its changes and their diffs.
fn planned(ran: &Ran) -> Vec<TaskPlan> {
    let plan = ran.events().into_iter().find_map(|event| match event.kind {
        EventKind::Planned { tasks, .. } => Some(tasks),
        _ => None,
    });
    plan.expect("a plan")
}

/// The tasks that something was done for.
fn acted_for(ran: &Ran) -> BTreeSet<usize> {
    let acted = ran.events().into_iter().filter_map(|event| match event.kind {
        EventKind::ActionFinished { task, .. } => Some(task),
        _ => None,
    });
    acted.collect()
}

fn changed(ran: &Ran) -> usize {
    ran.events()
        .into_iter()
        .find_map(|event| match event.kind {
            EventKind::RunFinished { tally, .. } => Some(tally.changed),
            _ => None,
        })
        .expect("an end")
}

fn is_open(rig: &Rig, port: u16) -> bool {
    let address = SocketAddr::from((rig.sandbox.ipv4(), port));
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok()
}

/// With all the kernel's settings in force a container on Kamal's network still reaches what is outside.
fn containers_reach_out(rig: &Rig) {
    let outside = TcpListener::bind((rig.sandbox.host_ipv4(), 0)).expect("an address that boxes reach");
    let port = outside.local_addr().expect("an address").port();
    let line = format!(
        "timeout 20 docker run --rm --network kamal bedplate-test busybox nc -w 5 {} {port} </dev/null",
        rig.sandbox.host_ipv4()
    );
    std::thread::scope(|scope| {
        let met = scope.spawn(|| outside.accept().map(|(_, from)| from));
        let ran = rig.login("deploy", &line);
        // A container that never came is met by this one, so that nobody waits for it.
        let _ = TcpStream::connect((rig.sandbox.host_ipv4(), port));
        let from = met.join().expect("an end").expect("a connection");
        assert_eq!(from.ip(), rig.sandbox.ipv4(), "a container does not get out: {}", ran.stderr);
    });
}

/// What a prepared host must show, whoever asks.
fn is_ready(rig: &Rig) {
    rig.login("deploy", "id -nG").exits(0);
    assert!(rig.login("deploy", "id -nG").stdout.contains("docker"), "deploy is not in group docker");
    rig.login("deploy", "docker run --rm bedplate-test true").exits(0);
    containers_reach_out(rig);
    let refused = rig.login_without_key("deploy");
    assert!(refused.stderr.contains("Permission denied (publickey)."), "more than keys is offered: {}", refused.stderr);
    assert!(is_open(rig, 22), "ssh is closed");
    rig.inside("systemd-run --quiet --unit=listen-8080 --collect busybox nc -ll -p 8080 -e true");
    assert!(!is_open(rig, 8080), "a port outside the list is open");
    rig.inside("systemctl stop listen-8080.service");
    assert!(rig.inside("ufw status").contains("Status: active"));
    let swap = format!("/swapfile-{}", rig.sandbox.name());
    assert!(rig.inside("cat /proc/swaps").contains(&swap), "swap is off");
    assert!(rig.inside("cat /etc/fstab").contains(&swap), "swap is not in fstab");
}

/// An image made on the spot: nothing is pulled.
fn make_image(rig: &Rig) {
    rig.inside("apt-get install -y -q busybox-static >/dev/null 2>&1");
    rig.inside("d=$(mktemp -d) && mkdir $d/bin && cp /bin/busybox $d/bin/ && ln -s busybox $d/bin/true && tar -C $d -c . | docker import - bedplate-test");
}

fn main_path(suite: Suite) {
    let mut rig = Rig::up(suite);
    let check = rig.run("check", &["--json"]).exits(2);
    let foretold = planned(&check);
    let apply = rig.run("apply", &["--json"]).exits(0);
    assert_eq!(planned(&apply), foretold, "the plan that was shown is not the plan that was applied");
    let later = foretold.iter().filter(|task| task.verdict == Verdict::KnownLater).map(|task| &task.name);
    assert_eq!(later.collect::<Vec<_>>(), Vec::<&String>::new(), "a bare Debian leaves nothing open");
    let to_change = foretold.iter().filter(|task| task.verdict == Verdict::Change).map(|task| task.task);
    assert_eq!(acted_for(&apply), to_change.collect(), "what was done is not what was shown");
    let again = rig.run("apply", &["--json"]).exits(0);
    assert_eq!(changed(&again), 0, "a second apply changed something: {}", again.stdout);
    rig.run("check", &[]).exits(0);
    make_image(&rig);
    is_ready(&rig);
    rig.run("ready", &[]).exits(0);
    rig.reboot();
    is_ready(&rig);
    rig.run("check", &[]).exits(0);
}

#[test]
fn a_bare_debian_11_becomes_ready_and_stays_so() {
    main_path(Suite::Bullseye);
}

#[test]
fn a_bare_debian_12_becomes_ready_and_stays_so() {
    main_path(Suite::Bookworm);
}

#[test]
fn a_bare_debian_13_becomes_ready_and_stays_so() {
    main_path(Suite::Trixie);
}

#[test]
#[ignore = "full tier: the main path in 512 MB of memory"]
fn a_box_of_512_megabytes_becomes_ready() {
    let rig = Rig::made(&Options { suite: Suite::Bookworm, memory_limit_mib: Some(512), ..Options::default() });
    rig.run("apply", &[]).exits(0);
    rig.run("check", &[]).exits(0);
    rig.login("deploy", "docker version").exits(0);
}

#[test]
fn whoever_comes_in_by_a_password_has_a_key_before_passwords_are_off() {
    let rig = Rig::up(Suite::Bookworm);
    let password = "correct horse";
    rig.inside(&format!("echo 'root:{password}' | chpasswd && rm /root/.ssh/authorized_keys"));
    rig.inside(
        "printf 'PermitRootLogin yes\\nPasswordAuthentication yes\\n' >/etc/ssh/sshd_config.d/00-provider.conf && \
         systemctl reload ssh",
    );
    // The provider's password is typed at a terminal of its own.
    let typed = rig.typed("apply", &["--ask-password", "--tags", "deploy-user,access"], &[("Password of", password)]);
    typed.exits(0);
    rig.login("root", "true").exits(0);
    rig.login("deploy", "true").exits(0);
    assert!(rig.login_without_key("root").stderr.contains("Permission denied (publickey)."));
}
