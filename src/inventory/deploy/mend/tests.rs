//! Files as people have them, mended.

use proptest::prelude::*;

use super::*;

fn mended_text(text: &str) -> String {
    let local = Memory::of([(FILE, text)]);
    let mut all = mended(&local, None, &BTreeMap::new());
    assert!(all.len() <= 1);
    all.pop().map_or_else(|| text.to_owned(), |one| one.after)
}

fn refusals(text: &str) -> Vec<String> {
    let mut found = Diagnostics::new();
    let deploy = load(&Memory::of([(FILE, text)]), None, &BTreeMap::new(), &mut found);
    let deploy = deploy.unwrap_or_else(|| panic!("{}\n{text}", found.render(false)));
    rejected(&deploy).iter().map(|wrong| wrong.message.clone()).collect()
}

const OLD: &str = "\
# Our shop
service: shop   # the name
image: ann/shop
servers:
  - 203.0.113.5
registry:
  username: ann
  password: [KAMAL_REGISTRY_PASSWORD]

# once for Traefik
traefik:
  args:
    a: b
# how it is looked at
healthcheck:
  path: /up
  port: 3000
  interval: 10s
  max_attempts: 7

builder:
  multiarch: false   # one is enough
stop_wait_time: 30
retain_containers: \"3\"
volume:
  - data:/data
";

const NEW: &str = "\
# Our shop
service: shop   # the name
image: ann/shop
servers:
  - 203.0.113.5
registry:
  username: ann
  password: [KAMAL_REGISTRY_PASSWORD]

# once for Traefik
# how it is looked at
proxy:
  app_port: 3000
  healthcheck:
    path: /up
    interval: 10

builder:
  arch: amd64
drain_timeout: 30
retain_containers: 3
volumes:
  - data:/data
";

#[test]
fn a_file_of_kamal_1_becomes_one_of_kamal_2_with_its_comments() {
    let after = mended_text(OLD);
    assert_eq!(after, NEW);
    assert_eq!(refusals(&after), Vec::<String>::new());
}

#[test]
fn flow_style_and_present_keys_are_edited_in_their_places() {
    let head = "service: a\nimage: a\nservers: [203.0.113.5]\nregistry: {username: a, password: [P]}\n";
    for (before, after) in [
        ("builder: {}\n", "builder: { arch: amd64 }\n"),
        ("builder: { cache: x }\n", "builder: { arch: amd64,  cache: x }\n"),
        ("builder:\n", "builder:\n  arch: amd64\n"),
        ("builder: # what\n    args: { A: b }\n", "builder: # what\n    arch: amd64\n    args: { A: b }\n"),
        ("", "\nbuilder:\n  arch: amd64\n"),
        (
            "builder:\n  remote:\n    arch: arm64\n    host: ssh://root@b\n  args: {}\n",
            "builder:\n  remote: ssh://root@b\n  arch: arm64\n  args: {}\n",
        ),
    ] {
        assert_eq!(mended_text(&format!("{head}{before}")), format!("{head}{after}"));
    }
    let head = format!("{head}builder: {{ arch: amd64 }}\n");
    for (before, after) in [
        ("proxy: { acme: { email: a@b.c }, ssl: false }\n", "proxy: { ssl: false }\n"),
        ("proxy: { ssl: false, acme: { email: a@b.c } }\n", "proxy: { ssl: false }\n"),
        ("proxy:\n  ssl: false\n  acme:\n    email: a@b.c\n  # end\n", "proxy:\n  ssl: false\n  # end\n"),
        ("proxy:\n  healthcheck: { interval: 10s }\n", "proxy:\n  healthcheck: { interval: 10 }\n"),
        (
            "proxy:\n  host: a.example\nhealthcheck:\n  path: /up\n",
            "proxy:\n  healthcheck:\n    path: /up\n  host: a.example\n",
        ),
        ("deploy_timeout: 5\nreadiness_timeout: 7\n", "deploy_timeout: 5\n"),
    ] {
        assert_eq!(mended_text(&format!("{head}{before}")), format!("{head}{after}"));
    }
}

#[test]
fn what_needs_a_choice_is_left_alone() {
    let head = "service: a\nimage: a\nservers: [203.0.113.5]\nregistry: {username: a, password: [P]}\nbuilder: { arch: amd64 }\n";
    for tail in [
        "proxy: { ssl: true }\n",
        "proxy: { host: a, hosts: [b] }\n",
        "drain_timeout: 10m\n",
        "traefik: <%= settings %>\n",
        "wholly_unlike_anything: 1\n",
        "accessories: { db: { image: x } }\n",
    ] {
        let text = format!("{head}{tail}");
        assert_eq!(mended_text(&text), text);
        assert_ne!(refusals(&text), Vec::<String>::new(), "{tail} is not refused");
    }
}

#[test]
fn a_destination_is_mended_in_its_own_file() {
    let base = "service: a\nimage: a\nservers: [203.0.113.5]\nregistry: {username: a, password: [P]}\nbuilder: { arch: amd64 }\n";
    let local = Memory::of([(FILE, base), ("config/deploy.staging.yml", "deploy_timeout: 30s\n")]);
    let all = mended(&local, Some("staging"), &BTreeMap::new());
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!((one.path.as_str(), one.after.as_str()), ("config/deploy.staging.yml", "deploy_timeout: 30\n"));
}

fn lines() -> impl Strategy<Value = String> {
    let lines: Vec<&str> =
        OLD.lines().chain(NEW.lines()).chain(["proxy: {}", "  acme: x", "# c", "", "<%= x %>"]).collect();
    prop::collection::vec(prop::sample::select(lines), 0..25).prop_map(|lines| lines.join("\n"))
}

proptest! {
    /// Whatever stands in a file: it never gets worse, and a second mending changes nothing.
    #[test]
    fn mending_never_makes_it_worse(text in lines()) {
        let after = mended_text(&text);
        prop_assert_eq!(mended_text(&after), after.clone());
        let mut found = Diagnostics::new();
        if load(&Memory::of([(FILE, text.as_str())]), None, &BTreeMap::new(), &mut found).is_some() {
            let (was, is) = (refusals(&text), refusals(&after));
            prop_assert!(is.len() <= was.len() && is.iter().all(|one| was.contains(one)), "{was:?} {is:?}");
        }
    }
}
