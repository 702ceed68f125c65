//! Docker as its files and its socket show it: whether the daemon runs, with which configuration, its volumes, its
//! networks. Packages and units of Docker are facts of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BadAnswer, Fact, Fields, Kept, Machine, Package, Question, Slot, Unit, Volatile, file};
use crate::base::name::DockerName;
use crate::shell::{Call, Library};

static DOCKER: Library = Library { name: "docker.sh", text: include_str!("docker.sh"), needs: &[] };

/// Where the daemon's configuration is.
pub const CONFIGURATION: &str = "/etc/docker/daemon.json";

/// The one question about the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Docker {
    /// The daemon of this host.
    Daemon,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DockerState {
    /// With what configuration it runs; `None` when it does not run.
    pub running: Option<Loaded>,
    /// Whether the host is in a swarm.
    pub swarm: bool,
    /// Whether Docker has kept networks here, now or earlier.
    pub data: bool,
    /// Whether it keeps images, containers or volumes. They come and go with every deploy.
    pub used: Volatile<bool>,
    /// Where a Docker comes from that is no Debian package (a snap, a tarball); empty when there is none.
    pub foreign: String,
    /// Largest packet of the interface that has the default route, in bytes; 0 when there is none.
    pub uplink_mtu: Volatile<u32>,
    /// Networks that the host has a way to, but for those of Docker and the default route: address and length.
    #[serde(default)]
    pub routes: Volatile<BTreeSet<(Ipv4Addr, u8)>>,
}

/// The configuration that the running daemon has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loaded {
    /// This text; empty when there was no file.
    Text(String),
    /// The file has changed since the daemon started and nobody wrote down whether it was read again.
    Unknown,
}

impl DockerState {
    /// A daemon as a package leaves it on a host that had none.
    pub fn fresh(configuration: &str) -> Self {
        Self {
            running: Some(Loaded::Text(configuration.to_owned())),
            swarm: false,
            data: true,
            used: Volatile::new(false),
            foreign: String::new(),
            uplink_mtu: Volatile::new(1500),
            routes: Volatile::default(),
        }
    }
}

impl Fact for Docker {
    type Answer = DockerState;

    fn call(_: &[&Self]) -> Call {
        Call::new(&DOCKER, "docker_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<DockerState>, BadAnswer> {
        let running = fields.flag()?;
        let word = fields.text()?.to_owned();
        let text = String::from_utf8_lossy(fields.bytes()?).into_owned();
        Ok(vec![DockerState {
            running: match (running, word.as_str()) {
                (false, _) => None,
                (true, "text") => Some(Loaded::Text(text)),
                (true, _) => Some(Loaded::Unknown),
            },
            swarm: fields.flag()?,
            data: fields.flag()?,
            used: Volatile::new(fields.flag()?),
            foreign: fields.text()?.to_owned(),
            uplink_mtu: Volatile::new(fields.number()?),
            routes: Volatile::new(fields.text()?.lines().filter_map(route).collect()),
        }])
    }

    fn derives_from(&self, other: &Question) -> bool {
        file::is_about(other, CONFIGURATION) || is_of_docker(other)
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<DockerState> {
        use proptest::prelude::*;
        let text = proptest::sample::select(vec![
            "",
            "{}",
            "{\"debug\": true}\n",
            "{\"log-driver\": \"local\", \"live-restore\": true}",
            "{\"bip\": \"10.0.0.1/24\", \"live-restore\": false}",
        ]);
        let running = prop_oneof![
            2 => Just(None),
            4 => text.prop_map(|text| Some(Loaded::Text(text.to_owned()))),
            1 => Just(Some(Loaded::Unknown)),
        ];
        let foreign = prop_oneof![9 => Just(""), 1 => Just("/snap/docker")];
        let mtu = proptest::sample::select(vec![0u32, 1400, 1450, 1500, 9000]);
        let routed = proptest::sample::select(vec![(10, 1), (172, 17), (172, 31), (192, 168)]);
        let routed = routed.prop_map(|(first, second)| (Ipv4Addr::new(first, second, 0, 0), 20));
        (running, proptest::bool::weighted(0.2), any::<bool>(), foreign, mtu, routed)
            .prop_map(|(running, swarm, data, foreign, mtu, routed)| DockerState {
                running,
                swarm,
                data,
                used: Volatile::new(data),
                foreign: foreign.into(),
                uplink_mtu: Volatile::new(mtu),
                routes: Volatile::new(BTreeSet::from([(Ipv4Addr::new(10, 0, 0, 0), 16), routed])),
            })
            .boxed()
    }
}

/// One line of what the kernel says: interface, address and mask, these in its own order of bytes.
fn route(line: &str) -> Option<(Ipv4Addr, u8)> {
    let mut words = line.split(' ').skip(1).map(|word| u32::from_str_radix(word, 16).map(u32::swap_bytes));
    let (address, mask) = (words.next()?.ok()?, words.next()?.ok()?);
    Some((Ipv4Addr::from(address), u8::try_from(mask.leading_ones()).ok()?))
}

/// Whether `question` is about a unit or package that can bring the daemon up or down.
fn is_of_docker(question: &Question) -> bool {
    match question {
        Question::Unit(Unit(name)) => matches!(name.as_str(), "docker.service" | "docker.socket"),
        Question::Package(Package(name)) => matches!(name.as_str(), "docker.io" | "docker-ce"),
        _ => false,
    }
}

/// How is this volume?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DockerVolume(pub DockerName);

/// A volume of Docker's driver `local`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerVolumeState {
    /// There is none.
    Absent,
    /// It is there.
    Present {
        /// Its options (`type`, `o`, `device`), those that are set.
        options: BTreeMap<String, String>,
    },
}

impl Fact for DockerVolume {
    type Answer = DockerVolumeState;
    const COST: u32 = 2;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&DOCKER, "docker_volumes").args(questions.iter().map(|volume| &volume.0))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<DockerVolumeState>, BadAnswer> {
        questions
            .iter()
            .map(|_| {
                let (there, options) = (fields.flag()?, fields.text()?);
                Ok(if there {
                    DockerVolumeState::Present { options: volume_options(options) }
                } else {
                    DockerVolumeState::Absent
                })
            })
            .collect()
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<DockerVolumeState> {
        use proptest::prelude::*;
        let bound = BTreeMap::from([
            ("type".to_owned(), "none".to_owned()),
            ("o".to_owned(), "bind".to_owned()),
            ("device".to_owned(), "/mnt/data/app".to_owned()),
        ]);
        prop_oneof![
            Just(DockerVolumeState::Absent),
            Just(DockerVolumeState::Present { options: BTreeMap::new() }),
            Just(DockerVolumeState::Present { options: bound }),
        ]
        .boxed()
    }
}

/// The options in a volume's `opts.json`, by the names that `docker volume create --opt` takes.
fn volume_options(json: &str) -> BTreeMap<String, String> {
    let Ok(Value::Object(options)) = serde_json::from_str(json) else { return BTreeMap::new() };
    let names = [("MountType", "type"), ("MountOpts", "o"), ("MountDevice", "device")];
    let set = names.iter().filter_map(|(theirs, ours)| {
        let value = options.get(*theirs)?.as_str().filter(|value| !value.is_empty())?;
        Some(((*ours).to_owned(), value.to_owned()))
    });
    set.collect()
}

/// How is this network?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DockerNetwork(pub DockerName);

/// A network as the daemon tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerNetworkState {
    /// Docker does not run or does not answer, so nobody can tell.
    NoDaemon,
    /// There is none.
    Absent,
    /// It is there.
    Present {
        /// `bridge` as a rule.
        driver: String,
        /// Its options, such as `com.docker.network.driver.mtu`.
        options: BTreeMap<String, String>,
        /// Whether it speaks IPv6.
        ipv6: bool,
    },
}

impl Fact for DockerNetwork {
    type Answer = DockerNetworkState;
    const COST: u32 = 2;

    fn call(_: &[&Self]) -> Call {
        Call::new(&DOCKER, "docker_networks")
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<DockerNetworkState>, BadAnswer> {
        let running = fields.flag()?;
        let answer = fields.text()?;
        // A daemon that hangs must not keep anyone from asking the rest.
        let body = answer.split_once("\r\n\r\n").filter(|(head, _)| head.lines().next().is_some_and(is_success));
        let Some((_, body)) = body.filter(|_| running) else {
            return Ok(questions.iter().map(|_| DockerNetworkState::NoDaemon).collect());
        };
        let networks: Vec<Value> = serde_json::from_str(body)
            .map_err(|error| BadAnswer(format!("the Docker daemon's list of networks can not be read: {error}")))?;
        Ok(questions.iter().map(|question| network(question.0.as_str(), &networks)).collect())
    }

    fn derives_from(&self, other: &Question) -> bool {
        matches!(other, Question::Docker(_))
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<DockerNetworkState> {
        use proptest::prelude::*;
        let present = (proptest::sample::select(vec![None, Some("1450"), Some("1500")]), any::<bool>()).prop_map(
            |(mtu, ipv6)| DockerNetworkState::Present {
                driver: "bridge".into(),
                options: mtu
                    .map(|mtu| ("com.docker.network.driver.mtu".to_owned(), mtu.to_owned()))
                    .into_iter()
                    .collect(),
                ipv6,
            },
        );
        prop_oneof![Just(DockerNetworkState::NoDaemon), Just(DockerNetworkState::Absent), present].boxed()
    }
}

/// Whether a status line of HTTP says that all is well.
fn is_success(line: &str) -> bool {
    line.split(' ').nth(1) == Some("200")
}

fn network(name: &str, networks: &[Value]) -> DockerNetworkState {
    let Some(found) = networks.iter().find(|network| network["Name"] == name) else {
        return DockerNetworkState::Absent;
    };
    let options = found["Options"].as_object().into_iter().flatten();
    DockerNetworkState::Present {
        driver: found["Driver"].as_str().unwrap_or_default().to_owned(),
        options: options.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
        ipv6: found["EnableIPv6"] == true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DockerName {
        DockerName::new(text).unwrap()
    }

    #[test]
    fn reads_a_daemon() {
        let body =
            b"1\0text\0{\"debug\":true}\n\x000\x001\x001\0\x001450\0eth1 0000000A 0000FFFF\neth1 00101FAC 00F0FFFF\0";
        let state = Docker::parse(&[&Docker::Daemon], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!(state.running, Some(Loaded::Text("{\"debug\":true}\n".into())));
        assert_eq!((state.swarm, state.data, *state.uplink_mtu.reading()), (false, true, 1450));
        let routes: Vec<String> = state.routes.reading().iter().map(|(a, length)| format!("{a}/{length}")).collect();
        assert_eq!(routes, ["10.0.0.0/16", "172.31.16.0/20"]);
        let body = b"0\0none\0\x000\x000\x000\0/snap/docker\x000\0\0";
        let state = Docker::parse(&[&Docker::Daemon], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!((state.running, state.foreign.as_str()), (None, "/snap/docker"));
    }

    #[test]
    fn reads_volumes_as_docker_keeps_them() {
        let questions = [DockerVolume(name("bound")), DockerVolume(name("plain")), DockerVolume(name("none"))];
        let body =
            b"1\0{\"MountType\":\"none\",\"MountOpts\":\"bind\",\"MountDevice\":\"/mnt/x\",\"Quota\":{\"Size\":0}}\0\
            1\0\x000\0\0";
        let states = DockerVolume::parse(&questions.iter().collect::<Vec<_>>(), &mut Fields::new(body)).unwrap();
        let DockerVolumeState::Present { options } = &states[0] else { panic!("{states:?}") };
        assert_eq!(options.get("device").map(String::as_str), Some("/mnt/x"));
        assert_eq!(options.len(), 3);
        assert_eq!(states[1], DockerVolumeState::Present { options: BTreeMap::new() });
        assert_eq!(states[2], DockerVolumeState::Absent);
    }

    #[test]
    fn reads_networks_and_outlives_a_daemon_that_does_not_answer() {
        let questions = [DockerNetwork(name("kamal")), DockerNetwork(name("other"))];
        let questions: Vec<&DockerNetwork> = questions.iter().collect();
        let body = b"1\0HTTP/1.0 200 OK\r\nServer: Docker/26.1.5 (linux)\r\n\r\n[{\"Name\":\"kamal\",\"Driver\":\"bridge\",\
            \"EnableIPv6\":false,\"Options\":{\"com.docker.network.driver.mtu\":\"1450\"}},{\"Name\":\"none\",\"Options\":null}]\0";
        let states = DockerNetwork::parse(&questions, &mut Fields::new(body)).unwrap();
        let DockerNetworkState::Present { driver, options, ipv6 } = &states[0] else { panic!("{states:?}") };
        assert_eq!((driver.as_str(), options.len(), *ipv6), ("bridge", 1, false));
        assert_eq!(states[1], DockerNetworkState::Absent);
        for silent in [&b"1\0\0"[..], b"0\0\0", b"1\0HTTP/1.0 500 Internal Server Error\r\n\r\n{}\0"] {
            let states = DockerNetwork::parse(&questions, &mut Fields::new(silent)).unwrap();
            assert_eq!(states, [DockerNetworkState::NoDaemon, DockerNetworkState::NoDaemon]);
        }
    }
}
