//! The operator's own public keys: what a host is given that knows no key yet. Nothing is unlocked or asked for it.

use std::path::PathBuf;
use std::time::Duration;

use russh::keys::PublicKey;
use russh::keys::agent::client::AgentClient;

use super::keys::{Candidate, Keyring, read_key};
use super::target::{Agent, Target};

/// An agent that takes longer is passed over.
const PATIENCE: Duration = Duration::from_secs(5);

/// The public halves of the keys that a login to `target` would offer, a line each as in a `.pub` file: those in files
/// first, then those in the agent. What can not be read is left out; the login itself tells why.
pub async fn public_keys(target: &Target) -> Vec<String> {
    let keyring = Keyring::default();
    let in_files = target.keys.iter().filter_map(|path| match read_key(path, &keyring).ok()? {
        Candidate::File(_, key) => Some(key.public_key().clone()),
        Candidate::Locked(_, key) => Some(key),
        Candidate::Agent(_) => None,
    });
    let mut keys: Vec<PublicKey> = in_files.collect();
    if !target.identities_only && (keys.is_empty() || !target.keys_named) {
        for key in in_agent(&target.agent).await {
            if !keys.iter().any(|known| known.key_data() == key.key_data()) {
                keys.push(key);
            }
        }
    }
    keys.iter().filter_map(|key| key.to_openssh().ok()).collect()
}

async fn in_agent(agent: &Agent) -> Vec<PublicKey> {
    let socket = match agent {
        Agent::Off => return Vec::new(),
        Agent::Socket(path) => path.clone(),
        Agent::Environment => match std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => return Vec::new(),
        },
    };
    let asked = async {
        let mut agent = AgentClient::connect_uds(&socket).await.ok()?;
        agent.request_identities().await.ok()
    };
    let identities = tokio::time::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or_default();
    identities.iter().map(|identity| identity.public_key().into_owned()).collect()
}
