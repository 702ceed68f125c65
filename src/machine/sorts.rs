//! The list of the sorts of facts, and what is written out for each: its variant among the questions, its slot in the
//! model. How the model behaves is one floor up, in the module above; no sort has a law of its own here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::*;

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
            pub(super) $slot: Slot<$sort>,)*
            #[serde(skip)]
            pub(super) touched: BTreeSet<Question>,
            #[serde(skip)]
            pub(super) acting: Option<Unknown>,
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
            pub(super) fn sort(&self) -> usize {
                #[expect(non_camel_case_types, reason = "the slots' names number the sorts")]
                #[derive(Clone, Copy)]
                enum Number { $($slot,)* }
                match self {
                    $(Question::$sort(_) => Number::$slot as usize,)*
                }
            }

            /// See [`Fact::COST`].
            pub(super) fn cost(&self) -> u32 {
                match self {
                    $(Question::$sort(_) => <$sort as Fact>::COST,)*
                }
            }

            /// Whether a change of `other` makes the present answer worthless.
            pub fn derives_from(&self, other: &Question) -> bool {
                match self {
                    $(Question::$sort(question) => question.derives_from(other),)*
                }
            }

            pub(super) fn call(group: &[Question]) -> Option<Call> {
                match group.first()? {
                    $(Question::$sort(_) => {
                        let questions: Vec<&$sort> = group.iter().filter_map(|question| match question {
                            Question::$sort(question) => Some(question),
                            _ => None,
                        }).collect();
                        Some(<$sort as Fact>::call(&questions))
                    })*
                }
            }

            pub(super) fn read(group: &[Question], fields: &mut Fields<'_>, into: &mut Machine) -> Result<(), BadAnswer> {
                let Some(first) = group.first() else { return Ok(()) };
                match first {
                    $(Question::$sort(_) => {
                        let questions: Vec<&$sort> = group.iter().filter_map(|question| match question {
                            Question::$sort(question) => Some(question),
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
            pub(crate) fn any(&self) -> proptest::strategy::BoxedStrategy<Box<dyn super::FnOnceSet>> {
                use proptest::strategy::Strategy as _;
                match self {
                    $(Question::$sort(question) => {
                        let question = question.clone();
                        Fact::any(&question).prop_map(move |answer| {
                            Box::new((question.clone(), answer)) as Box<dyn super::FnOnceSet>
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

            /// What is known of `questions` alone.
            pub fn only(&self, questions: &BTreeSet<Question>) -> Machine {
                let mut part = Machine::default();
                $(for (question, answer) in &self.$slot {
                    if questions.contains(&Question::$sort(question.clone())) {
                        part.$slot.insert(question.clone(), answer.clone());
                    }
                })*
                part
            }

            pub(super) fn absorb_slots(&mut self, other: Machine) {
                $(self.$slot.extend(other.$slot);)*
            }
        }
    };
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
    /// The rules for what Docker publishes.
    docker_firewall: DockerFirewall,
    /// The ports that Docker publishes to everybody.
    docker_published: DockerPublished,
    /// What Kamal keeps in the homes of its users.
    kamal_homes: KamalHome,
}
