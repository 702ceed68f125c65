//! The little of ERB that a deploy.yml may use here: `<%= ENV["X"] %>` and `<%= ENV.fetch("X", "default") %>`. Nothing
//! of Ruby is ever run. What else stands between `<%` and `%>` makes a value unknown; what stands between the two ends
//! of a block depends on Ruby and is left out.

use std::collections::BTreeMap;
use std::ops::Range;

/// Stands around the number of a tag whose value is not known, in the text that YAML is read from.
const OPEN: char = '\u{f8fe}';
const CLOSE: char = '\u{f8ff}';

/// A tag that is not worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Riddle {
    /// Where it stands in the file.
    pub(super) range: Range<usize>,
    /// Why its value is not known, as a phrase.
    pub(super) why: String,
}

/// What ERB makes of a file, as far as that can be said.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    /// The text for YAML.
    pub(super) text: String,
    /// Tags without a value; the text has [`OPEN`], their number and [`CLOSE`] in their place.
    pub(super) riddles: Vec<Riddle>,
    /// What is left out, as it depends on Ruby.
    pub(super) left_out: Vec<Range<usize>>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    at: usize,
    from: Range<usize>,
    verbatim: bool,
}

impl Rendered {
    /// Where the byte `offset` of the text comes from in the file.
    fn origin(&self, offset: usize, end: bool) -> usize {
        let after = self.pieces.partition_point(|piece| piece.at < offset + usize::from(!end));
        let Some(piece) = after.checked_sub(1).and_then(|index| self.pieces.get(index)) else { return 0 };
        match (piece.verbatim, end) {
            (true, _) => (piece.from.start + (offset - piece.at)).min(piece.from.end),
            (false, true) => piece.from.end,
            (false, false) => piece.from.start,
        }
    }

    /// Where a range of the text comes from.
    pub(super) fn place(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.origin(range.start, false);
        start..self.origin(range.end, true).max(start)
    }

    /// The first tag without a value in `text`, which is of the text for YAML.
    pub(super) fn riddle(&self, text: &str) -> Option<&Riddle> {
        let (_, rest) = text.split_once(OPEN)?;
        let (number, _) = rest.split_once(CLOSE)?;
        self.riddles.get(number.parse::<usize>().ok()?)
    }

    fn copy(&mut self, source: &str, range: Range<usize>) {
        if !range.is_empty() {
            self.pieces.push(Piece { at: self.text.len(), from: range.clone(), verbatim: true });
            self.text.push_str(&source[range]);
        }
    }

    fn put(&mut self, text: &str, range: Range<usize>) {
        self.pieces.push(Piece { at: self.text.len(), from: range, verbatim: false });
        self.text.push_str(text);
    }

    fn ask(&mut self, range: Range<usize>, why: String, blank: bool) {
        let token = if blank { String::new() } else { format!("{OPEN}{}{CLOSE}", self.riddles.len()) };
        self.put(&token, range.clone());
        self.riddles.push(Riddle { range, why });
    }
}

/// What `source` comes to with this environment. `blank_lines`: a tag without a value that is alone on its line leaves
/// nothing, for files in which it stands for whole keys.
pub(super) fn render(source: &str, env: &BTreeMap<String, String>, blank_lines: bool) -> Rendered {
    let mut rendered = Rendered::default();
    let mut at = 0;
    let mut block: Option<usize> = None;
    let mut depth = 0_usize;
    while let Some(open) = source[at..].find("<%").map(|found| found + at) {
        if block.is_none() {
            rendered.copy(source, at..open);
        }
        if source[open..].starts_with("<%%") {
            if block.is_none() {
                rendered.put("<%", open..open + 3);
            }
            at = open + 3;
            continue;
        }
        let Some(close) = source[open..].find("%>").map(|found| found + open) else {
            // Ruby would refuse the file; nothing of the rest can be trusted.
            rendered.left_out.push(block.unwrap_or(open)..source.len());
            return rendered;
        };
        let range = open..close + 2;
        let tag = Tag::read(&source[open + 2..close]);
        at = range.end;
        if tag.trims && source[at..].starts_with('\n') {
            at += 1;
        }
        if tag.closes() && depth > 0 {
            depth -= 1;
            if depth == 0
                && let Some(start) = block.take()
            {
                rendered.put(&newlines(&source[start..range.end]), start..range.end);
                rendered.left_out.push(start..range.end);
            }
        } else if tag.opens() {
            depth += 1;
            block.get_or_insert(open);
        } else if block.is_none() {
            let alone = blank_lines && alone(source, &range);
            tag.render(&mut rendered, range, env, alone);
        }
    }
    match block {
        Some(start) => rendered.left_out.push(start..source.len()),
        None => rendered.copy(source, at..source.len()),
    }
    rendered
}

fn newlines(text: &str) -> String {
    text.chars().filter(|c| *c == '\n').collect()
}

fn alone(source: &str, range: &Range<usize>) -> bool {
    let before = source[..range.start].rsplit('\n').next().unwrap_or_default();
    let after = source[range.end..].split('\n').next().unwrap_or_default();
    before.trim().is_empty() && after.trim().is_empty()
}

struct Tag<'a> {
    code: &'a str,
    output: bool,
    comment: bool,
    trims: bool,
}

impl<'a> Tag<'a> {
    fn read(inside: &'a str) -> Self {
        let (inside, trims) = inside.strip_suffix('-').map_or((inside, false), |inside| (inside, true));
        let (code, output) = inside.strip_prefix('=').map_or((inside, false), |code| (code, true));
        let code = code.strip_prefix('-').unwrap_or(code).trim();
        Self { code, output, comment: inside.starts_with('#'), trims }
    }

    fn first_word(&self) -> &str {
        self.code.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default()
    }

    fn opens(&self) -> bool {
        if self.comment || self.code.ends_with("end") {
            return false;
        }
        let keyword =
            !self.output && matches!(self.first_word(), "if" | "unless" | "case" | "while" | "until" | "for" | "begin");
        let head =
            self.code.strip_suffix('|').and_then(|head| head.rsplit_once('|')).map_or(self.code, |(head, _)| head);
        let head = head.trim_end();
        keyword || head.ends_with('{') || head == "do" || head.ends_with(" do")
    }

    fn closes(&self) -> bool {
        !self.comment && !self.output && (self.first_word() == "end" || self.code.starts_with('}'))
    }

    fn render(&self, rendered: &mut Rendered, range: Range<usize>, env: &BTreeMap<String, String>, blank: bool) {
        if self.comment || !self.output {
            return rendered.put("", range);
        }
        match variable(self.code) {
            Some((name, default)) => match (env.get(name), default) {
                (Some(value), _) => rendered.put(value, range),
                (None, Default::Nothing) => rendered.put("", range),
                (None, Default::Text(text)) => rendered.put(text, range),
                (None, Default::Required) => {
                    rendered.ask(range, format!("{name} is not set in the environment"), blank);
                }
            },
            None => rendered.ask(range, "unknown (ERB): bedplate never runs Ruby".to_owned(), blank),
        }
    }
}

enum Default<'a> {
    Nothing,
    Required,
    Text(&'a str),
}

/// The variable that `code` reads, and what it is without one.
fn variable(code: &str) -> Option<(&str, Default<'_>)> {
    let rest = code.strip_prefix("ENV")?;
    if let Some(inside) = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (name, rest) = literal(inside.trim())?;
        return rest.is_empty().then_some((name, Default::Nothing));
    }
    let inside = rest.strip_prefix(".fetch")?.trim_start().strip_prefix('(')?.strip_suffix(')')?;
    let (name, rest) = literal(inside.trim())?;
    if rest.is_empty() {
        return Some((name, Default::Required));
    }
    let (default, rest) = literal(rest.strip_prefix(',')?.trim())?;
    rest.is_empty().then_some((name, Default::Text(default)))
}

/// A string literal without escapes or interpolation, and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (inside, rest) = text[1..].split_once(quote)?;
    (!inside.contains(['\\', '#'])).then_some((inside, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        BTreeMap::from([("HOST".to_owned(), "203.0.113.5".to_owned())])
    }

    fn text(source: &str) -> String {
        render(source, &environment(), false).text
    }

    #[test]
    fn only_the_environment_is_read() {
        assert_eq!(text("a: <%= ENV[\"HOST\"] %>\n"), "a: 203.0.113.5\n");
        assert_eq!(text("a: <%=ENV.fetch('HOST')-%>\nb: 1"), "a: 203.0.113.5b: 1");
        assert_eq!(text("a: <%= ENV.fetch(\"NONE\", \"x y\") %>"), "a: x y");
        assert_eq!(text("a: <%= ENV['NONE'] %>"), "a: ");
        assert_eq!(text("a: <%# note %>b <%% c"), "a: b <% c");
    }

    #[test]
    fn the_rest_is_unknown_with_its_place() {
        for source in [
            "a: <%= `hostname` %>",
            "a: <%= ENV.fetch(\"NONE\") %>",
            "a: <%= ENV[\"HOST\"].upcase %>",
            "a: <%= ENV.fetch(\"H\") { 1 } %>",
            "a: <%= ENV[\"#{x}\"] %>",
        ] {
            let rendered = render(source, &environment(), false);
            let riddle = rendered.riddle(&rendered.text).unwrap_or_else(|| panic!("{source}: {}", rendered.text));
            assert_eq!(riddle.range, 3..source.len(), "{source}");
        }
    }

    #[test]
    fn what_depends_on_ruby_is_left_out() {
        let source = "a: 1\n<% if x %>\nb: 2\n<% else %>\nb: 3\n<% end %>\nc: 4\n";
        let rendered = render(source, &environment(), false);
        assert_eq!(rendered.text.replace('\n', ""), "a: 1c: 4");
        assert_eq!(rendered.text.lines().count(), source.lines().count());
        assert_eq!(&source[rendered.left_out[0].clone()], "<% if x %>\nb: 2\n<% else %>\nb: 3\n<% end %>");
        assert_eq!(text("<% 3.times do |n| %>x<% end %>y"), "y");
        assert_eq!(text("a<% if x %>b"), "a");
    }

    #[test]
    fn places_lead_back_to_the_file() {
        let source = "a: <%= ENV[\"HOST\"] %> # ä\nb: 2";
        let rendered = render(source, &environment(), false);
        let value = rendered.text.find("203").unwrap();
        assert_eq!(&source[rendered.place(&(value..value + 11))], "<%= ENV[\"HOST\"] %>");
        let b = rendered.text.find("b:").unwrap();
        assert_eq!(&source[rendered.place(&(b..b + 1))], "b");
    }
}
