//! Plain text made fit for a page: display width, wrapping, colour, and the escaping of characters that would act on a
//! terminal. Nothing here knows events.

use console::measure_text_width;

/// What a piece of text means; colour is added to it, never instead of words or symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it is.
    Plain,
    /// A title or a name.
    Strong,
    /// Beside the point: places, reasons, durations.
    Faint,
    /// Done, in sync, an added line.
    Good,
    /// Failed, refused, a removed line.
    Bad,
    /// Changed, guarded.
    Warning,
    /// Where a diff is cut into hunks.
    Hunk,
}

/// What is written on: its width in terminal cells, and whether it takes colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paper {
    /// Whether to add ANSI colours.
    pub colour: bool,
    /// Cells to a line; below `NARROWEST` it is taken as that.
    pub width: usize,
}

/// Narrower than this no line is made: it would be one word each.
pub(super) const NARROWEST: usize = 40;

impl Paper {
    /// The width to write in.
    pub(super) fn cells(self) -> usize {
        self.width.max(NARROWEST)
    }

    /// `text` in the colour of `tone`.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Warning => "33",
            Tone::Hunk => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Cells that `text` takes on a terminal.
pub(super) fn cells(text: &str) -> usize {
    measure_text_width(text)
}

/// `text` with everything that could move a cursor, hide text or turn its direction written out. Tabs and line breaks
/// are written out too: only `diff` content keeps its tabs, see [`visible_line`].
pub(super) fn visible(text: &str) -> String {
    escape(text, false)
}

/// Like [`visible`], but a tab stays a tab.
pub(super) fn visible_line(text: &str) -> String {
    escape(text, true)
}

fn escape(text: &str, tabs: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' if tabs => out.push(c),
            c if c.is_control() || turns_or_hides(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Zero-width and direction characters, which make a line read otherwise than it is.
fn turns_or_hides(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A space at which no line is broken.
const UNBROKEN: char = '\u{a0}';

/// `text` with spaces at which [`wrap`] does not break.
pub(super) fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// `text` in lines of at most `width` cells, broken at white space, or anywhere where a word alone is wider.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() && c != UNBROKEN).filter(|w| !w.is_empty()).map(visible) {
        for piece in pieces(&word, width) {
            let joined = if line.is_empty() { piece.clone() } else { format!("{line} {piece}") };
            if cells(&joined) <= width {
                line = joined;
            } else {
                lines.push(std::mem::replace(&mut line, piece));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines.iter().map(|line| line.replace(UNBROKEN, " ")).collect()
}

/// Prose in lines of at most `width` cells; what stands between backticks is not broken. Blank lines before it stay.
pub fn prose(text: &str, width: usize) -> String {
    let words = text.trim_start_matches('\n');
    let parts = words.split('`').enumerate();
    let whole: Vec<String> =
        parts.map(|(number, part)| if number % 2 == 1 { unbroken(part) } else { part.to_owned() }).collect();
    text[..text.len() - words.len()].to_owned() + &wrap(&whole.join("`"), width).join("\n")
}

/// A word cut where it is wider than a line. What must stay unbroken is left to the terminal: a command that is copied
/// from it must come out whole.
fn pieces(word: &str, width: usize) -> Vec<String> {
    if cells(word) <= width || word.starts_with("`bedplate") {
        return vec![word.to_owned()];
    }
    let mut pieces = vec![String::new()];
    for c in word.chars() {
        let last = pieces.len() - 1;
        pieces[last].push(c);
        if cells(&pieces[last]) > width {
            pieces[last].pop();
            pieces.push(c.to_string());
        }
    }
    pieces
}

/// `text` wrapped behind `label`, which stands on the first line only; the rest is indented as far as the label is wide.
pub(super) fn labelled(label: &str, text: &str, width: usize) -> Vec<String> {
    let indent = cells(label);
    let mut lines: Vec<String> = wrap(text, width.saturating_sub(indent))
        .into_iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { format!("{label}{line}") } else { format!("{:indent$}{line}", "") })
        .collect();
    if lines.is_empty() {
        lines.push(label.trim_end().to_owned());
    }
    lines
}

/// `text` wrapped behind a sign: `name` strong, `sign` in its tone, both on the first line only.
pub(super) fn signed(name: &str, sign: (&str, Tone), gap: &str, text: &str, paper: Paper) -> Vec<String> {
    let label = format!("{name}{}{gap}", sign.0);
    let mut lines = labelled(&label, text, paper.cells());
    if let Some(rest) = lines[0].strip_prefix(&label) {
        lines[0] = format!("{}{}{gap}{rest}", paper.paint(Tone::Strong, name), paper.paint(sign.1, sign.0));
    }
    lines
}

/// `text` filled with spaces up to `width` cells.
pub(super) fn pad(text: &str, width: usize) -> String {
    format!("{text}{:1$}", "", width.saturating_sub(cells(text)))
}

/// `text` shortened to `width` cells, its end kept when `keep_end` (for places), else its begin.
pub(super) fn shorten(text: &str, width: usize, keep_end: bool) -> String {
    if cells(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let chars: Vec<char> = if keep_end { text.chars().rev().collect() } else { text.chars().collect() };
    for c in chars {
        kept.push(c);
        if cells(&kept) + 1 > width {
            kept.pop();
            break;
        }
    }
    if keep_end { format!("…{}", kept.chars().rev().collect::<String>()) } else { format!("{kept}…") }
}

/// A duration for people: `12 ms`, `0.4 s`, `14.2 s`, `2 min 05 s`, `1 h 02 min`.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 if ms < 100 => format!("{ms} ms"),
        0..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `1 task`, `2 tasks`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_reaches_the_terminal_that_could_act_on_it() {
        assert_eq!(visible("a\u{1b}[31mb\r\n\u{202e}x\tä漢"), "a\\u{1b}[31mb\\r\\n\\u{202e}x\\tä漢");
        assert_eq!(visible_line("\tx"), "\tx");
    }

    #[test]
    fn durations_read_like_speech() {
        let told: Vec<String> = [12, 420, 14_290, 59_999, 125_000, 3_725_000].into_iter().map(duration).collect();
        assert_eq!(told, ["12 ms", "0.4 s", "14.2 s", "59.9 s", "2 min 05 s", "1 h 02 min"]);
    }

    #[test]
    fn shortening_keeps_the_end_that_matters() {
        assert_eq!(shorten("playbooks/base.toml:12", 14, true), "…/base.toml:12");
        assert_eq!(shorten("a long name", 6, false), "a lon…");
        assert_eq!(shorten("漢字漢字", 5, false), "漢字…");
    }

    #[test]
    fn prose_breaks_between_words_and_never_within_a_command() {
        let text = "\nMoved to 10.0.0.7. Delete it when you are sure; until then `bedplate migrate a --to b --abort` goes back.";
        let told = prose(text, 40);
        assert_eq!(
            told,
            "\nMoved to 10.0.0.7. Delete it when you\nare sure; until then\n`bedplate migrate a --to b --abort` goes\nback."
        );
        assert_eq!(prose("", 40), "");
    }

    #[test]
    fn colour_is_only_added_where_it_may_be() {
        let plain = Paper { colour: false, width: 80 };
        let colour = Paper { colour: true, ..plain };
        assert_eq!(plain.paint(Tone::Bad, "x"), "x");
        assert_eq!(colour.paint(Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(colour.paint(Tone::Plain, "x"), "x");
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_word_and_the_width(text in "\\PC{0,60}", width in 8usize..60) {
            prop_assume!(!text.contains("`bedplate"));
            let lines = wrap(&text, width);
            for line in &lines {
                prop_assert!(cells(line) <= width, "{line:?}");
            }
            let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let whole: String = visible(&text.split_whitespace().collect::<String>());
            prop_assert_eq!(squeezed(&lines.concat()), squeezed(&whole));
        }

        #[test]
        fn shortening_never_exceeds(text in "\\PC{0,40}", width in 2usize..40, end: bool) {
            prop_assert!(cells(&shorten(&text, width, end)) <= width);
        }
    }
}
