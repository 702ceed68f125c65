//! Kernel settings: as they are now, and as the boot makes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Question, Slot, file};
use crate::base::name::{AbsPath, SysctlKey};
use crate::shell::{Call, Library};

static SYSCTL: Library = Library { name: "sysctl.sh", text: include_str!("sysctl.sh"), needs: &[] };

/// What is this kernel setting now?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sysctl(pub SysctlKey);

/// A kernel setting as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SysctlState {
    /// This kernel does not have it, or its module is not loaded.
    Absent,
    /// It is there.
    Present {
        /// Its value, white space made single spaces.
        value: String,
        /// Whether it can be changed: much of `/proc/sys` is read-only in a container.
        writable: bool,
    },
}

/// The path of a setting below `/proc/sys`, as sysctl(8) finds it: whichever of `.` and `/` comes first divides the
/// parts, the other stands for a `.` in a part (`net.ipv4.conf.eth0/100.rp_filter`).
pub fn proc_path(key: &SysctlKey) -> String {
    path_of(key.as_str())
}

fn path_of(key: &str) -> String {
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let dotted = key.find(['.', '/']).is_some_and(|at| key[at..].starts_with('.'));
    format!("/proc/sys/{}", if dotted { key.chars().map(swapped).collect() } else { key.to_owned() })
}

/// A value as it is compared: white space made single spaces.
pub fn plain(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Fact for Sysctl {
    type Answer = SysctlState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&SYSCTL, "sysctl_probe").args(questions.iter().map(|question| proc_path(&question.0)))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SysctlState>, BadAnswer> {
        let kinds = questions.iter().map(|_| fields.text()).collect::<Result<Vec<_>, _>>()?;
        // Values may hold anything, such as a core pattern that is no text.
        let lines = String::from_utf8_lossy(fields.bytes()?);
        let value = |question: &Self| {
            let path = proc_path(&question.0);
            let of = |line: &str| Some(plain(line.strip_prefix(&path)?.strip_prefix(':')?));
            lines.lines().find_map(of).unwrap_or_default()
        };
        let one = |(question, kind): (&&Self, &str)| match kind {
            "absent" => Ok(SysctlState::Absent),
            "rw" | "ro" => Ok(SysctlState::Present { value: value(question), writable: kind == "rw" }),
            other => Err(BadAnswer(format!("`{other}` is no state of a kernel setting"))),
        };
        questions.iter().zip(kinds).map(one).collect()
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<SysctlState> {
        use proptest::prelude::*;
        let value = proptest::sample::select(vec!["0", "1", "2", "4096 87380 6291456"]);
        let present =
            (value, any::<bool>()).prop_map(|(value, writable)| SysctlState::Present { value: value.into(), writable });
        prop_oneof![1 => Just(SysctlState::Absent), 4 => present].boxed()
    }
}

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SysctlFiles {
    /// This host.
    Here,
}

/// Every file of kernel settings that the boot reads (sysctl.d(5)), with its settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlFilesState {
    /// Settings by path; globs and exceptions are left out, since a setting by its full name outranks them.
    pub files: BTreeMap<AbsPath, BTreeMap<String, String>>,
}

/// The folders, the first outranking the others where a file of the same name is in two.
const FOLDERS: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

impl SysctlFilesState {
    /// The file that has the last word on `key` at boot, with its value.
    pub fn last_word(&self, key: &SysctlKey) -> Option<(&AbsPath, &str)> {
        let rank = |path: &AbsPath| FOLDERS.iter().position(|folder| *folder == path.parent().as_str());
        let mut by_name: BTreeMap<&str, &AbsPath> = BTreeMap::new();
        for path in self.files.keys() {
            let outranked = by_name.get(path.file_name()).is_some_and(|other| rank(other) <= rank(path));
            if !outranked {
                by_name.insert(path.file_name(), path);
            }
        }
        let wanted = proc_path(key);
        by_name.into_values().rev().find_map(|path| Some((path, self.files[path].get(&wanted)?.as_str())))
    }
}

/// The settings of one file, by path below `/proc/sys`.
pub fn settings(text: &str) -> BTreeMap<String, String> {
    let setting = |line: &str| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = line.strip_prefix('-').unwrap_or(line).split_once('=')?;
        (!key.contains(['*', '?', '['])).then(|| (path_of(key.trim()), plain(value)))
    };
    text.lines().filter_map(setting).collect()
}

impl Fact for SysctlFiles {
    type Answer = SysctlFilesState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&SYSCTL, "sysctl_files_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SysctlFilesState>, BadAnswer> {
        let mut state = SysctlFilesState::default();
        while !fields.is_empty() {
            let path = AbsPath::new(fields.text()?).map_err(|bad| BadAnswer(bad.to_string()))?;
            state.files.insert(path, settings(&String::from_utf8_lossy(fields.bytes()?)));
        }
        Ok(vec![state])
    }

    fn derives_from(&self, other: &Question) -> bool {
        FOLDERS.iter().any(|folder| file::is_below(other, folder)) || file::is_about(other, "/etc/sysctl.conf")
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<SysctlFilesState> {
        use proptest::prelude::*;
        let paths = ["/etc/sysctl.d/10-a.conf", "/etc/sysctl.d/99-z.conf", "/usr/lib/sysctl.d/99-z.conf"];
        let keys = ["/proc/sys/vm/swappiness", "/proc/sys/net/ipv4/tcp_syncookies"];
        let value = proptest::sample::select(vec!["0".to_owned(), "1".to_owned()]);
        let setting = (proptest::sample::select(keys.map(str::to_owned).to_vec()), value);
        let settings = proptest::collection::btree_map(
            setting.clone().prop_map(|(key, _)| key),
            setting.prop_map(|(_, value)| value),
            0..3,
        );
        let path = proptest::sample::select(paths.map(AbsPath::literal).to_vec());
        proptest::collection::btree_map(path, settings, 0..4).prop_map(|files| SysctlFilesState { files }).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SysctlKey {
        SysctlKey::new(text).unwrap()
    }

    #[test]
    fn numbers_are_read_whole() {
        let keys =
            ["kernel.pid_max", "net.ipv4.ip_local_port_range", "kernel.ostype", "kernel.no_such_setting"].map(key);
        let machine = crate::machine::testing::probe(keys.iter().map(|key| Sysctl(key.clone()).into()).collect());
        for key in &keys {
            let there = std::fs::read_to_string(proc_path(key)).ok().map(|value| plain(&value));
            match machine.known(&Sysctl(key.clone())) {
                Some(SysctlState::Present { value, .. }) => assert_eq!(Some(value), there.as_ref(), "{key:?}"),
                other => assert_eq!((other, there), (Some(&SysctlState::Absent), None), "{key:?}"),
            }
        }
    }

    #[test]
    fn a_key_is_a_path_as_for_sysctl() {
        assert_eq!(proc_path(&key("net.ipv4.conf.eth0/100.rp_filter")), "/proc/sys/net/ipv4/conf/eth0.100/rp_filter");
        assert_eq!(proc_path(&key("net/ipv4/conf/eth0.100/rp_filter")), "/proc/sys/net/ipv4/conf/eth0.100/rp_filter");
    }

    #[test]
    fn the_last_file_by_name_has_the_last_word() {
        let body = b"/etc/sysctl.d/60-bedplate.conf\0vm.swappiness = 10\nnet.ipv4.tcp_rmem=1\t2  3\n\0\
            /usr/lib/sysctl.d/99-z.conf\0-vm/swappiness=60\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n\0\
            /run/sysctl.d/60-bedplate.conf\0vm.swappiness=1\n\0";
        let mut state = SysctlFiles::parse(&[&SysctlFiles::Here], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!(state.last_word(&key("vm.swappiness")).unwrap().1, "60");
        assert_eq!(state.last_word(&key("net.ipv4.tcp_rmem")).unwrap().1, "1 2 3");
        assert_eq!(state.last_word(&key("net.ipv4.conf.all.rp_filter")), None);
        // A file in /etc of the same name hides the one of the distribution.
        state.files.insert(AbsPath::literal("/etc/sysctl.d/99-z.conf"), BTreeMap::new());
        assert_eq!(
            state.last_word(&key("vm.swappiness")).unwrap(),
            (&AbsPath::literal("/etc/sysctl.d/60-bedplate.conf"), "10")
        );
    }
}
