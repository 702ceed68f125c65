//! Changes of Docker: its configuration, volumes, networks. Its packages are changed by `package`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file::Found;
use super::{ACTION, Act, Undo};
use crate::base::Digest;
use crate::base::name::{AbsPath, DockerName};
use crate::machine::docker::{CONFIGURATION, DockerNetworkState, DockerVolumeState, Loaded};
use crate::machine::file::{FileState, Owner};
use crate::machine::{Docker, DockerNetwork, DockerVolume, Machine};
use crate::shell::{Call, Library};

static DOCKER: Library = Library { name: "docker-change.sh", text: include_str!("docker.sh"), needs: &[&ACTION] };

/// How the daemon takes a new configuration over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takeover {
    /// Not at all: it does not run, or runs with these very settings.
    Nothing,
    /// By a signal: no container notices.
    Reload,
    /// By a restart: containers restart too, unless `live-restore` was on.
    Restart,
}

/// Writes `daemon.json` and makes the daemon take it over. What the daemon would refuse is not written, where it can
/// tell; when it does not come up, the old file is put back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigureDocker {
    /// The whole file.
    pub content: String,
    /// Its permissions.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// What was there.
    pub found: Found,
    /// How the daemon learns of it.
    pub takeover: Takeover,
}

impl Act for ConfigureDocker {
    fn summary(&self) -> String {
        let write = self.found != Found::Digest(Digest::of(&self.content));
        match (write, self.takeover) {
            (true, Takeover::Nothing) => format!("write {CONFIGURATION}"),
            (true, Takeover::Reload) => format!("write {CONFIGURATION} and reload Docker"),
            (true, Takeover::Restart) => format!("write {CONFIGURATION} and restart Docker"),
            (false, Takeover::Restart) => format!("restart Docker, which runs without what {CONFIGURATION} says"),
            (false, _) => format!("reload Docker, which runs without what {CONFIGURATION} says"),
        }
    }

    fn call(&self) -> Call {
        Call::new(&DOCKER, "docker_configure")
            .arg(self.found.word())
            .arg(Digest::of(&self.content).as_str())
            .arg(format!("{:04o}", self.mode))
            .arg(self.owner.user.as_str())
            .arg(self.owner.group.as_str())
            .arg(self.content.as_str())
            .arg(match self.takeover {
                Takeover::Nothing => "nothing",
                Takeover::Reload => "reload",
                Takeover::Restart => "restart",
            })
    }

    fn effect(&self, machine: &mut Machine) {
        if let Ok(path) = AbsPath::new(CONFIGURATION) {
            machine.set_file(&path, FileState::text(&self.content, self.mode, self.owner.clone()));
        }
        machine.update(&Docker::Daemon, |state| {
            if state.running.is_some() || self.takeover == Takeover::Restart {
                state.running = Some(Loaded::Text(self.content.clone()));
            }
        });
        // The daemon comes back with the networks that it had.
        for network in machine.all::<DockerNetwork>().map(|(network, _)| network.clone()).collect::<Vec<_>>() {
            machine.update(&network, |_| {});
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("what Docker ran with before may not be what its file said")
    }

    fn is_slow(&self) -> bool {
        self.takeover == Takeover::Restart
    }
}

/// Makes a volume of the driver `local`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateDockerVolume {
    /// Its name.
    pub name: DockerName,
    /// Options of the driver: `type`, `o`, `device`.
    pub options: BTreeMap<String, String>,
}

impl Act for CreateDockerVolume {
    fn summary(&self) -> String {
        match self.options.get("device") {
            Some(device) => format!("make the Docker volume {} on {device}", self.name),
            None => format!("make the Docker volume {}", self.name),
        }
    }

    fn call(&self) -> Call {
        Call::new(&DOCKER, "docker_volume_create").arg(&self.name).args(pairs(&self.options))
    }

    fn effect(&self, machine: &mut Machine) {
        let state = DockerVolumeState::Present { options: self.options.clone() };
        machine.set(DockerVolume(self.name.clone()), state);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a volume is never removed: a container may have put data into it")
    }
}

/// Makes a bridge network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateDockerNetwork {
    /// Its name.
    pub name: DockerName,
    /// Options of the driver, such as `com.docker.network.driver.mtu`.
    pub options: BTreeMap<String, String>,
    /// Whether it speaks IPv6.
    pub ipv6: bool,
}

impl Act for CreateDockerNetwork {
    fn summary(&self) -> String {
        format!("make the Docker network {}", self.name)
    }

    fn call(&self) -> Call {
        Call::new(&DOCKER, "docker_network_create")
            .arg(&self.name)
            .arg(if self.ipv6 { "1" } else { "0" })
            .args(pairs(&self.options))
    }

    fn effect(&self, machine: &mut Machine) {
        let state =
            DockerNetworkState::Present { driver: "bridge".into(), options: self.options.clone(), ipv6: self.ipv6 };
        machine.set(DockerNetwork(self.name.clone()), state);
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("a network is never removed: a container may be on it")
    }
}

/// `key=value`, in the order of the keys.
fn pairs(options: &BTreeMap<String, String>) -> Vec<String> {
    options.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
