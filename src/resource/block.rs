//! Lines of our own in a text file that belongs to someone else.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Presence;
use super::{Plan, Problems, Resource, edit};
use crate::base::name::AbsPath;
use crate::machine::{self, Blocked, Machine, Question};

/// Lines between two marks in a text file; the rest of the file is kept.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The file. It is made when it is missing and the block should be there.
    pub path: AbsPath,
    /// The lines. Leave it out together with `state = "absent"`.
    #[serde(default)]
    pub content: Option<String>,
    /// Name of the block in its marks: `# BEGIN name`, `# END name`.
    #[serde(default = "name")]
    pub name: String,
    /// How a comment begins in this file.
    #[serde(default = "comment")]
    pub comment: String,
    /// Whether the block stands before all else, instead of at the end, when it is new.
    #[serde(default)]
    pub at_top: bool,
    /// Whether it should be there.
    #[serde(default)]
    pub state: Presence,
}

fn name() -> String {
    "bedplate".into()
}

fn comment() -> String {
    "#".into()
}

impl Block {
    fn after(&self, before: &str) -> Result<String, Blocked> {
        let (begin, end) =
            (format!("{} BEGIN {}", self.comment, self.name), format!("{} END {}", self.comment, self.name));
        let lines: Vec<&str> = before.lines().collect();
        let mut wanted: Vec<&str> = Vec::new();
        if let Some(content) = self.content.as_ref().filter(|_| self.state == Presence::Present) {
            wanted.push(&begin);
            wanted.extend(content.lines());
            wanted.push(&end);
        }
        let first = lines.iter().position(|line| line.trim() == begin);
        let last = lines.iter().position(|line| line.trim() == end);
        let strays = lines.iter().filter(|line| line.trim() == begin || line.trim() == end).count();
        let (head, tail) = match (first, last, strays) {
            (None, None, _) if wanted.is_empty() => return Ok(before.to_owned()),
            (None, None, _) if self.at_top => (&lines[..0], &lines[..]),
            (None, None, _) => (&lines[..], &lines[..0]),
            (Some(first), Some(last), 2) if first < last => (&lines[..first], &lines[last + 1..]),
            _ => {
                return Err(Blocked::refused(
                    format!("the marks `{begin}` and `{end}` in {} are no pair", self.path),
                    "put them right by hand, or remove them",
                ));
            }
        };
        Ok(edit::join(&[head, &wanted, tail].concat()))
    }
}

impl Resource for Block {
    const NAME: &'static str = "block";
    const EXAMPLE: &'static str = "path = \"/etc/hosts\"\nname = \"app\"\ncontent = \"10.0.0.2 database\\n\"\n";

    fn check(&self, problems: &mut Problems) {
        match (self.state, &self.content) {
            (Presence::Present, None) => {
                problems.push("", "a block needs `content`", Some("add `content`, or `state = \"absent\"`"));
            }
            (Presence::Absent, Some(_)) => {
                problems.push("content", "a block that is absent has no `content`", Some("leave one of the two out"));
            }
            (_, Some(content)) if content.contains(['\r', '\0']) => {
                problems.push(
                    "content",
                    "the content holds a carriage return or NUL",
                    Some("end lines with \\n alone"),
                );
            }
            (_, Some(content)) => {
                let marks =
                    [format!("{} BEGIN {}", self.comment, self.name), format!("{} END {}", self.comment, self.name)];
                if content.lines().any(|line| marks.iter().any(|mark| line.trim() == mark)) {
                    problems.push(
                        "content",
                        "the content holds a mark of the block",
                        Some("bedplate adds the marks itself"),
                    );
                }
            }
            _ => {}
        }
        for (field, text) in [("name", &self.name), ("comment", &self.comment)] {
            if text.is_empty() || text.contains(['\n', '\r', '\0']) || text.trim() != text {
                problems.push(field, "this can not stand in a mark", Some("write a word"));
            }
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![machine::File::at(&self.path).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let before = edit::text(machine, &self.path)?.unwrap_or_default();
        let after = self.after(before)?;
        let why = if self.state == Presence::Present { "the block is there" } else { "there is no such block" };
        let same = before.strip_suffix('\n').unwrap_or(before) == after.strip_suffix('\n').unwrap_or(&after);
        if same { Ok(Plan::in_sync(why)) } else { edit::plan(machine, &self.path, after, why) }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let content = proptest::sample::select(vec![None, Some("a = 1\n"), Some("a\nb")]);
        (content, any::<bool>())
            .prop_map(|(content, at_top)| Block {
                path: AbsPath::new("/etc/example/file").unwrap(),
                state: if content.is_some() { Presence::Present } else { Presence::Absent },
                content: content.map(str::to_owned),
                name: name(),
                comment: comment(),
                at_top,
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(content: Option<&str>) -> Block {
        Block {
            path: AbsPath::new("/etc/a").unwrap(),
            state: if content.is_some() { Presence::Present } else { Presence::Absent },
            content: content.map(str::to_owned),
            name: name(),
            comment: comment(),
            at_top: false,
        }
    }

    #[test]
    fn comes_is_replaced_and_goes() {
        let first = block(Some("x")).after("a\nb").unwrap();
        assert_eq!(first, "a\nb\n# BEGIN bedplate\nx\n# END bedplate\n");
        let second = block(Some("y\nz\n")).after(&format!("{first}c\n")).unwrap();
        assert_eq!(second, "a\nb\n# BEGIN bedplate\ny\nz\n# END bedplate\nc\n");
        assert_eq!(block(None).after(&second).unwrap(), "a\nb\nc\n");
    }

    #[test]
    fn half_a_block_is_refused() {
        for broken in ["# BEGIN bedplate\nx\n", "# END bedplate\n# BEGIN bedplate\n", "# END bedplate"] {
            assert!(block(Some("x")).after(broken).is_err(), "{broken}");
        }
    }
}
