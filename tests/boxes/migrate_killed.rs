//! A move whose controller is killed, at every step: another run goes on or goes back, no row is lost that was acknowledged, and
//! never does a container of the app run on both boxes.

use std::collections::BTreeMap;

use bedplate::sandbox::Suite;

use super::moving::{Pair, answers, wait};
use super::support::Rig;

/// Writes rows in the app's own container for as long as it runs, each acknowledged once it is written.
const WRITER: &str = "cat >/usr/local/bin/writer <<'EOT'
#!/bin/sh
run=0
while :; do
	run=$((run + 1))
	docker exec shop-web-1 sh -c 'n=0; while :; do n=$((n + 1)); echo '$run'-$n >>/storage/rows && echo '$run'-$n; sleep 0.2; done' >>/root/acknowledged 2>/dev/null
	sleep 0.5
done
EOT
chmod +x /usr/local/bin/writer && systemd-run --unit writer /usr/local/bin/writer";

/// Writes down when containers start and end, whatever becomes of Docker meanwhile.
const RECORDER: &str = "cat >/usr/local/bin/recorder <<'EOT'
#!/bin/sh
while :; do
	docker events --since 1 --filter type=container --filter event=start --filter event=die --format '{{.TimeNano}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}' >>/root/events 2>/dev/null
	sleep 0.5
done
EOT
chmod +x /usr/local/bin/recorder && touch /root/events && systemd-run --unit recorder /usr/local/bin/recorder";

/// When containers of the app ran on a box: from and to, in nanoseconds of the clock that both boxes share.
fn ran(rig: &Rig) -> Vec<(u64, u64, String)> {
    let text = rig.inside("sort -u /root/events");
    let (mut running, mut all) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split(' ');
        let [time, action, id, name] = [(); 4].map(|()| words.next().unwrap_or_else(|| panic!("not an event: {line}")));
        if !name.starts_with("shop-") {
            continue;
        }
        let time: u64 = time.parse().expect("a time");
        if action == "start" {
            running.insert(id, (time, name));
        } else if let Some((since, name)) = running.remove(id) {
            all.push((since, time, name.to_owned()));
        }
    }
    all.extend(running.into_values().map(|(since, name)| (since, u64::MAX, name.to_owned())));
    all
}

#[track_caller]
fn never_two_writers(pair: &Pair) {
    let (old, new) = (ran(&pair.old), ran(&pair.new));
    assert!(!old.is_empty(), "nothing was recorded");
    for one in &old {
        for other in &new {
            assert!(
                one.1 < other.0 || other.1 < one.0,
                "ran at once: {one:?} on the old box, {other:?} on the new one"
            );
        }
    }
}

#[track_caller]
fn no_row_is_lost(pair: &Pair, on: &Rig) {
    let acknowledged = pair.old.inside("cat /root/acknowledged");
    let rows = on.inside("cat \"$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)\"/rows");
    let rows: std::collections::BTreeSet<&str> = rows.lines().collect();
    let lost: Vec<&str> = acknowledged.lines().filter(|row| !rows.contains(row)).collect();
    assert!(acknowledged.lines().count() > 10, "the writer did not write");
    assert!(lost.is_empty(), "lost {lost:?} of {} rows", acknowledged.lines().count());
}

/// Where a run is killed: what it is started with besides, and what it has told by then.
struct Cut(&'static [&'static str], &'static [&'static str]);

const FREEZE: &str = "\"action\":\"stop what writes\"";
const COPY: &str = "\"action\":\"copy volume shop_storage\"";

const BEFORE_THE_SWITCH: [Cut; 7] = [
    // Checking the old box, preparing the new one, seeing whether Kamal will work there.
    Cut(&[], &["── 1/7 ──"]),
    Cut(&[], &["── 2/7 ──", "action_started"]),
    Cut(&[], &["── 3/7 ──"]),
    // The first copy; then the stop, the last copy, the comparison.
    Cut(&["--bandwidth", "2m"], &["── 4/7 ──", COPY]),
    Cut(&[], &["── 5/7 ──", FREEZE]),
    Cut(&[], &[FREEZE, COPY]),
    Cut(&[], &[FREEZE, "\"action\":\"compare both hosts\""]),
];

impl Pair {
    #[track_caller]
    fn cut(&self, Cut(more, signs): &Cut) {
        let mut going = self.start(more);
        going.meets(signs);
        drop(going);
        never_two_writers(self);
    }
}

#[test]
#[ignore = "full tier: the only move whose controller is killed at every step from the check to the names, each followed by another \
            run or by the way back"]
fn a_move_killed_at_any_step_goes_on_or_back() {
    let pair = Pair::up(Suite::Trixie, Suite::Bookworm);
    pair.old.inside(
        "cd \"$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)\" && head -c 8000000 /dev/urandom >big",
    );
    pair.old.inside(WRITER);
    for rig in [&pair.old, &pair.new] {
        rig.inside(RECORDER);
    }
    wait(&pair.old, "[ -s /root/acknowledged ] && [ -s /root/events ]");
    for cut in &BEFORE_THE_SWITCH[..5] {
        pair.cut(cut);
    }
    // A run that ends in words only: the app stands still since the last one, and this one is killed further on.
    pair.cut(&BEFORE_THE_SWITCH[5]);
    pair.cut(&BEFORE_THE_SWITCH[6]);
    let stands = pair.old.inside("docker ps --format '{{.Names}}'");
    assert_eq!(stands.trim(), "kamal-proxy", "the app was not stopped");
    pair.migrate(&["--abort"]).exits(0);
    pair.in_service();
    no_row_is_lost(&pair, &pair.old);

    // Behind the last copy: the next run copies nothing, deploys and goes on.
    pair.cut(&Cut(&[], &["+++ b/config/deploy.yml"]));
    pair.cut(&Cut(&[], &["kamal setup, as root"]));
    // The deployer outlives the run that started it. Going back waits for its end, or it would start the app behind it.
    wait(&pair.new, "[ -d /root/.kamal/lock-shop ]");
    let back = pair.migrate(&["--abort"]).exits(0);
    assert!(
        back.stderr.contains("a deploy runs here") && back.stderr.contains("stopped on the new host"),
        "{}",
        back.stderr
    );
    pair.in_service();
    never_two_writers(&pair);
    assert_eq!(pair.new.inside("docker ps --format '{{.Names}}'").trim(), "kamal-proxy");
    let refused = pair.migrate(&[]).exits(4);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);

    pair.cut(&Cut(&["--overwrite"], &["deployed by the stand-in"]));
    no_row_is_lost(&pair, &pair.new);
    pair.cut(&Cut(&["--forward"], &["nothing is copied any more", "answers 200", "run_started", "run_started"]));
    let refused = pair.migrate(&[]).exits(4);
    assert!(refused.stderr.contains("moved to the new host already"), "{}", refused.stderr);
    pair.migrate(&["--forward"]).exits(0);
    answers(pair.old.sandbox.ipv4());
    pair.migrate(&["--abort"]).exits(0);
    pair.in_service();
    assert_eq!(pair.old.inside("ls /etc/systemd/system | grep bedplate-forward || true"), "");

    pair.cut(&Cut(&["--overwrite"], &["── 7/7 ──"]));
    answers(pair.new.sandbox.ipv4());
    no_row_is_lost(&pair, &pair.new);
    never_two_writers(&pair);
    assert_eq!(pair.old.inside("docker ps --format '{{.Names}}'").trim(), "kamal-proxy");
    for rig in [&pair.old, &pair.new] {
        assert_eq!(rig.inside("grep -c bedplate-migrate-once /root/.ssh/authorized_keys || true").trim(), "0");
        assert_eq!(rig.inside("ls /run/bedplate/migrate 2>/dev/null || true"), "");
    }
}
