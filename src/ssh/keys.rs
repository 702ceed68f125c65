//! Keys and passwords: what a key file holds, and what of it all a run remembers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PrivateKey, PublicKey, load_public_key};

use crate::base::Secret;

/// Unlocked keys and passwords of this run, so that nothing is asked twice.
#[derive(Default)]
pub(super) struct Keyring {
    keys: Mutex<HashMap<PathBuf, Arc<PrivateKey>>>,
    passwords: Mutex<HashMap<String, Secret>>,
}

impl Keyring {
    pub(super) fn key(&self, path: &Path) -> Option<Arc<PrivateKey>> {
        self.keys.lock().ok()?.get(path).cloned()
    }

    pub(super) fn keep_key(&self, path: &Path, key: &Arc<PrivateKey>) {
        if let Ok(mut keys) = self.keys.lock() {
            keys.insert(path.to_owned(), key.clone());
        }
    }

    pub(super) fn password(&self, of: &str) -> Option<Secret> {
        self.passwords.lock().ok()?.get(of).cloned()
    }

    pub(super) fn keep_password(&self, of: &str, password: &Secret) {
        if let Ok(mut passwords) = self.passwords.lock() {
            passwords.insert(of.to_owned(), password.clone());
        }
    }

    pub(super) fn forget_password(&self, of: &str) {
        if let Ok(mut passwords) = self.passwords.lock() {
            passwords.remove(of);
        }
    }
}

/// A key that could be offered.
pub(super) enum Candidate {
    Agent(Box<AgentIdentity>),
    /// Readable without a passphrase.
    File(PathBuf, Arc<PrivateKey>),
    /// Its public half, from the `.pub` file or the locked file itself.
    Locked(PathBuf, PublicKey),
}

impl Candidate {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Agent(identity) => {
                let name = if identity.comment().is_empty() { "agent key" } else { identity.comment() };
                let name = crate::shell::frame::printable(name.as_bytes());
                format!("{name} in the agent ({})", fingerprint(&identity.public_key()))
            }
            Self::File(path, key) => format!("{} ({})", path.display(), fingerprint(key.public_key())),
            Self::Locked(path, key) => format!("{} ({})", path.display(), fingerprint(key)),
        }
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The key in a file. Errors: why it can not be offered.
pub(super) fn read_key(path: &Path, keyring: &Keyring) -> Result<Candidate, String> {
    if let Some(key) = keyring.key(path) {
        return Ok(Candidate::File(path.to_owned(), key));
    }
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) => {
            let key = Arc::new(key);
            keyring.keep_key(path, &key);
            Ok(Candidate::File(path.to_owned(), key))
        }
        Err(russh::keys::Error::KeyIsEncrypted) => {
            let mut public = path.as_os_str().to_owned();
            public.push(".pub");
            let own = PrivateKey::from_openssh(&text).map(|key| key.public_key().clone());
            match own.ok().or_else(|| load_public_key(Path::new(&public)).ok()) {
                Some(key) => Ok(Candidate::Locked(path.to_owned(), key)),
                None => Err(format!("{shown}: it is locked and has no .pub file beside it")),
            }
        }
        // An IdentityFile may name a public key whose private half is in the agent.
        Err(error) => match load_public_key(path) {
            Ok(key) => {
                Ok(Candidate::Agent(Box::new(AgentIdentity::PublicKey { key, comment: path.display().to_string() })))
            }
            Err(_) => Err(format!("{shown}: {error}")),
        },
    }
}
