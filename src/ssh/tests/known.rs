//! The reader of `known_hosts` against its judge, `ssh-keygen -F`, and against rubbish.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use russh::keys::PublicKey;

use crate::ssh::known_hosts::{KnownAs, KnownHosts, Standing, append, append_line, known_as, lookup_name};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn key() -> PublicKey {
    PublicKey::from_openssh(KEY).unwrap()
}

fn keygen(file: &Path, arguments: &[&str]) -> bool {
    crate::tools::need("ssh-keygen", "openssh-client");
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).arg("-f").arg(file);
    let output = command.output().expect("ssh-keygen runs");
    output.status.success()
}

fn ours(file: &Path, name: &str) -> bool {
    KnownHosts::read(&[file.to_owned()], name).standing(key().key_data()) == Standing::Known
}

#[test]
fn lines_name_hosts_as_ssh_keygen_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    let fields = [
        "web",
        "web,10.0.0.1",
        "*.example.org",
        "*.example.org,!bad.example.org",
        "[web]:2222",
        "[*.example.org]:22?",
        "WEB.example.org",
        "!web",
        "web*,!web1",
        "2001:db8::1",
    ];
    let names = [
        "web",
        "web1",
        "10.0.0.1",
        "a.example.org",
        "bad.example.org",
        "[web]:2222",
        "[a.example.org]:222",
        "2001:db8::1",
    ];
    for field in fields {
        for separator in [" ", "\t", "   "] {
            std::fs::write(
                &file,
                format!("# first\n\n  {field}{separator}{} a comment\n", KEY.replace(' ', separator)),
            )
            .unwrap();
            for name in names {
                assert_eq!(ours(&file, name), keygen(&file, &["-F", name]), "{field:?} {name}");
            }
        }
    }
}

#[test]
fn hashed_names_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, format!("web.example.org,10.0.0.1 {KEY}\n[web]:2222 {KEY}\n")).unwrap();
    assert!(keygen(&file, &["-q", "-H"]));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
    for (host, port, expected) in [
        ("web.example.org", 22, true),
        ("WEB.example.org", 22, true),
        ("10.0.0.1", 22, true),
        ("web", 2222, true),
        ("web", 22, false),
    ] {
        assert_eq!(ours(&file, &lookup_name(host, port)), expected, "{host}:{port}");
    }
}

#[test]
fn a_line_is_added_whole_to_a_file_that_ends_badly() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, "# no line break").unwrap();
    append(&file, "web", &key()).unwrap();
    append(&file, "[web]:2222", &key()).unwrap();
    let expected = format!("# no line break\nweb {KEY}\n[web]:2222 {KEY}\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    assert!(keygen(&file, &["-F", "web"]));
}

proptest! {
    #[test]
    fn rubbish_says_nothing_and_hides_nothing(
        before in "[ -~\\t\\n|@\\[\\]]{0,120}",
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        let mut text = before.into_bytes();
        text.extend(bytes);
        text.extend(format!("\nthe-host {KEY}\n").bytes());
        std::fs::write(&file, text).unwrap();
        // A line of random text can not happen to hold a whole key.
        prop_assert!(ours(&file, "the-host"));
        prop_assert!(!ours(&file, "another-host"));
    }
}

#[test]
fn a_name_that_is_hashed_or_a_pattern_is_veiled_until_a_plain_line_stands_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    let known = |name: &str| known_as(std::slice::from_ref(&file), name, KEY);
    assert_eq!(known("web"), KnownAs::NotAtAll);
    std::fs::write(&file, format!("web,10.0.0.1 {KEY}\n[*]:2222 {KEY}\n@revoked old {KEY}\n")).unwrap();
    assert_eq!((known("web"), known("10.0.0.1")), (KnownAs::Plain, KnownAs::Plain));
    assert_eq!((known("[web]:2222"), known("old")), (KnownAs::Veiled, KnownAs::NotAtAll));
    assert!(keygen(&file, &["-H"]), "the names are hashed");
    assert_eq!(known("web"), KnownAs::Veiled);
    append_line(&file, &format!("web {KEY}")).unwrap();
    assert_eq!(known("web"), KnownAs::Plain);
    assert!(ours(&file, "web"));
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB3rg/EfFXiRIeDGHbTqMsXLkHD5YIaZlVVLrYCeYzpp";
    assert_eq!(known_as(std::slice::from_ref(&file), "web", other), KnownAs::NotAtAll);
}
