//! The traps that scripts and roles for Docker, firewalls, upgrades and volumes step into, and for each the tests that
//! show that this program does not, and how: live on a box or a loop device; with something made by hand in the place of
//! what a box can not have; by the bytes that a tool would write; or by facts alone. What no test shows says why. The
//! tests that are named must be there. What is true of each is in the tests themselves, and not repeated here.

use super::tidy::files;

/// How a trap is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// On a box or a loop device, as it happens to people.
    Live,
    /// Live, with a stand-in: a name below /dev/disk/by-id, a folder as a snap has it, a file of the kernel covered.
    ByHand,
    /// By the superblock that its tool writes: the kernels of test machines have no md, device-mapper or ZFS.
    Bytes,
    /// By recorded facts, or by facts that are made up.
    Facts,
    /// Not at all; the words say why.
    Unseen(&'static str),
}

use Shown::{ByHand, Bytes, Facts, Live, Unseen};

type Trap = (&'static str, Shown, &'static [&'static str]);

const DOCKER: [Trap; 18] = [
    (
        "`docker -v` answers though there is no daemon, and Kamal installs none",
        Live,
        &["deploy_yml_alone_makes_a_box_that_kamal_can_use", "each_thing_that_kamal_trips_over_shuts_the_gate"],
    ),
    (
        "packages that can not live beside one another, and what they hold",
        Live,
        &[
            "docker_s_packages_take_the_place_of_the_distribution_s_only_when_told",
            "every_package_that_can_not_stay_is_named_and_goes_only_when_told",
        ],
    ),
    ("a Docker that is a snap", ByHand, &["docker_where_not_all_is_usual"]),
    ("a daemon.json that stops every container", Live, &["docker_on_debian_11", "docker_on_debian_13"]),
    (
        "a daemon.json whose other keys are lost",
        Facts,
        &["foreign_keys_stay_in_their_order_and_options_of_another_log_driver_go"],
    ),
    (
        "a restart for keys that a reload would do for",
        Live,
        &["docker_on_debian_13", "a_restart_only_for_keys_that_need_it"],
    ),
    (
        "the deploy user is not in the group docker, or only in sessions to come",
        Live,
        &["each_thing_that_kamal_trips_over_shuts_the_gate", "a_bare_debian_12_becomes_ready_and_stays_so"],
    ),
    ("upgrades that restart Docker, or never come", Facts, &["docker_s_repository_is_left_out_unless_told"]),
    ("live-restore under swarm", Live, &["docker_where_not_all_is_usual"]),
    (
        "`data-root` is moved, and images stay behind in containerd's store",
        Facts,
        &["images_that_stay_behind_are_told"],
    ),
    ("another `data-root` hides what is there", Facts, &["what_would_hide_data_is_refused_while_there_are_any"]),
    ("networks of users whose packets do not fit the link", Live, &["docker_where_not_all_is_usual"]),
    (
        "networks over the addresses of a VPC or a VPN",
        Live,
        &["docker_on_debian_12", "pools_give_way_to_the_host_s_own_networks"],
    ),
    ("logs that fill the disk", Live, &["docker_on_debian_12"]),
    (
        "a Docker that is too old",
        Live,
        &["docker_on_debian_11", "each_thing_amiss_is_told_by_its_own_line_with_its_fix"],
    ),
    ("a host that can not swap", Facts, &["a_container_that_can_not_swap_is_passed_over_with_the_reason"]),
    ("containers that read the cloud's credentials", ByHand, &["published_ports_obey_on_debian_12"]),
    (
        "a repository with a wrong key, an expired signature, a missing suite, a dead mirror, or named twice",
        Live,
        &[
            "a_repository_on_debian_11",
            "a_repository_on_debian_12",
            "a_repository_on_debian_13",
            "what_has_run_out_or_is_dead_is_told_by_gpg",
            "what_has_run_out_or_is_dead_is_told_by_sequoia",
        ],
    ),
];

const FIREWALL: [Trap; 20] = [
    (
        "published ports go past ufw, on IPv4 and IPv6",
        Live,
        &["published_ports_obey_on_debian_12", "published_ports_obey_on_debian_13"],
    ),
    (
        "rules by a container's port, though another is published",
        Live,
        &["published_ports_obey_on_debian_12", "rules_are_about_the_published_port"],
    ),
    ("rules by a container's address, which a deploy changes", Live, &["published_ports_obey_on_debian_12"]),
    (
        "rules that a reboot, a restart or a reload takes away",
        Live,
        &["published_ports_obey_on_debian_11", "published_ports_obey_on_debian_13"],
    ),
    ("neighbours of a private network that are let in", Live, &["published_ports_obey_on_debian_12"]),
    (
        "containers that can not reach one another, outwards or the host's own address",
        Live,
        &["published_ports_obey_on_debian_12"],
    ),
    ("both kinds of iptables", Live, &["published_ports_obey_with_legacy_iptables"]),
    (
        "another firewall that flushes these rules",
        Live,
        &["published_ports_obey_on_debian_12", "other_firewalls_by_their_packages_are_refused"],
    ),
    (
        "packages of other firewalls that throw ufw out, and the reverse",
        Live,
        &["other_firewalls_by_their_packages_are_refused"],
    ),
    ("Docker's own nftables beside ufw", Facts, &["docker_s_own_nftables_are_refused_beside_ufw"]),
    ("what is published for 127.0.0.1 is reached by neighbours", Facts, &["rules_are_about_the_published_port"]),
    ("an uplink whose name is that of a bridge", Facts, &["what_can_not_hold_is_refused"]),
    (
        "`ufw enable` before ssh is allowed",
        Live,
        &["what_would_lock_its_author_out_is_put_back", "a_rule_from_elsewhere_does_not_shut_us_out"],
    ),
    (
        "`ufw status` says active over chains that were flushed",
        Live,
        &["a_host_is_hardened_and_repaired_on_debian_12", "a_flushed_firewall_is_found_though_its_files_are_right"],
    ),
    (
        "rules that nobody declares",
        Live,
        &[
            "what_nobody_declares_is_found_is_no_drift_and_is_left_alone",
            "a_host_is_hardened_and_repaired_on_debian_12",
            "rules_that_nobody_declares_go_only_when_told",
        ],
    ),
    ("a running session that proves nothing", Live, &["a_change_of_access_is_confirmed_by_a_new_login"]),
    (
        "fail2ban that shuts out its operator, or no one",
        Live,
        &["fail2ban_on_debian_11", "fail2ban_on_debian_12", "fail2ban_on_debian_13"],
    ),
    ("a provider's firewall in front", Facts, &["each_thing_amiss_is_told_by_its_own_line_with_its_fix"]),
    (
        "Docker turns on forwarding, and the default route of router advertisements goes",
        Unseen("a box has no such router"),
        &[],
    ),
    (
        "containers on the host's network, macvlan and ipvlan",
        Unseen("they go round it, as the resource's words say"),
        &[],
    ),
];

const SYSTEM: [Trap; 8] = [
    (
        "lists of apt that add up over its files, and a later file with the last word",
        Live,
        &["docker_on_debian_12", "lists_are_cleared_before_they_are_set"],
    ),
    (
        "upgrades that never run: a timer is off, a setting is missing",
        Live,
        &["docker_on_debian_11", "docker_on_debian_13"],
    ),
    ("a reboot at any time", Facts, &["a_reboot_is_asked_for_and_has_its_time"]),
    (
        "kernel settings in a file that is not read, or overruled by a later one",
        Live,
        &["storage_on_debian_13", "the_last_file_by_name_has_the_last_word"],
    ),
    (
        "kernel settings that take Docker's network away",
        Live,
        &["a_bare_debian_11_becomes_ready_and_stays_so", "a_bare_debian_13_becomes_ready_and_stays_so"],
    ),
    (
        "a main file of sshd without its Include, cloud-init's drop-in, ssh by a socket, needrestart, sudo-rs",
        ByHand,
        &[
            "debian_that_looks_like_ubuntu_becomes_ready_and_stays_so",
            "all_is_foretold_on_an_ubuntu_24_04_made_by_hand",
        ],
    ),
    (
        "key exchanges that shut the deployer out",
        Live,
        &["each_thing_that_kamal_trips_over_shuts_the_gate", "each_thing_amiss_is_told_by_its_own_line_with_its_fix"],
    ),
    (
        "a host without IPv4 whose registry has no IPv6",
        Unseen("boxes have both; the gate asks the registry from the host"),
        &[],
    ),
];

const VOLUMES: [Trap; 18] = [
    (
        "a disk with a file system, swap, a partition table or plain data",
        Live,
        &["a_device_with_anything_on_it_is_refused_unchanged"],
    ),
    (
        "a member of LVM, RAID, LUKS or ZFS, a table whose half is gone",
        Bytes,
        &["a_device_with_anything_on_it_is_refused_unchanged"],
    ),
    (
        "a disk that is mounted, swapped on, read-only, or of another size than planned",
        Live,
        &["a_device_in_use_or_not_as_planned_is_refused_unchanged"],
    ),
    (
        "a part of a file system on several disks",
        Live,
        &["the_second_device_of_a_mounted_file_system_is_refused_though_it_is_wiped"],
    ),
    (
        "a disk that holders or partitions use, as the kernel's files tell it",
        ByHand,
        &["one_file_of_the_kernel_that_alone_tells_of_a_use_is_enough"],
    ),
    (
        "a probe that lies or fails",
        ByHand,
        &[
            "one_probe_that_says_blank_is_not_believed",
            "no_probe_that_lies_or_fails_lets_any_data_go",
            "with_all_witnesses_covered_a_disk_with_data_looks_blank",
        ],
    ),
    (
        "a probe that alone sees something",
        ByHand,
        &[
            "one_program_that_alone_sees_something_is_enough",
            "each_reader_alone_finds_data_at_the_start_at_the_end_and_between",
            "one_probe_that_objects_is_enough",
        ],
    ),
    ("what the kernel does not tell", ByHand, &["what_the_kernel_does_not_tell_counts_as_no"]),
    ("a formatting that was cut off", Live, &["a_formatting_that_was_cut_off_is_told_and_not_repeated"]),
    ("a label that two disks bear", Live, &["a_label_that_two_devices_bear_is_ambiguous"]),
    (
        "names of disks that move, and names of providers",
        ByHand,
        &["volumes_by_the_names_of_providers", "names_are_stable_or_refused"],
    ),
    (
        "another disk behind the same name, another label, no disk, a line of fstab for one that is gone",
        ByHand,
        &["volumes_by_the_names_of_providers", "storage_on_debian_13", "one_thing_that_speaks_against_it_is_enough"],
    ),
    (
        "a disk that grew, with and without partitions",
        Live,
        &[
            "volumes_by_the_names_of_providers",
            "storage_on_debian_13",
            "what_has_grown_is_filled_and_nothing_is_made_smaller",
        ],
    ),
    (
        "a mounted ext4 that grew",
        Unseen("root of a test machine may lack CAP_SYS_RESOURCE; `storage_on_debian_12` says so where it does"),
        &["storage_on_debian_12"],
    ),
    ("an app on the empty folder below its volume", Live, &["docker_never_starts_on_the_empty_folder_below_a_volume"]),
    ("a host that does not boot without its disk", ByHand, &["docker_never_starts_on_the_empty_folder_below_a_volume"]),
    (
        "a mount that hides what is there",
        Live,
        &["storage_on_debian_11", "what_stands_in_the_way_of_the_mount_stands_in_the_way_of_formatting"],
    ),
    (
        "a named volume that is there with another folder, owners that a container does not have",
        Live,
        &["docker_never_starts_on_the_empty_folder_below_a_volume", "docker_on_debian_13"],
    ),
];

const SWAP: [Trap; 4] = [
    ("swap on file systems that want it their own way", Live, &["swap_on_xfs_and_btrfs"]),
    ("a resize with less swap meanwhile", Live, &["swap_on_xfs_and_btrfs"]),
    (
        "a size that follows neither memory nor disk",
        Facts,
        &[
            "swap_follows_memory_and_disk",
            "swap_follows_memory_that_a_provider_has_added_and_keeps_a_size_that_is_near",
        ],
    ),
    (
        "a small host that runs out of memory in apt",
        Live,
        &["a_box_of_512_megabytes_becomes_ready", "swap_is_on_before_apt_begins"],
    ),
];

fn all() -> impl Iterator<Item = &'static Trap> {
    [&DOCKER[..], &FIREWALL, &SYSTEM, &VOLUMES, &SWAP].into_iter().flatten()
}

/// The tests below `folder`, by name.
fn tests_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(folder, &["rs"]) {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for part in text.split("#[test]").skip(1) {
            let name = part.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            found.extend(name.map(|(name, _)| name.to_owned()));
        }
    }
    found
}

#[test]
fn every_trap_names_tests_that_are_there() {
    let (boxes, others) = (tests_below("tests/boxes"), [tests_below("tests/recorded"), tests_below("src")].concat());
    let mut wrong = Vec::new();
    for (trap, shown, tests) in all() {
        for test in *tests {
            if !boxes.iter().chain(&others).any(|name| name == test) {
                wrong.push(format!("{trap}: there is no test {test}"));
            }
        }
        let is_live = tests.iter().any(|test| boxes.iter().any(|name| name == test));
        let right = match shown {
            Live | ByHand | Bytes => is_live,
            Facts => !is_live && !tests.is_empty(),
            Unseen(why) => !why.is_empty(),
        };
        if !right {
            wrong.push(format!("{trap}: it is not shown as is said ({shown:?})"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
