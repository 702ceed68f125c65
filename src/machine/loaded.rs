//! Whether a running service has read its configuration as it is now.
//!
//! A reload does not move a unit's start time, so what was loaded is remembered on the host (in `/run`, with the run of
//! the service that loaded it). A reload that was lost is found; one that was done is not done again. Where nothing is
//! remembered, files that changed after the service began are what it has not read.

use serde::{Deserialize, Serialize};

use super::unit::{Active, Unit};
use super::{BadAnswer, Fact, Fields, Kept, Machine, Question, Slot};
use crate::base::Digest;
use crate::base::name::{AbsPath, BadName, UnitName};
use crate::shell::{Call, Library};

/// Also what an action needs that loads.
pub static LOADED: Library = Library { name: "loaded.sh", text: include_str!("loaded.sh"), needs: &[] };

/// Has this unit read these files as they are? Serialises as the unit and the paths, a line each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Loaded {
    /// The unit.
    pub unit: UnitName,
    /// Files, or folders whose files count.
    pub paths: Vec<AbsPath>,
}

impl Loaded {
    /// The paths, a line each.
    pub fn lines(&self) -> String {
        self.paths.iter().map(AbsPath::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Under which name the host remembers what was loaded.
    pub fn key(&self) -> String {
        format!("{}-{}", self.unit, Digest::of(self.lines()).short())
    }

    fn reads(&self, path: &AbsPath) -> bool {
        self.paths.iter().any(|own| own == path || *own == path.parent())
    }
}

impl TryFrom<String> for Loaded {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        let mut lines = text.lines();
        let unit = UnitName::new(lines.next().unwrap_or_default())?;
        Ok(Self { unit, paths: lines.map(AbsPath::new).collect::<Result<_, _>>()? })
    }
}

impl From<Loaded> for String {
    fn from(loaded: Loaded) -> String {
        format!("{}\n{}", loaded.unit, loaded.lines())
    }
}

/// What the unit has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadedState {
    /// What is there; or the unit does not run, and will read it when it starts.
    Current,
    /// What was there before.
    Stale,
}

impl Fact for Loaded {
    type Answer = LoadedState;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&LOADED, "loaded_probe")
            .args(questions.iter().flat_map(|loaded| [loaded.unit.to_string(), loaded.key(), loaded.lines()]))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<LoadedState>, BadAnswer> {
        let state = |_| Ok(if fields.flag()? { LoadedState::Stale } else { LoadedState::Current });
        questions.iter().map(state).collect()
    }

    fn derives_from(&self, other: &Question) -> bool {
        match other {
            Question::Unit(Unit(unit)) => *unit == self.unit,
            Question::File(file) => self.reads(&file.path),
            _ => false,
        }
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<LoadedState> {
        use proptest::prelude::*;
        prop_oneof![Just(LoadedState::Current), Just(LoadedState::Stale)].boxed()
    }
}

impl Machine {
    /// In an effect: the content at `path` is another one, which no running service has read.
    pub(super) fn content_changed(&mut self, path: &AbsPath) {
        let readers: Vec<Loaded> = self.all::<Loaded>().map(|(loaded, _)| loaded.clone()).collect();
        for loaded in readers.into_iter().filter(|loaded| loaded.reads(path)) {
            let runs = self.known(&Unit(loaded.unit.clone())).is_some_and(|unit| unit.active == Active::Active);
            if runs {
                self.update(&loaded, |state| *state = LoadedState::Stale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::machine::testing::run;
    use crate::shell::{Batch, Mode};

    /// The comparison of times without systemd: a link in the place of systemd's.
    #[test]
    fn a_file_that_changed_after_the_start_is_seen() {
        static NEWER: Library = Library {
            name: "newer.sh",
            text: "newer_ask() {\n\tif loaded_newer \"$@\"; then bp_field 1; else bp_field 0; fi\n}\n",
            needs: &[&LOADED],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let ask = |link: &str, conf: &str| {
            let call = Call::new(&NEWER, "newer_ask").arg(path(link)).arg(path(conf)).arg(path("absent"));
            run(&Batch::new(Mode::Probe, vec![call])).remove(0).1
        };
        std::fs::create_dir(path("conf.d")).unwrap();
        std::fs::write(path("conf.d/a"), "1").unwrap();
        std::os::unix::fs::symlink("invocation", path("run")).unwrap();
        assert_eq!(ask("run", "conf.d"), b"0\0");
        // The clock of files goes in ticks: within one, nothing is newer than anything.
        let since = std::fs::symlink_metadata(path("run")).unwrap();
        let later = (0..100_000).any(|_| {
            std::fs::write(path("conf.d/b"), "2").unwrap();
            let now = std::fs::metadata(path("conf.d/b")).unwrap();
            (now.ctime(), now.ctime_nsec()) > (since.mtime(), since.mtime_nsec())
        });
        assert!(later, "the clock of files stands still");
        assert_eq!(ask("run", "conf.d"), b"1\0");
    }

    /// Reloads of others, with systemd's word on them in each of its forms; the same each time that it is asked.
    #[test]
    fn a_reload_after_the_last_change_is_believed() {
        static SINCE: Library = Library {
            name: "since.sh",
            text: r#"
since_ask() {
	since_form=$1 since_result=$2 since_moved=$3
	systemctl() {
		case "$since_form $*" in
			'oldest '*--timestamp*) return 1 ;;
			'new '*--timestamp*) date -u -d "@$since_moved" '+StateChangeTimestamp=%a %Y-%m-%d %H:%M:%S.%6N UTC' ;;
			*) date -u -d "@$since_moved" '+StateChangeTimestamp=%a %Y-%m-%d %H:%M:%S UTC' ;;
		esac
		awk -v moved="$since_moved" -v now="$(date +%s.%N)" '{
			printf "StateChangeTimestampMonotonic=%.0f\n", (moved - now + $1) * 1000000 }' /proc/uptime
		printf 'ReloadResult=%s\n' "$since_result"
	}
	if loaded_since ssh.service "$4"; then bp_field 1; else bp_field 0; fi
}
"#,
            needs: &[&LOADED],
        };
        let folder = tempfile::tempdir().unwrap();
        let changed = std::fs::metadata(folder.path()).map(|seen| seen.ctime() as f64 + seen.ctime_nsec() as f64 / 1e9);
        let changed = changed.unwrap();
        let path = folder.path().to_str().unwrap();
        let ask = |form: &str, result: &str, after: f64| {
            let moved = format!("{:.6}", changed + after);
            let call = Call::new(&SINCE, "since_ask").arg(form).arg(result).arg(&moved).arg(path);
            run(&Batch::new(Mode::Probe, vec![call])).remove(0).1
        };
        for form in ["new", "old", "oldest"] {
            assert_eq!(ask(form, "success", 60.0), b"1\0", "{form}");
            assert_eq!(ask(form, "success", -60.0), b"0\0", "{form}");
            assert_eq!(ask(form, "exit-code", 60.0), b"0\0", "{form}");
        }
        let soon = [ask("new", "success", 0.02), ask("new", "success", 0.005)];
        assert_eq!(soon, [b"1\0", b"0\0"], "a tick of the clock of files is a hundredth of a second at most");
    }

    #[test]
    fn a_question_is_a_string() {
        let loaded = Loaded {
            unit: UnitName::new("cron.service").unwrap(),
            paths: vec![AbsPath::new("/etc/a").unwrap(), AbsPath::new("/etc/b").unwrap()],
        };
        let text = serde_json::to_string(&loaded).unwrap();
        assert_eq!(serde_json::from_str::<Loaded>(&text).unwrap(), loaded);
    }
}
