//! What goes and what stays, from a host as people have it.

use std::collections::BTreeMap;

use super::*;
use crate::base::Diagnostics;
use crate::playbook::local::Memory;

fn volume(name: &str, options: &[(&str, &str)]) -> Volume {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mountpoint = format!("/var/lib/docker/volumes/{name}/_data");
    Volume { name: name.into(), driver: "local".into(), mountpoint, options: Some(options), labels: None }
}

fn container(name: &str, labels: &[(&str, &str)], mounts: &[(&str, &str, &str)]) -> Container {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mount = |(sort, name, source): &(&str, &str, &str)| Mount {
        sort: (*sort).into(),
        name: (*name).into(),
        source: (*source).into(),
    };
    Container { name: name.into(), running: true, labels: Some(labels), mounts: mounts.iter().map(mount).collect() }
}

fn old() -> Survey {
    Survey {
        home: "/home/deploy".into(),
        docker_root: "/var/lib/docker".into(),
        volumes: vec![
            volume("shop_storage", &[]),
            volume("shop_big", &[("type", "none"), ("o", "bind"), ("device", "/mnt/big/shop")]),
            volume("shared", &[("type", "nfs"), ("device", ":/x")]),
            volume("kamal-proxy-config", &[]),
            volume(&"ab".repeat(32), &[]),
            volume("unused", &[]),
        ],
        containers: vec![
            container(
                "kamal-proxy",
                &[],
                &[("volume", "kamal-proxy-config", "/x"), ("bind", "", "/home/deploy/.kamal/proxy/apps-config")],
            ),
            container(
                "shop-web-1",
                &[("service", "shop"), ("role", "web")],
                &[
                    ("volume", "shop_storage", "/var/lib/docker/volumes/shop_storage/_data"),
                    ("bind", "", "/var/run/docker.sock"),
                    ("bind", "", "/srv/uploads"),
                    ("bind", "", "/home/deploy/.kamal/apps/shop/assets/volumes/web-1"),
                ],
            ),
            container(
                "shop-db",
                &[("service", "shop-db")],
                &[
                    ("bind", "", "/root/shop-db/data"),
                    ("bind", "", "/root/shop-db/etc/my.cnf"),
                    ("volume", &"ab".repeat(32), "/y"),
                ],
            ),
            container("other", &[], &[("bind", "", "/srv/uploads/thumbs")]),
            container("monitor", &[], &[("bind", "", "/proc")]),
        ],
        ..Survey::default()
    }
}

fn deploy() -> Deploy {
    let text = "service: shop\nimage: a\nservers: [192.0.2.1]\nregistry: {server: x}\nvolumes: [/srv/uploads:/u, shop_storage:/s, /srv/extra:/e]\n\
        accessories:\n  db:\n    image: b\n    host: 192.0.2.1\n    directories: [data:/data]\n    files: [my.cnf:/etc/my.cnf]\n";
    let local = Memory::of(BTreeMap::from([(deploy::FILE.to_owned(), text.to_owned())]));
    deploy::load(&local, None, &BTreeMap::new(), &mut Diagnostics::new()).expect("a deploy.yml")
}

fn moved(also: &[&str], skip: &[&str]) -> Candidates {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (also, skip, deploy) = (words(also), words(skip), deploy());
    candidates(&old(), "/home/deploy", Wishes { deploy: Some(&deploy), groups: &[], also: &also, skip: &skip })
}

fn is_folder(candidates: &Candidates) -> Vec<Found> {
    let found = |candidate: &Candidate| Found {
        sort: Sort::Folder,
        real: candidate.from.clone(),
        used: 10,
        ..Found::default()
    };
    candidates.found.iter().map(found).collect()
}

#[test]
fn everything_that_an_app_keeps_goes_and_nothing_else() {
    let candidates = moved(&[], &[]);
    let from: Vec<&str> = candidates.found.iter().map(|candidate| candidate.from.as_str()).collect();
    assert_eq!(
        from,
        [
            "/var/lib/docker/volumes/shop_storage/_data",
            "/mnt/big/shop",
            "/var/lib/docker/volumes/kamal-proxy-config/_data/certs",
            "/var/lib/docker/volumes/unused/_data",
            "/srv/uploads",
            "/root/shop-db/data",
            "/srv/uploads/thumbs",
            "/home/deploy/shop-db/data",
            "/srv/extra",
            "/home/deploy/.kamal/proxy/apps-config",
            "/home/deploy/.kamal/proxy/options",
            "/home/deploy/.kamal/proxy/image",
            "/home/deploy/.kamal/proxy/image_version",
            "/home/deploy/.kamal/proxy/run_command",
        ]
    );
    let left: Vec<&str> = candidates.left.iter().map(|left| left.what.as_str()).collect();
    assert_eq!(left, ["volume shared", "/var/run/docker.sock of shop-web-1", "/proc of monitor"]);
    let anonymous = format!("volume {} of an accessory has no name", "ab".repeat(32));
    assert!(candidates.wrong.len() == 1 && candidates.wrong[0].starts_with(&anonymous), "{:?}", candidates.wrong);
}

#[test]
fn root_s_folders_become_the_deployer_s() {
    let candidates = moved(&[], &[]);
    let to = |from: &str| {
        candidates.found.iter().find(|candidate| candidate.from == from).map(|candidate| candidate.to.clone())
    };
    assert_eq!(to("/root/shop-db/data"), Some(To::Path("/home/deploy/shop-db/data".into())));
    assert_eq!(to("/srv/uploads"), Some(To::Path("/srv/uploads".into())));
    // What deploy.yml names outright stays where it is named.
    let mut survey = old();
    survey.containers.push(container("own", &[], &[("bind", "", "/root/data")]));
    let deploy = deploy();
    let wishes = Wishes { deploy: Some(&deploy), groups: &[], also: &[], skip: &[] };
    let own =
        super::candidates(&survey, "/home/deploy", wishes).found.into_iter().find(|found| found.from == "/root/data");
    assert_eq!(own.map(|own| own.to), Some(To::Path("/root/data".into())));
    assert!(matches!(to("/mnt/big/shop"), Some(To::Volume { below, .. }) if below.is_empty()));
}

#[test]
fn one_tree_goes_once_and_whoever_writes_there_stands_still() {
    let candidates = moved(&[], &[]);
    let mut found = is_folder(&candidates);
    // What was root's is a link to where the deployer has it.
    let at = candidates.found.iter().position(|candidate| candidate.from == "/root/shop-db/data").unwrap();
    found[at].real = "/home/deploy/shop-db/data".into();
    let freight = freight(&old(), candidates, &found);
    let from: Vec<&str> = freight.roots.iter().map(|root| root.from.as_str()).collect();
    assert!(!from.contains(&"/srv/uploads/thumbs"), "a tree in another was taken for one of its own: {from:?}");
    assert_eq!(from.iter().filter(|from| from.ends_with("shop-db/data")).count(), 1, "{from:?}");
    assert_eq!(freight.apps, ["shop-web-1"]);
    assert_eq!(freight.others, ["shop-db", "other"], "a container beside the app writes into the same tree");
    assert_eq!(freight.wrong.len(), 1, "{:?}", freight.wrong);
}

#[test]
fn two_trees_for_one_place_are_refused() {
    let candidates = moved(&[], &[]);
    // Both are folders of their own: one of them is stale.
    let freight = freight(&old(), candidates.clone(), &is_folder(&candidates));
    let wrong = freight.wrong.iter().find(|wrong| wrong.contains("would both go to")).expect("a refusal");
    assert!(wrong.contains("/root/shop-db/data") && wrong.contains("/home/deploy/shop-db/data"), "{wrong}");
}

#[test]
fn what_the_operator_names_counts() {
    let candidates = moved(&["/srv/app.sqlite3", "/etc", "nothing"], &["shop_storage", "/srv/extra/", "shop-db/data"]);
    let from: Vec<&str> = candidates.found.iter().map(|candidate| candidate.from.as_str()).collect();
    assert!(!from.contains(&"/srv/extra") && !from.contains(&"/var/lib/docker/volumes/shop_storage/_data"), "{from:?}");
    assert!(!from.iter().any(|from| from.contains("shop-db/data")) && from.contains(&"/srv/app.sqlite3"), "{from:?}");
    let mut found: Vec<Found> = candidates.found.iter().map(|_| Found::default()).collect();
    let at = candidates.found.iter().position(|candidate| candidate.from == "/srv/app.sqlite3").unwrap();
    found[at].sort = Sort::Database;
    let freight = freight(&old(), candidates, &found);
    let told = |words: &str| freight.wrong.iter().any(|wrong| wrong.contains(words));
    assert!(told("keeps more beside it") && told("/etc is the system's"), "{:?}", freight.wrong);
    assert!(told("there is no volume nothing"), "{:?}", freight.wrong);
}

#[test]
fn a_name_that_rsync_would_read_as_a_pattern_is_refused() {
    let candidates = moved(&["/srv/a[b]"], &[]);
    let found = is_folder(&candidates);
    let freight = freight(&old(), candidates, &found);
    assert!(freight.wrong.iter().any(|wrong| wrong.contains("/srv/a[b]")), "{:?}", freight.wrong);
}

#[test]
fn a_backup_takes_any_name_but_one_with_a_line_break() {
    let candidates = moved(&["/srv/a[b]*?\\ -x", "/srv/a\nb"], &["/root/shop-db/data"]);
    let freight = taken(&old(), candidates.clone(), &is_folder(&candidates));
    assert!(freight.roots.iter().any(|root| root.from == "/srv/a[b]*?\\ -x"), "{:?}", freight.roots);
    let wrong: Vec<&String> = freight.wrong.iter().filter(|wrong| wrong.contains("line break")).collect();
    assert!(wrong.len() == 1 && wrong[0].starts_with("/srv/a\\nb has a line break in its name"), "{wrong:?}");
    assert!(!freight.wrong.iter().any(|wrong| wrong.contains("a[b]")), "{:?}", freight.wrong);
}
