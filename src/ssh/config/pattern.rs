//! The patterns of `ssh_config` and `known_hosts`: `*`, `?`, and lists with negation (ssh_config(5), "PATTERNS").

/// Whether `text` matches one pattern. `*` is any number of characters, `?` exactly one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go back to: after the last star, and the text that it has taken so far.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut back {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, t) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether `text` matches a comma-separated list: some pattern matches, and no negated one (`!pattern`) does.
pub(crate) fn list_matches(list: &str, text: &str) -> bool {
    any_matches(list.split(','), text)
}

/// Whether `text` matches some pattern and no negated one.
pub(crate) fn any_matches<'a>(patterns: impl Iterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_question_marks_and_negation() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("web?", "web1", true),
            ("web?", "web", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[host]:2222", "[host]:2222", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(list_matches("*.org,!bad.org", "good.org"));
        assert!(!list_matches("*.org,!bad.org", "bad.org"));
        assert!(!list_matches("!bad.org", "good.org"));
    }
}
