//! Sizes, headers and words.

use std::path::{Path, PathBuf};

/// Most lines that a source file may have, its tests left out.
const LINES: usize = 500;

/// Every file below `folder` with one of the endings.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| path.extension().is_some_and(|e| e == *ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {endings:?} files in {folder}");
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<PathBuf> = files("src", &["rs"])
        .into_iter()
        .chain(files("tests", &["rs"]))
        .filter(|path| !text(path).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "these do not open with `//!`: {silent:#?}");
}

#[test]
fn no_file_has_outgrown_its_room() {
    let long: Vec<(PathBuf, usize)> = files("src", &["rs"])
        .into_iter()
        .filter(|path| !["tests.rs", "samples.rs"].iter().any(|name| path.ends_with(name)))
        .map(|path| {
            let lines = text(&path).lines().take_while(|line| *line != "mod tests {").count();
            (path, lines)
        })
        .filter(|(_, lines)| *lines > LINES)
        .collect();
    assert!(long.is_empty(), "over {LINES} lines without their tests; is there a seam? {long:#?}");
}

#[test]
fn nothing_is_left_undone() {
    // Written apart, so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["X", "XX:"].concat(),
        ["todo", "!("].concat(),
        ["dbg", "!("].concat(),
    ];
    let found: Vec<String> = files("src", &["rs", "sh"])
        .into_iter()
        .chain(files("tests", &["rs"]))
        .filter(|path| words.iter().any(|word| text(path).contains(word.as_str())))
        .map(|path| path.display().to_string())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn names_say_what_lives_there() {
    let vague = ["util", "utils", "helper", "helpers", "manager", "common", "misc"];
    let found: Vec<PathBuf> = files("src", &["rs", "sh"])
        .into_iter()
        .filter(|path| {
            path.components().any(|part| {
                vague.iter().any(|word| Path::new(part.as_os_str()).file_stem().is_some_and(|stem| stem == *word))
            })
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
