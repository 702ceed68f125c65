//! A move to another host beside what one would type: rsync over ssh for the copy, `docker stop`, rsync, done for the time
//! that the app is away. The same data, in turn, between the same two boxes.

use std::process::Command;
use std::time::Instant;

use super::Size;
use super::fleet::{Box, Fleet, program};
use super::goals::Goals;
use super::page::Page;
use super::sample::{measured, median};

/// What lies in the volume: many small files, large ones that do not compress, and a hole.
const FILL: &str = "cd \"$(docker volume create data >/dev/null; docker volume inspect --format '{{.Mountpoint}}' data)\" && \
    perl -e 'for my $f (0 .. $ARGV[0] - 1) { my $d = \"many/\" . int($f / 500); mkdir \"many\"; mkdir $d; \
    open my $h, \">\", \"$d/$f\"; print $h \"line $f\\n\" x ($f % 97) }' \"$FILES\" && \
    for n in 1 2 3 4; do head -c \"$LARGE\" /dev/urandom >large-$n; done && truncate -s 1G hole";
/// What changes before the second copy.
const CHANGE: &str = "cd \"$(docker volume inspect --format '{{.Mountpoint}}' data)\" && for n in 1 2 3 4 5 6 7 8 9; do \
    echo again >>many/0/$n; done && head -c 1000000 /dev/urandom | dd of=large-1 bs=1M seek=3 conv=notrunc 2>/dev/null";
/// Where a copy by hand goes.
const BY_HAND: &str = "/var/lib/docker/by-hand";

/// The milliseconds of the first action whose words begin so.
fn took(stdout: &str, words: &str) -> f64 {
    let lines = stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut done = lines.filter(|event| event["event"] == "action_finished");
    let action = done.find(|event| event["action"].as_str().is_some_and(|action| action.starts_with(words)));
    let action = action.unwrap_or_else(|| panic!("no action `{words}` in\n{stdout}"));
    action["took_ms"].as_f64().expect("milliseconds") / 1000.0
}

fn migrate(fleet: &Fleet, more: &[&str]) -> Command {
    let (old, new) = (&fleet.boxes[0].sandbox, &fleet.boxes[1].sandbox);
    let mut command = program();
    command.args(["migrate", old.name(), "--to", new.name(), "--yes", "--json", "--watch", "0", "-F"]);
    command.arg(fleet.folder().join("near")).args(["--set", "docker_source=distribution", "--set", "swap_size=0"]);
    command.args(more);
    command
}

/// rsync as one would type it on the new box.
fn rsync(one: &Box, from: &str, to: &str, address: &str) -> f64 {
    let begun = Instant::now();
    one.inside(&format!(
        "mkdir -p {to} && rsync -aHAXS --numeric-ids --delete -e 'ssh -o StrictHostKeyChecking=no' root@{address}:{from}/ {to}/"
    ));
    begun.elapsed().as_secs_f64()
}

/// Copies there and there again, both ways in turn.
pub(crate) fn measure(size: Size, page: &mut Page, goals: &mut Goals) {
    let (files, large) = if size.fresh > 0 { (100_000, 150_000_000) } else { (5_000, 10_000_000) };
    let words = format!(
        "{files} small files, 4 files of {} MB that do not compress, a hole of 1 GB, between two boxes. The copies are compared \
         with `rsync -aHAXS --numeric-ids --delete` over ssh, the time away with `docker stop` and that rsync; bedplate's holds \
         the comparison of every file on both sides besides.",
        large / 1_000_000
    );
    page.part("A move to another host", &words);
    let fleet = Fleet::up(2);
    let (old, new) = (&fleet.boxes[0], &fleet.boxes[1]);
    for one in &fleet.boxes {
        one.converge();
        one.inside("(apt-get update && apt-get install -y rsync busybox) >/dev/null 2>&1");
    }
    old.inside(&format!("FILES={files} LARGE={large}; export FILES LARGE; {FILL}"));
    old.inside(IMAGE);
    let address = old.sandbox.ipv4().to_string();
    // The key of one who does it by hand.
    let key = new.inside("test -e /root/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; cat /root/.ssh/id_ed25519.pub");
    old.inside(&format!("echo '{}' >>/root/.ssh/authorized_keys", key.trim()));
    let from = old.inside("docker volume inspect --format '{{.Mountpoint}}' data").trim().to_owned();
    let (mut firsts, mut seconds, mut aways) = (Vec::new(), Vec::new(), Vec::new());
    page.text("| round | first copy: by hand | bedplate | changes: by hand | bedplate | away: by hand | bedplate |\n|---|---|---|---|---|---|---|");
    for round in 1..=size.moves {
        new.inside(&format!("docker volume rm data >/dev/null 2>&1; rm -rf {BY_HAND} /var/lib/bedplate/migrate; sync"));
        old.inside("rm -rf /var/lib/bedplate/migrate; docker start app >/dev/null");
        // Whoever comes second finds what the first has read in memory, and what it has written on its way to the disk.
        let by_hand = || {
            new.inside("sync");
            rsync(new, &from, BY_HAND, &address)
        };
        let bedplate = || {
            new.inside("sync");
            let (_, told) = measured(&migrate(&fleet, &["--rehearse", "--", "true"]), 0, None);
            took(&told, "copied volume data")
        };
        let (first_by_hand, first) = if round % 2 == 0 {
            let first = bedplate();
            (by_hand(), first)
        } else {
            (by_hand(), bedplate())
        };
        old.inside(CHANGE);
        let second_by_hand = rsync(new, &from, BY_HAND, &address);
        let away_by_hand = {
            old.inside(CHANGE);
            let begun = Instant::now();
            old.inside("docker stop --time 60 app >/dev/null");
            rsync(new, &from, BY_HAND, &address);
            let away = begun.elapsed().as_secs_f64();
            old.inside("docker start app >/dev/null");
            away
        };
        old.inside(CHANGE);
        let (_, told) = measured(&migrate(&fleet, &["--", "true"]), 0, None);
        let second = took(&told, "copied what has changed of volume data");
        let away = took(&told, "stopped what writes") + second + took(&told, "compared");
        page.text(&format!(
            "| {round} | {first_by_hand:.2} | {first:.2} | {second_by_hand:.2} | {second:.2} | {away_by_hand:.2} | {away:.2} |"
        ));
        firsts.push(first / first_by_hand);
        seconds.push(second / second_by_hand);
        aways.push(away / away_by_hand);
    }
    goals.at_most("the first copy of a move takes, of rsync's by hand", 1.05, median(firsts), "");
    goals.at_most("the last copy of a move takes, of rsync's by hand", 1.05, median(seconds), "");
    page.text(&format!("\nTime away, of that by hand: {:.2}.", median(aways)));
}

/// A container that holds the volume and ends when it is told to.
const IMAGE: &str = "d=$(mktemp -d) && mkdir -p $d/bin && cp /bin/busybox $d/bin/ && \
    cp -L --parents $(ldd /bin/busybox | grep -o '/lib[^ ]*') $d && ln -s busybox $d/bin/sh && ln -s busybox $d/bin/sleep && \
    tar -C $d -c . | docker import - app >/dev/null && rm -r $d && docker container inspect app >/dev/null 2>&1 || \
    docker run --detach --restart unless-stopped --name app --label service=app --label role=web --volume data:/data app \
    sh -c 'trap \"exit 0\" TERM; while :; do sleep 1 & wait; done' >/dev/null";
