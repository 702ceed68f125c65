//! `bedplate demo`: a local box up, applied, checked, broken, found out, repaired, and down again.

use std::time::{Duration, Instant};

use super::arguments::{Demo, Login, Output, Selection};
use super::{Failed, note, prepare};
use crate::base::Exit;
use crate::engine::Mode;
use crate::sandbox::{self, Options, Sandbox, Suite};

/// What somebody in a hurry does to a server at night.
const DAMAGE: [(&str, &str); 4] = [
    ("the firewall's rules are flushed", "iptables -F && iptables -P INPUT ACCEPT"),
    (
        "password logins are turned on again",
        "echo 'PasswordAuthentication yes' > /etc/ssh/sshd_config.d/00-a-hurry.conf",
    ),
    // By its path: the boxes of one machine share its kernel's list of swaps.
    ("the swap is taken off", "swapoff \"/swapfile-$(hostname)\""),
    ("unattended upgrades are turned off", "systemctl disable --now apt-daily-upgrade.timer"),
];

/// Runs the command.
pub(super) fn run(command: &Demo, output: &Output) -> Result<Exit, Failed> {
    let suite: Suite =
        command.release.parse().map_err(|error: sandbox::UnknownSuite| Failed::input(error.to_string()))?;
    let begun = Instant::now();
    title(1, &format!("a bare {suite} box"));
    let sandbox = sandbox::up(&Options { suite, ..Options::default() }, &|text| note(&format!("  {text}")))?;
    note(&format!("  up at {} after {:.0} s", sandbox.ipv4(), begun.elapsed().as_secs_f64()));
    let ended = acts(&sandbox, output);
    let swept = if command.keep {
        let name = sandbox.name().to_owned();
        sandbox.keep().map(|_| note(&format!("\nthe box is left up: `bedplate sandbox shell {name}`")))
    } else {
        title(7, "down, with all that it left");
        sandbox.down()
    };
    let exit = ended?;
    swept?;
    if exit == Exit::Done {
        note(&format!("\nThe demo went as it should, in {:.0} s.", begun.elapsed().as_secs_f64()));
    }
    Ok(exit)
}

fn acts(sandbox: &Sandbox, output: &Output) -> Result<Exit, Failed> {
    let steps: [(&str, Mode, Exit); 3] = [
        ("apply: from bare to ready", Mode::Apply, Exit::Done),
        ("check: nothing is left to do", Mode::Check, Exit::Done),
        ("check: the damage is found", Mode::Check, Exit::Drift),
    ];
    let runtime = super::runtime()?;
    let go = |mode| runtime.block_on(once(sandbox, output, mode));
    for (number, (what, mode, wanted)) in (2..).zip(steps) {
        if wanted == Exit::Drift {
            title(number, "somebody in a hurry");
            for (what, line) in DAMAGE {
                note(&format!("  {what}"));
                sandbox.ask(&["sh", "-c", line])?;
            }
            note("");
            note(&format!("  {what}\n"));
        } else {
            title(number, what);
        }
        let exit = go(mode)?;
        if exit != wanted {
            note(&format!("\nthe demo stops here: this run should have ended with {}", wanted.meaning()));
            return Ok(if exit == Exit::Done { Exit::HostFailed } else { exit });
        }
    }
    title(5, "apply: exactly that is repaired");
    let exit = go(Mode::Apply)?;
    if exit != Exit::Done {
        return Ok(exit);
    }
    title(6, "check: as it should be");
    go(Mode::Check)
}

fn title(number: usize, text: &str) {
    note(&format!("\n── {number}/7 ── {text}"));
}

async fn once(sandbox: &Sandbox, output: &Output, mode: Mode) -> Result<Exit, Failed> {
    let selection = selection(sandbox);
    let mut jobs = prepare::read(&selection).await?;
    for job in &mut jobs.jobs {
        job.target.known_hosts = vec![sandbox.known_hosts()];
        job.target.global_known_hosts.clear();
        job.target.identities_only = true;
    }
    let manner = prepare::Manner {
        command: if mode == Mode::Apply { "apply" } else { "check" },
        mode,
        window: Duration::from_secs(60),
        ..prepare::Manner::look("demo")
    };
    prepare::run(jobs, &selection, output, &manner).await
}

/// The distribution's Docker is smaller and everywhere to be had; the swap is small and the box's own.
fn selection(sandbox: &Sandbox) -> Selection {
    Selection {
        destination: None,
        hosts: vec![format!("root@{}", sandbox.ipv4())],
        successor: None,
        inventory: None,
        limit: Vec::new(),
        shard: None,
        tags: Vec::new(),
        skip_tags: Vec::new(),
        set: vec![
            "docker_source=distribution".into(),
            "swap_size=64M".into(),
            format!("swap_path=/swapfile-{}", sandbox.name()),
        ],
        login: Login {
            keys: vec![sandbox.key().display().to_string()],
            accept_new: false,
            ask_password: false,
            ssh_config: Some("none".into()),
        },
        parallel: 1,
        show_script: false,
    }
}
