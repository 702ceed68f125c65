//! The model of one host: typed questions about it (facts), their answers, and what is not known yet.
//!
//! One file per sort of fact. To add a sort: a question type that serialises as a string, an answer type, a `.sh` file
//! with one reading function, `impl Fact`, and one line in the list of `sorts`. All questions of one sort travel in one
//! call, and all calls in one script, so a new fact costs no round trip.
//!
//! Nothing here changes a host or knows that actions exist; effects reach the model through [`Machine::perform`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use crate::shell::frame::{BadAnswer, Fields};
use crate::shell::{Batch, Call};

pub mod account;
pub mod apt;
pub mod apt_sources;
pub mod authorized_keys;
pub mod block_device;
pub mod docker;
pub mod docker_firewall;
pub mod docker_published;
pub mod file;
pub mod filesystem;
pub mod first_boot;
pub mod fstab;
pub mod health;
pub mod kamal_home;
pub mod loaded;
pub mod mount;
pub mod openpgp;
pub mod package;
pub mod session;
mod sorts;
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
pub mod version;

pub use account::{Group, GroupState, User, UserState};
pub use apt::AptSetting;
pub use apt_sources::AptSources;
pub use authorized_keys::{AuthorizedKeys, KeysState};
pub use block_device::{BlockDevice, BlockDeviceState};
pub use docker::{Docker, DockerNetwork, DockerVolume};
pub use docker_firewall::{DockerFirewall, DockerFirewallState};
pub use docker_published::{DockerPublished, DockerPublishedState};
pub use file::{File, FileState, Kind};
pub use filesystem::{FileSystem, FileSystemState};
pub use first_boot::{FirstBoot, FirstBootState};
pub use health::{Health, HealthState};
pub use kamal_home::{KamalHome, KamalHomeState};
pub use loaded::{Loaded, LoadedState};
pub use mount::{MountPoint, MountPointState};
pub use package::{Package, PackageState};
pub use session::{Session, SessionState};
pub use sorts::{Machine, Question};
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

    /// What a call of this sort costs a host, in milliseconds of an idle one, roughly: those that take long are asked side
    /// by side.
    const COST: u32 = 3;

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
    /// What is asked side by side: of each lane the questions of each sort.
    lanes: Vec<Vec<Vec<Question>>>,
}

/// How many questions are asked side by side: most servers have two cores, and the shells start programs of their own.
const LANES: usize = 3;
/// What all questions must cost together before more than one lane is worth its shells.
const WORTH: u32 = 25;

/// Spreads questions of one sort each over lanes of about the same cost, the dearest first.
fn lanes(mut groups: Vec<Vec<Question>>) -> Vec<Vec<Vec<Question>>> {
    let cost = |group: &Vec<Question>| group.first().map_or(0, Question::cost);
    if groups.iter().map(cost).sum::<u32>() < WORTH {
        return vec![groups];
    }
    groups.sort_by_key(|group| std::cmp::Reverse(cost(group)));
    let mut lanes: Vec<(u32, Vec<Vec<Question>>)> = vec![(0, Vec::new()); LANES];
    for group in groups {
        if let Some(lane) = lanes.iter_mut().min_by_key(|(cost, _)| *cost) {
            lane.0 += cost(&group);
            lane.1.push(group);
        }
    }
    lanes.into_iter().map(|(_, groups)| groups).collect()
}

impl Probe {
    /// Asks `questions`, those of one sort together.
    pub fn new(questions: impl IntoIterator<Item = Question>) -> Self {
        let mut groups: BTreeMap<usize, Vec<Question>> = BTreeMap::new();
        for question in questions.into_iter().collect::<BTreeSet<_>>() {
            groups.entry(question.sort()).or_default().push(question);
        }
        Self { lanes: lanes(groups.into_values().collect()) }
    }

    fn groups(&self) -> impl Iterator<Item = &Vec<Question>> {
        self.lanes.iter().flatten()
    }

    /// Number of questions.
    pub fn len(&self) -> usize {
        self.groups().map(Vec::len).sum()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.groups().next().is_none()
    }

    /// The calls, one a sort.
    pub fn batch(&self) -> Batch {
        let calls = |lane: &Vec<Vec<Question>>| lane.iter().filter_map(|group| Question::call(group)).collect();
        Batch::side_by_side(self.lanes.iter().map(calls).collect())
    }

    /// Reads the frames' bodies, in the order of the calls. Errors: a body that is not an answer.
    pub fn read<'a>(&self, bodies: impl IntoIterator<Item = &'a [u8]>) -> Result<Machine, BadAnswer> {
        let mut machine = Machine::default();
        let mut bodies = bodies.into_iter();
        for group in self.groups() {
            let body =
                bodies.next().ok_or_else(|| BadAnswer("the host answered fewer calls than it was sent".into()))?;
            Question::read(group, &mut Fields::new(body), &mut machine)?;
        }
        machine.touched.clear();
        Ok(machine)
    }
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

#[cfg(test)]
mod tests;
