//! Deciding: the tasks of one host folded over its model. Pure: no await, no clock, no I/O.
//!
//! A task is planned against the machine as the tasks before it will have made it. What can not be known yet is put
//! off, by name; the facts that a put-off task would make true are unknown to the tasks behind it, so that nothing is
//! ever taken for granted.

use std::fmt::Debug;

use crate::machine::{Blocked, Machine, Question};
use crate::resource::Declared;

pub mod compile;
mod decode;
pub mod fold;
mod late;
pub mod segment;
mod table;
pub mod undo;

pub use compile::{HostTasks, compile};
pub use fold::{HostPlan, PlannedTask, Step, plan};
pub use segment::Segment;

/// One task of one host, rendered and checked.
#[derive(Debug)]
pub struct Task {
    /// From 1, in the order of execution.
    pub number: usize,
    /// Its name, with the variables filled in.
    pub name: String,
    /// The playbook that it is from, such as `firewall`.
    pub playbook: String,
    /// `playbooks/30-firewall.toml:12`.
    pub place: String,
    /// What it declares.
    pub declaration: Declaration,
    /// Its `when`, if it reads facts (one that reads variables alone is decided when the playbook is read).
    pub when: Option<Box<dyn When>>,
}

/// What a task declares.
#[derive(Debug)]
pub enum Declaration {
    /// Known from the files alone.
    Ready(Box<dyn Declared>),
    /// Its table reads facts, so that it is rendered once they are known.
    Late(Box<dyn Late>),
}

/// A condition that reads facts.
pub trait When: Debug + Send + Sync {
    /// The expression as written.
    fn text(&self) -> &str;
    /// What it reads.
    fn facts(&self) -> Vec<Question>;
    /// Whether the task applies to this machine.
    fn holds(&self, machine: &Machine) -> Result<bool, Blocked>;
}

/// A declaration that reads facts.
pub trait Late: Debug + Send + Sync {
    /// Name of the resource.
    fn resource(&self) -> &'static str;
    /// What its templates read.
    fn facts(&self) -> Vec<Question>;
    /// The declaration for this machine.
    fn resolve(&self, machine: &Machine) -> Result<Box<dyn Declared>, Blocked>;
}

impl Task {
    /// Name of the resource that it declares.
    pub fn resource(&self) -> &'static str {
        match &self.declaration {
            Declaration::Ready(resource) => resource.name(),
            Declaration::Late(late) => late.resource(),
        }
    }

    /// All that can be asked for it before anything is known.
    pub fn facts(&self) -> Vec<Question> {
        let mut facts = self.when.iter().flat_map(|when| when.facts()).collect::<Vec<_>>();
        facts.extend(match &self.declaration {
            Declaration::Ready(resource) => resource.facts(),
            Declaration::Late(late) => late.facts(),
        });
        facts
    }
}

#[cfg(test)]
mod tests;
