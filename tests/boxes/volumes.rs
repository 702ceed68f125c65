//! Volumes as providers hand them out: by each one's names, partitioned or not, grown, exchanged, missing at boot; and
//! Docker, which waits for them. The disks are loop devices with the providers' names by hand. systemd in a container
//! leaves the devices of fstab alone, so the unit that it would make of the line is written by hand where it matters.

use std::process::Command;

use bedplate::base::Exit;
use bedplate::base::event::Verdict;
use bedplate::sandbox::Suite;

use super::docker::Bench;
use super::storage::{grow, may_grow_ext4};

/// A name of each provider, as its documentation has it.
const NAMES: [(&str, &str); 4] = [
    ("scsi-0DO_Volume_data-fra1", "DigitalOcean"),
    ("scsi-0HC_Volume_101234567", "Hetzner"),
    ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0", "AWS"),
    ("google-data-disk-1", "Google Cloud"),
];

fn refusals(bench: &Bench) -> Vec<String> {
    let check = bench.check().exits(Exit::HostFailed);
    check.tasks().into_iter().filter(|task| task.verdict == Verdict::Refused).map(|task| task.why).collect()
}

fn tool(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Partitions of a loop device outlive it: taken back when this goes, after the box.
#[derive(Default)]
struct Partitions(Option<String>);

impl Drop for Partitions {
    fn drop(&mut self) {
        if let Some(disk) = &self.0 {
            // It complains that the device is gone, and does it.
            let _ = Command::new("partx")
                .args(["--delete", "--nr", "1", disk])
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

/// The one partition of a disk, with an xfs on it, as the box sees it; `by_id` is the name of the disk.
fn partitioned(bench: &Bench, disk: &str, by_id: &str) -> String {
    bench.inside("apt-get update -qq && apt-get install -y -q fdisk xfsprogs >/dev/null 2>&1");
    bench.inside(&format!(
        "printf 'label: gpt\\nstart=2048, size=700000, type=L\\n' | sfdisk -q --no-reread --no-tell-kernel {disk}"
    ));
    tool(&["partx", "--add", disk]);
    let name = format!("{}p1", disk.trim_start_matches("/dev/"));
    let number = std::fs::read_to_string(format!("/sys/class/block/{name}/dev")).expect("a partition");
    let number = number.trim().replace(':', " ");
    bench.inside(&format!(
        "mknod /dev/{name} b {number} && ln -s /dev/{name} /dev/disk/by-id/{by_id}-part1 && mkfs.xfs -q /dev/{name}"
    ));
    format!("/dev/{name}")
}

#[test]
#[ignore = "full tier: names of providers, partitions, exchanged disks"]
fn volumes_by_the_names_of_providers() {
    let mut partitions = Partitions::default();
    let mut bench = Bench::up(Suite::Bookworm, &[]);
    let mut nodes = Vec::new();
    for (number, (name, _)) in NAMES.iter().enumerate() {
        nodes.push(bench.sandbox.attach_disk(if number == 3 { 400 } else { 64 }, Some(name)).expect("a disk"));
    }
    partitions.0 = Some(nodes[3].clone());
    let part = partitioned(&bench, &nodes[3], NAMES[3].0);
    for (number, (name, _)) in NAMES.iter().enumerate() {
        let part = if number == 3 { "-part1" } else { "" };
        let text = format!("device = \"/dev/disk/by-id/{name}{part}\"\npath = \"/mnt/data{number}\"\n");
        let label = match number {
            0 => "label = \"data\"\n",
            3 => "filesystem = \"xfs\"\n",
            _ => "",
        };
        bench.tasks.push(("volume", text + label));
    }
    bench.settles();
    for (number, (_, provider)) in NAMES.iter().enumerate() {
        bench.inside(&format!("mountpoint -q /mnt/data{number} || {{ echo '{provider}'; exit 1; }}"));
        bench.inside(&format!("echo row >/mnt/data{number}/row"));
    }

    // The disks grow; the partition follows, then what is on it.
    grow(&nodes[3], 800);
    let mut open = vec!["volume"];
    if may_grow_ext4() {
        grow(&nodes[0], 128);
        open.push("volume");
    }
    let grown = bench.repairs("true", &open);
    assert!(grown.iter().any(|line| line.contains("let partition 1 of")), "{grown:?}");
    let size = bench.inside(&format!("blockdev --getsize64 {part}"));
    assert!(size.trim().parse::<u64>().expect("a number") > 750 << 20, "{size}");
    let held = bench.inside("stat -f -c '%b %S' /mnt/data3");
    let held = held.split_whitespace().map(|n| n.parse::<u64>().expect("a number")).product::<u64>();
    assert!(held > 650 << 20, "{held}");
    assert_eq!(bench.inside("cat /mnt/data3/row"), "row\n");

    // Another label than declared, another disk behind the same name, no disk: an error, and never a new file system.
    let first = bench.tasks[0].1.clone();
    bench.tasks[0].1 = first.replace("label = \"data\"", "label = \"other\"");
    assert!(refusals(&bench)[0].contains("labelled `data`, and not `other`"), "{:?}", refusals(&bench));
    bench.tasks[0].1 = first;
    bench.inside(&format!(
        "umount /mnt/data1 /mnt/data2 && cd /dev/disk/by-id && ln -sfn {} {} && ln -sfn {} {}",
        nodes[2], NAMES[1].0, nodes[1], NAMES[2].0
    ));
    let why = refusals(&bench);
    assert_eq!(why.iter().filter(|why| why.contains("/etc/fstab mounts UUID=")).count(), 2, "{why:?}");
    bench.apply().exits(Exit::HostFailed);
    bench.inside(&format!("cd /dev/disk/by-id && ln -sfn {} {} && rm {}", nodes[1], NAMES[1].0, NAMES[2].0));
    assert!(refusals(&bench).iter().any(|why| why.starts_with("there is no device /dev/disk/by-id/nvme-Amazon")));
    bench.inside(&format!("ln -sfn {} /dev/disk/by-id/{} && mount -a", nodes[2], NAMES[2].0));
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
    assert_eq!(bench.inside("cat /mnt/data[0-3]/row"), "row\n".repeat(4));
}

#[test]
#[ignore = "full tier: Docker at a boot with and without its disk"]
fn docker_never_starts_on_the_empty_folder_below_a_volume() {
    let volume = "device = \"/dev/disk/by-id/scsi-0HC_Volume_1\"\npath = \"/mnt/data\"\n";
    let named = "name = \"app_storage\"\ndevice = \"/mnt/data/app_storage\"\n";
    let engine = ("docker_engine", "source = \"distribution\"\n");
    let mut bench = Bench::up(Suite::Trixie, &[("volume", volume), engine, ("docker_volume", named)]);
    bench.sandbox.attach_disk(64, Some("scsi-0HC_Volume_1")).expect("a disk");
    bench.settles();
    let options = bench.inside("docker volume inspect -f '{{.Options.device}} {{.Options.o}}' app_storage");
    assert_eq!(options.trim(), "/mnt/data/app_storage bind");
    // What is there with another folder is not moved in silence.
    bench.tasks[2].1 = named.replace("/mnt/data/app_storage", "/mnt/data/elsewhere");
    let why = refusals(&bench);
    assert!(why[0].contains("is there with device=/mnt/data/app_storage"), "{why:?}");
    bench.inside("! test -e /mnt/data/elsewhere");
    bench.tasks[2].1 = named.into();

    // The unit that a machine's systemd makes of the line in fstab, of a disk that is not attached.
    let unit = "/etc/systemd/system/mnt-data.mount";
    bench.inside(&format!(
        "printf '[Unit]\\n[Mount]\\nWhat=/dev/disk/by-uuid/none\\nWhere=/mnt/data\\nType=ext4\\nOptions=nofail\\nTimeoutSec=3s\\n' >{unit}"
    ));
    bench.inside("sed -i 's/^UUID/#UUID/' /etc/fstab && mkdir -p /etc/systemd/system.conf.d && \
        printf '[Manager]\\nDefaultDeviceTimeoutSec=3s\\nDefaultTimeoutStartSec=20s\\n' >/etc/systemd/system.conf.d/test.conf");
    bench.sandbox.reboot().expect("sshd answers, whatever is missing");
    bench.inside("timeout 60 systemctl is-system-running --wait >/dev/null || true");
    bench.inside("! systemctl is-active -q docker.service && ! test -e /run/docker.pid");
    // Nobody starts it by its socket either, and nothing can be written below.
    bench.inside(
        "! timeout 30 docker ps 2>/dev/null && ! touch /mnt/data/lost 2>/dev/null && test -z \"$(ls /mnt/data)\"",
    );

    bench.inside(&format!("rm {unit} && sed -i 's/^#UUID/UUID/' /etc/fstab && systemctl daemon-reload"));
    bench.sandbox.reboot().expect("the box comes back");
    bench.inside("timeout 60 systemctl is-system-running --wait >/dev/null || true; mountpoint -q /mnt/data");
    bench.inside("systemctl is-active -q docker.service && docker volume inspect app_storage >/dev/null");
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
}

/// Swap on the file systems that need it their own way.
#[test]
#[ignore = "full tier: file systems that a server's root seldom has"]
fn swap_on_xfs_and_btrfs() {
    let mut bench = Bench::up(Suite::Trixie, &[("packages", "install = [\"btrfs-progs\", \"xfsprogs\"]\n")]);
    bench.apply().exits(Exit::Done);
    for kind in ["xfs", "btrfs"] {
        let name = bench.sandbox.name().to_owned();
        let node = bench.sandbox.attach_disk(512, None).expect("a disk");
        bench.inside(&format!(
            "mkfs.{kind} -q {node} && mkdir -p /mnt/{kind}-{name} && mount {node} /mnt/{kind}-{name}"
        ));
        let swap = |size: &str| format!("path = \"/mnt/{kind}-{name}/swapfile\"\nsize = \"{size}\"\n");
        bench.tasks.push(("swap", swap("64M")));
        bench.settles();
        let path = format!("/mnt/{kind}-{name}/swapfile");
        assert!(bench.inside("cat /proc/swaps").contains(&path));
        if kind == "btrfs" {
            assert!(bench.inside(&format!("lsattr {path}")).split(' ').next().is_some_and(|flags| flags.contains('C')));
        }
        // A resize always leaves one of the two on: what is on is looked at all the while.
        let watch = format!(
            "systemd-run -q --unit=watch-{kind} sh -c 'while :; do grep -q {path} /proc/swaps || echo gap >>/run/gap-{kind}; done'"
        );
        bench.inside(&watch);
        bench.tasks.last_mut().expect("the swap").1 = swap("128M");
        bench.settles();
        bench.inside(&format!("systemctl stop watch-{kind}; ! test -e /run/gap-{kind}"));
        assert_eq!(bench.inside(&format!("stat -c %s {path}")).trim(), (128 << 20).to_string());
        bench.tasks.last_mut().expect("the swap").1 = swap("0");
        bench.settles();
        bench.inside(&format!("! test -e {path} && umount /mnt/{kind}-{name}"));
        bench.tasks.pop();
    }
}

/// The machine's one device of compressed memory, given back when this goes.
struct Zram;

impl Drop for Zram {
    fn drop(&mut self) {
        let _ = Command::new("swapoff").arg("/dev/zram0").status();
        let _ = std::fs::write("/sys/block/zram0/reset", "1");
    }
}

#[test]
#[ignore = "full tier: by choice, and of the machine's one such device"]
fn swap_in_compressed_memory() {
    let number = std::fs::read_to_string("/sys/block/zram0/dev").expect("this test needs a kernel with zram");
    assert_eq!(std::fs::read_to_string("/sys/block/zram0/disksize").expect("its size").trim(), "0", "it is in use");
    let _zram = Zram;
    let rig = super::support::Rig::up(Suite::Bookworm);
    // The device is this machine's, with a size that it is given here: a box may not write to the kernel's files, so what
    // is written there goes to files in their place. The module is built into the kernel.
    std::fs::write("/sys/block/zram0/disksize", "64M").expect("this test needs root");
    rig.inside(&format!(
        "mknod /dev/zram0 b {} && mkdir /run/zram0 && touch /run/zram0/disksize && \
         mount --bind /run/zram0 /sys/devices/virtual/block/zram0 && ln -s /bin/true /usr/local/sbin/modprobe",
        number.trim().replace(':', " ")
    ));
    let more = |percent: &str| {
        let words = ["--set", "zram=true", "--set", percent, "--tags", "zram"];
        words.map(str::to_owned)
    };
    let run = |verb: &str, percent: &str| {
        let words = more(percent);
        rig.run(verb, &words.each_ref().map(String::as_str))
    };
    run("apply", "zram_percent=1").exits(0);
    run("check", "zram_percent=1").exits(0);
    let size = || rig.inside("grep -q ^/dev/zram0 /proc/swaps && cat /run/zram0/disksize").trim().parse::<u64>();
    let small = size().expect("a number");
    run("check", "zram_percent=2").exits(2);
    run("apply", "zram_percent=2").exits(0);
    assert_eq!(size().expect("a number") / 1000, small * 2 / 1000);
    rig.inside("systemctl stop zramswap");
    run("check", "zram_percent=2").exits(2);
    run("apply", "zram_percent=2").exits(0);
    rig.inside("systemctl stop zramswap");
}
