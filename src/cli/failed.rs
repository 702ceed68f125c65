//! Why a command ended before its run began, or could not be told: for people on standard error, and as an event for
//! programs that read `--json` or a recording.

use std::io::Write as _;
use std::path::Path;

use super::drawn;
use crate::base::diagnostic::{Diagnostic, Severity};
use crate::base::event::{self, Event, EventKind, Mistake};
use crate::base::{Diagnostics, Exit};
use crate::report::{self, Json, Sink as _};

/// Why a command ended before its run began, or could not be told.
#[derive(Debug)]
pub struct Failed {
    /// What to print on standard error.
    pub text: String,
    /// What the process ends with.
    pub exit: Exit,
    /// The same for programs.
    mistakes: Vec<Mistake>,
}

impl Failed {
    fn new(text: String, exit: Exit) -> Self {
        let mistakes = vec![Mistake { what: text.clone(), ..Mistake::default() }];
        Self { text: format!("error: {text}\n"), exit, mistakes }
    }

    /// Bad input: nothing was contacted or changed.
    pub fn input(text: impl Into<String>) -> Self {
        Self::new(text.into(), Exit::BadInput)
    }

    /// Something went wrong on the way.
    pub fn host(text: impl Into<String>) -> Self {
        Self::new(text.into(), Exit::HostFailed)
    }

    /// Ctrl-C, for the second time; `text` is what to print.
    pub(super) fn interrupted(text: &str) -> Self {
        Self { text: format!("{text}\n"), ..Self::new(text.to_owned(), Exit::Interrupted) }
    }

    /// A command line that clap does not take.
    pub(super) fn arguments(error: &clap::Error) -> Self {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        let what = what.strip_prefix("error: ").unwrap_or(what).to_owned();
        Self { text, ..Self::new(what, Exit::BadInput) }
    }

    /// With something to do.
    #[must_use]
    pub fn help(mut self, help: &str) -> Self {
        self.text.push_str(&format!("  = help: {help}\n"));
        self.mistakes.iter_mut().for_each(|mistake| mistake.help.push(help.to_owned()));
        self
    }

    /// Prints it, as lines and, where `json` is asked for, as an event on standard output too; and writes the event into
    /// the recording, which no run has begun.
    pub(super) fn tell(&self, json: bool, record: Option<&Path>) {
        let _ = std::io::stderr().write_all(self.text.as_bytes());
        let text = console::strip_ansi_codes(&self.text).into_owned();
        let kind = EventKind::RunRefused { exit: self.exit, mistakes: self.mistakes.clone(), text };
        let event = Event { v: event::SCHEMA, ms: 0, host: None, kind };
        if json {
            // A reader that has gone away is no error.
            let _ = Json::new(std::io::stdout()).event(&event);
        }
        if let Some(path) = record.filter(|_| self.exit == Exit::BadInput) {
            let written = report::log_file(path).map_err(|error| error.to_string());
            if let Err(why) = written.and_then(|mut file| file.event(&event).map_err(|error| error.to_string())) {
                super::note(&format!("error: {why}"));
            }
        }
    }
}

fn mistake(diagnostic: &Diagnostic) -> Mistake {
    let place = diagnostic.at.as_ref().map(|(span, _)| (span.source.name.clone(), span.source.place(span.range.start)));
    Mistake {
        what: diagnostic.message.clone(),
        warning: diagnostic.severity == Severity::Warning,
        file: place.as_ref().map(|(file, _)| file.clone()),
        line: place.as_ref().map(|(_, (line, _))| *line),
        column: place.map(|(_, (_, column))| column),
        help: diagnostic.help.clone(),
    }
}

impl From<Diagnostics> for Failed {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { text: drawn(&diagnostics), exit: Exit::BadInput, mistakes: diagnostics.iter().map(mistake).collect() }
    }
}

impl From<crate::sandbox::Error> for Failed {
    fn from(error: crate::sandbox::Error) -> Self {
        Failed::host(error.to_string())
    }
}

impl From<report::ReportError> for Failed {
    fn from(error: report::ReportError) -> Self {
        Failed::host(error.to_string())
    }
}
