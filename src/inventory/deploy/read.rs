//! The tree of a deploy.yml read into what it means. What has a shape that Kamal does not take is warned of by its line.

use std::sync::Arc;

use super::yaml::{Data, Entry, Node};
use super::{Accessory, Deploy, Proxy, Registry, Role, Said, Server, Setting, Ssh, Volume};
use crate::base::{Diagnostic, Diagnostics, Source, Span};

/// Reads the whole. `tree` is a map.
pub(super) fn deploy(source: Arc<Source>, destination: Option<&str>, tree: Node, found: &mut Diagnostics) -> Deploy {
    let nothing = Node { span: tree.span.clone(), data: Data::Null };
    let mut reader = Reader { tree: &tree, found };
    let roles = reader.roles();
    let service = reader.text(&tree, "service");
    let accessories = reader.accessories(&roles, service.known().map(String::as_str));
    Deploy {
        destination: destination.map(str::to_owned),
        ssh: reader.ssh(),
        volumes: reader.volumes(&tree, "volumes"),
        proxy: tree.get("proxy").map_or_else(|| proxy(&nothing), proxy),
        registry: reader.registry(),
        arch: tree.get("builder").map(|builder| texts(builder, "arch")).unwrap_or_default(),
        secrets: reader.secrets(),
        secrets_path: tree.get("secrets_path").and_then(Node::text).unwrap_or(".kamal/secrets").to_owned(),
        source,
        service,
        roles,
        accessories,
        tree,
    }
}

struct Reader<'a> {
    tree: &'a Node,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn warn(&mut self, message: String, span: &Span, help: &str) {
        self.found.push(Diagnostic::warning(message).at(span.clone(), "").help(help));
    }

    fn text(&mut self, node: &Node, key: &str) -> Setting<String> {
        match node.get(key) {
            None => Setting::Absent,
            Some(node) => match setting(node) {
                Some(setting) => setting,
                None => {
                    let message = format!("`{key}` must be text, not {}", node.sort());
                    self.warn(message, &node.span, "Kamal refuses it so");
                    Setting::Absent
                }
            },
        }
    }

    fn roles(&mut self) -> Vec<Role> {
        let primary = Deploy::primary(self.tree);
        let Some(servers) = self.tree.entry("servers") else { return Vec::new() };
        match &servers.node.data {
            Data::Map(entries) => entries.iter().map(|entry| self.role(entry, &primary)).collect(),
            Data::List(_) | Data::Unknown(_) => {
                let role = Role { hosts: self.servers(&servers.node), ..self.empty_role("web", &servers.span) };
                vec![role]
            }
            Data::Scalar { .. } | Data::Null => {
                let message =
                    format!("`servers` must be a list of hosts or a map of roles, not {}", servers.node.sort());
                let span = servers.span.clone();
                self.warn(message, &span, "such as `servers: [203.0.113.5]`");
                Vec::new()
            }
        }
    }

    fn empty_role(&self, name: &str, span: &Span) -> Role {
        let top = self.top_proxy();
        let off = top.truth() == Some(false);
        Role {
            name: name.to_owned(),
            span: span.clone(),
            hosts: Vec::new(),
            proxy: (!off).then(|| proxy(&top)),
            volumes: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn role(&mut self, entry: &Entry, primary: &str) -> Role {
        let empty = self.empty_role(&entry.key, &entry.span);
        let is_primary = entry.key == primary;
        match &entry.node.data {
            Data::Map(_) => {
                let hosts = entry.node.get("hosts").map(|hosts| self.servers(hosts)).unwrap_or_default();
                let own = match entry.node.get("proxy") {
                    None => empty.proxy.clone().filter(|_| is_primary),
                    Some(own) if own.truth() == Some(false) => None,
                    // What a role says counts above what is said at the top, key by key.
                    Some(own) if matches!(own.data, Data::Map(_)) => {
                        Some(proxy(&super::yaml::laid_over(self.top_proxy(), own.clone())))
                    }
                    Some(_) => Some(proxy(&self.top_proxy())),
                };
                let nothing = Node { span: entry.span.clone(), data: Data::Null };
                let options = entry.node.get("options").unwrap_or(&nothing);
                Role {
                    hosts,
                    proxy: own,
                    volumes: self.volumes(options, "volume"),
                    ports: texts(options, "publish"),
                    ..empty
                }
            }
            _ => {
                let own = empty.proxy.clone().filter(|_| is_primary);
                Role { hosts: self.servers(&entry.node), proxy: own, ..empty }
            }
        }
    }

    /// Hosts of a list: `host`, or `host: tag`, or `host: [tag, tag]`.
    fn servers(&mut self, node: &Node) -> Vec<Server> {
        let mut servers = Vec::new();
        for item in node.items() {
            if let Data::Map(entries) = &item.data {
                for entry in entries {
                    let said = Said { value: entry.key.clone(), span: entry.span.clone() };
                    let tags = entry.node.items().iter().filter_map(Node::text).map(str::to_owned).collect();
                    servers.push(Server { address: Setting::Known(said), tags });
                }
                continue;
            }
            match setting(item) {
                Some(address) => servers.push(Server { address, tags: Vec::new() }),
                None => {
                    let message = format!("a host must be a name or an address, not {}", item.sort());
                    let help = "an empty one often comes of an environment variable that is not set";
                    self.warn(message, &item.span, help);
                }
            }
        }
        servers
    }

    fn accessories(&mut self, roles: &[Role], service: Option<&str>) -> Vec<Accessory> {
        let Some(accessories) = self.tree.get("accessories") else { return Vec::new() };
        accessories.entries().iter().map(|entry| self.accessory(entry, roles, service)).collect()
    }

    fn accessory(&mut self, entry: &Entry, roles: &[Role], service: Option<&str>) -> Accessory {
        let node = &entry.node;
        let addresses = |of: &dyn Fn(&Role, &Server) -> bool| -> Vec<Setting<String>> {
            let servers = roles.iter().flat_map(|role| role.hosts.iter().map(move |server| (role, server)));
            servers.filter(|(role, server)| of(role, server)).map(|(_, server)| server.address.clone()).collect()
        };
        let mut hosts: Vec<Setting<String>> = Vec::new();
        for key in ["host", "hosts"] {
            let items = node.get(key).map(Node::items).unwrap_or_default();
            hosts.extend(items.iter().filter_map(setting));
        }
        for name in ["role", "roles"].iter().flat_map(|key| texts(node, key)) {
            if !roles.iter().any(|role| role.name == name.value) {
                let message = format!("the accessory `{}` names the role `{}`, which is none", entry.key, name.value);
                let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
                self.warn(message, &name.span, &format!("roles: {}", names.join(", ")));
            }
            hosts.extend(addresses(&|role, _| role.name == name.value));
        }
        for tag in ["tag", "tags"].iter().flat_map(|key| texts(node, key)) {
            hosts.extend(addresses(&|_, server| server.tags.contains(&tag.value)));
        }
        let own = node.get("service").and_then(Node::text).map(str::to_owned);
        let own = own.unwrap_or_else(|| format!("{}-{}", service.unwrap_or("app"), entry.key));
        let nothing = Node { span: entry.span.clone(), data: Data::Null };
        let options = node.get("options").unwrap_or(&nothing);
        let mut ports = texts(node, "port");
        ports.extend(texts(options, "publish"));
        let mut volumes = self.volumes(node, "volumes");
        volumes.extend(self.volumes(options, "volume"));
        Accessory {
            name: entry.key.clone(),
            span: entry.span.clone(),
            hosts,
            ports,
            volumes,
            directories: directories(node, &own),
            files: files(node, &own),
            proxy: node.get("proxy").filter(|proxy| proxy.truth() != Some(false)).map(proxy),
        }
    }

    fn ssh(&mut self) -> Ssh {
        let nothing = Node { span: self.tree.span.clone(), data: Data::Null };
        let ssh = self.tree.get("ssh").unwrap_or(&nothing);
        let port = match self.text(ssh, "port") {
            Setting::Absent => Setting::Absent,
            Setting::Unknown(why) => Setting::Unknown(why),
            Setting::Known(Said { value, span }) => match value.parse::<u16>() {
                Ok(port) if port > 0 => Setting::Known(Said { value: port, span }),
                _ => {
                    self.warn("`ssh.port` must be a number from 1 to 65535".into(), &span, "such as `port: 22`");
                    Setting::Absent
                }
            },
        };
        Ssh {
            user: self.text(ssh, "user"),
            port,
            proxy: self.text(ssh, "proxy"),
            proxy_command: self.text(ssh, "proxy_command"),
            keys: texts(ssh, "keys"),
        }
    }

    fn volumes(&mut self, node: &Node, key: &str) -> Vec<Said<Volume>> {
        let mut volumes = Vec::new();
        for Said { value, span } in texts(node, key) {
            let Some((from, to)) = value.split_once(':') else {
                self.warn(
                    format!("the volume `{value}` says not where it is in the container"),
                    &span,
                    "write `name:/path`",
                );
                continue;
            };
            if !to.starts_with('/') {
                self.warn(
                    format!("the volume `{value}` has no absolute path in the container"),
                    &span,
                    "write `name:/path`",
                );
                continue;
            }
            let folder = from.starts_with(['/', '.', '~', '$']);
            let volume = if folder { Volume::Folder(from.to_owned()) } else { Volume::Named(from.to_owned()) };
            volumes.push(Said { value: volume, span });
        }
        volumes
    }

    fn top_proxy(&self) -> Node {
        let nothing = || Node { span: self.tree.span.clone(), data: Data::Null };
        self.tree.get("proxy").cloned().unwrap_or_else(nothing)
    }

    fn registry(&mut self) -> Registry {
        let nothing = Node { span: self.tree.span.clone(), data: Data::Null };
        let entry = self.tree.entry("registry");
        let registry = entry.map_or(&nothing, |entry| &entry.node);
        Registry {
            server: self.text(registry, "server"),
            username: registry.get("username").is_some(),
            password: registry.get("password").is_some(),
            span: entry.map(|entry| entry.span.clone()),
        }
    }

    /// Names of secrets: those of `env.secret` everywhere, of the builder, and of lists where a value is expected.
    fn secrets(&mut self) -> Vec<Said<String>> {
        let mut places: Vec<&Node> = vec![self.tree];
        places.extend(self.tree.get("servers").map(Node::entries).unwrap_or_default().iter().map(|entry| &entry.node));
        let accessories = self.tree.get("accessories").map(Node::entries).unwrap_or_default();
        places.extend(accessories.iter().map(|entry| &entry.node));
        let tags = self.tree.get("env").and_then(|env| env.get("tags")).map(Node::entries).unwrap_or_default();
        let mut all: Vec<Said<String>> = tags.iter().flat_map(|tag| texts(&tag.node, "secret")).collect();
        for place in places {
            all.extend(place.get("env").map(|env| texts(env, "secret")).unwrap_or_default());
            // A registry's `username: [NAME]` and `password: [NAME]` are names of secrets.
            for key in ["username", "password"] {
                let value = place.get("registry").and_then(|registry| registry.get(key));
                if value.is_some_and(|value| matches!(value.data, Data::List(_))) {
                    all.extend(place.get("registry").map(|registry| texts(registry, key)).unwrap_or_default());
                }
            }
        }
        all.extend(self.tree.get("builder").map(|builder| texts(builder, "secrets")).unwrap_or_default());
        // `NAME_IN_CONTAINER:NAME_OF_SECRET`.
        for secret in &mut all {
            if let Some((_, name)) = secret.value.split_once(':') {
                secret.value = name.to_owned();
            }
        }
        all.sort_by(|one, other| one.value.cmp(&other.value));
        all.dedup_by(|one, other| one.value == other.value);
        all
    }
}

fn proxy(node: &Node) -> Proxy {
    let mut hosts = texts(node, "hosts");
    for Said { value, span } in texts(node, "host") {
        hosts.extend(value.split(',').map(|name| Said { value: name.trim().to_owned(), span: span.clone() }));
    }
    hosts.retain(|host| !host.value.is_empty());
    let run = |key: &str| node.get("run").and_then(|run| run.get(key));
    let publishes = run("publish").and_then(Node::truth) != Some(false);
    let port = |key: &str, usual: u16| {
        let said = run(key).and_then(Node::text).and_then(|text| text.parse().ok());
        publishes.then(|| said.unwrap_or(usual))
    };
    Proxy {
        hosts,
        tls: node.get("ssl").is_some_and(|ssl| ssl.truth() != Some(false)),
        http_port: port("http_port", 80),
        https_port: port("https_port", 443),
    }
}

/// The folders that Kamal makes for an accessory.
fn directories(node: &Node, service: &str) -> Vec<Said<String>> {
    let items = node.get("directories").map(Node::items).unwrap_or_default();
    let local = |item: &Node| match &item.data {
        Data::Map(_) => item.get("local").and_then(Node::text).map(str::to_owned),
        _ => item.text().map(|text| text.split(':').next().unwrap_or_default().to_owned()),
    };
    let said = |item: &Node| {
        let local = local(item)?;
        let value = if local.starts_with('/') { local } else { format!("{service}/{local}") };
        Some(Said { value, span: item.span.clone() })
    };
    items.iter().filter_map(said).collect()
}

/// The files that Kamal brings for an accessory: they lie where the container has them, below the service's name.
fn files(node: &Node, service: &str) -> Vec<Said<String>> {
    let items = node.get("files").map(Node::items).unwrap_or_default();
    let remote = |item: &Node| match &item.data {
        Data::Map(_) => item.get("remote").and_then(Node::text).map(str::to_owned),
        _ => item.text().and_then(|text| text.split(':').nth(1)).map(str::to_owned),
    };
    let said = |item: &Node| {
        let remote = remote(item).filter(|remote| remote.starts_with('/'))?;
        Some(Said { value: format!("{service}{remote}"), span: item.span.clone() })
    };
    items.iter().filter_map(said).collect()
}

/// What a scalar sets; `None` for lists, maps and nothing.
fn setting(node: &Node) -> Option<Setting<String>> {
    let span = node.span.clone();
    match &node.data {
        Data::Scalar { text, .. } => Some(Setting::Known(Said { value: text.trim().to_owned(), span })),
        Data::Unknown(why) => Some(Setting::Unknown(Said { value: why.clone(), span })),
        _ => None,
    }
}

/// The known texts of a list or of a single value.
fn texts(node: &Node, key: &str) -> Vec<Said<String>> {
    let items = node.get(key).map(Node::items).unwrap_or_default();
    let said = |item: &Node| Some(Said { value: item.text()?.trim().to_owned(), span: item.span.clone() });
    items.iter().filter_map(said).collect()
}
