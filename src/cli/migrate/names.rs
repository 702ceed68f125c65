//! The last part of a move: which records have to change, and watching until they have.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::cli::sentence;
use crate::migrate::chain::Move;
use crate::migrate::switch;
use crate::ssh::Target;

/// Between two looks at the DNS.
const PAUSE: Duration = Duration::from_secs(10);

/// Tells which records have to change, and watches until they have.
pub(super) async fn tell(job: &Move, ipv6: &(Vec<Ipv6Addr>, Vec<Ipv6Addr>), watch: u64) {
    let Some(deploy) = &job.deploy else { return };
    let names = switch::names(deploy, &job.groups);
    if names.is_empty() {
        sentence(
            "deploy.yml names no host for kamal-proxy: point your DNS at the new address, if any leads to the old one.",
        );
        return;
    }
    let (mut old, new) = (own(&job.old).await, own(&job.new).await);
    old.extend(ipv6.0.iter().copied().map(IpAddr::V6));
    let besides: BTreeSet<IpAddr> = ipv6.1.iter().copied().map(IpAddr::V6).collect();
    let until = Instant::now() + Duration::from_secs(60 * watch);
    let mut told: Option<Vec<String>> = None;
    loop {
        let mut open = Vec::new();
        for name in &names {
            open.extend(switch::record(name, &switch::addresses(name).await, &old, (&new, &besides)));
        }
        if open.is_empty() {
            sentence("All names lead to the new host.");
            return;
        }
        if told.as_ref() != Some(&open) {
            open.iter().for_each(|line| sentence(line));
            if told.is_none() && watch > 0 {
                sentence(&format!("Watching for up to {} minutes; Ctrl-C ends the watching and nothing else.", watch));
            }
            told = Some(open);
        }
        if Instant::now() + PAUSE > until {
            sentence("Set the records when it suits you; the move itself is done.");
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return,
        }
    }
}

/// The addresses of a host, as this machine dials it.
async fn own(target: &Target) -> BTreeSet<IpAddr> {
    match target.address.parse() {
        Ok(address) => BTreeSet::from([address]),
        Err(_) => switch::addresses(&target.address).await,
    }
}
