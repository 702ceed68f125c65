//! What stands on the terminal: the human text on its two outlets and the bars below it, never across one another.

use std::io::{self, Write};

use crate::base::Event;

use super::Sink;
use super::bars::Bars;
use super::human::{Human, Outlet, Text};
use super::json::{Json, quiet};

/// Where a stream goes, and whether its reader has gone away.
struct Stream {
    to: Box<dyn Write + Send>,
    gone: bool,
}

impl Stream {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let result = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
        quiet(result, &mut self.gone)
    }
}

/// Human text with bars.
pub struct Screen {
    human: Human,
    bars: Bars,
    answer: Stream,
    notes: Stream,
}

impl Screen {
    /// The answer goes to `answer`, notes to `notes`, both with the bars cleared away while they are written.
    pub fn new(human: Human, bars: Bars, answer: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Self {
        Self { human, bars, answer: Stream { to: answer, gone: false }, notes: Stream { to: notes, gone: false } }
    }

    fn write(&mut self, texts: &[Text]) -> io::Result<()> {
        if texts.is_empty() {
            return Ok(());
        }
        let (answer, notes) = (&mut self.answer, &mut self.notes);
        self.bars.multi().suspend(|| {
            texts.iter().try_for_each(|text| match text.to {
                Outlet::Answer => answer.write(&text.text),
                Outlet::Notes => notes.write(&text.text),
            })
        })
    }
}

impl Sink for Screen {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let texts = self.human.event(event);
        let written = self.write(&texts);
        self.bars.event(event);
        written
    }

    fn tick(&mut self) {
        self.bars.tick();
    }

    fn finish(&mut self) -> io::Result<()> {
        self.bars.finish();
        let texts = self.human.finish();
        self.write(&texts)
    }
}

/// JSON lines with bars: a person may watch while a program reads.
pub struct JsonScreen {
    json: Json<Box<dyn Write + Send>>,
    bars: Bars,
}

impl JsonScreen {
    /// The lines go to `answer`.
    pub fn new(bars: Bars, answer: Box<dyn Write + Send>) -> Self {
        Self { json: Json::new(answer), bars }
    }
}

impl Sink for JsonScreen {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let json = &mut self.json;
        let written = self.bars.multi().suspend(|| json.event(event));
        self.bars.event(event);
        written
    }

    fn tick(&mut self) {
        self.bars.tick();
    }

    fn finish(&mut self) -> io::Result<()> {
        self.bars.finish();
        self.json.finish()
    }
}
