//! Swap, kernel settings, mounts and volumes on real boxes: brought about, found in sync, broken by hand, found,
//! repaired, grown, rebooted. Swap and disks are the whole machine's, so each box has names of its own.

use bedplate::base::Exit;
use bedplate::base::event::Verdict;
use bedplate::sandbox::Suite;

use super::docker::Bench;
use super::support::Rig;

/// The file that stands behind a loop device of a box grows, as a provider's volume does.
pub(super) fn grow(node: &str, mib: u64) {
    let said = |command: &str, args: &[&str]| {
        let output =
            std::process::Command::new(command).args(args).output().unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(output.status.success(), "{command} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let file = said("losetup", &["--noheadings", "--output", "BACK-FILE", node]);
    said("truncate", &["-s", &format!("{mib}M"), &file]);
    said("losetup", &["-c", node]);
}

/// Whether root of this machine has CAP_SYS_RESOURCE (24), which the kernel wants for growing a mounted ext4. Says so
/// where it has not.
#[allow(clippy::print_stderr, reason = "nothing is passed over in silence")]
pub(super) fn may_grow_ext4() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("what this process may do");
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("its capabilities");
    let may = u64::from_str_radix(set.trim(), 16).expect("a number") >> 24 & 1 == 1;
    if !may {
        eprintln!("NOT SHOWN: root of this machine lacks CAP_SYS_RESOURCE, without which no mounted ext4 can be grown");
    }
    may
}

fn fills_a_volume_that_grew(bench: &Bench, node: &str) {
    grow(node, 700);
    let grown = bench.repairs("true", &["volume"]);
    assert!(grown[0].contains("fill"), "{grown:?}");
    let size = bench.inside("stat -f -c '%b %S' /mnt/data");
    assert!(size.split_whitespace().map(|n| n.parse::<u64>().expect("a number")).product::<u64>() > 550 << 20);
}

#[track_caller]
fn is_refused(bench: &Bench, said: &str) {
    let check = bench.check().exits(Exit::HostFailed);
    let why: Vec<String> =
        check.tasks().into_iter().filter(|task| task.verdict == Verdict::Refused).map(|task| task.why).collect();
    assert!(why.first().is_some_and(|why| why.contains(said)), "{why:?}");
    bench.apply().exits(Exit::HostFailed);
}

fn storage(suite: Suite, filesystem: &str) {
    let name = suite.codename();
    let swap = format!("/swap-{name}-{}", std::process::id());
    let device = format!("/dev/disk/by-id/scsi-0DO_Volume_{name}");
    let swap_of = |size: &str| format!("path = \"{swap}\"\nsize = \"{size}\"\n");
    let volume = format!(
        "device = \"{device}\"\npath = \"/mnt/data\"\nfilesystem = \"{filesystem}\"\nminimum_size = \"300M\"\n\
         options = [\"noatime\"]\ndirectories = [{{ path = \"storage\", owner = \"1000\", group = \"1000\" }}]\n"
    );
    let tasks = [
        ("packages", "install = [\"xfsprogs\"]\n"),
        ("swap", &swap_of("64M")),
        (
            "sysctl",
            "file = \"/etc/sysctl.d/60-bedplate-network.conf\"\nignore_missing = true\n\
             settings = { \"net.ipv4.conf.all.send_redirects\" = 0, \"net.ipv4.tcp_syncookies\" = 1, \
             \"net.ipv6.conf.all.accept_redirects\" = 0, \"net.core.bpf_jit_harden\" = 2 }\n",
        ),
        ("volume", &volume),
        (
            "mount",
            "source = \"tmpfs\"\npath = \"/srv/scratch\"\nfilesystem = \"tmpfs\"\noptions = [\"size=8M\", \"nosuid\"]\n",
        ),
        (
            "mount",
            "source = \"/mnt/data/storage\"\npath = \"/srv/bound\"\nfilesystem = \"none\"\noptions = [\"bind\"]\n",
        ),
    ];
    let mut bench = Bench::up(suite, &tasks);
    is_refused(&bench, "there is no device");
    let node = bench.sandbox.attach_disk(400, Some(device.trim_start_matches("/dev/disk/by-id/"))).expect("a disk");

    // Data without a file system is data.
    bench.inside(&format!("printf 'row 1' | dd of={device} bs=1 seek=3000000 conv=notrunc,fsync status=none"));
    is_refused(&bench, "not blank");
    assert_eq!(bench.inside(&format!("dd if={device} bs=1 skip=3000000 count=5 status=none")), "row 1");
    bench.inside(&format!("dd if=/dev/zero of={device} bs=1 seek=3000000 count=5 conv=notrunc,fsync status=none"));
    // What a mount would hide is not hidden.
    bench.inside("mkdir -p /mnt/data && touch /mnt/data/precious");
    is_refused(&bench, "not empty");
    bench.inside("rm /mnt/data/precious");

    let settled = bench.apply().exits(Exit::Done);
    assert!(settled.summaries().iter().any(|summary| summary.contains("file system on the blank device")));
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
    assert_eq!(bench.inside("stat -c '%u:%g %a' /mnt/data/storage /srv/bound").trim(), "1000:1000 750\n1000:1000 750");
    assert_eq!(bench.inside(&format!("stat -c '%u %a' {swap}")).trim(), "0 600");
    assert!(bench.inside("cat /proc/swaps").contains(&swap));
    let fstab = bench.inside("cat /etc/fstab");
    assert!(fstab.contains(&format!("{swap} none swap sw 0 0")), "{fstab}");
    assert!(
        fstab.contains(&format!(" /mnt/data {filesystem} noatime,nofail,x-systemd.device-timeout=30s 0 2")),
        "{fstab}"
    );
    assert!(bench.inside("cat /etc/systemd/system/docker.service.d/*").contains("RequiresMountsFor=/mnt/data\n"));

    bench.inside("echo kept >/mnt/data/storage/row");
    bench.repairs(&format!("swapoff {swap}"), &["swap"]);
    bench.repairs(&format!("chmod 644 {swap}"), &["swap"]);
    bench.repairs("sed -i '/swap-/d' /etc/fstab", &["swap"]);
    bench.repairs("sysctl -qw net.ipv4.conf.all.send_redirects=1", &["sysctl"]);
    bench.repairs("echo 'net.ipv4.tcp_syncookies=0' >>/etc/sysctl.d/60-bedplate-network.conf", &["sysctl"]);
    bench.repairs("umount /srv/scratch", &["mount"]);
    bench.repairs("umount /srv/bound; sed -i '/bound/d' /etc/fstab", &["mount"]);
    bench.repairs("chown root /mnt/data/storage", &["volume"]);
    bench.repairs("sed -i '/ .mnt.data /s/,nofail//' /etc/fstab", &["volume"]);
    // `atime` alone would leave what is there, by mount(2).
    bench.repairs("mount -o remount,strictatime /mnt/data", &["volume"]);
    bench.repairs("umount /srv/bound /mnt/data", &["volume", "mount"]);
    assert_eq!(bench.inside("cat /srv/bound/row"), "kept\n");
    // The folder underneath takes nothing while the volume is not there.
    bench.inside(
        "umount /srv/bound /mnt/data; ! touch /mnt/data/lost 2>/dev/null && mount /mnt/data && mount /srv/bound",
    );

    bench.inside("echo 'net.ipv4.tcp_syncookies = 0' >/etc/sysctl.d/99-z.conf");
    assert_eq!(bench.check().exits(Exit::Done).findings(), ["sysctl-overruled"]);
    bench.inside("rm /etc/sysctl.d/99-z.conf");

    if filesystem == "xfs" || may_grow_ext4() {
        fills_a_volume_that_grew(&bench, &node);
    }
    bench.tasks[1].1 = swap_of("128M");
    bench.settles();
    assert_eq!(bench.inside(&format!("stat -c %s {swap}")).trim(), (128 << 20).to_string());
    // A run that was killed half-way: what it left goes.
    bench.repairs(&format!("dd if=/dev/zero of={swap}.bedplate-part bs=1M count=8 status=none"), &["swap"]);

    bench.sandbox.reboot().expect("the box comes back");
    bench.inside("timeout 60 systemctl is-system-running --wait >/dev/null || true; mount -a");
    bench.inside("sysctl -q --system >/dev/null 2>&1 || true");
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
    assert_eq!(bench.inside("cat /srv/bound/row"), "kept\n");

    // The volume is exchanged for a blank one: that is not what fstab knows.
    bench.inside(&format!("umount /srv/bound /mnt/data && wipefs -qa {device} && blkdiscard -z {device}"));
    is_refused(&bench, "already");
    bench.tasks.truncate(2);
    bench.tasks[1].1 = swap_of("0");
    bench.settles();
    assert!(!bench.inside("cat /proc/swaps /etc/fstab").contains(&swap));
}

#[test]
fn storage_on_debian_13() {
    storage(Suite::Trixie, "xfs");
}

#[test]
#[ignore = "full tier: ext4; the quick one shows xfs on Debian 13"]
fn storage_on_debian_12() {
    storage(Suite::Bookworm, "ext4");
}

#[test]
#[ignore = "full tier: ext4; the quick one shows xfs on Debian 13"]
fn storage_on_debian_11() {
    storage(Suite::Bullseye, "ext4");
}

/// Makes a box believe in `mib` of memory, and in no swap but its own: others' boxes swap on the same kernel.
fn pretends(rig: &Rig, mib: u64) {
    rig.inside(&format!(
        "mkdir -p /run/kernel && mount -t proc proc /run/kernel && \
         sed 's/^MemTotal:.*/MemTotal: {} kB/' /run/kernel/meminfo >/run/meminfo && mount --bind /run/meminfo /proc/meminfo && \
         for name in swapon swapoff; do printf '#!/bin/sh\\n/usr/sbin/%s \"$@\"\\nstatus=$?\\n\
         grep -e Filename -e /swapfile- /run/kernel/swaps | grep -e Filename -e {own} >/run/swaps\\nexit $status\\n' $name >/usr/local/sbin/$name && \
         chmod 755 /usr/local/sbin/$name; done && /usr/local/sbin/swapon --show && mount --bind /run/swaps /proc/swaps",
        mib * 1024,
        own = rig.sandbox.name()
    ));
}

#[test]
#[ignore = "full tier: the only one of a server that its provider makes larger: more memory, a larger volume, a reboot"]
fn a_server_that_was_made_larger_is_filled_by_an_ordinary_apply() {
    let mut rig = Rig::up(Suite::Bookworm);
    let node = rig.sandbox.attach_disk(400, Some("scsi-0HC_Volume_larger")).expect("a disk");
    let volumes =
        "volumes=[{ device = \"/dev/disk/by-id/scsi-0HC_Volume_larger\", path = \"/mnt/data\", filesystem = \"xfs\" }]";
    let words = ["--set", volumes, "--set", "swap_size=auto", "--tags", "swap,volumes"];
    let swap = format!("stat -c %s /swapfile-{}", rig.sandbox.name());
    let sizes = |rig: &Rig| {
        let size = |line: &str| rig.inside(line).trim().parse::<u64>().expect("a number");
        [size(&swap), size("stat -f -c %b /mnt/data")]
    };

    pretends(&rig, 512);
    rig.run("apply", &words).exits(0);
    rig.run("check", &words).exits(0);
    let small = sizes(&rig);
    rig.inside("echo kept >/mnt/data/row");

    grow(&node, 700);
    rig.reboot();
    pretends(&rig, 2048);
    let check = rig.run("check", &words).exits(2);
    for change in ["~ swap file", "~ volume at /mnt/data"] {
        assert!(check.stdout.contains(change), "`{change}` is not in\n{}", check.stdout);
    }
    assert!(check.stdout.contains("2 to change"), "{}", check.stdout);
    rig.run("apply", &words).exits(0);
    rig.run("check", &words).exits(0);
    let large = sizes(&rig);
    assert!(large[0] > small[0] && large[1] > small[1] * 3 / 2, "{small:?} {large:?}");
    assert_eq!(rig.inside("cat /mnt/data/row"), "kept\n");
}
