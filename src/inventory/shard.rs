//! A share of the hosts of a run, for jobs of CI that each take one.

use std::fmt;
use std::str::FromStr;

/// The `index`th of `count` shares, from 1. Every host is in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Those of `hosts` that are in this share: every `count`th in the order in which they stand, so that hosts of one
    /// group, which stand together, are spread over all shares.
    pub fn of<T>(self, hosts: Vec<T>) -> Vec<T> {
        hosts.into_iter().skip(self.index - 1).step_by(self.count).collect()
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("write which share of how many, such as 2/5".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn every_host_is_in_exactly_one_share() {
        for (hosts, count) in [(0, 1), (1, 1), (7, 3), (3, 5), (1000, 7)] {
            let mut all: Vec<usize> =
                (1..=count).flat_map(|index| shard(&format!("{index}/{count}")).of((0..hosts).collect())).collect();
            all.sort_unstable();
            assert_eq!(all, (0..hosts).collect::<Vec<_>>(), "{hosts} hosts in {count} shares");
        }
        assert_eq!(shard("2/3").of(vec!["a", "b", "c", "d", "e"]), ["b", "e"]);
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        for wrong in ["0/3", "4/3", "1/0", "1", "/", "a/b", "1/3/5", "-1/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!(shard("2/5").to_string(), "2/5");
    }
}
