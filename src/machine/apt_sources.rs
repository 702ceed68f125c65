//! The files that name apt's repositories, and who names which.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Fact, Fields, Kept, Machine, Question, Slot, apt, file};
use crate::shell::Call;

/// The one question of this sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AptSources {
    /// All files of this host.
    All,
}

impl Fact for AptSources {
    /// The files' texts, by path.
    type Answer = BTreeMap<String, String>;

    fn call(_: &[&Self]) -> Call {
        Call::new(&apt::APT, "apt_sources")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<Self::Answer>, BadAnswer> {
        let mut files = BTreeMap::new();
        loop {
            let path = fields.text()?;
            if path.is_empty() {
                return Ok(vec![files]);
            }
            files.insert(path.to_owned(), String::from_utf8_lossy(fields.bytes()?).into_owned());
        }
    }

    fn derives_from(&self, other: &Question) -> bool {
        file::is_below(other, "/etc/apt/sources.list.d") || file::is_about(other, "/etc/apt/sources.list")
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<Self::Answer> {
        use proptest::prelude::*;
        let files = vec![
            ("/etc/apt/sources.list", "deb http://deb.debian.org/debian bookworm main\n"),
            (
                "/etc/apt/sources.list.d/docker.list",
                "# by hand\ndeb [arch=amd64 signed-by=/x] https://example.org/linux/debian bookworm stable\n",
            ),
            (
                "/etc/apt/sources.list.d/other.sources",
                "Types: deb\nURIs: https://Example.org/linux/debian/\nSuites: bookworm\nComponents: stable\n",
            ),
        ];
        proptest::sample::subsequence(files, 0..=3)
            .prop_map(|files| files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
            .boxed()
    }
}

/// A repository's address as two files may both mean it: no slash at the end, the host in small letters.
pub fn normal(uri: &str) -> String {
    let uri = uri.trim_end_matches('/');
    match uri.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{}://{}/{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
        }
        None => uri.to_owned(),
    }
}

/// `text` of the file at `path` with every entry that names one of `uris` (as [`normal`] has them) turned off; `None`
/// when it has no such entry.
pub fn without(path: &str, text: &str, uris: &[String]) -> Option<String> {
    if path.ends_with(".sources") { without_stanzas(text, uris) } else { without_lines(text, uris) }
}

/// One-line entries are commented out.
fn without_lines(text: &str, uris: &[String]) -> Option<String> {
    let names = |line: &str| {
        let mut words = line.split_whitespace().peekable();
        matches!(words.next(), Some("deb" | "deb-src")) && {
            let mut options = false;
            words.any(|word| {
                // Options stand in brackets, which may have spaces in them.
                options |= word.starts_with('[');
                let is_option = options;
                options &= !word.ends_with(']');
                !is_option && uris.contains(&normal(word))
            })
        }
    };
    if !text.lines().any(names) {
        return None;
    }
    let lines = text.lines().map(|line| if names(line) { format!("# {line}\n") } else { format!("{line}\n") });
    Some(lines.collect())
}

/// Stanzas get `Enabled: no`.
fn without_stanzas(text: &str, uris: &[String]) -> Option<String> {
    let mut changed = false;
    let mut result = String::new();
    for stanza in text.split_inclusive("\n\n") {
        if is_on(stanza) && addresses(stanza).iter().any(|uri| uris.contains(&normal(uri))) {
            changed = true;
            let lines = stanza.lines().filter(|line| !line.to_ascii_lowercase().starts_with("enabled:"));
            let mut off = false;
            for line in lines {
                if !off && !line.starts_with('#') && !line.trim().is_empty() {
                    result.push_str("Enabled: no\n");
                    off = true;
                }
                result.push_str(line);
                result.push('\n');
            }
        } else {
            result.push_str(stanza);
        }
    }
    changed.then_some(result)
}

fn is_on(stanza: &str) -> bool {
    let enabled = stanza.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("enabled:").map(str::to_owned));
    !enabled.is_some_and(|value| matches!(value.trim(), "no" | "false" | "off" | "0" | "without" | "disable"))
}

/// The words of a stanza's `URIs`, which may go on over lines that begin with a space.
fn addresses(stanza: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in stanza.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            if inside {
                found.extend(line.split_whitespace());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            inside = key.eq_ignore_ascii_case("URIs");
            if inside {
                found.extend(value.split_whitespace());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris() -> Vec<String> {
        vec![normal("https://Download.docker.com/linux/debian/")]
    }

    #[test]
    fn a_line_that_names_the_repository_is_commented_out_and_no_other() {
        let text = "# deb https://download.docker.com/linux/debian x y\n\
            deb [ arch=amd64 signed-by=/a.gpg ] https://download.docker.com/linux/debian bookworm stable\n\
            deb http://deb.debian.org/debian bookworm main\n";
        let after = without("/etc/apt/sources.list", text, &uris()).unwrap();
        assert_eq!(after.matches("\n# deb [ arch").count(), 1);
        assert!(after.contains("\ndeb http://deb.debian.org"));
        assert_eq!(without("/etc/apt/sources.list", &after, &uris()), None, "once is enough");
    }

    #[test]
    fn a_stanza_that_names_the_repository_is_turned_off_and_no_other() {
        let text = "# mine\nTypes: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm\n\n\
            # docker\nTypes: deb\nURIs:\n https://download.docker.com/linux/debian\nSuites: bookworm\nEnabled: yes\n";
        let after = without("/x.sources", text, &uris()).unwrap();
        assert!(after.ends_with(
            "# docker\nEnabled: no\nTypes: deb\nURIs:\n https://download.docker.com/linux/debian\nSuites: bookworm\n"
        ));
        assert!(after.starts_with("# mine\nTypes: deb\nURIs: http://deb"));
        assert_eq!(without("/x.sources", &after, &uris()), None);
    }

    #[test]
    fn reads_files() {
        let body = b"/etc/apt/sources.list\0deb x y z\n\0\0";
        let files = AptSources::parse(&[&AptSources::All], &mut Fields::new(body)).unwrap().remove(0);
        assert_eq!(files["/etc/apt/sources.list"], "deb x y z\n");
    }
}
