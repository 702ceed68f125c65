//! Upgrades that install themselves.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::apt::UPGRADES;
use crate::action::file::Found;
use crate::action::unit::Verb;
use crate::action::{ConfigureUpgrades, ControlUnit, InstallPackages};
use crate::base::Diff;
use crate::base::name::{AbsPath, PackageName, UnitName};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::unit::Active;
use crate::machine::{AptSetting, Blocked, File, Machine, Package, PackageState, Question, System, SystemState, Unit};

/// Upgrades that install themselves every day, by Debian's and Ubuntu's `unattended-upgrades`.
///
/// The settings are written to a file of their own behind those of the package, with lists cleared first (they add up
/// over files), and proved by a dry run. What counts is what apt makes of all its files: a later file that says
/// otherwise is found. The timers that start the upgrades are enabled.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnattendedUpgrades {
    /// Which upgrades: `security` alone, or `all` of the release (Debian's point releases, Ubuntu's updates).
    #[serde(default)]
    pub upgrades: Upgrades,
    /// Whether Docker's own repository is upgraded as well. That restarts its daemon, and its containers unless
    /// `live-restore` is on; by default it is left to you.
    #[serde(default)]
    pub docker: bool,
    /// Patterns of further repositories, such as `origin=Node Source`.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Packages that are never upgraded by themselves: regular expressions at the beginning of the name.
    #[serde(default)]
    pub never: Vec<String>,
    /// Whether the host restarts when an upgrade (a kernel) asks for it.
    #[serde(default)]
    pub reboot: bool,
    /// When it restarts, such as `04:00`, by the host's clock.
    #[serde(default = "early")]
    pub reboot_time: String,
    /// Whether it restarts though somebody is logged in.
    #[serde(default = "yes")]
    pub reboot_with_users: bool,
    /// Where a report goes after upgrades and errors; the host must be able to send mail. Empty sends none.
    #[serde(default)]
    pub mail: String,
    /// Whether packages that nothing needs any more are removed, old kernels among them.
    #[serde(default = "yes")]
    pub remove_unused: bool,
}

fn early() -> String {
    "04:00".into()
}

fn yes() -> bool {
    true
}

/// Which upgrades install themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Upgrades {
    /// Fixes of holes.
    #[default]
    Security,
    /// All that the release publishes.
    All,
}

const PACKAGE: &str = "unattended-upgrades";
/// What starts the upgrades; they belong to apt itself.
const TIMERS: [&str; 2] = ["apt-daily.timer", "apt-daily-upgrade.timer"];
/// The settings that are lists.
const LISTS: [&str; 3] = [
    "Unattended-Upgrade::Allowed-Origins",
    "Unattended-Upgrade::Origins-Pattern",
    "Unattended-Upgrade::Package-Blacklist",
];

impl UnattendedUpgrades {
    /// Patterns of the origins, in the words of the package's README: `${…}` is filled in by it.
    fn patterns(&self, system: &SystemState) -> Vec<String> {
        let mut patterns: Vec<&str> = Vec::new();
        let all = self.upgrades == Upgrades::All;
        if system.id == "ubuntu" {
            // The release pocket is needed for what a fix newly depends on.
            patterns.push("origin=Ubuntu,archive=${distro_codename}");
            patterns.push("origin=Ubuntu,archive=${distro_codename}-security");
            patterns.push("origin=UbuntuESMApps,archive=${distro_codename}-apps-security");
            patterns.push("origin=UbuntuESM,archive=${distro_codename}-infra-security");
            patterns.extend(all.then_some("origin=Ubuntu,archive=${distro_codename}-updates"));
        } else {
            patterns.push("origin=Debian,codename=${distro_codename},label=Debian-Security");
            patterns.push("origin=Debian,codename=${distro_codename}-security,label=Debian-Security");
            patterns.extend(all.then_some("origin=Debian,codename=${distro_codename},label=Debian"));
            patterns.extend(all.then_some("origin=Debian,codename=${distro_codename}-updates"));
        }
        patterns.extend(self.docker.then_some("origin=Docker,label=Docker CE"));
        patterns.into_iter().chain(self.origins.iter().map(String::as_str)).map(str::to_owned).collect()
    }

    /// All settings, by name. `patterns` are those of the origins.
    fn settings(&self, patterns: Vec<String>) -> BTreeMap<String, Vec<String>> {
        let truth = |truth: bool| vec![if truth { "true" } else { "false" }.to_owned()];
        let mut settings = BTreeMap::new();
        let mut set = |key: &str, values: Vec<String>| settings.insert(key.to_owned(), values);
        set("APT::Periodic::Enable", vec!["1".into()]);
        set("APT::Periodic::Update-Package-Lists", vec!["1".into()]);
        set("APT::Periodic::Unattended-Upgrade", vec!["1".into()]);
        set("APT::Periodic::AutocleanInterval", vec!["7".into()]);
        set(LISTS[0], Vec::new());
        set(LISTS[1], patterns);
        set(LISTS[2], self.never.clone());
        set("Unattended-Upgrade::Automatic-Reboot", truth(self.reboot));
        set("Unattended-Upgrade::Automatic-Reboot-Time", vec![self.reboot_time.clone()]);
        set("Unattended-Upgrade::Automatic-Reboot-WithUsers", truth(self.reboot_with_users));
        set("Unattended-Upgrade::Mail", Some(self.mail.clone()).filter(|mail| !mail.is_empty()).into_iter().collect());
        set("Unattended-Upgrade::Remove-Unused-Kernel-Packages", truth(self.remove_unused));
        set("Unattended-Upgrade::Remove-New-Unused-Dependencies", truth(self.remove_unused));
        // In small steps a stop at a bad moment leaves nothing half done.
        set("Unattended-Upgrade::MinimalSteps", truth(true));
        settings
    }

    /// The file that makes them.
    fn content(settings: &BTreeMap<String, Vec<String>>) -> String {
        let mut text =
            String::from("// Written by bedplate. Lists add up over apt's files, so each is cleared first.\n");
        for (key, values) in settings {
            if LISTS.contains(&key.as_str()) {
                text.push_str(&format!("#clear {key};\n"));
                if !values.is_empty() {
                    let members: String = values.iter().map(|value| format!("\t\"{value}\";\n")).collect();
                    text.push_str(&format!("{key} {{\n{members}}};\n"));
                }
            } else {
                let value = values.first().map_or("", String::as_str);
                text.push_str(&format!("{key} \"{value}\";\n"));
            }
        }
        text
    }

    fn timers(&self, machine: &Machine) -> Result<Vec<Change>, Blocked> {
        let mut changes = Vec::new();
        for unit in TIMERS.iter().filter_map(|name| UnitName::new(*name).ok()) {
            let state = machine.get(&Unit(unit.clone()))?;
            let mut change = |verb, before: &str, after: &str| {
                let diff = Diff::value(unit.as_str(), before, after);
                changes.push(Change::by(ControlUnit { unit: unit.clone(), verb }).diff(diff));
            };
            if state.masked {
                // Whether it is enabled below the mask shows once that is gone.
                change(Verb::Unmask, "masked", "not masked");
            } else if state.enabled == Some(false) {
                change(Verb::Enable, "disabled", "enabled");
            }
            if (state.exists || state.masked) && state.active != Active::Active {
                change(Verb::Start, "stopped", "running");
            }
        }
        Ok(changes)
    }

    /// The change that writes the settings, unless the file and what apt makes of all files are right.
    fn configure(&self, machine: &Machine, path: &AbsPath) -> Result<Option<Change>, Blocked> {
        let expected = self.settings(self.patterns(machine.get(&System::Here)?));
        let content = Self::content(&expected);
        let file = machine.file(path)?;
        let before = match file {
            FileState::Absent => None,
            FileState::Present { kind: Kind::File { content, .. }, .. } => content.clone(),
            FileState::Present { .. } => {
                return Err(Blocked::refused(
                    format!("{UPGRADES} is not a plain file, so it is left alone"),
                    "move it away yourself if nothing needs it, then run again",
                ));
            }
        };
        if *file == FileState::text(&content, 0o644, Owner::root()) {
            for (key, values) in &expected {
                let is = machine.get(&AptSetting(key.clone()))?;
                if is != values {
                    return Err(Blocked::refused(
                        format!("{key} is {} though {UPGRADES} says otherwise", shown(is)),
                        "a later file in /etc/apt/apt.conf.d, or /etc/apt/apt.conf, overrides it: take the line out there",
                    ));
                }
            }
            return Ok(None);
        }
        let diff = Diff::Text { path: UPGRADES.into(), before, after: Some(content.clone()) };
        let lists = LISTS.map(str::to_owned).to_vec();
        let action = ConfigureUpgrades { content, found: Found::of(file), expected, lists };
        Ok(Some(Change::by(action).diff(diff)))
    }
}

fn shown(values: &[String]) -> String {
    if values.is_empty() { "not set".into() } else { format!("`{}`", values.join("`, `")) }
}

/// What may stand between quotes in apt's files.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(['"', '\\', '\n', '\r', ';', '{', '}']) && !text.contains("//")
}

impl Resource for UnattendedUpgrades {
    const NAME: &'static str = "unattended_upgrades";
    const EXAMPLE: &'static str =
        "upgrades = \"security\"\nreboot = true\nreboot_time = \"04:00\"\nnever = [\"postgresql-\"]\n";

    fn check(&self, problems: &mut Problems) {
        let time =
            self.reboot_time.split_once(':').map(|(hours, minutes)| (hours.parse::<u8>(), minutes.parse::<u8>()));
        if !(matches!(time, Some((Ok(0..=23), Ok(0..=59)))) && self.reboot_time.len() == 5) {
            problems.push("reboot_time", "this is not a time of day", Some("write it as `04:00`"));
        }
        if !self.mail.is_empty() && !is_plain(&self.mail) {
            problems.push("mail", "this is not a mail address", None);
        }
        for (field, values) in [("origins", &self.origins), ("never", &self.never)] {
            for (index, _) in values.iter().enumerate().filter(|(_, value)| !is_plain(value)) {
                problems.push(&format!("{field}.{index}"), "this holds a character that apt's files can not", None);
            }
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![System::Here.into()];
        facts.extend(PackageName::new(PACKAGE).ok().map(|name| Package(name).into()));
        facts.extend(AbsPath::new(UPGRADES).ok().map(|path| File::at(&path).into()));
        facts.extend(TIMERS.iter().filter_map(|name| UnitName::new(*name).ok()).map(|name| Unit(name).into()));
        facts.extend(self.settings(Vec::new()).into_keys().map(|key| AptSetting(key).into()));
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        self.facts().into_iter().filter(|question| !matches!(question, Question::System(_))).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let (Ok(name), Ok(path)) = (PackageName::new(PACKAGE), AbsPath::new(UPGRADES)) else {
            return Ok(Plan::in_sync("there is nothing to set"));
        };
        let mut changes = Vec::new();
        if !matches!(machine.get(&Package(name.clone()))?, PackageState::Installed { .. }) {
            changes.push(Change::by(InstallPackages { packages: BTreeSet::from([name]), recommends: false }));
        }
        changes.extend(self.configure(machine, &path)?);
        changes.extend(self.timers(machine)?);
        let what = if self.upgrades == Upgrades::All { "all upgrades" } else { "security upgrades" };
        let reboot = if self.reboot { format!("restarts at {}", self.reboot_time) } else { "no restarts".into() };
        Ok(Plan::changes(changes, format!("{what} install themselves, {reboot}")))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(all, reboot, docker)| UnattendedUpgrades {
                upgrades: if all { Upgrades::All } else { Upgrades::Security },
                docker,
                origins: Vec::new(),
                never: Vec::new(),
                reboot,
                reboot_time: early(),
                reboot_with_users: true,
                mail: String::new(),
                remove_unused: true,
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The origins on a recorded host that is made to be of this distribution.
    fn origins(id: &str, task: &str) -> Vec<String> {
        let text = include_str!("../../tests/recorded/debian-12.json");
        let mut machine: Machine = serde_json::from_str(text).unwrap();
        machine.update(&System::Here, |system| system.id = id.into());
        let task: UnattendedUpgrades = toml::from_str(task).unwrap();
        task.patterns(machine.get(&System::Here).unwrap())
    }

    #[test]
    fn fixes_of_holes_alone_install_themselves_unless_told() {
        for id in ["debian", "ubuntu"] {
            let security = origins(id, "");
            assert!(security.iter().any(|origin| origin.contains("ecurity")), "{security:?}");
            assert!(security.iter().all(|origin| !origin.contains("-updates")), "{security:?}");
            let all = origins(id, "upgrades = \"all\"\n");
            assert!(all.iter().any(|origin| origin.contains("-updates")), "{all:?}");
        }
    }

    #[test]
    fn docker_s_repository_is_left_out_unless_told() {
        for id in ["debian", "ubuntu"] {
            assert!(origins(id, "").iter().all(|origin| !origin.contains("Docker")));
            assert!(origins(id, "docker = true\n").contains(&"origin=Docker,label=Docker CE".to_owned()));
        }
    }

    #[test]
    fn a_reboot_is_asked_for_and_has_its_time() {
        let setting = |text: &str, name: &str| {
            let task: UnattendedUpgrades = toml::from_str(text).unwrap();
            task.settings(Vec::new()).remove(name).unwrap_or_default()
        };
        assert_eq!(setting("", "Unattended-Upgrade::Automatic-Reboot"), ["false"]);
        assert_eq!(setting("reboot = true\n", "Unattended-Upgrade::Automatic-Reboot"), ["true"]);
        let at = "reboot = true\nreboot_time = \"03:30\"\n";
        assert_eq!(setting(at, "Unattended-Upgrade::Automatic-Reboot-Time"), ["03:30"]);
        assert_ne!(setting("", "Unattended-Upgrade::Automatic-Reboot-Time"), ["now"]);
    }

    #[test]
    fn lists_are_cleared_before_they_are_set() {
        let task: UnattendedUpgrades = toml::from_str("never = [\"postgresql-\"]\n").unwrap();
        let text = UnattendedUpgrades::content(&task.settings(vec!["origin=A".into()]));
        for (list, value) in [(LISTS[1], "origin=A"), (LISTS[2], "postgresql-")] {
            let (clear, set) = (text.find(&format!("#clear {list};")), text.find(value));
            assert!(clear.is_some() && clear < set, "{list}: {text}");
        }
        assert!(text.contains(&format!("#clear {};", LISTS[0])), "{text}");
        assert!(text.contains("Unattended-Upgrade::Mail \"\";"), "no mail is sent unless somebody asks: {text}");
    }
}
