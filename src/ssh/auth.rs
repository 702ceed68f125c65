//! Authentication, in OpenSSH's order: agent keys that were named, other agent keys, key files, then a password where
//! the operator asked for one. Few keys are offered and none twice: servers count refusals, and some lock out the
//! address that collects them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, load_openssh_certificate};
use russh::{MethodKind, MethodSet};

use crate::base::Secret;

use super::client::{Asker, Client};
use super::connect_error::ConnectError;
use super::keys::{Candidate, Keyring, read_key};
use super::target::{Agent, Target};
use super::wire::Reason;

/// Most keys that are offered. Debian's MaxAuthTries is 6, and the last refusal of six ends the connection.
const MOST_KEYS: usize = 5;
/// How long an agent may take to list its keys.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

type AnyAgent = AgentClient<Box<dyn AgentStream + Send + Unpin>>;

/// How the login was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) text: String,
    pub(super) methods: Vec<String>,
}

/// One login attempt.
pub(super) struct Login<'a> {
    pub(super) handle: &'a mut Handle<Client>,
    pub(super) target: &'a Target,
    pub(super) keyring: &'a Keyring,
    pub(super) asker: &'a Asker,
    pub(super) reason: Reason,
    pub(super) ask_password: bool,
    pub(super) learn_methods: bool,
    pub(super) offered: Vec<String>,
    pub(super) skipped: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) rsa_hash: Option<Option<HashAlg>>,
}

impl Login<'_> {
    /// Tries what there is to try. Errors: none of it was accepted, and why.
    pub(super) async fn run(mut self) -> Result<Method, ConnectError> {
        if self.learn_methods {
            let user = self.target.user.clone();
            let answer = self.handle.authenticate_none(user).await;
            if self.judge(answer).await? {
                return Ok(self.method("nothing at all: the host lets everyone in".to_owned()));
            }
        }
        let mut agent = self.agent().await;
        let candidates = self.candidates(agent.as_mut()).await;
        let surplus = candidates.len().saturating_sub(MOST_KEYS);
        if surplus > 0 {
            self.skipped.push(format!("{surplus} more keys, because servers count refusals"));
        }
        let mut locked = None;
        for candidate in candidates.into_iter().take(MOST_KEYS) {
            if self.refuses("publickey") {
                break;
            }
            let described = candidate.describe();
            self.offered.push(described.clone());
            let accepted = match candidate {
                Candidate::Agent(identity) => self.with_agent(agent.as_mut(), &identity).await?,
                Candidate::File(path, key) => self.with_file(&path, key).await?,
                Candidate::Locked(path, key) => self.with_locked(&path, key, &mut locked).await?,
            };
            tracing::debug!(key = described, accepted, "offered a key");
            if accepted {
                return Ok(self.method(format!("key {described}")));
            }
        }
        if self.ask_password {
            return self.password().await;
        }
        match locked {
            Some(path) => Err(ConnectError::PassphraseNeeded { path }),
            None => Err(ConnectError::NoKeyAccepted {
                place: self.target.place(),
                offered: self.offered,
                skipped: self.skipped,
                methods: self.methods,
            }),
        }
    }

    fn method(&self, text: String) -> Method {
        Method { text, methods: self.methods.clone() }
    }

    fn refuses(&self, method: &str) -> bool {
        !self.methods.is_empty() && !self.methods.iter().any(|known| known == method)
    }

    /// Whether the server let us in; remembers what it would take instead. Errors: it hung up.
    async fn judge(&mut self, answer: Result<AuthResult, russh::Error>) -> Result<bool, ConnectError> {
        match answer {
            Ok(AuthResult::Success) => Ok(true),
            Ok(AuthResult::Failure { remaining_methods, .. }) if !self.handle.is_closed() => {
                self.methods = names(&remaining_methods);
                Ok(false)
            }
            _ => Err(self.hung_up().await),
        }
    }

    async fn hung_up(&mut self) -> ConnectError {
        let told = tokio::time::timeout(Duration::from_secs(1), self.reason.wait_for(Option::is_some)).await;
        let why = told.ok().and_then(Result::ok).and_then(|why| why.clone());
        let why = why.unwrap_or_else(|| "no reason given".to_owned());
        if why.contains("Too many authentication failures") {
            return ConnectError::TooManyFailures { place: self.target.place(), offered: self.offered.clone() };
        }
        ConnectError::Lost { address: self.target.address.clone(), why }
    }

    async fn agent(&mut self) -> Option<AnyAgent> {
        let socket = match &self.target.agent {
            Agent::Off => return None,
            Agent::Socket(path) => path.clone(),
            Agent::Environment => match std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()) {
                Some(path) => PathBuf::from(path),
                None => {
                    self.skipped.push("there is no ssh-agent".to_owned());
                    return None;
                }
            },
        };
        let connecting = tokio::time::timeout(AGENT_PATIENCE, AgentClient::connect_uds(&socket)).await;
        match connecting {
            Ok(Ok(agent)) => {
                let mut agent = agent.dynamic();
                if let Some(binding) = self.handle.agent_session_binding() {
                    // Agents that know nothing of it refuse; only keys tied to a destination need it.
                    let _ = agent.bind_session(binding, false).await;
                }
                Some(agent)
            }
            Ok(Err(error)) => {
                self.skipped.push(format!("the agent at {} does not answer: {error}", socket.display()));
                None
            }
            Err(_) => {
                self.skipped.push(format!("the agent at {} does not answer", socket.display()));
                None
            }
        }
    }

    async fn candidates(&mut self, agent: Option<&mut AnyAgent>) -> Vec<Candidate> {
        let mut held = Vec::new();
        if let Some(agent) = agent {
            match tokio::time::timeout(AGENT_PATIENCE, agent.request_identities()).await {
                Ok(Ok(identities)) => {
                    if identities.is_empty() {
                        self.skipped.push("the agent holds no keys".to_owned());
                    }
                    held = identities;
                }
                _ => self.skipped.push("the agent did not list its keys".to_owned()),
            }
        }
        let mut named = Vec::new();
        let mut files = Vec::new();
        for path in &self.target.keys {
            match read_key(path, self.keyring) {
                Ok(file) => {
                    let public = match &file {
                        Candidate::File(_, key) => key.public_key().clone(),
                        Candidate::Locked(_, key) => key.clone(),
                        Candidate::Agent(identity) => identity.public_key().into_owned(),
                    };
                    let (same, others): (Vec<_>, Vec<_>) =
                        held.into_iter().partition(|one| one.public_key().key_data() == public.key_data());
                    held = others;
                    if same.is_empty() {
                        match file {
                            Candidate::Agent(_) => {
                                self.skipped.push(format!("{}: its private half is not in the agent", path.display()))
                            }
                            file => files.push(file),
                        }
                    }
                    named.extend(same.into_iter().map(Box::new).map(Candidate::Agent));
                }
                Err(why) if self.target.keys_named => self.skipped.push(why),
                Err(_) => {}
            }
        }
        if self.target.identities_only {
            held.clear();
        }
        // A key that somebody named goes before keys that merely lie in the agent: refusals are counted.
        let others = held.into_iter().map(Box::new).map(Candidate::Agent);
        if self.target.keys_named {
            named.into_iter().chain(files).chain(others).collect()
        } else {
            named.into_iter().chain(others).chain(files).collect()
        }
    }

    async fn rsa_hash(&mut self, key: &PublicKey) -> Option<HashAlg> {
        if !key.algorithm().is_rsa() {
            return None;
        }
        if self.rsa_hash.is_none() {
            let best = self.handle.best_supported_rsa_hash().await;
            self.rsa_hash = Some(best.ok().flatten().unwrap_or(Some(HashAlg::Sha512)));
        }
        self.rsa_hash.flatten()
    }

    async fn with_agent(
        &mut self,
        agent: Option<&mut AnyAgent>,
        identity: &AgentIdentity,
    ) -> Result<bool, ConnectError> {
        let Some(agent) = agent else { return Ok(false) };
        let user = self.target.user.clone();
        let public = identity.public_key().into_owned();
        let hash = self.rsa_hash(&public).await;
        let answer = match identity {
            AgentIdentity::PublicKey { .. } => self.handle.authenticate_publickey_with(user, public, hash, agent).await,
            AgentIdentity::Certificate { certificate, .. } => {
                self.handle.authenticate_certificate_with(user, certificate.clone(), hash, agent).await
            }
        };
        match answer {
            Ok(answer) => self.judge(Ok(answer)).await,
            Err(error) if !self.handle.is_closed() => {
                self.skipped.push(format!("the agent did not sign: {error}"));
                Ok(false)
            }
            Err(_) => Err(self.hung_up().await),
        }
    }

    async fn with_file(&mut self, path: &Path, key: Arc<PrivateKey>) -> Result<bool, ConnectError> {
        let user = self.target.user.clone();
        let mut certificate_path = path.as_os_str().to_owned();
        certificate_path.push("-cert.pub");
        if let Ok(certificate) = load_openssh_certificate(Path::new(&certificate_path)) {
            let answer = self.handle.authenticate_openssh_cert(user.clone(), key.clone(), certificate).await;
            if self.judge(answer).await? {
                return Ok(true);
            }
        }
        let hash = self.rsa_hash(key.public_key()).await;
        let answer = self.handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash)).await;
        self.judge(answer).await
    }

    /// Asks the server first whether it would take the key, and only then the operator for its passphrase.
    async fn with_locked(
        &mut self,
        path: &Path,
        public: PublicKey,
        locked: &mut Option<PathBuf>,
    ) -> Result<bool, ConnectError> {
        let user = self.target.user.clone();
        let hash = self.rsa_hash(&public).await;
        let mut wanted = Wanted;
        let answer = self.handle.authenticate_publickey_with(user, public, hash, &mut wanted).await;
        match answer {
            Ok(answer) => return self.judge(Ok(answer)).await,
            Err(_) if self.handle.is_closed() => return Err(self.hung_up().await),
            Err(_) => {}
        }
        let Some(key) = self.unlock(path).await else {
            *locked = Some(path.to_owned());
            return Ok(false);
        };
        self.with_file(path, key).await
    }

    /// The key, unlocked by the operator; a wrong passphrase is asked for again, twice at most (it stays here).
    async fn unlock(&mut self, path: &Path) -> Option<Arc<PrivateKey>> {
        for _ in 0..3 {
            let (keyring, own) = (self.keyring, path.to_owned());
            let settled = || keyring.key(&own).map(Ok);
            let asked = path.to_owned();
            let question = move |ask: &dyn super::ask::Ask| Err(ask.passphrase(&asked));
            match self.asker.put(settled, question).await? {
                Ok(key) => return Some(key),
                Err(None) => return None,
                Err(Some(passphrase)) => {
                    let path = path.to_owned();
                    // Unlocking takes a good part of a second on purpose.
                    let opened = tokio::task::spawn_blocking(move || {
                        russh::keys::load_secret_key(&path, Some(passphrase.reveal()))
                    });
                    if let Ok(Ok(key)) = opened.await {
                        let key = Arc::new(key);
                        self.keyring.keep_key(&own, &key);
                        return Some(key);
                    }
                }
            }
        }
        None
    }

    async fn password(mut self) -> Result<Method, ConnectError> {
        let place = self.target.place();
        let prompt = format!("Password of {place}");
        let (keyring, of) = (self.keyring, place.clone());
        let asked = self.asker.put(|| keyring.password(&of).map(Some), move |ask| ask.password(&prompt)).await;
        let Some(password) = asked.flatten() else {
            return Err(ConnectError::NoKeyAccepted {
                place,
                offered: self.offered,
                skipped: self.skipped,
                methods: self.methods,
            });
        };
        if self.methods.is_empty() {
            // Which way the password goes is the server's choice, and a wrong guess would count as a refusal.
            let answer = self.handle.authenticate_none(self.target.user.clone()).await;
            if self.judge(answer).await? {
                return Ok(self.method("nothing at all: the host lets everyone in".to_owned()));
            }
        }
        // Passwords go by either method; servers with PAM often have only the second.
        let accepted = if self.refuses("password") {
            self.by_keyboard(&password).await?
        } else {
            let user = self.target.user.clone();
            let answer = self.handle.authenticate_password(user, password.reveal().to_owned()).await;
            self.judge(answer).await?
        };
        if !accepted {
            self.keyring.forget_password(&place);
            return Err(ConnectError::WrongPassword { place });
        }
        self.keyring.keep_password(&place, &password);
        Ok(self.method("password".to_owned()))
    }

    async fn by_keyboard(&mut self, password: &Secret) -> Result<bool, ConnectError> {
        let user = self.target.user.clone();
        let mut answer = self.handle.authenticate_keyboard_interactive_start(user, None).await;
        let mut given = false;
        // A server may ask in several rounds, the last often without a question; an endless one is not followed.
        for _ in 0..8 {
            match answer {
                Ok(KeyboardInteractiveAuthResponse::Success) => return Ok(true),
                Ok(KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. }) => {
                    self.methods = names(&remaining_methods);
                    return Ok(false);
                }
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { name, instructions, prompts }) => {
                    let said: Vec<&str> = [name.as_str(), instructions.as_str()]
                        .into_iter()
                        .chain(prompts.iter().map(|p| p.prompt.as_str()))
                        .collect();
                    if wants_new_password(&said.join(" ")) {
                        return Err(ConnectError::PasswordExpired { place: self.target.place() });
                    }
                    if !prompts.is_empty() && given {
                        return Ok(false);
                    }
                    given |= !prompts.is_empty();
                    let answers = prompts.iter().map(|_| password.reveal().to_owned()).collect();
                    answer = self.handle.authenticate_keyboard_interactive_respond(answers).await;
                }
                Err(_) => return Err(self.hung_up().await),
            }
        }
        Ok(false)
    }
}

/// Whether a prompt is about changing a password rather than giving one.
fn wants_new_password(said: &str) -> bool {
    let said = said.to_lowercase();
    ["new password", "password has expired", "change your password", "password change", "current password", "retype"]
        .iter()
        .any(|words| said.contains(words))
}

fn names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(|method: &MethodKind| String::from(method)).collect()
}

/// A signer that signs nothing: it only learns that the server would take the key.
struct Wanted;

#[derive(Debug)]
struct NotNow;

impl From<russh::SendError> for NotNow {
    fn from(_: russh::SendError) -> Self {
        NotNow
    }
}

impl russh::Signer for Wanted {
    type Error = NotNow;

    async fn auth_sign(&mut self, _: &AgentIdentity, _: Option<HashAlg>, _: Vec<u8>) -> Result<Vec<u8>, NotNow> {
        Err(NotNow)
    }
}
