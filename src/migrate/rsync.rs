//! What rsync is asked for and what it says: the words that start the other one, its progress, its changes and its
//! troubles. Pure; it is run in `copy`.

use super::side::Trouble;

/// What the other rsync is started with, from what this one would have said: the host, the program, its options, a dot and
/// the path, which is replaced by our own. Errors: it says something else.
pub(super) fn server_words(said: &[u8], source: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> =
        said.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let start =
        words.iter().position(|word| word == "rsync").ok_or("rsync does not say how it would start the other")?;
    let end = words.iter().rposition(|word| word == ".").ok_or("rsync names no path")?;
    let options = words.get(start..end).unwrap_or_default();
    let sound = |word: &String| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.=,:".contains(c));
    if options.get(1).map(String::as_str) != Some("--server")
        || !options.iter().any(|word| word == "--sender")
        || !options.iter().all(sound)
    {
        return Err(format!("rsync would start the other one as `{}`", options.join(" ")));
    }
    Ok(options.iter().cloned().chain([".".to_owned(), source.to_owned()]).collect())
}

/// Says of a copy that broke off why it did, where rsync's own words leave people to guess. `what` is what was done.
pub(super) fn explained(mut trouble: Trouble, what: &str) -> Trouble {
    let failure = &mut trouble.failure;
    let says = |words: &str| failure.said.iter().any(|line| line.contains(words));
    if says("No space left on device") || says("Disk quota exceeded") {
        failure.what = format!("{what}: the new host's disk has become full");
        failure.help = Some(
            "make room there (`df -h`, `df -i`), or mount a larger volume where it goes, and run again: what has arrived is kept"
                .to_owned(),
        );
    } else if ["10", "12", "30", "35", "255"]
        .iter()
        .any(|code| failure.what.ends_with(&format!("it ended with {code}")))
    {
        failure.what = format!("{what}: the line between both hosts broke off");
        failure.help = Some(
            "run again: what has arrived is kept; where the hosts can not reach each other well, `--via-here`"
                .to_owned(),
        );
    }
    trouble
}

/// Bytes of `  1234567  12%   10.00MB/s    0:00:10 (xfr#5, to-chk=…)`.
pub(super) fn progress(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_ascii_whitespace();
    let bytes: u64 = words.next()?.replace(',', "").parse().ok()?;
    words.next()?.ends_with('%').then_some(bytes)
}

/// Whether a line of rsync's tells that something differs. The time of a folder alone is none: whoever looks into SQLite's
/// databases moves it.
pub(super) fn is_change(line: &str) -> bool {
    let Some((code, _)) = line.split_once(' ') else { return false };
    let is_code = code.len() == 11 || code.starts_with("*deleting");
    is_code && code != ".d..t......"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_send_are_taken_from_the_host() {
        let said = b"other\0rsync\0--server\0--sender\0-lHogDtpAXrSze.iLsfxCIvu\0--numeric-ids\0.\0/x/\0";
        let words = server_words(said, "/srv/a b/").unwrap();
        assert_eq!(words.join(" "), "rsync --server --sender -lHogDtpAXrSze.iLsfxCIvu --numeric-ids . /srv/a b/");
        for bad in [
            &b"other\0rsync\0--server\0-logD\0.\0/x/\0"[..],
            b"other\0rsync\0--server\0--sender\0-l;reboot\0.\0/x/\0",
            b"other\0rsync\0--daemon\0--sender\0.\0/x/\0",
            b"",
        ] {
            assert!(server_words(bad, "/x/").is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_line_and_both_from_the_rest() {
        let told = |code: u8, said: &str| {
            let trouble = Trouble::new(format!("copying x: it ended with {code}"), "see what the host said");
            explained(trouble.said(vec![said.to_owned()]), "copying x").failure.what
        };
        let full = "rsync: [receiver] write failed on \"/srv/x\": No space left on device (28)";
        assert_eq!(told(11, full), "copying x: the new host's disk has become full");
        assert_eq!(told(23, full), "copying x: the new host's disk has become full", "inodes");
        assert_eq!(told(255, "Connection closed"), "copying x: the line between both hosts broke off");
        assert_eq!(told(23, "rsync: permission denied"), "copying x: it ended with 23");
    }

    #[test]
    fn rsync_s_progress_is_read() {
        assert_eq!(progress(b"      1,234,567  12%   10.00MB/s    0:00:10  "), Some(1_234_567));
        assert_eq!(progress(b"1234567 100% 1.00MB/s 0:00:01 (xfr#5, to-chk=0/7)"), Some(1_234_567));
        assert_eq!(progress(b"12 files to consider"), None);
        assert_eq!(progress(b"\xff"), None);
    }

    #[test]
    fn what_differs_is_told_from_what_rsync_says_besides() {
        assert!(is_change(">f.st...... a"));
        assert!(is_change("*deleting   b"));
        assert!(is_change(".d...p..... c/"));
        assert!(!is_change(".d..t...... ./"));
        assert!(!is_change("sent 12 bytes  received 13 bytes"));
        assert!(!is_change("receiving incremental file list"));
    }
}
