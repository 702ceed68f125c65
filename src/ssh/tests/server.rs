//! An SSH server in this process that does what it is told, right or wrong. Its commands run in a local `sh`, with a
//! folder of made-up programs first in their path.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{Algorithm, HashAlg, PrivateKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::base::name::HostName;
use crate::ssh::{Agent, Become, Keepalive, NewKeys, Target};

/// What becomes of a command.
#[derive(Debug, Clone)]
pub(crate) enum Exec {
    /// It runs.
    Runs,
    /// It is refused.
    Refused,
    /// It runs, unless one of its words is long: BSD's csh.
    NoLongWord,
    /// It is taken, and nothing ever comes of it.
    Silent,
    /// It ends without a status.
    NoStatus,
    /// This is printed instead, and it exits with 1.
    Prints(&'static str),
    /// This is printed by the login before it runs.
    Noisy(&'static str),
    /// The connection goes away in the middle.
    HangsUp,
}

/// How the server behaves.
#[derive(Debug, Clone)]
pub(crate) struct Conduct {
    pub(crate) exec: Exec,
    pub(crate) methods: Vec<MethodKind>,
    pub(crate) password: Option<&'static str>,
    /// Prompts of keyboard-interactive, one round each.
    pub(crate) prompts: Vec<&'static str>,
    /// Fingerprints of the keys that it accepts.
    pub(crate) keys: Vec<String>,
    /// A folder that goes first in the path of its commands.
    pub(crate) programs: Option<PathBuf>,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            exec: Exec::Runs,
            methods: vec![MethodKind::PublicKey],
            password: None,
            prompts: Vec::new(),
            keys: Vec::new(),
            programs: None,
        }
    }
}

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) host_key: PrivateKey,
    /// Every key, password and answer that it was given, in order.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// How many connections were made.
    pub(crate) connections: Arc<Mutex<usize>>,
    pub(crate) folder: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn new_key() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
}

impl Server {
    pub(crate) async fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host_key = new_key();
        let config = Arc::new(Config {
            keys: vec![host_key.clone()],
            methods: MethodSet::from(conduct.methods.as_slice()),
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            ..Config::default()
        });
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (told, counted) = (seen.clone(), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let guest = Guest { conduct: conduct.clone(), seen: told.clone(), round: 0, inputs: HashMap::new() };
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(session) = russh::server::run_stream(config, stream, guest).await {
                        session.await.ok();
                    }
                });
            }
        });
        Self { port, host_key, seen, connections, folder: tempfile::tempdir().unwrap(), task }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// A target with no keys, for a server that is known.
    pub(crate) fn target(&self, user: &str) -> Target {
        let known = self.folder.path().join("known_hosts");
        let key = self.host_key.public_key().to_openssh().unwrap();
        std::fs::write(&known, format!("[127.0.0.1]:{} {key}\n", self.port)).unwrap();
        Target {
            address: "127.0.0.1".to_owned(),
            port: self.port,
            keys_named: true,
            agent: Agent::Off,
            known_hosts: vec![known],
            new_keys: NewKeys::Refuse,
            become_root: Become::Never,
            keepalive: Keepalive { interval: Duration::from_secs(5), count: 2 },
            ..Target::new(HostName::new("box").unwrap(), user)
        }
    }

    /// A target with a key that the server's conduct must name.
    pub(crate) fn target_with(&self, user: &str, key: &PrivateKey) -> Target {
        let path = self.folder.path().join("id");
        key.write_openssh_file(&path, Default::default()).unwrap();
        Target { keys: vec![path], ..self.target(user) }
    }
}

pub(crate) fn fingerprint(key: &PrivateKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

struct Guest {
    conduct: Conduct,
    seen: Arc<Mutex<Vec<String>>>,
    round: usize,
    inputs: HashMap<ChannelId, tokio::sync::mpsc::UnboundedSender<Vec<u8>>>,
}

impl Guest {
    fn note(&self, what: String) {
        self.seen.lock().unwrap().push(what);
    }

    fn verdict(&self, good: bool) -> Auth {
        if good { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        let fingerprint = offer.public_key.fingerprint(HashAlg::Sha256).to_string();
        let good = self.conduct.keys.contains(&fingerprint);
        self.note(format!("offered {fingerprint}"));
        Ok(self.verdict(good))
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let fingerprint = key.public_key.fingerprint(HashAlg::Sha256).to_string();
        self.note(format!("signed {fingerprint}"));
        Ok(self.verdict(self.conduct.keys.contains(&fingerprint)))
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        self.note(format!("password {password}"));
        Ok(self.verdict(self.conduct.password == Some(password)))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        if let Some(answers) = response {
            for answer in answers {
                let answer = String::from_utf8_lossy(&answer).into_owned();
                self.note(format!("answer {answer}"));
                if self.conduct.password != Some(answer.as_str()) {
                    return Ok(Auth::reject());
                }
            }
        }
        let Some(prompt) = self.conduct.prompts.get(self.round) else { return Ok(Auth::Accept) };
        self.round += 1;
        Ok(Auth::Partial {
            name: "".into(),
            instructions: "".into(),
            prompts: Cow::Owned(vec![(Cow::Borrowed(*prompt), false)]),
        })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        let command = String::from_utf8_lossy(data).into_owned();
        self.note(format!("exec {command}"));
        if matches!(self.conduct.exec, Exec::Refused) {
            return session.channel_failure(id);
        }
        session.channel_success(id)?;
        let handle = session.handle();
        match self.conduct.exec.clone() {
            Exec::Refused | Exec::Silent => {}
            Exec::NoStatus => {
                session.data(id, b"half".to_vec())?;
                session.close(id)?;
            }
            Exec::Prints(text) => {
                session.data(id, text.as_bytes().to_vec())?;
                session.exit_status_request(id, 1)?;
                session.close(id)?;
            }
            Exec::HangsUp => return Err(russh::Error::Disconnect),
            Exec::NoLongWord if command.len() > 1000 => {
                session.extended_data(id, 1, b"Word too long.\n".to_vec())?;
                session.exit_status_request(id, 1)?;
                session.close(id)?;
            }
            Exec::Runs | Exec::NoLongWord => self.start(id, &command, handle, ""),
            Exec::Noisy(noise) => self.start(id, &command, handle, noise),
        }
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), russh::Error> {
        if let Some(input) = self.inputs.get(&id) {
            input.send(data.to_vec()).ok();
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.inputs.remove(&id);
        Ok(())
    }
}

impl Guest {
    fn start(&mut self, id: ChannelId, command: &str, handle: Handle, noise: &'static str) {
        let (input, mut queue) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
        self.inputs.insert(id, input);
        let mut process = tokio::process::Command::new("sh");
        process.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process.kill_on_drop(true);
        if let Some(programs) = &self.conduct.programs {
            process.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        }
        tokio::spawn(async move {
            let mut child = process.spawn().unwrap();
            let (mut stdin, mut out, mut err) =
                (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
            tokio::spawn(async move {
                while let Some(bytes) = queue.recv().await {
                    if stdin.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
            handle.data(id, noise.as_bytes().to_vec()).await.ok();
            let outs = async {
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(length @ 1..) = out.read(&mut buffer).await {
                    handle.data(id, buffer[..length].to_vec()).await.ok();
                }
            };
            let errs = async {
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(length @ 1..) = err.read(&mut buffer).await {
                    handle.extended_data(id, 1, buffer[..length].to_vec()).await.ok();
                }
            };
            tokio::join!(outs, errs);
            let status = child.wait().await.unwrap();
            handle.exit_status_request(id, status.code().unwrap_or(255).unsigned_abs()).await.ok();
            handle.close(id).await.ok();
        });
    }
}
