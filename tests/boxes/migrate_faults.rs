//! What breaks on the way while the app still serves: a disk that fills up, a box that reboots, a link that goes. The move says
//! what it was, nothing opens the old box afterwards, and another run goes on where this one ended.

use bedplate::sandbox::Suite;

use super::moving::{Going, Pair, answers, wait};
use super::support::Rig;

const ALSO: [&str; 2] = ["--also", "/srv/disk/data"];
const COPY: &str = "\"action\":\"copy /srv/disk/data\"";

impl Pair {
    /// Starts a move that is in the middle of its first copy, with another file to be copied then.
    fn in_the_first_copy(&self, file: &str) -> Going {
        self.old.inside(&format!("mkdir -p /srv/disk/data && head -c 24000000 /dev/urandom >/srv/disk/data/{file}"));
        let mut going = self.start(&[&ALSO[..], &["--bandwidth", "2m"]].concat());
        going.meets(&["── 4/7 ──", COPY, "\"event\":\"copying\""]);
        going
    }

    /// What `going` has told when it has ended; the old box serves then, nobody is let in to it, and nothing runs twice.
    #[track_caller]
    fn broke_off(&self, going: Going) -> String {
        let (code, told) = going.ends();
        assert_ne!(code, 0, "{told}");
        self.in_service();
        assert_eq!(
            self.old.inside("grep -c bedplate-migrate-once /root/.ssh/authorized_keys || true").trim(),
            "0",
            "{told}"
        );
        assert!(!self.new.inside("docker ps --format '{{.Names}}'").contains("shop"), "two of one app run");
        told
    }
}

/// Fills the disk that the data goes to.
fn fill(rig: &Rig) {
    rig.inside("! dd if=/dev/zero of=/srv/disk/filler bs=1M 2>/dev/null");
}

#[test]
#[ignore = "full tier: the only disk that fills up while it is copied to, in the first copy and in the last; the only reboot of \
            either box, and the only lost link, in the first copy"]
fn a_copy_that_breaks_off_is_told_and_taken_up_again() {
    let mut pair = Pair::up(Suite::Bookworm, Suite::Trixie);
    // A link that is gone is noticed soon.
    pair.old.write("ssh_config", &format!("{}  ServerAliveInterval 3\n  ServerAliveCountMax 2\n", pair.ssh_config()));
    let device = pair.new.sandbox.attach_disk(700, None).expect("a disk");
    pair.new.inside(&format!("mkfs.ext4 -q -m 0 {device} && mkdir -p /srv/disk && mount {device} /srv/disk"));

    let going = pair.in_the_first_copy("one");
    fill(&pair.new);
    let told = pair.broke_off(going);
    assert!(told.contains("disk has become full") && told.contains("nothing was stopped"), "{told}");
    assert_eq!(pair.new.inside("ls /run/bedplate/migrate 2>/dev/null || true"), "");
    let small = pair.migrate(&ALSO).exits(4);
    assert!(small.stderr.contains("not enough room"), "{}", small.stderr);
    pair.new.inside("rm /srv/disk/filler");

    // In the last copy, of what came between.
    let dump = "head -c 24000000 /dev/urandom >/srv/disk/data/dump; touch /root/dumped; while ! [ -e /root/go ]; do sleep 0.2; done";
    let going = pair.start(&[&ALSO[..], &["--dump", dump]].concat());
    wait(&pair.old, "[ -e /root/dumped ]");
    fill(&pair.new);
    pair.old.inside("touch /root/go");
    let told = pair.broke_off(going);
    assert!(told.contains("disk has become full") && told.contains("has been started again"), "{told}");
    assert!(told.contains("had to be killed: shop-db"), "{told}");
    pair.new.inside("rm /srv/disk/filler");

    let going = pair.in_the_first_copy("two");
    pair.new.sandbox.link_down().expect("the link goes");
    let (code, told) = going.ends();
    pair.new.sandbox.link_up().expect("the link is back");
    assert!(code != 0 && told.contains("connection was lost"), "{code}: {told}");
    pair.in_service();
    assert_eq!(pair.old.inside("grep -c bedplate-migrate-once /root/.ssh/authorized_keys || true").trim(), "0");
    wait(&pair.new, "! pgrep -x rsync >/dev/null");

    let going = pair.in_the_first_copy("three");
    pair.new.reboot();
    pair.new.inside(&format!("mount {device} /srv/disk"));
    let told = pair.broke_off(going);
    assert!(told.contains("connection was lost"), "{told}");

    // The key that the old box had lent is taken back when it is there again.
    let going = pair.in_the_first_copy("four");
    pair.old.reboot();
    let told = pair.broke_off(going);
    assert!(told.contains("the line between both hosts broke off"), "{told}");

    pair.migrate(&ALSO).exits(0);
    answers(pair.new.sandbox.ipv4());
    let tree = "cd /srv/disk/data && sha256sum *";
    assert_eq!(pair.new.inside(tree), pair.old.inside(tree));
    assert_eq!(pair.new.inside("ls /srv/disk/data | tr '\\n' ' '"), "dump four one three two ");
}
