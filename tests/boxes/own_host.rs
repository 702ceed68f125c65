//! The main path against a host of the caller's own, such as a virtual machine of `vagrant/`: it is changed for good.
//! `BEDPLATE_TEST_HOST` names it (`root@debian-12`), `BEDPLATE_TEST_SSH_CONFIG` the ssh configuration to reach it with.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::Ran;

struct OwnHost {
    address: String,
    ssh_config: String,
}

impl OwnHost {
    fn named() -> Option<Self> {
        let address = std::env::var("BEDPLATE_TEST_HOST").ok()?;
        let ssh_config = std::env::var("BEDPLATE_TEST_SSH_CONFIG").unwrap_or_else(|_| "none".into());
        Some(Self { address, ssh_config })
    }

    fn bedplate(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate"));
        command.args(words).args([&self.address, "-F", &self.ssh_config, "--accept-new"]);
        Ran::of(&command.output().expect("the program runs"))
    }

    fn ssh(&self, user: &str, line: &str) -> Ran {
        let host = self.address.rsplit('@').next().unwrap_or_default();
        let mut command = Command::new("ssh");
        command.args(["-F", &self.ssh_config, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-l", user, host, line]);
        Ran::of(&command.output().expect("ssh runs"))
    }
}

#[test]
#[ignore = "full tier: changes a host of your own, named by BEDPLATE_TEST_HOST"]
fn own_host_becomes_ready_and_stays_so() {
    let Some(host) = OwnHost::named() else {
        // Past the harness, which keeps what passing tests print to itself.
        let text = "NOT RUN: own_host_becomes_ready_and_stays_so: BEDPLATE_TEST_HOST names no host\n";
        let _ = std::io::stderr().write_all(text.as_bytes());
        return;
    };
    host.bedplate(&["check"]).exits(2);
    host.bedplate(&["apply", "--yes"]).exits(0);
    host.bedplate(&["check"]).exits(0);
    host.ssh("deploy", "docker version --format '{{.Server.Version}}'").exits(0);
    let booted = host.ssh("root", "cat /proc/sys/kernel/random/boot_id").exits(0).stdout;
    host.ssh("root", "systemctl reboot");
    let limit = Instant::now() + Duration::from_secs(300);
    loop {
        let again = host.ssh("root", "cat /proc/sys/kernel/random/boot_id");
        if again.code == 0 && again.stdout != booted {
            break;
        }
        assert!(Instant::now() < limit, "the host does not come back: {}", again.stderr);
    }
    host.ssh("root", "systemctl is-system-running --wait");
    host.bedplate(&["check"]).exits(0);
}
