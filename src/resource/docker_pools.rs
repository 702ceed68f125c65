//! The addresses that Docker takes its networks from, against the ways that the host has.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

/// Key of daemon.json.
pub(super) const KEY: &str = "default-address-pools";

type Network = (Ipv4Addr, u8);

/// What Docker takes where nobody says otherwise (moby, `libnetwork/ipamutils`).
const DEFAULTS: [(u8, u8, u8); 7] =
    [(172, 17, 16), (172, 18, 16), (172, 19, 16), (172, 20, 14), (172, 24, 14), (172, 28, 14), (192, 168, 16)];

fn overlap(one: &Network, other: &Network) -> bool {
    let length = u32::from(one.1.min(other.1));
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    u32::from(one.0) & mask == u32::from(other.0) & mask
}

/// The pools that these settings come to. What can not be read is none of ours.
fn pools(settings: &Map<String, Value>) -> Vec<Network> {
    let Some(set) = settings.get(KEY).and_then(Value::as_array) else {
        return DEFAULTS
            .iter()
            .map(|(first, second, length)| (Ipv4Addr::new(*first, *second, 0, 0), *length))
            .collect();
    };
    let bases = set.iter().filter_map(|pool| pool.get("base")?.as_str()?.split_once('/'));
    bases.filter_map(|(base, length)| Some((base.parse().ok()?, length.parse().ok()?))).collect()
}

/// Pools in the place of those in `settings`, where a way of the host leads into one of these: its packets would end in
/// a container's network. `None`: they are fine as they are, or no pool is free.
pub(super) fn instead(settings: &Map<String, Value>, routes: &BTreeSet<Network>) -> Option<Value> {
    let is_taken = |pool: &Network| routes.iter().any(|route| overlap(pool, route));
    if !pools(settings).iter().any(is_taken) {
        return None;
    }
    let candidates = (20..=31).map(|second| (172, second)).chain((200..=255).map(|second| (10, second)));
    let mut candidates = candidates.map(|(first, second)| (Ipv4Addr::new(first, second, 0, 0), 16));
    candidates
        .find(|pool| !is_taken(pool))
        .map(|(base, length)| json!([{ "base": format!("{base}/{length}"), "size": 24 }]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(routes: &[(&str, u8)], settings: &str) -> Option<String> {
        let routes = routes.iter().map(|(address, length)| (address.parse().unwrap(), *length)).collect();
        let settings = serde_json::from_str(settings).unwrap();
        instead(&settings, &routes).map(|value| value[0]["base"].as_str().unwrap().to_owned())
    }

    #[test]
    fn pools_give_way_to_the_host_s_own_networks() {
        assert_eq!(with(&[("10.0.0.0", 16)], "{}"), None, "no pool of Docker's is touched");
        assert_eq!(with(&[("172.31.16.0", 20)], "{}").as_deref(), Some("172.20.0.0/16"), "a VPC of AWS");
        assert_eq!(with(&[("172.16.0.0", 12)], "{}").as_deref(), Some("10.200.0.0/16"));
        assert_eq!(with(&[("172.16.0.0", 12), ("10.0.0.0", 8)], "{}"), None, "there is nowhere to go");
        assert_eq!(with(&[("192.168.7.0", 24), ("172.20.5.0", 24)], "{}").as_deref(), Some("172.21.0.0/16"));
    }

    #[test]
    fn pools_that_are_set_and_free_stay() {
        let set = r#"{"default-address-pools": [{"base": "172.21.0.0/16", "size": 24}]}"#;
        assert_eq!(with(&[("172.31.16.0", 20)], set), None);
        assert_eq!(with(&[("172.21.3.0", 24)], set).as_deref(), Some("172.20.0.0/16"));
    }
}
