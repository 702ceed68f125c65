//! Files as people write them, read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::inventory::Inventory;
use crate::playbook::local::Memory;

const WHOLE: &str = r#"
x-shared: &shared
  options: { cpus: 2 }
service: shop
image: ann/shop
servers:
  web:
    - 203.0.113.5
    - 203.0.113.6: primary
  job:
    hosts: [203.0.113.6, { "2001:db8::7": [primary, slow] }]
    <<: *shared
proxy:
  ssl: false
  host: shop.example.com, www.example.com
registry:
  server: ghcr.io
  username: ann
  password: [KAMAL_REGISTRY_PASSWORD]
builder: { arch: amd64 }
env:
  clear: { A: b }
  secret: [RAILS_MASTER_KEY, "DB:SHOP_DB"]
volumes:
  - "shop_storage:/rails/storage"
  - /srv/uploads:/rails/uploads:ro
ssh:
  user: deploy
  proxy: 203.0.113.1
  keys: [~/.ssh/shop]
accessories:
  db:
    image: postgres:17
    host: 203.0.113.9
    port: "127.0.0.1:5432:5432"
    volumes: [pg:/var/lib/postgresql]
    directories: [data:/var/lib/postgresql/data, { local: /srv/log, remote: /log }]
  cache:
    image: redis
    tag: primary
"#;

fn load_of(files: &[(&str, &str)], destination: Option<&str>) -> (Option<Deploy>, Diagnostics) {
    let env = BTreeMap::from([("WEB".to_owned(), "203.0.113.5".to_owned())]);
    let mut found = Diagnostics::new();
    let deploy = load(&Memory::of(files.iter().copied()), destination, &env, &mut found);
    (deploy, found)
}

fn parsed(text: &str) -> (Deploy, Diagnostics) {
    let (deploy, found) = load_of(&[(FILE, text)], None);
    (deploy.unwrap_or_else(|| panic!("{}", found.render(false))), found)
}

fn made(text: &str) -> (Inventory, Diagnostics) {
    let (deploy, mut found) = parsed(text);
    let inventory = inventory(&deploy, &BTreeSet::new(), true, &mut found);
    (inventory, found)
}

#[test]
fn every_form_of_host_is_read() {
    let (deploy, found) = parsed(WHOLE);
    assert!(found.is_empty(), "{}", found.render(false));
    let addresses = |role: &Role| -> Vec<String> {
        role.hosts.iter().filter_map(|server| server.address.known().cloned()).collect()
    };
    assert_eq!(addresses(&deploy.roles[0]), ["203.0.113.5", "203.0.113.6"]);
    assert_eq!(addresses(&deploy.roles[1]), ["203.0.113.6", "2001:db8::7"]);
    assert_eq!(deploy.roles[1].hosts[1].tags, ["primary", "slow"]);
    assert!(deploy.roles[0].proxy.is_some() && deploy.roles[1].proxy.is_none());
    let cache = &deploy.accessories[1];
    assert_eq!(cache.hosts.iter().filter_map(Setting::known).collect::<Vec<_>>(), ["203.0.113.6", "2001:db8::7"]);
    let directories: Vec<&str> = deploy.accessories[0].directories.iter().map(|said| said.value.as_str()).collect();
    assert_eq!(directories, ["shop-db/data", "/srv/log"]);
    let secrets: Vec<&str> = deploy.secrets.iter().map(|said| said.value.as_str()).collect();
    assert_eq!(secrets, ["KAMAL_REGISTRY_PASSWORD", "RAILS_MASTER_KEY", "SHOP_DB"]);
    assert_eq!(deploy.proxy.hosts.len(), 2);
    assert_eq!(deploy.user(), Some("deploy"));
}

#[test]
fn its_hosts_are_the_inventory() {
    let (inventory, found) = made(WHOLE);
    assert!(found.is_empty(), "{}", found.render(false));
    let names: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["203.0.113.5", "203.0.113.6", "2001:db8::7", "203.0.113.9"]);
    assert_eq!(inventory.hosts[1].groups, ["web", "job", "cache"]);
    assert_eq!(inventory.groups, ["web", "job", "cache", "db"]);
    let host = &inventory.hosts[0];
    assert_eq!((host.user.as_deref(), host.jump.as_deref()), (Some("root"), Some("root@203.0.113.1")));
    assert_eq!(host.keys, ["~/.ssh/shop"]);
    let variables = |index: usize| -> Vec<(String, String)> {
        let given = &inventory.hosts[index].variables;
        given.iter().map(|given| (given.name.clone(), crate::playbook::write::inline(&given.node))).collect()
    };
    let shop = ("docker_volumes".to_owned(), "[{ name = \"shop_storage\" }]".to_owned());
    let user = ("deploy_user".to_owned(), "\"deploy\"".to_owned());
    assert_eq!(variables(0), [user.clone(), shop]);
    let closed = ("firewall_rules".to_owned(), "[]".to_owned());
    let pg = ("docker_volumes".to_owned(), "[{ name = \"pg\" }]".to_owned());
    let folders = ("kamal_folders".to_owned(), "[\"shop-db\"]".to_owned());
    assert_eq!(variables(3), [user, pg, folders, closed]);
    let place = &inventory.hosts[0].variables[0];
    assert_eq!(&place.source.text[place.range.clone()], "deploy");
}

#[test]
fn without_a_user_root_deploys_and_a_port_is_one_to_move_to() {
    let (inventory, _) = made("service: a\nservers: [203.0.113.5]\nssh: { port: \"2222\" }\n");
    let shown: Vec<String> = inventory
        .variables
        .iter()
        .map(|given| format!("{}={}", given.name, crate::playbook::write::inline(&given.node)))
        .collect();
    assert_eq!(shown, ["deploy_user=\"root\"", "ssh_port=2222"]);
}

#[test]
fn what_ruby_would_say_is_asked_for_where_it_is_needed() {
    let text = "service: a\nservers:\n  - <%= ENV[\"WEB\"] %>\n  - <%= Host.all.first %>\nssh:\n  user: <%= user %>\nenv: { clear: { A: <%= 1 %> } }\n";
    let (inventory, found) = made(text);
    assert_eq!(inventory.hosts.len(), 1, "the known host is there");
    let told = found.render(false);
    for part in [
        "a host of `web` is not known: unknown (ERB)",
        "deploy.yml:4:5",
        "`ssh.user` is not known",
        "deploy.yml:6:9",
        "--set deploy_user",
    ] {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
    }
    let (deploy, mut found) = parsed(text);
    let said = BTreeSet::from(["deploy_user".to_owned()]);
    super::inventory(&deploy, &said, false, &mut found);
    assert!(!found.has_errors(), "{}", found.render(false));
}

#[test]
fn a_destination_is_laid_over_it() {
    let files = [
        (FILE, "service: a\nimage: a\nservers: [203.0.113.5]\nssh: { user: deploy, port: 22 }\n"),
        ("config/deploy.staging.yml", "servers: [203.0.113.8]\nssh: { port: 2222 }\n"),
    ];
    let deploy = load_of(&files, Some("staging")).0.unwrap();
    assert_eq!(deploy.roles[0].hosts[0].address.known().map(String::as_str), Some("203.0.113.8"));
    assert_eq!((deploy.user(), deploy.ssh.port.known()), (Some("deploy"), Some(&2222)));
    let (none, found) = load_of(&files, Some("stagin"));
    assert!(none.is_none() && found.render(false).contains("there is no config/deploy.stagin.yml"));
}

#[test]
fn what_kamal_refuses_is_warned_of_with_line_and_fix() {
    let text = "service: a\nimage: a\nservers:\n  web: [203.0.113.5, 203.0.113.6]\nhealthcheck:\n  path: /up\n  interval: 10s\nproxy:\n  ssl: true\n  acme: { email: a@example.com }\n  healthcheck: { interval: 10s }\ntraefik: {}\nbuilder:\n  multiarch: false\nregistry:\n  server: ghcr.io\naccessories:\n  db: { image: x }\nstop_wait_time: 3\nvolume: []\n";
    let (_, found) = parsed(text);
    assert!(!found.has_errors());
    let told = found.render(false);
    for (place, part) in [
        (5, "move it to `proxy: { healthcheck"),
        (9, "`ssl: true` needs a `host`"),
        (9, "the role `web` has 2"),
        (10, "kamal-proxy gets certificates by itself"),
        (11, "write `interval: 10`"),
        (12, "kamal-proxy is in its place"),
        (13, "add `arch: amd64`"),
        (14, "`builder.multiarch` is of Kamal 1"),
        (16, "has no credentials"),
        (18, "must have one of host"),
        (19, "write `drain_timeout`"),
        (20, "did you mean `volumes`?"),
    ] {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
        assert!(told.contains(&format!("config/deploy.yml:{place}:")), "line {place} ({part}) is not in\n{told}");
    }
}

#[test]
fn files_that_can_not_be_an_inventory_say_one_clear_thing() {
    for (text, part) in [
        ("service: [a\n", "this is not YAML"),
        ("- a\n", "must hold keys with values, not a list"),
        ("", "must hold keys with values, not nothing"),
    ] {
        let (deploy, found) = load_of(&[(FILE, text)], None);
        assert!(deploy.is_none() && found.has_errors(), "{text}");
        assert!(found.render(false).contains(part), "{}", found.render(false));
    }
    let (inventory, found) =
        made("service: a\nimage: a\nservers: [\"a b\", \"deploy@203.0.113.5\"]\nbuilder: { arch: amd64 }\n");
    assert!(inventory.hosts.is_empty());
    assert!(found.render(false).contains("neither a user nor a port"), "{}", found.render(false));
}

fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "servers:",
        "\n",
        "  ",
        "- ",
        "web:",
        "hosts:",
        "203.0.113.5",
        "<%=",
        "%>",
        "ENV[\"WEB\"]",
        "<% if x %>",
        "<% end %>",
        "<%%",
        "&a ",
        "*a",
        "<<: *a",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "\"",
        "'",
        "|",
        ">",
        "#",
        "~",
        "ssh:",
        "port: 0",
        "ä\u{f8fe}0\u{f8ff}",
        "\t",
        "accessories:",
        "volumes:",
        "a:/b",
        "proxy:",
        "ssl: true",
        "registry:",
        "tag: x",
        "\u{0}",
        "%",
        "---",
        "...",
        "!!str ",
        "? ",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![pieces(), ".*", "(?s).{0,60}"], over in pieces()) {
        let files = [(FILE, text.as_str()), ("config/deploy.x.yml", over.as_str())];
        for destination in [None, Some("x")] {
            let (deploy, mut found) = load_of(&files, destination);
            if let Some(deploy) = &deploy {
                inventory(deploy, &BTreeSet::new(), true, &mut found);
                starter(deploy, &mut found);
            }
            prop_assert!(deploy.is_some() || found.has_errors());
            let _ = found.render(false);
        }
    }
}
