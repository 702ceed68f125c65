//! Changing a part of a text file that belongs to someone else: what `line` and `block` share.

use super::{Change, Plan};
use crate::action::WriteFile;
use crate::action::file::{Content, Found};
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::{Blocked, Machine};

/// The text of the file at `path`; nothing where there is none. Errors: what is there is no text file.
pub(super) fn text<'a>(machine: &'a Machine, path: &AbsPath) -> Result<Option<&'a str>, Blocked> {
    match machine.file(path)? {
        FileState::Absent => Ok(None),
        FileState::Present { kind: Kind::File { content: Some(content), .. }, .. } => Ok(Some(content)),
        FileState::Present { kind: Kind::File { .. }, .. } => Err(Blocked::refused(
            format!("{path} is larger than 64 KiB or not UTF-8 text, so it is not edited"),
            "edit it yourself, or write it whole with `[task.file]`",
        )),
        FileState::Present { .. } => Err(Blocked::refused(
            format!("{path} is not a plain file, so it is left alone"),
            "name the file itself, not a link to it",
        )),
    }
}

/// A plan that makes `after` of the file, with the mode and owner that it has (root and 0644 for a new one).
pub(super) fn plan(machine: &Machine, path: &AbsPath, after: String, in_sync: &str) -> Result<Plan, Blocked> {
    let state = machine.file(path)?;
    let before = state.content().map(str::to_owned);
    if before.as_ref() == Some(&after) || before.is_none() && after.is_empty() {
        return Ok(Plan::in_sync(in_sync));
    }
    let (mode, owner) = match state {
        FileState::Present { mode, owner, .. } => (*mode, owner.clone()),
        FileState::Absent => (0o644, Owner::root()),
    };
    let diff = Diff::Text { path: path.to_string(), before, after: Some(after.clone()) };
    let content = Content::Text(after);
    let action = WriteFile { path: path.clone(), content, mode, owner, found: Found::of(state) };
    Ok(Plan::changes(vec![Change::by(action).diff(diff)], ""))
}

/// `lines` as a text, each with its end.
pub(super) fn join(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}
