//! File names with `*`, `?` and `[…]`, for `Include`. In the order of their names; hidden files only where the dot is
//! written, as glob(7) has it.

use std::path::{Path, PathBuf};

/// The files that `pattern` (an absolute path) names. One without wildcards names itself, there or not.
pub(super) fn files(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str().to_string_lossy().into_owned();
        if !part.contains(['*', '?', '[']) {
            for path in &mut found {
                path.push(&part);
            }
            continue;
        }
        found = found.iter().flat_map(|folder| children(folder, &part)).collect();
    }
    found
}

fn children(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| (pattern.starts_with('.') || !name.starts_with('.')) && matches(&pieces(pattern), name))
        .collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

enum Piece {
    Star,
    Any,
    One(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(c) = characters.get(at) {
        at += 1;
        pieces.push(match c {
            '*' => Piece::Star,
            '?' => Piece::Any,
            // A `]` that comes first belongs to the set.
            '[' => match characters.iter().skip(at + 2).position(|c| *c == ']').map(|n| at + 2 + n) {
                Some(end) => {
                    let negated = matches!(characters[at], '!' | '^');
                    let set = &characters[at + usize::from(negated)..end];
                    at = end + 1;
                    Piece::Set { negated, ranges: ranges(set) }
                }
                None => match characters.get(at..at + 2) {
                    Some([only, ']']) => {
                        at += 2;
                        Piece::One(*only)
                    }
                    _ => Piece::One('['),
                },
            },
            c => Piece::One(*c),
        });
    }
    pieces
}

fn ranges(set: &[char]) -> Vec<(char, char)> {
    match set {
        [] => Vec::new(),
        [low, '-', high, rest @ ..] => [vec![(*low, *high)], ranges(rest)].concat(),
        [one, rest @ ..] => [vec![(*one, *one)], ranges(rest)].concat(),
    }
}

fn matches(pieces: &[Piece], text: &str) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return text.is_empty() };
    if matches!(piece, Piece::Star) {
        let mut tails = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        return tails.any(|at| matches(rest, &text[at..]));
    }
    let mut characters = text.chars();
    let Some(c) = characters.next() else { return false };
    let fits = match piece {
        Piece::Star | Piece::Any => true,
        Piece::One(one) => *one == c,
        Piece::Set { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
    };
    fits && matches(rest, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_a_shell_would_have_them() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.confx", false),
            ("1[0-3]-?", "12-x", true),
            ("[!a]b", "ab", false),
            ("[!a]b", "bb", true),
            ("[a", "[a", true),
            ("[a]", "a", true),
        ] {
            assert_eq!(matches(&pieces(pattern), name), expected, "{pattern} {name}");
        }
    }
}
