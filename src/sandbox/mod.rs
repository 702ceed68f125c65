//! Throw-away local boxes: systemd-nspawn containers with a real systemd, sshd, netfilter and room for Docker, to
//! rehearse playbooks on. The `sandbox` and `demo` commands, the box tests and the benchmark use them.
//!
//! [`up`] makes a box and returns when its sshd answers. A [`Sandbox`] that is dropped (also by a panic) is torn down
//! completely: processes, network, mounts, loop devices, swap, packet rules, and the kernel settings that boxes need.
//! What a killed process could not tear down, the next [`up`] or a [`sweep`] does.
//!
//! All calls block: from async code use `spawn_blocking`. Nothing here knows playbooks or prints.

mod address;
mod apt;
mod boot;
mod command;
mod disk;
mod error;
mod fault;
mod firewall;
mod furnish;
mod image;
mod kernel;
mod process;
mod registry;
mod relay;
mod setup;
mod suite;
mod teardown;

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

pub use command::Output;
pub use error::{Error, Result};
pub use registry::Info;
pub use relay::{Direction, Fault, Relay};
pub use setup::Setup;
pub use suite::{Suite, UnknownSuite};
pub use teardown::{down, sweep};

use registry::Record;

/// What a box is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Its name and host name; the lowest free of `box1`, `box2` … when absent.
    pub name: Option<String>,
    /// Its release.
    pub suite: Suite,
    /// The memory it may use, in MiB; unlimited when absent.
    pub memory_limit_mib: Option<u64>,
    /// Public keys, a line each, that root may log in with besides the box's own.
    pub authorized_keys: Vec<String>,
    /// Where images and boxes are kept; [`cache_directory`] when absent.
    pub cache: Option<PathBuf>,
}

/// Where images and boxes are kept: `BEDPLATE_SANDBOX_CACHE`, or `bedplate` in `XDG_CACHE_HOME` or `/var/cache`.
pub fn cache_directory() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("BEDPLATE_SANDBOX_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("bedplate")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/bedplate"))
}

/// Makes a box and waits until its sshd answers. `say` is told what takes long.
///
/// Errors: see [`Error`]. Whatever was made of the box by then is torn down.
pub fn up(options: &Options, say: &dyn Fn(&str)) -> Result<Sandbox> {
    let setup = Setup::check()?;
    setup.install(say)?;
    if let Some(name) = &options.name {
        registry::check_name(name)?;
    }
    sweep()?;
    let cache = options.cache.clone().unwrap_or_else(cache_directory);
    let image = image::ensure(options.suite, &cache, say)?;
    let mut sandbox = Sandbox { record: boot::reserve(options, &cache)?, kept: false };
    image::copy(&image, &sandbox.record.root())?;
    drop(image);
    furnish::furnish(&sandbox.record, &options.authorized_keys)?;
    sandbox.boot()?;
    Ok(sandbox)
}

/// Every box on this machine, by name. Errors: the state can not be read.
pub fn list() -> Result<Vec<Info>> {
    Ok(registry::records()?.iter().map(Info::from).collect())
}

/// The box of that name. Errors: there is none.
pub fn find(name: &str) -> Result<Info> {
    registry::record(name).map(|record| Info::from(&record))
}

/// A command that opens root's shell in the box of that name, to be run on the caller's terminal.
///
/// Errors: there is no such box, or it does not run.
pub fn shell(name: &str) -> Result<Command> {
    let record = registry::record(name)?;
    let mut command = boot::inside(&record, &["bash", "-l"])?;
    command.stdin(std::process::Stdio::inherit());
    if let Some(terminal) = std::env::var_os("TERM") {
        command.env("TERM", terminal);
    }
    Ok(command)
}

/// A running box, torn down when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    record: Record,
    kept: bool,
}

impl Sandbox {
    /// Its name, which is its host name too.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Its release.
    pub fn suite(&self) -> Suite {
        self.record.suite
    }

    /// Its address; it stays the same through reboots.
    pub fn ipv4(&self) -> Ipv4Addr {
        self.record.link.guest4
    }

    /// Its unique local address; it stays the same through reboots.
    pub fn ipv6(&self) -> Ipv6Addr {
        self.record.link.guest6
    }

    /// This machine as the box sees it.
    pub fn host_ipv4(&self) -> Ipv4Addr {
        self.record.link.host4
    }

    /// Where its sshd listens, unless it was told otherwise.
    pub fn ssh_address(&self) -> SocketAddr {
        SocketAddr::from((self.ipv4(), 22))
    }

    /// root's private key (ed25519, OpenSSH's format, no passphrase).
    pub fn key(&self) -> PathBuf {
        self.record.file("key")
    }

    /// The public half, in one line.
    pub fn public_key(&self) -> PathBuf {
        self.record.file("key.pub")
    }

    /// Its host keys as lines of known_hosts for both addresses.
    pub fn known_hosts(&self) -> PathBuf {
        self.record.file("known_hosts")
    }

    /// Its tree as this machine sees it. Absolute links in it lead astray.
    pub fn root(&self) -> PathBuf {
        self.record.root()
    }

    /// What its console has shown since it was made.
    pub fn console(&self) -> String {
        std::fs::read(self.record.file("console.log"))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    /// The process id of its first process on this machine, while it runs. It changes with each boot.
    pub fn leader(&self) -> Option<u32> {
        self.record.leader().map(|process| process.id)
    }

    /// What [`list`] tells of it.
    pub fn info(&self) -> Info {
        Info::from(&self.record)
    }

    /// Runs a program inside as root, and waits for its end. Errors: the box does not run.
    pub fn exec(&self, words: &[&str]) -> Result<Output> {
        command::output(&mut boot::inside(&self.record, words)?)
    }

    /// The same with `input` on the program's standard input.
    pub fn exec_with_input(&self, words: &[&str], input: &[u8]) -> Result<Output> {
        command::output_of_input(&mut boot::inside(&self.record, words)?, input)
    }

    /// Runs a program inside as root and returns its standard output. Errors: it failed, or the box does not run.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let output = self.exec(words)?;
        if output.success() {
            return Ok(output.stdout);
        }
        let said = error::last_lines(&format!("{}\n{}", output.stdout, output.stderr), 5);
        Err(Error::Tool { command: words.join(" "), said })
    }

    /// This machine's `ssh` as `user`, with the box's key and known_hosts and nothing from the caller's configuration.
    pub fn ssh<S: AsRef<OsStr>>(&self, user: &str, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = command::command(&["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
        command
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.known_hosts().display()))
            .arg("-i")
            .arg(self.key())
            .arg(format!("{user}@{}", self.ipv4()))
            .args(words);
        command
    }

    /// Lets the box outlive this process: only [`down`] removes it then. Errors: its record can not be written.
    pub fn keep(mut self) -> Result<Info> {
        let lock = registry::lock()?;
        self.record.owner = None;
        self.record.save(&lock)?;
        self.kept = true;
        Ok(self.info())
    }

    /// Tears the box down now, and tells when something stayed behind.
    pub fn down(mut self) -> Result<()> {
        self.kept = true;
        teardown::teardown(&self.record)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = teardown::teardown(&self.record)
        {
            tracing::warn!(name = self.name(), %error, "a box could not be torn down");
        }
    }
}

/// Where something of a box lies below its tree.
fn below(root: &Path, inside: &str) -> PathBuf {
    root.join(inside.trim_start_matches('/'))
}
