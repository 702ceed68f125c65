//! What bedplate answers to a server: whether its key is taken, and what is remembered of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::{Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};
use tokio::sync::watch;

use super::ask::{Answer, Ask};
use super::connect_error::HostKeyError;
use super::known_hosts::{self, KnownHosts, Standing};
use super::target::NewKeys;

/// What became known of a server while it was logged in to.
#[derive(Debug, Clone, Default)]
pub(super) struct Learned {
    pub(super) host_key: Option<PublicKey>,
    pub(super) banner: Option<String>,
    pub(super) kex: String,
    pub(super) cipher: String,
    pub(super) mac: String,
}

/// A failure within russh's callbacks.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error(transparent)]
    Russh(#[from] russh::Error),
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
}

/// Whoever asks the operator, one question at a time, from a thread where waiting does no harm.
#[derive(Clone)]
pub(super) struct Asker {
    ask: Arc<dyn Ask>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Set while a question is open: time limits do not count the operator's thinking.
    open: Arc<AtomicBool>,
}

impl Asker {
    pub(super) fn new(ask: Arc<dyn Ask>) -> Self {
        Self { ask, turn: Arc::default(), open: Arc::default() }
    }

    /// The same operator, with a flag of its own for another connection.
    pub(super) fn for_connection(&self) -> Self {
        Self { open: Arc::default(), ..self.clone() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits for a turn, looks whether the question is still one, and asks. `None`: the asking itself broke.
    pub(super) async fn put<T: Send + 'static>(
        &self,
        settled: impl FnOnce() -> Option<T>,
        question: impl FnOnce(&dyn Ask) -> T + Send + 'static,
    ) -> Option<T> {
        self.open.store(true, Ordering::Relaxed);
        let turn = self.turn.lock().await;
        let answer = match settled() {
            Some(answer) => Some(answer),
            None => {
                let ask = self.ask.clone();
                tokio::task::spawn_blocking(move || question(ask.as_ref())).await.ok()
            }
        };
        drop(turn);
        self.open.store(false, Ordering::Relaxed);
        answer
    }
}

/// Decides on a host's key.
pub(super) struct Judge {
    pub(super) host: String,
    /// The name without the port: a key known there is taken too, as OpenSSH does.
    pub(super) host_without_port: Option<String>,
    /// The name that a host certificate must be for.
    pub(super) principal: String,
    pub(super) pinned: Option<String>,
    pub(super) user_files: Vec<PathBuf>,
    pub(super) global_files: Vec<PathBuf>,
    pub(super) new_keys: NewKeys,
    pub(super) asker: Asker,
}

impl Judge {
    pub(super) fn known(&self) -> KnownHosts {
        KnownHosts::read(&self.files(), &self.host)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.user_files.iter().chain(&self.global_files).cloned().collect()
    }

    async fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<(), HostKeyError> {
        let key = shown.public_key();
        let known = self.known();
        if let Some(certificate) = shown.certificate()
            && self.pinned.is_none()
            && self.certificate(certificate, &known)?
        {
            return Ok(());
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(pinned) = &self.pinned {
            if let Standing::Revoked(line) = known.standing(key.key_data()) {
                return Err(self.revoked(fingerprint, line));
            }
            // The padding of base64 is left out by OpenSSH and written by some consoles.
            if pinned.trim_end_matches('=') == fingerprint {
                return Ok(());
            }
            let (host, pinned) = (self.host.clone(), pinned.clone());
            return Err(HostKeyError::NotPinned { host, shown: fingerprint, pinned });
        }
        match self.standing(&key) {
            Standing::Known => Ok(()),
            Standing::Revoked(line) => Err(self.revoked(fingerprint, line)),
            Standing::Changed(line) => Err(HostKeyError::Changed {
                host: self.host.clone(),
                key_type: key.algorithm().to_string(),
                fingerprint,
                file: line.file,
                line: line.line,
            }),
            Standing::Unknown => self.unknown(key, fingerprint).await,
        }
    }

    fn revoked(&self, fingerprint: String, line: known_hosts::Known) -> HostKeyError {
        HostKeyError::Revoked { host: self.host.clone(), fingerprint, file: line.file, line: line.line }
    }

    fn standing(&self, key: &PublicKey) -> Standing {
        let standing = self.known().standing(key.key_data());
        if let (Standing::Unknown, Some(bare)) = (&standing, &self.host_without_port) {
            match KnownHosts::read(&self.files(), bare).standing(key.key_data()) {
                found @ (Standing::Known | Standing::Revoked(_)) => return found,
                Standing::Unknown | Standing::Changed(_) => {}
            }
        }
        standing
    }

    /// Whether the certificate vouches for the host. `false`: no authority of ours signed it, so its bare key counts.
    fn certificate(&self, certificate: &Certificate, known: &KnownHosts) -> Result<bool, HostKeyError> {
        let bad = |why: String| HostKeyError::BadCertificate { host: self.host.clone(), why };
        for key in [certificate.public_key(), certificate.signature_key()] {
            if let Some(line) = known.revoked(key) {
                let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
                return Err(self.revoked(fingerprint, line.clone()));
            }
        }
        if !known.is_authority(certificate.signature_key()) {
            return Ok(false);
        }
        if !certificate.cert_type().is_host() {
            return Err(bad("it is for a user, not for a host".to_owned()));
        }
        let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
        certificate
            .validate([&authority])
            .map_err(|error| bad(format!("out of its time, or not well signed ({error})")))?;
        if !certificate.critical_options().is_empty() {
            return Err(bad("it carries critical options, which host certificates may not".to_owned()));
        }
        let principals = certificate.valid_principals();
        let for_host = |pattern: &String| super::config::pattern::matches(&pattern.to_lowercase(), &self.principal);
        if !principals.is_empty() && !principals.iter().any(for_host) {
            return Err(bad(format!("it is for {}", principals.join(", "))));
        }
        Ok(true)
    }

    async fn unknown(&self, key: PublicKey, fingerprint: String) -> Result<(), HostKeyError> {
        let host = self.host.clone();
        let key_type = key.algorithm().to_string();
        let answer = match self.new_keys {
            NewKeys::Accept => Answer::Yes,
            NewKeys::Refuse => Answer::NotAskable,
            NewKeys::Ask => {
                let (host, key_type, fingerprint) = (host.clone(), key_type.clone(), fingerprint.clone());
                // Another connection of this run may have learned the key while this one waited for its turn.
                let settled = || matches!(self.standing(&key), Standing::Known).then_some(None);
                let question = move |ask: &dyn Ask| Some(ask.accept_host_key(&host, &key_type, &fingerprint));
                match self.asker.put(settled, question).await {
                    Some(None) => return Ok(()),
                    Some(Some(answer)) => answer,
                    None => Answer::NotAskable,
                }
            }
        };
        match answer {
            Answer::Yes => self.remember(&key),
            Answer::No => Err(HostKeyError::Declined { host, key_type, fingerprint }),
            Answer::NotAskable => Err(HostKeyError::Unknown { host, key_type, fingerprint }),
        }
    }

    fn remember(&self, key: &PublicKey) -> Result<(), HostKeyError> {
        let Some(file) = self.user_files.first() else { return Ok(()) };
        known_hosts::append(file, &self.host, key).map_err(|error| HostKeyError::NotWritten {
            host: self.host.clone(),
            file: file.clone(),
            why: error.to_string(),
        })
    }
}

/// russh's callbacks for one connection.
pub(super) struct Client {
    pub(super) judge: Judge,
    pub(super) learned: Arc<Mutex<Learned>>,
    pub(super) ended: watch::Sender<Option<String>>,
}

impl Client {
    fn learn(&self, what: impl FnOnce(&mut Learned)) {
        if let Ok(mut learned) = self.learned.lock() {
            what(&mut learned);
        }
    }

    fn taken(&self) -> Option<PublicKey> {
        self.learned.lock().ok()?.host_key.clone()
    }
}

impl Handler for Client {
    type Error = ClientError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, ClientError> {
        let key = shown.public_key();
        // A new key exchange within a connection shows the key again; another one then is an attack.
        if let Some(taken) = self.taken() {
            return Ok(taken.key_data() == key.key_data());
        }
        self.judge.judge(shown).await?;
        self.learn(|learned| learned.host_key = Some(key));
        Ok(true)
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), ClientError> {
        self.learn(|learned| learned.banner = Some(banner.chars().take(4096).collect()));
        Ok(())
    }

    async fn kex_done(&mut self, _: Option<&[u8]>, names: &russh::Names, _: &mut Session) -> Result<(), ClientError> {
        self.learn(|learned| {
            learned.kex = names.kex.as_ref().to_owned();
            learned.cipher = names.cipher.as_ref().to_owned();
            learned.mac = names.client_mac.as_ref().to_owned();
        });
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<ClientError>) -> Result<(), ClientError> {
        let why = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the server said: {}", crate::shell::frame::printable(info.message.as_bytes()))
            }
            DisconnectReason::Error(ClientError::Russh(error)) => explain(error),
            DisconnectReason::Error(error) => error.to_string(),
        };
        self.ended.send_replace(Some(why));
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

/// A transport error in words that say what happened to the link.
pub(super) fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::KeepaliveTimeout => "the host does not answer any more".to_owned(),
        russh::Error::Disconnect | russh::Error::HUP => "the host closed the connection".to_owned(),
        russh::Error::IO(io) => match io.kind() {
            std::io::ErrorKind::UnexpectedEof => "the host closed the connection".to_owned(),
            std::io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
            _ => io.to_string(),
        },
        other => other.to_string().to_lowercase(),
    }
}
