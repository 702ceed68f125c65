//! A shelf of files as they are met: every form that Kamal's own reference documents, in other words, and the ones that
//! make readers stumble. Each with the hosts that come of it and what is told.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::playbook::local::Memory;

/// A name, the file, its hosts as `address=group,group:port,port`, and parts of what is told; no parts: nothing is.
struct File(&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

/// What every file needs that is about something else.
const HEAD: &str =
    "service: shop\nimage: ann/shop\nregistry: { username: ann, password: [P] }\nbuilder: { arch: amd64 }\n";
const WEB: &str = "servers: [203.0.113.5]\n";

fn read(text: &str) -> (Vec<String>, Diagnostics) {
    let env = BTreeMap::from([("WEB_IP".to_owned(), "203.0.113.5".to_owned())]);
    let mut found = Diagnostics::new();
    let Some(deploy) = load(&Memory::of([(FILE, text)]), None, &env, &mut found) else { return (Vec::new(), found) };
    let inventory = inventory(&deploy, &BTreeSet::new(), true, &mut found);
    let shown = inventory.hosts.iter().map(|host| {
        let ports: BTreeSet<u16> = deploy.proxies(&host.groups).into_iter().flat_map(Proxy::ports).collect();
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        format!("{}={}:{}", host.name, host.groups.join(","), ports.join(","))
    });
    (shown.collect(), found)
}

#[track_caller]
fn shelf(files: &[File]) {
    for File(name, text, hosts, told) in files {
        let text = if text.contains("service:") { (*text).to_owned() } else { format!("{HEAD}{text}") };
        let (is, found) = read(&text);
        let shown = found.render(false);
        assert_eq!(is, *hosts, "{name}\n{shown}");
        for part in *told {
            assert!(shown.contains(part), "{name}: `{part}` is not in\n{shown}");
        }
        assert!(!told.is_empty() || found.is_empty(), "{name}: nothing should be told\n{shown}");
    }
}

#[test]
fn servers_in_every_form() {
    shelf(&[
        File(
            "a list",
            "servers:\n  - 203.0.113.5\n  - 203.0.113.6\n",
            &["203.0.113.5=web:80,443", "203.0.113.6=web:80,443"],
            &[],
        ),
        File("one host alone", "servers:\n  web: 203.0.113.5\n", &["203.0.113.5=web:80,443"], &[]),
        File("names", "servers: [web-1.example.com]\n", &["web-1.example.com=web:80,443"], &[]),
        File("an address of IPv6", "servers: [\"2001:db8::5\"]\n", &["2001:db8::5=web:80,443"], &[]),
        File(
            "tags, once and twice",
            "servers:\n  web:\n    - 203.0.113.5: canary\n    - 203.0.113.5: [canary, blue]\n    - 203.0.113.6\n",
            &["203.0.113.5=web:80,443", "203.0.113.6=web:80,443"],
            &[],
        ),
        File(
            "a role with its own things",
            "servers:\n  web: [203.0.113.5]\n  workers:\n    hosts: [203.0.113.6, { 203.0.113.7: slow }]\n    cmd: bin/jobs\n    options: { memory: 2g, cpus: 4 }\n    env: { clear: { A: b } }\n    labels: { a: b }\n    asset_path: /public\n",
            &["203.0.113.5=web:80,443", "203.0.113.6=workers:", "203.0.113.7=workers:"],
            &[],
        ),
        File(
            "no web, but another role first",
            "primary_role: api\nservers:\n  api: [203.0.113.5]\n  job: [203.0.113.6]\n",
            &["203.0.113.5=api:80,443", "203.0.113.6=job:"],
            &[],
        ),
        File(
            "one host in two roles",
            "servers:\n  job: [203.0.113.5]\n  web: [203.0.113.5]\n",
            &["203.0.113.5=job,web:80,443"],
            &[],
        ),
        File(
            "anchors and symbols",
            "x-hosts: &hosts\n  - 203.0.113.5\nservers:\n  web: *hosts\n  job:\n    hosts: *hosts\n:volumes: [\"a:/b\"]\n",
            &["203.0.113.5=web,job:80,443"],
            &[],
        ),
        File("Windows' line ends", "servers:\r\n  - 203.0.113.5\r\n", &["203.0.113.5=web:80,443"], &[]),
        File(
            "a role without hosts",
            "servers:\n  web: [203.0.113.5]\n  job: []\n",
            &["203.0.113.5=web:80,443"],
            &["the role `job` has no hosts"],
        ),
        File(
            "a host that is nothing",
            "servers:\n  - 203.0.113.5\n  - <%= ENV[\"NONE\"] %>\n",
            &["203.0.113.5=web:80,443"],
            &["a host must be a name"],
        ),
        File("a number for a host", "servers: 7\n", &[], &["`servers` must be a list of hosts"]),
        File("a port at the host", "servers: [\"203.0.113.5:2222\"]\n", &[], &["neither a user nor a port"]),
    ]);
}

#[test]
fn the_proxy_in_every_form() {
    shelf(&[
        File("off at the top", "servers: [203.0.113.5]\nproxy: false\n", &["203.0.113.5=web:"], &[]),
        File(
            "off for one role, on for another",
            "servers:\n  web: { hosts: [203.0.113.5], proxy: false }\n  api: { hosts: [203.0.113.6], proxy: true }\n",
            &["203.0.113.5=web:", "203.0.113.6=api:80,443"],
            &[],
        ),
        File(
            "ports of its own, and a role that lays its own over them",
            "proxy: { run: { http_port: 8080, https_port: 8443 } }\nservers:\n  web: [203.0.113.5]\n  api: { hosts: [203.0.113.6], proxy: { run: { http_port: 9090 } } }\n",
            &["203.0.113.5=web:8080,8443", "203.0.113.6=api:8443,9090"],
            &[],
        ),
        File(
            "behind another proxy",
            "servers: [203.0.113.5]\nproxy: { run: { publish: false } }\n",
            &["203.0.113.5=web:"],
            &[],
        ),
        File(
            "all of its settings",
            "servers: [203.0.113.5]\nproxy:\n  host: a.example.com\n  ssl: true\n  app_port: 3000\n  ssl_redirect: false\n  forward_headers: true\n  response_timeout: 10\n  healthcheck: { interval: 3, path: /health, timeout: 3 }\n  buffering: { requests: true, max_request_body: 40_000_000 }\n  logging: { request_headers: [Cache-Control] }\n",
            &["203.0.113.5=web:80,443"],
            &[],
        ),
        File(
            "both names",
            "servers: [203.0.113.5]\nproxy: { host: a.example.com, hosts: [b.example.com] }\n",
            &["203.0.113.5=web:80,443"],
            &["both `host` and `hosts`"],
        ),
        File(
            "TLS for nobody",
            "servers: [203.0.113.5]\nproxy: { ssl: true }\n",
            &["203.0.113.5=web:80,443"],
            &["needs a `host`"],
        ),
        File(
            "certificates of one's own on two hosts",
            "servers: [203.0.113.5, 203.0.113.6]\nproxy:\n  host: a.example.com\n  ssl: { certificate_pem: CERT, private_key_pem: KEY }\n",
            &["203.0.113.5=web:80,443", "203.0.113.6=web:80,443"],
            &[],
        ),
    ]);
}

#[test]
fn accessories_in_every_form() {
    shelf(&[
        File(
            "by host, hosts, role, roles, tag and tags",
            "servers:\n  web:\n    - 203.0.113.5: fast\n  job: [203.0.113.6]\naccessories:\n  a: { image: x, host: 203.0.113.7 }\n  b: { image: x, hosts: [203.0.113.7, 203.0.113.8] }\n  c: { image: x, role: web }\n  d: { image: x, roles: [web, job] }\n  e: { image: x, tag: fast }\n  f: { image: x, tags: [fast, slow] }\n",
            &["203.0.113.5=web,c,d,e,f:80,443", "203.0.113.6=job,d:", "203.0.113.7=a,b:", "203.0.113.8=b:"],
            &[],
        ),
        File(
            "served by the proxy, and alone on its host",
            "servers: [203.0.113.5]\naccessories:\n  ui: { image: x, host: 203.0.113.9, proxy: { host: ui.example.com } }\n",
            &["203.0.113.5=web:80,443", "203.0.113.9=ui:80,443"],
            &[],
        ),
        File(
            "files and folders, short and long",
            "servers: [203.0.113.5]\naccessories:\n  db:\n    image: mysql\n    host: 203.0.113.9\n    files:\n      - config/my.cnf.erb:/etc/mysql/my.cnf\n      - { local: config/key, remote: /etc/mysql/key, mode: \"0600\", owner: \"mysql:mysql\" }\n    directories:\n      - logs:/var/log/mysql\n      - { local: data, remote: /var/lib/mysql, mode: \"0750\", owner: \"mysql:mysql\", options: z }\n    volumes: [/srv/more:/more]\n    options: { restart: always }\n    network: custom\n",
            &["203.0.113.5=web:80,443", "203.0.113.9=db:"],
            &[],
        ),
        File("accessories alone", "accessories:\n  db: { image: x, host: 203.0.113.9 }\n", &["203.0.113.9=db:"], &[]),
        File(
            "a role that is none",
            "servers: [203.0.113.5]\naccessories:\n  db: { image: x, role: wbe }\n",
            &["203.0.113.5=web:80,443"],
            &["the role `wbe`, which is none"],
        ),
        File(
            "two places at once",
            "servers: [203.0.113.5]\naccessories:\n  db: { image: x, host: 203.0.113.9, role: web }\n",
            &["203.0.113.5=web,db:80,443", "203.0.113.9=db:"],
            &["must have one of host"],
        ),
        File("nothing below the key", "servers: [203.0.113.5]\naccessories:\n", &["203.0.113.5=web:80,443"], &[]),
    ]);
}

#[test]
fn logins_registries_and_builders_in_every_form() {
    let web: &[&str] = &["203.0.113.5=web:80,443"];
    let with = |text: &str| -> &'static str { Box::leak(format!("{WEB}{text}").into_boxed_str()) };
    let whole = |text: &str| -> &'static str {
        Box::leak(format!("{WEB}service: shop\nimage: ann/shop\n{text}").into_boxed_str())
    };
    shelf(&[
        File(
            "a login in full",
            with(
                "ssh:\n  user: app\n  port: \"2222\"\n  proxy: root@203.0.113.1\n  keys_only: true\n  keys: [~/.ssh/id.pem]\n  log_level: debug\n  config: true\n",
            ),
            web,
            &[],
        ),
        File(
            "a way there by a command",
            with("ssh: { proxy_command: \"ssh -W %h:%p b\" }\n"),
            web,
            &["ProxyCommand ssh -W %h:%p b"],
        ),
        File("a port that is none", with("ssh: { port: ssh }\n"), web, &["`ssh.port` must be a number"]),
        File("a jump host that is none", with("ssh: { proxy: \"a b\" }\n"), web, &["`ssh.proxy` is not the address"]),
        File(
            "a registry of this machine",
            whole("registry: { server: \"localhost:5555\" }\nbuilder: { arch: amd64 }\n"),
            web,
            &[],
        ),
        File(
            "a registry that nobody may use",
            whole("registry: { server: ghcr.io }\nbuilder: { arch: amd64 }\n"),
            web,
            &["ghcr.io has no credentials"],
        ),
        File(
            "builders",
            whole(
                "registry: { username: a, password: [P] }\nbuilder:\n  arch: [amd64, arm64]\n  remote: ssh://root@203.0.113.2\n  local: false\n  context: .\n  dockerfile: Dockerfile\n  args: { A: b }\n  secrets: [P]\n  cache: { type: gha }\n",
            ),
            web,
            &[],
        ),
        File(
            "a builder of Kamal 1",
            whole(
                "registry: { username: a, password: [P] }\nbuilder:\n  arch: amd64\n  multiarch: false\n  remote: { arch: amd64, host: ssh://b }\n",
            ),
            web,
            &["`builder.multiarch` is of Kamal 1", "`builder.remote` as a map"],
        ),
        File("an address out of the environment", "servers: [<%= ENV[\"WEB_IP\"] %>]\n", web, &[]),
        File("Ruby for an address", "servers: [<%= `ip` %>]\n", &[], &["unknown (ERB)"]),
        File(
            "Ruby round a key",
            "servers: [203.0.113.5]\n<% if true %>\nvolumes: [a:/b]\n<% end %>\n",
            web,
            &["depends on Ruby"],
        ),
        File("a key twice", "servers: [203.0.113.4]\nservers: [203.0.113.5]\n", web, &[]),
        File("a tab", "servers:\n\t- 203.0.113.5\n", &[], &["this is not YAML"]),
        File("two documents", "servers: [203.0.113.5]\n---\nservers: [203.0.113.6]\n", web, &[]),
        File(
            "a volume that goes nowhere",
            with("volumes: [data, \"a:b\"]\n"),
            web,
            &["`data` says not where", "no absolute path"],
        ),
    ]);
}
