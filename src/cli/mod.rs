//! The command line: one small file a command. It reads arguments, calls the floors below and ends the process; what a
//! command decides is decided below.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory as _, Parser as _};

use crate::base::name::HostName;
use crate::base::{Diagnostics, Exit};
use crate::playbook::setting::Setting;
use crate::report;

mod apply;
pub mod arguments;
mod backup;
mod check;
mod demo;
mod explain;
mod facts;
mod failed;
mod generate;
mod handoff;
mod history;
mod init;
mod logging;
mod migrate;
mod plan_file;
mod prepare;
mod prompt;
mod ready;
mod replay;
mod restore;
mod sandbox;
mod undo;

use arguments::{Arguments, Colour, Command, Output};
pub use failed::Failed;

/// Reads the arguments of this process and does what they say.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
                Failed::arguments(&error).tell(true, None);
                return Exit::BadInput.into();
            }
            // A closed pipe is no reason to complain about help.
            let _ = error.print();
            return if error.use_stderr() { Exit::BadInput.into() } else { Exit::Done.into() };
        }
    };
    let ended = logging::start(arguments.output.log.as_deref()).and_then(|()| dispatch(&arguments));
    match ended {
        Ok(code) if code == Exit::Done.code() && LOST.load(Ordering::Relaxed) => Exit::HostFailed.into(),
        Ok(code) => code.into(),
        Err(failed) => {
            failed.tell(arguments.output.json, arguments.output.record.as_deref());
            failed.exit.into()
        }
    }
}

/// Does what the arguments say. Gives the number that the process ends with.
fn dispatch(arguments: &Arguments) -> Result<u8, Failed> {
    let output = &arguments.output;
    let ended = match &arguments.command {
        // The deployer's own number may be any.
        Command::Handoff(command) => return handoff::run(command, output),
        Command::Migrate(command) => return migrate::run(command, output),
        Command::Backup(command) => backup::run(command, output),
        Command::Restore(command) => restore::run(command, output),
        Command::Check(command) => check::run(command, output),
        Command::Apply(command) => apply::run(command, output),
        Command::Ready(command) => ready::run(command, output),
        Command::Facts(command) => facts::run(command, output),
        Command::Explain(command) => explain::run(command),
        Command::History(command) => history::run(command, output),
        Command::Undo(command) => undo::run(command, output),
        Command::Init(command) => init::run(command),
        Command::Sandbox(command) => sandbox::run(command),
        Command::Demo(command) => demo::run(command, output),
        Command::Replay(command) => replay::run(command, output),
        Command::Generate(command) => generate::run(command, &mut Arguments::command()),
    };
    ended.map(Exit::code)
}

/// The report's settings as the command line has them.
fn settings(output: &Output, rows: Vec<report::SettingRow>) -> report::Settings {
    report::Settings {
        json: output.json,
        verbose: output.verbose,
        colour: match output.colour {
            Colour::Auto => report::Colour::Auto,
            Colour::Always => report::Colour::Always,
            Colour::Never => report::Colour::Never,
        },
        diff_lines: output.diff_lines,
        log: output.record.clone(),
        html: output.report.clone().map(|path| report::Page {
            path,
            made: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
            settings: rows,
        }),
        ..report::Settings::default()
    }
}

/// The settings that the page of a run lists: of hosts that differ each with its own value.
fn setting_rows(jobs: &crate::engine::jobs::Jobs) -> Vec<report::SettingRow> {
    let mut rows: Vec<(&Setting, Vec<(&HostName, &Setting)>)> = Vec::new();
    for (host, settings) in &jobs.settings {
        for setting in settings {
            let same = |other: &Setting| (&other.playbook, &other.name) == (&setting.playbook, &setting.name);
            match rows.iter_mut().find(|(first, _)| same(first)) {
                Some((_, hosts)) => hosts.push((host, setting)),
                None => rows.push((setting, vec![(host, setting)])),
            }
        }
    }
    let of_all = |hosts: &[(&HostName, &Setting)], part: fn(&Setting) -> &str| {
        let first = hosts.first().map(|(_, setting)| part(setting)).unwrap_or_default();
        if hosts.iter().all(|(_, setting)| part(setting) == first) {
            return first.to_owned();
        }
        hosts.iter().map(|(host, setting)| format!("{host}: {}", part(setting))).collect::<Vec<_>>().join(", ")
    };
    let group = |name: &str| match jobs.read.playbooks.named(name) {
        Some(playbook) if !playbook.description.is_empty() => format!("{} ({name})", playbook.description),
        _ => name.to_owned(),
    };
    let row = |(setting, hosts): (&Setting, Vec<(&HostName, &Setting)>)| report::SettingRow {
        group: group(&setting.playbook),
        name: setting.name.clone(),
        value: of_all(&hosts, |setting| &setting.value),
        reason: setting.reason.clone(),
        source: of_all(&hosts, |setting| &setting.source),
    };
    let is_set = |row: &report::SettingRow| !["", "empty", "[]", "{}"].contains(&row.value.as_str());
    rows.into_iter().map(row).filter(is_set).collect()
}

/// Begins to draw a run. Errors: what the command line wants written can not be, before anything is contacted.
fn drawing(settings: &report::Settings) -> Result<report::Running, Failed> {
    report::start(settings).map_err(|error| Failed::input(error.to_string()))
}

/// Whether an answer was lost on its way out, as on a full disk.
static LOST: AtomicBool = AtomicBool::new(false);

/// Writes an answer to standard output; a reader that has gone away is no error. Any other error makes the process end
/// as one that failed: half an answer must not pass for a whole one.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        note(&format!("error: the answer can not be written to standard output: {error}"));
    }
}

/// Writes a line of progress to standard error.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The same for a sentence, in lines of the terminal's width where there is one.
fn sentence(text: &str) {
    let terminal = report::Terminal::here();
    let paper = terminal.style(&report::Settings::default()).notes;
    note(&if terminal.notes { report::prose(text, paper.width) } else { text.to_owned() });
}

/// Errors: `--show-script` with a command that decides on the way what it sends next.
fn no_script(selection: &arguments::Selection, command: &str) -> Result<(), Failed> {
    if !selection.show_script {
        return Ok(());
    }
    let help = format!(
        "`bedplate {command} … --dry-run` tells what it would do; `bedplate apply … --show-script` shows a host's scripts"
    );
    Err(Failed::input(format!("`{command}` has no script that could be shown beforehand")).help(&help))
}

/// Mistakes as they are drawn on this process's terminal.
fn drawn(found: &Diagnostics) -> String {
    let paper = report::Terminal::here().style(&report::Settings::default()).notes;
    found.render_within(paper.colour, paper.width)
}

/// A runtime for commands that talk to hosts.
fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::host(format!("no runtime can be started: {error}")))
}
