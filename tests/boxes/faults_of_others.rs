//! What somebody else does while a guard is armed: it stays when the guard fires, unless it keeps the door shut.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bedplate::action::Saved;
use bedplate::base::name::{AbsPath, GroupName, SysctlKey, UserName};
use bedplate::engine::guard::{self, Armed, Now, Report, Standing};
use bedplate::sandbox::Suite;
use bedplate::shell::{Batch, Mode, Nonce};

use super::access::{Access, access};

/// A box, and how many guards it has seen.
struct Others {
    access: Access,
    guards: u128,
}

impl Others {
    fn up(suite: Suite) -> Self {
        let access = Access::up(suite, &[]);
        access.bench.inside(
            "mkdir -p /etc/sudoers.d && ufw allow 22/tcp && ufw --force enable && groupadd film && useradd -m -s /bin/bash -G film ann && \
             install -d -m 700 -o ann -g ann /home/ann/.ssh && \
             install -m 600 -o ann -g ann /root/.ssh/authorized_keys /home/ann/.ssh/authorized_keys",
        );
        Self { access, guards: 0 }
    }

    fn inside(&self, line: &str) -> String {
        self.access.bench.inside(line)
    }

    fn gets_in(&self) -> bool {
        self.access.runtime.block_on(self.access.log_in()).is_ok()
    }

    /// Under a guard, `ours` is what the steps do; it is noted, and `theirs` is done by somebody else. Then the window
    /// ends, or the guard is told to fire where `ask` is set.
    #[track_caller]
    fn fires(&mut self, ours: &str, noted: bool, theirs: &str, ask: bool) -> Report {
        self.guards += 1;
        let nonce = Nonce::new(self.guards);
        let runtime = &self.access.runtime;
        let (_connection, mut shell) = runtime.block_on(self.access.log_in()).expect("a login");
        let window = Duration::from_secs(if ask { 60 } else { 10 });
        let armed = runtime.block_on(guard::arm(&mut shell, &saves(), window, &nonce)).expect("an answer");
        assert_eq!(armed, Armed::Yes);
        let begun = Instant::now();
        // A run takes this back with the host's lock.
        self.inside("rm -f /run/bedplate/stop");
        self.inside(ours);
        if noted {
            let note = Batch::new(Mode::Act, vec![guard::note_call(&nonce)]);
            let results = runtime.block_on(shell.run(&note, &mut |_| {})).expect("an answer");
            assert_eq!((results[0].status, String::from_utf8_lossy(&results[0].body)), (0, "".into()));
        }
        self.inside(theirs);
        if ask {
            runtime.block_on(guard::put_back(&mut shell, &nonce)).expect("an answer");
        } else {
            assert!(!self.gets_in(), "`{theirs}` does no harm");
        }
        loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody gets in after `{ours}` and `{theirs}`");
            let standing = runtime.block_on(async {
                let (_connection, mut shell) = self.access.log_in().await.ok()?;
                guard::report(&mut shell).await.ok()
            });
            if let Some(Standing { now: Now::Idle, report: Some(report) }) = standing
                && report.nonce == nonce.as_str()
            {
                assert_eq!(report.problems, Vec::<String>::new(), "after `{ours}` and `{theirs}`");
                return report;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// All that the guard of an apply would save, and more.
fn saves() -> BTreeSet<Saved> {
    let file = |path: &str| Saved::File(AbsPath::new(path).expect("a path"));
    let more = [
        file("/etc/security/access.conf"),
        file("/etc/sudoers.d/film"),
        Saved::Account(UserName::new("ann").expect("a name")),
        Saved::Group(GroupName::new("film").expect("a name")),
        Saved::Sysctl(SysctlKey::new("net.ipv4.conf.all.log_martians").expect("a key")),
        Saved::Sysctl(SysctlKey::new("net.ipv4.conf.all.send_redirects").expect("a key")),
    ];
    [access("sshd", ""), access("ufw", "")].into_iter().flatten().chain(more).collect()
}

/// What the steps do in every row.
const OURS: &str =
    "printf 'X11Forwarding no\\nLoginGraceTime 30\\n' >/etc/ssh/sshd_config.d/00-bedplate.conf && systemctl reload ssh";

/// Nothing of [`OURS`] is left.
#[track_caller]
fn is_as_before(others: &Others) {
    assert!(others.gets_in());
    let said = others.inside("sshd -T | grep logingracetime; ls /etc/ssh/sshd_config.d; ls /var/lib/bedplate/guard");
    assert!(said.contains("logingracetime 120") && !said.contains("00-bedplate") && !said.contains("saved"), "{said}");
}

#[test]
fn what_somebody_else_does_in_the_window_stays_unless_it_locks_out() {
    stays_unless_it_locks_out(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: the quick one shows the same on Debian 12"]
fn what_somebody_else_does_in_the_window_stays_on_debian_11() {
    stays_unless_it_locks_out(Suite::Bullseye);
}

#[test]
#[ignore = "full tier: the quick one shows the same on Debian 12"]
fn what_somebody_else_does_in_the_window_stays_on_debian_13() {
    stays_unless_it_locks_out(Suite::Trixie);
}

fn stays_unless_it_locks_out(suite: Suite) {
    let mut others = Others::up(suite);
    harmless_work_stays(&mut others);
    accounts_go_back_by_their_lines(&mut others);
    what_locks_out_goes(&mut others);
    what_can_not_be_judged_goes_with_a_copy(&mut others);

    // Cut in the middle of the steps: nobody's work can be told from anybody's.
    let report = others.fires(OURS, false, "echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/50-theirs.conf", true);
    assert_eq!((report.left, report.forced), (vec![], vec![]));
    is_as_before(&others);
    assert!(!others.inside("ls /etc/ssh/sshd_config.d").contains("50-theirs"));
}

fn harmless_work_stays(others: &mut Others) {
    let theirs = "echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/50-theirs.conf; \
        printf '[Web]\\ntitle=Web\\ndescription=Web\\nports=80/tcp\\n' >/etc/ufw/applications.d/web; \
        echo '+:ALL:ALL' >>/etc/security/access.conf; sysctl -q -w net.ipv4.conf.all.send_redirects=0; \
        useradd -m guest";
    let ours = format!(
        "{OURS}; ufw allow 81/tcp; sysctl -q -w net.ipv4.conf.all.log_martians=1; echo 'ann ALL=(ALL) ALL' >/etc/sudoers.d/film"
    );
    let report = others.fires(&ours, true, theirs, true);
    is_as_before(others);
    assert_eq!(
        report.left,
        [
            "/etc/security/access.conf",
            "/etc/ssh/sshd_config.d/50-theirs.conf",
            "/etc/ufw/applications.d/web",
            "net.ipv4.conf.all.send_redirects",
        ]
    );
    assert_eq!((report.forced, report.kept), (vec![], None));
    let said = others.inside(
        "cat /proc/sys/net/ipv4/conf/all/log_martians /proc/sys/net/ipv4/conf/all/send_redirects; id -un guest; \
         ls /etc/ssh/sshd_config.d /etc/ufw/applications.d /etc/sudoers.d; ufw status",
    );
    assert!(said.starts_with("0\n0\nguest\n") && said.contains("50-theirs.conf") && said.contains("web"), "{said}");
    assert!(!said.contains("81/tcp") && !said.contains("film"), "{said}");

    // A file of the steps that somebody else has edited: theirs is in it, and it keeps nobody out.
    let theirs = "echo 'PrintMotd no' >>/etc/ssh/sshd_config.d/00-bedplate.conf";
    let ours = "echo 'X11Forwarding no' >/etc/ssh/sshd_config.d/00-bedplate.conf";
    let report = others.fires(ours, true, theirs, true);
    assert_eq!((report.left, report.forced), (vec!["/etc/ssh/sshd_config.d/00-bedplate.conf".to_owned()], vec![]));
    assert!(others.inside("cat /etc/ssh/sshd_config.d/00-bedplate.conf").ends_with("PrintMotd no\n"));
    others.inside(
        "rm /etc/ssh/sshd_config.d/00-bedplate.conf /etc/ssh/sshd_config.d/50-theirs.conf && systemctl reload ssh",
    );
}

fn accounts_go_back_by_their_lines(others: &mut Others) {
    let ours = format!(
        "{OURS}; usermod -s /usr/sbin/nologin ann; gpasswd -d ann film; echo x >/home/ann/.ssh/authorized_keys"
    );
    // What they do keeps nobody out; the line of a user whom they made is not ours to touch.
    let theirs = "usermod -a -G games ann; echo ann:secret | chpasswd; \
        useradd -m visitor; usermod -a -G film visitor";
    let report = others.fires(&ours, true, theirs, true);
    is_as_before(others);
    let said = others.inside(
        "getent passwd ann; id -nG ann; getent group film; passwd -S ann; id -un visitor; cat /home/ann/.ssh/authorized_keys",
    );
    assert!(said.contains("/bin/bash") && said.contains("games") && said.contains("visitor"), "{said}");
    assert!(said.contains("film") && said.contains("ann P ") && said.contains("ssh-"), "{said}");
    assert!(report.left.iter().any(|left| left == "/etc/group: ann in group games"), "{:?}", report.left);
    assert!(report.left.iter().any(|left| left == "/etc/shadow: the line of ann"), "{:?}", report.left);

    // An account that somebody has let run out would keep ann out; a key more would not.
    let ours = "echo '# ours' >>/home/ann/.ssh/authorized_keys";
    let theirs = "chage -E 1 ann; echo '# theirs' >>/home/ann/.ssh/authorized_keys; gpasswd -d ann film";
    let report = others.fires(ours, true, theirs, true);
    let said = others.inside("getent shadow ann | cut -d : -f 8; id -nG ann; cat /home/ann/.ssh/authorized_keys");
    assert!(said.starts_with('\n') && said.contains("film") && said.contains("# theirs"), "{said}");
    assert_eq!(report.left, ["/home/ann/.ssh/authorized_keys"]);
    assert!(report.forced.iter().any(|forced| forced == "/etc/shadow: the line of ann"), "{:?}", report.forced);
    let kept = report.kept.expect("a folder");
    assert!(others.inside(&format!("cat {kept}/etc/shadow; stat -c %a /var/lib/bedplate/kept")).contains(":1:"));
}

fn what_locks_out_goes(others: &mut Others) {
    let kept = |others: &Others, report: &Report, path: &str| {
        let folder = report.kept.clone().unwrap_or_else(|| panic!("nothing is kept: {report:?}"));
        others.inside(&format!("cat {folder}{path}"))
    };
    let foreign = "/etc/ssh/sshd_config.d/01-theirs.conf";
    let theirs = format!("echo 'AllowUsers nobody' >{foreign} && systemctl reload ssh && sleep 1");
    let report = others.fires(OURS, true, &theirs, false);
    is_as_before(others);
    assert_eq!((report.left.as_slice(), report.forced.as_slice()), (&[][..], &[foreign.to_owned()][..]));
    assert_eq!(kept(others, &report, foreign), "AllowUsers nobody\n");
    assert!(!others.inside("ls /etc/ssh/sshd_config.d").contains("01-theirs"));

    // One that would only take effect later, and one that sshd refuses to start with.
    for text in ["PubkeyAuthentication no", "Gibberish yes", "KexAlgorithms sntrup761x25519-sha512@openssh.com"] {
        let report = others.fires(OURS, true, &format!("echo '{text}' >{foreign}"), true);
        is_as_before(others);
        assert_eq!(report.forced, [foreign], "{text}");
        assert_eq!(kept(others, &report, foreign), format!("{text}\n"));
    }
    let report = others.fires(OURS, true, "rm -r /etc/ssh; systemctl stop ssh; systemctl mask ssh", true);
    is_as_before(others);
    assert_eq!(report.forced, ["/etc/ssh"]);
}

fn what_can_not_be_judged_goes_with_a_copy(others: &mut Others) {
    // Whether a firewall lets anybody in is not seen from inside.
    let theirs = "ufw deny 22/tcp; ufw allow 9999/tcp; ufw delete allow 22/tcp";
    let report = others.fires(&format!("{OURS}; ufw allow 81/tcp"), true, theirs, false);
    is_as_before(others);
    assert_eq!(report.forced, ["/etc/ufw/user.rules", "/etc/ufw/user6.rules"]);
    let folder = report.kept.expect("a folder");
    assert!(others.inside(&format!("cat {folder}/etc/ufw/user.rules")).contains("9999"));
    let status = others.inside("ufw status; iptables -S ufw-user-input");
    assert!(status.contains("--dport 22 -j ACCEPT") && !status.contains("9999") && !status.contains("81"), "{status}");

    // A file that the steps and somebody else have changed, which another program than sshd judges by.
    let ours = "echo '-:ann:ALL' >>/etc/security/access.conf";
    let report = others.fires(ours, true, "echo '# theirs' >>/etc/security/access.conf", true);
    assert_eq!(report.forced, ["/etc/security/access.conf"]);
    assert!(!others.inside("cat /etc/security/access.conf").contains("-:ann:ALL"));
}
