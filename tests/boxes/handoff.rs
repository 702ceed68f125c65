//! A box handed off to a deployer that does what Kamal does: set up, deployed again, moved from root to the deploy user
//! with its data, rebooted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bedplate::sandbox::Suite;

use super::support::{Ran, Rig};

/// An app whose registry is the operator's own, and a stand-in for its Kamal.
fn write_app(rig: &Rig, user: Option<&str>) {
    let login = user.map(|user| format!("ssh:\n  user: {user}\n")).unwrap_or_default();
    rig.write(
        "config/deploy.yml",
        &format!(
            "service: shop\nimage: ann/shop\nservers:\n  web:\n    - {0}\n{login}registry:\n  server: localhost:5555\n\
             builder:\n  arch: [amd64, arm64]\nvolumes:\n  - shop_storage:/storage\naccessories:\n  db:\n    image: shop\n    \
             host: {0}\n    directories: [data:/data]\n    files: [my.cnf:/etc/my.cnf]\n",
            rig.sandbox.ipv4()
        ),
    );
    rig.write("my.cnf", "A=b\n");
    let path = |path: std::path::PathBuf| path.display().to_string();
    rig.write(
        "login",
        &format!(
            "host={}\nkey={}\nknown_hosts={}\n",
            rig.sandbox.ipv4(),
            path(rig.sandbox.key()),
            path(rig.sandbox.known_hosts())
        ),
    );
    rig.program("bin/kamal", include_str!("deployer.sh"));
}

/// The program in the app's folder, no host named.
fn run(rig: &Rig, verb: &str, more: &[&str]) -> Ran {
    let swap = format!("swap_path=/swapfile-{}", rig.sandbox.name());
    let mut words = vec![verb, "-F", "ssh_config", "--set", "docker_source=distribution"];
    words.extend(["--set", &swap, "--set", "swap_size=64M"]);
    words.extend(more);
    Ran::of(&rig.command(&words).env("BEDPLATE_VAR_TIMEZONE", "UTC").output().expect("the program runs"))
}

fn handoff(rig: &Rig, version: &str) -> Ran {
    rig.write("version", version);
    run(rig, "handoff", &["--yes"])
}

/// What the app answers to the world, within half a minute.
#[track_caller]
fn answers(rig: &Rig, port: u16) {
    let until = Instant::now() + Duration::from_secs(30);
    let mut last = String::new();
    while Instant::now() < until {
        match ask(rig, port) {
            Ok(text) if text.contains("fine") => return,
            Ok(text) => last = text,
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    panic!("the app does not answer on {port}: {last}");
}

fn ask(rig: &Rig, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&(rig.sandbox.ipv4(), port).into(), Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /up HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn rows(rig: &Rig) -> String {
    rig.inside("docker exec shop-db cat /data/rows")
}

#[test]
#[ignore = "full tier: deploys by a stand-in for Kamal as root and as deploy, root's files moved, reboots; none is in the quick one"]
fn root_deploys_then_deploy_does_with_the_same_data() {
    let mut rig = Rig::up(Suite::Bookworm);
    rig.inside("(apt-get update && apt-get install -y busybox) >/dev/null 2>&1");
    write_app(&rig, None);
    // As HashKnownHosts leaves it: Kamal can not rely on such lines.
    let known = rig.sandbox.known_hosts();
    let hashed = std::process::Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&known).output();
    assert!(hashed.expect("ssh-keygen runs").status.success());
    let first = handoff(&rig, "1").exits(0);
    assert!(first.stdout.contains("kamal setup, as root, version 1"), "{}", first.stdout);
    let plain = std::fs::read_to_string(&known).expect("the file");
    assert!(plain.lines().any(|line| line.starts_with(&format!("{} ", rig.sandbox.ipv4()))), "{plain}");
    answers(&rig, 80);
    rig.inside("docker exec shop-db sh -c 'echo second >>/data/rows'");
    rig.reboot();
    answers(&rig, 80);
    let again = handoff(&rig, "2").exits(0);
    assert!(again.stdout.contains("kamal deploy, as root, version 2"), "{}", again.stdout);

    // The login becomes another: what Kamal keeps goes along, under the feet of running containers.
    write_app(&rig, Some("deploy"));
    let moved = handoff(&rig, "3").exits(0);
    assert!(moved.stdout.contains("kamal deploy, as deploy, version 3"), "{}", moved.stdout);
    let owners = "cd /home/deploy && stat -c '%U %n' .kamal .kamal/shop-audit.log shop-db shop-db/etc/my.cnf && stat -c '%u %n' shop-db/data shop-db/data/rows";
    assert_eq!(
        rig.inside(owners).trim(),
        "deploy .kamal\ndeploy .kamal/shop-audit.log\ndeploy shop-db\ndeploy shop-db/etc/my.cnf\n999 shop-db/data\n999 shop-db/data/rows"
    );
    assert_eq!(rig.inside("readlink /root/.kamal /root/shop-db").trim(), "/home/deploy/.kamal\n/home/deploy/shop-db");
    assert_eq!(rows(&rig), "first\nsecond\n");
    rig.inside("docker restart -t 1 shop-db");
    assert_eq!(rows(&rig), "first\nsecond\n", "a container that was made with the old path lost its data");
    run(&rig, "check", &[]).exits(0);

    // The deployer's own number is kept; and it is not run at all on a host that is not ready.
    handoff(&rig, "broken").exits(42);
    rig.inside("mkdir /home/deploy/.kamal/lock-shop");
    let shut = handoff(&rig, "4").exits(1);
    assert!(
        !shut.stdout.contains("version 4") && shut.stderr.contains("was not run"),
        "{}{}",
        shut.stdout,
        shut.stderr
    );
    rig.inside("rmdir /home/deploy/.kamal/lock-shop");

    rig.reboot();
    answers(&rig, 80);
    answers(&rig, 443);
    assert_eq!(rows(&rig), "first\nsecond\n");
    assert_eq!(
        rig.inside("docker run --rm --volume shop_storage:/storage shop cat /storage/versions"),
        "1\n1\n2\n3\n3\n"
    );
    run(&rig, "ready", &[]).exits(0);
}

#[test]
#[ignore = "full tier: deploys by a stand-in for Kamal on Debian 13, without faults; none is in the quick one"]
fn root_deploys_then_deploy_does_on_debian_13() {
    let mut rig = Rig::up(Suite::Trixie);
    rig.inside("(apt-get update && apt-get install -y busybox) >/dev/null 2>&1");
    for (user, version, said) in
        [(None, "1", "kamal setup, as root, version 1"), (Some("deploy"), "2", "kamal deploy, as deploy, version 2")]
    {
        write_app(&rig, user);
        let ran = handoff(&rig, version).exits(0);
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
        answers(&rig, 80);
        rig.reboot();
        answers(&rig, 80);
        assert_eq!(rows(&rig), "first\n");
    }
}
