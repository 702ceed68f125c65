//! Docker and upgrades on real boxes: foretold on a bare box, brought about, found in sync, broken by hand, found,
//! repaired, rebooted. The tasks are built here, so that what is tested are the resources and not the playbooks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bedplate::base::event::{Event, EventKind, TaskPlan, Verdict};
use bedplate::base::name::HostName;
use bedplate::base::secret::Redactor;
use bedplate::base::{Digest, Exit};
use bedplate::engine::{self, Consent, Job, Mode, Review, Run, record::Operator};
use bedplate::machine::{Machine, Question};
use bedplate::plan::{Declaration, Task};
use bedplate::resource;
use bedplate::sandbox::{self, Options, Sandbox, Suite};
use bedplate::ssh::{Ask, Connector, Policy, Refuse, Target};
use tokio_util::sync::CancellationToken;

/// A box and the tasks that it gets.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) tasks: Vec<(&'static str, String)>,
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) events: Vec<EventKind>,
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(self, exit: Exit) -> Self {
        assert_eq!(self.exit, exit, "{:#?}", self.events);
        self
    }

    /// The tasks of the first plan.
    pub(crate) fn tasks(&self) -> Vec<TaskPlan> {
        let plan = self.events.iter().find_map(|event| match event {
            EventKind::Planned { tasks, .. } => Some(tasks.clone()),
            _ => None,
        });
        plan.unwrap_or_else(|| panic!("no plan in {:#?}", self.events))
    }

    /// Name and verdict of the tasks that are not in sync.
    pub(crate) fn open(&self) -> Vec<(String, Verdict)> {
        let open = self.tasks().into_iter().filter(|task| task.verdict != Verdict::InSync);
        open.map(|task| (task.resource, task.verdict)).collect()
    }

    pub(crate) fn summaries(&self) -> Vec<String> {
        self.tasks().into_iter().flat_map(|task| task.changes).map(|change| change.summary).collect()
    }

    pub(crate) fn findings(&self) -> Vec<String> {
        let plan = self.events.iter().find_map(|event| match event {
            EventKind::Planned { findings, .. } => Some(findings.iter().map(|finding| finding.id.clone()).collect()),
            _ => None,
        });
        plan.unwrap_or_default()
    }
}

impl Bench {
    pub(crate) fn up(suite: Suite, tasks: &[(&'static str, &str)]) -> Self {
        let sandbox = sandbox::up(&Options { suite, ..Options::default() }, &|_| {})
            .unwrap_or_else(|error| panic!("a box can not be made here: {error}"));
        Self { sandbox, tasks: tasks.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect() }
    }

    pub(crate) fn tasks(&self) -> Vec<Task> {
        let tasks = self.tasks.iter().enumerate().map(|(index, (kind, text))| {
            let table = toml::de::DeTable::parse(text).unwrap_or_else(|error| panic!("{kind}: {error}"));
            let value = toml::Spanned::new(table.span(), toml::de::DeValue::Table(table.into_inner()));
            let kind = resource::kind(kind).unwrap_or_else(|| panic!("there is no resource {kind}"));
            let (declared, problems) = kind.decode(value.into()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(problems, Vec::new());
            Task {
                number: index + 1,
                name: kind.name().into(),
                playbook: "docker".into(),
                place: format!("docker.toml:{}", index + 1),
                declaration: Declaration::Ready(declared),
                when: None,
            }
        });
        tasks.collect()
    }

    /// How root comes in.
    pub(crate) fn target(&self) -> Target {
        Target {
            address: self.sandbox.ipv4().to_string(),
            keys: vec![self.sandbox.key()],
            keys_named: true,
            identities_only: true,
            known_hosts: vec![self.sandbox.known_hosts()],
            ..Target::new(HostName::new("box").expect("a name"), "root")
        }
    }

    /// What the box answers, however many questions.
    pub(crate) fn ask(&self, questions: impl IntoIterator<Item = Question>) -> Machine {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let connector = Connector::new(Policy::default(), Arc::new(Refuse));
            let connection = connector.connect(&self.target()).await.expect("a login");
            let mut shell = connection.shell().await.expect("a shell");
            engine::ask(&mut shell, questions).await.expect("answers")
        })
    }

    pub(crate) fn run(&self, mode: Mode) -> Ran {
        self.run_by(mode, self.target(), Duration::from_secs(60), Arc::new(Refuse))
    }

    /// A run by another way in, with another window, by an operator who answers.
    pub(crate) fn run_by(&self, mode: Mode, target: Target, window: Duration, ask: Arc<dyn Ask>) -> Ran {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (events, mut incoming) = tokio::sync::mpsc::channel::<Event>(65536);
            let run = Run {
                mode,
                strict: false,
                arguments: Vec::new(),
                operator: Operator { name: "test".into(), process: 1, since: String::new() },
                version: "0".into(),
                window,
                places: Arc::new(tokio::sync::Semaphore::new(1)),
                rollout: engine::Rollout::default(),
                consent: Consent::new(1, None),
                review: Review::None,
                redactor: Redactor::default(),
                stop: CancellationToken::new(),
                connector: Arc::new(Connector::new(Policy::default(), ask)),
                events,
                started: Instant::now(),
            };
            let job = Job { target, tasks: self.tasks(), playbooks: Digest::of("") };
            let exit = engine::run(vec![job], run, "test").await;
            let mut events = Vec::new();
            while let Some(event) = incoming.recv().await {
                events.push(event.kind);
            }
            Ran { exit, events }
        })
    }

    pub(crate) fn check(&self) -> Ran {
        self.run(Mode::Check)
    }

    pub(crate) fn apply(&self) -> Ran {
        self.run(Mode::Apply)
    }

    #[track_caller]
    pub(crate) fn inside(&self, line: &str) -> String {
        self.sandbox.ask(&["sh", "-c", line]).unwrap_or_else(|error| panic!("`{line}` in the box: {error}"))
    }

    /// An apply brings what a check has foretold, and nothing is left after it.
    #[track_caller]
    pub(crate) fn settles(&self) {
        let foretold = self.check().exits(Exit::Drift).open();
        assert_eq!(self.apply().exits(Exit::Done).open(), foretold, "the plan shown is not the plan applied");
        assert_eq!(self.check().exits(Exit::Done).open(), []);
    }

    /// After `line`, a check names `kinds` and an apply repairs them.
    #[track_caller]
    pub(crate) fn repairs(&self, line: &str, kinds: &[&str]) -> Vec<String> {
        self.inside(line);
        let check = self.check().exits(Exit::Drift);
        let open: Vec<String> = check.open().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(open, kinds, "after `{line}`");
        self.apply().exits(Exit::Done);
        self.check().exits(Exit::Done);
        check.summaries()
    }
}

const TASKS: [(&str, &str); 5] = [
    ("unattended_upgrades", "upgrades = \"security\"\nreboot = true\n"),
    ("docker_engine", "source = \"distribution\"\n"),
    (
        "docker_daemon",
        "log_driver = \"local\"\nlog_max_size = \"10m\"\nlog_max_files = 5\nlive_restore = true\nmtu = \"auto\"\n\
         address_pools = \"auto\"\n\
         settings = { icc = false, no-new-privileges = true }\n",
    ),
    ("docker_network", "name = \"kamal\"\nmtu = \"auto\"\n"),
    ("docker_volume", "name = \"app_storage\"\ndevice = \"/srv/data/app_storage\"\n"),
];

fn main_path(suite: Suite, old: bool) {
    let mut bench = Bench::up(suite, &TASKS);
    // A network that Docker's own choice would cover, as a VPC of AWS.
    bench.inside(
        "ip link add vpn0 type veth peer name vpn1 && ip link set vpn0 up && ip link set vpn1 up && \
         ip address add 172.31.16.5/20 dev vpn0",
    );
    let check = bench.check().exits(Exit::Drift);
    let late: Vec<_> = check.open().into_iter().filter(|(_, verdict)| *verdict == Verdict::KnownLater).collect();
    assert_eq!(late, [], "on a bare box all is foretold");
    bench.settles();
    assert_eq!(bench.check().findings(), if old { vec!["old-docker"] } else { vec![] });
    assert_eq!(
        bench.inside("docker volume inspect -f '{{.Options.device}}' app_storage").trim(),
        "/srv/data/app_storage"
    );
    assert_eq!(bench.inside("stat -c '%u:%g' /srv/data/app_storage").trim(), "1000:1000");
    assert_eq!(bench.inside("docker info -f '{{.LoggingDriver}} {{.LiveRestoreEnabled}}'").trim(), "local true");

    let network = bench.inside("docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' kamal");
    assert!(network.starts_with("172.20."), "{network}");

    containers_outlive_a_restart(&mut bench);

    let reload = bench.repairs(
        r#"sed -i 's/"live-restore": true/"live-restore": false/' /etc/docker/daemon.json; systemctl reload docker"#,
        &["docker_daemon"],
    );
    assert!(!reload[0].contains("restart") || reload[0].contains("without"), "a reload is enough: {reload:?}");
    // With what settings and networks it comes back shows once it is back.
    let all = ["docker_engine", "docker_daemon", "docker_network"];
    bench.repairs("systemctl disable --now docker.service docker.socket", &all);
    bench.repairs("printf '{}' >/etc/docker/daemon.json", &["docker_daemon"]);
    bench.repairs("docker network rm kamal", &["docker_network"]);
    bench.repairs("systemctl disable --now apt-daily-upgrade.timer", &["unattended_upgrades"]);
    bench.repairs("echo >>/etc/apt/apt.conf.d/52-bedplate-local", &["unattended_upgrades"]);
    upgrades_are_what_is_declared_and_nothing_more(&bench);

    a_daemon_that_does_not_come_up_gets_its_old_file(&mut bench, old);

    bench.sandbox.reboot().expect("the box comes back");
    // Its sshd answers before all else has started.
    bench.inside("timeout 60 systemctl is-system-running --wait >/dev/null || true");
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
}

/// Lists of apt add up over its files: what the package's own file lets in is not let in, and a file with the last word
/// is pointed out.
#[track_caller]
fn upgrades_are_what_is_declared_and_nothing_more(bench: &Bench) {
    bench.inside("grep -q '^ *\"origin=Debian' /etc/apt/apt.conf.d/50unattended-upgrades");
    let origins = bench.inside("apt-config dump Unattended-Upgrade::Origins-Pattern | grep -v 'Pattern \"\"'");
    assert!(origins.lines().count() == 2 && origins.lines().all(|line| line.contains("Security")), "{origins}");
    bench.inside("echo 'Unattended-Upgrade::Automatic-Reboot \"false\";' >/etc/apt/apt.conf.d/99-theirs");
    let why: Vec<String> = bench.check().exits(Exit::HostFailed).tasks().into_iter().map(|task| task.why).collect();
    assert!(why.iter().any(|why| why.contains("a later file") || why.contains("says otherwise")), "{why:?}");
    bench.inside("rm /etc/apt/apt.conf.d/99-theirs");
}

/// A setting that only the start of the daemon brings out: the old file is back, and Docker runs with it. One that a
/// newer daemon says it would not take is not even tried.
fn a_daemon_that_does_not_come_up_gets_its_old_file(bench: &mut Bench, old: bool) {
    let (before, settings) = (bench.inside("cat /etc/docker/daemon.json"), bench.tasks[2].1.clone());
    let untried = if old { "the old one is back" } else { "nothing was changed" };
    for (wrong, told) in [("bip = \"203.0.113.77/33\"", "the old one is back"), ("no-such-key = 1", untried)] {
        bench.tasks[2].1 = settings.replace("icc = false", &format!("icc = false, {wrong}"));
        let daemon = bench.inside("cat /run/docker.pid");
        let failed = bench.apply().exits(Exit::HostFailed);
        let said = failed.events.iter().find_map(|event| match event {
            EventKind::HostFailed(failure) => Some(failure.said.join("\n")),
            _ => None,
        });
        let said = said.unwrap_or_default();
        assert!(said.contains(told), "{wrong}: {said}");
        assert_eq!(bench.inside("cat /etc/docker/daemon.json"), before, "{wrong}");
        bench.inside("docker version --format '{{.Server.Version}}'");
        let same = bench.inside("cat /run/docker.pid") == daemon;
        assert_eq!(same, told == "nothing was changed", "{wrong}: the daemon");
    }
    bench.tasks[2].1 = settings;
    assert_eq!(bench.check().exits(Exit::Done).open(), []);
}

/// A container of an image that is made on the spot keeps running, with its network and volume, through a change of
/// settings that restarts the daemon.
fn containers_outlive_a_restart(bench: &mut Bench) {
    bench.inside("apt-get install -y -q busybox-static >/dev/null 2>&1");
    bench.inside(
        "d=$(mktemp -d) && mkdir $d/bin $d/data && cp /bin/busybox $d/bin/sh && ln -s sh $d/bin/sleep && \
         ln -s sh $d/bin/touch && tar -C $d -c . | docker import - example >/dev/null",
    );
    bench.inside(
        "docker run -d --name app --restart unless-stopped --network kamal -v app_storage:/data --log-opt max-size=10m \
         -p 8080:80 example sh -c 'touch /data/seen; sleep 1000000'",
    );
    bench
        .inside("for i in 1 2 3 4 5 6 7 8 9; do test -e /srv/data/app_storage/seen && exit 0; sleep 0.2; done; exit 1");
    let mtu = bench.inside("cat /sys/class/net/$(ls /sys/class/net | grep ^br- | head -n 1)/mtu");
    let uplink = bench.inside("cat /sys/class/net/$(ip route | sed -n 's/^default.* dev \\([^ ]*\\).*/\\1/p')/mtu");
    assert_eq!(mtu, uplink, "packets of the network do not fit the uplink");

    let process = |bench: &Bench| bench.inside("docker inspect -f '{{.State.Pid}} {{.State.StartedAt}}' app");
    let before = process(bench);
    let (daemon, settings) = (bench.inside("cat /run/docker.pid"), bench.tasks[2].1.clone());
    bench.tasks[2].1 = settings.replace("log_max_files = 5", "log_max_files = 3");
    bench.settles();
    assert_ne!(bench.inside("cat /run/docker.pid"), daemon, "the daemon was not restarted");
    assert_eq!(process(bench), before, "the container was restarted");
    bench.tasks[2].1 = settings;
    bench.settles();
    bench.inside("docker rm -f app >/dev/null && docker image rm example >/dev/null");
}

#[test]
#[ignore = "full tier: the quick one shows Debian 13, whose Docker is not too old to be found fault with"]
fn docker_on_debian_11() {
    main_path(Suite::Bullseye, true);
}

#[test]
#[ignore = "full tier: the quick one shows Debian 13, whose Docker is not too old to be found fault with"]
fn docker_on_debian_12() {
    main_path(Suite::Bookworm, true);
}

#[test]
fn docker_on_debian_13() {
    main_path(Suite::Trixie, false);
}

/// A host in a swarm, a link for smaller packets, a Docker that is no package.
#[test]
#[ignore = "full tier: a swarm, a snap and a small link; the quick one shows a usual host"]
fn docker_where_not_all_is_usual() {
    let mut bench = Bench::up(Suite::Trixie, &TASKS[1..3]);
    bench.inside("ip link set dev $(ip route | sed -n 's/^default.* dev \\([^ ]*\\).*/\\1/p') mtu 1450");
    bench.inside("mkdir -p /snap/docker");
    let why: Vec<String> = bench.check().exits(Exit::HostFailed).tasks().into_iter().map(|task| task.why).collect();
    assert!(why.iter().any(|why| why.contains("installed as a snap")), "{why:?}");
    bench.inside("rmdir /snap/docker /snap");

    let with_live_restore = bench.tasks[1].1.clone();
    bench.tasks[1].1 = with_live_restore.replace("live_restore = true\n", "");
    bench.settles();
    let made = "docker network create theirs >/dev/null && docker network inspect -f \
        '{{index .Options \"com.docker.network.driver.mtu\"}}' theirs";
    assert_eq!(bench.inside(made).trim(), "1450", "a network that somebody makes does not fit the link");

    bench.inside(&format!("docker swarm init --advertise-addr {} >/dev/null", bench.sandbox.ipv4()));
    bench.tasks[1].1 = with_live_restore;
    let check = bench.check().exits(Exit::Done);
    assert_eq!((check.open(), check.findings()), (vec![], vec!["docker-swarm".to_owned()]));
    bench.apply().exits(Exit::Done);
    bench.inside("systemctl restart docker && docker node ls | grep -q Leader");

    // A daemon that somebody put there by hand.
    bench.inside(
        "systemctl stop docker.socket docker.service && cp /usr/sbin/dockerd /usr/local/bin/dockerd && \
         systemd-run -q --unit=byhand /usr/local/bin/dockerd && \
         for i in $(seq 100); do test -s /run/docker.pid && exit 0; sleep 0.1; done; exit 1",
    );
    let why: Vec<String> = bench.check().exits(Exit::HostFailed).tasks().into_iter().map(|task| task.why).collect();
    assert!(why.iter().any(|why| why.contains("no Debian package (/usr/local/bin/dockerd)")), "{why:?}");
}

/// Units that come with packages, each with whether it then runs (in a container, as boxes are) and is enabled. A
/// service task on a bare box is in sync with what is foretold; after the installation what was foretold is compared
/// with what is there.
const BROUGHT: [(&str, &str, bool, bool); 8] = [
    ("cron", "cron.service", true, true),
    ("logrotate", "logrotate.timer", true, true),
    ("rsyslog", "rsyslog.service", true, true),
    ("ufw", "ufw.service", false, true),
    ("nftables", "nftables.service", false, false),
    ("systemd-timesyncd", "systemd-timesyncd.service", false, true),
    ("unattended-upgrades", "unattended-upgrades.service", true, true),
    ("docker.io", "containerd.service", true, true),
];

fn brings(suite: Suite) {
    let names = BROUGHT.map(|(package, ..)| format!("\"{package}\"")).join(", ");
    let units = BROUGHT
        .map(|(_, unit, running, enabled)| format!("unit = \"{unit}\"\nrunning = {running}\nenabled = {enabled}\n"));
    let install = format!("install = [{names}, \"sudo\"]\n");
    let mut tasks = vec![("packages", install.as_str())];
    tasks.push(("directory", "path = \"/etc/sudoers.d\"\nmode = \"0755\"\n"));
    tasks.push(("group", "name = \"docker\"\n"));
    tasks.extend(units.iter().map(|text| ("service", text.as_str())));
    let bench = Bench::up(suite, &tasks);
    let foretold = bench.check().exits(Exit::Drift).open();
    assert_eq!(foretold, [("packages".to_owned(), Verdict::Change)]);
    bench.settles();
}

#[test]
#[ignore = "full tier: holds the table of what packages bring true; no release is in the quick one"]
fn what_packages_bring_to_debian_11() {
    brings(Suite::Bullseye);
}

#[test]
#[ignore = "full tier: holds the table of what packages bring true; no release is in the quick one"]
fn what_packages_bring_to_debian_12() {
    brings(Suite::Bookworm);
}

#[test]
#[ignore = "full tier: holds the table of what packages bring true; no release is in the quick one"]
fn what_packages_bring_to_debian_13() {
    brings(Suite::Trixie);
}
