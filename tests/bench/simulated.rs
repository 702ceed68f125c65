//! A thousand hosts in one run: an SSH server in this process that answers for each of them what one real box has
//! answered. The commanding side is the real program, in a process of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;

use bedplate::base::name::HostName;
use bedplate::engine::descriptors;
use bedplate::engine::jobs::{Wanted, jobs};
use bedplate::machine::{Machine, Probe, Question, System};
use bedplate::playbook::Settings;
use bedplate::shell::frame::printable;
use bedplate::ssh::config::{Myself, SshConfig};
use bedplate::ssh::fake::{Asked, Fake, Reply};
use bedplate::ssh::{Connector, Policy, Refuse, Target};
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};

use super::Size;
use super::fleet::{Box, program};
use super::goals::{Goals, number};
use super::page::Page;
use super::sample::{Sample, measured};

/// What a converged host answers, call by call.
#[derive(Clone)]
pub(crate) struct Replies {
    bodies: Arc<Vec<(u8, Vec<u8>)>>,
    /// The settings that the box was made by, and the key that it lets in: with others the answers would be drift.
    set: Vec<String>,
    key: Vec<u8>,
}

impl Replies {
    /// Asks a box what a check would ask it.
    pub(crate) fn record(one: &Box) -> Self {
        let swap = format!("swap_path={}", one.swap());
        let set: Vec<String> = ["docker_source=distribution", "swap_size=64M", &swap].map(str::to_owned).into();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let bodies = runtime.block_on(async {
            let me = Myself { user: "root".into(), home: "/nonexistent".into(), uid: 0, host: "here".into() };
            let settings = Settings { set: set.clone(), ..Settings::default() };
            let (hosts, keys) = (vec!["root@127.0.0.1".into()], vec![one.sandbox.key().display().to_string()]);
            let wanted = Wanted { hosts, keys, settings, ..Wanted::default() };
            let read =
                jobs(&wanted, &SshConfig::none(me)).await.unwrap_or_else(|found| panic!("{}", found.render(false)));
            let facts = read.jobs[0].tasks.iter().flat_map(bedplate::plan::Task::facts);
            let questions: std::collections::BTreeSet<Question> = facts.chain([System::Here.into()]).collect();
            let probe = Probe::new(questions);
            let name = HostName::new("box").expect("a name");
            let target = Target {
                address: one.sandbox.ipv4().to_string(),
                keys: vec![one.sandbox.key()],
                keys_named: true,
                known_hosts: vec![one.sandbox.known_hosts()],
                ..Target::new(name, "root")
            };
            let connection =
                Connector::new(Policy::default(), Arc::new(Refuse)).connect(&target).await.expect("the box lets us in");
            let mut shell = connection.shell().await.expect("a shell");
            let results = shell.run(&probe.batch(), &mut |_| {}).await.expect("answers");
            let machine: Machine = probe.read(results.iter().map(|result| result.body.as_slice())).expect("a machine");
            assert!(machine.known(&System::Here).is_some());
            connection.close().await;
            results.into_iter().map(|result| (result.status, result.body)).collect()
        });
        let key = std::fs::read(one.sandbox.key()).expect("the key of the box");
        Self { bodies: Arc::new(bodies), set, key }
    }

    fn host(&self) -> Fake {
        let bodies = self.bodies.clone();
        Fake::new(move |asked: &Asked| match bodies.get(asked.index) {
            Some((status, body)) if asked.function != "guard_report" => Reply { status: *status, body: body.clone() },
            // No guard is at work, and none has left word.
            _ => Reply::fields(["", ""]),
        })
    }
}

/// One connection to one of the hosts.
struct Guest {
    fake: Fake,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        assert!(command.starts_with("sh"), "{}", printable(command.as_bytes()));
        session.channel_success(id)?;
        if let Some(channel) = self.channels.remove(&id) {
            let fake = self.fake.clone();
            tokio::spawn(async move { fake.serve(&command, channel.into_stream()).await });
        }
        Ok(())
    }
}

/// Hosts that listen on loopback addresses of their own, until this goes.
struct Hosts {
    _runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    set: Vec<String>,
}

fn address(number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number).expect("a small number").to_be_bytes();
    Ipv4Addr::new(127, 7, high, low)
}

impl Hosts {
    fn listen(count: usize, replies: Replies) -> Self {
        // Here each host takes a socket to listen and one to talk.
        let room = descriptors::make_room(count);
        assert_eq!(room.hosts, count, "`ulimit -n` is too low for {count} hosts in one process: {}", room.files);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("a key");
        let port = runtime.block_on(async {
            let config = Arc::new(Config {
                keys: vec![key.clone()],
                auth_rejection_time: std::time::Duration::ZERO,
                nodelay: true,
                ..Config::default()
            });
            let mut port = 0;
            for number in 1..=count {
                let listener = tokio::net::TcpListener::bind((address(number), port)).await.expect("a port");
                port = listener.local_addr().expect("an address").port();
                let (config, replies) = (config.clone(), replies.clone());
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let guest = Guest { fake: replies.host(), channels: HashMap::new() };
                        let config = config.clone();
                        tokio::spawn(async move {
                            if let Ok(session) = russh::server::run_stream(config, stream, guest).await {
                                session.await.ok();
                            }
                        });
                    }
                });
            }
            port
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = folder.path().join("id");
        std::fs::write(&own, &replies.key).expect("a key file");
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o600)).expect("a private key file");
        let public = key.public_key().to_openssh().expect("a public key");
        let (mut inventory, mut known) = ("[groups.web]\n".to_owned(), String::new());
        for number in 1..=count {
            let ip = address(number);
            let _ = writeln!(known, "[{ip}]:{port} {public}");
            let _ = writeln!(
                inventory,
                "[hosts.web{number}]\naddress = \"{ip}\"\nport = {port}\nuser = \"root\"\ngroups = [\"web\"]"
            );
        }
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        write("bedplate.toml", &inventory);
        write("known_hosts", &known);
        let place = folder.path().display();
        write(
            "config",
            &format!(
                "Host *\n  UserKnownHostsFile {place}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  IdentityFile {place}/id\n  \
                 IdentitiesOnly yes\n"
            ),
        );
        Self { _runtime: runtime, folder, set: replies.set }
    }

    fn check(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.folder.path()).args(["check", "-F", "config"]).args(words);
        for set in &self.set {
            command.args(["--set", set]);
        }
        command
    }
}

/// One host, many, and all of them at once; and what the report of all of them says.
pub(crate) fn measure(size: Size, replies: Replies, page: &mut Page, goals: &mut Goals) {
    let count = size.simulated;
    let words = format!(
        "An SSH server in another process answers for {count} hosts what a converged box has answered; both share the machine's cores. \
         The handshakes, the questions and the plans are real."
    );
    page.part(&format!("{count} simulated hosts"), &words);
    let hosts = Hosts::listen(count, replies);
    page.text("| | seconds | CPU here, s | CPU here a host, ms | peak memory, MB | a further host, KB |\n|---|---|---|---|---|---|");
    let one = measured(&hosts.check(&["web1"]), 0, None).0;
    let mut row = |what: &str, run: &Sample, hosts: usize| {
        let further = (run.memory - one.memory) * 1000.0 / (hosts.max(2) - 1) as f64;
        let per_host = run.cpu * 1000.0 / hosts as f64;
        page.text(&format!(
            "| {what} | {:.2} | {:.2} | {} | {} | {further:.0} |",
            run.wall,
            run.cpu,
            number(per_host),
            number(run.memory)
        ));
        further / 1000.0
    };
    row("1 host", &one, 1);
    let (usual, told) = measured(&hosts.check(&[]), 0, None);
    let further = row(&format!("{count} hosts, 16 at once"), &usual, count);
    goals.at_most(format!("memory of a further host, {count} in one run, 16 at once"), 1.0, further, " MB");
    let most = 200.min(count);
    let (wide, _) = measured(&hosts.check(&["--forks", &most.to_string()]), 0, None);
    let further = row(&format!("{count} hosts, {most} at once"), &wide, count);
    goals.at_most(format!("memory of a further host, {count} in one run, {most} at once"), 1.0, further, " MB");
    assert!(told.contains(&format!("{count} hosts: {count} in sync")), "{told}");
    assert!(told.lines().count() < 40, "the report of {count} hosts is longer than anyone reads:\n{told}");
    page.text(&format!("\nThe whole report on standard output:\n\n```text\n{}\n```\n", told.trim()));
}
