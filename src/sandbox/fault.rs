//! Breaking a box's network from outside, for tests of what happens then. All of it ends with the box.

use super::command::{command, output, run};
use super::error::Result;
use super::firewall::{self, Purpose};
use super::{Sandbox, registry};

/// Worse than any route that is really there.
const UNREACHABLE_METRIC: &str = "4096";

impl Sandbox {
    /// Lets all packets from and to the box vanish, or ends that. Errors: the packet rules can not be changed.
    pub fn drop_packets(&self, on: bool) -> Result<()> {
        self.set_fault(on.then_some(false))
    }

    /// Answers all TCP packets from and to the box with a reset, or ends that. Errors: as [`Sandbox::drop_packets`].
    pub fn reset_packets(&self, on: bool) -> Result<()> {
        self.set_fault(on.then_some(true))
    }

    fn set_fault(&self, reset: Option<bool>) -> Result<()> {
        let _lock = registry::lock()?;
        firewall::remove(self.name(), Purpose::Fault)?;
        match reset {
            Some(reset) => firewall::break_link(self.name(), &self.record.link_name(), reset),
            None => Ok(()),
        }
    }

    /// Pulls the cable. Errors: the interface can not be changed.
    pub fn link_down(&self) -> Result<()> {
        run(&["ip", "link", "set", &self.record.link_name(), "down"])?;
        // With its own route gone the address would be sought through this machine's default route.
        let network = self.record.link.network().to_string();
        run(&["ip", "route", "replace", "unreachable", &network, "metric", UNREACHABLE_METRIC]).map(drop)
    }

    /// Plugs it in again. Errors: the interface can not be changed.
    pub fn link_up(&self) -> Result<()> {
        let name = self.record.link_name();
        run(&["ip", "link", "set", &name, "up"])?;
        let network = self.record.link.network().to_string();
        // There is none when the link was not down.
        let _ = output(&mut command(&["ip", "route", "del", "unreachable", &network, "metric", UNREACHABLE_METRIC]))?;
        // An interface that goes down loses its IPv6 addresses.
        let address = format!("{}/64", self.record.link.host6);
        if std::path::Path::new("/proc/net/if_inet6").exists() {
            run(&["ip", "-6", "addr", "replace", &address, "dev", &name, "nodad"])?;
        }
        Ok(())
    }
}
