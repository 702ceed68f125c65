//! Hosts of 512 MB and of much more: how much swap each gets, and that a small one has it before apt needs memory.

use bedplate::action::Action;
use bedplate::base::event::Verdict;
use bedplate::base::name::AbsPath;
use bedplate::machine::{FileSystem, Machine, Swaps, System, Volatile};
use bedplate::plan::{self, HostPlan};

use super::{built_in, by_hand, recorded};

const GIB: u64 = 1 << 20;

/// A recorded host with so much memory, as the kernel tells it, and such a disk, both in KiB.
fn sized(memory_kib: u64, disk_kib: u64) -> Machine {
    let mut machine = by_hand::machine_of_its_own(recorded("debian-12"));
    machine.update(&System::Here, |system| system.memory_kib = memory_kib);
    machine.update(&FileSystem(AbsPath::new("/swapfile").expect("a path")), |disk| {
        disk.total_kib = disk_kib;
        disk.available_kib = Volatile::new(disk_kib / 10 * 8);
    });
    machine
}

fn planned(machine: &Machine, set: &[&str]) -> HostPlan {
    let plan = plan::plan(&built_in::tasks(set), machine);
    assert!(plan.needs.is_empty() && plan.refused().is_none(), "{:?} {:?}", plan.needs, plan.refused());
    plan
}

/// What an apply does, in order, apart from what is only known later.
fn actions(plan: &HostPlan) -> Vec<Action> {
    plan.segments().iter().flat_map(|segment| segment.steps()).map(|step| step.action.clone()).collect()
}

fn swap(plan: &HostPlan) -> String {
    let task = plan.tasks.iter().find(|task| task.shown.resource == "swap").expect("a task for swap");
    task.shown.changes.iter().map(|change| change.summary.clone()).collect::<Vec<_>>().join(", ")
}

#[test]
fn swap_follows_memory_and_disk() {
    for (what, memory, disk, wanted) in [
        ("512 MB and 10 GB", 471_000, 10 * GIB, "512 MiB"),
        ("1 GB and 25 GB", 980_000, 25 * GIB, "1024 MiB"),
        ("2 GB and 50 GB", 2_000_000, 50 * GIB, "2048 MiB"),
        ("8 GB and 160 GB", 8_100_000, 160 * GIB, "4096 MiB"),
        ("64 GB and 400 GB", 65_800_000, 400 * GIB, "8192 MiB"),
        ("256 GB and 2 TB", 263_000_000, 2048 * GIB, "16384 MiB"),
        ("512 MB and a disk of 1 GB", 471_000, GIB, "256 MiB"),
    ] {
        let plan = planned(&sized(memory, disk), &[]);
        assert!(swap(&plan).contains(wanted), "{what}: {} is planned", swap(&plan));
    }
}

#[test]
fn a_size_that_is_set_counts() {
    let plan = planned(&sized(471_000, 10 * GIB), &["swap_size=256M", "swap_path=/swapfile"]);
    assert!(swap(&plan).contains("256 MiB"), "{}", swap(&plan));
}

#[test]
fn swap_follows_memory_that_a_provider_has_added_and_keeps_a_size_that_is_near() {
    let mut grown = planned(&sized(471_000, 50 * GIB), &[]).predicted;
    grown.update(&System::Here, |system| system.memory_kib = 2_000_000);
    assert!(swap(&planned(&grown, &[])).contains("2048 MiB"), "{}", swap(&planned(&grown, &[])));
    let mut near = planned(&sized(980_000, 50 * GIB), &[]).predicted;
    near.update(&System::Here, |system| system.memory_kib = 1_010_000);
    assert_eq!(swap(&planned(&near, &[])), "", "a little more memory makes no new file");
}

#[test]
fn a_container_that_can_not_swap_is_passed_over_with_the_reason() {
    let why = |machine: &Machine| {
        let plan = planned(machine, &[]);
        let task = plan.tasks.iter().find(|task| task.shown.resource == "swap").expect("a task for swap");
        assert_eq!((task.shown.verdict, task.shown.changes.len()), (Verdict::Skipped, 0), "{}", task.shown.why);
        task.shown.why.clone()
    };
    let mut contained = sized(980_000, 25 * GIB);
    contained.update(&System::Here, |system| system.container = "lxc".into());
    assert!(why(&contained).contains("this host is a container (lxc)"), "{}", why(&contained));
    let mut unable = sized(980_000, 25 * GIB);
    unable.update(&Swaps::Here, |swaps| swaps.unable = "its kernel has none".into());
    assert!(why(&unable).contains("its kernel has none"), "{}", why(&unable));
}

#[test]
fn swap_is_on_before_apt_begins() {
    for set in [&[][..], &["docker_source=distribution"]] {
        let actions = actions(&planned(&sized(471_000, 10 * GIB), set));
        let place = |wanted: fn(&Action) -> bool| actions.iter().position(wanted);
        let swap = place(|action| matches!(action, Action::MakeSwap(_))).expect("swap goes on");
        let apt = place(|action| matches!(action, Action::InstallPackages(_))).expect("packages are installed");
        assert!(swap < apt, "swap is action {swap}, apt is action {apt}: {actions:#?}");
    }
}

#[test]
fn what_memory_is_in_use_changes_nothing() {
    let plan = planned(&sized(471_000, 10 * GIB), &[]);
    let mut fuller = sized(470_500, 10 * GIB);
    fuller.update(&FileSystem(AbsPath::new("/swapfile").expect("a path")), |disk| {
        disk.available_kib = Volatile::new(disk.total_kib / 3);
    });
    assert_eq!(swap(&planned(&fuller, &[])), swap(&plan));
    let after = plan::plan(&built_in::tasks(&[]), &plan.predicted);
    assert_eq!(swap(&after), "", "swap that is there is enough");
}
