//! Repositories beside the distribution's own, and Docker from one. The repository in `repository/` stands in for
//! Docker's: its packages hold nothing but units that sleep, its index is signed by `key.asc`, and `other.asc` is a key
//! that has signed nothing.

use bedplate::base::Exit;
use bedplate::base::event::{EventKind, Verdict};
use bedplate::sandbox::Suite;

use super::docker::Bench;

const KEY: &str = "9ED2DC296C5534892DD51420BBE33D6C96FD198B";
const OTHER: &str = "8FF04209D34E9658D4FFAEAC9003732FA3DE419A";

/// The table of a repository task.
fn repository(suite: &str, fingerprint: &str, key: &str) -> String {
    format!(
        "name = \"docker\"\nuris = [\"file:/srv/repository\"]\nsuites = [\"{suite}\"]\ncomponents = [\"stable\"]\n\
         fingerprint = \"{fingerprint}\"\nkey_url = \"file:/srv/repository/{key}\"\n"
    )
}

fn engine(more: &str) -> String {
    format!("source = \"docker\"\n{more}\n")
}

fn bench(suite: Suite, tasks: &[(&'static str, &str)]) -> Bench {
    let bench = Bench::up(suite, tasks);
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boxes/repository");
    let to = bench.sandbox.root().join("srv/repository");
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(&to).status().expect("cp runs");
    assert!(copied.success(), "the repository can not be copied into the box");
    bench.inside("chmod -R a+rX /srv/repository");
    bench
}

fn failures(events: &[EventKind]) -> String {
    let failures = events.iter().filter_map(|event| match event {
        EventKind::HostFailed(failure) => Some(format!("{} {}", failure.what, failure.said.join("\n"))),
        _ => None,
    });
    failures.collect()
}

/// What apt reads, and whether it can.
fn files(bench: &Bench) -> String {
    bench.inside(
        "apt-get indextargets >/dev/null && cd /etc/apt && cat sources.list sources.list.d/* keyrings/* 2>&1; true",
    )
}

fn a_repository_is_added_or_nothing_is(suite: Suite) {
    let mut bench = bench(suite, &[("apt_repository", &repository("example", OTHER, "key.asc"))]);
    let before = files(&bench);
    for (wrong, said) in [
        (repository("example", OTHER, "key.asc"), "signed by"),
        (repository("example", OTHER, "other.asc"), "signed by"),
        (repository("nowhere", KEY, "key.asc"), "suite"),
        (repository("example", KEY, "no.asc"), "can not be fetched"),
        (repository("example", KEY, "pool/containerd.io_1.7.27-1_all.deb"), "not an ASCII-armored key"),
    ] {
        bench.tasks[0].1.clone_from(&wrong);
        let ran = bench.apply().exits(Exit::HostFailed);
        assert!(failures(&ran.events).contains(said), "`{said}` is not in {}", failures(&ran.events));
        assert_eq!(files(&bench), before, "after {wrong}");
    }

    bench.tasks[0].1 = repository("example", KEY, "key.asc");
    bench.settles();
    assert!(bench.inside("apt-cache policy docker-ce").contains("28.1.1"));

    // The same repository by hand, with another idea of the key, stops all of apt.
    let by_hand = "echo 'deb [signed-by=/srv/repository/other.asc] file:/srv/repository/ example stable' \
        >/etc/apt/sources.list.d/hand.list; ! apt-get indextargets 2>/dev/null";
    bench.repairs(by_hand, &["apt_repository"]);
    bench.inside("apt-get indextargets >/dev/null");
    assert!(bench.inside("cat /etc/apt/sources.list.d/hand.list").starts_with("# deb"));
    bench.repairs("cp /srv/repository/other.asc /etc/apt/keyrings/docker.asc", &["apt_repository"]);
    bench.repairs("chmod 600 /etc/apt/keyrings/docker.asc", &["apt_repository"]);
    bench.repairs("sed -i 's/ [0-9A-F]*$//' /etc/apt/sources.list.d/docker.sources", &["apt_repository"]);
}

/// In the box: a copy of the repository for each way in which time can run out, signed by a new key of 2020; prints the
/// key's fingerprint.
const RUN_OUT: &str = "export GNUPGHOME=$(mktemp -d) && cd /srv/repository && exec 2>/dev/null && \
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends gnupg >/dev/null && \
    by() { gpg --batch --yes --faked-system-time \"$@\"; } && \
    by 20200101T000000 --passphrase '' --quick-gen-key old@example.org ed25519 sign never && \
    gpg --batch --armor --export >old.asc && \
    lists() { sed -n '/^Origin/,/^-----BEGIN PGP SIG/p' dists/example/InRelease | sed -e '/^-----/d' \
        -e 's/^\\(Suite\\|Codename\\): .*/\\1: '$1'/' -e 's/^Date: .*/Date: Wed, 01 Jan 2020 00:00:00 UTC/'; } && \
    for name in fresh lists-out signature-out; do cp -r dists/example dists/$name; done && \
    lists fresh | by 20200101T000000 --clearsign -o dists/fresh/InRelease && \
    { echo 'Valid-Until: Thu, 02 Jan 2020 00:00:00 UTC'; lists lists-out; } | \
        by 20200101T000000 --clearsign -o dists/lists-out/InRelease && \
    lists signature-out | by 20200101T000000 --default-sig-expire 1d --clearsign -o dists/signature-out/InRelease && \
    chmod -R a+rX . && gpg --batch --with-colons --fingerprint | sed -n 's/^fpr:*\\([0-9A-F]*\\):/\\1/p' | head -n 1";

fn what_has_run_out_or_is_dead_is_told(suite: Suite) {
    let mut bench = bench(suite, &[("apt_repository", &repository("fresh", OTHER, "old.asc"))]);
    let key = bench.inside(RUN_OUT);
    // Where apt of this machine does not mind the age of lists, boxes do not either.
    bench.inside("echo 'Acquire { Check-Valid-Until \"true\"; Check-Date \"true\"; };' >/etc/apt/apt.conf.d/zz-age");
    let before = files(&bench);
    let dead = repository("fresh", key.trim(), "old.asc").replace("file:/srv", "http://127.0.0.1:9/srv");
    for (wrong, said) in [
        (repository("lists-out", key.trim(), "old.asc"), "serves lists that have run out"),
        (repository("signature-out", key.trim(), "old.asc"), "the signature of a repository has run out"),
        (dead.clone(), "can not be fetched"),
        (dead.replace("key_url = \"http://127.0.0.1:9", "key_url = \"file:"), "does not serve"),
    ] {
        bench.tasks[0].1.clone_from(&wrong);
        let failures = failures(&bench.apply().exits(Exit::HostFailed).events);
        assert!(failures.contains(said), "`{said}` is not in {failures}");
        assert_eq!(files(&bench), before, "after {wrong}");
    }
    bench.tasks[0].1 = repository("fresh", key.trim(), "old.asc");
    bench.settles();
}

#[test]
#[ignore = "full tier: mirrors as they should not be"]
fn what_has_run_out_or_is_dead_is_told_by_gpg() {
    what_has_run_out_or_is_dead_is_told(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: mirrors as they should not be"]
fn what_has_run_out_or_is_dead_is_told_by_sequoia() {
    what_has_run_out_or_is_dead_is_told(Suite::Trixie);
}

#[test]
#[ignore = "full tier: one release in the quick one shows the same"]
fn a_repository_on_debian_11() {
    a_repository_is_added_or_nothing_is(Suite::Bullseye);
}

#[test]
fn a_repository_on_debian_12() {
    a_repository_is_added_or_nothing_is(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: one release in the quick one shows the same"]
fn a_repository_on_debian_13() {
    a_repository_is_added_or_nothing_is(Suite::Trixie);
}

#[test]
#[ignore = "full tier: Docker packages replaced by others; not in the quick one on any release"]
fn docker_s_packages_take_the_place_of_the_distribution_s_only_when_told() {
    let mut bench = bench(Suite::Trixie, &[("docker_engine", "source = \"distribution\"\n")]);
    bench.settles();
    bench.inside("docker volume create precious && touch /var/lib/docker/volumes/precious/_data/file");

    bench.tasks = vec![
        ("apt_repository", repository("example", KEY, "key.asc")),
        ("docker_engine", engine("version = \"27\"\nhold = true")),
    ];
    let check = bench.check().exits(Exit::HostFailed);
    let refused = check.tasks().into_iter().find(|task| task.verdict == Verdict::Refused).expect("a refusal");
    assert!(refused.why.starts_with("containerd, docker-cli, docker.io, runc can not live beside"), "{}", refused.why);
    bench.apply().exits(Exit::HostFailed);
    assert!(bench.inside("dpkg-query -W docker.io").contains("docker.io"), "a refusal must not change anything");
    bench.inside("test ! -e /etc/apt/sources.list.d/docker.sources");

    bench.tasks[1].1 = engine("version = \"27\"\nhold = true\nreplace_conflicting = true");
    bench.apply().exits(Exit::Done);
    bench.check().exits(Exit::Done);
    assert!(bench.inside("dpkg-query -W -f '${db:Status-Abbrev}${Version}' docker-ce").starts_with("hi 5:27.5.1"));
    bench.inside("test -e /var/lib/docker/volumes/precious/_data/file");
    bench.inside("systemctl is-active docker.service && systemctl is-enabled docker.service");

    bench.tasks[1].1 = engine("version = \"28.1.1\"\nhold = true");
    bench.apply().exits(Exit::Done);
    bench.check().exits(Exit::Done);
    assert!(bench.inside("dpkg-query -W -f '${db:Status-Abbrev}${Version}' docker-ce").starts_with("hi 5:28.1.1"));
    bench.repairs("apt-mark unhold docker-ce", &["docker_engine"]);
    bench.repairs("systemctl mask --now docker.service docker.socket 2>/dev/null", &["docker_engine"]);
}

#[test]
#[ignore = "full tier: Docker packages of a repository; not in the quick one on any release"]
fn docker_s_packages_on_a_bare_box() {
    let bench = bench(
        Suite::Bookworm,
        &[("apt_repository", &repository("example", KEY, "key.asc")), ("docker_engine", &engine("hold = true"))],
    );
    bench.settles();
}
