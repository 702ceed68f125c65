//! Typed changes of a host. Each action is one call of a static function, its effect on the model, and its undoing.
//!
//! To add one: a struct that holds all that the call needs, including the state that it was planned on (so that the
//! host can refuse when it has moved), `impl Act`, and one line in the list at the end of this file.
//!
//! Nothing here knows resources or decides whether an action is needed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::name::{AbsPath, GroupName, SysctlKey, UnitName, UserName};
use crate::machine::Machine;
use crate::shell::{Call, Library};

pub mod account;
pub mod apt;
pub mod authorized_keys;
mod brings;
pub mod docker;
pub mod docker_firewall;
pub mod file;
pub mod kamal_home;
pub mod mount;
pub mod node;
pub mod package;
mod reach;
pub mod service;
pub mod sshd;
pub mod sudoers;
pub mod swap;
pub mod sysctl;
pub mod ufw;
pub mod unit;
pub mod volume;

pub use account::{AddGroup, AddUser, ChangeUser, RemoveGroup, RemoveUser};
pub use apt::{ConfigureUpgrades, SetRepository};
pub use authorized_keys::WriteAuthorizedKeys;
pub use docker::{ConfigureDocker, CreateDockerNetwork, CreateDockerVolume};
pub use docker_firewall::SetDockerFirewall;
pub use file::{MakeDirectory, MakeLink, RemovePath, SetAttributes, WriteFile};
pub use kamal_home::{MoveKamalFolder, OwnKamalFiles};
pub use mount::{Mount, Remount, Unmount};
pub use node::{RunCommand, SetHostname, WaitFirstBoot};
pub use package::{ExchangePackages, HoldPackages, InstallPackages};
pub use service::LoadUnit;
pub use sshd::{ConfigureSshd, PruneModuli};
pub use sudoers::WriteSudoers;
pub use swap::{ActivateSwap, MakeSwap, RemoveSwap};
pub use sysctl::{SetSysctls, WriteSysctls};
pub use ufw::ConfigureUfw;
pub use unit::{ControlUnit, ReloadSystemd};
pub use volume::{GrowFileSystem, GrowPartition, MakeFileSystem, WriteUnitFile};

/// One change of a host.
pub trait Act: Clone + PartialEq + std::fmt::Debug + Send + Sync + Serialize + DeserializeOwned {
    /// "write /etc/fstab", in the imperative, for people.
    fn summary(&self) -> String;

    /// The call that makes the change. It first checks that the state it was planned on still holds
    /// (`bp_moved` of the prelude), and it can be run twice.
    fn call(&self) -> Call;

    /// What the change makes true, and what it makes unknowable.
    fn effect(&self, machine: &mut Machine);

    /// The actions that lead back to `before`, the state the change was planned on.
    fn undo(&self, before: &Machine) -> Undo;

    /// What it can cut, and what must be saved before; `None` for the harmless.
    fn access(&self) -> Option<Access> {
        None
    }

    /// Whether it may take longer than a guard's window allows: downloads, package installations, formatting.
    fn is_slow(&self) -> bool {
        false
    }

    /// Takes `next`, the action right behind this one, into itself if the two are one change. Returns whether it did.
    fn merge(&mut self, _next: &Self) -> bool {
        false
    }
}

/// How a change is taken back.
#[derive(Debug, Clone, PartialEq)]
pub enum Undo {
    /// By these actions, in order.
    By(Vec<Action>),
    /// Not at all; why, as a phrase.
    Impossible(&'static str),
}

/// What a guarded action can cut, and what the host saves before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `sshd`, `firewall`, `accounts`, `sudo`, `network`.
    pub what: &'static str,
    /// What is put back if no login confirms.
    pub saves: Vec<Saved>,
}

/// One thing that the guard saves and puts back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saved {
    /// A file, or that there is none.
    File(AbsPath),
    /// A folder with all files in it; files that came later are taken away.
    Folder(AbsPath),
    /// Whether a unit is enabled, masked, running.
    Unit(UnitName),
    /// Whether ufw is on, with its rules.
    Firewall,
    /// A live kernel setting.
    Sysctl(SysctlKey),
    /// An account's own lines in the user databases.
    Account(UserName),
    /// A group's own lines in the group databases.
    Group(GroupName),
}

static ACTION: Library = Library { name: "action.sh", text: include_str!("action.sh"), needs: &[] };

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Any action.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Action {
            $($(#[$doc])* $name($name),)*
        }

        $(impl From<$name> for Action {
            fn from(action: $name) -> Self {
                Action::$name(action)
            }
        })*

        impl Action {
            /// See [`Act::summary`].
            pub fn summary(&self) -> String {
                match self { $(Action::$name(action) => action.summary(),)* }
            }

            /// See [`Act::call`].
            pub fn call(&self) -> Call {
                match self { $(Action::$name(action) => action.call(),)* }
            }

            /// See [`Act::effect`].
            pub fn effect(&self, machine: &mut Machine) {
                match self { $(Action::$name(action) => action.effect(machine),)* }
            }

            /// See [`Act::undo`].
            pub fn undo(&self, before: &Machine) -> Undo {
                match self { $(Action::$name(action) => action.undo(before),)* }
            }

            /// See [`Act::access`].
            pub fn access(&self) -> Option<Access> {
                match self { $(Action::$name(action) => action.access(),)* }
            }

            /// See [`Act::is_slow`].
            pub fn is_slow(&self) -> bool {
                match self { $(Action::$name(action) => action.is_slow(),)* }
            }

            /// See [`Act::merge`]: only actions of one sort can be one change.
            pub fn merge(&mut self, next: &Action) -> bool {
                match (self, next) {
                    $((Action::$name(action), Action::$name(next)) => action.merge(next),)*
                    _ => false,
                }
            }
        }
    };
}

actions! {
    /// Write a file.
    WriteFile,
    /// Change mode or owner.
    SetAttributes,
    /// Make a directory.
    MakeDirectory,
    /// Make a symbolic link.
    MakeLink,
    /// Remove a file, link or empty directory.
    RemovePath,
    /// Install packages.
    InstallPackages,
    /// Enable, start, stop … a unit.
    ControlUnit,
    /// Make systemd read its unit files again.
    ReloadSystemd,
    /// Install packages in the place of others, or in certain versions.
    ExchangePackages,
    /// Hold packages back from upgrades, or no longer.
    HoldPackages,
    /// Set an apt repository up.
    SetRepository,
    /// Write the settings of unattended upgrades.
    ConfigureUpgrades,
    /// Write Docker's configuration and make it run with it.
    ConfigureDocker,
    /// Make a Docker volume.
    CreateDockerVolume,
    /// Make a Docker network.
    CreateDockerNetwork,
    /// Set the rules for what Docker publishes.
    SetDockerFirewall,
    /// Make a group.
    AddGroup,
    /// Remove a group.
    RemoveGroup,
    /// Make a user.
    AddUser,
    /// Remove a user.
    RemoveUser,
    /// Change one thing about a user.
    ChangeUser,
    /// Write a user's key file.
    WriteAuthorizedKeys,
    /// Put sshd's configuration in place and load it.
    ConfigureSshd,
    /// Take short groups out of sshd's moduli.
    PruneModuli,
    /// Write what sudo allows.
    WriteSudoers,
    /// Make a swap file, or one of another size in its place, and use it.
    MakeSwap,
    /// Use a swap file that is there.
    ActivateSwap,
    /// Stop using a swap file and remove it.
    RemoveSwap,
    /// Write the kernel settings for the next boot.
    WriteSysctls,
    /// Set kernel settings now.
    SetSysctls,
    /// Mount what fstab has for a path.
    Mount,
    /// Mount it again, with other options.
    Remount,
    /// Take a mount away.
    Unmount,
    /// Make a file system on a blank device.
    MakeFileSystem,
    /// Let a file system fill its device.
    GrowFileSystem,
    /// Let the last partition reach to the end of its disk.
    GrowPartition,
    /// Write a file of a systemd unit.
    WriteUnitFile,
    /// Set ufw's rules and policies, on or off.
    ConfigureUfw,
    /// Make a service read its configuration.
    LoadUnit,
    /// Move what Kamal keeps in a home.
    MoveKamalFolder,
    /// Make files of Kamal's those of its user.
    OwnKamalFiles,
    /// Name the host.
    SetHostname,
    /// Wait for cloud-init.
    WaitFirstBoot,
    /// Run a command.
    RunCommand,
}
