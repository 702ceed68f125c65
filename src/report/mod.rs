//! The event stream of a run, drawn: for people, for machines, into a log, as a page. Knows [`crate::base`] only; the
//! engine does not know it.
//!
//! The engine sends [`Event`]s through a bounded channel. One thread owns everything that draws them, so that bars and
//! lines never cross; and it takes events in as fast as they come, so that a reader who does not read (a pager, a stopped
//! terminal) never holds up a run, least of all inside a guard's window.

mod bars;
#[cfg(test)]
mod golden;
mod html;
mod human;
mod ink;
mod json;
mod plan;
mod ready;
#[cfg(test)]
mod samples;
mod screen;
mod settings;
mod story;
mod summary;
#[cfg(test)]
mod tests;
mod unified;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::base::Event;

pub use bars::Bars;
pub use html::{Html, SettingRow};
pub use human::{Human, Outlet, Style, Text};
pub use ink::{Paper, prose};
pub use json::{Json, Recording, ReplayError, log_file, read, schema};
pub use plan::Detail;
pub use screen::{JsonScreen, Screen};
pub use settings::{Colour, Page, Settings, Terminal};

/// One way of drawing events.
pub trait Sink {
    /// Draws one event. Errors: what the file or stream said; the others go on.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Some time has passed without an event.
    fn tick(&mut self) {}

    /// No further event comes.
    fn finish(&mut self) -> io::Result<()>;
}

/// Why something can not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The log can not be written.
    #[error("can not write the log {}: {source}", path.display())]
    Log {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The page can not be written.
    #[error("can not write the report {}: {source}", path.display())]
    Page {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output or standard error can not be written.
    #[error("can not write to the terminal or pipe: {0}")]
    Stream(io::Error),
    /// The drawing thread can not be started, or ended before its time.
    #[error("the report could not be drawn to its end: {0}")]
    Thread(String),
}

/// Events that may wait to be taken in. They are taken in at once, so this only evens out bursts.
const CHANNEL: usize = 1024;
/// How often spinners and elapsed times move.
const TICK: Duration = Duration::from_millis(100);

/// A report that is being drawn.
pub struct Running {
    /// Where the engine sends its events. The report ends when every copy is dropped.
    pub events: mpsc::Sender<Event>,
    /// Ends when everything is drawn. Yields what could not be written (a closed pipe is not among it).
    pub done: JoinHandle<Vec<ReportError>>,
    /// For questions on the terminal while the report is being drawn.
    pub stage: Stage,
}

/// Makes room on the terminal for a question.
#[derive(Clone)]
pub struct Stage {
    multi: indicatif::MultiProgress,
    settle: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Stage {
    /// Waits until every event sent before is drawn, so that a question stands below the plan it is about.
    pub async fn settled(&self) {
        let (drawn, wait) = oneshot::channel();
        if self.settle.send(drawn).is_ok() {
            // An error means that the report has ended, and so has drawn everything.
            let _ = wait.await;
        }
    }

    /// Runs `ask` with the moving lines cleared away.
    pub fn suspend<R>(&self, ask: impl FnOnce() -> R) -> R {
        self.multi.suspend(ask)
    }
}

enum Message {
    Event(Box<Event>),
    Drawn(oneshot::Sender<()>),
}

/// Starts drawing on this process's standard output and error. Must be called in a tokio runtime. Errors: a log or page
/// that can not be written, before anything is contacted.
pub fn start(settings: &Settings) -> Result<Running, ReportError> {
    let terminal = Terminal::here();
    let bars = if terminal.bars(settings) {
        Bars::new(terminal.rows, terminal.style(settings).notes.colour)
    } else {
        Bars::hidden()
    };
    let multi = bars.multi().clone();
    let sinks = Sinks::new(settings, terminal.style(settings), bars, Box::new(io::stdout()), Box::new(io::stderr()))?;
    run(sinks, multi)
}

/// Gives the sinks a thread of their own, and a task that feeds it.
fn run(mut sinks: Sinks, multi: indicatif::MultiProgress) -> Result<Running, ReportError> {
    let (events, mut incoming) = mpsc::channel(CHANNEL);
    let (settle, mut settling) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    let (to_thread, messages) = std_mpsc::channel();
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("report".to_owned())
        .spawn(move || {
            sinks.draw(&messages);
            // Nobody waits any more when the process is about to end: nothing to do about it.
            let _ = ended.send(sinks.finish());
        })
        .map_err(|error| ReportError::Thread(error.to_string()))?;
    let done = tokio::spawn(async move {
        while let Some(message) = next(&mut incoming, &mut settling).await {
            if to_thread.send(message).is_err() {
                break;
            }
        }
        drop(to_thread);
        end.await.unwrap_or_else(|_| vec![ReportError::Thread("its thread ended early".to_owned())])
    });
    Ok(Running { events, done, stage: Stage { multi, settle } })
}

/// The next thing to draw; `None` when every sender of events is gone. Events come first, so that what was sent before a
/// question was asked is drawn before it.
async fn next(
    incoming: &mut mpsc::Receiver<Event>,
    settling: &mut mpsc::UnboundedReceiver<oneshot::Sender<()>>,
) -> Option<Message> {
    tokio::select! {
        biased;
        event = incoming.recv() => event.map(|event| Message::Event(Box::new(event))),
        Some(drawn) = settling.recv() => Some(Message::Drawn(drawn)),
    }
}

/// Draws a recording at once, without bars. Errors: a log or page that can not be written. Yields what else could not.
pub fn replay(recording: &Recording, settings: &Settings) -> Result<Vec<ReportError>, ReportError> {
    let style = Style { bars: false, ..Terminal::here().style(settings) };
    let mut sinks = Sinks::new(settings, style, Bars::hidden(), Box::new(io::stdout()), Box::new(io::stderr()))?;
    for event in &recording.events {
        sinks.event(event);
    }
    Ok(sinks.finish())
}

/// All that draws, with what each tells as its own error.
struct Sinks {
    all: Vec<(Named, Box<dyn Sink + Send>)>,
    errors: Vec<ReportError>,
}

/// Whose error it is.
enum Named {
    Screen,
    Log(PathBuf),
    Page(PathBuf),
}

impl Named {
    fn error(&self, source: io::Error) -> ReportError {
        match self {
            Named::Screen => ReportError::Stream(source),
            Named::Log(path) => ReportError::Log { path: path.clone(), source },
            Named::Page(path) => ReportError::Page { path: path.clone(), source },
        }
    }
}

impl Sinks {
    fn new(
        settings: &Settings,
        style: Style,
        bars: Bars,
        answer: Box<dyn Write + Send>,
        notes: Box<dyn Write + Send>,
    ) -> Result<Self, ReportError> {
        let mut all: Vec<(Named, Box<dyn Sink + Send>)> = Vec::new();
        if let Some(path) = &settings.log {
            all.push((Named::Log(path.clone()), Box::new(log_file(path)?)));
        }
        if let Some(page) = &settings.html {
            all.push((Named::Page(page.path.clone()), Box::new(Html::create(page)?)));
        }
        let screen: Box<dyn Sink + Send> = if settings.json {
            Box::new(JsonScreen::new(bars, answer))
        } else {
            Box::new(Screen::new(Human::new(style), bars, answer, notes))
        };
        all.push((Named::Screen, screen));
        Ok(Self { all, errors: Vec::new() })
    }

    fn draw(&mut self, messages: &std_mpsc::Receiver<Message>) {
        loop {
            match messages.recv_timeout(TICK) {
                Ok(Message::Event(event)) => self.event(&event),
                // Whoever asked may have given up waiting.
                Ok(Message::Drawn(drawn)) => drop(drawn.send(())),
                Err(std_mpsc::RecvTimeoutError::Timeout) => self.all.iter_mut().for_each(|(_, sink)| sink.tick()),
                Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Gives the event to each; one that fails is told once and then left out.
    fn event(&mut self, event: &Event) {
        let errors = &mut self.errors;
        self.all.retain_mut(|(named, sink)| match sink.event(event) {
            Ok(()) => true,
            Err(error) => {
                errors.push(named.error(error));
                false
            }
        });
    }

    fn finish(&mut self) -> Vec<ReportError> {
        for (named, sink) in &mut self.all {
            if let Err(error) = sink.finish() {
                self.errors.push(named.error(error));
            }
        }
        std::mem::take(&mut self.errors)
    }
}
