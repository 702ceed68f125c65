//! Forward mode: what still comes to the old host goes on to the new one. Whoever has the old address in a cache meets no
//! error; the app sees the old host as the client.

use super::freeze;
use super::side::{Side, Trouble};
use crate::shell::{Call, Library};

static FORWARD: Library = Library { name: "forward.sh", text: include_str!("forward.sh"), needs: &[] };

/// Begins. kamal-proxy of the old host is stopped, and written down to be started again.
pub(super) async fn start(old: &mut Side, address: &str, ports: &[u16]) -> Result<(), Trouble> {
    freeze::note(old, super::freight::PROXY).await?;
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let call = Call::new(&FORWARD, "forward_start").arg(address).args(ports.iter().map(u16::to_string));
    old.act("forwarding to the new host", call).await.map(|_| ())
}

/// Ends, where it had begun.
pub(super) async fn stop(old: &mut Side) -> Result<(), Trouble> {
    old.act("ending the forwarding", Call::new(&FORWARD, "forward_stop")).await.map(|_| ())
}
