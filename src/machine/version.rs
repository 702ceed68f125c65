//! Versions of Debian packages, and which of two is the later (deb-version(7)). Nothing is asked here.

use std::cmp::Ordering;

/// The order of two versions.
pub fn compare(one: &str, other: &str) -> Ordering {
    let ((epoch, upstream, revision), (other_epoch, other_upstream, other_revision)) = (parts(one), parts(other));
    part(epoch, other_epoch).then_with(|| part(upstream, other_upstream)).then_with(|| part(revision, other_revision))
}

/// The first number of the program's version: 20 of `20.10.24+dfsg1-1`, 28 of `5:28.1.1-1~debian`.
pub fn major(version: &str) -> Option<u32> {
    let (_, upstream, _) = parts(version);
    upstream.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Epoch, version of the program, revision of the package.
fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// By turns what is no digits, letter by letter, and what is digits, as a number.
fn part(mut one: &str, mut other: &str) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        let (word, rest) = split(one, |c| !c.is_ascii_digit());
        let (other_word, other_rest) = split(other, |c| !c.is_ascii_digit());
        let (number, rest) = split(rest, |c| c.is_ascii_digit());
        let (other_number, other_rest) = split(other_rest, |c| c.is_ascii_digit());
        let digits = |number: &str| number.trim_start_matches('0').to_owned();
        let (number, other_number) = (digits(number), digits(other_number));
        let order = words(word, other_word)
            .then_with(|| number.len().cmp(&other_number.len()))
            .then_with(|| number.cmp(&other_number));
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (rest, other_rest);
    }
    Ordering::Equal
}

/// The part at the front of `text` that `belongs`, and the rest.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// `~` before the end, the end before letters, letters before all else.
fn words(one: &str, other: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 256,
    };
    let (mut one, mut other) = (one.chars(), other.chars());
    loop {
        let (left, right) = (one.next(), other.next());
        let order = weight(left).cmp(&weight(right));
        if order != Ordering::Equal || (left.is_none() && right.is_none()) {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Each earlier than the next.
    const RISING: [&str; 15] = [
        "0.9~beta1-1",
        "0.9-1~bpo12+1",
        "0.9-1",
        "0.9-1+b1",
        "0.9-1.1",
        "0.9-2",
        "0.9-10",
        "0.9a-1",
        "0.9+dfsg-1",
        "0.10-1",
        "1.0-1",
        "1.0-1ubuntu0.1",
        "1:0.1-1",
        "1:0.1-1+deb12u2",
        "2:0.0.1",
    ];

    #[test]
    fn the_later_version_is_known() {
        for (place, one) in RISING.iter().enumerate() {
            for (other_place, other) in RISING.iter().enumerate() {
                assert_eq!(compare(one, other), place.cmp(&other_place), "{one} and {other}");
            }
        }
        assert_eq!(compare("1.0", "1.0-0"), Ordering::Equal);
        assert_eq!(compare("1.01-1", "1.1-1"), Ordering::Equal);
    }

    #[test]
    fn dpkg_agrees() {
        for pair in RISING.windows(2) {
            let words = ["--compare-versions", pair[0], "lt", pair[1]];
            let status = Command::new("dpkg").args(words).status().expect("dpkg is needed for this test");
            assert!(status.success(), "{pair:?}");
        }
    }

    #[test]
    fn reads_the_major_version() {
        assert_eq!(major("20.10.24+dfsg1-1+deb12u1+b6"), Some(20));
        assert_eq!(major("5:28.1.1-1~debian.12~bookworm"), Some(28));
        assert_eq!(major(""), None);
    }
}
