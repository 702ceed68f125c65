//! Addresses for boxes: a network of its own for each, out of ranges that nothing on this machine routes to.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The addresses of one box's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Link {
    /// This machine's end.
    pub(super) host4: Ipv4Addr,
    /// The box's end.
    pub(super) guest4: Ipv4Addr,
    /// This machine's end, a unique local address (RFC 4193).
    pub(super) host6: Ipv6Addr,
    /// The box's end.
    pub(super) guest6: Ipv6Addr,
}

impl Link {
    /// The network that both IPv4 ends are in.
    pub(super) fn network(&self) -> Network {
        Network { base: u32::from(self.host4) & !3, prefix: 30 }
    }
}

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    base: u32,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`; a bare address is a network of one. `None`: neither.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self { base: u32::from(address) & Self::mask(prefix), prefix })
    }

    fn mask(prefix: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = Self::mask(self.prefix.min(other.prefix));
        self.base & mask == other.base & mask
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// The IPv4 networks of `ip -4 route show table all`, but for the default route and those of boxes.
pub(super) fn routes(text: &str, box_prefix: &str) -> Vec<Network> {
    text.lines()
        .filter(|line| !line.split_whitespace().any(|word| word.starts_with(box_prefix)))
        .filter_map(|line| {
            // A line may begin with the kind of route: "local 192.0.2.2 dev eth0 …".
            line.split_whitespace().take(2).find_map(Network::parse)
        })
        .collect()
}

/// Second byte of the candidates 10.x.0.0/16: away from the low and round numbers that people choose.
const RANGES: [u8; 6] = [213, 187, 149, 231, 99, 61];

/// An interface name has at most 15 characters, and an index three digits: the third byte of an address.
pub(super) const INDEXES: u8 = 250;

/// Addresses for the box with the lowest index that is not in `used`, clear of `routes`. `None`: none is left.
pub(super) fn allocate(used: &[u8], routes: &[Network]) -> Option<(u8, Link)> {
    let index = (1..=INDEXES).find(|index| !used.contains(index))?;
    RANGES.into_iter().map(|range| (index, link(range, index))).find(|(_, link)| {
        let network = link.network();
        !routes.iter().any(|route| route.overlaps(network))
    })
}

fn link(range: u8, index: u8) -> Link {
    let v6 = |end| Ipv6Addr::new(0xfdbe, 0xd91a, 0x7e00 | u16::from(range), u16::from(index), 0, 0, 0, end);
    Link {
        host4: Ipv4Addr::new(10, range, index, 1),
        guest4: Ipv4Addr::new(10, range, index, 2),
        host6: v6(1),
        guest6: v6(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn routes_are_read_without_the_default_and_our_own() {
        let text = "default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2\n\
            local 127.0.0.1 dev lo table local\nbroadcast 192.0.2.255 dev eth0\n10.213.1.0/30 dev bpbox1 proto kernel\n";
        let found: Vec<String> = routes(text, "bpbox").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.0/24", "127.0.0.1/32", "192.0.2.255/32"]);
    }

    #[test]
    fn a_taken_range_is_left_for_the_next_one() {
        let (index, link) = allocate(&[], &[]).unwrap();
        assert_eq!((index, link.guest4), (1, Ipv4Addr::new(10, 213, 1, 2)));
        assert_eq!(link.network().to_string(), "10.213.1.0/30");
        let taken = [Network::parse("10.213.0.0/16").unwrap(), Network::parse("10.187.1.1").unwrap()];
        assert_eq!(allocate(&[1], &taken).unwrap().1.guest4, Ipv4Addr::new(10, 187, 2, 2));
        assert_eq!(allocate(&[], &taken).unwrap().1.guest4, Ipv4Addr::new(10, 149, 1, 2));
        assert_eq!(allocate(&[], &[Network::parse("10.0.0.0/8").unwrap()]), None);
    }

    proptest! {
        #[test]
        fn no_box_overlaps_a_route_or_another_box(used in proptest::collection::vec(1_u8..=INDEXES, 0..60), a in any::<u32>(), prefix in 8_u8..=32) {
            let route = Network { base: a & Network::mask(prefix), prefix };
            if let Some((index, link)) = allocate(&used, &[route]) {
                prop_assert!(!used.contains(&index));
                prop_assert!(!route.overlaps(link.network()));
                for other in used {
                    for range in RANGES {
                        prop_assert!(!super::link(range, other).network().overlaps(link.network()));
                    }
                }
            }
        }
    }
}
