//! The time zone.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::file::{Content, Found};
use crate::action::{Action, MakeLink, WriteFile};
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{Blocked, File, Machine, Question};

/// The host's time zone, in `/etc/localtime` and, where that is used, `/etc/timezone`.
///
/// Services that run show the old zone until they are restarted.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timezone {
    /// The zone, such as `UTC` or `Europe/Berlin`.
    pub zone: String,
}

const ZONES: &str = "/usr/share/zoneinfo";
/// Names of the one zone that needs no data.
const UTC: [&str; 6] = ["UTC", "Etc/UTC", "Etc/UCT", "UCT", "Etc/Universal", "Zulu"];

fn path(text: &str) -> Result<AbsPath, Blocked> {
    AbsPath::new(text).map_err(|bad| Blocked::refused(bad.to_string(), "correct the name of the zone"))
}

fn asks() -> Vec<AbsPath> {
    ["/etc/localtime", "/etc/timezone"].into_iter().filter_map(|path| AbsPath::new(path).ok()).collect()
}

impl Timezone {
    fn is_same(&self, name: &str) -> bool {
        name == self.zone || UTC.contains(&name) && UTC.contains(&self.zone.as_str())
    }

    fn data(&self) -> Result<AbsPath, Blocked> {
        path(&format!("{ZONES}/{}", self.zone))
    }
}

/// The zone that a link names, whichever way it is written.
fn linked(state: &FileState) -> Option<&str> {
    let FileState::Present { kind: Kind::Link { target }, .. } = state else { return None };
    Some(target.split_once("/usr/share/zoneinfo/")?.1).or_else(|| target.strip_prefix("../usr/share/zoneinfo/"))
}

impl Resource for Timezone {
    const NAME: &'static str = "timezone";
    const EXAMPLE: &'static str = "zone = \"UTC\"\n";

    fn check(&self, problems: &mut Problems) {
        let legal = |letter: char| letter.is_ascii_alphanumeric() || "+-_/".contains(letter);
        if self.zone.is_empty() || !self.zone.chars().all(legal) || self.data().is_err() {
            problems.push(
                "zone",
                "this is not the name of a time zone",
                Some("write `UTC` or such as `Europe/Berlin`"),
            );
        }
    }

    fn facts(&self) -> Vec<Question> {
        let data = self.data().ok().map(|data| File::secret(&data).into());
        asks().iter().map(|path| File::at(path).into()).chain(data).collect()
    }

    fn asserts(&self) -> Vec<Question> {
        asks().iter().map(|path| File::at(path).into()).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let (localtime, timezone) = (path("/etc/localtime")?, path("/etc/timezone")?);
        let (link, text) = (machine.file(&localtime)?, machine.file(&timezone)?);
        let data = self.data()?;
        let mut changes = Vec::new();
        let is_utc = UTC.contains(&self.zone.as_str());
        let right = match link {
            FileState::Absent => is_utc,
            link => linked(link).is_some_and(|name| self.is_same(name)),
        };
        if !right {
            if machine.get(&File::secret(&data))?.is_absent() {
                return Err(Blocked::refused(
                    format!("the host does not know the zone {}", self.zone),
                    "install tzdata (and tzdata-legacy for old names) in an earlier task, or correct the name",
                ));
            }
            let found = match link {
                FileState::Present { kind: Kind::Directory, .. } => {
                    return Err(Blocked::refused(
                        "/etc/localtime is a directory, so it is left alone",
                        "move it away yourself, then run again",
                    ));
                }
                link => Found::of(link),
            };
            let before = match link {
                FileState::Absent => None,
                link => Some(linked(link).unwrap_or("a copy of some zone").to_owned()),
            };
            let diff = Diff::Value { what: "time zone".into(), before, after: Some(self.zone.clone()) };
            let action = MakeLink { path: localtime, target: data.to_string(), found };
            changes.push(Change::by(action).diff(diff));
        }
        // Newer releases do without this file; where it is, programs believe it.
        if let FileState::Present { kind: Kind::File { content: Some(name), .. }, mode, owner } = text
            && !self.is_same(name.trim())
        {
            let wanted = format!("{}\n", self.zone);
            let diff =
                Diff::Text { path: timezone.to_string(), before: Some(name.clone()), after: Some(wanted.clone()) };
            let (mode, owner): (u32, Owner) = (*mode, owner.clone());
            let action =
                WriteFile { path: timezone, content: Content::Text(wanted), mode, owner, found: Found::of(text) };
            changes.push(Change::by(Action::from(action)).diff(diff));
        }
        Ok(Plan::changes(changes, format!("it is {}", self.zone)))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        proptest::sample::select(vec!["UTC", "Europe/Berlin"]).prop_map(|zone| Timezone { zone: zone.into() }).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_read_whichever_way_the_link_is_written() {
        let link = |target: &str| FileState::Present {
            kind: Kind::Link { target: target.into() },
            mode: 0o777,
            owner: Owner::root(),
        };
        assert_eq!(linked(&link("/usr/share/zoneinfo/Europe/Berlin")), Some("Europe/Berlin"));
        assert_eq!(linked(&link("../usr/share/zoneinfo/Etc/UTC")), Some("Etc/UTC"));
        assert_eq!(linked(&link("/somewhere")), None);
        assert!(Timezone { zone: "UTC".into() }.is_same("Etc/UTC"));
    }
}
