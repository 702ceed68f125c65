//! Ansible and pyinfra on the same state, where they are installed: the folder in BEDPLATE_PEERS holds `ansible/site.yml` with
//! its `ansible.cfg`, and `pyinfra/inventory.py` (which reads PEER_HOSTS and PEER_KEY) with `deploy.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fleet::{Box, Fleet, Way};
use super::goals::Goals;
use super::page::Page;
use super::sample::{Rounds, Sample, measured};
use super::steady::{CHECK, TRUE};

/// Rounds; a peer takes many seconds for one.
const ROUNDS: usize = 3;

const ANSIBLE: &str = "Ansible, nothing to do";
const PYINFRA: &str = "pyinfra, nothing to do";

struct Peers {
    folder: PathBuf,
    ansible: bool,
    pyinfra: bool,
}

impl Peers {
    fn found() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os("BEDPLATE_PEERS")?);
        let runs = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
        let peers = Self { folder, ansible: runs("ansible-playbook"), pyinfra: runs("pyinfra") };
        (peers.ansible || peers.pyinfra).then_some(peers)
    }

    fn ansible(&self, one: &Box, scratch: &Path) -> Command {
        let inventory = scratch.join("hosts.ini");
        let (name, ip, key) = (one.sandbox.name(), one.sandbox.ipv4(), one.sandbox.key());
        let line =
            format!("{name} ansible_host={ip} ansible_user=root ansible_ssh_private_key_file={}\n", key.display());
        std::fs::write(&inventory, line).expect("a file");
        let mut command = Command::new("ansible-playbook");
        command
            .arg("-i")
            .arg(inventory)
            .arg(self.folder.join("ansible/site.yml"))
            .current_dir(self.folder.join("ansible"));
        command.env("ANSIBLE_LOCAL_TEMP", scratch).env("ANSIBLE_SSH_CONTROL_PATH_DIR", scratch);
        // Every run makes its own connection, as a run in CI does.
        command.env(
            "ANSIBLE_SSH_ARGS",
            format!(
                "-o ControlMaster=auto -o ControlPersist=2s -o UserKnownHostsFile={}",
                one.sandbox.known_hosts().display()
            ),
        );
        command
    }

    fn pyinfra(&self, one: &Box, scratch: &Path) -> Command {
        // It reads the host's key in the home folder alone.
        let home = scratch.join(".ssh");
        std::fs::create_dir_all(&home).expect("a folder");
        std::fs::copy(one.sandbox.known_hosts(), home.join("known_hosts")).expect("the host's key");
        let mut command = Command::new("pyinfra");
        command.args(["-y", "inventory.py", "deploy.py"]).current_dir(self.folder.join("pyinfra"));
        command.env("PEER_HOSTS", one.sandbox.ipv4().to_string()).env("PEER_KEY", one.sandbox.key());
        command.env("HOME", scratch);
        command
    }
}

/// What a run of Ansible cost that has found nothing to change, but for the one setting that its own look at the firewall
/// takes back each time.
fn nothing_to_do((sample, said): (Sample, String)) -> Sample {
    let changed: Vec<&str> = said.lines().filter(|line| line.starts_with("changed: ")).collect();
    assert!(changed.iter().all(|line| line.contains("log_martians")), "Ansible has changed something again:\n{said}");
    sample
}

/// Brings a box of each peer's own to its state, then runs all in turn.
pub(crate) fn measure(fleet: &Fleet, page: &mut Page, goals: &mut Goals) {
    let Some(peers) = Peers::found() else {
        super::say(
            "NOT COMPARED with Ansible and pyinfra: BEDPLATE_PEERS names no folder of theirs, or neither program is installed",
        );
        return;
    };
    page.part(
        "Ansible and pyinfra",
        "The same state by each, on a box of its own that is there already. Nothing is to be done.",
    );
    let others = Fleet::up(2);
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let (one, ours) = (&fleet.boxes[0], |command: Command| measured(&command, 0, None).0);
    let mut login = || ours(one.ssh(Way::Near, &["true"]));
    let mut check = || ours(one.bedplate(Way::Near, "check", &[]));
    // Both expect a host that has these; Ansible can do nothing without the one, and neither installs the other.
    for one in &others.boxes {
        one.inside("apt-get -qq update && apt-get -qq -y install python3 sudo >/dev/null");
        // A container may not set the kernel's values, which both do: there they are files like any others.
        one.inside("cp -r /proc/sys /run/kernel-settings 2>/dev/null; mount --bind /run/kernel-settings /proc/sys");
    }
    let mut ansible = || nothing_to_do(measured(&peers.ansible(&others.boxes[0], scratch.path()), 0, None));
    let mut pyinfra = || ours(peers.pyinfra(&others.boxes[1], scratch.path()));
    let mut subjects: Vec<(&'static str, &mut dyn FnMut() -> Sample)> = vec![(TRUE, &mut login), (CHECK, &mut check)];
    if peers.ansible {
        measured(&peers.ansible(&others.boxes[0], scratch.path()), 0, None);
        subjects.push((ANSIBLE, &mut ansible));
    }
    if peers.pyinfra {
        pyinfra();
        subjects.push((PYINFRA, &mut pyinfra));
    }
    let rounds = Rounds::run(ROUNDS, &mut subjects);
    page.rounds("0 ms", &rounds);
    if peers.ansible {
        goals.at_most("a check takes, of Ansible (a fiftieth)", 1.0 / 50.0, rounds.ratio(CHECK, ANSIBLE), "");
    }
    if peers.pyinfra {
        goals.at_most("a check takes, of pyinfra (a twenty-fifth)", 1.0 / 25.0, rounds.ratio(CHECK, PYINFRA), "");
    }
}
