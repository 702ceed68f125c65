//! `bedplate replay`: a recorded run drawn again.

use std::fs::File;
use std::io::BufReader;

use super::Failed;
use super::arguments::{Output, Replay};
use crate::base::Exit;
use crate::report;

/// Runs the command.
pub(super) fn run(command: &Replay, output: &Output) -> Result<Exit, Failed> {
    let name = command.file.display();
    let recording = if command.file.as_os_str() == "-" {
        report::read(std::io::stdin().lock())
    } else {
        let file = File::open(&command.file)
            .map_err(|error| Failed::input(format!("the recording {name} can not be read: {error}")))?;
        report::read(BufReader::new(file))
    };
    let recording = recording.map_err(|error| Failed::input(format!("{name}: {error}")))?;
    if recording.unknown > 0 {
        super::note(&format!("{} events are of a sort that this version does not know", recording.unknown));
    }
    let errors = report::replay(&recording, &super::settings(output, Vec::new()))
        .map_err(|error| Failed::input(error.to_string()))?;
    match errors.into_iter().next() {
        None => Ok(Exit::Done),
        Some(error) => Err(error.into()),
    }
}
