//! How many hosts this process has room for at once: every connection is an open file, and their number is limited.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files of a host at work: its connection, the guard's proof beside it, an agent, a proxy command's pipes, several
/// addresses dialled at once.
const A_HOST: u64 = 8;
/// Open files of the process itself.
const OWN: u64 = 64;

/// What came of making room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many hosts may be worked on at once: as many as asked for, or fewer.
    pub hosts: usize,
    /// How many files this process may have open.
    pub files: u64,
}

/// Raises this process's limit of open files, as far as it may itself, for `hosts` hosts at once. Programs that it
/// starts inherit that.
pub fn make_room(hosts: usize) -> Room {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit is the largest one.
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let wanted = wanted(hosts, soft, hard);
    let raised = wanted > soft && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let files = if raised { wanted } else { soft };
    Room { hosts: fitting(hosts, files), files }
}

/// The limit to set: never lower than it is, never higher than it may be.
fn wanted(hosts: usize, soft: u64, hard: u64) -> u64 {
    (OWN + A_HOST * hosts as u64).min(hard).max(soft)
}

/// How many of `hosts` hosts fit; one always does, or nothing could be done at all.
fn fitting(hosts: usize, files: u64) -> usize {
    let most = usize::try_from(files.saturating_sub(OWN) / A_HOST).unwrap_or(usize::MAX);
    hosts.min(most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_only_as_far_as_it_is_needed_and_allowed() {
        assert_eq!(wanted(16, 1024, 4096), 1024, "it is enough as it is");
        assert_eq!(wanted(500, 1024, 1_000_000), 4064);
        assert_eq!(wanted(500, 1024, 2048), 2048, "no further than it may be");
        assert_eq!(wanted(500, u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn fewer_hosts_are_worked_on_where_files_are_few() {
        assert_eq!(fitting(16, 1024), 16);
        assert_eq!(fitting(500, 1024), 120);
        assert_eq!(fitting(500, 10), 1);
    }

    #[test]
    fn room_is_made() {
        let before = getrlimit(Resource::Nofile);
        let room = make_room(usize::from(u8::MAX));
        let after = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert_eq!(room.files, after);
        assert!(after >= before.current.unwrap_or(u64::MAX), "it is never lowered");
        assert!(room.hosts == 255 || Some(room.files) == before.maximum, "{room:?}");
    }
}
