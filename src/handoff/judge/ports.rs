//! The ports that Kamal's proxy needs, and those that containers open to everybody.

use std::collections::BTreeSet;

use super::{Case, Judge, Knock};
use crate::handoff::local::Seen;

/// Ports that a container publishes to more than the loopback, as `docker ps` writes them.
pub(in crate::handoff) fn published(ports: &str) -> BTreeSet<u16> {
    let open = |part: &str| {
        let (outside, _) = part.trim().split_once("->")?;
        let (address, port) = outside.rsplit_once(':')?;
        let loopback = address.starts_with("127.") || matches!(address, "::1" | "[::1]");
        if loopback { None } else { port.parse().ok() }
    };
    ports.split(',').filter_map(open).collect()
}

pub(super) fn judge(case: &Case<'_>, judge: &mut Judge) {
    let containers = &case.look.docker.containers;
    let knocks = |port: u16| case.knocks.iter().flatten().filter(move |knock| knock.port == port);
    for port in &case.proxy_ports {
        let check = format!("port-{port}");
        let holder =
            containers.iter().find(|(_, ports)| published(ports).contains(port)).map(|(name, _)| name.as_str());
        match holder {
            Some("kamal-proxy") => judge.ready(&check, format!("port {port} is kamal-proxy's")),
            Some(other) => {
                let what = format!("port {port} is taken by the container {other}, and kamal-proxy needs it");
                judge.fail(&check, what, format!("stop it, or let it publish another port: `docker rm -f {other}`"));
            }
            None if case.look.ports.contains(port) => {
                let what = format!("port {port} is taken by something on the host, and kamal-proxy needs it");
                judge.fail(&check, what, format!("`ss -ltnp 'sport = :{port}'` on the host tells what it is"));
            }
            None => judge.ready(&check, format!("port {port} is free")),
        }
        for Knock { address, seen, .. } in knocks(*port) {
            if *seen != Seen::Filtered {
                continue;
            }
            let check = format!("reach-{port}");
            let what = format!("port {port} can not be reached from here at {address}: a firewall on the way drops it");
            let help = "open it at the provider, and in `firewall_rules`";
            // An address that nobody was told of keeps nobody out.
            if case.addresses.contains(address) {
                judge.fail(&check, what, help);
            } else {
                judge.warn(&check, what, help);
            }
        }
    }
    if case.knocks.is_none() && !case.proxy_ports.is_empty() {
        let help = "look from somewhere that reaches it without a jump host";
        judge.warn("reach", "how its ports look from outside is not known: there is a host between", help);
    }
    for (name, ports) in containers.iter().filter(|(name, _)| name != "kamal-proxy") {
        for port in published(ports).into_iter().filter(|port| !case.proxy_ports.contains(port)) {
            if knocks(port).any(|knock| knock.seen == Seen::Open) {
                let what = format!("port {port} of {name} answers from here: ufw does not cover what Docker publishes");
                judge.warn(
                    "published",
                    what,
                    format!("publish it as `127.0.0.1:{port}:…` unless it is meant for everybody"),
                );
            }
        }
    }
}
