//! What the user and the terminal ask of the report, and the style that follows from both.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::html::SettingRow;
use super::human::Style;
use super::ink::Paper;
use super::plan::Detail;

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` is set; off a terminal with `CLICOLOR_FORCE`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The page to write at the end.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Where it goes.
    pub path: PathBuf,
    /// When the run was, as it shall stand on the page; the report has no clock.
    pub made: String,
    /// What is set on the hosts, with the reasons.
    pub settings: Vec<SettingRow>,
}

/// What the user asks for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// JSON lines on standard output in the place of text.
    pub json: bool,
    /// How often `-v` was given.
    pub verbose: u8,
    /// When to use colour.
    pub colour: Colour,
    /// Lines of one diff, at most; 0 is all.
    pub diff_lines: usize,
    /// Unchanged lines round each change of a text.
    pub context: usize,
    /// No bars, even on a terminal.
    pub no_bars: bool,
    /// JSON lines into this file too, for a replay.
    pub log: Option<PathBuf>,
    /// A page at the end.
    pub html: Option<Page>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            json: false,
            verbose: 0,
            colour: Colour::Auto,
            diff_lines: 40,
            context: 3,
            no_bars: false,
            log: None,
            html: None,
        }
    }
}

/// What the report is shown on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Whether standard output is a terminal.
    pub answer: bool,
    /// Whether standard error is a terminal.
    pub notes: bool,
    /// Cells to a line of whichever is a terminal, or else as `COLUMNS` says.
    pub width: Option<usize>,
    /// Lines.
    pub rows: usize,
    /// Whether it can move its cursor and show colour at all.
    pub dumb: bool,
    /// What the environment says about colour.
    pub colour: Colour,
}

/// Width of text that is not for a terminal.
const PIPED: usize = 100;

impl Terminal {
    /// The terminal of this process.
    pub fn here() -> Self {
        let (answer, notes) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let term = if answer { console::Term::stdout() } else { console::Term::stderr() };
        let size = if answer || notes { term.size_checked() } else { None };
        let variable = |name: &str| std::env::var(name).ok();
        Self {
            answer,
            notes,
            width: size.map(|(_, columns)| columns.into()).or_else(|| variable("COLUMNS")?.parse().ok()),
            rows: size.map_or(24, |(rows, _)| rows.into()),
            dumb: variable("TERM").is_some_and(|term| term == "dumb"),
            colour: colour_of(variable),
        }
    }

    fn colour(&self, terminal: bool, asked: Colour) -> bool {
        match (asked, self.colour) {
            (Colour::Always, _) | (Colour::Auto, Colour::Always) => true,
            (Colour::Never, _) | (Colour::Auto, Colour::Never) => false,
            (Colour::Auto, Colour::Auto) => terminal && !self.dumb,
        }
    }

    /// The style of human text.
    pub fn style(&self, settings: &Settings) -> Style {
        let paper = |terminal: bool| Paper {
            colour: self.colour(terminal, settings.colour),
            width: if terminal {
                self.width.unwrap_or(80)
            } else {
                self.width.filter(|_| !self.any()).unwrap_or(PIPED)
            },
        };
        Style {
            answer: paper(self.answer),
            notes: paper(self.notes),
            detail: Detail { verbose: settings.verbose, diff_lines: settings.diff_lines, context: settings.context },
            bars: self.bars(settings),
        }
    }

    /// Whether moving lines can be drawn.
    pub fn bars(&self, settings: &Settings) -> bool {
        self.notes && !self.dumb && !settings.no_bars
    }

    fn any(&self) -> bool {
        self.answer || self.notes
    }
}

/// `NO_COLOR` (no-color.org) before `CLICOLOR_FORCE` and `CLICOLOR` (bixense.com/clicolors).
fn colour_of(variable: impl Fn(&str) -> Option<String>) -> Colour {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        Colour::Never
    } else if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        Colour::Always
    } else if set("CLICOLOR").is_some_and(|value| value == "0") {
        Colour::Never
    } else {
        Colour::Auto
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> Terminal {
        Terminal { answer: true, notes: true, width: Some(120), rows: 40, dumb: false, colour: Colour::Auto }
    }

    #[test]
    fn the_environment_says_about_colour() {
        let said = |pairs: &[(&str, &str)]| {
            colour_of(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(said(&[]), Colour::Auto);
        assert_eq!(said(&[("NO_COLOR", "")]), Colour::Auto);
        assert_eq!(said(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), Colour::Never);
        assert_eq!(said(&[("CLICOLOR_FORCE", "1")]), Colour::Always);
        assert_eq!(said(&[("CLICOLOR_FORCE", "0"), ("CLICOLOR", "0")]), Colour::Never);
    }

    #[test]
    fn each_stream_is_styled_for_itself() {
        let settings = Settings::default();
        let style = terminal().style(&settings);
        assert!(style.answer.colour && style.notes.colour && style.bars);
        assert_eq!((style.answer.width, style.notes.width), (120, 120));

        let piped = Terminal { answer: false, ..terminal() }.style(&settings);
        assert!(!piped.answer.colour && piped.notes.colour && piped.bars);
        assert_eq!((piped.answer.width, piped.notes.width), (PIPED, 120));

        let log = Terminal { answer: false, notes: false, width: None, ..terminal() };
        assert!(!log.style(&settings).bars);
        assert_eq!(log.style(&settings).answer.width, PIPED);
        assert_eq!(Terminal { width: Some(60), ..log }.style(&settings).answer.width, 60);

        let dumb = Terminal { dumb: true, ..terminal() }.style(&settings);
        assert!(!dumb.answer.colour && !dumb.bars);
        let forced = Terminal { dumb: true, ..terminal() }.style(&Settings { colour: Colour::Always, ..settings });
        assert!(forced.answer.colour);
    }
}
