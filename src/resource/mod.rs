//! What a task may declare. A resource is a TOML table, the facts it needs, and a pure plan: no shell, no await, no
//! clock, no I/O, and no resource knows another.
//!
//! # How to add a resource
//!
//! 1. `src/resource/NAME.rs`: a struct deriving `Deserialize` (with `deny_unknown_fields`) and `JsonSchema`; the doc
//!    comments of the struct and of each field are the reference that users read.
//! 2. `impl Resource`: [`Resource::EXAMPLE`] (decoded by a test), `facts`, `asserts`, `plan`, and `any` for the laws.
//! 3. A fact that does not exist yet goes to `src/machine/`, an action to `src/action/`: one file each.
//! 4. One `pub mod` line and one line in [`KINDS`] below.
//!
//! The laws hold for it from then on without another line (`laws.rs`): whatever the machine, a plan is changes, a
//! refusal or an unknown; after the changes a new plan is empty; what can be undone leads back.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::action::Action;
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::UserName;
use crate::machine::{Blocked, Machine, Question};

pub mod apt_repository;
pub mod authorized_keys;
pub mod block;
pub mod command;
pub mod directory;
pub mod docker_daemon;
pub mod docker_engine;
pub mod docker_firewall;
mod docker_images;
pub mod docker_network;
mod docker_pools;
pub mod docker_volume;
mod edit;
pub mod field;
pub mod file;
mod firewall_rule;
pub mod first_boot;
pub mod group;
pub mod hostname;
pub mod kamal_home;
pub mod last_look;
pub mod line;
pub mod link;
pub mod mount;
mod mount_table;
pub mod packages;
pub mod reference;
pub mod service;
pub mod sshd;
mod sshd_algorithms;
mod sshd_difference;
mod sshd_foreign;
mod sshd_kamal;
mod sshd_login;
mod sshd_setting;
pub mod sudoers;
pub mod swap;
pub mod sysctl;
pub mod template;
pub mod time_sync;
pub mod timezone;
pub mod ufw;
pub mod unattended_upgrades;
pub mod user;
pub mod volume;

#[cfg(test)]
mod laws;

/// What a task declares: read from its table, planned against the model.
pub trait Resource: Debug + Send + Sync + DeserializeOwned + JsonSchema + 'static {
    /// The key of the table in a `[[task]]`.
    const NAME: &'static str;
    /// A task's table as a user would write it, one field a line: the body of `[task.NAME]`.
    const EXAMPLE: &'static str;

    /// Rules between fields that the types can not hold. Told with the place of the field, before any host is contacted.
    fn check(&self, _problems: &mut Problems) {}

    /// All that [`Resource::plan`] reads.
    fn facts(&self) -> Vec<Question>;

    /// The facts that this task makes true, out of [`Resource::facts`]: compared after an apply, and unknown to later
    /// tasks while this one is put off.
    fn asserts(&self) -> Vec<Question> {
        self.facts()
    }

    /// What must change on `machine`.
    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked>;

    /// How a host is come in to once this task is done, where the task decides it.
    fn way_in(&self) -> Option<WayIn> {
        None
    }

    /// Any resource of this sort that a user could sensibly declare.
    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self>;
}

/// How a host is come in to by SSH: later runs find the way by what is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WayIn {
    /// The port that sshd listens on, where it is declared.
    pub port: Option<u16>,
    /// Who logs in when root may not.
    pub users: Vec<UserName>,
}

/// What a task comes to on one machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// What must change, in order; none when all is as declared.
    pub changes: Vec<Change>,
    /// Why nothing changes, for `-v`; or what makes the task idle here.
    pub why: String,
    /// Whether the host can not have this at all (a kernel setting in a container): told, not failed.
    pub skipped: bool,
    /// What is there that no task declares.
    pub findings: Vec<Finding>,
}

/// One change, as it is shown and as it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// In the imperative: "write /etc/fstab".
    pub summary: String,
    /// What it looks like, where the summary does not say it all.
    pub diff: Option<Diff>,
    /// How it is done.
    pub actions: Vec<Action>,
}

impl Plan {
    /// All is as declared; `why` says what was found, as a phrase.
    pub fn in_sync(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    /// The host can not have this; `why` says why, as a phrase.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { why: why.into(), skipped: true, ..Self::default() }
    }

    /// These changes, or in sync with `why` when there are none.
    pub fn changes(changes: Vec<Change>, why: impl Into<String>) -> Self {
        Self { changes, why: why.into(), ..Self::default() }
    }

    /// With these findings.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }
}

impl Change {
    /// A change by one action, which says it all.
    pub fn by(action: impl Into<Action>) -> Self {
        let action = action.into();
        Self { summary: action.summary(), diff: None, actions: vec![action] }
    }

    /// With a diff.
    #[must_use]
    pub fn diff(mut self, diff: Diff) -> Self {
        self.diff = Some(diff);
        self
    }

    /// With one more action behind.
    #[must_use]
    pub fn then(mut self, action: impl Into<Action>) -> Self {
        self.actions.push(action.into());
        self
    }
}

/// Mistakes in the meaning of one task's table, by field.
#[derive(Debug, Default)]
pub struct Problems {
    all: Vec<Problem>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field from the resource's table, such as `["rules", "0", "port"]`.
    pub field: Vec<String>,
    /// A lower-case phrase.
    pub message: String,
    /// One thing to do.
    pub help: Option<String>,
}

impl Problems {
    /// Adds a mistake in the field at `path`, dots between its parts.
    pub fn push(&mut self, path: &str, message: impl Into<String>, help: Option<&str>) {
        let field = path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        self.all.push(Problem { field, message: message.into(), help: help.map(str::to_owned) });
    }

    /// What was found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.all
    }
}

/// A resource without its type: what a task holds.
pub trait Declared: Debug + Send + Sync {
    /// [`Resource::NAME`].
    fn name(&self) -> &'static str;
    /// [`Resource::facts`].
    fn facts(&self) -> Vec<Question>;
    /// [`Resource::asserts`].
    fn asserts(&self) -> Vec<Question>;
    /// [`Resource::plan`].
    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked>;
    /// [`Resource::way_in`].
    fn way_in(&self) -> Option<WayIn>;
}

impl<R: Resource> Declared for R {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn facts(&self) -> Vec<Question> {
        Resource::facts(self)
    }
    fn asserts(&self) -> Vec<Question> {
        Resource::asserts(self)
    }
    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        Resource::plan(self, machine)
    }
    fn way_in(&self) -> Option<WayIn> {
        Resource::way_in(self)
    }
}

/// A sort of resource without its type: what the registry holds.
pub trait Kind: Sync + Send {
    /// [`Resource::NAME`].
    fn name(&self) -> &'static str;
    /// [`Resource::EXAMPLE`].
    fn example(&self) -> &'static str;
    /// JSON schema of the table, docs included.
    fn schema(&self) -> schemars::Schema;
    /// Reads a task's table. Errors: serde's own, with the place.
    fn decode(&self, table: toml::de::ValueDeserializer<'_>) -> Result<Decoded, toml::de::Error>;
}

/// A task's table, read: the resource, and what is wrong with its meaning.
pub type Decoded = (Box<dyn Declared>, Vec<Problem>);

/// The kind of a resource type.
#[derive(Debug)]
pub struct Of<R>(std::marker::PhantomData<fn() -> R>);

impl<R: Resource> Of<R> {
    /// The one value of this kind.
    pub const KIND: Self = Self(std::marker::PhantomData);
}

impl<R: Resource> Kind for Of<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn example(&self) -> &'static str {
        R::EXAMPLE
    }
    fn schema(&self) -> schemars::Schema {
        schemars::schema_for!(R)
    }
    fn decode(&self, table: toml::de::ValueDeserializer<'_>) -> Result<Decoded, toml::de::Error> {
        let resource = R::deserialize(table)?;
        let mut problems = Problems::default();
        resource.check(&mut problems);
        Ok((Box::new(resource), problems.into_vec()))
    }
}

/// Every kind of resource, in the order of the reference.
pub static KINDS: &[&dyn Kind] = &[
    &Of::<packages::Packages>::KIND,
    &Of::<file::File>::KIND,
    &Of::<template::Template>::KIND,
    &Of::<service::Service>::KIND,
    &Of::<apt_repository::AptRepository>::KIND,
    &Of::<unattended_upgrades::UnattendedUpgrades>::KIND,
    &Of::<docker_engine::DockerEngine>::KIND,
    &Of::<docker_daemon::DockerDaemon>::KIND,
    &Of::<docker_volume::DockerVolume>::KIND,
    &Of::<docker_network::DockerNetwork>::KIND,
    &Of::<docker_firewall::DockerFirewall>::KIND,
    &Of::<kamal_home::KamalHome>::KIND,
    &Of::<group::Group>::KIND,
    &Of::<user::User>::KIND,
    &Of::<authorized_keys::AuthorizedKeys>::KIND,
    &Of::<sshd::Sshd>::KIND,
    &Of::<sudoers::Sudoers>::KIND,
    &Of::<directory::Directory>::KIND,
    &Of::<link::Link>::KIND,
    &Of::<line::Line>::KIND,
    &Of::<block::Block>::KIND,
    &Of::<swap::Swap>::KIND,
    &Of::<sysctl::Sysctl>::KIND,
    &Of::<mount::Mount>::KIND,
    &Of::<volume::Volume>::KIND,
    &Of::<ufw::Ufw>::KIND,
    &Of::<first_boot::FirstBoot>::KIND,
    &Of::<time_sync::TimeSync>::KIND,
    &Of::<timezone::Timezone>::KIND,
    &Of::<hostname::Hostname>::KIND,
    &Of::<command::Command>::KIND,
    &Of::<last_look::LastLook>::KIND,
];

/// The kind of that name.
pub fn kind(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}
