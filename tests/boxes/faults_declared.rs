//! What people declare that would lock them out, each by another sort of task. The host puts it back, the message names
//! the task, and without it all is as it was.

use std::sync::Arc;
use std::time::Duration;

use bedplate::base::Exit;
use bedplate::base::event::EventKind;
use bedplate::engine::Mode;
use bedplate::sandbox::Suite;
use bedplate::ssh::{Refuse, Target};

use super::docker::{Bench, Ran};
use super::faults::failure;

const ANN: [(&str, &str); 5] = [
    ("packages", "install = [\"sudo\", \"ufw\"]\n"),
    ("user", "name = \"ann\"\ngroups = [\"sudo\"]\nshell = \"/bin/bash\"\npassword = \"none\"\n"),
    ("authorized_keys", ""),
    ("sudoers", "name = \"group\"\ncontent = \"%sudo ALL=(ALL:ALL) NOPASSWD: ALL\\n\"\n"),
    ("ufw", ""),
];
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl other";

fn apply_as(bench: &Bench, user: &str) -> Ran {
    let target = Target { user: user.to_owned(), connect_timeout: Duration::from_secs(4), ..bench.target() };
    bench.run_by(Mode::Apply, target, Duration::from_secs(14), Arc::new(Refuse))
}

/// With `task` besides the others, `user` would be shut out.
#[track_caller]
fn is_put_back(bench: &mut Bench, user: &str, tasks: &[(&'static str, &str)], says: &str) {
    let before = bench.tasks.len();
    bench.tasks.extend(tasks.iter().map(|(kind, text)| (*kind, (*text).to_owned())));
    let ran = apply_as(bench, user).exits(Exit::GuardRestored);
    let last = bench.tasks.len();
    bench.tasks.truncate(before);
    let told = failure(&ran);
    assert!(told.contains(&format!("task {last} ")) && told.contains(says), "`{says}` is not in {told}");
    assert!(told.contains("the host has put back"), "{told}");
    assert!(ran.events.iter().any(|event| matches!(event, EventKind::GuardRestored { .. })), "{:#?}", ran.events);
    let login = bench.sandbox.ssh(user, ["true"]).status().expect("ssh runs");
    assert!(login.success(), "{user} does not get in after {tasks:?}");
}

#[test]
fn what_would_lock_its_author_out_is_put_back() {
    let mut bench = Bench::up(Suite::Bookworm, &ANN);
    let key = std::fs::read_to_string(bench.sandbox.public_key()).expect("a key");
    bench.tasks[2].1 = format!("user = \"ann\"\nkeys = [\"{}\"]\n", key.trim());
    bench.apply().exits(Exit::Done);

    let keys = format!("user = \"root\"\nexclusive = true\nkeys = [\"{OTHER_KEY}\"]\n");
    is_put_back(&mut bench, "root", &[("authorized_keys", &keys)], "accepted no key");
    let nologin = "name = \"root\"\nshell = \"/usr/sbin/nologin\"\n";
    is_put_back(&mut bench, "root", &[("user", nologin)], "has no shell");

    // A file that nobody would take for dangerous, and the service that reads it; a kernel setting goes back with them.
    let file = "path = \"/etc/ssh/sshd_config.d/20-mine.conf\"\ncontent = \"DenyUsers root\\n\"\n";
    let service = "unit = \"ssh.service\"\nreload_on = [\"/etc/ssh/sshd_config.d/20-mine.conf\"]\n";
    let sysctl = "file = \"/etc/sysctl.d/60-test.conf\"\nsettings = { \"net.ipv4.conf.all.log_martians\" = 1 }\n";
    is_put_back(&mut bench, "root", &[("sysctl", sysctl), ("file", file), ("service", service)], "accepted no key");
    let left = bench.inside("cat /proc/sys/net/ipv4/conf/all/log_martians; ls /etc/sysctl.d /etc/ssh/sshd_config.d");
    assert!(left.starts_with("0\n") && !left.contains("60-test") && !left.contains("20-mine"), "{left}");
    let stopped = "unit = \"ssh.service\"\nrunning = false\nenabled = false\n";
    is_put_back(&mut bench, "root", &[("service", stopped)], "refuses connections");
    assert_eq!(bench.inside("systemctl is-enabled ssh").trim(), "enabled");

    // Who comes in by sudo needs it.
    let none = "name = \"group\"\ncontent = \"%sudo ALL=(ALL:ALL) ALL\\n\"\n";
    let own = std::mem::take(&mut bench.tasks[3].1);
    bench.tasks.remove(3);
    is_put_back(&mut bench, "ann", &[("sudoers", none)], "sudo wants the password of `ann`");
    let member = bench.tasks.remove(1);
    let alone = "name = \"ann\"\nexclusive_groups = true\nshell = \"/bin/bash\"\npassword = \"none\"\n";
    is_put_back(&mut bench, "ann", &[("user", alone)], "ann");
    is_put_back(&mut bench, "ann", &[("group", "name = \"sudo\"\nstate = \"absent\"\n")], "ann");
    assert!(bench.inside("getent group sudo").contains("ann"));

    bench.tasks.insert(1, member);
    bench.tasks.insert(3, ("sudoers", own));
    apply_as(&bench, "ann").exits(Exit::Done);
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
}
