//! Users, keys, sudo, names, times and files on real boxes: foretold on a bare box, brought about, found in sync, broken
//! by hand, found, repaired, rebooted.

use bedplate::base::Exit;
use bedplate::base::event::Verdict;
use bedplate::sandbox::Suite;

use super::docker::Bench;

const JOURNAL: &str = "/etc/systemd/journald.conf.d/60-bedplate.conf";

fn tasks() -> Vec<(&'static str, &'static str)> {
    vec![
        ("first_boot", "seconds = 60\n"),
        ("packages", "install = [\"sudo\", \"tzdata\"]\n"),
        ("group", "name = \"docker\"\nsystem = true\n"),
        ("user", "name = \"deploy\"\ngroups = [\"docker\"]\nshell = \"/bin/bash\"\npassword = \"none\"\n"),
        ("authorized_keys", "user = \"deploy\"\nfrom = \"root\"\n"),
        ("sudoers", "name = \"ann\"\ncontent = \"deploy ALL=(root) NOPASSWD: /usr/bin/id\\n\"\n"),
        ("hostname", "name = \"web1.example.com\"\n"),
        (
            "file",
            "path = \"/etc/systemd/journald.conf.d/60-bedplate.conf\"\ncontent = \"[Journal]\\nSystemMaxUse=90M\\n\"\n",
        ),
        ("service", "unit = \"systemd-journald.service\"\nrestart_on = [\"/etc/systemd/journald.conf.d\"]\n"),
        ("directory", "path = \"/srv/app\"\nmode = \"0750\"\nowner = \"deploy\"\ngroup = \"deploy\"\n"),
        ("link", "path = \"/usr/local/bin/app\"\ntarget = \"/srv/app/bin\"\n"),
        ("line", "path = \"/etc/example.conf\"\nstarts_with = \"key=\"\nline = \"key=1\"\n"),
        ("block", "path = \"/etc/hosts\"\nname = \"app\"\ncontent = \"10.0.0.2 database\\n\"\n"),
        ("command", "run = \"echo made >/srv/app/made\"\ncreates = \"/srv/app/made\"\n"),
        ("command", "run = \"touch /srv/app/second\"\nunless = \"test -e /srv/app/second\"\n"),
    ]
}

fn main_path(suite: Suite) {
    let mut bench = Bench::up(suite, &tasks());
    bench.settles();
    assert_eq!(bench.check().findings(), Vec::<String>::new());
    let groups = |bench: &Bench| {
        let output = bench.sandbox.ssh("deploy", ["id -nG && sudo -n id -u && hostname && ls -ld .ssh"]).output();
        String::from_utf8_lossy(&output.expect("ssh runs").stdout).into_owned()
    };
    let said = groups(&bench);
    assert!(said.starts_with("deploy docker\n0\nweb1.example.com\ndrwx------ "), "{said}");

    users_and_keys(&bench);
    bench.repairs("hostname other", &["hostname"]);
    bench.repairs("echo other >/etc/hostname", &["hostname"]);
    bench.repairs("chown root /srv/app", &["directory"]);
    bench.repairs("ln -sfn /elsewhere /usr/local/bin/app", &["link"]);
    bench.repairs("echo key=2 >>/etc/example.conf", &["line"]);
    bench.repairs("sed -i 's/database/other/' /etc/hosts", &["block"]);
    // What a command does is not known, so what another one tries is known only after it.
    bench.repairs("rm /srv/app/made", &["command", "command"]);
    bench.repairs("rm /srv/app/second", &["command"]);
    loads(&bench);

    bench.sandbox.reboot().expect("the box comes back");
    bench.inside("timeout 60 systemctl is-system-running --wait >/dev/null || true");
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
    assert!(groups(&bench).starts_with("deploy docker\n0\nweb1.example.com\n"));
}

fn users_and_keys(bench: &Bench) {
    bench.repairs("usermod -p '!' deploy", &["user"]);
    bench.repairs("gpasswd -d deploy docker", &["user"]);
    // Whoever must change a password can run nothing; nor can one whose account is over.
    bench.repairs("chage -d 0 deploy", &["user"]);
    bench.repairs("chage -E 1 -M 3 -d 2020-01-01 deploy", &["user"]);
    bench.repairs("rm -r /home/deploy/.ssh", &["authorized_keys"]);
    bench.repairs("chmod 0666 /home/deploy/.ssh/authorized_keys", &["authorized_keys"]);
    bench.repairs("chown -R root:root /home/deploy/.ssh", &["authorized_keys"]);
    // With the user go the group and the keys.
    bench.repairs("systemctl stop user@$(id -u deploy); userdel -r deploy", &["user", "authorized_keys", "directory"]);
    // An old home is found again, with what is in it.
    bench.inside("systemctl stop user@$(id -u deploy); userdel deploy; chown -R 4321:4321 /home/deploy /srv/app");
    bench.apply().exits(Exit::Done);
    assert_eq!(bench.inside("stat -c %U /home/deploy /home/deploy/.ssh/authorized_keys"), "deploy\ndeploy\n");
    assert_eq!(bench.check().exits(Exit::Done).open(), []);

    // A key that nobody declared is told of and stays.
    bench.inside("ssh-keygen -q -t ed25519 -N '' -f /root/k && cat /root/k.pub >>/home/deploy/.ssh/authorized_keys");
    assert_eq!(bench.check().exits(Exit::Done).findings(), ["undeclared-key"]);
    // A user who puts a link in our way gets nothing of root's.
    bench.inside("mv /home/deploy/.ssh /root/kept && ln -s /root/.ssh /home/deploy/.ssh && cp /root/.ssh/authorized_keys /root/before");
    let refused = bench.apply().exits(Exit::HostFailed).tasks();
    assert!(
        refused.iter().any(|task| task.verdict == Verdict::Refused && task.why.contains("is a link")),
        "{refused:#?}"
    );
    bench.inside(
        "cmp /root/before /root/.ssh/authorized_keys && rm /home/deploy/.ssh && mv /root/kept /home/deploy/.ssh",
    );
}

/// A service that runs with older settings than are there is found however that came about.
fn loads(bench: &Bench) {
    let run = || bench.inside("systemctl show -p InvocationID systemd-journald.service");
    let before = run();
    bench
        .repairs(&format!("sed -i 's/90M/80M/' {JOURNAL} && systemctl restart systemd-journald"), &["file", "service"]);
    assert_ne!(run(), before);
    // The settings changed back, and the restart was lost.
    bench.repairs("echo >/etc/systemd/journald.conf.d/other.conf", &["service"]);
    bench.repairs("rm /etc/systemd/journald.conf.d/other.conf", &["service"]);
    // Without a memory, times count: it was restarted after the last change.
    let before = run();
    bench.inside("rm -r /run/bedplate/loaded");
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
    assert_eq!(run(), before);
    bench.repairs(&format!("rm -rf /run/bedplate/loaded; touch {JOURNAL}"), &["service"]);
}

#[test]
fn accounts_on_debian_12() {
    main_path(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: one release in the quick one shows the same"]
fn accounts_on_debian_11() {
    main_path(Suite::Bullseye);
}

#[test]
#[ignore = "full tier: one release in the quick one shows the same"]
fn accounts_on_debian_13() {
    main_path(Suite::Trixie);
}
