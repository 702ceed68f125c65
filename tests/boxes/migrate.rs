//! A move from box to box, with a stand-in for Kamal: nothing that was acknowledged is lost, nothing of the tree differs,
//! and whatever breaks on the way leaves the old box in service.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use bedplate::sandbox::Suite;

use super::support::{Ran, Rig};

/// Two boxes and the folder of an app that is deployed on the first.
struct Pair {
    old: Rig,
    new: Rig,
}

impl Pair {
    /// Both up, the old one prepared and deployed to.
    fn up(old: Suite, new: Suite) -> Self {
        let pair = Self { old: Rig::up(old), new: Rig::up(new) };
        for rig in [&pair.old, &pair.new] {
            rig.inside("(apt-get update && apt-get install -y busybox sqlite3 attr) >/dev/null 2>&1");
        }
        pair.write_app();
        pair.run("handoff", &["--yes"]).exits(0);
        answers(pair.old.sandbox.ipv4());
        pair
    }

    /// The app in the folder of the old box, whose stand-in for Kamal goes wherever deploy.yml says.
    fn write_app(&self) {
        let rig = &self.old;
        rig.write(
            "config/deploy.yml",
            &format!(
                "# ours\nservice: shop\nimage: ann/shop\nservers:\n  web:\n    - {0}  # the box\nregistry:\n  server: localhost:5555\n\
                 builder:\n  arch: [amd64, arm64]\nvolumes:\n  - shop_storage:/storage\naccessories:\n  db:\n    image: shop\n    \
                 host: {0}\n    directories: [data:/data]\n    files: [my.cnf:/etc/my.cnf]\n",
                rig.sandbox.ipv4()
            ),
        );
        rig.write("my.cnf", "A=b\n");
        rig.write("version", "1");
        let known = std::fs::read_to_string(self.old.sandbox.known_hosts()).expect("a file")
            + &std::fs::read_to_string(self.new.sandbox.known_hosts()).expect("a file");
        rig.write("known_hosts", &known);
        let keys = [self.old.sandbox.key(), self.new.sandbox.key()].map(|key| key.display().to_string());
        let config = format!(
            "Host *\n  UserKnownHostsFile known_hosts\n  GlobalKnownHostsFile /dev/null\n  IdentityFile {}\n  IdentityFile {}\n  \
             IdentitiesOnly yes\n",
            keys[0], keys[1]
        );
        rig.write("ssh_config", &config);
        let deployer = include_str!("deployer.sh")
            .replace(
                ". ./login",
                "host=$(sed -n 's/^    - \\([0-9.]*\\).*/\\1/p' config/deploy.yml) key=x known_hosts=known_hosts",
            )
            .replace("-i \"$key\"", &format!("-i {} -i {}", keys[0], keys[1]));
        rig.program("bin/kamal", &deployer);
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let swap = format!("swap_path=/swapfile-{}", self.old.sandbox.name());
        let mut words = vec![verb, "-F", "ssh_config", "--set", "docker_source=distribution"];
        words.extend(["--set", &swap, "--set", "swap_size=64M"]);
        words.extend(more);
        Ran::of(&self.old.command(&words).env("BEDPLATE_VAR_TIMEZONE", "UTC").output().expect("the program runs"))
    }

    /// `migrate OLD --to NEW`, with `more`.
    fn migrate(&self, more: &[&str]) -> Ran {
        let (old, new) = (self.old.sandbox.ipv4().to_string(), format!("root@{}", self.new.sandbox.ipv4()));
        let mut words = vec![old.as_str(), "--to", &new, "--yes", "--watch", "0", "--stop-timeout", "2"];
        words.extend(more);
        self.run("migrate", &words)
    }

    /// Rows that a writer in the app has put into its database.
    fn rows(rig: &Rig) -> Vec<u64> {
        let text = rig.inside(
            "sqlite3 \"$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)\"/app.sqlite3 'select n from rows order by n'",
        );
        text.lines().map(|line| line.parse().expect("a number")).collect()
    }
}

/// What the app answers to the world, within half a minute.
#[track_caller]
fn answers(address: Ipv4Addr) {
    let until = Instant::now() + Duration::from_secs(30);
    let mut last = String::new();
    while Instant::now() < until {
        match ask(address) {
            Ok(text) if text.contains("fine") => return,
            Ok(text) => last = text,
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    panic!("the app does not answer on {address}: {last}");
}

fn ask(address: Ipv4Addr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&(address, 80).into(), Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /up HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

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
