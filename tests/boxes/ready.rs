//! Kamal's deploy.yml as the only file: a bare box made ready by it, the gate open on it, and shut again by each thing
//! that would make `kamal setup` fail.

use bedplate::base::EventKind;
use bedplate::base::event::{Readiness, ReadyCheck};
use bedplate::sandbox::Suite;

use super::support::{Ran, Rig};

/// An app whose registry is the operator's own, so that nothing outside is needed.
fn write_app(rig: &Rig) {
    rig.write(
        "config/deploy.yml",
        &format!(
            "service: shop\nimage: ann/shop\nservers:\n  web:\n    - {}\nssh:\n  user: deploy\n\
             registry:\n  server: localhost:5555\nbuilder:\n  arch: [amd64, arm64]\n\
             env:\n  secret: [RAILS_MASTER_KEY]\nvolumes:\n  - shop_storage:/rails/storage\n",
            rig.sandbox.ipv4()
        ),
    );
    rig.write(".kamal/secrets", "RAILS_MASTER_KEY=$RAILS_MASTER_KEY\n");
}

/// Runs the program on the app's hosts, none of them named.
fn run(rig: &Rig, verb: &str, more: &[&str]) -> Ran {
    let swap = format!("swap_path=/swapfile-{}", rig.sandbox.name());
    let mut words = vec![verb, "-F", "ssh_config", "--set", "docker_source=distribution"];
    words.extend(["--set", &swap, "--set", "swap_size=64M"]);
    words.extend(more);
    Ran::of(&rig.command(&words).output().expect("the program runs"))
}

fn checks(ran: &Ran) -> Vec<ReadyCheck> {
    let of = |kind| match kind {
        EventKind::ReadyChecked(check) => Some(check),
        _ => None,
    };
    ran.events().into_iter().filter_map(|event| of(event.kind)).collect()
}

/// The gate is shut by `check` alone, and its help holds `help`.
#[track_caller]
fn shut(rig: &Rig, more: &[&str], check: &str, help: &str) {
    let ran = run(rig, "ready", &[more, &["--json"]].concat()).exits(1);
    let failed: Vec<ReadyCheck> =
        checks(&ran).into_iter().filter(|check| check.readiness == Readiness::NotReady).collect();
    assert!(failed.iter().any(|one| one.check == check), "`{check}` did not fail: {failed:#?}");
    for one in &failed {
        // What is broken on purpose is drift too.
        assert!(one.check == check || one.check == "in-sync", "{one:?} failed beside `{check}`");
        let told = one.help.as_deref().unwrap_or_default();
        assert!(one.check != check || told.contains(help), "`{help}` is not in {one:?}");
    }
}

#[track_caller]
fn open(rig: &Rig) -> Ran {
    run(rig, "ready", &["--json"]).exits(0)
}

/// A bare box applied to by deploy.yml alone.
fn made_ready() -> Rig {
    let rig = Rig::up(Suite::Bookworm);
    write_app(&rig);
    run(&rig, "apply", &["--yes"]).exits(0);
    rig
}

#[test]
#[ignore = "full tier: a bare box applied to and looked at, more than a minute"]
fn deploy_yml_alone_makes_a_box_that_kamal_can_use() {
    let rig = Rig::up(Suite::Bookworm);
    write_app(&rig);
    // Nobody is called deploy there yet.
    shut_at_login(&rig);
    run(&rig, "apply", &["--yes"]).exits(0);
    let ran = open(&rig);
    let checks = checks(&ran);
    for check in ["login", "ssh-algorithms", "docker", "port-80", "registry", "secrets", "in-sync", "architecture"] {
        assert!(checks.iter().any(|one| one.check == check), "`{check}` was not looked at: {checks:#?}");
    }
    assert!(rig.inside("docker volume ls -q").contains("shop_storage"), "the app's volume was not made");
    let people = run(&rig, "ready", &[]).exits(0);
    let lines = ["✓ login: deploy@", "! docker: Docker 20.10", "✓ registry: sshd lets Kamal", "checks passed"];
    assert!(lines.iter().all(|line| people.stdout.contains(line)), "{}", people.stdout);
    run(&rig, "check", &[]).exits(0);
    // The worst of what a bootstrap of Kamal's own does not notice.
    rig.inside("systemctl stop docker.socket docker.service");
    shut(&rig, &[], "docker", "systemctl status docker");
    rig.inside("systemctl start docker.service");
    open(&rig);
}

#[track_caller]
fn shut_at_login(rig: &Rig) {
    let ran = run(rig, "ready", &["--json"]).exits(1);
    let checks = checks(&ran);
    let [login] = &checks[..] else { panic!("{checks:#?}") };
    assert_eq!((login.check.as_str(), login.readiness), ("login", Readiness::NotReady));
    assert!(login.help.as_deref().is_some_and(|help| help.contains("bedplate apply")), "{login:?}");
}

#[test]
#[ignore = "full tier: each way in which a box can be unready, with Docker in the box"]
fn each_thing_that_kamal_trips_over_shuts_the_gate() {
    let rig = made_ready();
    open(&rig);
    let broken = |line: &str, check: &str, help: &str, mend: &str| {
        rig.inside(line);
        shut(&rig, &[], check, help);
        rig.inside(mend);
    };
    broken(
        "mv /usr/bin/docker /usr/bin/docker.away",
        "docker",
        "bedplate apply",
        "mv /usr/bin/docker.away /usr/bin/docker",
    );
    broken("gpasswd -d deploy docker", "docker", "group docker", "gpasswd -a deploy docker");
    broken(
        "apt-get install -y -q busybox-static >/dev/null 2>&1; systemd-run --quiet --unit=taken-80 --collect busybox nc -ll -p 80 -e true; sleep 1",
        "port-80",
        "ss -ltnp",
        "systemctl stop taken-80.service",
    );
    broken("chown root /home/deploy && chmod 755 /home/deploy", "home", "chown -R deploy", "chown deploy /home/deploy");
    broken("mv /usr/bin/scp /usr/bin/scp.away", "scp", "openssh-client", "mv /usr/bin/scp.away /usr/bin/scp");
    broken(
        "install -d -o deploy -g deploy /home/deploy/.kamal /home/deploy/.kamal/lock-shop",
        "lock",
        "kamal lock release",
        "rm -r /home/deploy/.kamal",
    );
    broken(
        "sed -i '1i KexAlgorithms curve25519-sha256' /etc/ssh/sshd_config && systemctl reload ssh",
        "ssh-algorithms",
        "KexAlgorithms",
        "sed -i 1d /etc/ssh/sshd_config && systemctl reload ssh",
    );
    broken(
        "sed -i '1i AllowTcpForwarding no' /etc/ssh/sshd_config && systemctl reload ssh",
        "registry",
        "AllowTcpForwarding",
        "sed -i 1d /etc/ssh/sshd_config && systemctl reload ssh",
    );
    broken(
        "ufw --force delete allow 443/tcp && ufw reload",
        "reach-443",
        "firewall_rules",
        "ufw allow 443/tcp comment web",
    );
    broken(
        "printf 'Package: half\\nStatus: install ok half-configured\\nVersion: 1\\nArchitecture: all\\nMaintainer: A <a@example.com>\\nDescription: x\\n\\n' >>/var/lib/dpkg/status",
        "packages",
        "dpkg --configure",
        "dpkg --remove --force-remove-reinstreq half",
    );
    rig.write(".kamal/secrets", "OTHER=1\n");
    shut(&rig, &[], "secrets", "RAILS_MASTER_KEY=$RAILS_MASTER_KEY");
    write_app(&rig);
    rig.write("config/deploy.other.yml", "builder: { arch: riscv64 }\n");
    rig.write(".kamal/secrets.other", "RAILS_MASTER_KEY=1\n");
    shut(&rig, &["-d", "other"], "architecture", "builder: { arch:");
    rig.write(
        "config/deploy.other.yml",
        "registry: { server: registry.invalid, username: a, password: [RAILS_MASTER_KEY] }\n",
    );
    shut(&rig, &["-d", "other"], "registry", "DNS");
    // A registry whose certificate nobody vouches for.
    rig.inside(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry -keyout /run/key -out /run/cert 2>/dev/null && \
         systemd-run --quiet --unit=registry --collect openssl s_server -quiet -www -accept 5443 -key /run/key -cert /run/cert",
    );
    let server = format!("{}:5443", rig.sandbox.ipv4());
    rig.write(
        "config/deploy.other.yml",
        &format!("registry: {{ server: \"{server}\", username: a, password: [RAILS_MASTER_KEY] }}\n"),
    );
    shut(&rig, &["-d", "other"], "registry", "registry's certificate");
    rig.inside("systemctl stop registry.service");
    rig.write("config/deploy.other.yml", "traefik: {}\n");
    shut(&rig, &["-d", "other"], "deploy.yml", "kamal-proxy is in its place");
    run(&rig, "apply", &["--yes"]).exits(0);
    open(&rig);
}

#[test]
#[ignore = "full tier: two boxes with roles of their own"]
fn each_role_s_host_gets_what_is_its_own() {
    let (web, job) = (Rig::up(Suite::Bookworm), Rig::up(Suite::Trixie));
    let address = |rig: &Rig| rig.sandbox.ipv4().to_string();
    let block = |rig: &Rig| {
        let (known, key) = (rig.sandbox.known_hosts(), rig.sandbox.key());
        let files = format!("  UserKnownHostsFile {}\n  IdentityFile {}\n", known.display(), key.display());
        format!("Host {}\n{files}  GlobalKnownHostsFile /dev/null\n  IdentitiesOnly yes\n", address(rig))
    };
    web.write("ssh_config", &format!("{}{}", block(&web), block(&job)));
    web.write(
        "config/deploy.yml",
        &format!(
            "service: shop\nimage: ann/shop\nservers:\n  web: [{}]\n  job:\n    hosts: [{1}]\n    options: {{ volume: [jobs:/jobs] }}\n\
             ssh: {{ user: deploy }}\nregistry: {{ server: \"localhost:5555\" }}\nbuilder: {{ arch: [amd64, arm64] }}\n\
             volumes: [shop:/storage]\naccessories:\n  db: {{ image: postgres, host: {1}, volumes: [pg:/data] }}\n",
            address(&web),
            address(&job)
        ),
    );
    web.write(
        "playbooks/95-own.toml",
        "description = \"of the jobs\"\n[[task]]\nname = \"role\"\nwhen = \"'job' in host.groups\"\n[task.file]\npath = \"/etc/role\"\ncontent = \"job\\n\"\n",
    );
    let run = |verb: &str, more: &[&str]| {
        let words =
            [&[verb, "-F", "ssh_config", "--set", "docker_source=distribution", "--skip-tags", "swap"], more].concat();
        Ran::of(&web.command(&words).output().expect("the program runs"))
    };
    run("apply", &["--yes"]).exits(0);
    run("check", &[]).exits(0);
    run("ready", &[]).exits(0);
    assert_eq!(web.inside("docker volume ls -q"), "shop\n");
    assert_eq!(job.inside("docker volume ls -q | sort"), "jobs\npg\nshop\n");
    assert_eq!(web.inside("ufw status | grep -c '^80/tcp'"), "2\n");
    assert_eq!(job.inside("ufw status | grep -c '^80/tcp' || true"), "0\n", "a host without the proxy is open for it");
    assert_eq!((web.inside("cat /etc/role || true"), job.inside("cat /etc/role")), (String::new(), "job\n".into()));
    run("check", &["--limit", "job"]).exits(0);
}
