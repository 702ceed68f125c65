//! How a run goes over many hosts: in what batches, and after how many failures it begins no further host. Counting
//! only: nothing here waits or contacts anything.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::Exit;

/// The size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// So many hosts, at least one.
    Hosts(usize),
    /// So many hundredths of all hosts, 1 to 100; rounded down, and at least one host.
    Percent(usize),
}

impl BatchSize {
    fn of(self, hosts: usize) -> usize {
        match self {
            Self::Hosts(count) => count,
            Self::Percent(percent) => hosts * percent / 100,
        }
        .max(1)
    }
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse::<usize>().ok().filter(|number| *number > 0);
        let size = match text.strip_suffix('%') {
            Some(percent) => number(percent).filter(|percent| *percent <= 100).map(Self::Percent),
            None => number(text).map(Self::Hosts),
        };
        size.ok_or_else(|| "write a number of hosts, such as 1, or a share of them, such as 25%".to_owned())
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// The way a run takes over its hosts. Clones count the same failures.
#[derive(Debug, Clone, Default)]
pub struct Rollout {
    serial: Vec<BatchSize>,
    max_failures: Option<usize>,
    failed: Arc<AtomicUsize>,
}

impl Rollout {
    /// Batches of these sizes, the last of which is that of all further ones; none means all hosts at once. Once
    /// `max_failures` hosts have failed no further one is begun. Batches without that number stop at the first failure:
    /// that is what a canary is for.
    pub fn new(serial: Vec<BatchSize>, max_failures: Option<usize>) -> Self {
        let max_failures = max_failures.or((!serial.is_empty()).then_some(1));
        Self { serial, max_failures, failed: Arc::default() }
    }

    /// How many hosts each batch has. They add up to `hosts`.
    pub fn batches(&self, hosts: usize) -> Vec<usize> {
        let (mut sizes, mut left, mut batches) = (self.serial.iter(), hosts, Vec::new());
        let mut size = hosts;
        while left > 0 {
            size = sizes.next().map_or(size, |size| size.of(hosts));
            batches.push(size.min(left));
            left -= size.min(left);
        }
        batches
    }

    /// Takes note of how a host ended.
    pub(super) fn ended(&self, exit: Exit) {
        match exit {
            Exit::Done | Exit::Drift | Exit::Interrupted => {}
            Exit::HostFailed | Exit::Unreachable | Exit::BadInput | Exit::GuardRestored | Exit::HostBusy => {
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Why no further host is begun. `None`: the next one may be.
    pub(super) fn stopped(&self) -> Option<String> {
        let most = self.max_failures?;
        let failed = self.failed.load(Ordering::SeqCst);
        (failed >= most).then(|| {
            let hosts = if most == 1 { "host" } else { "hosts" };
            format!("{most} {hosts} failed, and no further one is begun then (--max-failures {most})")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(serial: &str, max_failures: Option<usize>) -> Rollout {
        let sizes = serial.split(',').filter(|size| !size.is_empty()).map(|size| size.parse().unwrap());
        Rollout::new(sizes.collect(), max_failures)
    }

    #[test]
    fn batches_hold_every_host_once() {
        for (serial, hosts, expected) in [
            ("", 7, &[7][..]),
            ("", 0, &[]),
            ("1", 3, &[1, 1, 1]),
            ("1,3", 9, &[1, 3, 3, 2]),
            ("1,25%,100%", 9, &[1, 2, 6]),
            ("10%", 4, &[1, 1, 1, 1]),
            ("5", 3, &[3]),
        ] {
            assert_eq!(rollout(serial, None).batches(hosts), expected, "{serial} of {hosts}");
        }
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        for wrong in ["0", "0%", "101%", "-1", "x", "", "1.5", "%"] {
            assert!(wrong.parse::<BatchSize>().is_err(), "{wrong}");
        }
        for right in ["1", "40", "100%"] {
            assert_eq!(right.parse::<BatchSize>().unwrap().to_string(), right);
        }
    }

    #[test]
    fn a_run_stops_at_the_number_of_failures_that_was_given() {
        let patient = rollout("", None);
        (0..9).for_each(|_| patient.ended(Exit::HostFailed));
        assert_eq!(patient.stopped(), None);
        let two = rollout("", Some(2));
        [Exit::Done, Exit::Drift, Exit::Interrupted, Exit::Unreachable].into_iter().for_each(|exit| two.ended(exit));
        assert_eq!(two.stopped(), None);
        two.clone().ended(Exit::GuardRestored);
        assert!(two.stopped().is_some_and(|why| why.contains("2 hosts") && why.contains("--max-failures 2")));
    }

    #[test]
    fn batches_stop_at_the_first_failure_unless_told_otherwise() {
        let (canary, told) = (rollout("1", None), rollout("1", Some(2)));
        canary.ended(Exit::HostFailed);
        told.ended(Exit::HostFailed);
        assert!(canary.stopped().is_some() && told.stopped().is_none());
    }
}
