//! From a target to a connection: the way there (TCP, jump hosts, a proxy command), the handshake, the login.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use russh::client::{Config, Handle};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use russh::{Preferred, cipher};
use tokio::sync::{OnceCell, Semaphore, watch};

use super::ask::{Ask, Refuse};
use super::auth;
use super::client::{Asker, Client, ClientError, Judge, Learned, explain};
use super::connect_error::{ConnectError, HostKeyError};
use super::connection::{Connection, Login, Remote};
use super::dial;
use super::keys::Keyring;
use super::stream::{Greeting, Process, Stream, Watched};
use super::target::{NewKeys, Target};

/// Most logins at once to one address. Debian's sshd begins to drop the eleventh (MaxStartups 10:30:100).
const MOST_AT_ONCE: usize = 8;
/// How long a host is not tried again that turns logins away, the first time; twice as long each further time.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// How long it is tried at most, or less where less is allowed for connecting.
const PATIENCE: Duration = Duration::from_secs(10);
/// Receive window: what a host may send before it waits for us. Memory is used only as far as it does.
const WINDOW: u32 = 16 * 1024 * 1024;

/// What the operator allowed for all hosts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Take and remember keys of hosts never seen before. A changed key is refused all the same.
    pub accept_new: bool,
    /// Ask for a login password when no key is accepted.
    pub ask_password: bool,
    /// Ask the server which methods it offers before logging in. Costs a round trip.
    pub learn_methods: bool,
}

/// Makes the connections of a run. What was asked once, it keeps: passphrases, passwords, jump hosts.
pub struct Connector {
    policy: Policy,
    asker: Asker,
    keyring: Arc<Keyring>,
    bastions: Mutex<HashMap<String, Arc<Bastion>>>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    scripted: Option<Box<Scripted>>,
}

/// Answers attempts to connect in the place of hosts.
type Scripted = dyn Fn(&Target) -> Result<Connection, ConnectError> + Send + Sync;

/// A jump host that several hosts share: one login, one failure.
type Bastion = OnceCell<Result<Arc<Remote>, Arc<ConnectError>>>;

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// One connection without a run around it. Errors: as [`Connector::connect`].
pub async fn connect(target: &Target, policy: Policy, ask: Arc<dyn Ask>) -> Result<Connection, ConnectError> {
    Connector::new(policy, ask).connect(target).await
}

impl Connector {
    /// A connector that asks `ask`.
    pub fn new(policy: Policy, ask: Arc<dyn Ask>) -> Self {
        Self {
            policy,
            asker: Asker::new(ask),
            keyring: Arc::default(),
            bastions: Mutex::default(),
            gates: Mutex::default(),
            scripted: None,
        }
    }

    /// A connector for tests, which dials nobody: `answer` is what comes of each attempt.
    pub fn scripted(answer: impl Fn(&Target) -> Result<Connection, ConnectError> + Send + Sync + 'static) -> Self {
        Self { scripted: Some(Box::new(answer)), ..Self::new(Policy::default(), Arc::new(Refuse)) }
    }

    /// What the operator allowed.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// A new connection: new TCP stream, new authentication; only jump hosts are shared.
    /// Errors: why not, with the remedy.
    pub async fn connect(&self, target: &Target) -> Result<Connection, ConnectError> {
        self.connect_with(target, self.policy).await
    }

    /// The same under another policy, such as with [`Policy::learn_methods`].
    pub async fn connect_with(&self, target: &Target, policy: Policy) -> Result<Connection, ConnectError> {
        if let Some(scripted) = &self.scripted {
            return scripted(target);
        }
        let reached = self.reach(target, &target.jumps, policy).await.map(Connection::remote);
        match &reached {
            Ok(connection) => tracing::debug!(login = ?connection.login(), "logged in"),
            Err(error) => tracing::debug!(place = target.place(), %error, "no login"),
        }
        reached
    }

    /// Tries again while the server turns new logins away for being too many, later each time, and each host of a run
    /// at another moment.
    async fn reach(&self, target: &Target, jumps: &[Target], policy: Policy) -> Result<Remote, ConnectError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attempt(target, jumps, policy).await {
                Err(error) if is_turned_away(&error) => error,
                ended => return ended,
            };
            let jittered = pause.mul_f64(rand::random_range(0.5..1.5));
            if begun.elapsed() + jittered > target.connect_timeout.min(PATIENCE) {
                return Err(error);
            }
            tracing::debug!(place = target.place(), %error, ?jittered, "turned away, and tried again");
            tokio::time::sleep(jittered).await;
            pause *= 2;
        }
    }

    fn attempt<'a>(
        &'a self,
        target: &'a Target,
        jumps: &'a [Target],
        policy: Policy,
    ) -> BoxFuture<'a, Result<Remote, ConnectError>> {
        async move {
            let started = Instant::now();
            let gate = self.gate(target, jumps);
            // The gate is never closed; without a permit the login goes on ungated.
            let _permit = gate.acquire().await.ok();
            let asker = self.asker.for_connection();
            let mut first_error = None;
            // A pinned fingerprint may be of any type of key, and the server shows only one: ask for each in turn.
            let orders = if target.fingerprint.is_some() { 3 } else { 1 };
            for order in 0..orders {
                let (stream, bastion) = self.stream(target, jumps).await?;
                match self.handshake(target, &asker, stream, order, policy).await {
                    Ok((handle, mut remote)) => {
                        remote.log_in(handle, &self.keyring, policy, started).await?;
                        return remote.finish(self.keyring.clone(), bastion);
                    }
                    Err(error @ ConnectError::HostKey(HostKeyError::NotPinned { .. })) => {
                        first_error.get_or_insert(error);
                    }
                    Err(error) => return Err(first_error.unwrap_or(error)),
                }
            }
            Err(first_error.unwrap_or(ConnectError::Lost { address: target.address.clone(), why: String::new() }))
        }
        .boxed()
    }

    /// Logins at once are limited by what they go to: an address and a port, from wherever that is reached, whoever
    /// logs in. Proxy commands often log in to one and the same bastion, which their text does not tell.
    fn gate(&self, target: &Target, jumps: &[Target]) -> Arc<Semaphore> {
        let key = match &target.proxy_command {
            Some(_) if jumps.is_empty() => "proxy commands".to_owned(),
            _ => chain(&Target { user: String::new(), ..target.clone() }, jumps),
        };
        match self.gates.lock() {
            Ok(mut gates) => gates.entry(key).or_insert_with(|| Arc::new(Semaphore::new(MOST_AT_ONCE))).clone(),
            Err(_) => Arc::new(Semaphore::new(MOST_AT_ONCE)),
        }
    }

    async fn stream(
        &self,
        target: &Target,
        jumps: &[Target],
    ) -> Result<(Box<dyn Stream>, Option<Arc<Remote>>), ConnectError> {
        if let Some((last, before)) = jumps.split_last() {
            let bastion = self.bastion(last, before).await.map_err(|source| jump_failed(last, source))?;
            let way = bastion.handle.channel_open_direct_tcpip(
                target.address.clone(),
                u32::from(target.port),
                "127.0.0.1",
                0,
            );
            let opened =
                within(target.connect_timeout, &self.asker, way).await.unwrap_or(Err(russh::Error::ConnectionTimeout));
            let channel = opened.map_err(|error| ConnectError::Forward {
                jump: last.place(),
                address: target.address.clone(),
                port: target.port,
                why: error.to_string().to_lowercase(),
            })?;
            return Ok((Box::new(channel.into_stream()), Some(bastion)));
        }
        if let Some(command) = &target.proxy_command {
            let mut shell = tokio::process::Command::new("sh");
            shell.arg("-c").arg(command);
            let process = Process::start(shell)
                .map_err(|error| ConnectError::Proxy { command: command.clone(), why: error.to_string() })?;
            return Ok((Box::new(process), None));
        }
        Ok((Box::new(dial::dial(target).await?), None))
    }

    /// The shared connection to a jump host. Its failure is shared too: fifty hosts behind it do not knock fifty times.
    async fn bastion(&self, jump: &Target, before: &[Target]) -> Result<Arc<Remote>, Arc<ConnectError>> {
        let key = chain(jump, before);
        let cell = match self.bastions.lock() {
            Ok(mut bastions) => {
                let gone = |cell: &Arc<Bastion>| matches!(cell.get(), Some(Ok(remote)) if remote.handle.is_closed());
                if bastions.get(&key).is_some_and(gone) {
                    bastions.remove(&key);
                }
                bastions.entry(key.clone()).or_default().clone()
            }
            Err(_) => Arc::default(),
        };
        let policy = Policy { learn_methods: false, ..self.policy };
        let made =
            cell.get_or_init(|| async { self.reach(jump, before, policy).await.map(Arc::new).map_err(Arc::new) });
        let made = made.await.clone();
        if let Err(error) = &made
            && error.is_passing()
            && let Ok(mut bastions) = self.bastions.lock()
            && bastions.get(&key).is_some_and(|known| Arc::ptr_eq(known, &cell))
        {
            // A guard's proof tries again and again: a jump host that was away for a moment must not stay away.
            bastions.remove(&key);
        }
        made
    }

    async fn handshake(
        &self,
        target: &Target,
        asker: &Asker,
        stream: Box<dyn Stream>,
        order: usize,
        policy: Policy,
    ) -> Result<(Handle<Client>, Half), ConnectError> {
        let judge = judge(target, asker, policy);
        let config = Arc::new(config(target, &judge, order));
        let (ended, reason) = watch::channel(None);
        let learned = Arc::new(Mutex::new(Learned::default()));
        let client = Client { judge, learned: learned.clone(), ended };
        let (watched, greeting) = Watched::new(stream, target.keepalive.limit());
        let connecting = russh::client::connect_stream(config, watched, client);
        let connected = within(target.connect_timeout, asker, connecting).await;
        let half = Half { target: target.clone(), learned, greeting, reason, asker: asker.clone(), made: None };
        match connected {
            Some(Ok(handle)) => Ok((handle, half)),
            Some(Err(error)) => Err(half.explain(error)),
            None => Err(ConnectError::TimedOut {
                address: target.address.clone(),
                port: target.port,
                after: target.connect_timeout,
            }),
        }
    }
}

/// Whether the server hung up before it said its version: it limits logins that are not through yet (MaxStartups). An
/// address that it shuts out for a while (PerSourcePenalties) is not let in any sooner for trying.
fn is_turned_away(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Closed { why, .. } if !why.to_lowercase().contains("not allowed at this time"))
}

fn jump_failed(jump: &Target, source: Arc<ConnectError>) -> ConnectError {
    ConnectError::Jump { jump: jump.place(), source }
}

fn chain(target: &Target, jumps: &[Target]) -> String {
    let places: Vec<String> = jumps.iter().chain([target]).map(Target::place).collect();
    places.join(" > ")
}

/// What `work` gives, unless it takes longer than `limit` while no question is open.
async fn within<T>(limit: Duration, asker: &Asker, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = tokio::time::sleep(limit) => if !asker.is_open() { return None },
        }
    }
}

fn judge(target: &Target, asker: &Asker, policy: Policy) -> Judge {
    let plain = target.host_key_alias.is_none() && target.port != 22;
    Judge {
        host: target.known_as(),
        host_without_port: plain.then(|| target.address.to_lowercase()),
        principal: target.host_key_alias.as_ref().unwrap_or(&target.address).to_lowercase(),
        pinned: target.fingerprint.clone(),
        user_files: target.known_hosts.clone(),
        global_files: target.global_known_hosts.clone(),
        new_keys: if policy.accept_new { NewKeys::Accept } else { target.new_keys },
        asker: asker.clone(),
    }
}

fn config(target: &Target, judge: &Judge, order: usize) -> Config {
    let known = judge.known();
    let mut types = known.key_types();
    if types.is_empty()
        && let Some(bare) = &judge.host_without_port
    {
        types = super::known_hosts::KnownHosts::read(&judge.user_files, bare).key_types();
    }
    let key = key_order(&types, order);
    let authorities = known.has_authority() && target.fingerprint.is_none();
    let preferred = Preferred {
        host_key_certificates: if authorities { key.clone().into() } else { Vec::new().into() },
        key: key.into(),
        // Hardware does AES: half as fast again as ChaCha20 on the machines at hand.
        cipher: vec![
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]
        .into(),
        ..Preferred::DEFAULT
    };
    Config {
        client_id: russh::SshId::Standard(concat!("SSH-2.0-bedplate_", env!("CARGO_PKG_VERSION")).into()),
        window_size: WINDOW,
        preferred,
        keepalive_interval: Some(target.keepalive.interval).filter(|interval| !interval.is_zero()),
        // russh gives up one interval after the last question that it counts; zero would mean never.
        keepalive_max: (target.keepalive.count.saturating_sub(1)).max(1) as usize,
        nodelay: true,
        ..Config::default()
    }
}

/// Types of host keys in the order in which they are asked for: known ones first, or a second key of the host would
/// look like a changed one. SHA-1 signatures are not taken. `first` turns the list, to see another key of the host.
fn key_order(known: &[Algorithm], first: usize) -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let mut order = [
        vec![Algorithm::Ed25519],
        vec![ecdsa(EcdsaCurve::NistP256), ecdsa(EcdsaCurve::NistP384), ecdsa(EcdsaCurve::NistP521)],
        vec![Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }],
    ];
    order.rotate_left(first % 3);
    let mut flat = order.concat();
    let rsa = |algorithm: &Algorithm| matches!(algorithm, Algorithm::Rsa { .. });
    let is_known = |algorithm: &Algorithm| known.iter().any(|one| one == algorithm || (rsa(one) && rsa(algorithm)));
    // A stable sort: known ones first, each half in its order.
    flat.sort_by_key(|algorithm| !is_known(algorithm));
    flat
}

/// A connection between the handshake and the login.
struct Half {
    target: Target,
    learned: Arc<Mutex<Learned>>,
    greeting: Greeting,
    reason: watch::Receiver<Option<String>>,
    asker: Asker,
    made: Option<(Handle<Client>, Login)>,
}

impl Half {
    async fn log_in(
        &mut self,
        mut handle: Handle<Client>,
        keyring: &Keyring,
        policy: Policy,
        started: Instant,
    ) -> Result<(), ConnectError> {
        let target = &self.target;
        let login = auth::Login {
            handle: &mut handle,
            target,
            keyring,
            asker: &self.asker,
            reason: self.reason.clone(),
            ask_password: policy.ask_password,
            learn_methods: policy.learn_methods,
            offered: Vec::new(),
            skipped: Vec::new(),
            methods: Vec::new(),
            rsa_hash: None,
        };
        // Every step of a login is one exchange; a handful of them must do.
        let limit = target.connect_timeout * 4;
        let method = within(limit, &self.asker, login.run()).await.unwrap_or_else(|| {
            Err(ConnectError::TimedOut { address: target.address.clone(), port: target.port, after: limit })
        });
        let method = match method {
            Ok(method) => method,
            Err(error) => {
                // Said in good order, so that the server does not count a dropped connection too.
                let _ = handle.disconnect(russh::Disconnect::ByApplication, "", "").await;
                return Err(error);
            }
        };
        let learned = self.learned.lock().map(|learned| learned.clone()).unwrap_or_default();
        let (host_key, host_key_fingerprint) = match &learned.host_key {
            Some(key) => (known_line(target, key), key.fingerprint(HashAlg::Sha256).to_string()),
            None => (String::new(), String::new()),
        };
        let login = Login {
            user: target.user.clone(),
            address: target.address.clone(),
            port: target.port,
            method: method.text,
            methods_offered: method.methods,
            server: self.greeting.lines().1.unwrap_or_default(),
            offers: self.greeting.offers(),
            banner: learned.banner,
            kex: learned.kex,
            cipher: learned.cipher,
            mac: learned.mac,
            host_key,
            host_key_fingerprint,
            took: started.elapsed(),
        };
        self.made = Some((handle, login));
        Ok(())
    }

    fn finish(self, keyring: Arc<Keyring>, bastion: Option<Arc<Remote>>) -> Result<Remote, ConnectError> {
        match self.made {
            Some((handle, login)) => Ok(Remote {
                handle,
                reason: self.reason,
                login,
                target: self.target,
                asker: self.asker,
                keyring,
                _bastion: bastion,
            }),
            None => Err(ConnectError::Lost { address: self.target.address, why: "there was no login".to_owned() }),
        }
    }

    /// Why the handshake failed.
    fn explain(&self, error: ClientError) -> ConnectError {
        let address = self.target.address.clone();
        let port = self.target.port;
        let error = match error {
            ClientError::HostKey(key) => return ConnectError::HostKey(key),
            ClientError::Russh(error) => error,
        };
        let (before, version) = self.greeting.lines();
        match error {
            russh::Error::NoCommonAlgo { kind, theirs, .. } => {
                let kind = match kind {
                    russh::AlgorithmKind::Kex => "key exchange",
                    russh::AlgorithmKind::Key => "host key",
                    russh::AlgorithmKind::Cipher => "cipher",
                    russh::AlgorithmKind::Compression => "compression",
                    russh::AlgorithmKind::Mac => "message authentication",
                };
                let theirs = crate::shell::frame::printable(theirs.join(", ").as_bytes());
                ConnectError::NoCommonAlgorithm { address, kind: kind.to_owned(), theirs }
            }
            // sshd says a line and hangs up when it limits logins.
            _ if version.is_none() && looks_like_a_limit(&before) => {
                ConnectError::Closed { address, why: format!("it said: {}", before.join(" ")) }
            }
            russh::Error::Version => ConnectError::NotSsh { address, port, why: said(&before) },
            _ if version.is_none() && !before.is_empty() => ConnectError::NotSsh { address, port, why: said(&before) },
            error if version.is_none() => ConnectError::Closed { address, why: explain(&error) },
            error => ConnectError::Lost { address, why: explain(&error) },
        }
    }
}

fn looks_like_a_limit(lines: &[String]) -> bool {
    let text = lines.join(" ").to_lowercase();
    ["exceeded maxstartups", "not allowed at this time", "too many"].iter().any(|words| text.contains(words))
}

fn said(lines: &[String]) -> String {
    match lines.first() {
        Some(line) => format!("it said `{}`", line.chars().take(80).collect::<String>()),
        None => "it said nothing that SSH knows".to_owned(),
    }
}

fn known_line(target: &Target, key: &PublicKey) -> String {
    let mut bare = key.clone();
    bare.set_comment("");
    format!("{} {}", target.known_as(), bare.to_openssh().unwrap_or_default().trim_end())
}
