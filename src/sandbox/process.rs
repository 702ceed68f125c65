//! Processes by id and start time, so that an id that was used again is never mistaken for ours.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::command::{command, output};

/// A process that can be told from a later one of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Process {
    /// Its id.
    pub(super) id: u32,
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
}

impl Process {
    /// The process with this id, if there is one that is not a zombie.
    pub(super) fn find(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let stat = Stat::parse(&stat)?;
        (stat.state != 'Z' && stat.state != 'X').then_some(Self { id, started: stat.started })
    }

    /// This one.
    pub(super) fn this() -> Option<Self> {
        Self::find(std::process::id())
    }

    /// Whether it runs still.
    pub(super) fn lives(self) -> bool {
        Self::find(self.id) == Some(self)
    }

    /// Sends a signal such as `TERM`. That it is gone already is no failure.
    pub(super) fn signal(self, signal: &str) {
        if self.lives() {
            // The shell's own `kill`: a minimal machine has no other. What it says of a process just gone is of no use.
            let _ = output(&mut command(&["sh", "-c", "kill -s \"$1\" \"$2\"", "kill", signal, &self.id.to_string()]));
        }
    }

    /// Waits until it is gone, at most `limit`. Returns whether it is.
    pub(super) fn wait_gone(self, limit: Duration) -> bool {
        wait_until(limit, || !self.lives())
    }

    /// The process that is number 1 in the namespace which this one (systemd-nspawn) made.
    pub(super) fn leader(self) -> Option<Self> {
        let entries = fs::read_dir("/proc").ok()?;
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|id| {
                fs::read_to_string(format!("/proc/{id}/stat"))
                    .is_ok_and(|stat| Stat::parse(&stat).is_some_and(|stat| stat.parent == self.id))
            })
            .find(|id| fs::read_to_string(format!("/proc/{id}/status")).is_ok_and(|status| is_first_inside(&status)))
            .and_then(Self::find)
    }
}

/// Asks again and again until `done`, at most `limit`.
pub(super) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
}

/// What is used of `/proc/ID/stat` (proc(5)).
struct Stat {
    state: char,
    parent: u32,
    started: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name stands in parentheses and may hold spaces and parentheses itself.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

fn is_first_inside(status: &str) -> bool {
    status.lines().find_map(|line| line.strip_prefix("NSpid:")).is_some_and(|ids| {
        let ids: Vec<&str> = ids.split_whitespace().collect();
        ids.len() > 1 && ids.last() == Some(&"1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1000 10";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.started), ('S', 7, 98765));
        assert!(Stat::parse("42 (a").is_none());
    }

    #[test]
    fn a_reused_id_is_not_the_same_process() {
        let this = Process::this().unwrap();
        assert!(this.lives());
        assert!(!Process { started: this.started + 1, ..this }.lives());
    }

    #[test]
    fn a_killed_process_is_gone_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(child.id()).unwrap();
        process.signal("KILL");
        assert!(process.wait_gone(Duration::from_secs(5)));
        child.wait().unwrap();
    }

    #[test]
    fn the_leader_is_number_one_of_an_inner_namespace() {
        assert!(is_first_inside("Name:\tsystemd\nNSpid:\t3412\t1\n"));
        assert!(!is_first_inside("NSpid:\t1\n"));
        assert!(!is_first_inside("NSpid:\t3412\t12\n"));
    }
}
