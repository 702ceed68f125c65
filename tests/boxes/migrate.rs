//! A move from box to box, with a stand-in for Kamal: nothing that was acknowledged is lost, nothing of the tree differs,
//! and whatever breaks on the way leaves the old box in service.

use bedplate::sandbox::Suite;

use super::moving::{Pair, Poll, answers, wait};
use super::support::Rig;

/// Everything about a tree that a copy must keep, by other means than the program's.
const TREE: &str = "cd \"$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)\" && \
    find . ! -name 'app.sqlite3*' ! -name versions -printf '%p %y %m %U %G %s %n %l\\n' | grep -v '^\\. ' | sed 's/ d \\([0-9]* [0-9]* [0-9]*\\) [0-9]* [0-9]*/ d \\1/' | sort; \
    find . -type f ! -name 'app.sqlite3*' ! -name versions -print0 | sort -z | xargs -0 sha256sum | sha256sum; \
    getfattr -R -d -m 'user.*' . 2>/dev/null; du -s -B 1M sparse | cut -f 1";

#[test]
#[ignore = "full tier: the only move from box to box with a writer in SQLite, 12 to 13, root's login, the direct way"]
fn a_move_loses_no_row_that_was_acknowledged() {
    let pair = Pair::up(Suite::Bookworm, Suite::Trixie);
    pair.old.inside(
        "cd \"$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)\" && \
         printf 'pragma journal_mode=wal; create table rows (n integer primary key);' | sqlite3 app.sqlite3 && \
         mkdir -p many \"odd 'name' é\" && (cd many && i=0; while [ $i -lt 3000 ]; do echo $i >file-$i; i=$((i + 1)); done) && \
         truncate -s 1G sparse && printf x | dd of=sparse bs=1 seek=500000000 conv=notrunc 2>/dev/null && \
         ln many/file-1 hard && ln -s many/file-2 soft && setfattr -n user.colour -v blue many/file-3 && \
         chown -R 1000:1000 many && chmod 2750 many && printf 'a\\nb' >\"$(printf 'line\\nbreak')\" && touch -d 2001-02-03 many/file-4",
    );
    let before = pair.old.inside(TREE);
    // A writer that goes on until the freeze: what it has printed was acknowledged by SQLite.
    pair.old.inside(
        "docker inspect shop-web-1 >/dev/null && cat >/usr/local/bin/writer <<'EOT'\n#!/bin/sh\n\
         db=$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)/app.sqlite3\nn=0\n\
         while docker inspect -f '{{.State.Running}}' shop-web-1 | grep -q true; do\nn=$((n + 1))\n\
         echo \"insert into rows values ($n);\" | sqlite3 \"$db\" && echo $n >>/root/acknowledged\ndone\nEOT\n\
         chmod +x /usr/local/bin/writer && systemd-run --unit writer /usr/local/bin/writer",
    );
    let moved = pair.migrate(&[]);
    let moved = moved.exits(0);
    println!("{}{}", moved.stdout, moved.stderr);
    let acknowledged: Vec<u64> =
        pair.old.inside("cat /root/acknowledged").lines().map(|line| line.parse().expect("a number")).collect();
    assert!(acknowledged.len() > 10, "the writer did not write: {acknowledged:?}");
    let rows = Pair::rows(&pair.new);
    assert!(acknowledged.iter().all(|row| rows.contains(row)), "acknowledged {acknowledged:?}, there {rows:?}");
    assert_eq!(pair.new.inside(TREE), before);
    answers(pair.new.sandbox.ipv4());
    let deploy = pair.old.read("config/deploy.yml");
    let address = pair.new.sandbox.ipv4().to_string();
    assert!(
        deploy.contains(&format!("    - {address}  # the box")) && deploy.contains(&format!("host: {address}")),
        "{deploy}"
    );
    // The old box is out of service and keeps everything; nothing of the copy stays on either.
    assert_eq!(pair.old.inside("docker ps --format '{{.Names}}'").trim(), "kamal-proxy");
    assert_eq!(pair.old.inside(TREE), before);
    for rig in [&pair.old, &pair.new] {
        assert_eq!(rig.inside("grep -c bedplate-migrate-once /root/.ssh/authorized_keys || true").trim(), "0");
        assert_eq!(rig.inside("dpkg-query -W -f '${Status}' rsync 2>/dev/null || true").trim(), "");
        assert_eq!(rig.inside("ls /run/bedplate/migrate 2>/dev/null || true"), "");
    }
    assert_eq!(pair.new.inside("docker exec shop-db cat /data/rows"), "first\n");
    // A second move of the same is refused; going back is not.
    pair.old.write("config/deploy.yml", &deploy.replace(&address, &pair.old.sandbox.ipv4().to_string()));
    let again = pair.migrate(&[]).exits(4);
    assert!(again.stderr.contains("moved to the new host already"), "{}", again.stderr);
    pair.old.write("config/deploy.yml", &deploy);
    pair.migrate(&["--abort"]).exits(0);
    answers(pair.old.sandbox.ipv4());
    assert!(pair.old.read("config/deploy.yml").contains(&pair.old.sandbox.ipv4().to_string()));
    assert!(!pair.new.inside("docker ps --format '{{.Names}}'").contains("shop"), "two of one app run");
}

#[test]
#[ignore = "full tier: the only rows of a move that breaks: killed in the copy and in the freeze, a writer left, a deployer that \
            fails, a host that is not empty or has no room, a rebooted host; through this machine; forwarded"]
fn whatever_breaks_leaves_the_old_box_in_service() {
    let mut pair = Pair::up(Suite::Trixie, Suite::Bookworm);
    pair.old.inside(
        "cd \"$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)\" && head -c 40000000 /dev/urandom >big && \
         printf 'pragma journal_mode=wal; create table rows (n integer primary key); insert into rows values (7);' | sqlite3 app.sqlite3",
    );
    let seen = pair.migrate(&["--dry-run"]).exits(0);
    assert!(
        seen.stderr.contains("moves volume shop_storage") && seen.stderr.contains("+++ b/config/deploy.yml"),
        "{}",
        seen.stderr
    );
    assert_eq!(pair.new.inside("command -v docker rsync || true"), "", "a dry run changed the new box");

    // Killed while the first copy runs: the app never noticed, and nothing opens the old box afterwards.
    pair.killed(&["--bandwidth", "500k"], &pair.new, "pgrep -x rsync >/dev/null && [ -e /run/bedplate/migrate/key ]");
    pair.in_service();
    pair.new.inside("! [ -e /run/bedplate/migrate/key ] || chmod 600 /run/bedplate/migrate/key");

    // A writer that no container is.
    pair.old.inside(
        "systemd-run --unit stray sh -c 'exec 9>>\"$(docker volume inspect --format {{.Mountpoint}} shop_storage)\"/big; exec sleep 1000'",
    );
    let stray = pair.migrate(&["--via-here"]).exits(1);
    assert!(stray.stderr.contains("still writes") && stray.stderr.contains("sleep"), "{}", stray.stderr);
    assert!(stray.stderr.contains("has been started again"), "{}", stray.stderr);
    pair.in_service();
    pair.old.inside("systemctl stop stray");

    // A deployer that fails.
    pair.old.write("version", "broken");
    let broken = pair.migrate(&["--via-here"]).exits(42);
    assert!(broken.stderr.contains("put back in service"), "{}", broken.stderr);
    pair.in_service();
    pair.old.write("version", "1");

    // Killed while all stands still; the old box comes back from a reboot as it was left, and the next run goes on.
    let dump = "touch /root/dumping; sleep 600";
    pair.killed(&["--dump", dump, "--thaw-after", "900"], &pair.old, "[ -e /root/dumping ]");
    assert!(!pair.old.inside("docker ps --format '{{.Names}}'").contains("shop-web"), "the app was not stopped");
    pair.old.reboot();
    pair.new.reboot();
    pair.old.write("version", "broken");
    let resumed = pair.migrate(&[]).exits(42);
    assert!(resumed.stderr.contains("still stopped by an earlier run"), "{}", resumed.stderr);
    pair.in_service();
    pair.old.write("version", "1");
    nobody_comes_back(&mut pair);

    // What is on the new box by another hand is not overwritten.
    pair.new.inside("echo 'SHA256:other copying' >/var/lib/bedplate/migrate/move");
    let full = pair.migrate(&[]).exits(4);
    assert!(full.stderr.contains("not empty") && full.stderr.contains("--overwrite"), "{}", full.stderr);
    pair.in_service();

    // At last, through this machine, and forwarded: a client of the old address meets nothing but the freeze.
    let polled = Poll::start(pair.old.sandbox.ipv4());
    let moved = pair.migrate(&["--overwrite", "--via-here", "--forward"]).exits(0);
    assert!(moved.stderr.contains("SQLite finds 1 database whole"), "{}", moved.stderr);
    answers(pair.old.sandbox.ipv4());
    let answered = polled.end();
    let gaps = answered.windows(2).filter(|pair| pair[0] && !pair[1]).count();
    assert!(gaps <= 1, "an answer failed outside the one freeze: {answered:?}");
    assert_eq!(Pair::rows(&pair.new), [7]);
    pair.old.reboot();
    answers(pair.old.sandbox.ipv4());
    assert_eq!(pair.old.inside("docker ps --format '{{.Names}}'"), "", "the old box began to serve again by itself");
    pair.migrate(&["--abort"]).exits(0);
    answers(pair.old.sandbox.ipv4());
    assert_eq!(pair.old.inside("ls /etc/systemd/system | grep bedplate-forward || true"), "");
}

/// The machine that commands is lost in the freeze, for good: the old box waits, and goes back by itself. Once it has, no
/// run goes on from where the lost one was.
fn nobody_comes_back(pair: &mut Pair) {
    for reboots in [false, true] {
        pair.old.inside("rm -f /root/dumping");
        let dump = "touch /root/dumping; sleep 5";
        pair.killed(&["--dump", dump, "--thaw-after", "10"], &pair.old, "[ -e /root/dumping ]");
        pair.old.inside("grep -q shop-web /var/lib/bedplate/migrate/frozen");
        if reboots {
            pair.old.reboot();
        }
        wait(&pair.old, "[ -e /var/lib/bedplate/migrate/fired ]");
        pair.in_service();
        let units = "ls /etc/systemd/system /etc/systemd/system/multi-user.target.wants | grep bedplate-thaw || true";
        assert_eq!(pair.old.inside(units), "");
        let back = pair.migrate(&["--abort"]).exits(0);
        assert!(back.stderr.contains("started again by itself"), "{}", back.stderr);
        pair.in_service();
    }
    let late = pair.migrate(&["--via-here", "--dump", "mv /var/lib/bedplate/migrate/armed /root/"]).exits(1);
    assert!(late.stderr.contains("by itself, since it had heard nothing"), "{}", late.stderr);
    pair.in_service();
    assert_eq!(pair.new.inside("docker ps --format '{{.Names}}'"), "", "the new box serves as well");
}

#[test]
#[ignore = "full tier: the only move by an administrator with sudo, of paths alone, on Debian 11, by a deployer of one's own"]
fn an_administrator_moves_what_is_named() {
    let pair = Pair { old: Rig::up(Suite::Bullseye), new: Rig::up(Suite::Bullseye) };
    for rig in [&pair.old, &pair.new] {
        rig.inside(
            "(apt-get update && apt-get install -y sudo acl attr) >/dev/null 2>&1 && useradd -m -s /bin/bash admin && \
             cp -r /root/.ssh /home/admin && chown -R admin: /home/admin/.ssh && \
             echo 'admin ALL=(ALL:ALL) NOPASSWD:ALL' >/etc/sudoers.d/admin && chmod 440 /etc/sudoers.d/admin",
        );
    }
    pair.old.write("ssh_config", &pair.ssh_config());
    pair.old.inside(
        "useradd -u 4321 shop && mkdir -p /srv/shop/a && cd /srv/shop && echo one >a/one && ln a/one two && ln -s a/one three && \
         setfattr -n user.colour -v blue a/one && setfacl -m u:4321:rw a && setfacl -d -m u:4321:rx a && mkfifo pipe && \
         chown 4321:4321 . a && chmod 2711 a && truncate -s 5M hole && touch \"$(printf 'a\\nb c\\\\ %%')\" && touch -d 2001-02-03 a/one",
    );
    let tree = "cd /srv/shop && find . -printf '%p %y %m %U %G %T@ %n %l\\n' | sort; getfacl -R -n . ; getfattr -R -d . ; du -k hole";
    let before = pair.old.inside(tree);
    pair.old.program("deploy.sh", "#!/bin/sh\necho deployed to $BEDPLATE_TEST_NOTHING >>deployed\n");
    let (old, new) = (format!("admin@{}", pair.old.sandbox.ipv4()), format!("admin@{}", pair.new.sandbox.ipv4()));
    let words =
        [old.as_str(), "--to", &new, "--yes", "--watch", "0", "--also", "/srv/shop", "--set", "admin_user=admin"];
    // A disk that is too small is told before anything is stopped or copied.
    pair.new.inside("mkdir /srv/shop && mount -t tmpfs -o size=1M tmpfs /srv/shop");
    let small = pair.run("migrate", &[&words[..], &["--", "./deploy.sh"]].concat()).exits(4);
    assert!(small.stderr.contains("not enough room"), "{}", small.stderr);
    pair.new.inside("umount /srv/shop && mount -t tmpfs -o nr_inodes=500 tmpfs /srv/shop");
    let few = pair.run("migrate", &[&words[..], &["--", "./deploy.sh"]].concat()).exits(4);
    assert!(few.stderr.contains("not enough free inodes"), "{}", few.stderr);
    pair.new.inside("umount /srv/shop && rmdir /srv/shop");
    let moved = pair.run("migrate", &[&words[..], &["--", "./deploy.sh"]].concat()).exits(0);
    let note = pair.old.inside("cat /etc/motd.d/90-bedplate-moved");
    assert!(note.contains(&pair.new.sandbox.ipv4().to_string()) && note.contains("--abort"), "{note}");
    assert!(!moved.stderr.contains("through this machine"), "the direct way was not taken: {}", moved.stderr);
    assert_eq!(pair.new.inside(tree), before);
    assert_eq!(pair.old.read("deployed").lines().count(), 1);
    assert_eq!(
        pair.old.inside("cat /home/admin/.ssh/authorized_keys | grep -c bedplate-migrate-once || true").trim(),
        "0"
    );
}

#[test]
#[ignore = "full tier: the only move with a deploy login, whose number differs on both boxes, with TLS files of one's own and \
            certificates of kamal-proxy that belong to its own user"]
fn what_belongs_to_the_deployer_belongs_to_it_there() {
    let pair = Pair::up_for(Suite::Bookworm, Suite::Trixie, "deploy");
    // The deployer has another number there.
    pair.new.inside("useradd -m -u 1000 somebody");
    pair.old.inside(
        "cd /home/deploy/.kamal/proxy/apps-config && mkdir -p shop/tls shop/error_pages && echo cert >shop/tls/cert.pem && \
         echo key >shop/tls/key.pem && echo sorry >shop/error_pages/502.html && chown -R deploy: shop && chmod 700 shop/tls && \
         chmod 600 shop/tls/key.pem && cd \"$(docker volume inspect --format '{{.Mountpoint}}' kamal-proxy-config)\" && \
         mkdir -p certs/shop.example.com && echo account >certs/acme_account+key && echo pair >certs/shop.example.com/pair && \
         echo '{}' >kamal-proxy.state && chown -R 1000:1000 . && chmod 700 certs certs/shop.example.com && chmod 600 certs/acme_account+key",
    );
    let tls = "cd /home/deploy && stat -c '%U:%G %a %n' . .kamal .kamal/proxy .kamal/proxy/apps-config .kamal/proxy/apps-config/shop \
               .kamal/proxy/apps-config/shop/tls .kamal/proxy/apps-config/shop/tls/* .kamal/proxy/apps-config/shop/error_pages/* \
               shop-db shop-db/etc/my.cnf; cat .kamal/proxy/apps-config/shop/tls/*; stat -c '%u:%g %a %n' shop-db/data shop-db/data/rows";
    let certs = "cd \"$(docker volume inspect --format '{{.Mountpoint}}' kamal-proxy-config)\" && \
                 find . ! -name kamal-proxy.state -printf '%U:%G %m %p\\n' | sort -k 3 && cat certs/acme_account+key";
    let before = [pair.old.inside(tls), pair.old.inside(certs)];
    assert!(before[0].contains("deploy:deploy 600 .kamal/proxy/apps-config/shop/tls/key.pem"), "{}", before[0]);
    let moved = pair.migrate(&[]).exits(0);
    println!("{}{}", moved.stdout, moved.stderr);
    let number = |rig: &Rig| rig.inside("id -u deploy");
    assert_ne!(number(&pair.old), number(&pair.new), "the numbers do not differ: nothing is shown");
    assert_eq!([pair.new.inside(tls), pair.new.inside(certs)], before);
    let state = "ls \"$(docker volume inspect --format '{{.Mountpoint}}' kamal-proxy-config)\"/kamal-proxy.state 2>/dev/null || true";
    assert_eq!(pair.new.inside(state), "", "a state that points at the old box's containers came along");
    answers(pair.new.sandbox.ipv4());
    // Going back finds the old box's as they were.
    pair.migrate(&["--abort"]).exits(0);
    pair.in_service();
    assert_eq!([pair.old.inside(tls), pair.old.inside(certs)], before);
}
