//! `bedplate handoff`: apply, the gate, then the deployer.

use std::path::Path;
use std::time::Duration;

use super::arguments::{Handoff, Output, Selection};
use super::{Failed, note, prepare, ready};
use crate::base::Exit;
use crate::engine::Mode;
use crate::handoff::App;
use crate::handoff::deployer::{Deployer, NoDeployer};
use crate::inventory::deploy;

/// Runs the command. Gives the number that the process ends with: the deployer's own, once that has been run.
pub(super) fn run(command: &Handoff, output: &Output) -> Result<u8, Failed> {
    super::runtime()?.block_on(async {
        // Whether it all can be done is known before anything is changed.
        let mut asked = ready::asked(&command.selection).await?;
        let folder = asked.app.folder.clone();
        let deployer = deployer_of(&command.deployer, &command.selection, &asked.app, &folder)?;
        if asked.selection.show_script {
            return prepare::show_actions(&asked.jobs, &asked.selection).await.map(Exit::code);
        }
        prepare::warn(&asked.jobs.warnings);
        title(1, "apply");
        let manner = prepare::Manner {
            mode: Mode::Apply,
            window: Duration::from_secs(command.window),
            ask_first: !command.yes,
            ..prepare::Manner::look("apply")
        };
        let exit = prepare::run(asked.jobs, &asked.selection, output, &manner).await?;
        if exit != Exit::Done {
            note(&format!("\nThe handoff ends here: {} was not run.", deployer.line(false)));
            return Ok(exit.code());
        }
        title(2, "ready");
        // What was applied may have moved the port or the login.
        asked = ready::asked(&command.selection).await?;
        asked.app.make_known = true;
        let look_only = Output { record: None, report: None, ..output.clone() };
        let gate = ready::gate(asked, &look_only).await?;
        if gate.exit != Exit::Done {
            note(&format!("\nThe handoff ends here: {} was not run.", deployer.line(gate.deployed)));
            return Ok(gate.exit.code());
        }
        title(3, &deployer.line(gate.deployed));
        tokio::spawn(stay());
        deployer.run(&folder, gate.deployed, output.json).await.map_err(|error| {
            Failed::host(format!("{} can not be started: {error}", deployer.line(gate.deployed)))
                .help("the hosts are ready: run it yourself")
        })
    })
}

/// Ctrl-C is the deployer's, which shares this terminal: it ends, and its number is still to be told.
pub(super) async fn stay() {
    while tokio::signal::ctrl_c().await.is_ok() {}
}

/// The deployer of an app: what `words` name, or else Kamal. Errors: there is none.
pub(super) fn deployer_of(
    words: &[String],
    selection: &Selection,
    app: &App,
    folder: &Path,
) -> Result<Deployer, Failed> {
    if app.deploy.is_none() && words.is_empty() {
        let place = folder.join(deploy::FILE);
        let place = place.strip_prefix(".").unwrap_or(&place).display().to_string();
        return Err(Failed::input(format!("there is no {place}, so Kamal has nothing to deploy"))
            .help("run this in the app's folder, write one with `kamal init`, or name another deployer behind `--`"));
    }
    let path = std::env::var_os("PATH");
    Deployer::find(words, folder, selection.destination.as_deref(), path.as_deref()).map_err(|error| {
        let help = match error {
            NoDeployer::NoKamal => "install it with `gem install kamal`, or name another deployer behind `--`",
            NoDeployer::NoProgram(_) => "look at the word behind `--`; a path is from the app's folder",
        };
        Failed::input(error.to_string()).help(&format!("{help}; nothing was contacted or changed"))
    })
}

fn title(number: usize, text: &str) {
    note(&format!("\n── {number}/3 ── {text}\n"));
}
