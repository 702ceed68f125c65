//! A named Docker volume, as a rule on a folder of a data disk.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::{CreateDockerVolume, MakeDirectory};
use crate::base::name::{AbsPath, DockerName};
use crate::machine::docker::DockerVolumeState;
use crate::machine::file::{FileState, Owner};
use crate::machine::{Blocked, Docker, DockerVolume as Fact, File, Machine, Question};
use crate::resource::file::Mode;

/// A named Docker volume, made before Kamal asks for it so that its data lie where they should.
///
/// A volume that is there with other options is never touched: its data would be lost from sight.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerVolume {
    /// Name of the volume, as `volumes:` in `config/deploy.yml` has it.
    pub name: DockerName,
    /// A folder of the host that holds the data, such as `/mnt/data/app_storage`; made if there is none. Use a folder
    /// below the mount point, not the mount point itself: `lost+found` in it stops databases. Without it the data lie
    /// in Docker's own folder.
    #[serde(default)]
    pub device: Option<AbsPath>,
    /// Owner of the folder when it is made: the user number inside the container (1000 in Rails images).
    #[serde(default = "thousand")]
    pub owner: String,
    /// Group of the folder when it is made.
    #[serde(default = "thousand")]
    pub group: String,
    /// Permissions of the folder when it is made.
    #[serde(default = "open_directory")]
    pub mode: Mode,
    /// Options of Docker's `local` driver (`type`, `o`, `device`) for other mounts than a folder.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

fn thousand() -> String {
    "1000".into()
}

fn open_directory() -> Mode {
    Mode(0o755)
}

impl DockerVolume {
    fn wanted(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        if let Some(device) = &self.device {
            options.insert("type".into(), "none".into());
            options.insert("o".into(), "bind".into());
            options.insert("device".into(), device.to_string());
        }
        options
    }

    /// The folder, if it is missing.
    fn folder(&self, machine: &Machine) -> Result<Option<Change>, Blocked> {
        let Some(device) = &self.device else { return Ok(None) };
        match machine.file(device)? {
            FileState::Absent => {
                let owner = Owner::named(&self.owner, &self.group);
                Ok(Some(Change::by(MakeDirectory { path: device.clone(), mode: self.mode.0, owner })))
            }
            state if state.is_directory() => Ok(None),
            FileState::Present { .. } => Err(Blocked::refused(
                format!("{device} is not a directory, so the volume {} can not lie in it", self.name),
                "name another `device`, or move away what is there",
            )),
        }
    }
}

/// `o=bind device=/mnt/x type=none`.
fn shown(options: &BTreeMap<String, String>) -> String {
    if options.is_empty() {
        return "no options".into();
    }
    options.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

impl Resource for DockerVolume {
    const NAME: &'static str = "docker_volume";
    const EXAMPLE: &'static str = "name = \"app_storage\"\ndevice = \"/mnt/data/app_storage\"\nowner = \"1000\"\n";

    fn check(&self, problems: &mut Problems) {
        if self.device.is_some() && !self.options.is_empty() {
            problems.push("options", "`device` sets the options of the volume", Some("leave one of the two out"));
        }
        if self.options.values().any(String::is_empty) {
            problems.push("options", "an option is empty", Some("leave it out"));
        }
        for (field, value) in [("owner", &self.owner), ("group", &self.group)] {
            if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == ':') {
                problems.push(field, "this is neither a name nor a number", None);
            }
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![Fact(self.name.clone()).into(), Docker::Daemon.into()];
        facts.extend(self.device.iter().map(|device| File::at(device).into()));
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        vec![Fact(self.name.clone()).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let wanted = self.wanted();
        let folder = self.folder(machine)?;
        match machine.get(&Fact(self.name.clone()))? {
            DockerVolumeState::Present { options } if *options == wanted => {
                // Docker can not start a container on a folder that is gone.
                Ok(Plan::changes(folder.into_iter().collect(), format!("it is there: {}", shown(options))))
            }
            DockerVolumeState::Present { options } => Err(Blocked::refused(
                format!("the volume {} is there with {} and not with {}", self.name, shown(options), shown(&wanted)),
                format!(
                    "stop its containers, copy its data to where they should be, `docker volume rm {}`, and run again",
                    self.name
                ),
            )),
            DockerVolumeState::Absent if machine.get(&Docker::Daemon)?.running.is_none() => Err(Blocked::refused(
                format!("Docker does not run, so the volume {} can not be made", self.name),
                "let a `docker_engine` task stand before this one",
            )),
            DockerVolumeState::Absent => {
                let mut changes: Vec<Change> = folder.into_iter().collect();
                changes.push(Change::by(CreateDockerVolume { name: self.name.clone(), options: wanted }));
                Ok(Plan::changes(changes, ""))
            }
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let device = proptest::sample::select(vec![None, Some("/mnt/data/app"), Some("/srv/other")]);
        device
            .prop_map(|device| DockerVolume {
                name: DockerName::new("app_storage").unwrap(),
                device: device.map(|path| AbsPath::new(path).unwrap()),
                owner: thousand(),
                group: thousand(),
                mode: open_directory(),
                options: BTreeMap::new(),
            })
            .boxed()
    }
}
