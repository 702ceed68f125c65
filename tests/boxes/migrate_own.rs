//! A move of what is no container: it is stopped by a command of one's own, and started again by the one that takes that back,
//! whoever starts it.

use bedplate::sandbox::Suite;

use super::moving::{Pair, wait};
use super::support::Rig;

/// A service that writes a row every tenth of a second, and goes on where it was.
const LEDGER: &str = "mkdir -p /srv/ledger && cat >/usr/local/bin/ledger <<'EOT' && chmod +x /usr/local/bin/ledger
#!/bin/sh
while :; do n=$(($(wc -l </srv/ledger/rows) + 1)); echo $n >>/srv/ledger/rows; sleep 0.1; done
EOT
touch /srv/ledger/rows; printf '[Service]\\nExecStart=/usr/local/bin/ledger\\n' >/etc/systemd/system/ledger.service; \
systemctl daemon-reload; systemctl start ledger";
const RUNS: &str = "systemctl is-active --quiet ledger";
const STANDS: &str = "! systemctl is-active --quiet ledger";

fn rows(rig: &Rig) -> Vec<u64> {
    rig.inside("cat /srv/ledger/rows").lines().map(|line| line.parse().expect("a number")).collect()
}

#[test]
#[ignore = "full tier: the only move of what a command of one's own stops, started again after a failure, by the host alone, and \
            on the way back"]
fn what_is_no_container_is_stopped_and_started_by_ones_own_commands() {
    let pair = Pair { old: Rig::up(Suite::Bookworm), new: Rig::up(Suite::Bookworm) };
    pair.old.write("ssh_config", &pair.ssh_config());
    pair.old.inside(LEDGER);
    // It takes long enough for somebody to pull a plug.
    let freeze = "systemctl stop ledger && touch /root/stood && sleep 4";
    let own = ["--also", "/srv/ledger", "--freeze", freeze, "--thaw", "systemctl start ledger", "--thaw-after", "10"];
    let with = |more: &[&'static str]| [&own[..], more, &["--", "./deploy.sh"]].concat();

    // The deployer fails: what was stopped runs again, and nothing is left of it.
    pair.old.program("deploy.sh", "#!/bin/sh\necho no >&2\nexit 7\n");
    let failed = pair.migrate(&with(&[])).exits(7);
    println!("{}", failed.stderr);
    pair.old.inside("test -e /root/stood && rm /root/stood");
    pair.old.inside(RUNS);
    assert_eq!(pair.old.inside("ls /var/lib/bedplate/migrate | grep -x -e frozen -e thaw-command || true"), "");

    // This machine is gone while it stands still: the host starts it by itself, with the command that was left with it.
    pair.old.program("deploy.sh", "#!/bin/sh\necho deployed >>deployed\n");
    pair.killed(&with(&["--overwrite"]), &pair.old, STANDS);
    pair.old.inside(STANDS);
    wait(&pair.old, RUNS);
    let before = rows(&pair.old).len();
    wait(&pair.old, &format!("[ $(wc -l </srv/ledger/rows) -gt {before} ]"));
    assert!(!pair.old.path("deployed").exists(), "it went on without anybody");

    // To the end: what had been written stands on both, and nothing writes any more.
    pair.migrate(&with(&["--overwrite"])).exits(0);
    pair.old.inside(STANDS);
    let (old, new) = (rows(&pair.old), rows(&pair.new));
    assert_eq!(new, old);
    assert_eq!(old, (1..=old.len() as u64).collect::<Vec<_>>(), "a row is missing");
    assert!(old.len() > before && pair.old.read("deployed").lines().count() == 1);

    // Back, without a word about the commands: the host has kept the one.
    let back = [pair.old.sandbox.ipv4().to_string(), format!("root@{}", pair.new.sandbox.ipv4())];
    pair.run("migrate", &[&back[0], "--to", &back[1], "--yes", "--abort"]).exits(0);
    pair.old.inside(RUNS);
    assert_eq!(pair.old.inside("ls /var/lib/bedplate/migrate | grep -x -e frozen -e thaw-command || true"), "");
}
