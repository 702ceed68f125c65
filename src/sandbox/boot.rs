//! Reserving a box's name and addresses, booting it, and entering it.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::address::{self, allocate};
use super::command::{PATH, command, run};
use super::error::{Doing as _, Error, Result, last_lines};
use super::process::{Process, wait_until};
use super::registry::{self, LINK_PREFIX, Record};
use super::{Options, Sandbox, firewall, image, kernel};

/// A box boots in a second; several at once on a loaded machine take their time.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// Docker gives its containers 10 s, and a real machine waits for it too.
const HALT_LIMIT: Duration = Duration::from_secs(60);

/// Reserves name and addresses, and lets the box out to where this machine gets to.
pub(super) fn reserve(options: &Options, cache: &Path) -> Result<Record> {
    let lock = registry::lock()?;
    let others = registry::records()?;
    let name = options.name.clone().unwrap_or_else(|| registry::free_name(&others));
    if others.iter().any(|record| record.name == name) {
        return Err(Error::NameTaken(name));
    }
    let routes = address::routes(&run(&["ip", "-4", "route", "show", "table", "all"])?, LINK_PREFIX);
    let used: Vec<u8> = others.iter().map(|record| record.index).collect();
    let (index, link) = allocate(&used, &routes).ok_or(Error::NoAddress)?;
    let boxes = cache.join("boxes");
    fs::create_dir_all(&boxes).doing(|| format!("can not make {}", boxes.display()))?;
    let place = tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(&boxes)
        .doing(|| format!("can not make a directory in {}", boxes.display()))?
        .keep();
    let record = Record {
        name,
        suite: options.suite,
        index,
        link,
        place,
        memory_limit_mib: options.memory_limit_mib,
        owner: Process::this(),
        keeper: None,
        disks: Vec::new(),
    };
    let directory = record.directory();
    fs::create_dir_all(&directory).doing(|| format!("can not make {}", directory.display()))?;
    record.save(&lock)?;
    let prepared = kernel::raise(&lock).and_then(|()| {
        let all_links = format!("{LINK_PREFIX}+");
        firewall::open(&record.name, &record.link_name(), &record.link.network().to_string(), &all_links)
    });
    drop(lock);
    if let Err(error) = prepared {
        super::teardown::teardown(&record)?;
        return Err(error);
    }
    Ok(record)
}

impl Sandbox {
    /// Boots a box that was powered off, and waits until its sshd answers. Errors: it does not.
    pub fn boot(&mut self) -> Result<()> {
        if self.record.nspawn().is_none() {
            self.start_keeper()?;
        }
        self.wait_for_ssh(BOOT_LIMIT)
    }

    /// Reboots the box as a real machine would: everything is stopped in order, and network, packet rules, kernel
    /// settings of the network, swap and device nodes are made anew. The addresses and the disk stay.
    ///
    /// Errors: it does not come up again.
    pub fn reboot(&mut self) -> Result<()> {
        self.again(|nspawn, leader| {
            nspawn.signal("TERM");
            if !nspawn.wait_gone(HALT_LIMIT) {
                kill(nspawn, leader);
            }
        })
    }

    /// Cuts the power: every process inside is killed where it stands, and the box boots again.
    ///
    /// What was written to files but not synced is kept, which a real power cut may lose. Errors: as [`Sandbox::reboot`].
    pub fn power_cut(&mut self) -> Result<()> {
        self.again(kill)
    }

    /// Powers the box off in order; [`Sandbox::boot`] boots it again. Errors: it will not stop.
    pub fn power_off(&mut self) -> Result<()> {
        let Some(nspawn) = self.record.nspawn() else { return Ok(()) };
        let leader = nspawn.leader();
        nspawn.signal("TERM");
        if !nspawn.wait_gone(HALT_LIMIT) {
            kill(nspawn, leader);
        }
        self.wait_for_keeper()
    }

    /// Waits until the box has rebooted by itself (someone said `reboot` inside) and its sshd answers again. `before`
    /// is [`Sandbox::leader`] from before. Errors: it does not within `limit`.
    pub fn wait_for_reboot(&self, before: Option<u32>, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let rebooted = || self.leader().is_some_and(|leader| Some(leader) != before);
        if !wait_until(limit, rebooted) {
            return Err(self.boot_failed("it did not reboot in time"));
        }
        self.wait_for_ssh(end.saturating_duration_since(Instant::now()))
    }

    fn again(&mut self, stop: impl Fn(Process, Option<Process>)) -> Result<()> {
        let Some(nspawn) = self.record.nspawn() else { return self.boot() };
        let leader = nspawn.leader();
        let want = self.record.file("want");
        fs::write(&want, "again\n").doing(|| format!("can not write {}", want.display()))?;
        stop(nspawn, leader);
        self.wait_for_reboot(leader.map(|process| process.id), BOOT_LIMIT)
    }

    fn start_keeper(&mut self) -> Result<()> {
        self.wait_for_keeper()?;
        write_environment(&self.record)?;
        let console = self.record.file("console.log");
        let log = File::options().create(true).append(true).open(&console);
        let log = log.doing(|| format!("can not write {}", console.display()))?;
        let errors = log.try_clone().doing(|| format!("can not write {}", console.display()))?;
        let (script, state) = (self.record.file("boot.sh"), self.record.directory());
        // A session of its own: neither Ctrl-C nor the end of a terminal reaches the box.
        let mut keeper = command(&["setsid", "sh", &script.to_string_lossy(), "keep", &state.to_string_lossy()]);
        keeper.args(nspawn_arguments(&self.record)).env_clear().env("PATH", PATH).env("LC_ALL", "C");
        for (name, value) in NSPAWN_ENVIRONMENT {
            keeper.env(name, value);
        }
        let mut child =
            keeper.stdout(log).stderr(errors).spawn().doing(|| "can not start the box's keeper".to_owned())?;
        self.record.keeper = Process::find(child.id());
        // Reaps it: a zombie would be taken for a living box by whoever looks at ids alone.
        std::thread::spawn(move || child.wait());
        let lock = registry::lock()?;
        self.record.save(&lock)
    }

    /// The keeper of a box that powered off clears up; a new one must not begin before.
    fn wait_for_keeper(&self) -> Result<()> {
        match self.record.keeper {
            Some(keeper) if !keeper.wait_gone(HALT_LIMIT) => Err(self.boot_failed("its keeper does not end")),
            _ => Ok(()),
        }
    }

    fn wait_for_ssh(&self, limit: Duration) -> Result<()> {
        let mut kept = true;
        let answers = wait_until(limit, || {
            kept = self.record.keeper.is_some_and(Process::lives);
            !kept || self.ssh_answers()
        });
        match (kept, answers) {
            (true, true) => Ok(()),
            (false, _) => Err(self.boot_failed("it stopped")),
            (true, false) => Err(self.boot_failed("sshd does not answer")),
        }
    }

    fn ssh_answers(&self) -> bool {
        // A first packet that is lost because the link is not up yet is sent again only after a second.
        let reached = TcpStream::connect_timeout(&self.ssh_address(), Duration::from_millis(100));
        let Ok(mut stream) = reached else { return false };
        // Without the link the address is sought through the default route, where a gateway may answer for anyone.
        if !stream.local_addr().is_ok_and(|local| local.ip() == self.host_ipv4()) {
            return false;
        }
        let mut start = [0; 4];
        stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
            && stream.read_exact(&mut start).is_ok()
            && start == *b"SSH-"
    }

    fn boot_failed(&self, why: &'static str) -> Error {
        Error::BootFailed { name: self.name().to_owned(), why, console: last_lines(&self.console(), 6) }
    }
}

/// Kills everything inside, then what held it.
pub(super) fn kill(nspawn: Process, leader: Option<Process>) {
    if let Some(leader) = leader {
        leader.signal("KILL");
    }
    if !nspawn.wait_gone(Duration::from_secs(5)) {
        nspawn.signal("KILL");
        nspawn.wait_gone(Duration::from_secs(5));
    }
}

/// `/sys` and all of `/proc/sys` but `net` stay read-only, for they are this machine's; `/tmp` is on the disk, as on
/// a provider's image.
const NSPAWN_ENVIRONMENT: [(&str, &str); 2] =
    [("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network"), ("SYSTEMD_NSPAWN_TMPFS_TMP", "0")];

/// Whether systemd manages this machine: then nspawn asks it for a scope, and the box's limits are that scope's.
/// Elsewhere the keeper makes the control group itself.
fn is_managed() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn nspawn_arguments(record: &Record) -> Vec<String> {
    let mut arguments = vec![
        "--boot".to_owned(),
        "--quiet".to_owned(),
        "--register=no".to_owned(),
        "--resolv-conf=off".to_owned(),
        "--timezone=off".to_owned(),
        "--link-journal=no".to_owned(),
        "--capability=all".to_owned(),
        // Neither modules nor the clock belong to a box.
        "--drop-capability=CAP_SYS_MODULE,CAP_SYS_TIME".to_owned(),
        // What Docker, mounts and swap need beyond a plain container.
        "--system-call-filter=@keyring bpf @swap @mount".to_owned(),
        format!("--machine=bedplate-{}", record.name),
        format!("--hostname={}", record.name),
        format!("--directory={}", record.root().display()),
        format!("--network-namespace-path=/run/netns/{}", record.namespace()),
    ];
    if is_managed() {
        arguments.push("--property=DeviceAllow=block-loop rwm".to_owned());
        arguments.extend(record.memory_limit_mib.map(|mib| format!("--property=MemoryMax={mib}M")));
    } else {
        arguments.push("--keep-unit".to_owned());
    }
    arguments
}

/// The names that `boot.sh` uses.
fn write_environment(record: &Record) -> Result<()> {
    let memory = record.memory_limit_mib.map(|mib| (mib * 1024 * 1024).to_string()).unwrap_or_default();
    let values = [
        ("BOX_NAME", record.name.clone()),
        ("BOX_NAMESPACE", record.namespace()),
        ("BOX_LINK", record.link_name()),
        ("BOX_NETWORK", record.link.network().to_string()),
        ("BOX_ROOT", record.root().to_string_lossy().into_owned()),
        ("BOX_HOST4", record.link.host4.to_string()),
        ("BOX_GUEST4", record.link.guest4.to_string()),
        ("BOX_HOST6", record.link.host6.to_string()),
        ("BOX_GUEST6", record.link.guest6.to_string()),
        ("BOX_MEMORY", memory),
        ("BOX_GROUPS", if is_managed() { String::new() } else { "own".to_owned() }),
    ];
    let mut text = String::new();
    for (name, value) in values {
        let quoted = crate::shell::quote(&value).map_err(std::io::Error::other);
        text += &format!("{name}={}\n", quoted.doing(|| format!("can not use `{value}` as {name}"))?);
    }
    image::put(&record.directory(), "environment", &text)
}

/// `words` as a command inside the box, as root, with a login's environment. Errors: the box does not run.
pub(super) fn inside(record: &Record, words: &[&str]) -> Result<Command> {
    let leader = record.leader().ok_or_else(|| Error::NotRunning(record.name.clone()))?.id.to_string();
    let mut enter = command(&["nsenter", "--target", &leader, "--all", "--root", "--wd", "--"]);
    enter.args(words).env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8");
    enter.env("HOME", "/root").env("USER", "root").env("LOGNAME", "root").env("SHELL", "/bin/bash");
    Ok(enter)
}
