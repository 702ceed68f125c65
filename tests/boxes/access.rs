//! sshd, ufw and the guard on real boxes: brought about under the guard, found in sync, broken by hand, found,
//! repaired; and every way of shutting oneself out put back by the host alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedplate::action::Action;
use bedplate::base::event::Verdict;
use bedplate::base::name::HostName;
use bedplate::engine::{self, guard};
use bedplate::machine::Machine;
use bedplate::plan::{self, HostPlan, Task};
use bedplate::sandbox::{Sandbox, Suite};
use bedplate::shell::{Batch, Mode, Nonce};
use bedplate::ssh::{Connection, Connector, HeldShell, Policy, Refuse, Target};

use super::docker::Bench;

const UFW: &str = "rules = [{ allow = \"80/tcp\", comment = \"web\" }, { allow = \"53\" }, \
    { allow = \"8000:8010/tcp\", from = \"10.1.2.3/8\" }, { reject = \"25/tcp\" }, { limit = \"2200/udp\" }]\n";
const SSHD: &str = "settings = { X11Forwarding = false, LoginGraceTime = \"1m\", AllowAgentForwarding = false }\n";

/// Two long texts from shortly before the first difference on.
fn where_they_part(foretold: &str, found: &str) -> String {
    let same = foretold.chars().zip(found.chars()).take_while(|(one, other)| one == other).count();
    let part = |text: &str| text.chars().skip(same.saturating_sub(80)).take(240).collect::<String>();
    format!("foretold …{}…, found …{}…", part(foretold), part(found))
}

/// A box, and the way to it.
pub(crate) struct Access {
    pub(crate) bench: Bench,
    pub(crate) runtime: tokio::runtime::Runtime,
    port: u16,
    nonce: u128,
}

impl Access {
    pub(crate) fn up(suite: Suite, tasks: &[(&'static str, &str)]) -> Self {
        let bench = Bench::up(suite, tasks);
        bench.inside(
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ufw",
        );
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { bench, runtime, port: 22, nonce: 1 }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.bench.sandbox
    }

    fn target(&self) -> Target {
        Target {
            address: self.sandbox().ipv4().to_string(),
            port: self.port,
            keys: vec![self.sandbox().key()],
            keys_named: true,
            identities_only: true,
            known_hosts: vec![self.sandbox().known_hosts()],
            host_key_alias: Some(self.sandbox().ipv4().to_string()),
            connect_timeout: Duration::from_secs(3),
            ..Target::new(HostName::new("box").expect("a name"), "root")
        }
    }

    /// A new login, and a shell in it.
    pub(crate) async fn log_in(&self) -> Result<(Connection, HeldShell), String> {
        let policy = Policy { learn_methods: true, ..Policy::default() };
        let connector = Connector::new(policy, Arc::new(Refuse));
        let mut tries = 0;
        let connection = loop {
            tries += 1;
            match connector.connect(&self.target()).await {
                Ok(connection) => break connection,
                // An sshd that reads its files anew hears nobody for some milliseconds.
                Err(error) if error.to_string().contains("refuses") && tries < 5 => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        let shell = connection.shell().await.map_err(|error| error.to_string())?;
        Ok((connection, shell))
    }

    fn tasks(&self) -> Vec<Task> {
        self.bench.tasks()
    }

    async fn look(&self, shell: &mut HeldShell) -> (Machine, HostPlan) {
        let tasks = self.tasks();
        let machine = engine::ask(shell, tasks.iter().flat_map(Task::facts)).await.expect("the host answers");
        let plan = plan::plan(&tasks, &machine);
        assert!(plan.needs.is_empty(), "{:?}", plan.needs);
        (machine, plan)
    }

    /// What a check would say: the changes, and why tasks are refused.
    fn check(&self) -> Vec<String> {
        self.runtime.block_on(async {
            let (_connection, mut shell) = self.log_in().await.expect("a login");
            let (_, plan) = self.look(&mut shell).await;
            said(&plan)
        })
    }

    /// Applies under the guard, confirms by a new login, and compares what came of it with what was foretold.
    #[track_caller]
    fn settles(&mut self) {
        self.nonce += 1;
        let nonce = Nonce::new(self.nonce);
        let port = self.runtime.block_on(async {
            let (_connection, mut shell) = self.log_in().await.expect("a login");
            let (_, plan) = self.look(&mut shell).await;
            assert!(plan.refused().is_none() && plan.put_off().is_none(), "{:#?}", said(&plan));
            let actions: Vec<Action> = plan.tasks.iter().flat_map(|task| task.actions.clone()).collect();
            let saves = actions.iter().filter_map(Action::access).flat_map(|access| access.saves).collect();
            let armed = guard::arm(&mut shell, &saves, Duration::from_secs(60), &nonce).await.expect("an answer");
            assert_eq!(armed, guard::Armed::Yes);
            let batch = Batch::new(Mode::Act, actions.iter().map(Action::call).collect());
            let results = shell.run(&batch, &mut |_| {}).await.expect("the session holds");
            for result in &results {
                let said = String::from_utf8_lossy(&result.body);
                assert_eq!(result.status, 0, "{}: {said}", actions[result.index].summary());
            }
            assert_eq!(results.len(), actions.len());
            let (_connection, mut shell) = self.log_in().await.expect("a new login");
            let confirmed = guard::confirm(&mut shell, &nonce).await.expect("an answer");
            assert_eq!(confirmed, guard::Confirmed::Yes);
            let (seen, again) = self.look(&mut shell).await;
            for task in &plan.tasks {
                for question in &task.asserts {
                    if let Some((foretold, found)) = plan.predicted.difference(&seen, question) {
                        panic!("{question:?}: {}", where_they_part(&foretold, &found));
                    }
                }
            }
            assert_eq!(said(&again), Vec::<String>::new(), "a second plan changes again");
            self.port
        });
        assert_eq!(port, self.port);
    }

    /// Arms the host with all that sshd and ufw touch, does harm, and gives how long nobody got in.
    #[track_caller]
    fn comes_back_after(&mut self, harm: &str) -> guard::Report {
        self.nonce += 1;
        let nonce = Nonce::new(self.nonce);
        let window = Duration::from_secs(12);
        let begun = Instant::now();
        self.runtime.block_on(async {
            let (_connection, mut shell) = self.log_in().await.expect("a login");
            let saves: BTreeSet<_> = [access("sshd", SSHD), access("ufw", "")].into_iter().flatten().collect();
            let armed = guard::arm(&mut shell, &saves, window, &nonce).await.expect("an answer");
            assert_eq!(armed, guard::Armed::Yes);
        });
        self.bench.inside(harm);
        assert!(self.runtime.block_on(self.log_in()).is_err(), "`{harm}` does no harm");
        loop {
            assert!(begun.elapsed() < window + Duration::from_secs(30), "nobody gets in after `{harm}`");
            std::thread::sleep(Duration::from_millis(700));
            let standing = self.runtime.block_on(async {
                let (_connection, mut shell) = self.log_in().await.ok()?;
                let standing = guard::report(&mut shell).await.expect("an answer");
                if standing.report.is_some() {
                    guard::seen(&mut shell).await.expect("an answer");
                }
                Some(standing)
            });
            let Some(guard::Standing { now: guard::Now::Idle, report: Some(report) }) = standing else { continue };
            assert_eq!(report.nonce, nonce.as_str());
            assert_eq!(report.problems, Vec::<String>::new(), "after `{harm}`");
            return report;
        }
    }
}

/// What is open in a plan.
fn said(plan: &HostPlan) -> Vec<String> {
    let open = plan.tasks.iter().filter(|task| task.shown.verdict != Verdict::InSync);
    open.flat_map(|task| {
        let why = (task.shown.verdict == Verdict::Refused).then(|| task.shown.why.clone());
        task.shown.changes.iter().map(|change| change.summary.clone()).chain(why).collect::<Vec<_>>()
    })
    .collect()
}

/// What the actions of `sshd` and `ufw` save.
pub(crate) fn access(kind: &str, _: &str) -> Vec<bedplate::action::Saved> {
    use bedplate::action::{ConfigureSshd, ConfigureUfw};
    use bedplate::machine::ufw::Firewall;
    let action: Action = if kind == "sshd" {
        ConfigureSshd { files: vec![], meets: Default::default(), ports: BTreeSet::new(), socket: false }.into()
    } else {
        ConfigureUfw { before: Firewall::stock(), after: Firewall::stock(), open: BTreeSet::new() }.into()
    };
    action.access().map(|access| access.saves).unwrap_or_default()
}

fn hardens_and_repairs(suite: Suite) {
    let mut access = Access::up(suite, &[("ufw", UFW), ("sshd", SSHD)]);
    access.bench.inside("printf 'PasswordAuthentication yes\\n' >/etc/ssh/sshd_config.d/00-a.conf");
    access.settles();
    let bench = &access.bench;
    let effective = bench.inside("sshd -T -C user=root,host=h,addr=192.0.2.1");
    for line in ["passwordauthentication no", "permitrootlogin without-password", "x11forwarding no"] {
        assert!(effective.lines().any(|other| other == line), "{line}");
    }
    let (connection, _shell) = access.runtime.block_on(access.log_in()).expect("a login");
    assert_eq!(connection.login().methods_offered, ["publickey"]);
    assert!(bench.inside("ufw status").contains("80/tcp"), "the rules are in force");

    // What others would miss: a firewall that was flushed while `ufw status` says it is active.
    bench.inside("iptables -P INPUT ACCEPT; iptables -F");
    assert!(bench.inside("ufw status").starts_with("Status: active"));
    assert_eq!(access.check(), ["build the running firewall anew from ufw's rules"]);
    access.settles();
    access
        .bench
        .inside("iptables -P INPUT ACCEPT; iptables -F ufw-user-input; ip6tables -D INPUT -j ufw6-before-input");
    access.settles();

    // A line that outranks, a Match block, a file that was written but not loaded, a rule that went and one that came.
    access.bench.inside(
        "printf 'X11Forwarding yes\\n' >/etc/ssh/sshd_config.d/00-b.conf; \
         printf 'Match User root\\n\\tPasswordAuthentication yes\\nMatch Address *\\n\\tX11Forwarding yes\\n' \
         >/etc/ssh/sshd_config.d/99-z.conf; ufw delete allow 53; ufw limit 22/tcp; ufw allow 9999/tcp",
    );
    assert_eq!(access.check().len(), 5, "{:?}", access.check());
    access.settles();
    access.bench.inside("sed -i 's/^X11Forwarding no/X11Forwarding yes/' /etc/ssh/sshd_config.d/00-bedplate.conf && systemctl reload ssh");
    access.settles();
    assert!(access.bench.inside("cat /etc/ssh/sshd_config.d/00-b.conf.before-bedplate").contains("X11Forwarding yes"));

    // A rule of somebody else's stays until the task says that there are none but its own.
    assert!(access.bench.inside("ufw status").contains("9999/tcp"), "a rule that nobody declares went by itself");
    access.bench.tasks[0].1 = format!("exclusive = true\n{UFW}");
    access.settles();
    assert!(!access.bench.inside("ufw status").contains("9999/tcp"), "a rule that nobody declares stayed");

    // Somebody else's wish about who may log in is not widened.
    access
        .bench
        .inside("printf 'AllowUsers root nobody\\n' >/etc/ssh/sshd_config.d/30-mine.conf && systemctl reload ssh");
    access.settles();
    access.bench.tasks[1].1 = "users = [\"deploy\"]\n".into();
    assert!(access.check()[0].contains("AllowUsers"), "{:?}", access.check());
    access.bench.inside("rm /etc/ssh/sshd_config.d/30-mine.conf");

    // The port moves in two steps, and the firewall with it.
    access.bench.tasks[1].1 = format!("port = 2222\n{SSHD}");
    access.bench.tasks[0].1 = format!("exclusive = true\nssh_port = 2222\n{UFW}");
    access.settles();
    access.port = 2222;
    access.settles();
    assert!(!access.bench.inside("ufw status").lines().any(|line| line.starts_with("22/tcp")), "the old port is shut");
    access.port = 22;
    assert!(access.runtime.block_on(access.log_in()).is_err(), "the old port is gone");
}

#[test]
fn a_host_is_hardened_and_repaired_on_debian_11() {
    hardens_and_repairs(Suite::Bullseye);
}

#[test]
fn a_host_is_hardened_and_repaired_on_debian_12() {
    hardens_and_repairs(Suite::Bookworm);
}

#[test]
fn a_host_is_hardened_and_repaired_on_debian_13() {
    hardens_and_repairs(Suite::Trixie);
}

#[test]
fn whoever_is_shut_out_gets_in_again() {
    let mut access = Access::up(Suite::Bookworm, &[("ufw", ""), ("sshd", "")]);
    access.settles();
    for harm in [
        "echo 'AllowUsers nobody' >/etc/ssh/sshd_config.d/00-0.conf; systemctl reload ssh",
        "ufw delete allow 22/tcp; ufw reload",
        "iptables -I INPUT -p tcp --dport 22 -j DROP; iptables -F ufw-before-input; ufw --force reset; ufw --force enable; \
         iptables -D INPUT -p tcp --dport 22 -j DROP",
        "echo 'Port 2222' >/etc/ssh/sshd_config.d/00-0.conf; systemctl reload ssh",
        "rm /etc/ssh/ssh_host_* /etc/ssh/sshd_config; systemctl stop ssh; systemctl mask ssh; \
         systemctl daemon-reload; systemctl daemon-reexec",
    ] {
        let report = access.comes_back_after(harm);
        assert_eq!(report.why, guard::Why::Timeout);
        assert_eq!(access.check(), Vec::<String>::new(), "after `{harm}`");
    }
}

/// Whoever renames the marker first has won: what is confirmed is never put back, and the other way round.
#[test]
fn a_guard_is_confirmed_or_fires_and_never_both() {
    let ours = "/etc/ssh/sshd_config.d/00-bedplate.conf";
    let saves: BTreeSet<_> = access("sshd", SSHD).into_iter().collect();
    let access = Access::up(Suite::Bookworm, &[]);
    let arm = |nonce: &Nonce| {
        access.bench.inside(&format!("rm -f {ours}"));
        let (connection, mut shell) = access.runtime.block_on(access.log_in()).expect("a login");
        let window = Duration::from_secs(60);
        let armed = access.runtime.block_on(guard::arm(&mut shell, &saves, window, nonce)).expect("an answer");
        assert_eq!(armed, guard::Armed::Yes);
        access.bench.inside(&format!("echo 'LoginGraceTime 30' >{ours}"));
        (connection, shell)
    };
    let confirm = |shell: &mut HeldShell, nonce: &Nonce| {
        access.runtime.block_on(guard::confirm(shell, nonce)).expect("an answer")
    };
    let is_there = || access.bench.sandbox.root().join(ours.trim_start_matches('/')).exists();
    let fire = "sh /var/lib/bedplate/guard/restore timeout";

    let (_connection, mut shell) = arm(&Nonce::new(1));
    // Who proves the way in of another run proves nothing for this one.
    assert_eq!(confirm(&mut shell, &Nonce::new(2)), guard::Confirmed::Unknown);
    let armed = access.runtime.block_on(guard::report(&mut shell)).expect("an answer");
    assert_eq!(armed.now, guard::Now::Armed);
    assert_eq!(confirm(&mut shell, &Nonce::new(1)), guard::Confirmed::Yes);
    access.bench.inside(fire);
    assert!(is_there(), "a confirmed change was put back");

    let (_connection, mut shell) = arm(&Nonce::new(3));
    access.bench.inside(fire);
    assert_eq!(confirm(&mut shell, &Nonce::new(3)), guard::Confirmed::PutBack);
    assert!(!is_there());

    let mut ends = BTreeSet::new();
    for round in 10..22u128 {
        let (_connection, mut shell) = arm(&Nonce::new(round));
        // One of the two begins a little earlier, now this and now that.
        let pauses = [Duration::from_millis(40 * (round as u64 % 6)), Duration::from_millis(100)];
        let confirmed = std::thread::scope(|scope| {
            let firing = scope.spawn(|| {
                std::thread::sleep(pauses[0]);
                access.bench.inside(fire)
            });
            std::thread::sleep(pauses[1]);
            let confirmed = confirm(&mut shell, &Nonce::new(round));
            firing.join().expect("the guard has its say");
            confirmed
        });
        match confirmed {
            guard::Confirmed::Yes => assert!(is_there(), "confirmed and put back, in round {round}"),
            guard::Confirmed::PutBack => assert!(!is_there(), "put back and there, in round {round}"),
            guard::Confirmed::Unknown => panic!("nobody knows, in round {round}"),
        }
        ends.insert(confirmed == guard::Confirmed::Yes);
    }
    assert_eq!(ends.len(), 2, "one of the two has always won: {ends:?}");
}
