//! What is wrong in a template, in words that tell what to do, and at the place where it can be mended.

use std::ops::Range;

use minijinja::{Error, ErrorKind};

use crate::base::diagnostic::nearest;

/// What is wrong in a template, by its place in the template's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// A lower-case phrase.
    pub message: String,
    /// Bytes in the template's text.
    pub range: Range<usize>,
    /// One thing to do.
    pub help: Option<String>,
    /// The undefined path as written, such as `item.nmae`, when that is what is wrong.
    pub undefined: Option<String>,
}

/// The filters that people use; the engine can not list its own.
const FILTERS: [&str; 44] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "count",
    "default",
    "dictsort",
    "escape",
    "first",
    "float",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "zip",
];

/// The tests that people use behind `is`.
const TESTS: [&str; 20] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "false",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
];

/// The undefined value at `range`.
pub(super) fn undefined(text: &str, range: Range<usize>) -> Slip {
    let blamed = text.get(range.clone()).unwrap_or("");
    let start = range.start + blamed.len() - blamed.trim_start().len();
    let path = blamed.trim().to_owned();
    let range = start..start + path.len();
    Slip { message: format!("`{path}` is not defined"), range, help: None, undefined: Some(path) }
}

/// The engine's error about `text`, a bare expression or a template.
pub(super) fn slip(error: &Error, text: &str, expression: bool) -> Slip {
    let range = error.range().filter(|range| range.end <= text.len()).unwrap_or(0..text.len());
    let detail = error.detail().unwrap_or_default();
    let made = |message: String, range: Range<usize>, help: String| Slip {
        message,
        range,
        help: Some(help).filter(|help| !help.is_empty()),
        undefined: None,
    };
    match error.kind() {
        ErrorKind::UndefinedError => undefined(text, range),
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
            made("a template can not include another".into(), range, "write its text here".into())
        }
        ErrorKind::SyntaxError => syntax(detail, text, range, expression),
        kind @ (ErrorKind::UnknownFilter | ErrorKind::UnknownTest) => {
            let (what, known) = match kind {
                ErrorKind::UnknownFilter => ("filter", &FILTERS[..]),
                _ => ("test", &TESTS[..]),
            };
            let word = detail.strip_suffix(" is unknown").and_then(|rest| rest.rsplit(' ').next()).unwrap_or(detail);
            let help = match nearest(word, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{what}s: {}", known.join(", ")),
            };
            made(format!("unknown {what} `{word}`"), range, help)
        }
        kind @ (ErrorKind::UnknownFunction | ErrorKind::UnknownMethod) => {
            let help = "https://jinja.palletsprojects.com/templates lists what there is";
            made(format!("{kind}: {detail}"), range, help.into())
        }
        kind => {
            let types = if detail.contains("unsupported types") {
                "make them of one type, with `| int` or `| string`"
            } else {
                "look at the values that it reads"
            };
            let message = if detail.is_empty() { kind.to_string() } else { detail.to_owned() };
            made(message, range, types.into())
        }
    }
}

fn syntax(detail: &str, text: &str, range: Range<usize>, expression: bool) -> Slip {
    let made = |message: &str, range, help: &str| Slip {
        message: message.to_owned(),
        range,
        help: Some(help.to_owned()),
        undefined: None,
    };
    if expression {
        let at = range.start;
        let assigned = text[..at].ends_with('=') || text[at..].starts_with('=');
        return match assigned && !text[..at].ends_with("==") {
            true => made("`=` does not compare", range, "write `==`"),
            false => made(&format!("this is not an expression: {detail}"), range, "such as `name == 'value'`"),
        };
    }
    if detail.contains("end of input") || detail.contains("unexpected end") {
        if let Some((at, word)) = open_block(text) {
            let end = text[at..].find("%}").map_or(text.len(), |length| at + length + 2);
            return made(
                &format!("this `{word}` is not closed"),
                at..end,
                &format!("close it with `{{% end{word} %}}`"),
            );
        }
        let opening = ["{{", "{%", "{#"].into_iter().filter_map(|mark| text.rfind(mark).map(|at| (at, mark))).max();
        if let Some((at, mark)) = opening {
            let close = match mark {
                "{{" => "}}",
                "{%" => "%}",
                _ => "#}",
            };
            let line = text[at..].find('\n').map_or(text.len(), |length| at + length);
            return made(&format!("this `{mark}` is not closed"), at..line, &format!("close it with `{close}`"));
        }
    }
    let help = "such as `{{ value }}` or `{% if condition %}…{% endif %}`; plain braces are `{{ '{{' }}`";
    made(&format!("this is not a template: {detail}"), range, help)
}

/// The innermost block that is not closed, and its word.
fn open_block(text: &str) -> Option<(usize, &str)> {
    const BLOCKS: [&str; 8] = ["if", "for", "filter", "with", "macro", "call", "block", "raw"];
    let mut open = Vec::new();
    for (at, _) in text.match_indices("{%") {
        let tag = text[at + 2..].trim_start_matches(['-', '+', ' ']);
        let word = tag.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if BLOCKS.contains(&word) && tag.contains("%}") {
            open.push((at, word));
        } else if word.starts_with("end") {
            open.pop();
        }
    }
    open.pop()
}

#[cfg(test)]
mod tests {
    use super::super::render;
    use super::*;

    fn told(text: &str) -> String {
        let context = std::collections::BTreeMap::new();
        render::evaluate(text, &context).map(|value| value.to_string()).unwrap_or_else(|slip| slip.message)
    }

    #[test]
    fn what_is_offered_is_there() {
        for filter in FILTERS {
            assert!(!told(&format!("'a' | {filter}")).starts_with("unknown"), "{filter}");
        }
        for test in TESTS {
            let (plain, with) = (told(&format!("'a' is {test}")), told(&format!("'a' is {test}('a')")));
            assert!(!plain.starts_with("unknown") && !with.starts_with("unknown"), "{test}: {plain}, {with}");
        }
        assert_eq!(told("'a' | shout"), "unknown filter `shout`");
        assert_eq!(told("'a' is loud"), "unknown test `loud`");
    }

    #[test]
    fn an_open_block_is_found_behind_closed_ones() {
        let text = "{% for a in b %}{% if a %}{% endif %}\n{%- if c -%} {% set x = 1 %}";
        assert_eq!(open_block(text), Some((38, "if")));
        assert_eq!(open_block("{% if a %}{% endif %}"), None);
        assert_eq!(open_block("{% if a"), None);
    }
}
