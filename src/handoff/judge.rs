//! The gate's verdicts: what was seen against what Kamal needs, each with its reason and its fix. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::local::Seen;
use super::look::{Docker, Look, Questions, Registry};
use super::net_ssh;
use crate::base::event::{Readiness, ReadyCheck};
use crate::inventory::deploy::{self, Deploy};
use crate::ssh::Offers;
use crate::ssh::known_hosts::KnownAs;

/// Kilobytes of free room below which Docker can not be expected to pull an image, and below which it will soon not.
const NO_ROOM: u64 = 1024 * 1024;
const LITTLE_ROOM: u64 = 4 * 1024 * 1024;
/// Seconds by which clocks may differ; certificates and registries' tokens bear more.
const CLOCKS: i64 = 60;
/// Docker's version from which on nothing is said, and the oldest with which Kamal 2.12 was seen to deploy.
const DOCKER: (u32, u32) = (24, 0);
const OLDEST_DOCKER: (u32, u32) = (20, 10);

/// Everything that was seen of one host.
#[derive(Debug, Default)]
pub(super) struct Case<'a> {
    /// Kamal's login.
    pub(super) user: &'a str,
    /// What it found.
    pub(super) look: Look,
    /// What was asked for, in the order of the answers.
    pub(super) questions: Questions,
    /// What sshd offers.
    pub(super) offers: Offers,
    /// Kamal's configuration.
    pub(super) deploy: Option<&'a Deploy>,
    /// How this machine knows the host.
    pub(super) known: KnownAs,
    /// Ports that Kamal's proxy publishes on this host.
    pub(super) proxy_ports: Vec<u16>,
    /// How ports look from here; `None` when there is a host between.
    pub(super) knocks: Option<Vec<Knock>>,
    /// The time here, in seconds since 1970.
    pub(super) now: i64,
    /// Names of secrets, and the files that they are from.
    pub(super) secrets: (BTreeSet<String>, Vec<String>),
    /// The names that the proxy serves, with their addresses.
    pub(super) names: Vec<(String, BTreeSet<IpAddr>)>,
    /// The host's own addresses.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Whether a listening port may be forwarded to this machine, as sshd says; `None` when it could not be asked.
    pub(super) forwarding: Option<String>,
    /// What a plan on the host would change, by tasks; an error when there is no plan.
    pub(super) plan: Option<Result<Vec<String>, String>>,
}

/// How a port of the host looks from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Knock {
    /// Which of the host's addresses.
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) seen: Seen,
}

/// Collects verdicts.
struct Judge {
    checks: Vec<ReadyCheck>,
}

impl Judge {
    fn ready(&mut self, check: &str, what: impl Into<String>) {
        self.push(check, Readiness::Ready, what, None);
    }

    fn warn(&mut self, check: &str, what: impl Into<String>, help: impl Into<String>) {
        self.push(check, Readiness::Warning, what, Some(help.into()));
    }

    fn fail(&mut self, check: &str, what: impl Into<String>, help: impl Into<String>) {
        self.push(check, Readiness::NotReady, what, Some(help.into()));
    }

    fn push(&mut self, check: &str, readiness: Readiness, what: impl Into<String>, help: Option<String>) {
        self.checks.push(ReadyCheck { check: check.to_owned(), readiness, what: what.into(), help });
    }
}

/// Every check of `case`, in the order in which Kamal would meet what they are about.
pub(super) fn judge(case: &Case<'_>) -> Vec<ReadyCheck> {
    let mut judge = Judge { checks: Vec::new() };
    algorithms(case, &mut judge);
    known_host(case, &mut judge);
    home(case, &mut judge);
    docker(case, &mut judge);
    ports::judge(case, &mut judge);
    registry(case, &mut judge);
    storage::judge(case, &mut judge);
    system(case, &mut judge);
    if let Some(deploy) = case.deploy {
        configuration(case, deploy, &mut judge);
    }
    match &case.plan {
        None => {}
        Some(Ok(tasks)) if tasks.is_empty() => judge.ready("in-sync", "the host is as its playbooks declare it"),
        Some(Ok(tasks)) => {
            let some = tasks.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            let what = format!(
                "{} of the playbooks' tasks do not hold: {some}{}",
                tasks.len(),
                if tasks.len() > 3 { " …" } else { "" }
            );
            judge.fail("in-sync", what, "run `bedplate apply`, then this again");
        }
        Some(Err(why)) => {
            let what = format!("whether the playbooks' tasks hold is not known: {why}");
            judge.fail("in-sync", what, "name a login that may become root, as in `bedplate ready admin@HOST`");
        }
    }
    judge.checks
}

fn algorithms(case: &Case<'_>, judge: &mut Judge) {
    if case.offers == Offers::default() {
        return judge.warn("ssh-algorithms", "what sshd offers was not seen", "look at `sshd -T` on the host");
    }
    let mut common = Vec::new();
    for (sort, keyword, agreed) in net_ssh::agreed(&case.offers) {
        match agreed {
            Ok(name) => common.push(name),
            Err(ours) => {
                let what = format!("sshd and Kamal have no {sort} algorithm in common: Kamal is locked out");
                judge.fail("ssh-algorithms", what, format!("let `{keyword}` of sshd_config hold one of {ours}"));
            }
        }
    }
    if common.len() == 4 {
        judge.ready("ssh-algorithms", format!("Kamal and sshd agree on {}", common.join(", ")));
    }
}

fn known_host(case: &Case<'_>, judge: &mut Judge) {
    match case.known {
        KnownAs::Plain => judge.ready("known-host", "this machine knows the host's key by a line that Kamal reads too"),
        KnownAs::Veiled => judge.warn(
            "known-host",
            "this machine knows the host's key by a hashed line, which Kamal can take for another host's",
            "`bedplate handoff` adds a plain one; or add it with `ssh-keyscan`, and compare the key",
        ),
        KnownAs::NotAtAll => judge.warn(
            "known-host",
            "the host's key is not among this machine's known hosts: Kamal will take whatever key it is shown first",
            "`bedplate handoff` adds the key that was seen here",
        ),
    }
}

/// Whether the app runs on a host of these groups, as far as its containers' names tell. Where it has no business it is
/// not missing.
pub(super) fn deployed(look: &Look, deploy: &Deploy, groups: &[String]) -> bool {
    let roles: Vec<_> = deploy.roles.iter().filter(|role| groups.is_empty() || groups.contains(&role.name)).collect();
    let Some(service) = deploy.service.known() else { return false };
    let runs = |start: &str| look.docker.containers.iter().any(|(name, _)| name.starts_with(start));
    roles.iter().all(|role| runs(&format!("{service}-{}-", role.name)) && (role.proxy.is_none() || runs("kamal-proxy")))
}

fn home(case: &Case<'_>, judge: &mut Judge) {
    let look = &case.look;
    if look.home_writable {
        judge.ready("home", format!("{} can write to {}", case.user, look.home));
    } else {
        let what = format!("{} can not write to {}, where Kamal keeps its lock and its files", case.user, look.home);
        judge.fail("home", what, format!("`chown -R {0}: {1}` on the host", case.user, look.home));
    }
    if look.scp {
        judge.ready("scp", "scp is there");
    } else {
        judge.fail("scp", "scp is missing: Kamal brings environment files by it", "install openssh-client on the host");
    }
    if look.locks.is_empty() {
        judge.ready("lock", "no lock of an earlier deploy is left");
    } else {
        let what = format!("a deploy runs or was cut off: {} is there", look.locks.join(", "));
        judge.fail("lock", what, "when no deploy runs: `kamal lock release`");
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn docker(case: &Case<'_>, judge: &mut Judge) {
    let Docker { client, status, said, info, network, .. } = &case.look.docker;
    if !client {
        return judge.fail("docker", "docker is missing", "run `bedplate apply`");
    }
    if *status != 0 {
        let help = if said.contains("permission denied") {
            format!("put {} into the group docker: `bedplate apply` does", case.user)
        } else {
            "`systemctl status docker` on the host tells why it does not run; `bedplate apply` starts it".to_owned()
        };
        return judge.fail("docker", format!("Docker does not answer {}: {said}", case.user), help);
    }
    match version(said) {
        Some(found) if found >= DOCKER => judge.ready("docker", format!("Docker {said} answers {}", case.user)),
        Some(found) if found >= OLDEST_DOCKER => {
            let what = format!("Docker {said} is old, as the distribution has it; Kamal 2.12 deploys with it");
            judge.warn("docker", what, "`docker_source = \"docker\"` brings the newest");
        }
        _ => judge.fail("docker", format!("Docker {said} is too old for Kamal 2"), "upgrade it to 24 or newer"),
    }
    if info.contains("rootless") {
        judge.fail(
            "docker-root",
            "Docker runs without root, so it can not publish 80 and 443",
            "run it as the system's service",
        );
    }
    match network.as_str() {
        "" => judge.ready("network", "there is no network kamal yet; Kamal makes it"),
        "bridge" => judge.ready("network", "the network kamal is there"),
        other => {
            let what = format!("the network kamal has the driver {other}, and Kamal's containers want a bridge");
            judge.fail("network", what, "`docker network rm kamal` on the host, then `bedplate apply`");
        }
    }
}

fn registry(case: &Case<'_>, judge: &mut Judge) {
    let Some(deploy) = case.deploy else { return };
    if deploy.registry.is_local() {
        match case.forwarding.as_deref() {
            Some("yes" | "all" | "remote") => {
                judge.ready("registry", "sshd lets Kamal forward the port of the registry of this machine");
            }
            Some(other) => {
                let what = format!(
                    "sshd has `AllowTcpForwarding {other}`, and Kamal lends the host its registry by a forwarded port"
                );
                judge.fail("registry", what, "set `ssh_settings = { AllowTcpForwarding = \"yes\" }` in bedplate.toml");
            }
            None => judge.warn(
                "registry",
                "whether sshd lets Kamal forward a port is not known",
                "look at `sshd -T` on the host",
            ),
        }
        return;
    }
    let name = deploy.registry.server.known().map_or("Docker Hub", String::as_str);
    let Some(Registry { how, status, said, code }) = &case.look.registry else { return };
    if how.is_empty() {
        let help = "install curl on the host, or try `docker login` there";
        return judge.warn(
            "registry",
            format!("whether {name} can be reached from the host is not known: it has no curl"),
            help,
        );
    }
    match (status, code) {
        (0, 401) => judge.ready("registry", format!("{name} answers the host over TLS, and asks for a login")),
        (0, 0 | 200 | 403) => judge.ready("registry", format!("{name} answers the host over TLS")),
        (0, code) => {
            let what = format!("{name} answers the host with {code}, which a registry does not: a login will fail");
            judge.warn("registry", what, "look at `registry: { server: … }` in config/deploy.yml");
        }
        (status, _) => {
            let what = format!("{name} can not be reached from the host: {how} ended with {status}: {said}");
            judge.fail("registry", what, "look at the host's DNS, its way out, and the registry's certificate");
        }
    }
}

fn system(case: &Case<'_>, judge: &mut Judge) {
    let look = &case.look;
    for (folder, free) in &look.free {
        let room = format!("{}.{} GB", free / 1024 / 1024, free / 1024 % 1024 * 10 / 1024);
        let help = "`docker system prune -a` on the host frees what no container uses";
        match free {
            0..NO_ROOM => judge.fail("disk", format!("{folder} has {room} free: images will not fit"), help),
            NO_ROOM..LITTLE_ROOM => {
                judge.warn("disk", format!("{folder} has {room} free: a few images will fill it"), help)
            }
            _ => judge.ready("disk", format!("{folder} has {room} free")),
        }
    }
    if look.swaps.is_empty() {
        judge.warn(
            "swap",
            "there is no swap: what needs more memory than there is gets killed",
            "run `bedplate apply`",
        );
    } else {
        judge.ready("swap", "swap is on");
    }
    let apart = (look.time - case.now).abs();
    if apart > CLOCKS {
        let what =
            format!("the host's clock and this one are {apart} s apart: certificates and tokens will be refused");
        judge.fail("clock", what, "`timedatectl` on the host tells whether it is kept; look at this machine's too");
    } else if look.synchronised == "no" {
        judge.warn(
            "clock",
            "the clock is right, and nothing keeps it so",
            "run `bedplate apply`, or wait for its first answer",
        );
    } else {
        judge.ready("clock", "the clock is right");
    }
    if look.reboot {
        judge.warn(
            "reboot",
            "a reboot waits: a new kernel or library is not in use yet",
            "reboot it before there is an app on it",
        );
    }
    if look.half_installed.is_empty() {
        judge.ready("packages", "no package is half installed");
    } else {
        let what = format!("packages are half installed: {}", look.half_installed.join(", "));
        judge.fail("packages", what, "`dpkg --configure -a && apt-get -f install` on the host");
    }
}

fn configuration(case: &Case<'_>, deploy: &Deploy, judge: &mut Judge) {
    let rejected = deploy::rejected(deploy);
    for wrong in rejected.iter() {
        let place = wrong.at.as_ref().map(|(span, _)| format!("{}: ", span.line())).unwrap_or_default();
        judge.fail("deploy.yml", format!("{place}{}", wrong.message), wrong.help.join("; "));
    }
    if rejected.is_empty() {
        judge.ready("deploy.yml", "Kamal 2 takes the file");
    }
    exposed(deploy, judge);
    let machine = match case.look.machine.as_str() {
        "x86_64" => "amd64",
        "aarch64" | "arm64" => "arm64",
        other => other,
    };
    let arch: Vec<&str> = deploy.arch.iter().map(|arch| arch.value.as_str()).collect();
    if arch.contains(&machine) {
        judge.ready("architecture", format!("images are built for {machine}, as the host is"));
    } else if !arch.is_empty() {
        let what = format!("images are built for {}, and the host is {machine}: they will not start", arch.join(", "));
        judge.fail("architecture", what, format!("set `builder: {{ arch: {machine} }}` in config/deploy.yml"));
    }
    let (names, files) = &case.secrets;
    let missing: Vec<&str> =
        deploy.secrets.iter().map(|secret| secret.value.as_str()).filter(|name| !names.contains(*name)).collect();
    if !missing.is_empty() {
        let of = if files.is_empty() {
            "there is no file of secrets".to_owned()
        } else {
            format!("not in {}", files.join(", "))
        };
        let first = missing.first().copied().unwrap_or_default();
        let help = format!("add lines such as `{first}=${first}` to {}", deploy.secrets_path);
        judge.fail(
            "secrets",
            format!("deploy.yml names secrets that Kamal will not find ({of}): {}", missing.join(", ")),
            help,
        );
    } else if !deploy.secrets.is_empty() {
        judge.ready("secrets", format!("{} names every secret that deploy.yml does", files.join(", ")));
    }
    for (name, found) in &case.names {
        if found.is_empty() {
            let help = "point it to the host before the first request; certificates come only then";
            judge.warn("dns", format!("{name} has no address"), help);
        } else if found.is_disjoint(&case.addresses) {
            let what = format!("{name} leads to another machine");
            judge.warn(
                "dns",
                what,
                "point it to the host; with a proxy such as Cloudflare's before it that is as it should be",
            );
        } else {
            judge.ready("dns", format!("{name} leads here"));
        }
    }
}

/// Accessories' ports without an address: Docker opens them to the world, and Kamal's documentation now asks for one.
fn exposed(deploy: &Deploy, judge: &mut Judge) {
    for accessory in &deploy.accessories {
        for port in accessory.ports.iter().filter(|port| !has_address(&port.value)) {
            let what = format!("{}: the port {} of {} is for everybody", port.span.line(), port.value, accessory.name);
            let inner = port.value.rsplit(':').next().unwrap_or_default();
            let outer = port.value.split(':').next().unwrap_or_default();
            judge.warn(
                "accessory-port",
                what,
                format!("write \"127.0.0.1:{outer}:{inner}\", or \"0.0.0.0:{outer}:{inner}\" if that is meant"),
            );
        }
    }
}

/// Whether what is published names the address that it is published on: `ADDRESS:PORT:PORT`, `[ADDRESS]:PORT:PORT`.
fn has_address(port: &str) -> bool {
    port.starts_with('[') || port.split('/').next().unwrap_or_default().matches(':').count() >= 2
}

mod ports;
mod storage;
#[cfg(test)]
mod tests;

pub(super) use ports::published;
pub(super) use storage::{files, folders, volumes};
