//! A line of `ssh_config` in words, as OpenSSH splits it (`argv_split` in misc.c): both sorts of quotes, a backslash
//! before quote, backslash or blank, and a `#` at the beginning of a word ends the line.

/// The keyword of a line in lower case, and the rest behind blanks and at most one `=`. `None`: empty or a comment.
pub(super) fn keyword(line: &str) -> Option<(String, &str)> {
    let line = line.trim_matches([' ', '\t', '\r', '\u{c}']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find([' ', '\t', '=', '"']).unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches([' ', '\t']);
    Some((keyword.to_lowercase(), rest))
}

/// The words of `rest`. `None`: a quote is never closed.
pub(super) fn words(rest: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = rest.chars().peekable();
    loop {
        while characters.next_if(|c| *c == ' ' || *c == '\t').is_some() {}
        match characters.peek() {
            None | Some('#') => return Some(words),
            Some(_) => words.push(word(&mut characters)?),
        }
    }
}

fn word(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut word = String::new();
    let mut quote = None;
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', _) => match characters.peek() {
                Some('\'' | '"' | '\\') => word.extend(characters.next()),
                Some(' ') if quote.is_none() => word.extend(characters.next()),
                _ => word.push(c),
            },
            (' ' | '\t', None) => return Some(word),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => word.push(c),
        }
    }
    quote.is_none().then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_as_openssh_does() {
        assert_eq!(keyword("  HostName = web  "), Some(("hostname".to_owned(), "web")));
        assert_eq!(keyword("Port=22"), Some(("port".to_owned(), "22")));
        assert_eq!(keyword("# Port 22"), None);
        assert_eq!(
            words(r#"a "b c" 'd e' f\ g # h"#),
            Some(vec!["a".into(), "b c".into(), "d e".into(), "f g".into()])
        );
        assert_eq!(words(r#"a"b"c"#), Some(vec!["abc".into()]));
        assert_eq!(words(r#""open"#), None);
        assert_eq!(words(""), Some(vec![]));
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(line in "\\PC{0,60}") {
            if let Some((_, rest)) = keyword(&line) {
                let _ = words(rest);
            }
        }
    }
}
