//! Backups and restores whose link is lost or whose disk fills on the way: half an archive is never taken for a whole one,
//! what was there stands, and a second run finishes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bedplate::sandbox::{Direction, Fault, Relay, Suite};

use super::backup::{HARD, backups, is_as, killed_when, ran, restore, said, shown, spawned};
use super::support::{Ran, Rig};

const SHOP: &str = "/srv/shop";

/// A box with a tree of all that is hard to copy, and no Docker.
fn up() -> Rig {
    let rig = Rig::up(Suite::Bookworm);
    rig.inside("(apt-get update && apt-get install -y attr acl) >/dev/null 2>&1");
    rig.inside(&format!("mkdir {SHOP} && cd {SHOP} && {HARD} && chown 33:44 . && chmod 2711 ."));
    std::fs::create_dir(rig.path("backups")).expect("a folder");
    rig
}

fn backup(rig: &Rig, address: &str, to: &str) -> Ran {
    ran(rig, &["backup", address, "-F", "ssh_config", "--to", to, "--also", SHOP])
}

/// Nothing of a restore stays on the box.
fn is_tidy(rig: &Rig) {
    assert_eq!(rig.inside(&format!("ls -A /srv {SHOP} | grep bedplate || true")), "");
    assert_eq!(rig.inside("ls /var/lib/bedplate/restoring 2>/dev/null || true"), "");
}

#[test]
#[ignore = "full tier: the only link that is lost in the middle of a backup and of a restore, cut and silent"]
fn a_link_that_is_lost_leaves_nothing_half_done() {
    let rig = up();
    let relay = Relay::start(rig.sandbox.ssh_address(), Duration::ZERO).expect("a free port");
    let (port, alias) = (relay.address().port(), rig.sandbox.ipv4());
    let config = rig.read("ssh_config");
    let lines = "ServerAliveInterval 2\n  ServerAliveCountMax 2";
    rig.write(
        "ssh_config",
        &format!(
            "Host far\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {alias}\n  User root\n  {lines}\n{config}"
        ),
    );
    let before = shown(&rig, SHOP);
    for fault in [Fault::Cut, Fault::Stall] {
        relay.inflict_after(fault, Direction::ToClient, 15_000_000);
        let broken = backup(&rig, "far", "backups");
        assert!(broken.code == 1 || broken.code == 3, "{}: {}", broken.code, said(&broken));
        println!("{}", said(&broken));
        assert!(said(&broken).contains("connection"), "{}", said(&broken));
        assert_eq!(relay.fault(), Some(fault), "the link held");
        assert_eq!(backups(&rig), Vec::<String>::new());
        relay.mend();
    }
    let made = backup(&rig, "far", "backups").exits(0);
    let whole = backups(&rig).remove(0);
    println!("{}", said(&made));

    // Half of a backup has another name, and is refused by that or by any other.
    let words = ["backup", "far", "-F", "ssh_config", "--to", "backups", "--also", SHOP];
    let archive = rig.path("backups").display().to_string();
    let sign = format!("find {archive} -path '*.part/*.tar.gz' -size +5000k | grep -q .");
    killed_here(spawned(&rig, &words), &sign);
    let half = backups(&rig).into_iter().find(|name| name.ends_with(".part")).expect("half of one");
    std::fs::rename(rig.path(&format!("backups/{half}")), rig.path("backups/half")).expect("renamed");
    let refused = restore(&rig, "half", "root@127.0.0.1:1", &[]).exits(4);
    assert!(said(&refused).contains("manifest.json is missing"), "{}", said(&refused));

    // Back, over a link that is lost again.
    rig.inside(&format!("echo mine >{SHOP}/mine"));
    let mine = shown(&rig, SHOP);
    for fault in [Fault::Cut, Fault::Stall] {
        relay.inflict_after(fault, Direction::ToServer, 15_000_000);
        let broken = restore(&rig, &whole, "far", &["--overwrite"]);
        assert!(broken.code == 1 || broken.code == 3, "{}: {}", broken.code, said(&broken));
        println!("{}", said(&broken));
        assert!(said(&broken).contains("the data there is as it was"), "{}", said(&broken));
        assert_eq!(relay.fault(), Some(fault), "the link held");
        is_as(&rig, SHOP, &mine);
        relay.mend();
    }
    restore(&rig, &whole, "far", &["--overwrite", "--remove-old"]).exits(0);
    is_as(&rig, SHOP, &before);
    is_tidy(&rig);
}

#[test]
#[ignore = "full tier: the only host that goes down in the middle of an exchange of data"]
fn a_host_that_goes_down_in_an_exchange_has_its_data_back() {
    let mut rig = up();
    rig.inside("mkdir /srv/two && echo two >/srv/two/x && chown 9:9 /srv/two");
    let (address, both) = (rig.address(), format!("{SHOP},/srv/two"));
    let words = ["backup", &address, "-F", "ssh_config", "--to", "backups", "--also", &both];
    ran(&rig, &words).exits(0);
    let whole = backups(&rig).remove(0);
    rig.inside(&format!("echo mine >{SHOP}/mine && echo mine >/srv/two/mine"));
    let mine = [SHOP, "/srv/two"].map(|folder| shown(&rig, folder));
    // The first tree is the backup's by then, the second is on its way.
    rig.inside(
        "printf '#!/bin/sh\\ncase \"$*\" in */two\\ */two.bedplate-before-*) : >/run/half; exec sleep 9999 ;; esac\\nexec /usr/bin/mv \"$@\"\\n' \
         >/usr/local/sbin/mv && chmod 0755 /usr/local/sbin/mv",
    );
    let from = format!("backups/{whole}");
    let put = ["restore", &from, "--to", &address, "-F", "ssh_config", "--overwrite"];
    killed_when(&rig, spawned(&rig, &put), "test -e /run/half");
    rig.inside(&format!("rm /usr/local/sbin/mv && [ ! -e {SHOP}/mine ] && [ -e /srv/two/mine ] && sync"));
    rig.sandbox.power_cut().expect("the box comes back");
    let again = ran(&rig, &["backup", &address, "-F", "ssh_config", "--start"]).exits(0);
    assert!(said(&again).contains("an exchange of data was cut off in the middle"), "{}", said(&again));
    for (folder, mine) in [SHOP, "/srv/two"].iter().zip(&mine) {
        is_as(&rig, folder, mine);
    }
    is_tidy(&rig);
    ran(&rig, &put).exits(0);
    rig.inside(&format!("[ ! -e {SHOP}/mine ] && [ ! -e /srv/two/mine ]"));
}

/// Waits until a line holds on this machine, and kills the program then.
fn killed_here(mut child: std::process::Child, line: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        if Command::new("sh").args(["-c", line]).status().expect("a shell").success() {
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

/// A small file system in memory on this machine, taken away when it is dropped.
struct Small(PathBuf);

impl Small {
    fn mounted(path: PathBuf, options: &str) -> Self {
        std::fs::create_dir(&path).expect("a folder");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status().expect("mount runs");
        assert!(
            mounted.success(),
            "a file system in memory can not be mounted here: root may, in a machine of its own"
        );
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", "--"]).arg(&self.0).status();
    }
}

/// Fills the file system of a folder as soon as something ending in `.part` is in it.
fn fill_when_begun(folder: &Path) -> thread::JoinHandle<bool> {
    let folder = folder.to_owned();
    thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(60);
        let begun = |folder: &Path| {
            std::fs::read_dir(folder).is_ok_and(|mut all| {
                all.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".part")))
            })
        };
        while !begun(&folder) {
            if Instant::now() > until {
                return false;
            }
            thread::yield_now();
        }
        let mut file = std::fs::File::create(folder.join("filler")).expect("a file");
        std::io::copy(&mut std::io::repeat(1), &mut file).is_err()
    })
}

#[test]
#[ignore = "full tier: the only full disk in the middle of a backup, here, and of a restore, on the host"]
fn a_disk_that_fills_costs_nothing_that_was_there() {
    let mut rig = up();
    let before = shown(&rig, SHOP);
    let address = rig.address();
    {
        let small = Small::mounted(rig.path("small"), "size=160M");
        let made = |folder: &Path| std::fs::read_dir(folder).expect("a folder").count();
        let filler = fill_when_begun(&small.0);
        let full = backup(&rig, &address, "small").exits(1);
        assert!(filler.join().expect("a thread"), "it was never full");
        println!("{}", said(&full));
        assert!(said(&full).contains("No space left on device"), "{}", said(&full));
        assert!(said(&full).contains("the data there is as it was"), "{}", said(&full));
        assert_eq!(made(&small.0), 1, "half of a backup stays");
        // As full as it is now, it is not even begun.
        let refused = backup(&rig, &address, "small").exits(4);
        assert!(said(&refused).contains("there is not enough room"), "{}", said(&refused));
        std::fs::remove_file(small.0.join("filler")).expect("removed");
        backup(&rig, &address, "small").exits(0);
        assert_eq!(made(&small.0), 1);
    }
    backup(&rig, &address, "backups").exits(0);
    let whole = backups(&rig).remove(0);

    // On the host: where the data is a mount point of its own, and where it is a folder on such a disk.
    let disk = rig.sandbox.attach_disk(700, None).expect("a disk");
    for mounted in [SHOP, "/srv"] {
        rig.inside(&format!(
            "mkfs.ext4 -q -F -m 0 {disk} && rm -rf {SHOP} && mkdir {SHOP} && mount {disk} {mounted} && mkdir -p {SHOP} && \
             echo mine >{SHOP}/mine && chown 7:8 {SHOP}"
        ));
        let mine = shown(&rig, SHOP);
        rig.inside(&format!(
            "systemd-run -q --collect --unit=filler sh -c 'until [ -d {SHOP}/.bedplate-restore/tree/many ] || ls -d /srv/.bedplate-restore-*/tree/many; do :; done; \
             fallocate -l $(df -B 1 --output=avail {mounted} | tail -n 1) {mounted}/filler'"
        ));
        let full = restore(&rig, &whole, &address, &["--overwrite"]).exits(1);
        println!("{}", said(&full));
        assert!(said(&full).contains("No space left on device"), "{}", said(&full));
        assert!(said(&full).contains("make room on that disk"), "{}", said(&full));
        assert!(said(&full).contains("the data there is as it was"), "{}", said(&full));
        rig.inside(&format!("rm {mounted}/filler"));
        is_as(&rig, SHOP, &mine);
        is_tidy(&rig);
        restore(&rig, &whole, &address, &["--overwrite", "--remove-old"]).exits(0);
        rig.inside(&format!("rmdir {SHOP}/lost+found 2>/dev/null || true"));
        is_as(&rig, SHOP, &before);
        is_tidy(&rig);
        rig.inside(&format!("umount {mounted}"));
    }
    // A file system that was just made holds nothing of anybody's.
    rig.inside(&format!("mkfs.ext4 -q -F {disk} && mount {disk} {SHOP} && [ -d {SHOP}/lost+found ]"));
    restore(&rig, &whole, &address, &[]).exits(0);
    rig.inside(&format!("rmdir {SHOP}/lost+found && umount {SHOP} && mount {disk} {SHOP}"));
    is_as(&rig, SHOP, &before);
}
