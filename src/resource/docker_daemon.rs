//! The settings of Docker's daemon, key by key.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Change, Plan, Problems, Resource, docker_images, docker_pools};
use crate::action::ConfigureDocker;
use crate::action::docker::Takeover;
use crate::action::file::Found;
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::{AbsPath, PackageName};
use crate::machine::docker::{CONFIGURATION, DockerState, Loaded};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::version::major;
use crate::machine::{Blocked, Docker, File, Machine, Package, PackageState, Question, System};

/// Settings of the Docker daemon in `/etc/docker/daemon.json`.
///
/// Only the named keys are set; other keys that are there stay, in their order. What the daemon would not take is not
/// written (Docker 23 and newer can say so). The daemon is restarted only for keys that need it and otherwise told to
/// read the file again; when it does not come up, the old file is put back. A file that was changed without the daemon
/// having read it is found too.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerDaemon {
    /// Driver of the containers' logs: `local` (compact, rotated) or `json-file`. Empty leaves it alone. Containers
    /// that exist keep the driver they were made with.
    #[serde(default)]
    pub log_driver: String,
    /// Largest size of one log file before it is rotated, such as `10m`. Empty leaves it alone.
    #[serde(default)]
    pub log_max_size: String,
    /// How many log files are kept of one container. 0 leaves it alone.
    #[serde(default)]
    pub log_max_files: u32,
    /// Whether containers keep running while the daemon restarts. Left alone in a swarm, which can not have it.
    #[serde(default)]
    pub live_restore: Option<bool>,
    /// Largest packet on Docker's networks: `auto` makes it smaller where the host's own link takes less than 1500 bytes
    /// (private networks of some providers), a number sets it, empty leaves it alone. Docker before 24 can set it for its
    /// default bridge alone; a `docker_network` task sets it for a network of its own.
    #[serde(default)]
    pub mtu: String,
    /// `auto` takes Docker's networks from other addresses where its own choice would cover a network that the host has
    /// a way to (a VPC, a VPN): connections to that would end at Docker. Empty leaves it alone; networks that exist stay.
    #[serde(default)]
    pub address_pools: String,
    /// Any other settings, as Docker's documentation of `daemon.json` names them. Tables are merged, all else replaced.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Keys that must not be there.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// Keys that a running daemon reads again when told to (dockerd, "Configuration reload behavior").
const RELOADED: [&str; 12] = [
    "debug",
    "labels",
    "live-restore",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "default-runtime",
    "runtimes",
    "authorization-plugins",
    "insecure-registries",
    "registry-mirrors",
    "shutdown-timeout",
];

/// The option that sets the largest packet of a bridge network.
const NETWORK_MTU: &str = "com.docker.network.driver.mtu";

/// The first Docker that knows `default-network-opts`; an older one does not start with it.
const SETS_NETWORKS: u32 = 24;

/// Keys that decide where data are looked for, with what they are when nobody sets them.
const HIDING: [(&str, &str); 3] = [("data-root", "/var/lib/docker"), ("userns-remap", ""), ("storage-driver", "")];

impl DockerDaemon {
    /// The settings as they should be, from those that are there. `can_set_networks`: whether this Docker knows
    /// `default-network-opts`.
    fn wanted(
        &self,
        mut settings: Map<String, Value>,
        state: &DockerState,
        can_set_networks: bool,
    ) -> Map<String, Value> {
        if !self.log_driver.is_empty() {
            let is = settings.get("log-driver").and_then(Value::as_str).unwrap_or("json-file");
            if is != self.log_driver {
                // Options of one driver stop the daemon under another.
                settings.shift_remove("log-opts");
            }
            settings.insert("log-driver".into(), self.log_driver.clone().into());
        }
        let mut options = Map::new();
        if !self.log_max_size.is_empty() {
            options.insert("max-size".into(), self.log_max_size.clone().into());
        }
        if self.log_max_files > 0 {
            options.insert("max-file".into(), self.log_max_files.to_string().into());
        }
        if !options.is_empty() {
            merge(&mut settings, "log-opts", Value::Object(options));
        }
        match self.live_restore {
            Some(true) if state.swarm => {}
            Some(wanted) => {
                settings.insert("live-restore".into(), wanted.into());
            }
            None => {}
        }
        if let Some(mtu) = self.wanted_mtu(&settings, *state.uplink_mtu.reading()) {
            settings.insert("mtu".into(), mtu.into());
        }
        if let Some(mtu) =
            settings.get("mtu").and_then(Value::as_u64).filter(|_| can_set_networks && !self.mtu.is_empty())
        {
            let bridge = Map::from_iter([(NETWORK_MTU.to_owned(), Value::from(mtu.to_string()))]);
            let options = Map::from_iter([("bridge".to_owned(), Value::Object(bridge))]);
            merge(&mut settings, "default-network-opts", Value::Object(options));
        }
        if self.address_pools == "auto"
            && let Some(pools) = docker_pools::instead(&settings, state.routes.reading())
        {
            settings.insert(docker_pools::KEY.into(), pools);
        }
        for (key, value) in &self.settings {
            merge(&mut settings, key, value.clone());
        }
        for key in &self.remove {
            settings.shift_remove(key);
        }
        settings
    }

    /// Refuses what would hide the images, containers and volumes that are there.
    fn refuse_hiding(
        &self,
        before: &Map<String, Value>,
        wanted: &Map<String, Value>,
        state: &DockerState,
    ) -> Result<(), Blocked> {
        if !*state.used.reading() {
            return Ok(());
        }
        for (key, default) in HIDING {
            let value = |settings: &Map<String, Value>| settings.get(key).and_then(Value::as_str).map(str::to_owned);
            let (is, should) = (value(before), value(wanted));
            if is.as_deref().unwrap_or(default) != should.as_deref().unwrap_or(default) {
                return Err(Blocked::refused(
                    format!("another `{key}` would hide the images, containers and volumes that Docker has here"),
                    "save what they hold and remove them first, or leave the setting as it is",
                ));
            }
        }
        Ok(())
    }

    fn wanted_mtu(&self, settings: &Map<String, Value>, uplink: u32) -> Option<u32> {
        if self.mtu != "auto" {
            return self.mtu.parse().ok();
        }
        let is = settings.get("mtu").and_then(Value::as_u64).unwrap_or(1500);
        // A smaller value that is there already works too: it is kept.
        (uplink > 0 && uplink < 1500 && is > u64::from(uplink)).then_some(uplink)
    }

    /// What the daemon must do to run with `wanted`.
    fn takeover(loaded: Option<&Loaded>, wanted: &Map<String, Value>) -> Takeover {
        let loaded = match loaded {
            None => return Takeover::Nothing,
            Some(Loaded::Unknown) => return Takeover::Restart,
            Some(Loaded::Text(text)) => text,
        };
        let Ok(loaded) = parse(loaded) else { return Takeover::Restart };
        let keys: BTreeSet<&String> = loaded.keys().chain(wanted.keys()).collect();
        let differing = keys.into_iter().filter(|key| loaded.get(*key) != wanted.get(*key));
        let needs = differing.map(|key| match RELOADED.contains(&key.as_str()) {
            true => Takeover::Reload,
            false => Takeover::Restart,
        });
        needs.max().unwrap_or(Takeover::Nothing)
    }
}

/// Sets `key`; a table is merged into a table that is there.
fn merge(settings: &mut Map<String, Value>, key: &str, value: Value) {
    match (settings.get_mut(key), value) {
        (Some(Value::Object(is)), Value::Object(value)) => {
            for (key, value) in value {
                merge(is, &key, value);
            }
        }
        (_, value) => {
            settings.insert(key.to_owned(), value);
        }
    }
}

/// Errors: what the text is not, as a phrase.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(settings)) => Ok(settings),
        Ok(_) => Err("it is not a JSON object".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// As Docker's documentation writes it.
fn text(settings: &Map<String, Value>) -> String {
    match serde_json::to_string_pretty(settings) {
        Ok(text) => text + "\n",
        Err(_) => "{}\n".into(),
    }
}

/// The packages that a daemon comes from.
fn engines() -> impl Iterator<Item = Package> {
    ["docker-ce", "docker.io"].into_iter().filter_map(|name| PackageName::new(name).ok().map(Package))
}

/// The major version of the Docker of this host, where it is known.
fn installed_major(machine: &Machine) -> Option<u32> {
    engines().find_map(|engine| match machine.get(&engine) {
        Ok(PackageState::Installed { version: Some(version), .. }) => major(version),
        _ => None,
    })
}

/// Whether a Docker of this package, version and release knows `default-network-opts`. Of one that is yet to be installed
/// the release tells.
fn sets_networks(engine: &str, version: Option<&str>, id: &str, release: Option<u32>) -> bool {
    let old = engine == "docker.io" && id == "debian" && release.is_some_and(|release| release < 13);
    version.and_then(major).map_or(!old, |major| major >= SETS_NETWORKS)
}

/// The same for the Docker of this host.
fn can_set_networks(machine: &Machine) -> Result<bool, Blocked> {
    for engine in engines() {
        if let PackageState::Installed { version, .. } = machine.get(&engine)? {
            let system = machine.get(&System::Here)?;
            return Ok(sets_networks(engine.0.as_str(), version.as_deref(), &system.id, system.major()));
        }
    }
    Ok(false)
}

fn path() -> Option<AbsPath> {
    AbsPath::new(CONFIGURATION).ok()
}

impl Resource for DockerDaemon {
    const NAME: &'static str = "docker_daemon";
    const EXAMPLE: &'static str = "log_driver = \"local\"\nlog_max_size = \"10m\"\nlog_max_files = 5\n\
        live_restore = true\nmtu = \"auto\"\naddress_pools = \"auto\"\nsettings = { icc = false }\nremove = [\"debug\"]\n";

    fn check(&self, problems: &mut Problems) {
        if !matches!(self.log_driver.as_str(), "" | "local" | "json-file") {
            problems.push(
                "log_driver",
                "this driver is set up by `settings`: only `local` and `json-file` are known here",
                Some("write settings = { log-driver = \"…\", log-opts = { … } }"),
            );
        }
        let size = self.log_max_size.trim_end_matches(['k', 'm', 'g']);
        if !self.log_max_size.is_empty() && (size.is_empty() || size.parse::<u64>().is_err()) {
            problems.push("log_max_size", "this is not a size", Some("write it as `10m`: a number and k, m or g"));
        }
        if !matches!(self.mtu.as_str(), "" | "auto") && self.mtu.parse::<u32>().is_err() {
            problems.push("mtu", "this is neither `auto` nor a number of bytes", None);
        }
        if !matches!(self.address_pools.as_str(), "" | "auto") {
            problems.push(
                "address_pools",
                "this is neither `auto` nor empty",
                Some("write settings = { default-address-pools = [{ base = \"…\", size = 24 }] }"),
            );
        }
        if self.settings.contains_key("hosts") {
            problems.push(
                "settings.hosts",
                "`hosts` stops Docker from starting: its systemd unit names the socket already",
                Some("reach the daemon over ssh (`DOCKER_HOST=ssh://…`), or change the unit by a drop-in"),
            );
        }
        for key in self.remove.iter().filter(|key| self.settings.contains_key(*key)) {
            problems.push("remove", format!("`{key}` is set and removed at once"), Some("leave one of the two out"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![Docker::Daemon.into()];
        facts.extend(path().map(|path| File::at(&path).into()));
        let images = docker_images::facts(&self.settings);
        if !(self.mtu.is_empty() && images.is_empty()) {
            facts.extend(engines().map(Question::from));
            facts.push(System::Here.into());
        }
        facts.extend(images);
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        let images = docker_images::facts(&self.settings);
        let is_own = |question: &Question| {
            matches!(question, Question::Docker(_) | Question::File(_)) && !images.contains(question)
        };
        Resource::facts(self).into_iter().filter(is_own).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let state = machine.get(&Docker::Daemon)?;
        let Some(path) = path() else { return Ok(Plan::in_sync("there is nothing to set")) };
        let file = machine.file(&path)?;
        let (before, mode, owner) = match file {
            FileState::Absent => ("", 0o644, Owner::root()),
            FileState::Present { kind: Kind::File { content: Some(content), .. }, mode, owner } => {
                (content.as_str(), *mode, owner.clone())
            }
            FileState::Present { .. } => {
                return Err(Blocked::refused(
                    format!("{CONFIGURATION} is not a readable text file, so it is left alone"),
                    "move it away yourself if nothing needs it, then run again",
                ));
            }
        };
        let settings = parse(before).map_err(|error| {
            Blocked::refused(
                format!("{CONFIGURATION} can not be read: {error}"),
                "correct it or move it away; Docker itself would not start with it",
            )
        })?;
        let can_set_networks = !self.mtu.is_empty() && can_set_networks(machine)?;
        let wanted = self.wanted(settings.clone(), state, can_set_networks);
        self.refuse_hiding(&settings, &wanted, state)?;
        let mut findings = self.findings(state);
        findings.extend(docker_images::left_behind(&self.settings, &wanted, installed_major(machine), machine));
        let takeover = Self::takeover(state.running.as_ref(), &wanted);
        if wanted == settings && takeover == Takeover::Nothing {
            let how =
                if state.running.is_some() { "Docker runs with these settings" } else { "the settings are there" };
            return Ok(Plan::in_sync(how).with_findings(findings));
        }
        let content = if wanted == settings { before.to_owned() } else { text(&wanted) };
        let action = ConfigureDocker { content: content.clone(), mode, owner, found: Found::of(file), takeover };
        let mut change = Change::by(action);
        if wanted != settings {
            let before = (!file.is_absent()).then(|| before.to_owned());
            change = change.diff(Diff::Text { path: CONFIGURATION.into(), before, after: Some(content) });
        }
        Ok(Plan::changes(vec![change], "").with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let driver = proptest::sample::select(vec!["", "local", "json-file"]);
        let size = proptest::sample::select(vec!["", "10m"]);
        let mtu = proptest::sample::select(vec!["", "auto", "1400"]);
        let live = proptest::sample::select(vec![None, Some(true), Some(false)]);
        let settings =
            proptest::sample::select(vec!["{}", "{\"icc\": false}", "{\"log-opts\": {\"compress\": \"false\"}}"]);
        let remove = proptest::sample::select(vec![vec![], vec!["debug".to_owned()]]);
        (driver, size, 0..3u32, live, mtu, settings, remove)
            .prop_map(|(driver, size, log_max_files, live_restore, mtu, settings, remove)| DockerDaemon {
                log_driver: driver.into(),
                log_max_size: size.into(),
                log_max_files,
                live_restore,
                mtu: mtu.into(),
                address_pools: if log_max_files == 1 { String::new() } else { "auto".into() },
                settings: parse(settings).unwrap(),
                remove,
            })
            .boxed()
    }
}

impl DockerDaemon {
    fn findings(&self, state: &DockerState) -> Vec<Finding> {
        if !(state.swarm && self.live_restore == Some(true)) {
            return Vec::new();
        }
        vec![Finding {
            id: "docker-swarm".into(),
            what: "the host is in a swarm, so `live-restore` is left alone: a swarm can not have it".into(),
            help: None,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(settings: &str) -> DockerDaemon {
        DockerDaemon {
            log_driver: "local".into(),
            log_max_size: "10m".into(),
            log_max_files: 5,
            live_restore: Some(true),
            mtu: "auto".into(),
            address_pools: "auto".into(),
            settings: parse(settings).unwrap(),
            remove: vec!["debug".into()],
        }
    }

    #[test]
    fn foreign_keys_stay_in_their_order_and_options_of_another_log_driver_go() {
        let before = r#"{"zebra": 1, "log-opts": {"labels": "a", "max-size": "1m"}, "debug": true, "apple": {"x": 1}}"#;
        let after = daemon(r#"{"apple": {"y": 2}}"#).wanted(parse(before).unwrap(), &DockerState::fresh(""), false);
        assert_eq!(
            serde_json::to_string(&after).unwrap(),
            r#"{"zebra":1,"apple":{"x":1,"y":2},"log-driver":"local","log-opts":{"max-size":"10m","max-file":"5"},"live-restore":true}"#
        );
        let same = r#"{"log-driver": "local", "log-opts": {"compress": "false"}}"#;
        let after = daemon("{}").wanted(parse(same).unwrap(), &DockerState::fresh(""), false);
        assert_eq!(after["log-opts"]["compress"], "false", "an option of the same driver stays");
    }

    #[test]
    fn a_small_link_makes_docker_s_packets_small_and_a_smaller_value_is_kept() {
        let state = DockerState { uplink_mtu: crate::machine::Volatile::new(1450), ..DockerState::fresh("") };
        assert_eq!(daemon("{}").wanted(Map::new(), &state, false)["mtu"], 1450);
        assert_eq!(daemon("{}").wanted(parse("{\"mtu\": 1400}").unwrap(), &state, false)["mtu"], 1400);
        assert!(!daemon("{}").wanted(Map::new(), &DockerState::fresh(""), false).contains_key("mtu"));
    }

    #[test]
    fn networks_of_users_get_small_packets_where_docker_can_set_them() {
        let state = DockerState { uplink_mtu: crate::machine::Volatile::new(1450), ..DockerState::fresh("") };
        let after = daemon("{}").wanted(Map::new(), &state, true);
        assert_eq!(after["default-network-opts"]["bridge"][NETWORK_MTU], "1450");
        let theirs = r#"{"mtu": 1400, "default-network-opts": {"bridge": {"x": "1"}}}"#;
        let after = daemon("{}").wanted(parse(theirs).unwrap(), &state, true);
        assert_eq!(after["default-network-opts"]["bridge"][NETWORK_MTU], "1400");
        assert_eq!(after["default-network-opts"]["bridge"]["x"], "1", "what is there stays");
        assert!(!daemon("{}").wanted(Map::new(), &state, false).contains_key("default-network-opts"));
        assert!(!daemon("{}").wanted(Map::new(), &DockerState::fresh(""), true).contains_key("default-network-opts"));
    }

    #[test]
    fn which_docker_can_set_networks() {
        let can = sets_networks;
        assert!(can("docker-ce", Some("5:28.1.1-1~debian.12~bookworm"), "debian", Some(12)));
        assert!(!can("docker.io", Some("20.10.24+dfsg1-1"), "debian", Some(12)));
        assert!(can("docker.io", Some("26.1.5+dfsg1-9"), "debian", Some(13)));
        assert!(!can("docker.io", None, "debian", Some(11)) && can("docker.io", None, "debian", Some(13)));
        assert!(can("docker.io", None, "ubuntu", Some(24)) && can("docker-ce", None, "debian", Some(11)));
    }

    #[test]
    fn a_restart_only_for_keys_that_need_it() {
        let takeover = |loaded: &str, wanted: &str| {
            DockerDaemon::takeover(Some(&Loaded::Text(loaded.into())), &parse(wanted).unwrap())
        };
        assert_eq!(takeover("{\"debug\": true}", "{\"debug\": true}"), Takeover::Nothing);
        assert_eq!(takeover("", "{\"live-restore\": true}"), Takeover::Reload);
        assert_eq!(takeover("{\"icc\": false, \"debug\": true}", "{}"), Takeover::Restart);
        assert_eq!(DockerDaemon::takeover(Some(&Loaded::Unknown), &Map::new()), Takeover::Restart);
        assert_eq!(DockerDaemon::takeover(None, &Map::new()), Takeover::Nothing);
    }

    #[test]
    fn what_would_hide_data_is_refused_while_there_are_any() {
        let used = |used| DockerState { used: crate::machine::Volatile::new(used), ..DockerState::fresh("") };
        let refuses = |settings: &str, state: &DockerState| {
            let daemon = daemon(settings);
            daemon.refuse_hiding(&Map::new(), &daemon.wanted(Map::new(), state, false), state).is_err()
        };
        assert!(refuses("{\"data-root\": \"/mnt/docker\"}", &used(true)));
        assert!(!refuses("{\"data-root\": \"/mnt/docker\"}", &used(false)));
        assert!(!refuses("{\"data-root\": \"/var/lib/docker\"}", &used(true)), "that is where they are");
    }

    #[test]
    fn live_restore_is_left_alone_in_a_swarm() {
        let state = DockerState { swarm: true, ..DockerState::fresh("") };
        assert!(!daemon("{}").wanted(Map::new(), &state, false).contains_key("live-restore"));
        assert_eq!(daemon("{}").findings(&state).len(), 1);
    }
}
