//! Each thing that can be amiss, alone, on a host where all else is well.

use crate::base::Diagnostics;
use crate::handoff::look::FoundVolume;
use crate::playbook::Memory;

use super::*;

const APP: &str = "service: shop\nimage: ann/shop\nservers: [203.0.113.5]\nregistry: { server: ghcr.io, username: ann, password: [PASSWORD] }\nbuilder: { arch: amd64 }\nproxy: { host: shop.example.com }\nvolumes: [/srv/shop:/data]\n";

fn app(text: &str) -> Deploy {
    let mut found = Diagnostics::new();
    let files = Memory::of([(deploy::FILE, text)]);
    deploy::load(&files, None, &std::collections::BTreeMap::new(), &mut found)
        .unwrap_or_else(|| panic!("{}", found.render(false)))
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn knock(port: u16, seen: Seen) -> Knock {
    Knock { address: "203.0.113.5".parse().unwrap(), port, seen }
}

/// A host on which nothing is amiss.
fn well(deploy: &Deploy) -> Case<'_> {
    let here: IpAddr = "203.0.113.5".parse().unwrap();
    Case {
        user: "deploy",
        look: Look {
            docker: Docker {
                client: true,
                status: 0,
                said: "28.1.1".into(),
                info: "/var/lib/docker|linux|[name=seccomp]".into(),
                network: "bridge".into(),
                containers: Vec::new(),
            },
            ports: vec![22],
            user: "deploy".into(),
            home: "/home/deploy".into(),
            home_writable: true,
            scp: true,
            machine: "x86_64".into(),
            time: 1_700_000_000,
            synchronised: "yes".into(),
            swaps: vec!["/swapfile".into()],
            free: vec![("/var/lib/docker".into(), 20_000_000)],
            registry: Some(Registry { how: "curl".into(), code: 401, ..Registry::default() }),
            folders: vec![(true, "1000".into())],
            volumes: vec![FoundVolume { there: true, device: "/mnt/shop".into(), device_there: true }],
            files: vec![Some(true)],
            ..Look::default()
        },
        questions: Questions {
            registry: Some("ghcr.io".into()),
            folders: vec!["/srv/shop".into()],
            volumes: vec!["shop".into()],
            files: vec!["shop-db/etc/my.cnf".into()],
        },
        offers: Offers {
            kex: words("curve25519-sha256,ecdh-sha2-nistp256"),
            host_keys: words("ssh-ed25519"),
            ciphers: words("chacha20-poly1305@openssh.com,aes256-gcm@openssh.com"),
            macs: words("hmac-sha2-256-etm@openssh.com"),
        },
        deploy: Some(deploy),
        proxy_ports: vec![80, 443],
        known: KnownAs::Plain,
        knocks: Some(vec![knock(80, Seen::Closed), knock(443, Seen::Open)]),
        now: 1_700_000_010,
        secrets: (BTreeSet::from(["PASSWORD".to_owned()]), vec![".kamal/secrets".into()]),
        names: vec![("shop.example.com".into(), BTreeSet::from([here]))],
        addresses: BTreeSet::from([here]),
        forwarding: Some("yes".into()),
        plan: Some(Ok(Vec::new())),
    }
}

#[test]
fn where_nothing_is_amiss_all_is_ready() {
    let deploy = app(APP);
    let wrong: Vec<ReadyCheck> =
        judge(&well(&deploy)).into_iter().filter(|check| check.readiness != Readiness::Ready).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn asked(how: &str, status: u32, code: u16) -> Registry {
    Registry { how: how.into(), status, said: "could not resolve".into(), code }
}

/// A row: what is changed, and the one check that it changes, with what, and a part of its help.
type Row = (fn(&mut Case<'_>), &'static str, Readiness, &'static str);

#[allow(clippy::too_many_lines, reason = "a table")]
fn rows() -> [Row; 38] {
    use Readiness::{NotReady, Warning};
    [
        (
            |case| case.offers.kex = words("curve25519-sha256"),
            "ssh-algorithms",
            NotReady,
            "`KexAlgorithms` of sshd_config",
        ),
        (
            |case| case.offers.ciphers = words("chacha20-poly1305@openssh.com"),
            "ssh-algorithms",
            NotReady,
            "aes256-gcm@openssh.com",
        ),
        (|case| case.offers.macs = words("umac-128-etm@openssh.com"), "ssh-algorithms", NotReady, "hmac-sha2-512-etm"),
        (|case| case.offers.host_keys = words("ssh-dss"), "ssh-algorithms", NotReady, "`HostKeyAlgorithms`"),
        (|case| case.offers = Offers::default(), "ssh-algorithms", Warning, "sshd -T"),
        (|case| case.known = KnownAs::Veiled, "known-host", Warning, "ssh-keyscan"),
        (|case| case.known = KnownAs::NotAtAll, "known-host", Warning, "bedplate handoff"),
        (|case| case.look.home_writable = false, "home", NotReady, "chown -R deploy"),
        (|case| case.look.scp = false, "scp", NotReady, "openssh-client"),
        (|case| case.look.locks = words(".kamal/lock-shop"), "lock", NotReady, "kamal lock release"),
        (|case| case.look.docker.client = false, "docker", NotReady, "bedplate apply"),
        (
            |case| (case.look.docker.status, case.look.docker.said) = (1, "permission denied while trying".into()),
            "docker",
            NotReady,
            "group docker",
        ),
        (
            |case| (case.look.docker.status, case.look.docker.said) = (1, "Cannot connect to the Docker daemon".into()),
            "docker",
            NotReady,
            "systemctl status docker",
        ),
        (|case| case.look.docker.said = "20.10.24+dfsg1".into(), "docker", Warning, "docker_source"),
        (|case| case.look.docker.said = "19.03.1".into(), "docker", NotReady, "24 or newer"),
        (|case| case.look.docker.info = "|linux|[name=rootless]".into(), "docker-root", NotReady, "service"),
        (|case| case.look.docker.network = "macvlan".into(), "network", NotReady, "docker network rm kamal"),
        (|case| case.look.ports.push(80), "port-80", NotReady, "ss -ltnp 'sport = :80'"),
        (
            |case| {
                case.look.docker.containers = vec![("nginx".into(), "0.0.0.0:443->443/tcp, [::]:443->443/tcp".into())]
            },
            "port-443",
            NotReady,
            "docker rm -f nginx",
        ),
        (|case| case.knocks = Some(vec![knock(80, Seen::Filtered)]), "reach-80", NotReady, "firewall_rules"),
        (|case| case.knocks = None, "reach", Warning, "jump host"),
        (
            |case| {
                case.look.docker.containers = vec![("db".into(), "0.0.0.0:5432->5432/tcp, 127.0.0.1:9->9/tcp".into())];
                case.knocks = Some(vec![knock(5432, Seen::Open), knock(9, Seen::Open)]);
            },
            "published",
            Warning,
            "127.0.0.1:5432",
        ),
        (|case| case.look.registry = Some(asked("curl", 6, 0)), "registry", NotReady, "DNS"),
        (|case| case.look.registry = Some(asked("", 0, 0)), "registry", Warning, "install curl"),
        (|case| case.look.registry = Some(asked("curl", 0, 404)), "registry", Warning, "registry: { server"),
        (
            |case| {
                let address = "2001:db8::5".parse().unwrap();
                case.knocks = Some(vec![Knock { address, port: 80, seen: Seen::Filtered }]);
            },
            "reach-80",
            Warning,
            "firewall_rules",
        ),
        (|case| case.look.volumes[0].device_there = false, "volumes", NotReady, "findmnt"),
        (|case| case.look.files = vec![Some(false)], "accessory-files", NotReady, "chown deploy:"),
        (|case| case.look.folders = vec![(false, String::new())], "folders", Warning, "install -d"),
        (|case| case.look.free = vec![("/var/lib/docker".into(), 500_000)], "disk", NotReady, "docker system prune"),
        (|case| case.look.swaps.clear(), "swap", Warning, "bedplate apply"),
        (|case| case.now += 3600, "clock", NotReady, "timedatectl"),
        (|case| case.look.reboot = true, "reboot", Warning, "reboot it"),
        (|case| case.look.half_installed = words("libc6"), "packages", NotReady, "dpkg --configure -a"),
        (|case| case.look.machine = "aarch64".into(), "architecture", NotReady, "arch: arm64"),
        (|case| case.secrets.0.clear(), "secrets", NotReady, "PASSWORD=$PASSWORD"),
        (
            |case| case.names[0].1 = BTreeSet::from(["203.0.113.9".parse().unwrap()]),
            "dns",
            Warning,
            "point it to the host",
        ),
        (|case| case.plan = Some(Ok(words("ufw,sshd"))), "in-sync", NotReady, "bedplate apply"),
    ]
}

#[test]
fn each_thing_amiss_is_told_by_its_own_line_with_its_fix() {
    let deploy = app(APP);
    for (change, check, readiness, help) in rows() {
        let mut case = well(&deploy);
        change(&mut case);
        let amiss: Vec<ReadyCheck> =
            judge(&case).into_iter().filter(|check| check.readiness != Readiness::Ready).collect();
        let [only] = &amiss[..] else { panic!("{check}: {amiss:#?}") };
        assert_eq!((only.check.as_str(), only.readiness), (check, readiness));
        assert!(only.help.as_ref().is_some_and(|told| told.contains(help)), "{check}: `{help}` is not in {only:?}");
    }
}

#[test]
fn what_kamal_refuses_in_the_file_is_a_line_each() {
    let deploy = app(&APP.replace("builder: { arch: amd64 }\n", "healthcheck: { interval: 10s }\n"));
    let checks = judge(&well(&deploy));
    let told: Vec<&ReadyCheck> = checks.iter().filter(|check| check.check == "deploy.yml").collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|check| check.readiness == Readiness::NotReady && check.help.is_some()));
    assert!(told.iter().any(|check| check.what.starts_with("config/deploy.yml:5: ")), "{told:#?}");
}

#[test]
fn a_registry_of_this_machine_needs_a_forwarded_port() {
    let deploy = app(&APP.replace("server: ghcr.io", "server: \"localhost:5555\""));
    for (forwarding, readiness) in [
        ("yes", Readiness::Ready),
        ("remote", Readiness::Ready),
        ("local", Readiness::NotReady),
        ("no", Readiness::NotReady),
    ] {
        let case = Case { forwarding: Some(forwarding.into()), ..well(&deploy) };
        let checks = judge(&case);
        let registry = checks.iter().find(|check| check.check == "registry").unwrap();
        assert_eq!(registry.readiness, readiness, "{registry:?}");
    }
}

#[test]
fn kamal_proxy_may_hold_its_ports() {
    let deploy = app(APP);
    let mut case = well(&deploy);
    case.look.ports.extend([80, 443]);
    case.look.docker.containers =
        vec![("kamal-proxy".into(), "0.0.0.0:80->80/tcp, :::80->80/tcp, 0.0.0.0:443->443/tcp".into())];
    assert!(judge(&case).iter().all(|check| check.readiness == Readiness::Ready));
}

#[test]
fn an_app_is_deployed_where_each_of_its_roles_runs() {
    let text = APP.replace("servers: [203.0.113.5]", "servers: { web: [203.0.113.5], job: [203.0.113.6] }");
    let deploy = app(&text);
    let mut look = well(&deploy).look;
    let groups = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    assert!(!deployed(&look, &deploy, &groups(&["web"])));
    look.docker.containers = vec![("shop-web-1a2b".into(), String::new())];
    assert!(!deployed(&look, &deploy, &groups(&["web"])), "without its proxy it serves nobody");
    look.docker.containers.push(("kamal-proxy".into(), String::new()));
    assert!(deployed(&look, &deploy, &groups(&["web"])));
    assert!(!deployed(&look, &deploy, &groups(&["web", "job"])));
    assert!(!deployed(&look, &deploy, &[]), "a host of no role that is known is looked at for all of them");
    look.docker.containers = vec![("shop-job-1a2b".into(), String::new())];
    assert!(deployed(&look, &deploy, &groups(&["job"])));
    assert!(deployed(&look, &deploy, &groups(&["db"])), "an accessory's host has no part of the app to miss");
}

#[test]
fn an_accessory_s_port_names_its_address() {
    for (port, open) in [("5432:5432", true), ("5432", true), ("127.0.0.1:5432:5432", false), ("[::1]:1:1", false)] {
        let text = format!("{APP}accessories: {{ db: {{ image: x, host: 203.0.113.5, port: \"{port}\" }} }}\n");
        let deploy = app(&text);
        let told = judge(&well(&deploy)).into_iter().find(|check| check.check == "accessory-port");
        assert_eq!(told.is_some(), open, "{port}: {told:?}");
    }
    assert!(has_address("127.0.0.1:53:53/udp") && !has_address("53:53/udp"));
}

#[test]
fn a_host_is_asked_about_what_its_own_containers_are_given() {
    let text = "service: a\nservers:\n  web: [203.0.113.5]\n  job: { hosts: [203.0.113.6], options: { volume: [jobs:/j] } }\nvolumes: [data:/d, /srv/a:/a]\naccessories: { db: { image: x, host: 203.0.113.7, volumes: [pg:/p], files: [\"a:/etc/a\"] } }\n";
    let deploy = app(text);
    let of = |group: &str| {
        let groups = [group.to_owned()];
        (volumes(&deploy, &groups), folders(&deploy, &groups), files(&deploy, &groups))
    };
    let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(of("web"), (words(&["data"]), words(&["/srv/a"]), words(&[])));
    assert_eq!(of("job"), (words(&["data", "jobs"]), words(&["/srv/a"]), words(&[])));
    assert_eq!(of("db"), (words(&["pg"]), words(&[]), words(&["a-db/etc/a"])));
}
