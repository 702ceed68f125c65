//! Mistakes in the user's own files, pointed at by file, line and column, and collected so that all are told at once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One text that the user wrote: a file, or a command line argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The name as the user knows it: a path relative to where bedplate was started, or "--set".
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// A source that spans can share.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// Line and column (both from 1, columns in characters) of a byte offset.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The text that is pointed into.
    pub source: Arc<Source>,
    /// Byte range in it.
    pub range: Range<usize>,
}

impl Span {
    /// The place `range` of `source`.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        Self { source: source.clone(), range }
    }

    /// `file:line:column`.
    pub fn place(&self) -> String {
        let (line, column) = self.source.place(self.range.start);
        format!("{}:{line}:{column}", self.source.name)
    }

    /// `file:line`.
    pub fn line(&self) -> String {
        format!("{}:{}", self.source.name, self.source.place(self.range.start).0)
    }
}

/// Most characters in a line of help.
const WIDTH: usize = 100;
/// What may stand before a line of help: room for line numbers of four digits, and `= help: `.
const BEFORE_HELP: usize = 14;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is contacted.
    Error,
    /// Told, and gone on.
    Warning,
}

/// One mistake: what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A lower-case phrase without a full stop.
    pub message: String,
    /// The main place and what to write under it; `None` for what has no place in a file.
    pub at: Option<(Span, String)>,
    /// Further places: the other of two tasks that fight, the first of two definitions.
    pub also: Vec<(Span, String)>,
    /// Things to do, each one line.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), at: None, also: Vec::new(), help: Vec::new() }
    }

    /// A warning without a place yet.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Points at a place, with a label to write under it (may be empty).
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.at = Some((span, label.into()));
        self
    }

    /// Points at a further place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also.push((span, label.into()));
        self
    }

    /// Adds something to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Draws the mistake with its source lines, help in lines of at most `width` cells. `colour` adds terminal colours.
    fn render_within(&self, colour: bool, width: usize) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let snippets = self.snippets();
        let mut group = if snippets.is_empty() { Group::with_title(title) } else { title.elements(snippets) };
        let help: Vec<String> = self.help.iter().map(|help| wrapped(help, width)).collect();
        for help in &help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        format!("{}\n", renderer.render(&[group]))
    }

    fn order(&self) -> Option<(&str, usize)> {
        self.at.as_ref().map(|(span, _)| (span.source.name.as_str(), span.range.start))
    }

    fn snippets(&self) -> Vec<Snippet<'_, annotate_snippets::Annotation<'_>>> {
        let marks = self.at.iter().map(|(s, l)| (AnnotationKind::Primary, s, l));
        let marks = marks.chain(self.also.iter().map(|(s, l)| (AnnotationKind::Context, s, l)));
        let mut snippets: Vec<(Arc<Source>, Snippet<'_, annotate_snippets::Annotation<'_>>)> = Vec::new();
        for (kind, span, label) in marks {
            let annotation = kind.span(clamp(&span.source.text, &span.range));
            let annotation = if label.is_empty() { annotation } else { annotation.label(label.as_str()) };
            match snippets.iter().position(|(source, _)| *source == span.source) {
                Some(index) => {
                    let (source, snippet) = snippets.swap_remove(index);
                    snippets.insert(index.min(snippets.len()), (source, snippet.annotation(annotation)));
                }
                None => {
                    let snippet = Snippet::source(span.source.text.as_str()).path(span.source.name.as_str());
                    snippets.push((span.source.clone(), snippet.annotation(annotation)));
                }
            }
        }
        snippets.into_iter().map(|(_, snippet)| snippet).collect()
    }
}

/// Long lists of names in lines of at most `width` cells, with what stands before help.
fn wrapped(text: &str, width: usize) -> String {
    let most = width.saturating_sub(BEFORE_HELP).clamp(20, WIDTH);
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 {
            let full = width + 1 + length > most;
            lines.push(if full { '\n' } else { ' ' });
            width = if full { 0 } else { width + 1 };
        }
        lines.push_str(word);
        width += length;
    }
    lines
}

/// A range that lies in the text, on character boundaries, and is never empty where the text is not.
fn clamp(text: &str, range: &Range<usize>) -> Range<usize> {
    let mut start = range.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = range.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// A one-line form, for logs and JSON.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((span, _)) = &self.at {
            write!(f, "{}: ", span.place())?;
        }
        f.write_str(&self.message)?;
        for help in &self.help {
            write!(f, " (help: {help})")?;
        }
        Ok(())
    }
}

/// Further places that are drawn of one mistake.
const MOST_PLACES: usize = 4;

/// All mistakes that were found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one at its place in the order. The same mistake at the same place is told once (a file read for two hosts
    /// is wrong once), with all the further places that show it.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same = |other: &&mut Diagnostic| {
            (other.severity, &other.message, &other.at) == (diagnostic.severity, &diagnostic.message, &diagnostic.at)
        };
        if let Some(told) = self.all.iter_mut().find(same) {
            for also in diagnostic.also {
                if told.also.len() < MOST_PLACES && !told.also.contains(&also) {
                    told.also.push(also);
                }
            }
            return;
        }
        let at = self.all.partition_point(|other| other.order() <= diagnostic.order());
        self.all.insert(at, diagnostic);
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Diagnostics) {
        for diagnostic in other.all {
            self.push(diagnostic);
        }
    }

    /// Whether any of them forbids going on.
    pub fn has_errors(&self) -> bool {
        self.all.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// By file and place, as a reader goes through the files; what has no place comes first.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.all.iter()
    }

    /// All of them drawn, one after the other.
    pub fn render(&self, colour: bool) -> String {
        self.render_within(colour, WIDTH + BEFORE_HELP)
    }

    /// The same, for a terminal of `width` cells.
    pub fn render_within(&self, colour: bool, width: usize) -> String {
        self.all.iter().map(|d| d.render_within(colour, width)).collect::<Vec<_>>().join("\n")
    }
}

/// "did you mean …": the nearest of `known` to `word`, when it is near enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1) + 1;
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_keeps_to_the_width_of_the_terminal() {
        let mut found = Diagnostics::new();
        found.push(Diagnostic::error("e").help("one of these many words ".repeat(12)));
        for width in [60, 80, 200] {
            let widest = found.render_within(false, width).lines().map(|line| line.chars().count()).max();
            assert!(widest.is_some_and(|widest| widest <= width), "{widest:?} of {width}");
        }
    }

    #[test]
    fn draws_the_line_with_the_fix() {
        let source = Source::new("playbooks/base.toml", "[[task]]\nname = \"x\"\nsysctl = { persit = false }\n");
        let start = source.text.find("persit").unwrap();
        let drawn = Diagnostic::error("unknown key `persit` in `sysctl`")
            .at(Span::new(&source, start..start + 6), "not a key of `sysctl`")
            .help("did you mean `persist`?")
            .render_within(false, 114);
        assert!(drawn.contains("error: unknown key `persit`"), "{drawn}");
        assert!(drawn.contains("playbooks/base.toml:3:12"), "{drawn}");
        assert!(drawn.contains("^^^^^^ not a key of `sysctl`"), "{drawn}");
        assert!(drawn.contains("help: did you mean `persist`?"), "{drawn}");
    }

    #[test]
    fn two_places_in_two_files_are_both_drawn() {
        let one = Source::new("a.toml", "first = 1\n");
        let other = Source::new("b.toml", "second = 2\n");
        let drawn = Diagnostic::error("two tasks fight")
            .at(Span::new(&one, 0..5), "wants 1")
            .also(Span::new(&other, 0..6), "wants 2")
            .render_within(false, 114);
        assert!(drawn.contains("a.toml:1:1") && drawn.contains("b.toml:1:1"), "{drawn}");
    }

    #[test]
    fn a_range_outside_the_text_does_not_panic() {
        let source = Source::new("x", "äö");
        for range in [0..99, 1..1, 3..4, 98..99] {
            let _ = Diagnostic::error("e").at(Span::new(&source, range), "").render_within(true, 80);
        }
        assert_eq!(source.place(99), (1, 3));
    }

    #[test]
    fn they_are_told_in_the_order_of_the_files() {
        let (one, other) = (Source::new("a.toml", "first = 1\n"), Source::new("b.toml", "second = 2\n"));
        let mut found = Diagnostics::new();
        for (source, at) in [(&other, 3), (&one, 5), (&other, 0), (&one, 5), (&one, 1)] {
            found.push(Diagnostic::error("wrong").at(Span::new(source, at..at + 1), ""));
        }
        found.push(Diagnostic::error("no host is named"));
        let places: Vec<String> = found.iter().map(|wrong| wrong.to_string()).collect();
        let wanted =
            ["no host is named", "a.toml:1:2: wrong", "a.toml:1:6: wrong", "b.toml:1:1: wrong", "b.toml:1:4: wrong"];
        assert_eq!(places, wanted);
    }

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(nearest("persit", ["key", "value", "persist"]), Some("persist"));
        assert_eq!(nearest("ufwx", ["ufw", "swap"]), Some("ufw"));
        assert_eq!(nearest("zzz", ["ufw", "swap"]), None);
    }
}
