//! What Kamal 2 refuses or no longer knows in a deploy.yml, each with its line and the edit that mends it.

use super::yaml::{Data, Entry, Node};
use super::{Deploy, Setting};
use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Diagnostics, Span};

/// The keys that Kamal 2 knows at the top.
pub(super) const TOP: &[&str] = &[
    "service",
    "image",
    "labels",
    "volumes",
    "registry",
    "servers",
    "env",
    "asset_path",
    "hooks_path",
    "hooks_output",
    "secrets_path",
    "error_pages_path",
    "require_destination",
    "primary_role",
    "allow_empty_roles",
    "retain_containers",
    "minimum_version",
    "readiness_delay",
    "deploy_timeout",
    "drain_timeout",
    "stop_timeout",
    "run_directory",
    "ssh",
    "builder",
    "accessories",
    "proxy",
    "sshkit",
    "boot",
    "logging",
    "output",
    "aliases",
];
/// Those of Kamal 1 at the top, with what to write now.
pub(super) const GONE: &[(&str, &str)] = &[
    (
        "healthcheck",
        "move it to `proxy: { healthcheck: { path: /up, interval: 3, timeout: 3 } }`, in whole seconds; its `port` becomes `proxy: { app_port: … }`, which is 80 unless set and was 3000",
    ),
    (
        "traefik",
        "take it out: kamal-proxy is in its place; its ports are set in `proxy: { run: { http_port: 80, https_port: 443 } }`",
    ),
    ("stop_wait_time", "write `drain_timeout` in its place"),
    ("readiness_timeout", "write `deploy_timeout` in its place"),
];
/// Keys whose value must be whole seconds or a count.
pub(super) const WHOLE: &[&[&str]] = &[
    &["readiness_delay"],
    &["deploy_timeout"],
    &["drain_timeout"],
    &["stop_timeout"],
    &["retain_containers"],
    &["proxy", "app_port"],
    &["proxy", "response_timeout"],
    &["proxy", "healthcheck", "interval"],
    &["proxy", "healthcheck", "timeout"],
    &["proxy", "run", "http_port"],
    &["proxy", "run", "https_port"],
];

/// Everything in `deploy` that Kamal 2 would refuse, as warnings in the order of the file.
pub fn rejected(deploy: &Deploy) -> Diagnostics {
    let mut all = Rejected { found: Diagnostics::new() };
    all.top(&deploy.tree);
    all.missing(deploy);
    all.whole_numbers(&deploy.tree);
    if let Some(proxy) = deploy.tree.get("proxy") {
        all.proxy(proxy);
    }
    if let Some(builder) = deploy.tree.entry("builder") {
        all.builder(builder);
    }
    all.accessories(deploy);
    all.tls(deploy);
    all.found
}

struct Rejected {
    found: Diagnostics,
}

impl Rejected {
    fn push(&mut self, message: impl Into<String>, span: &Span, help: impl Into<String>) {
        self.found.push(Diagnostic::warning(message).at(span.clone(), "Kamal 2 refuses this").help(help));
    }

    fn top(&mut self, tree: &Node) {
        for entry in tree.entries() {
            let key = entry.key.as_str();
            if TOP.contains(&key) || key.starts_with("x-") {
                continue;
            }
            match GONE.iter().find(|(gone, _)| *gone == key) {
                Some((_, fix)) => self.push(format!("`{key}` is of Kamal 1"), &entry.span, *fix),
                None => {
                    let help = match nearest(key, TOP.iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("take it out, or call it `x-{key}` if it only holds an anchor"),
                    };
                    self.push(format!("Kamal knows no key `{key}`"), &entry.span, help);
                }
            }
        }
    }

    fn missing(&mut self, deploy: &Deploy) {
        let top = Span::new(&deploy.source, 0..0);
        for (key, example) in [("service", "service: my-app"), ("image", "image: my-user/my-app")] {
            if deploy.tree.get(key).is_none() {
                self.push(format!("`{key}` is missing"), &top, format!("add `{example}`"));
            }
        }
        if deploy.arch.is_empty() && deploy.tree.get("builder").and_then(|builder| builder.get("arch")).is_none() {
            let builder = deploy.tree.entry("builder").map_or(&top, |entry| &entry.span);
            let help = "add `arch: amd64` below `builder:` (`arm64` where `uname -m` on the hosts says aarch64)";
            self.push("`builder.arch` is missing", builder, help);
        }
        let registry = &deploy.registry;
        if let (Setting::Known(server), false) =
            (&registry.server, registry.is_local() || (registry.username && registry.password))
        {
            let help = "add `username: NAME` and `password: [KAMAL_REGISTRY_PASSWORD]` below `registry:`";
            self.push(format!("the registry {} has no credentials", server.value), &server.span, help);
        } else if let (Setting::Absent, Some(span), false) =
            (&registry.server, &registry.span, registry.username && registry.password)
        {
            let help = "add `username: NAME` and `password: [KAMAL_REGISTRY_PASSWORD]` below `registry:`";
            self.push("the registry has no credentials", span, help);
        }
        let nobody = deploy.roles.iter().all(|role| role.hosts.is_empty());
        if deploy.tree.entry("servers").is_none() && deploy.tree.get("accessories").is_none() {
            self.push("there are no `servers`", &top, "add `servers: [203.0.113.5]`");
        } else if !nobody && deploy.tree.get("allow_empty_roles").and_then(Node::truth) != Some(true) {
            for role in deploy.roles.iter().filter(|role| role.hosts.is_empty()) {
                let help = "add a host below it, or set `allow_empty_roles: true`";
                self.push(format!("the role `{}` has no hosts", role.name), &role.span, help);
            }
        }
    }

    fn whole_numbers(&mut self, tree: &Node) {
        for path in WHOLE {
            let node = path.iter().try_fold(tree, |node, key| node.get(key));
            let Some(Node { span, data: Data::Scalar { text, plain } }) = node else { continue };
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            if digits.len() == text.len() && *plain && !digits.is_empty() {
                continue;
            }
            let key = path.join(".");
            let help = match digits.as_str() {
                "" => format!("write `{}: 30`", path.last().unwrap_or(&"")),
                digits => format!("write `{}: {digits}`, without quotes or a unit", path.last().unwrap_or(&"")),
            };
            self.push(format!("`{key}` must be a whole number"), span, help);
        }
    }

    fn proxy(&mut self, proxy: &Node) {
        if let Some(acme) = proxy.entry("acme") {
            let help = "take it out: with `ssl: true` and one `host` kamal-proxy gets certificates by itself, without an e-mail address";
            self.push("`proxy.acme` is no key of Kamal's", &acme.span, help);
        }
        if let (Some(host), Some(_)) = (proxy.entry("host"), proxy.entry("hosts")) {
            self.push("`proxy` has both `host` and `hosts`", &host.span, "leave one of the two out");
        }
    }

    fn builder(&mut self, builder: &Entry) {
        let Entry { node, .. } = builder;
        if let Some(multiarch) = node.entry("multiarch") {
            let help = "write `arch: amd64`, or `arch: [amd64, arm64]`, in its place";
            self.push("`builder.multiarch` is of Kamal 1", &multiarch.span, help);
        }
        for key in ["remote", "local"] {
            if let Some(entry) = node.entry(key).filter(|entry| matches!(entry.node.data, Data::Map(_))) {
                let fix = if key == "remote" {
                    "write `remote: ssh://user@builder` and `arch: …` beside it"
                } else {
                    "write `local: true` or `local: false`"
                };
                self.push(format!("`builder.{key}` as a map is of Kamal 1"), &entry.span, fix);
            }
        }
    }

    fn accessories(&mut self, deploy: &Deploy) {
        const WHERE: [&str; 6] = ["host", "hosts", "role", "roles", "tag", "tags"];
        for entry in deploy.tree.get("accessories").map(Node::entries).unwrap_or_default() {
            let count = WHERE.iter().filter(|key| entry.node.entry(key).is_some()).count();
            if count != 1 {
                let message = format!(
                    "the accessory `{}` must have one of host, hosts, role, roles, tag and tags, not {count}",
                    entry.key
                );
                self.push(message, &entry.span, "such as `host: 203.0.113.5`");
            }
        }
    }

    fn tls(&mut self, deploy: &Deploy) {
        let Some(ssl) = deploy.tree.get("proxy").and_then(|proxy| proxy.entry("ssl")) else { return };
        let own = deploy.tree.get("proxy").is_some_and(|proxy| proxy.get("certificate_pem").is_some());
        if !deploy.proxy.tls || own || matches!(ssl.node.data, Data::Map(_)) {
            return;
        }
        let hosts_unknown = deploy.tree.get("proxy").is_some_and(|proxy| {
            ["host", "hosts"].iter().any(|key| proxy.get(key).is_some_and(|node| matches!(node.data, Data::Unknown(_))))
        });
        if deploy.proxy.hosts.is_empty() && !hosts_unknown {
            self.push("`ssl: true` needs a `host`", &ssl.span, "add `host: app.example.com` below `proxy:`");
        }
        for role in deploy
            .roles
            .iter()
            .filter(|role| role.proxy.as_ref().is_some_and(|proxy| proxy.tls) && role.hosts.len() > 1)
        {
            let message = format!("`ssl: true` is for one host, and the role `{}` has {}", role.name, role.hosts.len());
            let help = "end TLS at a load balancer before them and take `ssl` out, or give certificates of your own";
            self.push(message, &ssl.span, help);
        }
    }
}
