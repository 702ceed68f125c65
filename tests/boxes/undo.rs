//! What a run has changed, taken back on a real box: what can be goes back, what somebody has changed since is left
//! alone, what can not be is said.

use bedplate::base::event::EventKind;
use bedplate::sandbox::Suite;

use super::support::{Ran, Rig};

/// All that is set up before the run, so that it has something to change.
const BEFORE: &str = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ufw >/dev/null && \
    ufw allow 22/tcp >/dev/null && ufw --force enable >/dev/null && printf 'old\\n' >/etc/motd && \
    printf 'x\\n' >/srv/old && chmod 644 /srv/old && printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \
    >/etc/systemd/system/demo.service && cp /etc/systemd/system/demo.service /etc/systemd/system/other.service && \
    systemctl daemon-reload && systemctl --quiet enable --now other.service && chmod 700 /root/.ssh && chmod 600 /root/.ssh/authorized_keys";

/// The state of all that the run changes, a line each.
const STATE: &str = "cat /etc/motd; ls /srv /srv/folder 2>&1; stat -c '%a %U' /srv/old; cat /proc/sys/net/ipv4/conf/all/log_martians; \
    ls /etc/sysctl.d; systemctl is-enabled demo other; systemctl is-active demo other; ufw status; sshd -T | grep -E 'x11|maxauth'; \
    ls /etc/ssh/sshd_config.d; cat /root/.ssh/authorized_keys; getent passwd ann; grep undo /proc/swaps | cut -f 1; hostname; true";

fn playbook(rig: &Rig) -> String {
    let swap = format!("/undo-swap-{}", rig.sandbox.name());
    format!(
        "[[task]]\nname = \"motd\"\n[task.file]\npath = \"/etc/motd\"\ncontent = \"new\\n\"\n\
         [[task]]\nname = \"folder\"\n[task.directory]\npath = \"/srv/folder\"\n\
         [[task]]\nname = \"new file\"\n[task.file]\npath = \"/srv/folder/new\"\ncontent = \"new\\n\"\n\
         [[task]]\nname = \"theirs\"\n[task.file]\npath = \"/srv/theirs\"\ncontent = \"ours\\n\"\n\
         [[task]]\nname = \"mode\"\n[task.file]\npath = \"/srv/old\"\ncontent = \"x\\n\"\nmode = \"0600\"\n\
         [[task]]\nname = \"kernel\"\n[task.sysctl]\nfile = \"/etc/sysctl.d/60-x.conf\"\nsettings = {{ \"net.ipv4.conf.all.log_martians\" = 1 }}\n\
         [[task]]\nname = \"on\"\n[task.service]\nunit = \"demo.service\"\nrunning = true\nenabled = true\n\
         [[task]]\nname = \"off\"\n[task.service]\nunit = \"other.service\"\nrunning = false\nenabled = false\n\
         [[task]]\nname = \"tools\"\n[task.packages]\ninstall = [\"tree\"]\n\
         [[task]]\nname = \"swap\"\n[task.swap]\npath = \"{swap}\"\nsize = \"32M\"\n\
         [[task]]\nname = \"ann\"\n[task.user]\nname = \"ann\"\n\
         [[task]]\nname = \"keys\"\n[task.authorized_keys]\nuser = \"root\"\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl other\"]\n\
         [[task]]\nname = \"firewall\"\n[task.ufw]\nrules = [{{ allow = \"80/tcp\" }}]\n\
         [[task]]\nname = \"ssh\"\n[task.sshd]\nsettings = {{ X11Forwarding = false, MaxAuthTries = 5 }}\n"
    )
}

/// What is told beside the plan.
fn notes(ran: &Ran) -> Vec<String> {
    let notes = ran.events().into_iter().filter_map(|event| match event.kind {
        EventKind::Note { text } => Some(text),
        _ => None,
    });
    notes.collect()
}

#[test]
fn a_run_is_taken_back() {
    taken_back(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: the quick one shows the same on Debian 12"]
fn a_run_is_taken_back_on_debian_11() {
    taken_back(Suite::Bullseye);
}

#[test]
#[ignore = "full tier: the quick one shows the same on Debian 12"]
fn a_run_is_taken_back_on_debian_13() {
    taken_back(Suite::Trixie);
}

fn taken_back(suite: Suite) {
    let rig = Rig::up(suite);
    rig.run("undo", &["--yes"]).exits(4);
    rig.inside(BEFORE);
    let before = rig.inside(STATE);
    rig.write("playbooks/95-mine.toml", &playbook(&rig));
    rig.run("apply", &["--tags", "mine"]).exits(0);
    assert_ne!(rig.inside(STATE), before);
    let kept = rig.inside("stat -c '%a %U' /var/lib/bedplate/undo /var/lib/bedplate/undo/*; ls /var/lib/bedplate/undo");
    assert!(kept.starts_with("700 root\n600 root\n"), "{kept}");
    let run = kept.lines().last().and_then(|name| name.strip_suffix(".json")).expect("a run").to_owned();
    assert!(rig.run("history", &[]).exits(0).stdout.contains(&format!("run {run}")));

    // Looking changes nothing, and neither does who is not asked or names what is not there.
    rig.inside("echo theirs >/srv/theirs");
    let after = rig.inside(STATE);
    let check = rig.run("undo", &["--check", "--json"]).exits(2);
    let told = notes(&check).join("\n");
    assert!(told.contains("can not be undone: install tree"), "{told}");
    assert!(told.contains("left alone: write /srv/theirs: what it made has changed since"), "{told}");
    let told = rig.run("undo", &["--check"]).exits(2).stdout;
    assert!(told.contains("16 to change") && told.contains("`bedplate undo root@"), "{told}");
    assert!(told.contains("-new") && told.contains("+old") && told.contains("-X11Forwarding no"), "{told}");
    rig.run("undo", &[]).exits(4);
    let unknown = rig.run("undo", &["0badcafe", "--yes", "--json"]).exits(4);
    assert!(unknown.stdout.contains("the host keeps nothing of a run 0badcafe"), "{}", unknown.stdout);
    assert_eq!(rig.inside(STATE), after);

    let undo = rig.run("undo", &["--yes", "--json"]).exits(0);
    let guarded = undo.events().iter().any(|event| matches!(event.kind, EventKind::GuardConfirmed { .. }));
    assert!(guarded, "{}", undo.stdout);
    rig.inside("rm /srv/theirs");
    let now = rig.inside(STATE);
    assert_eq!(now, before, "{}", undo.stdout);
    assert_eq!(rig.inside("command -v tree; ls -d /home/ann"), "/usr/bin/tree\n/home/ann\n");
    assert!(rig.run("history", &[]).exits(0).stdout.contains(&format!("undo of run {run}")));

    // Again there is nothing to do; and the run that is named is the same one.
    let told = rig.run("undo", &["--check"]).exits(0).stdout;
    assert!(told.contains("There is nothing to undo."), "{told}");
    rig.run("undo", &[&run, "--yes"]).exits(0);
    assert_eq!(rig.inside(STATE), before);
    // Whoever wants it all the same applies.
    rig.run("apply", &["--tags", "mine"]).exits(0);
    rig.run("check", &["--tags", "mine"]).exits(0);
}
