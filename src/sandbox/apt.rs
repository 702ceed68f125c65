//! Where this machine takes its packages from, so that boxes take theirs from the same place: mirror, proxy and the
//! settings that fetching needs. What the machine installs from third parties is not copied.

use super::Suite;

/// A mirror of Debian with its security archive.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Mirror {
    /// The archive proper.
    pub(super) main: String,
    /// The archive of security updates.
    pub(super) security: String,
}

impl Mirror {
    fn new(main: &str, security: &str) -> Self {
        Self { main: main.to_owned(), security: security.to_owned() }
    }

    /// Debian's own, for a machine that names none (<https://deb.debian.org>).
    fn public() -> Self {
        Self::new("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")
    }

    /// Where releases go when their support ends.
    fn archive() -> Self {
        Self::new("http://archive.debian.org/debian", "http://archive.debian.org/debian-security")
    }

    /// The same in the format that Debian 13 comes with.
    pub(super) fn stanzas(&self, suite: Suite) -> String {
        let (main, security, name) = (&self.main, &self.security, suite.codename());
        let rest = "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
        format!(
            "Types: deb\nURIs: {main}\nSuites: {name} {name}-updates\n{rest}\n\
             Types: deb\nURIs: {security}\nSuites: {name}-security\n{rest}"
        )
    }

    /// The lines of `sources.list` for `suite`.
    pub(super) fn sources(&self, suite: Suite) -> String {
        let (main, security, name) = (&self.main, &self.security, suite.codename());
        format!(
            "deb {main} {name} main\n\
             deb {main} {name}-updates main\n\
             deb {security} {name}-security main\n"
        )
    }
}

/// One source of apt, from either format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

/// The `deb` lines of a `.list` file (sources.list(5)).
pub(super) fn one_line_entries(text: &str) -> Vec<Entry> {
    text.lines().filter_map(one_line_entry).collect()
}

fn one_line_entry(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).unwrap_or_default();
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Entry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.to_owned(),
    })
}

/// The enabled binary stanzas of a `.sources` file (deb822).
pub(super) fn deb822_entries(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            entries.extend(deb822_entry(&std::mem::take(&mut fields)));
        } else if line.starts_with('#') {
            // A comment may stand inside a stanza.
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn deb822_entry(fields: &[(String, String)]) -> Option<Entry> {
    let value = |name: &str| fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str());
    let words = |name: &str| value(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let off =
        ["no", "false", "0", "off", "without", "disable"].contains(&value("enabled").to_ascii_lowercase().as_str());
    if off || !words("types").iter().any(|word| word == "deb") {
        return None;
    }
    Some(Entry {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: value("signed-by").to_owned(),
    })
}

/// Releases whose names tell Debian's archive from another's; a box's mirror is known by the machine's own release.
const CODENAMES: [&str; 10] =
    ["buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid", "stable", "oldstable", "testing"];

/// The mirrors to try, in order: this machine's, Debian's own, and the archive of old releases.
pub(super) fn mirrors(entries: &[Entry]) -> Vec<Mirror> {
    let mut found: Vec<Mirror> = host_mirror(entries).into_iter().collect();
    for mirror in [Mirror::public(), Mirror::archive()] {
        if !found.contains(&mirror) {
            found.push(mirror);
        }
    }
    found
}

/// A third party may also call its suite `bookworm` and its component `main`. Only Debian's archive has
/// `bookworm-updates` as well, and only it is signed by Debian's keyring.
fn host_mirror(entries: &[Entry]) -> Option<Mirror> {
    let offers = |suffix: &'static str| {
        entries
            .iter()
            .filter(|entry| entry.components.iter().any(|component| component == "main"))
            .filter(move |entry| {
                entry.suites.iter().any(|suite| CODENAMES.iter().any(|name| suite.strip_prefix(name) == Some(suffix)))
            })
            .flat_map(|entry| entry.uris.iter().map(move |uri| (uri.trim_end_matches('/'), entry)))
            // `mirror+file:`, `cdrom:` and `file:` mean nothing inside a box.
            .filter(|(uri, _)| uri.starts_with("http://") || uri.starts_with("https://"))
    };
    let main = offers("").find(|(uri, entry)| {
        entry.signed_by.contains("debian-archive") || offers("-updates").any(|(other, _)| other == *uri)
    })?;
    let security = offers("-security").next().or_else(|| offers("/updates").next());
    let security = security.map_or_else(|| Mirror::public().security, |(uri, _)| uri.to_owned());
    Some(Mirror { main: main.0.to_owned(), security })
}

/// The settings of `apt-config dump` that fetching depends on: proxies, certificates, validity dates, retries.
pub(super) fn fetch_settings(dump: &str) -> Vec<String> {
    const KEPT: [&str; 8] = [
        "Acquire::http::",
        "Acquire::https::",
        "Acquire::Check-Valid-Until",
        "Acquire::Check-Date",
        "Acquire::Max-FutureTime",
        "Acquire::Retries",
        "Acquire::ForceIPv4",
        "Acquire::Languages::",
    ];
    dump.lines()
        .map(str::trim)
        .filter(|line| KEPT.iter().any(|key| line.starts_with(key)))
        // A program or a file of this machine is not there in a box.
        .filter(|line| !line.contains("Proxy-Auto-Detect") && !line.contains("ProxyAutoDetect"))
        .filter(|line| !line.ends_with("\"\";") && !line.contains(" \"/"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb deb-src\n# a comment in the middle\nURIs: http://mirror.example/debian/\n\
        Suites: bookworm\n bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\
        \n\
        Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n\
        \n\
        Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\
        \n\
        Types: deb-src\nURIs: http://source.example/debian\nSuites: bookworm\nComponents: main\n";

    #[test]
    fn deb822_stanzas_give_the_mirror_of_this_machine_first() {
        let entries = deb822_entries(DEB822);
        assert_eq!(entries.len(), 2, "{entries:?}");
        let found = mirrors(&entries);
        assert_eq!(found[0], Mirror::new("http://mirror.example/debian", "http://mirror.example/debian-security"));
        assert_eq!(found[1..], [Mirror::public(), Mirror::archive()]);
    }

    #[test]
    fn one_line_entries_are_read_with_options_and_comments() {
        let text = "# deb http://no.example/debian bookworm main\n\
            deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://sury.example/php bookworm main\n\
            deb-src http://mirror.example/debian bookworm main\n\
            deb http://mirror.example/debian bullseye main contrib # inline\n\
            deb\thttp://mirror.example/debian/ bullseye-updates main\n\
            deb http://security.example bullseye/updates main\n\
            deb cdrom:[Debian] bookworm main\n";
        let found = mirrors(&one_line_entries(text));
        assert_eq!(found[0], Mirror::new("http://mirror.example/debian", "http://security.example"));
    }

    #[test]
    fn third_parties_and_other_distributions_are_not_mistaken_for_a_mirror() {
        for line in [
            "deb https://packages.example/runner/debian bookworm main",
            "deb https://download.example/linux/debian bookworm stable",
            "deb http://apt.example/pub bookworm-pgdg main",
            "deb http://archive.ubuntu.com/ubuntu noble main",
            "deb mirror+file:/etc/apt/mirrors/debian.list bookworm bookworm-updates main",
            "",
        ] {
            assert_eq!(mirrors(&one_line_entries(line)), [Mirror::public(), Mirror::archive()], "{line}");
        }
    }

    #[test]
    fn the_sources_name_the_suite_with_its_updates_and_security() {
        assert_eq!(
            Mirror::public().sources(Suite::Bullseye),
            "deb http://deb.debian.org/debian bullseye main\n\
             deb http://deb.debian.org/debian bullseye-updates main\n\
             deb http://deb.debian.org/debian-security bullseye-security main\n"
        );
    }

    #[test]
    fn only_the_settings_of_fetching_are_copied() {
        let dump = "APT \"\";\nAcquire \"\";\nAcquire::Check-Valid-Until \"false\";\nAcquire::http \"\";\n\
            Acquire::http::Proxy \"http://10.0.0.1:3142/\";\nAcquire::http::Proxy-Auto-Detect \"/usr/bin/auto\";\n\
            Acquire::https::CAInfo \"/etc/ca.pem\";\nAcquire::Languages \"\";\nAcquire::Languages:: \"none\";\n\
            Dir::Cache \"x\";\nAcquire::GzipIndexes \"true\";\n";
        assert_eq!(
            fetch_settings(dump),
            [
                "Acquire::Check-Valid-Until \"false\";",
                "Acquire::http::Proxy \"http://10.0.0.1:3142/\";",
                "Acquire::Languages:: \"none\";"
            ]
        );
    }
}
