//! Ports that Docker publishes, looked at from outside: open to the world past ufw without bedplate; with it open only
//! where a rule says so, by the published port, on IPv4 and IPv6, whatever Docker, ufw or a restart do meanwhile.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bedplate::base::Exit;
use bedplate::base::event::EventKind;
use bedplate::sandbox::Suite;

use super::docker::Bench;

const TASKS: [(&str, &str); 5] = [
    ("packages", "install = [\"ufw\", \"nftables\", \"busybox-static\"]\n"),
    ("ufw", "rules = [{ allow = \"80,443/tcp\" }]\n"),
    ("docker_engine", "source = \"distribution\"\n"),
    // Without it Docker of these releases leads IPv6 through a program of its own, which ufw sees.
    ("docker_daemon", "settings = { experimental = true, ip6tables = true }\n"),
    ("docker_firewall", "rules = [{ allow = \"80,443/tcp\", comment = \"web\" }]\n"),
];

/// A network that only these boxes have (RFC 2544), so that a way to it leads nowhere else.
const NETWORK: &str = "198.18.77.0/24";

/// Two services behind port 80 of their containers, of which the firewall knows one.
const SERVE: &str = "docker run -d --name web --network app -p 80:80 -p 443:80 example httpd -f -p 80 -h /data >/dev/null && \
    docker run -d --name db --network app -p 5432:80 example httpd -f -p 80 -h /data >/dev/null && \
    docker run -d --name own --network app -p 127.0.0.1:9000:80 example httpd -f -p 80 -h /data >/dev/null";

impl Bench {
    fn addresses(&self) -> [IpAddr; 2] {
        [IpAddr::V4(self.sandbox.ipv4()), IpAddr::V6(self.sandbox.ipv6())]
    }

    /// What is open from here, waited for; what is closed, tried once all that should be open is.
    #[track_caller]
    fn is_open_from_outside(&self, open: &[u16], closed: &[u16], after: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        for address in self.addresses() {
            for port in open {
                while !answers(address, *port) {
                    assert!(Instant::now() < until, "after {after}: {address} does not answer on {port}");
                    std::thread::yield_now();
                }
            }
            for port in closed {
                assert!(!answers(address, *port), "after {after}: {address} answers on {port}");
            }
        }
    }
}

/// Whether a service behind the port sends something; Docker's own proxy takes connections that lead nowhere.
fn answers(address: IpAddr, port: u16) -> bool {
    let limit = Duration::from_millis(700);
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::new(address, port), limit) else { return false };
    stream.set_read_timeout(Some(limit)).expect("a limit");
    let asked = std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n");
    asked.is_ok() && matches!(std::io::Read::read(&mut stream, &mut [0; 16]), Ok(length) if length > 0)
}

fn ip(args: &[&str]) -> bool {
    std::process::Command::new("ip").args(args).status().expect("ip runs").success()
}

/// A way from here straight to the containers, taken back when it goes.
struct Straight(String);

impl Straight {
    fn to_containers_of(bench: &Bench) -> Self {
        let by = bench.sandbox.ipv4().to_string();
        assert!(ip(&["route", "replace", NETWORK, "via", &by]), "a route can not be made here");
        Self(by)
    }
}

impl Drop for Straight {
    fn drop(&mut self) {
        ip(&["route", "del", NETWORK, "via", &self.0]);
    }
}

fn address_of(bench: &Bench, container: &str) -> IpAddr {
    let address =
        bench.inside(&format!("docker inspect -f '{{{{.NetworkSettings.Networks.app.IPAddress}}}}' {container}"));
    address.trim().parse().expect("an address")
}

/// What containers do by themselves goes on: outwards, to one another, and to the host's own address and back.
#[track_caller]
fn containers_reach_what_they_did(bench: &Bench) {
    let outside = TcpListener::bind((bench.sandbox.host_ipv4(), 0)).expect("an address that boxes reach");
    let address = outside.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = outside.accept()?;
        std::io::Read::read(&mut stream, &mut [0; 4096])?;
        std::io::Write::write_all(&mut stream, b"HTTP/1.0 200 OK\r\n\r\nhello\n")
    });
    bench.inside(&format!("timeout 10 docker exec web wget -q -O /dev/null http://{address}/"));
    bench.inside(&format!("timeout 10 docker exec web wget -q -O /dev/null http://{}/", address_of(bench, "db")));
    bench.inside(&format!("timeout 10 docker exec db wget -q -O /dev/null http://{}/", bench.sandbox.ipv4()));
    // What is published for the host alone is there for the host.
    bench.inside("timeout 10 busybox wget -q -O /dev/null http://127.0.0.1:9000/");
}

/// ufw alone, which Docker goes round. Some kernels have no IPv6 NAT for the older iptables: there Docker's own proxy
/// takes IPv6, and that obeys ufw.
#[track_caller]
fn is_open_past_ufw(bench: &Bench, legacy: bool) {
    bench.is_open_from_outside(&[80, 443], &[], "ufw alone");
    let [v4, v6] = bench.addresses();
    assert!(answers(v4, 5432), "ufw alone closes a published port");
    assert!(legacy || answers(v6, 5432), "ufw alone closes a published port on IPv6");
}

/// A service in the place of a cloud's, which the host asks and, where that is declared, containers do not.
fn metadata_is_closed_to_containers_alone(bench: &mut Bench) {
    bench.inside(
        "mkdir -p /run/netns /srv/metadata && echo credentials >/srv/metadata/index.html && ip netns add cloud && \
         ip link add cloud0 type veth peer name cloud1 netns cloud && ip address add 169.254.169.253/30 dev cloud0 && \
         ip link set cloud0 up && ip -n cloud address add 169.254.169.254/30 dev cloud1 && ip -n cloud link set lo up && \
         ip -n cloud link set cloud1 up && ip -n cloud route add default via 169.254.169.253 && \
         systemd-run -q --unit=cloud ip netns exec cloud busybox httpd -f -p 80 -h /srv/metadata",
    );
    let ask = "wget -q -O /dev/null http://169.254.169.254/";
    let from_container = format!("for i in 1 2 3 4 5; do timeout 5 docker exec web {ask} && exit 0; done; exit 1");
    bench.inside(&from_container);
    bench.tasks[4].1.push_str("block_metadata = true\n");
    bench.settles();
    bench.inside(&format!("! timeout 5 docker exec web {ask} && timeout 5 busybox {ask}"));
    bench.inside("systemctl stop cloud; ip link del cloud0; ip netns del cloud");
    containers_reach_what_they_did(bench);
}

fn published_ports_obey(suite: Suite, legacy: bool) {
    let mut bench = Bench::up(suite, &TASKS);
    let firewall = bench.tasks.pop().expect("the firewall");
    if legacy {
        bench.inside("apt-get update -qq && apt-get install -y -qq --no-install-recommends iptables >/dev/null 2>&1");
        for tool in ["iptables", "ip6tables"] {
            bench.inside(&format!("update-alternatives --set {tool} /usr/sbin/{tool}-legacy"));
        }
    }
    bench.apply().exits(Exit::Done);
    bench.inside(
        "d=$(mktemp -d) && mkdir $d/bin $d/data && echo hello >$d/data/index.html && cp /bin/busybox $d/bin/sh && \
         for name in httpd wget sleep; do ln -s sh $d/bin/$name; done && tar -C $d -c . | docker import - example",
    );
    bench.inside(&format!("docker network create --subnet {NETWORK} --ipv6 --subnet fd00:77::/64 app"));
    bench.inside(SERVE);
    is_open_past_ufw(&bench, legacy);

    bench.tasks.push(firewall);
    bench.settles();
    // Written as this release lists it: a check then need not ask nft what the file comes to.
    let filed = bench.inside("sed '1,/^delete table/d' /etc/bedplate/docker-firewall.nft");
    assert_eq!(bench.inside("nft -s list table inet bedplate_docker"), filed);
    bench.is_open_from_outside(&[80, 443], &[5432, 9000], "the rules were set");
    containers_reach_what_they_did(&bench);
    {
        let _straight = Straight::to_containers_of(&bench);
        assert!(!answers(address_of(&bench, "db"), 80), "a neighbour reaches the container itself");
    }

    for line in ["systemctl restart docker", "ufw reload", "ufw --force disable && ufw --force enable"] {
        bench.inside(line);
        bench.inside("docker start web db own");
        bench.is_open_from_outside(&[80, 443], &[5432, 9000], line);
    }
    // Somebody flushes what ufw and Docker have in common: ufw's part is missed and built anew.
    bench.repairs("iptables -F FORWARD; ip6tables -F FORWARD; systemctl restart docker", &["ufw"]);
    bench.inside("docker start web db own");
    bench.is_open_from_outside(&[80, 443], &[5432, 9000], "a flush");
    // A deploy: other containers, which get other addresses.
    bench.inside("docker rm -f web db own && docker run -d --name taken --network app example sleep 100000");
    bench.inside(SERVE);
    bench.is_open_from_outside(&[80, 443], &[5432, 9000], "a deploy");
    containers_reach_what_they_did(&bench);

    bench.repairs("nft delete table inet bedplate_docker", &["docker_firewall"]);
    bench.repairs("nft flush chain inet bedplate_docker published", &["docker_firewall"]);
    bench.repairs("echo >>/etc/bedplate/docker-firewall.nft", &["docker_firewall"]);
    bench.repairs("systemctl disable -q bedplate-docker-firewall.service", &["docker_firewall"]);
    bench.inside("docker update --restart unless-stopped web db own");
    bench.sandbox.reboot().expect("the box comes back");
    bench.inside("timeout 60 systemctl is-system-running --wait >/dev/null || true");
    bench.is_open_from_outside(&[80, 443], &[5432, 9000], "a reboot");
    assert_eq!(bench.check().exits(Exit::Done).open(), []);

    metadata_is_closed_to_containers_alone(&mut bench);

    // Another program that would flush these rules.
    bench.inside("systemctl enable -q nftables.service");
    let why: Vec<String> = bench.check().exits(Exit::HostFailed).tasks().into_iter().map(|task| task.why).collect();
    assert!(why.iter().any(|why| why.contains("nftables.service flushes all rules")), "{why:?}");
    bench.inside("systemctl disable -q nftables.service");
    other_firewalls_are_refused(&bench);
    bench.tasks[4].1 = "enabled = false\n".into();
    bench.settles();
    assert_eq!(bench.inside("nft list tables | grep bedplate_docker || ls /etc/bedplate 2>/dev/null || true"), "");
    is_open_past_ufw(&bench, legacy);
}

/// Each by the link that starts it at boot, as its package makes it.
fn other_firewalls_are_refused(bench: &Bench) {
    for name in ["firewalld", "netfilter-persistent", "shorewall"] {
        let link = format!("/etc/systemd/system/multi-user.target.wants/{name}.service");
        bench.inside(&format!("ln -s /dev/null {link}"));
        let why: Vec<String> = bench.check().exits(Exit::HostFailed).tasks().into_iter().map(|task| task.why).collect();
        assert!(why.iter().any(|why| why.contains(&format!("{name} starts at boot too"))), "{why:?}");
        bench.inside(&format!("rm {link}"));
    }
}

#[test]
#[ignore = "full tier: other firewalls' own packages"]
fn other_firewalls_by_their_packages_are_refused() {
    let ufw = ("ufw", "rules = [{ allow = \"80/tcp\" }]\n");
    let bench = Bench::up(Suite::Bookworm, &[("packages", "install = [\"ufw\"]\n"), ufw]);
    bench.settles();
    let apt = "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends";
    // Side by side the two shut this box off at once.
    bench.inside(&format!(
        "{apt} firewalld >/dev/null 2>&1; systemctl stop firewalld; for tables in iptables ip6tables; do \
         $tables -P INPUT ACCEPT; $tables -F; done"
    ));
    let why: Vec<String> = bench.check().exits(Exit::HostFailed).tasks().into_iter().map(|task| task.why).collect();
    assert!(why.iter().any(|why| why.contains("firewalld starts at boot too")), "{why:?}");
    bench.inside("apt-get purge -y -q firewalld >/dev/null 2>&1");
    bench.apply().exits(Exit::Done);
    // Its package throws ufw out, without a word; ours does not do the same to it.
    bench.inside(&format!("{apt} iptables-persistent >/dev/null 2>&1; ! command -v ufw >/dev/null"));
    let why: Vec<String> = bench.check().exits(Exit::HostFailed).tasks().into_iter().map(|task| task.why).collect();
    assert!(why.iter().any(|why| why.contains("netfilter-persistent starts at boot too")), "{why:?}");
    bench.inside("systemctl disable -q netfilter-persistent");
    let failed = bench.apply().exits(Exit::HostFailed);
    let said: Vec<String> = failed
        .events
        .iter()
        .filter_map(|event| match event {
            EventKind::HostFailed(failure) => Some(format!("{} {}", failure.what, failure.said.join(" "))),
            _ => None,
        })
        .collect();
    assert!(said.iter().any(|said| said.contains("would remove")), "{said:?}");
    bench.inside("dpkg-query -W -f '${db:Status-Abbrev}' iptables-persistent | grep -q ^ii");
}

#[test]
fn published_ports_obey_on_debian_12() {
    published_ports_obey(Suite::Bookworm, false);
}

#[test]
#[ignore = "full tier: one release in the quick one shows the same"]
fn published_ports_obey_on_debian_11() {
    published_ports_obey(Suite::Bullseye, false);
}

#[test]
#[ignore = "full tier: one release in the quick one shows the same"]
fn published_ports_obey_on_debian_13() {
    published_ports_obey(Suite::Trixie, false);
}

#[test]
#[ignore = "full tier: the older iptables"]
fn published_ports_obey_with_legacy_iptables() {
    published_ports_obey(Suite::Bookworm, true);
}
