//! The model of one host: typed questions about it (facts), their answers, and what is not known yet.
//!
//! One file per sort of fact. To add a sort: a question type that serialises as a string, an answer type, a `.sh` file
//! with one reading function, `impl Fact`, and one line in the list at the end of this file. All questions of one sort
//! travel in one call, and all calls in one script, so a new fact costs no round trip.
//!
//! Nothing here changes a host or knows that actions exist; effects reach the model through [`Machine::perform`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use crate::shell::frame::{BadAnswer, Fields};
use crate::shell::{Batch, Call, Mode};

pub mod account;
pub mod apt;
pub mod apt_sources;
pub mod authorized_keys;
pub mod block_device;
pub mod docker;
pub mod file;
pub mod filesystem;
pub mod first_boot;
pub mod fstab;
pub mod health;
pub mod loaded;
pub mod mount;
pub mod openpgp;
pub mod package;
pub mod session;
pub mod sshd;
pub mod sshd_keyword;
pub mod swap;
pub mod sysctl;
pub mod system;
#[cfg(test)]
pub(crate) mod testing;
pub mod trial;
pub mod ufw;
pub mod unit;

pub use account::{Group, GroupState, User, UserState};
pub use apt::AptSetting;
pub use apt_sources::AptSources;
pub use authorized_keys::{AuthorizedKeys, KeysState};
pub use block_device::{BlockDevice, BlockDeviceState};
pub use docker::{Docker, DockerNetwork, DockerVolume};
pub use file::{File, FileState, Kind};
pub use filesystem::{FileSystem, FileSystemState};
pub use first_boot::{FirstBoot, FirstBootState};
pub use health::{Health, HealthState};
pub use loaded::{Loaded, LoadedState};
pub use mount::{MountPoint, MountPointState};
pub use package::{Package, PackageState};
pub use session::{Session, SessionState};
pub use sshd::{SshLogin, SshLoginState, Sshd, SshdState};
pub use swap::{SwapFile, SwapFileState, Swaps, SwapsState};
pub use sysctl::{Sysctl, SysctlFiles, SysctlFilesState, SysctlState};
pub use system::{System, SystemState};
pub use trial::Trial;
pub use ufw::{Ufw, UfwState};
pub use unit::{Unit, UnitState};

/// A typed question about a host. The implementing type is the question; one file holds all there is to it.
pub trait Fact: Clone + Ord + Debug + Send + Sync + Serialize + DeserializeOwned + Into<Question> + 'static {
    /// What is true. Its equality is what "as predicted" means; wrap what moves by itself in [`Volatile`].
    type Answer: Clone + PartialEq + Debug + Send + Sync + Serialize + DeserializeOwned + 'static;

    /// One call that answers all `questions` (never empty) of this sort. It may only read.
    fn call(questions: &[&Self]) -> Call;

    /// Reads the answers, one a question, in order. Errors: an answer that is not of the agreed form.
    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<Self::Answer>, BadAnswer>;

    /// Whether a change of `other` makes the present answer worthless: the sources of a derived fact.
    fn derives_from(&self, _other: &Question) -> bool {
        false
    }

    /// Where answers of this sort are kept.
    fn slot(machine: &Machine) -> &Slot<Self>;

    /// The same, to change.
    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self>;

    /// Any answer that a host could give to this question.
    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<Self::Answer>;
}

/// All answers of one sort.
pub type Slot<F> = BTreeMap<F, Knowledge<<F as Fact>::Answer>>;

/// An answer, or why there is none yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knowledge<A> {
    /// The answer.
    Known(A),
    /// An earlier task will change it in a way that can not be foretold.
    Unknown(Unknown),
}

/// The task after which something is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Its number, from 1.
    pub task: usize,
    /// Its name.
    pub name: String,
}

/// Why a task can not be planned.
#[derive(Debug, Clone, PartialEq)]
pub enum Blocked {
    /// It reads what is only known after an earlier task.
    Unknown(Unknown),
    /// It reads what was not asked; ask and plan again.
    NotAsked(Question),
    /// What it wants must not be done here.
    Refused(Refusal),
}

/// A plan that must not be carried out, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A lower-case phrase.
    pub what: String,
    /// One thing to do.
    pub help: Option<String>,
}

impl Blocked {
    /// A refusal with its remedy.
    pub fn refused(what: impl Into<String>, help: impl Into<String>) -> Self {
        Blocked::Refused(Refusal { what: what.into(), help: Some(help.into()) })
    }
}

/// What moves by itself (free memory, the clock, load): it is shown and never a difference.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Volatile<T>(T);

impl<T> Volatile<T> {
    /// A reading.
    pub fn new(reading: T) -> Self {
        Self(reading)
    }

    /// The reading, for people and for limits; not for deciding whether something has drifted.
    pub fn reading(&self) -> &T {
        &self.0
    }
}

/// Two readings of what moves by itself never differ.
impl<T> PartialEq for Volatile<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Machine {
    /// The answer to `question`. Errors: it is not known yet, or was not asked.
    pub fn get<F: Fact>(&self, question: &F) -> Result<&F::Answer, Blocked> {
        match F::slot(self).get(question) {
            Some(Knowledge::Known(answer)) => Ok(answer),
            Some(Knowledge::Unknown(unknown)) => Err(Blocked::Unknown(unknown.clone())),
            None => Err(Blocked::NotAsked(question.clone().into())),
        }
    }

    /// The answer if there is one.
    pub fn known<F: Fact>(&self, question: &F) -> Option<&F::Answer> {
        self.get(question).ok()
    }

    /// Sets an answer, whether it was asked or not. Facts derived from it become unknown when this happens in an
    /// effect that does not set them too.
    pub fn set<F: Fact>(&mut self, question: F, answer: F::Answer) {
        self.touched.insert(question.clone().into());
        F::slot_mut(self).insert(question, Knowledge::Known(answer));
    }

    /// Changes a known answer; one that is unknown or not asked stays so.
    pub fn update<F: Fact>(&mut self, question: &F, change: impl FnOnce(&mut F::Answer)) {
        if let Some(Knowledge::Known(answer)) = F::slot_mut(self).get_mut(question) {
            change(answer);
            self.touched.insert(question.clone().into());
        }
    }

    /// Every question of a sort that was asked, with its answer where known.
    pub fn all<F: Fact>(&self) -> impl Iterator<Item = (&F, Option<&F::Answer>)> {
        F::slot(self).iter().map(|(question, knowledge)| match knowledge {
            Knowledge::Known(answer) => (question, Some(answer)),
            Knowledge::Unknown(_) => (question, None),
        })
    }

    /// In an effect: what comes of `question` can not be foretold. Only questions that were asked are marked.
    pub fn forget<F: Fact>(&mut self, question: &F) {
        let unknown = self.acting();
        if let Some(knowledge) = F::slot_mut(self).get_mut(question) {
            *knowledge = Knowledge::Unknown(unknown);
            self.touched.insert(question.clone().into());
        }
    }

    /// Carries out `effect` as part of the task that `by` names, and marks as unknown every fact that is derived from
    /// what the effect touched and that it did not itself set.
    pub fn perform(&mut self, by: &Unknown, effect: impl FnOnce(&mut Machine)) {
        self.touched.clear();
        self.acting = Some(by.clone());
        effect(self);
        let touched = std::mem::take(&mut self.touched);
        let derived: Vec<Question> = self
            .questions()
            .into_iter()
            .filter(|question| !touched.contains(question) && touched.iter().any(|t| question.derives_from(t)))
            .collect();
        for question in derived {
            self.forget_question(&question);
        }
        self.touched.clear();
        self.acting = None;
    }

    /// Takes the answers of `other` over where it has them.
    pub fn absorb(&mut self, other: Machine) {
        self.absorb_slots(other);
    }

    fn acting(&self) -> Unknown {
        self.acting.clone().unwrap_or(Unknown { task: 0, name: String::new() })
    }
}

/// A script that asks, and the reading of what it answers.
#[derive(Debug)]
pub struct Probe {
    groups: Vec<Vec<Question>>,
}

impl Probe {
    /// Asks `questions`, those of one sort together.
    pub fn new(questions: impl IntoIterator<Item = Question>) -> Self {
        let mut groups: BTreeMap<usize, Vec<Question>> = BTreeMap::new();
        for question in questions.into_iter().collect::<BTreeSet<_>>() {
            groups.entry(question.sort()).or_default().push(question);
        }
        Self { groups: groups.into_values().collect() }
    }

    /// Number of questions.
    pub fn len(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The calls, one a sort.
    pub fn batch(&self) -> Batch {
        Batch::new(Mode::Probe, self.groups.iter().filter_map(|group| Question::call(group)).collect())
    }

    /// Reads the frames' bodies, in the order of the calls. Errors: a body that is not an answer.
    pub fn read<'a>(&self, bodies: impl IntoIterator<Item = &'a [u8]>) -> Result<Machine, BadAnswer> {
        let mut machine = Machine::default();
        let mut bodies = bodies.into_iter();
        for group in &self.groups {
            let body =
                bodies.next().ok_or_else(|| BadAnswer("the host answered fewer calls than it was sent".into()))?;
            Question::read(group, &mut Fields::new(body), &mut machine)?;
        }
        machine.touched.clear();
        Ok(machine)
    }
}

macro_rules! sorts {
    ($($(#[$doc:meta])* $slot:ident: $sort:ident,)*) => {
        /// Any question of any sort.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Question {
            $($(#[$doc])* $sort($sort),)*
        }

        $(impl From<$sort> for Question {
            fn from(question: $sort) -> Self {
                Question::$sort(question)
            }
        })*

        /// What is true of one host, as far as it was asked.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct Machine {
            $(#[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            $slot: Slot<$sort>,)*
            #[serde(skip)]
            touched: BTreeSet<Question>,
            #[serde(skip)]
            acting: Option<Unknown>,
        }

        // Each sort's `slot` and `slot_mut` are written through this, so that a sort names its place once.
        $(impl Kept for $sort {
            fn kept(machine: &Machine) -> &Slot<Self> {
                &machine.$slot
            }
            fn kept_mut(machine: &mut Machine) -> &mut Slot<Self> {
                &mut machine.$slot
            }
        })*

        impl Question {
            /// The place of this question's sort in the list of sorts.
            fn sort(&self) -> usize {
                #[expect(non_camel_case_types, reason = "the slots' names number the sorts")]
                #[derive(Clone, Copy)]
                enum Number { $($slot,)* }
                match self {
                    $(Question::$sort(_) => Number::$slot as usize,)*
                }
            }

            /// Whether a change of `other` makes the present answer worthless.
            pub fn derives_from(&self, other: &Question) -> bool {
                match self {
                    $(Question::$sort(question) => question.derives_from(other),)*
                }
            }

            fn call(group: &[Question]) -> Option<Call> {
                match group.first()? {
                    $(Question::$sort(_) => {
                        let questions: Vec<&$sort> = group.iter().filter_map(|question| match question {
                            Question::$sort(question) => Some(question),
                            #[allow(unreachable_patterns, reason = "true only while there is a single sort")]
                            _ => None,
                        }).collect();
                        Some(<$sort as Fact>::call(&questions))
                    })*
                }
            }

            fn read(group: &[Question], fields: &mut Fields<'_>, into: &mut Machine) -> Result<(), BadAnswer> {
                let Some(first) = group.first() else { return Ok(()) };
                match first {
                    $(Question::$sort(_) => {
                        let questions: Vec<&$sort> = group.iter().filter_map(|question| match question {
                            Question::$sort(question) => Some(question),
                            #[allow(unreachable_patterns, reason = "true only while there is a single sort")]
                            _ => None,
                        }).collect();
                        let answers = <$sort as Fact>::parse(&questions, fields)
                            .map_err(|bad| BadAnswer(format!("about {}: {bad}", stringify!($slot))))?;
                        if answers.len() != questions.len() {
                            return Err(BadAnswer(format!("{} answers to {} questions about {}",
                                answers.len(), questions.len(), stringify!($slot))));
                        }
                        for (question, answer) in questions.into_iter().zip(answers) {
                            into.set(question.clone(), answer);
                        }
                    })*
                }
                Ok(())
            }

            /// Any answer to this question, set in `machine`.
            #[cfg(test)]
            pub(crate) fn any(&self) -> proptest::strategy::BoxedStrategy<Box<dyn FnOnceSet>> {
                use proptest::strategy::Strategy as _;
                match self {
                    $(Question::$sort(question) => {
                        let question = question.clone();
                        Fact::any(&question).prop_map(move |answer| {
                            Box::new((question.clone(), answer)) as Box<dyn FnOnceSet>
                        }).boxed()
                    })*
                }
            }
        }

        impl Machine {
            /// Every question that was asked or set.
            pub fn questions(&self) -> Vec<Question> {
                let mut all = Vec::new();
                $(all.extend(self.$slot.keys().cloned().map(Question::$sort));)*
                all
            }

            /// Whether `question` has an answer, or is marked unknown.
            pub fn has(&self, question: &Question) -> bool {
                match question {
                    $(Question::$sort(question) => self.$slot.contains_key(question),)*
                }
            }

            /// The task after which `question` is known, when it is not known now.
            pub fn unknown(&self, question: &Question) -> Option<&Unknown> {
                match question {
                    $(Question::$sort(question) => match self.$slot.get(question) {
                        Some(Knowledge::Unknown(unknown)) => Some(unknown),
                        _ => None,
                    },)*
                }
            }

            /// In an effect, or for a task that is put off: marks `question` as unknown if it was asked.
            pub fn forget_question(&mut self, question: &Question) {
                match question {
                    $(Question::$sort(question) => self.forget(question),)*
                }
            }

            /// How `seen` differs from what is known here about `question`: what was predicted and what is. Unknowns
            /// agree with everything.
            pub fn difference(&self, seen: &Machine, question: &Question) -> Option<(String, String)> {
                match question {
                    $(Question::$sort(question) => {
                        let (predicted, seen) = (self.known(question)?, seen.known(question)?);
                        (predicted != seen).then(|| (format!("{predicted:?}"), format!("{seen:?}")))
                    })*
                }
            }

            fn absorb_slots(&mut self, other: Machine) {
                $(self.$slot.extend(other.$slot);)*
            }
        }
    };
}

/// The slot of a sort; implemented by the list of sorts.
pub trait Kept: Fact {
    /// The slot.
    fn kept(machine: &Machine) -> &Slot<Self>;
    /// The slot, to change.
    fn kept_mut(machine: &mut Machine) -> &mut Slot<Self>;
}

/// A question with one possible answer, to be set in a machine.
#[cfg(test)]
pub(crate) trait FnOnceSet: Debug {
    fn set(&self, machine: &mut Machine);
}

#[cfg(test)]
impl<F: Fact> FnOnceSet for (F, F::Answer) {
    fn set(&self, machine: &mut Machine) {
        machine.set(self.0.clone(), self.1.clone());
    }
}

sorts! {
    /// Distribution, kernel, memory.
    system: System,
    /// A Debian package.
    packages: Package,
    /// A file, directory or link.
    files: File,
    /// A systemd unit.
    units: Unit,
    /// A setting of apt.
    apt_settings: AptSetting,
    /// The files that name apt's repositories.
    apt_sources: AptSources,
    /// The Docker daemon.
    docker: Docker,
    /// A Docker volume.
    docker_volumes: DockerVolume,
    /// A Docker network.
    docker_networks: DockerNetwork,
    /// A group.
    groups: Group,
    /// A user account.
    users: User,
    /// The keys that may log in as a user.
    authorized_keys: AuthorizedKeys,
    /// Whether a service has read its configuration.
    loaded: Loaded,
    /// Whether cloud-init has finished.
    first_boot: FirstBoot,
    /// Whether a command succeeds.
    trials: Trial,
    /// What is wrong at large.
    health: Health,
    /// This connection.
    session: Session,
    /// sshd's files and whether they are in force.
    sshd: Sshd,
    /// What a login meets.
    ssh_logins: SshLogin,
    /// The file system that holds a path.
    file_systems: FileSystem,
    /// The swap that is in use.
    swaps: Swaps,
    /// What is at the path of a swap file.
    swap_files: SwapFile,
    /// A kernel setting as it is now.
    sysctls: Sysctl,
    /// The kernel settings that are made at boot.
    sysctl_files: SysctlFiles,
    /// What is mounted at a path.
    mount_points: MountPoint,
    /// A block device.
    block_devices: BlockDevice,
    /// ufw and its rivals.
    ufw: Ufw,
}
