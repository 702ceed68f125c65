//! A box, and the program run against it as a user would run it.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use bedplate::sandbox::{self, Options, Sandbox, Suite};

pub(crate) use super::ran::Ran;

/// A box with a working folder for the program.
pub(crate) struct Rig {
    pub(crate) sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Rig {
    /// A bare box of `suite`.
    pub(crate) fn up(suite: Suite) -> Self {
        Self::made(&Options { suite, ..Options::default() })
    }

    /// A bare box as `options` say.
    pub(crate) fn made(options: &Options) -> Self {
        let sandbox =
            sandbox::up(options, &|_| {}).unwrap_or_else(|error| panic!("a box can not be made here: {error}"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = format!(
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  IdentityFile {}\n  IdentitiesOnly yes\n",
            sandbox.known_hosts().display(),
            sandbox.key().display()
        );
        std::fs::write(folder.path().join("ssh_config"), config).expect("a file in a temporary folder");
        Self { sandbox, folder }
    }

    /// `root@address`.
    pub(crate) fn address(&self) -> String {
        format!("root@{}", self.sandbox.ipv4())
    }

    /// The program with `words`, in the working folder, not yet run.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate"));
        command.args(words).current_dir(self.folder.path()).stdin(std::process::Stdio::null());
        command.env_remove("SSH_AUTH_SOCK").env("NO_COLOR", "1");
        command
    }

    /// Writes a file in the working folder.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A path in the working folder.
    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    /// Reads a file in the working folder.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(path)).expect("a file")
    }

    /// Writes a program in the working folder.
    pub(crate) fn program(&self, path: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(path, text);
        let path = self.folder.path().join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    }

    /// `VERB root@BOX` with what every test of a box needs, and `more`.
    fn words(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let (address, swap) = (self.address(), format!("swap_path=/swapfile-{}", self.sandbox.name()));
        let mut words = vec![verb, &address, "-F", "ssh_config", "--set", "docker_source=distribution"];
        words.extend(["--set", &swap, "--set", "swap_size=64M"]);
        if verb == "apply" {
            words.push("--yes");
        }
        words.extend(more);
        words.into_iter().map(str::to_owned).collect()
    }

    /// Runs `bedplate VERB root@BOX` with what every test of a box needs, and `more`.
    pub(crate) fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let words = self.words(verb, more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ran::of(&self.command(&words).output().expect("the program runs"))
    }

    /// The same by another login than root's.
    pub(crate) fn run_as(&self, user: &str, verb: &str, more: &[&str]) -> Ran {
        let mut words = self.words(verb, more);
        words[1] = format!("{user}@{}", self.sandbox.ipv4());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ran::of(&self.command(&words).output().expect("the program runs"))
    }

    /// The same at a terminal, where each of `answers` is typed once its question stands there. What is printed counts
    /// as standard output.
    pub(crate) fn typed(&self, verb: &str, more: &[&str], answers: &[(&str, &str)]) -> Ran {
        super::tools::need("script", "bsdutils");
        let words = self.words(verb, more);
        let program = std::iter::once(env!("CARGO_BIN_EXE_bedplate")).chain(words.iter().map(String::as_str));
        let line = shlex::try_join(program).expect("words without a NUL");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(self.folder.path());
        command.env_remove("SSH_AUTH_SOCK").env("NO_COLOR", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
        let (mut keyboard, mut screen) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (mut shown, mut part) = (Vec::new(), [0; 4096]);
        let mut answers = answers.iter();
        let mut next = answers.next();
        while let Ok(length @ 1..) = screen.read(&mut part) {
            shown.extend_from_slice(&part[..length]);
            if let Some((question, answer)) = next
                && String::from_utf8_lossy(&shown).contains(question)
            {
                writeln!(keyboard, "{answer}").expect("typed");
                next = answers.next();
            }
        }
        let code = child.wait().expect("an end").code().unwrap_or(-1);
        Ran { code, stdout: String::from_utf8_lossy(&shown).into_owned(), stderr: String::new() }
    }

    /// Reboots the box, with its addresses and its disk.
    pub(crate) fn reboot(&mut self) {
        self.sandbox.reboot().expect("the box comes back");
    }

    /// Runs a shell line inside as root and gives its standard output; fails when it fails.
    #[track_caller]
    pub(crate) fn inside(&self, line: &str) -> String {
        self.sandbox.ask(&["sh", "-c", line]).unwrap_or_else(|error| panic!("`{line}` in the box: {error}"))
    }

    /// Runs a shell line in a new login over ssh.
    pub(crate) fn login(&self, user: &str, line: &str) -> Ran {
        Ran::of(&self.sandbox.ssh(user, [line]).output().expect("ssh runs"))
    }

    /// A new login over ssh that offers no key: what it says tells which ways in there are.
    pub(crate) fn login_without_key(&self, user: &str) -> Ran {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "PubkeyAuthentication=no", "-o"]);
        command.arg(format!("UserKnownHostsFile={}", self.sandbox.known_hosts().display()));
        command.arg(format!("{user}@{}", self.sandbox.ipv4())).arg("true");
        Ran::of(&command.output().expect("ssh runs"))
    }
}
