//! Boxes, near and far: each is reached directly and through a relay that makes a round trip take 50 ms.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bedplate::sandbox::{self, Options, Relay, Sandbox, Suite};

/// One way of a round trip of 50 ms.
const DELAY: Duration = Duration::from_millis(25);

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Directly.
    Near,
    /// Through the relay.
    Far,
}

impl Way {
    pub(crate) const BOTH: [Way; 2] = [Way::Near, Way::Far];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Near => "0 ms",
            Self::Far => "50 ms",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

/// A box and the relay to it.
pub(crate) struct Box {
    pub(crate) sandbox: Sandbox,
    pub(crate) relay: Relay,
    folder: tempfile::TempDir,
}

impl Box {
    fn up() -> Self {
        let options = Options { suite: Suite::Bookworm, ..Options::default() };
        let sandbox =
            sandbox::up(&options, &|_| {}).unwrap_or_else(|error| panic!("a box can not be made here: {error}"));
        let relay = Relay::start(sandbox.ssh_address(), DELAY).expect("a relay");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let this = Self { sandbox, relay, folder };
        for way in Way::BOTH {
            std::fs::write(this.folder.path().join(way.config()), this.config(way)).expect("a file");
        }
        this
    }

    /// Its entry in ssh's configuration.
    fn config(&self, way: Way) -> String {
        let address = match way {
            Way::Near => self.sandbox.ssh_address(),
            Way::Far => self.relay.address(),
        };
        let (name, known, key) = (self.sandbox.name(), self.sandbox.known_hosts(), self.sandbox.key());
        let (ip, port, alias) = (SocketAddr::ip(&address), address.port(), self.sandbox.ipv4());
        format!(
            "Host {name}\n  HostName {ip}\n  Port {port}\n  HostKeyAlias {alias}\n  User root\n  UserKnownHostsFile {}\n  \
             GlobalKnownHostsFile /dev/null\n  IdentityFile {}\n  IdentitiesOnly yes\n  BatchMode yes\n",
            known.display(),
            key.display()
        )
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The relay, where it is on the way.
    pub(crate) fn counted(&self, way: Way) -> Option<&Relay> {
        (way == Way::Far).then_some(&self.relay)
    }

    /// `ssh BOX WORDS`.
    pub(crate) fn ssh(&self, way: Way, words: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.folder().join(way.config())).arg(self.sandbox.name()).args(words);
        command.env_remove("SSH_AUTH_SOCK");
        command
    }

    /// `ssh BOX sh`, fed with a file.
    pub(crate) fn ssh_script(&self, way: Way, file: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "exec ssh -F \"$0\" \"$1\" sh < \"$2\""]);
        command.arg(self.folder().join(way.config())).arg(self.sandbox.name()).arg(file).env_remove("SSH_AUTH_SOCK");
        command
    }

    /// `bedplate VERB BOX`, with the settings that a box can have.
    pub(crate) fn bedplate(&self, way: Way, verb: &str, more: &[&str]) -> Command {
        let mut command = program();
        let swap = format!("swap_path={}", self.swap());
        command.args([verb, self.sandbox.name(), "-F"]).arg(self.folder().join(way.config()));
        command.args(["--set", "docker_source=distribution", "--set", "swap_size=64M", "--set", &swap]).args(more);
        if verb == "apply" {
            command.arg("--yes");
        }
        command
    }

    /// Where its swap file lies: swap is the whole machine's, so each box has a path of its own.
    pub(crate) fn swap(&self) -> String {
        format!("/swapfile-{}", self.sandbox.name())
    }

    /// Applies everything, and is in sync then.
    pub(crate) fn converge(&self) {
        super::say("  applying everything");
        super::sample::measured(&self.bedplate(Way::Near, "apply", &[]), 0, None);
    }

    /// Runs a shell line inside as root.
    #[track_caller]
    pub(crate) fn inside(&self, line: &str) -> String {
        self.sandbox.ask(&["sh", "-c", line]).unwrap_or_else(|error| panic!("`{line}` in the box: {error}"))
    }
}

/// bedplate in an environment of its own.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate"));
    command.env_remove("SSH_AUTH_SOCK").env("NO_COLOR", "1").current_dir(std::env::temp_dir());
    command
}

/// Boxes, torn down when this goes.
pub(crate) struct Fleet {
    pub(crate) boxes: Vec<Box>,
    folder: tempfile::TempDir,
}

impl Fleet {
    /// So many bare boxes.
    pub(crate) fn up(count: usize) -> Self {
        super::say(&format!("booting {count} box{}", if count == 1 { "" } else { "es" }));
        let boxes: Vec<Box> = (0..count).map(|_| Box::up()).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        for way in Way::BOTH {
            let text: String = boxes.iter().map(|one| one.config(way)).collect();
            std::fs::write(folder.path().join(way.config()), text).expect("a file");
        }
        Self { boxes, folder }
    }

    /// `bedplate VERB` on the first `count` boxes, all at once.
    pub(crate) fn bedplate(&self, count: usize, way: Way, verb: &str) -> Command {
        let mut command = program();
        command.arg(verb).args(self.boxes[..count].iter().map(|one| one.sandbox.name())).arg("-F");
        command.arg(self.folder.path().join(way.config())).args(["--set", "docker_source=distribution"]);
        command.args(["--set", "swap_size=0", "--forks", &count.to_string()]);
        command
    }

    /// ssh on each of the first `count` boxes, side by side: `true`, or a script.
    pub(crate) fn ssh(&self, count: usize, way: Way, script: Option<&Path>) -> Command {
        let mut command = Command::new("sh");
        let (with, input) = match script {
            Some(file) => ("sh", file.display().to_string()),
            None => ("true", "/dev/null".to_owned()),
        };
        command.args(["-c", "for host; do ssh -F \"$0\" \"$host\" $COMMAND < \"$INPUT\" > /dev/null & done; wait"]);
        command.arg(self.folder.path().join(way.config()));
        command.args(self.boxes[..count].iter().map(|one| one.sandbox.name()));
        command.env("COMMAND", with).env("INPUT", input).env_remove("SSH_AUTH_SOCK");
        command
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
