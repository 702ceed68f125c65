//! The text of `/etc/fstab`: reading its entries, and changing single lines while all others keep every byte.
//!
//! Text only: what is mounted is in [`super::mount`].

use super::{Blocked, Machine};
use crate::base::name::AbsPath;
use crate::machine::file::{FileState, Kind, Owner};

/// One entry (fstab(5)), its fields with the octal escapes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number of its line, from 0.
    pub line: usize,
    /// What is mounted: a device, `UUID=…`, a file, a directory (bind).
    pub source: String,
    /// Where; `none` for swap.
    pub target: String,
    /// `ext4`, `swap`, `none`.
    pub kind: String,
    /// Comma-separated, `defaults` where the field is missing.
    pub options: String,
    /// Field six: in which order it is checked at boot, 0 for never.
    pub pass: u8,
}

impl Entry {
    /// Whether `option` is among the options, by itself or as `option=…`.
    pub fn has(&self, option: &str) -> bool {
        self.options
            .split(',')
            .any(|have| have.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
    }

    /// The line that makes this entry, with its line break.
    pub fn text(&self) -> String {
        let fields = [&self.source, &self.target, &self.kind, &self.options].map(|field| escape(field));
        format!("{} 0 {}\n", fields.join(" "), self.pass)
    }
}

/// The file's path.
pub fn path() -> AbsPath {
    AbsPath::literal("/etc/fstab")
}

/// The text, the mode and the owner of the file on `machine`; a missing one is empty, `0644`, root's.
/// Errors: not asked, not known yet, or not a plain text file.
pub fn on(machine: &Machine) -> Result<(String, u32, Owner), Blocked> {
    match machine.file(&path())? {
        FileState::Absent => Ok((String::new(), 0o644, Owner::root())),
        FileState::Present { kind: Kind::File { content: Some(text), .. }, mode, owner } => {
            Ok((text.clone(), *mode, owner.clone()))
        }
        FileState::Present { .. } => Err(Blocked::refused(
            "/etc/fstab is not a plain text file, so it is left alone",
            "make it one (a link there is replaced by what it points to), then run again",
        )),
    }
}

/// All entries, in order. Lines that are no entries (comments, too few fields) are passed over, as mount(8) does.
pub fn entries(text: &str) -> Vec<Entry> {
    let lines = text.split_inclusive('\n').enumerate();
    lines.filter_map(|(line, text)| entry(line, text)).collect()
}

fn entry(line: usize, text: &str) -> Option<Entry> {
    let text = text.trim_start();
    if text.starts_with('#') {
        return None;
    }
    let mut fields = text.split_whitespace();
    let (source, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let options = fields.next().unwrap_or("defaults");
    let pass = fields.nth(1).and_then(|pass| pass.parse().ok()).unwrap_or(0);
    let [source, target, kind, options] = [source, target, kind, options].map(unescape);
    Some(Entry { line, source, target, kind, options, pass })
}

/// `text` with `entry` at its end, on a line of its own.
pub fn with(text: &str, entry: &Entry) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}{}", entry.text())
}

/// `text` with `entry` in the place of the line whose number it bears.
pub fn replaced(text: &str, entry: &Entry) -> String {
    let lines = text.split_inclusive('\n').enumerate();
    lines.map(|(number, line)| if number == entry.line { entry.text() } else { line.to_owned() }).collect()
}

/// `text` without these lines.
pub fn without(text: &str, lines: &[usize]) -> String {
    let kept = text.split_inclusive('\n').enumerate().filter(|(number, _)| !lines.contains(number));
    kept.map(|(_, line)| line).collect()
}

/// Undoes the octal escapes of fstab, `/proc/swaps` and `/proc/self/mountinfo`: `\040` is a space.
pub fn unescape(field: &str) -> String {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match (bytes[at], octal.and_then(|digits| u8::from_str_radix(digits, 8).ok())) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                at += 4;
            }
            (byte, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// A field as fstab has it.
fn escape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    for (at, character) in field.chars().enumerate() {
        match character {
            ' ' => text.push_str("\\040"),
            '\t' => text.push_str("\\011"),
            '\n' => text.push_str("\\012"),
            '\\' => text.push_str("\\134"),
            '#' if at == 0 => text.push_str("\\043"),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# a comment\nUUID=1 / ext4 errors=remount-ro 0 1\n\n  /swapfile none swap sw\n/dev/sdb1 /a\\040b xfs defaults,nofail 0 2";

    #[test]
    fn reads_entries_as_mount_does() {
        let entries = entries(TEXT);
        assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!((entries[0].pass, entries[1].pass, entries[2].pass), (1, 0, 2));
        assert_eq!((entries[1].source.as_str(), entries[1].options.as_str()), ("/swapfile", "sw"));
        assert_eq!(entries[2].target, "/a b");
        assert!(entries[2].has("nofail") && !entries[2].has("no") && entries[0].has("errors"));
    }

    #[test]
    fn changes_one_line_and_no_other_byte() {
        let mut entry = entries(TEXT).remove(1);
        let added = with(TEXT, &entry);
        assert_eq!(added, format!("{TEXT}\n/swapfile none swap sw 0 0\n"));
        entry.options = "sw,nofail".into();
        assert_eq!(
            replaced(TEXT, &entry),
            TEXT.replace("  /swapfile none swap sw\n", "/swapfile none swap sw,nofail 0 0\n")
        );
        assert_eq!(without(TEXT, &[3]), TEXT.replace("  /swapfile none swap sw\n", ""));
    }

    proptest! {
        #[test]
        fn what_is_added_is_read_and_taken_away_again(text in "[ -~\n]{0,80}", source in "[^\0]{1,12}", target in "/[ -~]{0,12}") {
            let entry = Entry { line: 0, source, target, kind: "ext4".into(), options: "defaults".into(), pass: 2 };
            prop_assume!(!entry.source.contains(|c: char| c.is_whitespace() && !" \t\n".contains(c)));
            let added = with(&text, &entry);
            let read = entries(&added).pop().unwrap();
            prop_assert_eq!(Entry { line: 0, ..read.clone() }, entry);
            let back = without(&added, &[read.line]);
            prop_assert_eq!(back.trim_end_matches('\n'), text.trim_end_matches('\n'));
        }
    }
}
