//! A template's text with its place, so that a mistake inside it is drawn where it stands.

use std::ops::Range;
use std::sync::Arc;

use super::render::{self, Reads, Slip};
use super::tree::{self, Node};
use crate::base::diagnostic::nearest;
use crate::base::{Diagnostic, Source, Span};

/// A text that is a template or an expression.
#[derive(Debug, Clone)]
pub struct Template<'a> {
    /// The file.
    pub source: &'a Arc<Source>,
    /// Where the string stands; `None` when the file as a whole is the template.
    pub range: Option<Range<usize>>,
    /// The text.
    pub text: &'a str,
    /// Whether it is a bare expression, as in `when`.
    pub expression: bool,
}

impl<'a> Template<'a> {
    /// A string in a TOML file; `None` when it is no string.
    pub fn of(source: &'a Arc<Source>, node: &'a Node) -> Option<Self> {
        Some(Self { source, range: Some(node.range.clone()), text: node.text()?, expression: false })
    }

    /// The same as a bare expression.
    pub fn expression(source: &'a Arc<Source>, node: &'a Node) -> Option<Self> {
        Self::of(source, node).map(|template| Self { expression: true, ..template })
    }

    /// A whole file.
    pub fn file(source: &'a Arc<Source>) -> Self {
        Self { source, range: None, text: &source.text, expression: false }
    }

    /// The place of a part of the text.
    pub fn span(&self, part: Range<usize>) -> Span {
        match &self.range {
            Some(node) => Span::new(self.source, tree::inside(self.source, node, self.text, part)),
            None => Span::new(self.source, part),
        }
    }

    /// The place of the whole.
    pub fn whole(&self) -> Span {
        let part = if self.range.is_none() { 0..1 } else { 0..self.text.len() };
        self.span(part)
    }

    /// What it reads.
    pub fn reads(&self) -> Result<Reads, Box<Diagnostic>> {
        let reads = if self.expression {
            render::reads_of_expression(self.text)
        } else if render::is_template(self.text) {
            render::reads(self.text)
        } else {
            Ok(Reads::default())
        };
        reads.map_err(|slip| Box::new(self.told(&slip, &[])))
    }

    /// A slip as a mistake; `known` are the paths that an undefined one may have meant.
    pub fn told(&self, slip: &Slip, known: &[String]) -> Diagnostic {
        let Some(path) = &slip.undefined else {
            let diagnostic = Diagnostic::error(slip.message.clone()).at(self.span(slip.range.clone()), "");
            return match &slip.help {
                Some(help) => diagnostic.help(help.clone()),
                None => diagnostic,
            };
        };
        let (path, range) = narrowed(path, &slip.range, known);
        let diagnostic = Diagnostic::error(format!("`{path}` is not defined")).at(self.span(range), "not defined");
        match nearest(path, known.iter().map(String::as_str)) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        }
    }

    /// The mistake that nothing is called `name`.
    pub fn unknown<'n>(
        &self,
        name: &str,
        what: &str,
        known: impl IntoIterator<Item = &'n str>,
        help: &str,
    ) -> Diagnostic {
        let part = render::place_of_name(self.text, name, self.expression);
        let diagnostic =
            Diagnostic::error(format!("unknown {what} `{name}`")).at(self.span(part), format!("no such {what}"));
        match nearest(name, known) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(help),
        }
    }
}

/// The first path in an expression that leads from something known to nothing, and its place.
fn narrowed<'e>(expression: &'e str, range: &Range<usize>, known: &[String]) -> (&'e str, Range<usize>) {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut at = 0;
    for part in expression.split_inclusive(|c: char| !word(c)) {
        let path = part.trim_end_matches(|c: char| !word(c));
        let root = path.split('.').next().unwrap_or_default();
        if root.len() < path.len() && known.iter().any(|name| name == root) && !known.iter().any(|name| name == path) {
            return (path, range.start + at..range.start + at + path.len());
        }
        at += part.len();
    }
    (expression, range.clone())
}
