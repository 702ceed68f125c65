//! A rendered table to a resource, with every mistake told at the place where the user wrote it. Pure.

use std::ops::Range;
use std::sync::Arc;

use crate::base::diagnostic::nearest;
use crate::base::secret::Redactor;
use crate::base::{Diagnostic, Source, Span};
use crate::playbook::tree::{Data, Entry, Node};
use crate::playbook::values::Origin;
use crate::resource::{Declared, Kind};

/// A task's table, rendered.
pub(super) struct Rendered<'a> {
    /// What it declares.
    pub kind: &'static dyn Kind,
    /// The file.
    pub source: &'a Arc<Source>,
    /// Where the resource is named.
    pub named: Range<usize>,
    /// The table.
    pub table: Node,
    /// The strings in it that were rendered.
    pub origins: &'a [Origin],
    /// What must not be shown.
    pub secrets: &'a Redactor,
}

/// Mistakes that are told of one table at most.
const MOST: usize = 20;

impl Rendered<'_> {
    /// The resource. Errors: all that is wrong with the table.
    pub(super) fn decode(mut self) -> Result<Box<dyn Declared>, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        let mut removed: Vec<String> = Vec::new();
        // A decoder stops at its first mistake: what it blames is taken out, and the rest is read again.
        for _ in 0..MOST {
            let error = match self.kind.decode(self.table.to_toml().into()) {
                Ok((resource, problems)) if wrong.is_empty() => {
                    let problems: Vec<Diagnostic> = problems.into_iter().map(|problem| self.problem(problem)).collect();
                    return if problems.is_empty() { Ok(resource) } else { Err(problems) };
                }
                Ok(_) => return Err(wrong),
                Err(error) => error,
            };
            let range = error.span().unwrap_or_else(|| self.table.range.clone());
            let mut path = blamed(&self.table, &range, error.message());
            let range = self.narrowed(error.message(), &mut path).unwrap_or(range);
            let missing = quoted(error.message(), "missing field");
            let of_removed = missing
                .is_some_and(|name| removed.iter().any(|other| other == name || other.ends_with(&format!(".{name}"))));
            if !of_removed {
                wrong.push(self.told(error.message(), &path, &range));
            }
            // A missing field can not be taken out; nor is there more to be read without it.
            if path.is_empty() || of_removed || !remove(&mut self.table, &path) {
                break;
            }
            removed.push(path.join("."));
        }
        Err(wrong)
    }

    /// Our own types can not say which item of a list they blame, but name its value: the path goes on to it.
    fn narrowed(&self, message: &str, path: &mut Vec<String>) -> Option<Range<usize>> {
        let word = message.strip_prefix('`')?.split_once("` ")?.0;
        let mut node = &self.table;
        for part in path.iter() {
            node = node.child(part)?;
        }
        node.list()?;
        let (inner, range) = place_of_text(node, word)?;
        path.extend(inner);
        Some(range)
    }

    fn origin(&self, range: &Range<usize>) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.span.range == *range && origin.span.source == *self.source)
    }

    fn at(&self, diagnostic: Diagnostic, range: &Range<usize>, label: &str) -> Diagnostic {
        let Some(origin) = self.origin(range) else {
            return diagnostic.at(Span::new(self.source, range.clone()), label);
        };
        let label = match &origin.shown {
            Some(shown) => format!("this renders to {}", self.secrets.redact(shown)),
            None => "this holds a secret".to_owned(),
        };
        let mut diagnostic = diagnostic.at(Span::new(self.source, range.clone()), label);
        for (name, place) in &origin.read {
            if let Some(place) = place {
                diagnostic = diagnostic.also(place.clone(), format!("`{name}` is set here"));
            }
        }
        diagnostic
    }

    fn problem(&self, problem: crate::resource::Problem) -> Diagnostic {
        let whole = problem.field.is_empty();
        let range = if whole { self.named.clone() } else { self.table.place_of(&problem.field) };
        let range = if range == self.table.range { self.named.clone() } else { range };
        let diagnostic = self.at(Diagnostic::error(self.secrets.redact(&problem.message)), &range, "");
        match problem.help {
            Some(help) => diagnostic.help(self.secrets.redact(&help)),
            None => diagnostic,
        }
    }

    /// serde's message in our words.
    fn told(&self, message: &str, path: &[String], range: &Range<usize>) -> Diagnostic {
        let kind = self.kind.name();
        let field = dotted(path);
        let outer = match path.split_last() {
            Some((_, outer)) if !outer.is_empty() => format!("`{kind}.{}`", dotted(outer)),
            _ => format!("`{kind}`"),
        };
        if let Some(name) = quoted(message, "unknown field") {
            let known = known_names(message);
            let diagnostic = Diagnostic::error(format!("unknown key `{name}` in {outer}"));
            return did_you_mean(self.at(diagnostic, range, &format!("not a key of {outer}")), name, &known, "keys");
        }
        if let Some(name) = quoted(message, "missing field") {
            let inside = if field.is_empty() { format!("`{kind}`") } else { format!("`{kind}.{field}`") };
            let range = if field.is_empty() { self.named.clone() } else { range.clone() };
            let diagnostic = Diagnostic::error(format!("{inside} needs `{name}`"));
            return self.at(diagnostic, &range, "").help(format!("add `{name} = …`"));
        }
        let field = if field.is_empty() { kind.to_owned() } else { field };
        if self.origin(range).is_some_and(|origin| origin.shown.is_none()) {
            let wrong = self.at(Diagnostic::error(format!("`{field}` can not be this secret")), range, "");
            // What repeats the value is left out, and so is serde's own, which always does.
            let rule = message.split_once(": ").map_or(message, |(_, rule)| rule);
            let ours = !message.starts_with("invalid ") && !message.starts_with("unknown ");
            let rule = Some(rule).filter(|rule| ours && self.secrets.redact(rule) == *rule);
            return match rule {
                Some(rule) => wrong.help(rule),
                None => wrong,
            };
        }
        if let Some(name) = quoted(message, "unknown variant") {
            let diagnostic = self.at(Diagnostic::error(format!("`{field}` can not be `{name}`")), range, "");
            return did_you_mean(diagnostic, name, &known_names(message), "choices");
        }
        if let Some(rest) = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))
            && let Some((found, expected)) = rest.split_once(", expected ")
        {
            let (found, expected) = (words(found), words(expected));
            let message = format!("`{field}` must be {expected}, not {}", self.secrets.redact(&found));
            let help = match self.origin(range) {
                Some(origin) => format!("change {}", names(&origin.read)),
                None => advice(&found, &expected).to_owned(),
            };
            return self.at(Diagnostic::error(message), range, &format!("expected {expected}")).help(help);
        }
        // Our own types say the broken rule, or what to do, behind a colon.
        let (what, why) = message.split_once(": ").filter(|(what, _)| what.contains("is not")).unwrap_or((message, ""));
        let advice = ["write", "use", "name", "set", "add", "give"].iter().any(|verb| why.starts_with(verb));
        // Under a value that was rendered stands what it came to.
        let advice = advice || !why.is_empty() && self.origin(range).is_some();
        let label = if advice { String::new() } else { self.secrets.redact(why) };
        let diagnostic = self.at(Diagnostic::error(self.secrets.redact(what)), range, &label);
        if advice { diagnostic.help(self.secrets.redact(why)) } else { diagnostic }
    }
}

/// `rules[1].allow`.
fn dotted(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        let index = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let dot = if text.is_empty() { "" } else { "." };
        text.push_str(&if index { format!("[{part}]") } else { format!("{dot}{part}") });
    }
    text
}

/// The variables that a template reads.
fn names(read: &[(String, Option<Span>)]) -> String {
    let names: Vec<String> = read.iter().map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() { "what it reads".to_owned() } else { names.join(" or ") }
}

/// How to write what is expected.
fn advice(found: &str, expected: &str) -> &'static str {
    let quoted = found.starts_with("the string");
    match expected {
        "a list" if quoted => "put it in brackets: `[\"…\"]`",
        "a list" => "write a list: `[\"…\", \"…\"]`",
        "a table" => "write a table: `{ key = value }`",
        "a boolean" => "write `true` or `false`, without quotes",
        "a string" if found == "a list" => "write one text, in quotes",
        expected if expected.contains("string") => "put it in quotes",
        expected if expected.contains("number") && quoted => "write it without quotes",
        expected if expected.contains("not negative") => "write 0 or more",
        _ => "write it as its documentation says",
    }
}

/// Where below `node` the text `word` stands.
fn place_of_text(node: &Node, word: &str) -> Option<(Vec<String>, Range<usize>)> {
    let below = |key: String, node: &Node| {
        let (path, range) = place_of_text(node, word)?;
        Some((std::iter::once(key).chain(path).collect(), range))
    };
    match &node.data {
        Data::Text(text) if text == word => Some((Vec::new(), node.range.clone())),
        Data::List(list) => list.iter().enumerate().find_map(|(index, node)| below(index.to_string(), node)),
        Data::Table(table) => table.entries.iter().find_map(|entry| below(entry.key.clone(), &entry.node)),
        _ => None,
    }
}

/// The word in backticks behind `prefix`.
fn quoted<'m>(message: &'m str, prefix: &str) -> Option<&'m str> {
    let rest = message.strip_prefix(prefix)?.trim_start().strip_prefix('`')?;
    // The word is the user's and may hold backticks of its own.
    match rest.find("`, expected ").or_else(|| rest.find("`, there are no ")) {
        Some(end) => Some(&rest[..end]),
        None => rest.strip_suffix('`'),
    }
}

/// All that serde says it expected.
fn known_names(message: &str) -> Vec<&str> {
    let Some((_, list)) = message.rsplit_once("`, expected ") else { return Vec::new() };
    list.split('`').skip(1).step_by(2).collect()
}

fn did_you_mean(diagnostic: Diagnostic, word: &str, known: &[&str], what: &str) -> Diagnostic {
    let list = format!("{what}: {}", known.join(", "));
    match nearest(word, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`? ({list})")),
        None if known.is_empty() => diagnostic,
        None => diagnostic.help(list),
    }
}

/// serde's names of types in the words of this program.
fn words(text: &str) -> String {
    let known = [
        ("sequence", "a list"),
        ("a sequence", "a list"),
        ("map", "a table"),
        ("a map", "a table"),
        ("string or table", "a string or a table"),
        ("u8", "a whole number from 0 to 255"),
        ("u16", "a whole number from 0 to 65535"),
        ("u32", "a whole number that is not negative"),
        ("u64", "a whole number that is not negative"),
        ("usize", "a whole number that is not negative"),
        ("i32", "a whole number"),
        ("i64", "a whole number"),
        ("f64", "a number"),
    ];
    if let Some((_, ours)) = known.iter().find(|(serde, _)| *serde == text) {
        return (*ours).to_owned();
    }
    if text.starts_with("struct ") {
        return "a table".to_owned();
    }
    for (serde, ours) in
        [("string ", "the string "), ("integer ", "the integer "), ("boolean ", ""), ("floating point ", "the number ")]
    {
        if let Some(rest) = text.strip_prefix(serde) {
            return format!("{ours}{rest}");
        }
    }
    text.to_owned()
}

/// The path of the key or value that `range` points at: the deepest that fits. A table that misses a field is blamed
/// itself.
fn blamed(table: &Node, range: &Range<usize>, message: &str) -> Vec<String> {
    let unknown = quoted(message, "unknown field");
    let mut path = Vec::new();
    let mut node = table;
    loop {
        let step: Option<(String, &Node, bool)> =
            match &node.data {
                Data::Table(table) => {
                    let named =
                        |entry: &&Entry| unknown.is_some_and(|name| entry.key == name) && entry.key_range == *range;
                    let around = |entry: &&Entry| contains(&entry.node.range, range);
                    table.entries.iter().find(named).map(|entry| (entry.key.clone(), &entry.node, true)).or_else(|| {
                        table.entries.iter().find(around).map(|entry| (entry.key.clone(), &entry.node, false))
                    })
                }
                Data::List(list) => {
                    let index = list.iter().position(|item| contains(&item.range, range));
                    index.map(|index| (index.to_string(), &list[index], false))
                }
                _ => None,
            };
        let Some((key, next, named)) = step else { return path };
        path.push(key);
        if named || next.range == *range && unknown.is_none() && !matches!(next.data, Data::List(_)) {
            return path;
        }
        node = next;
    }
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn remove(node: &mut Node, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match &mut node.data {
        Data::Table(table) => {
            let Some(at) = table.entries.iter().position(|entry| entry.key == *first) else { return false };
            if rest.is_empty() {
                table.entries.remove(at);
                return true;
            }
            remove(&mut table.entries[at].node, rest)
        }
        Data::List(list) => match first.parse::<usize>().ok().filter(|index| *index < list.len()) {
            Some(index) if rest.is_empty() => {
                list.remove(index);
                true
            }
            Some(index) => remove(&mut list[index], rest),
            None => false,
        },
        _ => false,
    }
}
