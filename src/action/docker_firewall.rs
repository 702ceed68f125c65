//! The rules for what Docker publishes.

use serde::{Deserialize, Serialize};

use super::{ACTION, Act, Undo};
use crate::base::Digest;
use crate::machine::docker_firewall::{Boot, DOCKER_FIREWALL, UNIT};
use crate::machine::{DockerFirewall, Machine};
use crate::shell::{Call, Library};

static CHANGE: Library = Library {
    name: "action/docker_firewall.sh",
    text: include_str!("docker_firewall.sh"),
    needs: &[&ACTION, &DOCKER_FIREWALL],
};

/// Puts rules in force, now and at boot, or takes them away. Only new connections that are forwarded to Docker's networks
/// meet them, never one to the host itself, so that they can not shut anybody out of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetDockerFirewall {
    /// The text of the rules that were there.
    pub before: Option<String>,
    /// The text that is to be; `None` takes all away.
    pub after: Option<String>,
}

impl Act for SetDockerFirewall {
    fn summary(&self) -> String {
        match (&self.before, &self.after) {
            (_, None) => "take the rules for what Docker publishes away".into(),
            (Some(before), Some(after)) if before == after => {
                "put the rules for what Docker publishes in force again".into()
            }
            _ => "set the rules for what Docker publishes".into(),
        }
    }

    fn call(&self) -> Call {
        let state =
            self.before.as_ref().map_or_else(|| "absent".to_owned(), |text| Digest::of(text).as_str().to_owned());
        match &self.after {
            None => Call::new(&CHANGE, "docker_firewall_take_away").arg(state),
            Some(rules) => Call::new(&CHANGE, "docker_firewall_set")
                .arg(state)
                .arg(Digest::of(rules).as_str())
                .arg(rules.as_str())
                .arg(Digest::of(UNIT).as_str())
                .arg(UNIT),
        }
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&DockerFirewall::Here, |state| {
            state.rules.clone_from(&self.after);
            state.boot = if self.after.is_some() { Boot::Ready } else { Boot::Absent };
            state.live = true;
        });
    }

    fn undo(&self, before: &Machine) -> Undo {
        let whole = before.known(&DockerFirewall::Here).is_some_and(|state| {
            state.live && state.boot == if state.rules.is_some() { Boot::Ready } else { Boot::Absent }
        });
        if !whole {
            return Undo::Impossible("the rules of before were not in force as their file says");
        }
        Undo::By(vec![SetDockerFirewall { before: self.after.clone(), after: self.before.clone() }.into()])
    }
}
