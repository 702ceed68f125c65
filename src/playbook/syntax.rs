//! What the TOML reader says about a slip, in words that tell what to do. It knows nothing of what a file is for.

use std::ops::Range;
use std::sync::Arc;

use crate::base::{Diagnostic, Source, Span};

/// The reader's phrase, what to say in its place, what to do.
const KNOWN: [(&str, &str, &str); 18] = [
    ("unexpected `=` in array", "the list above is not closed", "close it with `]`"),
    (
        "invalid basic string",
        "this text is not closed, or holds what it can not",
        "close it with `\"`; write `\\\\` for a backslash",
    ),
    ("invalid literal string", "this text is not closed", "close it with `'`"),
    ("invalid multi-line basic string", "this text is not closed", "close it with `\"\"\"`"),
    ("invalid multi-line literal string", "this text is not closed", "close it with `'''`"),
    (
        "missing escaped value",
        "`\\` begins nothing that is known here",
        "write `\\\\` for a backslash, or put the text in `'`",
    ),
    ("string values must be quoted", "a text needs quotes", "put it in quotes: `\"text\"`"),
    ("unclosed array table", "the brackets are not closed", "close them with `]]`"),
    ("unclosed array", "the list is not closed", "close it with `]`"),
    ("unclosed inline table", "the table is not closed", "close it with `}`"),
    ("unclosed table", "the bracket is not closed", "close it with `]`"),
    ("key with no value", "this key has no value", "write `key = value`"),
    ("missing value", "there is no value", "write one behind the `=`, or leave the line out"),
    ("missing comma", "a comma is missing", "put `,` between the values"),
    ("extra comma", "a comma too many", "leave it out"),
    ("missing assignment", "there is no `=` between the key and its value", "write `key = value`"),
    ("unexpected leading zero", "a number can not begin with `0`", "put it in quotes, such as \"0644\""),
    ("unquoted keys cannot be empty", "there is no key before the `=`", "write `key = value`"),
];

/// The mistake that the reader found at `range`.
pub(super) fn told(source: &Arc<Source>, message: &str, range: Range<usize>) -> Diagnostic {
    let error =
        |text: String, help: String| Diagnostic::error(text).at(Span::new(source, range.clone()), "").help(help);
    let blamed = source.text.get(range.clone()).unwrap_or_default().trim();
    if message.starts_with("string values must be quoted") && blamed.is_empty() {
        return told(source, "missing value", range);
    }
    if message.starts_with("duplicate key") {
        return error(format!("`{blamed}` is set twice"), "leave one of the two out".into());
    }
    match KNOWN.iter().find(|(theirs, ..)| message.starts_with(theirs)) {
        Some((_, ours, help)) => error((*ours).to_owned(), (*help).to_owned()),
        None => error(phrase(message), "this file is TOML: see https://toml.io".into()),
    }
}

/// A first word in lower case, as all messages begin.
pub(super) fn phrase(message: &str) -> String {
    let mut letters = message.chars();
    match letters.next() {
        Some(first) => format!("{}{}", first.to_lowercase(), letters.as_str()),
        None => "this is not TOML".into(),
    }
}
