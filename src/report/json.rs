//! Events as JSON lines: written for machines and into a log file, read back for a replay.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;

use crate::base::Event;
use crate::base::event::SCHEMA;

use super::{ReportError, Sink};

/// One event a line. A reader that goes away (`| head`) ends the lines, not the run.
pub struct Json<W> {
    to: W,
    gone: bool,
}

impl<W: Write> Json<W> {
    /// Lines into `to`.
    pub fn new(to: W) -> Self {
        Self { to, gone: false }
    }
}

impl<W: Write> Sink for Json<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        quiet(self.to.write_all(&line).and_then(|()| self.to.flush()), &mut self.gone)
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.gone { Ok(()) } else { quiet(self.to.flush(), &mut self.gone) }
    }
}

/// Takes a broken pipe as the reader's good right, and remembers it.
pub(super) fn quiet(result: io::Result<()>, gone: &mut bool) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            *gone = true;
            Ok(())
        }
        other => other,
    }
}

/// A log: the same lines in a file that only its owner may read, since it tells a host's insides.
pub fn log_file(path: &Path) -> Result<Json<BufWriter<File>>, ReportError> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(|source| ReportError::Log { path: path.to_owned(), source })?;
    Ok(Json::new(BufWriter::new(file)))
}

/// What a recording held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Events of a sort that this version does not know; left out.
    pub unknown: usize,
}

/// Why a recording can not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file can not be read.
    #[error("can not read the recording: {0}")]
    Read(#[from] io::Error),
    /// A line is not an event.
    #[error(
        "line {line} is not an event of a run ({why}); record one with `--record FILE`, or keep what `--json` prints"
    )]
    Line {
        /// From 1.
        line: usize,
        /// What the parser said.
        why: String,
    },
    /// A later schema.
    #[error(
        "line {line} of the recording has schema {found}, and this bedplate knows {SCHEMA}: replay it with a newer one"
    )]
    Schema {
        /// From 1.
        line: usize,
        /// Its `v`.
        found: u64,
    },
}

/// Reads recorded JSON lines. Empty lines are passed over; events of a sort unknown here are counted, since a version of
/// the schema may gain events.
pub fn read(from: impl BufRead) -> Result<Recording, ReplayError> {
    let mut recording = Recording::default();
    for (at, text) in from.lines().enumerate() {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let line = at + 1;
        match serde_json::from_str::<Event>(&text) {
            Ok(event) if event.v > SCHEMA => return Err(ReplayError::Schema { line, found: event.v.into() }),
            Ok(event) => recording.events.push(event),
            Err(error) => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                if let Some(found) = value["v"].as_u64().filter(|v| *v > SCHEMA.into()) {
                    return Err(ReplayError::Schema { line, found });
                }
                if value["v"].is_u64() && value["event"].is_string() && error.to_string().contains("unknown variant") {
                    recording.unknown += 1;
                } else {
                    return Err(ReplayError::Line { line, why: error.to_string() });
                }
            }
        }
    }
    Ok(recording)
}

/// The JSON schema of one line, for the reference and for whoever reads `--json`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Event).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_recording_reads_back_and_passes_over_what_is_newer() {
        let events = samples::apply_with_guard();
        let mut sink = Json::new(Vec::new());
        for event in &events {
            sink.event(event).unwrap();
        }
        let mut text = String::from_utf8(sink.to).unwrap();
        assert_eq!(text.lines().count(), events.len());
        text.push_str("\n{\"v\":1,\"ms\":3,\"event\":\"something_new\",\"with\":[1]}\n");
        let recording = read(text.as_bytes()).unwrap();
        assert_eq!(recording.events, events);
        assert_eq!(recording.unknown, 1);
    }

    #[test]
    fn what_is_no_recording_is_refused_by_line() {
        let error = read(&b"\n{\"v\":1}\n"[..]).unwrap_err().to_string();
        assert!(error.starts_with("line 2 is not an event of a run"), "{error}");
        let error = read(&b"{\"v\":2,\"ms\":0,\"event\":\"x\"}"[..]).unwrap_err();
        assert!(matches!(error, ReplayError::Schema { line: 1, found: 2 }), "{error}");
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_ends_the_lines() {
        struct Closed(usize);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = Json::new(Closed(0));
        for event in samples::apply_with_guard() {
            sink.event(&event).unwrap();
        }
        sink.finish().unwrap();
        assert_eq!(sink.to.0, 1);
    }

    #[test]
    fn the_schema_names_every_event() {
        let schema = schema().to_string();
        for name in ["run_started", "planned", "guard_restored", "host_failed", "run_finished"] {
            assert!(schema.contains(name), "{name}");
        }
    }

    #[test]
    fn a_log_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        log_file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(log_file(folder.path()), Err(ReportError::Log { .. })));
    }
}
