//! Where Docker keeps images: under `data-root` in the older of its two stores, and wherever containerd's own `root` is in
//! the newer, which a new installation of Docker 29 takes by itself.

use serde_json::{Map, Value};

use crate::base::event::Finding;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Kind};
use crate::machine::{File, Machine, MountPoint, Question};

/// The first Docker whose new installations keep images in containerd's store.
const KEPT_BY_CONTAINERD: u32 = 29;

/// Where Docker's data are when nobody says otherwise.
const DOCKER: &str = "/var/lib/docker";

/// Where containerd's are.
const CONTAINERD: &str = "/var/lib/containerd";

fn configuration() -> AbsPath {
    AbsPath::literal("/etc/containerd/config.toml")
}

fn place() -> MountPoint {
    MountPoint(AbsPath::literal(CONTAINERD))
}

fn text<'a>(settings: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    settings.get(key)?.as_str()
}

/// What has to be known of a host whose data are to lie elsewhere.
pub(super) fn facts(declared: &Map<String, Value>) -> Vec<Question> {
    if !declared.contains_key("data-root") {
        return Vec::new();
    }
    vec![File::at(&configuration()).into(), place().into()]
}

/// Whether a daemon with these settings keeps images in containerd's store. `major`: of Docker's version, where it is
/// known. Older drivers of storage are for the older store.
fn by_containerd(settings: &Map<String, Value>, major: Option<u32>) -> bool {
    let asked = settings.get("features").and_then(|features| features.get("containerd-snapshotter")?.as_bool());
    let older = || matches!(text(settings, "storage-driver"), Some("overlay2" | "btrfs" | "zfs" | "vfs"));
    asked.unwrap_or_else(|| major.is_some_and(|major| major >= KEPT_BY_CONTAINERD) && !older())
}

/// Whether somebody has moved containerd's data too, by its own file or by a mount. What is not known yet is not moved.
fn is_moved(machine: &Machine) -> bool {
    let names_root = |line: &str| {
        line.split_once('=')
            .is_some_and(|(key, value)| key.trim() == "root" && value.trim().trim_matches(['"', '\'']) != CONTAINERD)
    };
    let by_file = match machine.file(&configuration()) {
        Ok(FileState::Present { kind: Kind::File { content: Some(content), .. }, .. }) => {
            // Only the part before the first table is containerd's own.
            content.lines().take_while(|line| !line.trim_start().starts_with('[')).any(names_root)
        }
        _ => false,
    };
    by_file || machine.get(&place()).is_ok_and(|state| state.mounted.is_some())
}

/// What is told where `data-root` alone is moved: images go on filling the disk that was to be spared.
pub(super) fn left_behind(
    declared: &Map<String, Value>,
    wanted: &Map<String, Value>,
    major: Option<u32>,
    machine: &Machine,
) -> Option<Finding> {
    let root = text(declared, "data-root").filter(|root| root.trim_end_matches('/') != DOCKER)?;
    if !by_containerd(wanted, major) || is_moved(machine) {
        return None;
    }
    Some(Finding {
        id: "docker-images".into(),
        what: format!(
            "`data-root` is {root}, but images do not go there: where Docker {KEPT_BY_CONTAINERD} or newer was installed \
             anew, containerd keeps them under {CONTAINERD}"
        ),
        help: Some(format!(
            "before the first image comes, mount a volume at {CONTAINERD} or name another `root` in \
             /etc/containerd/config.toml; or keep the older store: settings = {{ features = {{ \
             containerd-snapshotter = false }} }}"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::PackageName;
    use crate::machine::docker::{CONFIGURATION, DockerState};
    use crate::machine::file::Owner;
    use crate::machine::{Docker, Package, PackageState};
    use crate::resource::Resource as _;
    use crate::resource::docker_daemon::DockerDaemon;

    fn settings(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    fn says(json: &str, major: Option<u32>, machine: &Machine) -> bool {
        left_behind(&settings(json), &settings(json), major, machine).is_some()
    }

    #[test]
    fn images_that_stay_behind_are_told() {
        let machine = Machine::default();
        let moved = r#"{"data-root": "/mnt/docker"}"#;
        assert!(says(moved, Some(29), &machine) && says(moved, Some(30), &machine));
        assert!(!says(moved, Some(28), &machine) && !says(moved, None, &machine));
        assert!(!says(r#"{"data-root": "/var/lib/docker/"}"#, Some(29), &machine) && !says("{}", Some(29), &machine));
        let by = |more: &str| format!(r#"{{"data-root": "/mnt/docker", {more}}}"#);
        assert!(says(&by(r#""features": {"containerd-snapshotter": true}"#), Some(27), &machine));
        assert!(!says(&by(r#""features": {"containerd-snapshotter": false}"#), Some(29), &machine));
        assert!(!says(&by(r#""storage-driver": "overlay2""#), Some(29), &machine));
        assert!(says(&by(r#""features": {"cdi": true}"#), Some(29), &machine));
    }

    #[test]
    fn whoever_has_moved_both_is_told_nothing() {
        let moved = r#"{"data-root": "/mnt/docker"}"#;
        let with = |text: &str| {
            let mut machine = Machine::default();
            machine.set(File::at(&configuration()), FileState::text(text, 0o644, Owner::root()));
            machine
        };
        assert!(!says(moved, Some(29), &with("version = 2\nroot = \"/mnt/containerd\"\n")));
        for not in ["#root = \"/mnt/x\"\n", "root = '/var/lib/containerd'\n", "[plugins.x]\nroot = \"/mnt/x\"\n"] {
            assert!(says(moved, Some(29), &with(not)), "{not}");
        }
        for (mounted, told) in
            [("null", true), (r#"{"number":"8:1","source":"/dev/sdb","kind":"ext4","options":[]}"#, false)]
        {
            let state = format!(r#"{{"mounted":{mounted},"point":"empty","immutable":false,"identity":""}}"#);
            let mut machine = Machine::default();
            machine.set(place(), serde_json::from_str(&state).unwrap());
            assert_eq!(says(moved, Some(29), &machine), told, "{mounted}");
        }
    }

    /// As a task has it on a host where Docker is.
    #[test]
    fn a_task_that_moves_the_data_tells_it() {
        let task: DockerDaemon = toml::from_str("settings = { data-root = \"/mnt/docker\" }\n").unwrap();
        let found = |version: &str| {
            let mut machine = Machine::default();
            machine.set(Docker::Daemon, DockerState::fresh(""));
            machine.set(File::at(&AbsPath::literal(CONFIGURATION)), FileState::Absent);
            let package = |name: &str| Package(PackageName::new(name).unwrap());
            let version = Some(version.to_owned());
            machine.set(package("docker-ce"), PackageState::Installed { version, held: true });
            let plan = task.plan(&machine).unwrap();
            plan.findings.into_iter().map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(found("5:29.1.0-1~debian.13~trixie"), ["docker-images"]);
        assert_eq!(found("5:28.1.1-1~debian.13~trixie"), Vec::<String>::new());
        let asked = task.facts();
        assert!(facts(&task.settings).iter().all(|fact| asked.contains(fact)));
        assert!(asked.contains(&Package(PackageName::new("docker-ce").unwrap()).into()));
    }

    #[test]
    fn only_who_moves_data_is_asked_for_more() {
        assert_eq!(facts(&settings("{}")), []);
        assert_eq!(facts(&settings(r#"{"data-root": "/mnt/docker"}"#)).len(), 2);
    }
}
