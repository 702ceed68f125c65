//! One line of a text file that belongs to someone else.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::Presence;
use super::{Plan, Problems, Resource, edit};
use crate::base::name::AbsPath;
use crate::machine::{self, Blocked, Machine, Question};

/// One line of a text file, there or not; the rest of the file is kept.
///
/// A whole file is better declared with `file`, and a drop-in of one's own is better than either.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The file. It is made when it is missing and the line should be there.
    pub path: AbsPath,
    /// The line. With `state = "absent"` it may be left out where `starts_with` tells which lines go.
    #[serde(default)]
    pub line: Option<String>,
    /// Lines that begin so (blanks before them do not count) are replaced by `line`, the first one, and removed, the
    /// others. Where none does, the line is added at the end.
    #[serde(default)]
    pub starts_with: Option<String>,
    /// Whether the line should be there.
    #[serde(default)]
    pub state: Presence,
}

impl Line {
    fn is_meant(&self, line: &str) -> bool {
        let begins = self.starts_with.as_ref().is_some_and(|start| line.trim_start().starts_with(start.as_str()));
        begins || self.line.as_deref() == Some(line)
    }

    fn after(&self, before: &str) -> String {
        let mut wanted = self.line.as_deref().filter(|_| self.state == Presence::Present);
        let mut lines: Vec<&str> = Vec::new();
        for line in before.lines() {
            if self.is_meant(line) {
                lines.extend(wanted.take());
            } else {
                lines.push(line);
            }
        }
        lines.extend(wanted);
        edit::join(&lines)
    }

    /// Whether nothing is to be done, whatever the line ends look like.
    fn holds(&self, before: &str) -> bool {
        let mut meant = before.lines().filter(|line| self.is_meant(line));
        match self.state {
            Presence::Present => meant.next() == self.line.as_deref() && meant.next().is_none(),
            Presence::Absent => meant.next().is_none(),
        }
    }
}

impl Resource for Line {
    const NAME: &'static str = "line";
    const EXAMPLE: &'static str =
        "path = \"/etc/default/grub\"\nstarts_with = \"GRUB_TIMEOUT=\"\nline = \"GRUB_TIMEOUT=2\"\n";

    fn check(&self, problems: &mut Problems) {
        if self.state == Presence::Present && self.line.is_none() {
            problems.push("", "there is no `line`", Some("add `line`, or `state = \"absent\"`"));
        }
        if self.line.is_none() && self.starts_with.is_none() {
            problems.push("", "nothing tells which line is meant", Some("add `line` or `starts_with`"));
        }
        for (field, text) in [("line", &self.line), ("starts_with", &self.starts_with)] {
            if text.as_ref().is_some_and(|text| text.contains(['\n', '\r', '\0'])) {
                problems.push(field, "this is more than one line", Some("use `[task.block]` for several"));
            }
        }
        if self.starts_with.as_ref().is_some_and(|start| start.trim_start() != start || start.is_empty()) {
            problems.push("starts_with", "it must begin with something visible", Some("blanks before it do not count"));
        }
        if let (Some(line), Some(start)) = (&self.line, &self.starts_with)
            && !line.trim_start().starts_with(start.as_str())
            && self.state == Presence::Present
        {
            problems.push("starts_with", "the line itself does not begin so", Some("let it begin as `line` does"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        vec![machine::File::at(&self.path).into()]
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let before = edit::text(machine, &self.path)?;
        let why = if self.state == Presence::Present { "the line is there" } else { "there is no such line" };
        if self.holds(before.unwrap_or_default()) {
            return Ok(Plan::in_sync(why));
        }
        edit::plan(machine, &self.path, self.after(before.unwrap_or_default()), why)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let sort = proptest::sample::select(vec![
            (Some("key=value"), None, Presence::Present),
            (Some("key=other"), Some("key="), Presence::Present),
            (Some("key=value"), None, Presence::Absent),
            (None, Some("key="), Presence::Absent),
        ]);
        sort.prop_map(|(line, start, state)| Line {
            path: AbsPath::new("/etc/example/file").unwrap(),
            line: line.map(str::to_owned),
            starts_with: start.map(str::to_owned),
            state,
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> String {
        let line = Line {
            path: AbsPath::new("/etc/a").unwrap(),
            line: Some("key=new".into()),
            starts_with: Some("key=".into()),
            state: Presence::Present,
        };
        if line.holds(text) { "holds".into() } else { line.after(text) }
    }

    #[test]
    fn replaces_in_place_and_leaves_one() {
        assert_eq!(set("a\n key=old\nb\nkey=older\n"), "a\nkey=new\nb\n");
        assert_eq!(set("a"), "a\nkey=new\n");
        assert_eq!(set("a\nkey=new"), "holds");
        assert_eq!(set("key=new\nkey=old\n"), "key=new\n");
    }
}
