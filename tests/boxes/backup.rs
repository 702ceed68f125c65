//! Backups of a box whose app writes into SQLite all the while, and back: every row that was acknowledged, everything of
//! the tree, and nothing half-done when the program is killed on the way.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bedplate::sandbox::Suite;

use super::support::{Ran, Rig};

/// Makes all that is hard to copy in the folder at hand.
pub(super) const HARD: &str = "mkdir -p many \"odd 'name' é\" && \
    (cd many && i=0; while [ $i -lt 2000 ]; do echo $i >file-$i; i=$((i + 1)); done) && \
    truncate -s 1G sparse && printf x | dd of=sparse bs=1 seek=500000000 conv=notrunc 2>/dev/null && \
    ln many/file-1 hard && ln -s many/file-2 soft && setfattr -n user.colour -v \"$(printf 'blue\\nand red')\" many/file-3 && \
    setfacl -m u:1234:r many/file-5 && chown -R 1000:1000 many && chmod 2750 many && \
    printf 'a\\nb' >\"$(printf 'line\\nbreak')\" && printf z >\"$(printf 'r\\351sum\\351')\" && touch -d 2001-02-03 many/file-4 && \
    head -c 40000000 /dev/urandom >noise";

/// Everything about a tree that must come back, by other means than the program's.
pub(super) fn shown(rig: &Rig, folder: &str) -> Vec<String> {
    let folder = shlex::try_quote(folder).expect("a name without a NUL");
    let line = format!(
        "set -e; cd -- {folder}; find . ! -type d -printf '%p %y %m %U %G %s %n %l %T@\\n' | sort; find . -type d -printf '%p %m %U %G\\n' | sort; \
         find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; find . -print0 | sort -z >/run/names; \
         xargs -0 getfattr -h -d -m 'user.*' </run/names 2>/dev/null || true; xargs -0 getfacl -n </run/names 2>/dev/null || true; \
         du -s -B 1M sparse 2>/dev/null | cut -f 1"
    );
    rig.inside(&line).lines().map(str::to_owned).collect()
}

/// Whether a tree is as it was; tells where it is not.
#[track_caller]
pub(super) fn is_as(rig: &Rig, folder: &str, before: &[String]) {
    let now = shown(rig, folder);
    let at = now.iter().zip(before).position(|(now, before)| now != before).unwrap_or(now.len().min(before.len()));
    assert!(now == before, "{folder} has {:?} in the place of {:?}", now.get(at), before.get(at));
}

/// A box with an app that writes, and hard things beside its database.
fn up(suite: Suite) -> Rig {
    let rig = Rig::up(suite);
    rig.run("apply", &["--tags", "docker"]).exits(0);
    rig.inside("apt-get install -y busybox-static sqlite3 attr acl >/dev/null 2>&1");
    rig.inside(
        "d=$(mktemp -d) && mkdir -p $d/bin $d/tmp && cp /bin/busybox /usr/bin/sqlite3 $d/bin/ && \
         cp -L --parents $(ldd /usr/bin/sqlite3 | grep -o '/lib[^ ]*') $d && \
         for name in sh sleep; do ln -s busybox $d/bin/$name; done && tar -C $d -c . | docker import - shop >/dev/null && rm -r $d",
    );
    rig.inside(
        "mkdir -p /srv/bound && docker volume create --label of=shop shop_storage && \
         docker volume create --opt type=none --opt o=bind --opt device=/srv/bound shop_bound",
    );
    start_app(&rig);
    rig.inside(&format!(
        "cd /var/lib/docker/volumes/shop_storage/_data && {HARD} && echo bound >/srv/bound/file && chown 33:33 /srv/bound"
    ));
    rig
}

/// The app: each number that it prints was acknowledged by SQLite.
fn start_app(rig: &Rig) {
    rig.inside(
        "docker run --detach --restart unless-stopped --name shop-web-1 --label service=shop --label role=web \
         --volume shop_storage:/storage --volume shop_bound:/bound shop sh -c \
         '(echo \"pragma journal_mode=wal; pragma wal_autocheckpoint=20; create table if not exists rows (n integer primary key);\"; \
         while :; do echo \"insert into rows default values; select last_insert_rowid();\"; sleep 0.02; done) | sqlite3 /storage/app.sqlite3'",
    );
}

/// What the app has printed so far.
fn acknowledged(rig: &Rig) -> Vec<u64> {
    rig.inside("docker logs shop-web-1 2>/dev/null").lines().filter_map(|line| line.parse().ok()).collect()
}

fn rows(rig: &Rig) -> Vec<u64> {
    let text =
        rig.inside("sqlite3 /var/lib/docker/volumes/shop_storage/_data/app.sqlite3 'select n from rows order by n'");
    text.lines().map(|line| line.parse().expect("a number")).collect()
}

/// Everything about the trees that must come back, by other means than the program's.
const TREE: &str = "cd /var/lib/docker/volumes/shop_storage/_data && \
    find . /srv/bound ! -name 'app.sqlite3*' -printf '%p %y %m %U %G %s %n %l %TY-%Tm-%Td\\n' | grep -v '^[^ ]* d' | sort; \
    find . /srv/bound -type d -printf '%p %m %U %G\\n' | sort; \
    find . /srv/bound -type f ! -name 'app.sqlite3*' -print0 | sort -z | xargs -0 sha256sum | sha256sum; \
    getfattr -R -d -m 'user.*' . 2>/dev/null; getfacl -n many/file-5; du -s -B 1M sparse | cut -f 1; \
    docker volume inspect --format '{{.Labels}} {{.Options}}' shop_storage shop_bound";

/// The backups in the working folder, oldest first.
pub(super) fn backups(rig: &Rig) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(rig.path("backups"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

pub(super) fn restore(rig: &Rig, backup: &str, to: &str, more: &[&str]) -> Ran {
    let from = format!("backups/{backup}");
    let mut words = vec!["restore", &from, "--to", to, "-F", "ssh_config", "--stop-timeout", "2"];
    words.extend(more);
    ran(rig, &words)
}

/// Runs the program, again for as long as the host still holds the lock of a run that was killed.
pub(super) fn ran(rig: &Rig, words: &[&str]) -> Ran {
    let until = Instant::now() + Duration::from_secs(130);
    loop {
        let ran = Ran::of(&rig.command(words).output().expect("the program runs"));
        if ran.code != 6 || Instant::now() > until {
            return ran;
        }
    }
}

/// All that the program has said.
pub(super) fn said(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

/// Waits until `line` succeeds in the box, and kills the program then.
pub(super) fn killed_when(rig: &Rig, mut child: Child, line: &str) {
    let until = Instant::now() + Duration::from_secs(120);
    let seen = loop {
        if rig.sandbox.ask(&["sh", "-c", line]).is_ok() {
            break true;
        }
        if Instant::now() > until || child.try_wait().expect("a child").is_some() {
            break false;
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    assert!(seen, "it never came to `{line}`");
}

pub(super) fn spawned(rig: &Rig, words: &[&str]) -> Child {
    let (out, err) = (Stdio::null(), Stdio::null());
    rig.command(words).stdout(out).stderr(err).spawn().expect("the program runs")
}

#[test]
#[ignore = "full tier: the only backup and restore of a real tree, with a writer in SQLite all along"]
fn a_backup_holds_every_row_and_comes_back_whole() {
    let rig = up(Suite::Bookworm);
    std::fs::create_dir(rig.path("backups")).expect("a folder");
    let before = rig.inside(TREE);
    let address = rig.address();
    let backup = |more: &[&str]| {
        let mut words = vec!["backup", address.as_str(), "-F", "ssh_config", "--to", "backups", "--stop-timeout", "2"];
        words.extend(more);
        ran(&rig, &words)
    };
    let looked = backup(&["--dry-run"]).exits(0);
    assert!(said(&looked).contains("takes volume shop_storage"), "{}", said(&looked));
    assert_eq!(backups(&rig), Vec::<String>::new());

    // The app goes on meanwhile, and what it had been told is there.
    let told = acknowledged(&rig);
    let made = backup(&[]).exits(0);
    println!("{}", said(&made));
    assert!(acknowledged(&rig).len() > told.len() && told.len() > 20, "the app did not write");
    assert!(!said(&made).contains("in use"), "{}", said(&made));
    let first = backups(&rig);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(
        rig.inside("ls -A /var/lib/bedplate/backup /var/lib/bedplate/migrate 2>/dev/null || true")
            .lines()
            .filter(|l| !l.is_empty() && !l.ends_with(':'))
            .count(),
        0
    );
    let manifest = rig.read(&format!("backups/{}/manifest.json", first[0]));
    assert!(manifest.contains("\"integrity\": \"ok\"") && !manifest.contains("in_use"), "{manifest}");

    // All of it is lost, the volumes too, and comes back.
    rig.inside("docker rm -f shop-web-1 && docker volume rm shop_storage shop_bound && rm -rf /srv/bound");
    let put = restore(&rig, &first[0], &address, &[]).exits(0);
    println!("{}", said(&put));
    assert_eq!(rig.inside(TREE), before);
    let there = rows(&rig);
    assert!(told.iter().all(|row| there.contains(row)), "acknowledged {told:?}, there {there:?}");
    assert_eq!(there, (1..=there.len() as u64).collect::<Vec<_>>());
    rig.inside("cd /var/lib/docker/volumes/shop_storage && rm -f _data/app.sqlite3-shm _data/app.sqlite3-wal && ! ls -A | grep bedplate && ! ls -A /srv | grep bedplate");

    // What is there is not overwritten unasked; when asked, it is kept, and its write-ahead log does not stay beside.
    start_app(&rig);
    rig.inside("echo later >/srv/bound/later");
    let refused = restore(&rig, &first[0], &address, &[]).exits(4);
    assert!(said(&refused).contains("there is data already"), "{}", said(&refused));
    let exchanged = restore(&rig, &first[0], &address, &["--overwrite"]).exits(0);
    println!("{}", said(&exchanged));
    assert!(said(&exchanged).contains("started again: shop-web-1"), "{}", said(&exchanged));
    assert_eq!(rig.inside(TREE), before);
    assert_eq!(rig.inside("cat /srv/bound.bedplate-before-*/later"), "later\n");
    rig.inside("rm -rf /srv/bound.bedplate-before-* /var/lib/docker/volumes/shop_storage/_data.bedplate-before-*");

    // Of one moment: all stands still meanwhile, and goes on afterwards.
    let stopped = backup(&["--stop", "--keep", "2"]).exits(0);
    assert!(said(&stopped).contains("started again, after"), "{}", said(&stopped));
    assert_eq!(rig.inside("docker inspect -f '{{.State.Running}}' shop-web-1"), "true\n");
    let last = acknowledged(&rig);
    backup(&["--keep", "2"]).exits(0);
    let kept = backups(&rig);
    assert!(kept.len() == 2 && !kept.contains(&first[0]), "{kept:?}");
    assert!(rows(&rig).contains(last.last().expect("a number")), "{last:?}");

    // Killed while all stands still: the host knows what to start.
    let words = ["backup", &address, "-F", "ssh_config", "--to", "backups", "--stop", "--stop-timeout", "1"];
    killed_when(
        &rig,
        spawned(&rig, &words),
        "docker inspect -f '{{.State.Running}}' shop-web-1 | grep -q false && ls /var/lib/bedplate/backup/*.list",
    );
    assert_eq!(rig.inside("docker inspect -f '{{.State.Running}}' shop-web-1"), "false\n");
    let start = ["backup", &address, "-F", "ssh_config", "--start"];
    let started = ran(&rig, &start).exits(0);
    assert!(
        said(&started).contains("started again what an earlier run had left stopped: shop-web-1"),
        "{}",
        started.stdout
    );
    assert_eq!(rig.inside("docker inspect -f '{{.State.Running}}' shop-web-1"), "true\n");
    assert!(backups(&rig).iter().any(|name| name.ends_with(".part")), "{:?}", backups(&rig));
    backup(&["--keep", "3"]).exits(0);
    let all = backups(&rig);
    assert!(all.len() == 3 && all.iter().all(|name| !name.starts_with('.')), "{all:?}");

    // Killed while it is put back: nothing of what is there has changed, and the app never stopped.
    let (from, at) = (format!("backups/{}", all[2]), rig.inside("docker inspect -f '{{.State.StartedAt}}' shop-web-1"));
    rig.inside("echo mine >/srv/bound/mine");
    let words = ["restore", &from, "--to", &address, "-F", "ssh_config", "--overwrite", "--stop-timeout", "1"];
    killed_when(&rig, spawned(&rig, &words), "ls /var/lib/docker/volumes/shop_storage/.bedplate-restore-*/tree/many");
    assert_eq!(rig.inside("docker inspect -f '{{.State.StartedAt}}' shop-web-1"), at);
    assert_eq!(rig.inside(&format!("rm /srv/bound/mine; {TREE}")), before);
    restore(&rig, &all[2], &address, &["--overwrite", "--remove-old", "--only", "shop_storage"]).exits(0);
    assert_eq!(rig.inside(TREE), before);
    rig.inside("! ls -A /var/lib/docker/volumes/shop_storage /srv | grep bedplate");

    // An altered or truncated archive is refused before anybody is contacted: nobody listens there.
    let archive = rig.path(&format!("{from}/01-volume_shop_bound.tar.gz"));
    let whole = std::fs::read(&archive).expect("an archive");
    let mut altered = whole.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    for (bytes, word) in [(altered.as_slice(), "altered"), (&whole[..whole.len() - 1], "truncated")] {
        std::fs::write(&archive, bytes).expect("a file");
        let refused = restore(&rig, &all[2], "root@127.0.0.1:1", &[]).exits(4);
        assert!(said(&refused).contains(word), "{}", said(&refused));
    }
    assert_eq!(restore(&rig, &all[1], "root@127.0.0.1:1", &[]).code, 3);
}
