//! A real OpenSSH server on loopback with its own configuration, keys and port, ended by its process id.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::base::name::HostName;
use crate::ssh::{Agent, Become, Target};

const SSHD: &str = "/usr/sbin/sshd";

/// A running server.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: tempfile::TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    crate::tools::need("ssh-keygen", "openssh-client");
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test key", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .expect("ssh-keygen runs");
    assert!(done.success(), "ssh-keygen {kind} failed");
}

impl Sshd {
    /// A server whose only key is of type `kind`, with `extra` lines first in its configuration.
    pub(crate) fn start(extra: &str) -> Self {
        Self::with_key("ed25519", extra)
    }

    pub(crate) fn with_key(kind: &str, extra: &str) -> Self {
        crate::tools::need("sshd", "openssh-server");
        std::fs::create_dir_all("/run/sshd").ok();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        keygen(&at("host_key"), kind, "");
        keygen(&at("id"), "ed25519", "");
        std::fs::copy(at("id.pub"), at("authorized_keys")).unwrap();
        // The port is free when it is taken here; another process can only take it in the instant before sshd does.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "{extra}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nLogLevel VERBOSE\n",
            at("host_key").display(),
            at("authorized_keys").display()
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        let log = std::fs::File::create(at("log")).unwrap();
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, port, folder };
        server.wait();
        server
    }

    fn wait(&self) {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            if self.log().contains("Server listening") {
                return;
            }
            assert!(Instant::now() < limit, "sshd did not start: {}", self.log());
            std::thread::yield_now();
        }
    }

    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(self.path("log")) {
            file.read_to_string(&mut text).ok();
        }
        text
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The server's public key, as `type base64`.
    pub(crate) fn host_key(&self) -> String {
        let text = std::fs::read_to_string(self.path("host_key.pub")).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// A target that logs in as this user with the right key, to a server that is known.
    pub(crate) fn target(&self) -> Target {
        let known = self.path("known_hosts");
        std::fs::write(&known, format!("[127.0.0.1]:{} {}\n", self.port, self.host_key())).unwrap();
        Target {
            address: "127.0.0.1".to_owned(),
            port: self.port,
            keys: vec![self.path("id")],
            keys_named: true,
            agent: Agent::Off,
            known_hosts: vec![known],
            become_root: Become::Never,
            ..Target::new(HostName::new("box").unwrap(), me())
        }
    }
}

/// The user that the tests run as.
pub(crate) fn me() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
