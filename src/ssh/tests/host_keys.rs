//! Which keys of hosts are taken, on a real OpenSSH server.

use std::sync::Arc;

use crate::base::Exit;
use crate::ssh::{Answer, ConnectError, Connector, HostKeyError, NewKeys, Policy, Refuse, Target};

use super::Operator;
use super::sshd::{Sshd, keygen};

const ANOTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

async fn attempt(target: &Target, policy: Policy, operator: &Arc<Operator>) -> Result<(), HostKeyError> {
    match Connector::new(policy, operator.clone()).connect(target).await {
        Ok(_) => Ok(()),
        Err(ConnectError::HostKey(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

fn fingerprint(server: &Sshd) -> String {
    let key = russh::keys::PublicKey::from_openssh(&server.host_key()).unwrap();
    key.fingerprint(russh::keys::HashAlg::Sha256).to_string()
}

#[tokio::test]
async fn an_unknown_key_is_asked_about_and_remembered_plain() {
    let server = Sshd::start("");
    let mut target = server.target();
    target.known_hosts = vec![server.path("new/known_hosts")];
    let nobody = Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.unwrap_err();
    assert_eq!(nobody.exit(), Exit::BadInput);
    assert!(nobody.to_string().contains(&fingerprint(&server)), "{nobody}");
    let says_no = Operator { key: Some(Answer::No), ..Operator::default() }.shared();
    let declined = attempt(&target, Policy::default(), &says_no).await.unwrap_err();
    assert!(matches!(declined, HostKeyError::Declined { .. }), "{declined:?}");
    assert!(!server.path("new/known_hosts").exists());
    let says_yes = Operator { key: Some(Answer::Yes), ..Operator::default() }.shared();
    attempt(&target, Policy::default(), &says_yes).await.unwrap();
    let expected = format!("[127.0.0.1]:{} {}\n", server.port, server.host_key());
    assert_eq!(std::fs::read_to_string(server.path("new/known_hosts")).unwrap(), expected);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(server.path("new/known_hosts")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    attempt(&target, Policy::default(), &says_no).await.unwrap();
    assert_eq!(says_no.asked().len(), 1, "a known key was asked about");
}

#[tokio::test]
async fn a_changed_or_revoked_key_is_refused_whatever_is_allowed() {
    let server = Sshd::start("");
    let target = server.target();
    let known = server.path("known_hosts");
    let operator = Operator { key: Some(Answer::Yes), ..Operator::default() }.shared();
    let policy = Policy { accept_new: true, ..Policy::default() };
    std::fs::write(&known, format!("# mine\n[127.0.0.1]:{} {ANOTHER}\n", server.port)).unwrap();
    let changed = attempt(&target, policy, &operator).await.unwrap_err();
    let HostKeyError::Changed { line: 2, .. } = &changed else { panic!("{changed:?}") };
    let help = ConnectError::HostKey(changed).help().unwrap();
    assert!(help.contains(&format!("ssh-keygen -R '[127.0.0.1]:{}'", server.port)), "{help}");
    let key = server.host_key();
    std::fs::write(&known, format!("@revoked * {key}\n[127.0.0.1]:{} {key}\n", server.port)).unwrap();
    let revoked = attempt(&target, policy, &operator).await.unwrap_err();
    assert!(matches!(revoked, HostKeyError::Revoked { line: 1, .. }), "{revoked:?}");
    let pinned = Target { fingerprint: Some(fingerprint(&server)), ..target };
    let revoked = attempt(&pinned, policy, &operator).await.unwrap_err();
    assert!(matches!(revoked, HostKeyError::Revoked { .. }), "a pin outranks a revocation: {revoked:?}");
    assert_eq!(operator.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pinned_fingerprint_counts_alone() {
    let server = Sshd::with_key("rsa", "");
    keygen(&server.path("other"), "ed25519", "");
    let mut target = server.target();
    target.known_hosts = vec![server.path("none")];
    target.new_keys = NewKeys::Refuse;
    let operator = Operator::default().shared();
    target.fingerprint = Some(fingerprint(&server));
    attempt(&target, Policy::default(), &operator).await.unwrap();
    target.fingerprint = Some("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned());
    let wrong = attempt(&target, Policy { accept_new: true, ..Policy::default() }, &operator).await.unwrap_err();
    assert!(matches!(wrong, HostKeyError::NotPinned { .. }), "{wrong:?}");
}

#[tokio::test]
async fn a_second_key_type_does_not_look_like_a_change() {
    // The server has an Ed25519 key too; only its RSA key is known.
    let folder = tempfile::tempdir().unwrap();
    keygen(&folder.path().join("second"), "ed25519", "");
    let server = Sshd::with_key("rsa", &format!("HostKey {}", folder.path().join("second").display()));
    attempt(&server.target(), Policy::default(), &Operator::default().shared()).await.unwrap();
}

#[tokio::test]
async fn certificates_of_a_known_authority_are_taken_and_bad_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    keygen(&ca, "ed25519", "");
    let authority = std::fs::read_to_string(ca.with_extension("pub")).unwrap();
    let line = format!("@cert-authority [127.0.0.1]:* {authority}");
    for (arguments, good) in [
        (&["-n", "127.0.0.1"][..], true),
        (&["-n", "web.example.org"], false),
        (&["-n", "127.0.0.1", "-V", "20200101:20200102"], false),
    ] {
        let key = folder.path().join(format!("host{}", arguments.len() + usize::from(good)));
        keygen(&key, "ed25519", "");
        let mut sign = std::process::Command::new("ssh-keygen");
        sign.args(["-q", "-h", "-I", "box", "-s"]).arg(&ca).args(arguments).arg(key.with_extension("pub"));
        assert!(sign.status().unwrap().success());
        let certificate = format!("HostKey {0}\nHostCertificate {0}-cert.pub", key.display());
        let server = Sshd::start(&certificate);
        let target = server.target();
        std::fs::write(server.path("known_hosts"), &line).unwrap();
        let outcome = attempt(&target, Policy::default(), &Operator::default().shared()).await;
        match outcome {
            Ok(()) => assert!(good, "{arguments:?}"),
            Err(HostKeyError::BadCertificate { .. }) => assert!(!good, "{arguments:?}"),
            Err(other) => panic!("{arguments:?}: {other:?}"),
        }
    }
}
