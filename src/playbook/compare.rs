//! Comparisons of a text with a number, or of either with true or false: the template engine answers them, and never as
//! it was meant. They are told as mistakes.

use std::ops::Range;

use minijinja::value::{Value, ValueKind};

use super::slip::Slip;

/// A part of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    range: Range<usize>,
    sort: Sort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// `==`, `<` and their like.
    Comparison,
    /// What ends an operand: `and`, `is`, a comma.
    Border,
    Opening,
    Closing,
    /// A name, a literal, an operator that binds closer.
    Other,
}

const BORDERS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", ","];

/// The parts of `text`. What is no expression has odd parts, and has been told by then.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        let mut end = start + c.len_utf8();
        let mut take_while = |belongs: &mut dyn FnMut(char) -> bool| {
            while let Some((at, next)) = rest.next_if(|(_, next)| belongs(*next)) {
                end = at + next.len_utf8();
            }
            end
        };
        let sort = match c {
            c if c.is_whitespace() => continue,
            '\'' | '"' => {
                let (mut escaped, mut closed) = (false, false);
                take_while(&mut |next| {
                    let inside = !closed;
                    closed |= next == c && !escaped;
                    escaped = next == '\\' && !escaped;
                    inside
                });
                Sort::Other
            }
            '=' | '!' | '<' | '>' => {
                let end = take_while(&mut |next| next == '=');
                if matches!(&text[start..end], "=" | "!") { Sort::Other } else { Sort::Comparison }
            }
            '(' | '[' | '{' => Sort::Opening,
            ')' | ']' | '}' => Sort::Closing,
            c if c.is_alphanumeric() || c == '_' => {
                take_while(&mut |next| next.is_alphanumeric() || next == '_');
                Sort::Other
            }
            _ => Sort::Other,
        };
        let word = &text[start..end];
        // A key may be called like a word of the language: `item.in`.
        let key = text[..start].ends_with('.');
        let sort = if BORDERS.contains(&word) && !key { Sort::Border } else { sort };
        tokens.push(Token { range: start..end, sort });
    }
    tokens
}

/// The operand that begins with the first of `tokens`, outwards from a comparison.
fn operand<'a>(tokens: impl Iterator<Item = &'a Token>, inner: Sort) -> Option<Range<usize>> {
    let mut depth = 0_usize;
    let mut whole: Option<Range<usize>> = None;
    for token in tokens {
        match token.sort {
            Sort::Comparison | Sort::Border if depth == 0 => break,
            sort @ (Sort::Opening | Sort::Closing) if sort == inner => depth += 1,
            Sort::Opening | Sort::Closing if depth == 0 => break,
            Sort::Opening | Sort::Closing => depth -= 1,
            _ => {}
        }
        whole = Some(match whole {
            None => token.range.clone(),
            Some(whole) => whole.start.min(token.range.start)..whole.end.max(token.range.end),
        });
    }
    whole
}

/// What a value is, where comparing it with another sort is a mistake.
fn sort_of(value: &Value) -> Option<&'static str> {
    match value.kind() {
        ValueKind::String => Some("a string"),
        ValueKind::Number => Some("a number"),
        ValueKind::Bool => Some("true or false"),
        _ => None,
    }
}

/// The first comparison in the bare expression `text` whose sides can not be compared; `value` works one side out.
pub(super) fn unlike(text: &str, value: impl Fn(&str) -> Option<Value>) -> Option<Slip> {
    let tokens = tokens(text);
    // `x is number and x > 5` knows what it does.
    let asked = |side: &str| text.contains(&format!("{side} is "));
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.sort == Sort::Comparison) {
        let left = operand(tokens[..at].iter().rev(), Sort::Closing);
        let right = operand(tokens[at + 1..].iter(), Sort::Opening);
        let (Some(left), Some(right)) = (left, right) else { continue };
        let sides = [&text[left.clone()], &text[right.clone()]];
        let [Some(one), Some(other)] = sides.map(|side| value(side).filter(|_| !asked(side))) else { continue };
        if let (Some(first), Some(second)) = (sort_of(&one), sort_of(&other))
            && first != second
        {
            let message = format!("`{}` is {first} and `{}` is {second}: they can not be compared", sides[0], sides[1]);
            let help = help(sides, &text[token.range.clone()], [&one, &other]);
            return Some(Slip { message, range: left.start..right.end, help, undefined: None });
        }
    }
    None
}

/// How it was meant, as far as that can be said.
fn help(sides: [&str; 2], operator: &str, values: [&Value; 2]) -> Option<String> {
    let quoted = |side: &str| side.starts_with(['\'', '"']);
    let literal = |side: &str| quoted(side) || side.chars().all(|c| c.is_ascii_digit() || c == '.');
    let write = |at: usize, new: String| {
        let sides = if at == 0 { [new, sides[1].to_owned()] } else { [sides[0].to_owned(), new] };
        Some(format!("write `{} {operator} {}`", sides[0], sides[1]))
    };
    let both = [(sides[0], values[0], values[1]), (sides[1], values[1], values[0])];
    for (at, (side, value, other)) in both.into_iter().enumerate() {
        match value.as_str() {
            Some(text) if quoted(side) && other.is_number() && text.parse::<f64>().is_ok() => {
                return write(at, text.to_owned());
            }
            Some(text @ ("true" | "false")) if quoted(side) => return write(at, text.to_owned()),
            None if literal(side) && other.as_str().is_some() && ["==", "!="].contains(&operator) => {
                return write(at, format!("'{side}'"));
            }
            _ => {}
        }
    }
    let text =
        both.iter().position(|(side, value, other)| !literal(side) && value.as_str().is_some() && other.is_number());
    text.and_then(|at| write(at, format!("{} | int", sides[at])))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::playbook::render;

    fn context() -> BTreeMap<String, Value> {
        let facts = BTreeMap::from([("memory_mb", Value::from(2048)), ("version", Value::from("24.04"))]);
        let facts: BTreeMap<String, Value> = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        BTreeMap::from([
            ("facts".to_owned(), Value::from(facts)),
            ("size".to_owned(), Value::from("12")),
            ("firewall".to_owned(), Value::from(true)),
            ("names".to_owned(), Value::from(vec!["a", "b"])),
        ])
    }

    #[test]
    fn what_can_not_be_compared_is_told_with_what_was_meant() {
        for (text, place, help) in [
            ("facts.memory_mb > '1000'", "facts.memory_mb > '1000'", "write `facts.memory_mb > 1000`"),
            ("'1000' <= facts.memory_mb", "'1000' <= facts.memory_mb", "write `1000 <= facts.memory_mb`"),
            ("firewall and facts.version == 24.04", "facts.version == 24.04", "write `facts.version == '24.04'`"),
            ("not (size > 5)", "size > 5", "write `size | int > 5`"),
            ("firewall == 'true' or size == '12'", "firewall == 'true'", "write `firewall == true`"),
            ("names | length > '1'", "names | length > '1'", "write `names | length > 1`"),
            (
                "(facts.memory_mb + 1) * 2 == size",
                "(facts.memory_mb + 1) * 2 == size",
                "write `(facts.memory_mb + 1) * 2 == size | int`",
            ),
        ] {
            let slip = render::evaluate(text, &context()).expect_err(text);
            assert_eq!(&text[slip.range.clone()], place, "{text}");
            assert_eq!(slip.help.as_deref(), Some(help), "{text}");
            assert!(slip.message.contains("can not be compared"), "{}", slip.message);
        }
    }

    #[test]
    fn what_can_be_compared_is_left_alone() {
        for text in [
            "facts.memory_mb > 1000",
            "facts.version == '24.04' and names[0] == 'a'",
            "size == '5 > 4'",
            "size is number and size > 5",
            "firewall == true",
            "size != none",
            "names == ['a', 'b']",
            "'a' in names and 'it\\'s < 5' != size",
            "(size | int) > 5 and size | int < 20",
            "facts.memory_mb > (1000 if firewall else 10)",
        ] {
            assert!(render::evaluate(text, &context()).is_ok(), "{text}: {:?}", render::evaluate(text, &context()));
        }
    }
}
