//! What public examiners say of a host that the built-in playbooks have prepared: ssh-audit and Lynis themselves, and
//! the points of docker-bench-security (sections 2 and 3 of its version 1.6) asked here one by one, since it is in no
//! package registry. The goals are those that this program holds itself to; what is left out for Docker's and Kamal's
//! sake is named beside each.

use std::process::Command;

use bedplate::sandbox::Suite;

use super::support::Rig;

/// What Lynis counts though it helps little here.
const THOROUGH: [&str; 6] = [
    "--set",
    "hardening=thorough",
    "--set",
    "fail2ban=true",
    "--set",
    "unused_modules=[\"dccp\", \"sctp\", \"rds\", \"tipc\", \"firewire-core\", \"firewire-ohci\", \"usb-storage\"]",
];

/// ssh-audit, the newest of PyPI or else Debian's own.
fn ssh_audit(folder: &tempfile::TempDir) -> Command {
    let to = folder.path().join("ssh-audit");
    let pip =
        Command::new("python3").args(["-m", "pip", "install", "-q", "--target"]).arg(&to).arg("ssh-audit").output();
    if pip.is_ok_and(|output| output.status.success()) {
        let mut command = Command::new("python3");
        command.args(["-m", "ssh_audit.ssh_audit"]).env("PYTHONPATH", to);
        return command;
    }
    super::tools::need("ssh-audit", "ssh-audit");
    Command::new("ssh-audit")
}

/// Lines with a fault, but for what is not safe against the computers to come: Kamal can speak nothing that is.
fn faults_of_sshd(rig: &Rig) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = ssh_audit(&folder).args(["-n", "--skip-rate-test", &rig.sandbox.ipv4().to_string()]).output();
    let text = output.or_else(|_| ssh_audit(&folder).args(["-n", &rig.sandbox.ipv4().to_string()]).output());
    let text = String::from_utf8_lossy(&text.expect("ssh-audit runs").stdout).into_owned();
    assert!(text.contains("(kex) curve25519-sha256") && text.contains("(mac) hmac-sha2-256-etm@openssh.com"), "{text}");
    let faults = text.lines().filter(|line| line.contains("[fail]") || line.contains("[warn]"));
    faults.filter(|line| !line.contains("post-quantum")).map(str::to_owned).collect()
}

/// A test of Lynis that is left out: it reads one-line sources of apt alone, and Debian 13 has none.
const BLIND: &str = "PKGS-7388";

/// Lynis' index of hardening: as it says, and as it would be where the kernel is the host's own. In a box the kernel's
/// settings are the machine's: those that bedplate has written for the next boot count there.
fn index_of_lynis(rig: &Rig) -> (u32, u32) {
    rig.inside(&format!(
        "apt-get install -y -q lynis >/dev/null 2>&1 && echo skip-test={BLIND} >/etc/lynis/custom.prf && lynis audit system --quick --no-colors >/root/lynis.txt 2>&1",
    ));
    let log = rig.inside("grep -E 'Hardening index|Currently having|different value' /var/log/lynis.log");
    let last = log.lines().rfind(|line| line.contains("Currently having")).expect("points");
    let mut numbers = last.rsplit("having ").next().unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    let mut numbers = std::iter::from_fn(|| numbers.next()).filter_map(|word| word.parse::<u32>().ok());
    let (have, most) = (numbers.next().expect("points"), numbers.next().expect("most points"));
    let written = rig.inside("cat /etc/sysctl.d/99-zz-bedplate-kernel.conf");
    let of_kernel = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once("sysctl key ")?;
        let (key, wanted) = (rest.split(' ').next()?, rest.split("Expected=").nth(1)?.split(',').next()?);
        let set = |line: &str| line.split_once('=').is_some_and(|(k, v)| k.trim() == key && v.trim() == wanted);
        written.lines().any(set).then_some(())
    });
    let more = u32::try_from(of_kernel.count()).expect("a few");
    let said = log.lines().rfind(|line| line.contains("Hardening index : [")).expect("an index");
    let said = said.split('[').nth(1).and_then(|rest| rest.split(']').next()).and_then(|text| text.parse().ok());
    (said.expect("a number"), (have + more) * 100 / most)
}

/// The points of docker-bench-security: a name, and a line that succeeds where it passes.
const BENCH: [(&str, &str); 25] = [
    (
        "2.2 containers of the default bridge do not reach one another",
        "grep -q '\"icc\": false' /etc/docker/daemon.json",
    ),
    ("2.3 logging level", "! grep -q '\"log-level\"' /etc/docker/daemon.json"),
    ("2.4 Docker may change iptables", "! grep -q '\"iptables\": false' /etc/docker/daemon.json"),
    ("2.5 no insecure registries", "! grep -q insecure-registries /etc/docker/daemon.json"),
    ("2.6 not aufs", "! docker info -f '{{.Driver}}' | grep -q aufs"),
    ("2.9 user namespaces", "grep -q userns-remap /etc/docker/daemon.json"),
    ("2.10 default cgroup", "! grep -q cgroup-parent /etc/docker/daemon.json"),
    ("2.11 base device size", "! grep -q dm.basesize /etc/docker/daemon.json"),
    ("2.12 an authorization plugin", "grep -q authorization-plugins /etc/docker/daemon.json"),
    ("2.13 logs that do not fill the disk", "! docker info -f '{{.LoggingDriver}}' | grep -q json-file"),
    (
        "2.14 no new privileges",
        "docker info -f '{{.SecurityOptions}}' | grep -q no-new-privileges || grep -q '\"no-new-privileges\": true' /etc/docker/daemon.json",
    ),
    ("2.15 live restore", "docker info -f '{{.LiveRestoreEnabled}}' | grep -q true"),
    ("2.16 no userland proxy", "grep -q '\"userland-proxy\": false' /etc/docker/daemon.json"),
    ("2.17 seccomp", "docker info -f '{{.SecurityOptions}}' | grep -q name=seccomp"),
    ("2.18 nothing experimental", "docker info -f '{{.ExperimentalBuild}}' | grep -q false"),
    (
        "3.1 owner of docker.service",
        "stat -c %U:%G \"$(systemctl show -p FragmentPath --value docker.service)\" | grep -qx root:root",
    ),
    (
        "3.2 mode of docker.service",
        "stat -c %a \"$(systemctl show -p FragmentPath --value docker.service)\" | grep -qx 6[04][04]",
    ),
    (
        "3.3 owner of docker.socket",
        "stat -c %U:%G \"$(systemctl show -p FragmentPath --value docker.socket)\" | grep -qx root:root",
    ),
    (
        "3.4 mode of docker.socket",
        "stat -c %a \"$(systemctl show -p FragmentPath --value docker.socket)\" | grep -qx 6[04][04]",
    ),
    ("3.5 owner of /etc/docker", "stat -c %U:%G /etc/docker | grep -qx root:root"),
    ("3.6 mode of /etc/docker", "stat -c %a /etc/docker | grep -qx 7[05][05]"),
    ("3.15 owner of the socket", "stat -c %U:%G /var/run/docker.sock | grep -qx root:docker"),
    ("3.16 mode of the socket", "stat -c %a /var/run/docker.sock | grep -qx 6[46]0"),
    ("3.17 owner of daemon.json", "stat -c %U:%G /etc/docker/daemon.json | grep -qx root:root"),
    ("3.18 mode of daemon.json", "stat -c %a /etc/docker/daemon.json | grep -qx 6[04][04]"),
];

/// Left out: the first hides every image and volume and takes volumes from their owners, the second needs a program of
/// somebody else's, the third closes IPv6 on Docker 20.10 and every connection of a container to its own published port.
const LEFT_OUT: [&str; 3] = ["2.9 user namespaces", "2.12 an authorization plugin", "2.16 no userland proxy"];

/// The goal of Lynis' index is for Debian 12 and 13; what is one less on 11 asks for a package that 12 has dropped.
fn examiners_are_content(suite: Suite) {
    let goal = if suite == Suite::Bullseye { 81 } else { 82 };
    let rig = Rig::up(suite);
    rig.run("apply", &[]).exits(0);
    assert_eq!(faults_of_sshd(&rig), Vec::<String>::new());
    let failing: Vec<&str> = BENCH
        .into_iter()
        .filter(|(_, line)| rig.sandbox.ask(&["sh", "-c", line]).is_err())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(failing, LEFT_OUT);
    assert!(BENCH.len() - 2 * failing.len() >= 7, "a point for each that passes, one off for each that does not");
    rig.run("apply", &THOROUGH).exits(0);
    rig.run("check", &THOROUGH).exits(0);
    let (said, own_kernel) = index_of_lynis(&rig);
    assert!(own_kernel >= goal && said >= 78, "Lynis says {said}, and {own_kernel} with a kernel of its own");
    assert_eq!(faults_of_sshd(&rig), Vec::<String>::new());
    rig.login("deploy", "docker version").exits(0);
}

#[test]
#[ignore = "full tier: examiners that are installed for it"]
fn examiners_on_debian_11() {
    examiners_are_content(Suite::Bullseye);
}

#[test]
#[ignore = "full tier: examiners that are installed for it"]
fn examiners_on_debian_12() {
    examiners_are_content(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: examiners that are installed for it"]
fn examiners_on_debian_13() {
    examiners_are_content(Suite::Trixie);
}
