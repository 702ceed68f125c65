//! `bedplate sandbox`: throw-away local boxes.

use std::os::unix::process::CommandExt as _;

use super::Failed;
use super::arguments::Sandbox;
use crate::base::Exit;
use crate::sandbox::{self, Options, Suite};

/// Runs the command.
pub(super) fn run(command: &Sandbox) -> Result<Exit, Failed> {
    match command {
        Sandbox::Up { name, release } => up(name, release),
        Sandbox::List => list(),
        Sandbox::Shell { name } => {
            // Replaces this process, so that the terminal and its signals are the shell's own.
            let error = sandbox::shell(name)?.exec();
            Err(Failed::host(format!("a shell in `{name}` can not be opened: {error}")))
        }
        Sandbox::Down { names } => down(names),
    }
}

fn up(name: &str, release: &str) -> Result<Exit, Failed> {
    let suite: Suite = release.parse().map_err(|error: sandbox::UnknownSuite| Failed::input(error.to_string()))?;
    let options = Options { name: Some(name.to_owned()), suite, ..Options::default() };
    let made = sandbox::up(&options, &|text| super::note(text))?;
    let (address, key, known_hosts) = (made.ipv4(), made.key(), made.known_hosts());
    made.keep()?;
    super::say(&format!(
        "{name} is up: {suite} at {address}\n\n  \
         bedplate apply root@{address} --key {key} --accept-new\n  \
         bedplate sandbox shell {name}\n  \
         ssh -i {key} -o UserKnownHostsFile={known_hosts} root@{address}\n  \
         bedplate sandbox down {name}\n",
        key = key.display(),
        known_hosts = known_hosts.display(),
    ));
    Ok(Exit::Done)
}

fn list() -> Result<Exit, Failed> {
    let boxes = sandbox::list()?;
    if boxes.is_empty() {
        super::note("there are no boxes; `bedplate sandbox up` makes one");
    }
    for info in boxes {
        let state = if info.running { "up" } else { "down" };
        super::say(&format!("{:<16} {:<12} {:<16} {state}\n", info.name, info.suite.to_string(), info.ipv4));
    }
    Ok(Exit::Done)
}

fn down(names: &[String]) -> Result<Exit, Failed> {
    let names =
        if names.is_empty() { sandbox::list()?.into_iter().map(|info| info.name).collect() } else { names.to_vec() };
    for name in names {
        sandbox::down(&name)?;
        super::note(&format!("{name} is gone"));
    }
    Ok(Exit::Done)
}
