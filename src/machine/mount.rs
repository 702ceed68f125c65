//! What is mounted at a path, and what is there when nothing is.

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, Volatile, fstab};
use crate::base::name::AbsPath;
use crate::shell::{Call, Library};

/// The probe of mounts; the actions use its small functions too.
pub static MOUNT: Library = Library { name: "mount.sh", text: include_str!("mount.sh"), needs: &[] };

/// What is mounted at this path?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MountPoint(pub AbsPath);

/// What is at a path where something may be mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountPointState {
    /// What is mounted there, the topmost.
    pub mounted: Option<Mounted>,
    /// What the path is; of the mounted file system where one is mounted.
    pub point: Point,
    /// Whether the folder underneath is immutable; `false` while something is mounted on it.
    pub immutable: bool,
    /// Device and inode, by which two paths are known to be one; empty where there is nothing.
    pub identity: Volatile<String>,
}

/// One mount. Two are the same when device and type are: what else the kernel tells of a mount can not be foretold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mounted {
    /// The kernel's number of the device, such as `8:16`.
    pub number: String,
    /// The device, or whatever name the file system gives.
    pub source: String,
    /// `ext4`.
    pub kind: String,
    /// Its options: `rw`, `nosuid`.
    pub options: Vec<String>,
}

impl PartialEq for Mounted {
    fn eq(&self, other: &Self) -> bool {
        (&self.number, &self.kind) == (&other.number, &other.kind)
    }
}

impl Mounted {
    /// Whether it is mounted as `option` demands. Options that leave no trace in the kernel are taken as met.
    pub fn meets(&self, option: &str) -> bool {
        let have = |name: &str| self.options.iter().any(|option| option == name);
        match option {
            "ro" | "noexec" | "nosuid" | "nodev" | "noatime" | "nodiratime" => have(option),
            "rw" => !have("ro"),
            "exec" | "suid" | "dev" => !have(&format!("no{option}")),
            _ => true,
        }
    }
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Nothing.
    Absent,
    /// A folder with nothing in it.
    Empty,
    /// A folder with something in it.
    Full,
    /// A file, a link, a device.
    Other,
}

impl Fact for MountPoint {
    type Answer = MountPointState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&MOUNT, "mount_probe").args(questions.iter().map(|question| question.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<MountPointState>, BadAnswer> {
        let one = |_: &&Self| {
            let mounted = match fields.text()? {
                "" => None,
                line => Some(mounted(line).ok_or_else(|| BadAnswer(format!("`{line}` is no line of mountinfo")))?),
            };
            let point = match fields.text()? {
                "absent" => Point::Absent,
                "empty" => Point::Empty,
                "full" => Point::Full,
                _ => Point::Other,
            };
            Ok(MountPointState {
                mounted,
                point,
                immutable: fields.flag()?,
                identity: Volatile::new(fields.text()?.to_owned()),
            })
        };
        questions.iter().map(one).collect()
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<MountPointState> {
        use proptest::prelude::*;
        let number = proptest::sample::select(vec!["7:1", "7:2"]);
        let source = proptest::sample::select(vec!["/dev/loop1", "tmpfs"]);
        let kind = proptest::sample::select(vec!["ext4", "xfs", "tmpfs"]);
        let options = proptest::sample::subsequence(vec!["rw", "nosuid", "ro", "noatime"], 0..4);
        let mounted = (number, source, kind, options).prop_map(|(number, source, kind, options)| Mounted {
            number: number.into(),
            source: source.into(),
            kind: kind.into(),
            options: options.into_iter().map(str::to_owned).collect(),
        });
        let point = proptest::sample::select(vec![Point::Absent, Point::Empty, Point::Full, Point::Other]);
        let identity = proptest::sample::select(vec!["1:2", "1:3"]);
        (proptest::option::of(mounted), point, any::<bool>(), identity)
            .prop_map(|(mounted, point, immutable, identity)| {
                let point = if mounted.is_some() { Point::Full } else { point };
                let identity = if point == Point::Absent { String::new() } else { identity.to_owned() };
                let immutable = immutable && mounted.is_none() && matches!(point, Point::Empty | Point::Full);
                MountPointState { mounted, point, immutable, identity: Volatile::new(identity) }
            })
            .boxed()
    }
}

/// One line of mountinfo (proc(5)).
fn mounted(line: &str) -> Option<Mounted> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let number = mount.nth(2)?.to_owned();
    let own = mount.nth(2)?;
    let mut file_system = file_system.split(' ');
    let kind = file_system.next()?.to_owned();
    let source = fstab::unescape(file_system.next()?);
    let mut options: Vec<String> = own.split(',').map(str::to_owned).collect();
    // A file system that is read-only as a whole is not writable, whatever the mount says.
    if file_system.next().is_some_and(|all| all.split(',').any(|option| option == "ro"))
        && !options.contains(&"ro".into())
    {
        options.push("ro".into());
    }
    options.sort();
    Some(Mounted { number, source, kind, options })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing;

    #[test]
    fn reads_a_line_of_mountinfo() {
        let line = "36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - ext4 /dev/a\\040b rw,errors=continue";
        let mounted = mounted(line).unwrap();
        assert_eq!(
            (mounted.number.as_str(), mounted.source.as_str(), mounted.kind.as_str()),
            ("98:0", "/dev/a b", "ext4")
        );
        assert!(
            mounted.meets("noatime") && mounted.meets("rw") && !mounted.meets("ro") && mounted.meets("errors=continue")
        );
        assert!(super::mounted("36 35 98:0 / /x rw - ext4 /dev/x ro").unwrap().meets("ro"));
        assert_eq!(super::mounted("nonsense"), None);
    }

    #[test]
    fn sees_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| AbsPath::new(format!("{}/{name}", folder.path().display())).unwrap();
        std::fs::create_dir(path("empty").as_str()).unwrap();
        std::fs::create_dir(path("full").as_str()).unwrap();
        std::fs::write(path("full/.hidden").as_str(), "").unwrap();
        std::os::unix::fs::symlink("empty", path("link").as_str()).unwrap();
        let names = ["empty", "full", "link", "nothing"];
        let machine = testing::probe(names.iter().map(|name| MountPoint(path(name)).into()).collect());
        let points = names.map(|name| machine.get(&MountPoint(path(name))).unwrap().point);
        assert_eq!(points, [Point::Empty, Point::Full, Point::Other, Point::Absent]);
        let root = MountPoint(AbsPath::literal("/proc"));
        let machine = testing::probe(vec![root.clone().into()]);
        assert_eq!(machine.get(&root).unwrap().mounted.as_ref().unwrap().kind, "proc");
    }
}
