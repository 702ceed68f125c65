//! What this machine must have before it can carry boxes, and how to get it.

use std::collections::BTreeSet;
use std::path::Path;

use super::command::{PATH, command, output, run};
use super::error::{Error, Result, last_lines};

/// Programs and the Debian and Ubuntu packages that bring them.
const TOOLS: [(&str, &str); 15] = [
    ("mmdebstrap", "mmdebstrap"),
    ("ssh", "openssh-client"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("ip6tables", "iptables"),
    ("apt-get", "apt"),
    ("apt-config", "apt"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("losetup", "mount"),
    ("swapoff", "mount"),
    ("chroot", "coreutils"),
    ("find", "findutils"),
    ("df", "coreutils"),
];

/// Debian's keys, which a machine that is not Debian lacks.
const KEYRING: (&str, &str) = ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring");

/// What is missing here for boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    missing: Vec<&'static str>,
    packages: Vec<&'static str>,
}

impl Setup {
    /// Looks. Errors: not Linux, or not root, which no package can mend.
    pub fn check() -> Result<Self> {
        if !cfg!(target_os = "linux") {
            return Err(Error::NotLinux);
        }
        if !is_root() {
            return Err(Error::NotRoot);
        }
        let on_path = |tool: &str| PATH.split(':').any(|directory| Path::new(directory).join(tool).exists());
        Ok(Self::of(|tool| if tool.starts_with('/') { Path::new(tool).exists() } else { on_path(tool) }))
    }

    fn of(present: impl Fn(&str) -> bool) -> Self {
        let lacking: Vec<_> = TOOLS.into_iter().chain([KEYRING]).filter(|(tool, _)| !present(tool)).collect();
        Self {
            missing: lacking.iter().map(|(tool, _)| *tool).collect(),
            packages: lacking.iter().map(|(_, package)| *package).collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The command that installs what is missing.
    pub fn command(&self) -> String {
        format!("apt-get install --no-install-recommends {}", self.packages.join(" "))
    }

    /// Installs what is missing. Errors: this machine has no apt, or apt failed.
    pub fn install(&self, say: &dyn Fn(&str)) -> Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        if self.missing.contains(&"apt-get") {
            return Err(Error::ToolsMissing { tools: self.missing.clone(), command: self.command() });
        }
        say(&format!("installing {} on this machine", self.packages.join(", ")));
        let mut words = vec!["apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends"];
        words.extend(&self.packages);
        let install = || output(command(&words).env("DEBIAN_FRONTEND", "noninteractive"));
        // Fresh machines have no package lists, and old ones have stale lists.
        if install()?.success() || (run(&["apt-get", "update"]).is_ok() && install()?.success()) {
            return Ok(());
        }
        let said = last_lines(&install()?.stderr, 5);
        Err(Error::Tool { command: self.command(), said })
    }
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_user(&status) == Some(0))
}

/// The second number of `Uid:` (proc(5)).
fn effective_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_packages_that_bring_it() {
        let setup = Setup::of(|tool| !["ip6tables", "iptables", "mmdebstrap"].contains(&tool));
        assert!(!setup.is_complete());
        assert_eq!(setup.missing, ["mmdebstrap", "iptables", "ip6tables"]);
        assert_eq!(setup.command(), "apt-get install --no-install-recommends iptables mmdebstrap");
        assert!(Setup::of(|_| true).is_complete());
    }

    #[test]
    fn it_is_the_effective_user_that_counts() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_user("Uid:\t0\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_user(""), None);
    }
}
