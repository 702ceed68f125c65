//! Every exit code, once, with its meaning.

/// How a run ended. Of many hosts the worst counts, in the order of [`Exit::worst`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Done, or in sync.
    Done,
    /// A host failed, or is not ready.
    HostFailed,
    /// A check found drift.
    Drift,
    /// A host could not be reached.
    Unreachable,
    /// The command line, the inventory or a playbook is wrong, a question was declined, or a saved plan does not fit any
    /// more; nothing was changed.
    BadInput,
    /// A guard put a host back as it was.
    GuardRestored,
    /// Another run holds a host.
    HostBusy,
    /// Ended by Ctrl-C.
    Interrupted,
}

/// All codes, in the order of their numbers.
pub const ALL: [Exit; 8] = [
    Exit::Done,
    Exit::HostFailed,
    Exit::Drift,
    Exit::Unreachable,
    Exit::BadInput,
    Exit::GuardRestored,
    Exit::HostBusy,
    Exit::Interrupted,
];

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::HostFailed => 1,
            Exit::Drift => 2,
            Exit::Unreachable => 3,
            Exit::BadInput => 4,
            Exit::GuardRestored => 5,
            Exit::HostBusy => 6,
            Exit::Interrupted => 130,
        }
    }

    /// One line for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, or in sync",
            Exit::HostFailed => "a host failed, or is not ready",
            Exit::Drift => "check found drift",
            Exit::Unreachable => "a host could not be reached",
            Exit::BadInput => {
                "bad input (command line, inventory, playbook), a question declined or not askable, or a saved plan that does not fit any more; nothing was changed"
            }
            Exit::GuardRestored => "a guard put the host back as it was",
            Exit::HostBusy => "another run holds the host",
            Exit::Interrupted => "interrupted by Ctrl-C",
        }
    }

    /// The one that counts when two hosts end differently.
    pub fn worst(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Done => 0,
            Exit::Drift => 1,
            Exit::Unreachable => 2,
            Exit::HostBusy => 3,
            Exit::HostFailed => 4,
            Exit::GuardRestored => 5,
            Exit::BadInput => 6,
            Exit::Interrupted => 7,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_two_hosts_does_not_depend_on_their_order() {
        for one in ALL {
            for other in ALL {
                assert_eq!(one.worst(other), other.worst(one));
            }
            assert_eq!(Exit::Done.worst(one), one);
        }
        assert_eq!(Exit::Drift.worst(Exit::Unreachable), Exit::Unreachable);
        assert_eq!(Exit::HostFailed.worst(Exit::HostBusy), Exit::HostFailed);
        assert_eq!(Exit::HostFailed.worst(Exit::GuardRestored), Exit::GuardRestored);
    }
}
