//! A diff as lines, without paper or colour: what the terminal and the page draw alike.

use similar::{ChangeTag, TextDiff};

use crate::base::Diff;

use super::ink::{cells, visible, visible_line};

/// What a line of a diff is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `@@ -1,3 +1,4 @@`, or a word about the whole.
    Hunk,
    /// Stays.
    Context,
    /// Comes.
    Added,
    /// Goes.
    Removed,
}

/// One line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// What it is.
    pub kind: Kind,
    /// Its text without the sign, with controls written out.
    pub text: String,
}

impl Line {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The sign that tells what the line is without colour.
    pub(super) fn sign(&self) -> &'static str {
        match self.kind {
            Kind::Hunk => "",
            Kind::Context => " ",
            Kind::Added => "+",
            Kind::Removed => "-",
        }
    }
}

/// Whether a diff brings something new, takes something away, or alters it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Nothing was there.
    Creates,
    /// Nothing will be there.
    Removes,
    /// Something else will be there.
    Alters,
}

/// The direction of a diff.
pub(super) fn direction(diff: &Diff) -> Direction {
    let (before, after) = match diff {
        Diff::Text { before, after, .. } | Diff::Value { before, after, .. } => (before.is_some(), after.is_some()),
        Diff::Opaque { before, after, .. } => (before.is_some(), after.is_some()),
        Diff::Set { minus, plus, .. } => (!minus.is_empty(), !plus.is_empty()),
    };
    match (before, after) {
        (false, true) => Direction::Creates,
        (true, false) => Direction::Removes,
        _ => Direction::Alters,
    }
}

/// What the diff is of: a path, a setting.
pub(super) fn subject(diff: &Diff) -> &str {
    match diff {
        Diff::Text { path, .. } => path,
        Diff::Opaque { what, .. } | Diff::Value { what, .. } | Diff::Set { what, .. } => what,
    }
}

/// Whether the summary names all that comes, and nothing goes: "install git, curl" needs no list of the two.
pub(super) fn is_said(diff: &Diff, summary: &str) -> bool {
    let Diff::Set { minus, plus, .. } = diff else { return false };
    let words: Vec<&str> = summary.split([' ', ',']).collect();
    minus.is_empty() && plus.iter().all(|member| words.contains(&member.as_str()))
}

/// `before → after` where that fits into `width` cells on one line; only for what is a single value.
pub(super) fn one_line(diff: &Diff, width: usize) -> Option<String> {
    let text = match diff {
        Diff::Value { before, after, .. } => {
            let said = |value: &Option<String>| value.as_deref().map_or("(none)".to_owned(), visible);
            format!("{} → {}", said(before), said(after))
        }
        Diff::Opaque { before, after, .. } => match (before, after) {
            (Some(before), Some(after)) => format!("sha256 {} → {} (not shown)", before.short(), after.short()),
            (None, Some(after)) => format!("sha256 {} (new, not shown)", after.short()),
            (Some(before), None) => format!("sha256 {} (goes, not shown)", before.short()),
            (None, None) => "(not shown)".to_owned(),
        },
        Diff::Text { .. } | Diff::Set { .. } => return None,
    };
    (cells(&text) <= width).then_some(text)
}

/// The diff in lines, with `context` unchanged lines round each change of a text.
pub(super) fn lines(diff: &Diff, context: usize) -> Vec<Line> {
    match diff {
        Diff::Text { before, after, .. } => text_lines(before.as_deref(), after.as_deref(), context),
        Diff::Set { minus, plus, .. } => {
            let minus = minus.iter().map(|member| Line::new(Kind::Removed, visible(member)));
            minus.chain(plus.iter().map(|member| Line::new(Kind::Added, visible(member)))).collect()
        }
        Diff::Value { before, after, .. } => {
            let side = |kind, value: &Option<String>| {
                value.iter().flat_map(|v| v.lines()).map(|l| Line::new(kind, visible_line(l))).collect::<Vec<_>>()
            };
            [side(Kind::Removed, before), side(Kind::Added, after)].concat()
        }
        Diff::Opaque { .. } => one_line(diff, usize::MAX).into_iter().map(|text| Line::new(Kind::Hunk, text)).collect(),
    }
}

fn text_lines(before: Option<&str>, after: Option<&str>, context: usize) -> Vec<Line> {
    let diff = TextDiff::from_lines(before.unwrap_or(""), after.unwrap_or(""));
    let mut unified = diff.unified_diff();
    unified.context_radius(context);
    let mut lines = Vec::new();
    for hunk in unified.iter_hunks() {
        // A file that comes or goes is one hunk: its header would only count lines.
        if before.is_some() && after.is_some() {
            lines.push(Line::new(Kind::Hunk, hunk.header().to_string()));
        }
        for change in hunk.iter_changes() {
            let kind = match change.tag() {
                ChangeTag::Equal => Kind::Context,
                ChangeTag::Insert => Kind::Added,
                ChangeTag::Delete => Kind::Removed,
            };
            let text = change.value();
            lines.push(Line::new(kind, visible_line(text.strip_suffix('\n').unwrap_or(text))));
            if change.missing_newline() {
                lines.push(Line::new(Kind::Hunk, "\\ no newline at the end"));
            }
        }
    }
    if lines.is_empty() {
        let word = match (before, after) {
            (None, Some(_)) => "(new, empty)",
            (Some(_), None) => "(goes, was empty)",
            _ => "(same text)",
        };
        lines.push(Line::new(Kind::Hunk, word));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    fn drawn(diff: &Diff) -> String {
        lines(diff, 1).iter().map(|l| format!("{}{}\n", l.sign(), l.text)).collect()
    }

    fn text(before: Option<&str>, after: Option<&str>) -> Diff {
        Diff::Text { path: "/f".into(), before: before.map(Into::into), after: after.map(Into::into) }
    }

    #[test]
    fn a_text_has_context_and_hunks() {
        let diff = text(Some("a\nb\nc\nd\ne\nf\n"), Some("a\nB\nc\nd\ne\nf\ng"));
        assert_eq!(drawn(&diff), "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -6 +6,2 @@\n f\n+g\n\\ no newline at the end\n");
    }

    #[test]
    fn files_that_come_and_go_are_whole() {
        assert_eq!(drawn(&text(None, Some("a\n\tb\u{1b}\r\n"))), "+a\n+\tb\\u{1b}\\r\n");
        assert_eq!(drawn(&text(Some("a\n"), None)), "-a\n");
        assert_eq!(drawn(&text(None, Some(""))), "(new, empty)\n");
        assert_eq!(direction(&text(None, Some(""))), Direction::Creates);
        assert_eq!(direction(&text(Some(""), None)), Direction::Removes);
    }

    #[test]
    fn a_secret_is_told_by_its_digest() {
        let diff = Diff::Opaque { what: "password".into(), before: None, after: Some(Digest::of("x")) };
        assert_eq!(drawn(&diff), "sha256 2d711642b726 (new, not shown)\n");
    }

    #[test]
    fn members_and_values_have_signs() {
        let diff = Diff::Set { what: "groups".into(), minus: vec!["sudo".into()], plus: vec!["docker".into()] };
        assert_eq!(drawn(&diff), "-sudo\n+docker\n");
        let diff = Diff::value("motd", "one\ntwo", "three");
        assert_eq!(one_line(&diff, 80).as_deref(), Some("one\\ntwo → three"));
        assert_eq!(one_line(&diff, 5), None);
        assert_eq!(drawn(&diff), "-one\n-two\n+three\n");
    }
}
