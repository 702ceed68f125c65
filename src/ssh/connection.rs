//! A logged-in connection: shells and commands on it.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure, Disconnect};

use crate::shell::frame::printable_lines;

use super::client::{Asker, Client, explain};
use super::error::SessionError;
use super::fake::Fake;
use super::held::HeldShell;
use super::keys::Keyring;
use super::pipe::Pipe;
use super::sudo;
use super::target::{Become, Target};
use super::wire::{Ending, Heard, Reason, Wire};

/// Most bytes of output that one command may have.
const MOST_OUTPUT: usize = 16 * 1024 * 1024;

/// How a login was made, and with whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The login user.
    pub user: String,
    /// The name or address that was dialled.
    pub address: String,
    /// The port.
    pub port: u16,
    /// What let us in, such as `key /home/me/.ssh/id_ed25519 (SHA256:…)` or `password`.
    pub method: String,
    /// The methods that the server offers, where it was asked (see [`super::Policy::learn_methods`]) or refused a key.
    pub methods_offered: Vec<String>,
    /// The server's version, such as `SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10`.
    pub server: String,
    /// The algorithms that the server offers; empty where they were not seen.
    pub offers: super::Offers,
    /// The server's banner before the login.
    pub banner: Option<String>,
    /// The key exchange.
    pub kex: String,
    /// The cipher.
    pub cipher: String,
    /// The message authentication; empty where the cipher does it.
    pub mac: String,
    /// The host's key as `known_hosts` would hold it: name, type, key.
    pub host_key: String,
    /// Its fingerprint, `SHA256:…`.
    pub host_key_fingerprint: String,
    /// How long it took from dialling on, the operator's thinking included.
    pub took: Duration,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: u32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its error output.
    pub stderr: Vec<u8>,
}

/// A connection to one host.
#[derive(Clone)]
pub struct Connection(Backing);

#[derive(Clone)]
enum Backing {
    Remote(Arc<Remote>),
    Local(Arc<Login>),
    Fake(Arc<Login>, Fake),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(self.login()).finish()
    }
}

pub(super) struct Remote {
    pub(super) handle: Handle<Client>,
    pub(super) reason: Reason,
    pub(super) login: Login,
    pub(super) target: Target,
    pub(super) asker: Asker,
    pub(super) keyring: Arc<Keyring>,
    /// The way here ends when this is dropped.
    pub(super) _bastion: Option<Arc<Remote>>,
}

impl Connection {
    pub(super) fn remote(remote: Remote) -> Self {
        Self(Backing::Remote(Arc::new(remote)))
    }

    /// This machine as a host: its shells are `sh`, run by the user that bedplate runs as.
    pub fn local() -> Self {
        let login = Login { user: "local".to_owned(), address: "localhost".to_owned(), ..Login::default() };
        Self(Backing::Local(Arc::new(login)))
    }

    /// A scripted host.
    pub fn fake(fake: Fake) -> Self {
        let login = Login { user: "root".to_owned(), address: "fake".to_owned(), port: 22, ..Login::default() };
        Self::fake_as(fake, login)
    }

    /// A scripted host, with a login of this kind.
    pub fn fake_as(fake: Fake, login: Login) -> Self {
        Self(Backing::Fake(Arc::new(login), fake))
    }

    /// How the login was made.
    pub fn login(&self) -> &Login {
        match &self.0 {
            Backing::Remote(remote) => &remote.login,
            Backing::Local(login) | Backing::Fake(login, _) => login,
        }
    }

    /// Whether the connection is known to be gone.
    pub fn is_closed(&self) -> bool {
        match &self.0 {
            Backing::Remote(remote) => remote.handle.is_closed(),
            Backing::Local(_) | Backing::Fake(..) => false,
        }
    }

    /// A shell for the whole of a run: root's, where the target says so. It is requested and not waited for: its
    /// first batch travels in the same flight. Errors: the server opens no session; what comes of the shell itself
    /// shows at its first batch.
    pub async fn shell(&self) -> Result<HeldShell, SessionError> {
        match &self.0 {
            Backing::Remote(remote) => remote.shell().await,
            Backing::Local(_) => {
                super::local::shell().map_err(|error| SessionError::Refused { why: error.to_string() })
            }
            Backing::Fake(_, fake) => Ok(fake.shell()),
        }
    }

    /// Runs one command as the login user (never through sudo), with `stdin` as its input. `command` goes through the
    /// login shell: constant text, or words quoted by [`crate::shell::quote`].
    /// Errors: the session failed, or ended without a status, which is no success.
    pub async fn exec(&self, command: &str, stdin: &[u8]) -> Result<Output, SessionError> {
        let wire = match &self.0 {
            Backing::Remote(remote) => remote.start(command).await?,
            Backing::Local(_) => {
                let mut process = tokio::process::Command::new("sh");
                process.args(["-c", command]);
                Wire::over_process(process).map_err(|error| SessionError::Refused { why: error.to_string() })?
            }
            Backing::Fake(..) => {
                let why = "the scripted host answers calls only".to_owned();
                return Err(SessionError::Refused { why });
            }
        };
        collect(wire, stdin).await
    }

    /// A root shell as raw streams, of which one command is to be made with [`Pipe::begin`]. It must be the only thing on
    /// its connection. Errors: no session, or no way to root.
    pub async fn pipe(&self) -> Result<Pipe, SessionError> {
        match &self.0 {
            Backing::Remote(remote) => remote.pipe().await,
            Backing::Local(_) => {
                let process = tokio::process::Command::new("sh");
                let wire = Wire::over_process(process);
                wire.map(Pipe::new).map_err(|error| SessionError::Refused { why: error.to_string() })
            }
            Backing::Fake(..) => Err(SessionError::Refused { why: "the scripted host answers calls only".to_owned() }),
        }
    }

    /// The address and port that this connection comes from, as the server sees them: what a firewall on it must let
    /// in. `None`: it does not say. Costs a command.
    pub async fn client_address(&self) -> Result<Option<std::net::IpAddr>, SessionError> {
        let output = self.exec("echo $SSH_CONNECTION", b"").await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().last().unwrap_or_default();
        // A link-local address carries its interface, which is no part of it.
        let address = last.split_whitespace().next().and_then(|word| word.split('%').next());
        Ok(address.and_then(|address| address.parse().ok()))
    }

    /// Ends the connection in good order. Other clones of it end with it.
    pub async fn close(self) {
        if let Backing::Remote(remote) = &self.0 {
            // A connection that is gone needs no goodbye.
            let _ = remote.handle.disconnect(Disconnect::ByApplication, "", "").await;
        }
    }
}

impl Remote {
    async fn open(&self) -> Result<Channel<Msg>, SessionError> {
        let mut opened = self.handle.channel_open_session().await;
        if let Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed)) = &opened {
            // sshd counts sessions that are just closing: it has room a moment later.
            tokio::time::sleep(Duration::from_millis(200)).await;
            opened = self.handle.channel_open_session().await;
        }
        match opened {
            Ok(channel) => Ok(channel),
            Err(russh::Error::ChannelOpenFailure(why)) => {
                Err(SessionError::Refused { why: why.description().to_lowercase() })
            }
            Err(error) => {
                let why = self.reason.borrow().clone().unwrap_or_else(|| explain(&error));
                Err(SessionError::Lost { why, progress: Box::default() })
            }
        }
    }

    /// Requests a command without waiting for the answer.
    async fn start(&self, command: &str) -> Result<Wire, SessionError> {
        Ok(Wire::over_channel(self.request(command).await?, self.reason.clone()))
    }

    /// The same, for streams of any length.
    async fn start_patient(&self, command: &str) -> Result<Wire, SessionError> {
        Ok(Wire::patient_over_channel(self.request(command).await?, self.reason.clone()))
    }

    async fn request(&self, command: &str) -> Result<Channel<Msg>, SessionError> {
        requested(self.open().await?, command).await
    }

    async fn pipe(self: &Arc<Self>) -> Result<Pipe, SessionError> {
        if self.target.become_root == Become::Never || self.target.user == "root" {
            return Ok(Pipe::new(self.start_patient("sh").await?));
        }
        let mut pipe = Pipe::new(self.start_patient(sudo::WITHOUT_PASSWORD).await?);
        match pipe.answers().await {
            Ok(()) => Ok(pipe),
            Err(said) => {
                let wire = self.start_patient(sudo::WITH_PASSWORD).await?;
                Ok(Pipe::new(self.clone().entered(wire, &said).await?))
            }
        }
    }

    async fn shell(self: &Arc<Self>) -> Result<HeldShell, SessionError> {
        if self.target.become_root == Become::Never || self.target.user == "root" {
            let (channel, reason) = (self.open().await?, self.reason.clone());
            let held = HeldShell::begun_by(Box::new(move |command| {
                Box::pin(async move { Ok(Wire::over_channel(requested(channel, &command).await?, reason)) })
            }));
            let remote = self.clone();
            return Ok(held.or_reopen(Box::new(move |_| Box::pin(async move { remote.start("sh").await }))));
        }
        let held = HeldShell::new(self.start(sudo::WITHOUT_PASSWORD).await?);
        let remote = self.clone();
        Ok(held.or_reopen(Box::new(move |said| Box::pin(async move { remote.with_password(&said).await }))))
    }

    /// The way to root when `sudo -n` gave no shell, having said `said`.
    async fn with_password(self: Arc<Self>, said: &[u8]) -> Result<Wire, SessionError> {
        let wire = self.start(sudo::WITH_PASSWORD).await?;
        self.entered(wire, said).await
    }

    /// `wire` of sudo that asks for a password, once it has been given.
    async fn entered(self: Arc<Self>, wire: Wire, said: &[u8]) -> Result<Wire, SessionError> {
        let user = self.target.user.clone();
        if let Some(error) = sudo::hopeless(said, &user) {
            return Err(sudo::as_session(error));
        }
        let of = format!("sudo of {}", self.target.place());
        let (remote, key) = (self.clone(), of.clone());
        let password: sudo::Password = Box::new(move || {
            Box::pin(async move {
                let (user, host) = (remote.target.user.clone(), remote.target.name.to_string());
                let settled = || remote.keyring.password(&key).map(Some);
                let given = remote.asker.put(settled, move |ask| ask.sudo_password(&user, &host)).await.flatten()?;
                remote.keyring.keep_password(&key, &given);
                Some(given)
            })
        });
        let entered = sudo::enter(wire, &user, password).await;
        if entered.is_err() {
            self.keyring.forget_password(&of);
        }
        entered.map_err(sudo::as_session)
    }
}

/// Requests a command on a session that is open, without waiting for the answer.
async fn requested(channel: Channel<Msg>, command: &str) -> Result<Channel<Msg>, SessionError> {
    let requested = channel.exec(true, command).await;
    requested.map_err(|error| SessionError::Lost { why: explain(&error), progress: Box::default() })?;
    Ok(channel)
}

async fn collect(mut wire: Wire, stdin: &[u8]) -> Result<Output, SessionError> {
    if !stdin.is_empty() {
        wire.send(stdin.to_vec());
    }
    wire.finish();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match wire.hear().await {
            Heard::Out(bytes) => stdout.extend(bytes),
            Heard::Err(bytes) => stderr.extend(bytes),
            Heard::End(Ending::Exit(status)) => return Ok(Output { status, stdout, stderr }),
            Heard::End(Ending::Lost(why)) => return Err(SessionError::Lost { why, progress: Box::default() }),
            Heard::End(how) => return Err(SessionError::NoStatus { how, printed: printable_lines(&stderr) }),
        }
        if stdout.len() + stderr.len() > MOST_OUTPUT {
            return Err(SessionError::NoStatus { how: Ending::Flood, printed: Vec::new() });
        }
    }
}
