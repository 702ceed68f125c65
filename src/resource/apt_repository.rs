//! A repository of packages beside the distribution's own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::SetRepository;
use crate::action::apt::{Key, Written};
use crate::action::file::Found;
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::apt_sources::{normal, without};
use crate::machine::file::{FileState, Kind, Owner};
use crate::machine::openpgp::{Fingerprint, fingerprints};
use crate::machine::{AptSources, Blocked, File, Machine, Question};

/// A repository of packages, such as Docker's own.
///
/// It gets a file of its own in `/etc/apt/sources.list.d`, and its key a file in `/etc/apt/keyrings`. The key is pinned
/// by its fingerprint, which apt itself enforces; no gnupg is needed. Entries of other files for the same repository
/// are turned off: two that name different keys stop all of apt. The lists are fetched at once, and when that fails
/// (a suite that the repository does not have, a wrong key) all files are put back.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AptRepository {
    /// Name of the files: `docker` makes `docker.sources` and `docker.asc`.
    pub name: String,
    /// Addresses, the same packages under each.
    pub uris: Vec<String>,
    /// Suites, as a rule the release's code name.
    pub suites: Vec<String>,
    /// Components, such as `stable` or `main`.
    #[serde(default)]
    pub components: Vec<String>,
    /// Architectures; the host's own if empty.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// Fingerprint of the key that the repository is signed with: 40 hexadecimal digits, spaces allowed.
    pub fingerprint: Fingerprint,
    /// The key itself, ASCII-armored. Either this or `key_url`.
    #[serde(default)]
    pub key: Option<String>,
    /// Where the host fetches the key, ASCII-armored.
    #[serde(default)]
    pub key_url: Option<String>,
}

/// How an address may begin.
const SCHEMES: [&str; 3] = ["https://", "http://", "file:/"];

impl AptRepository {
    fn sources_path(&self) -> Option<AbsPath> {
        AbsPath::new(format!("/etc/apt/sources.list.d/{}.sources", self.name)).ok()
    }

    fn key_path(&self) -> Option<AbsPath> {
        AbsPath::new(format!("/etc/apt/keyrings/{}.asc", self.name)).ok()
    }

    /// The file, in the form of sources.list(5). A fingerprint behind the key's path makes apt take no other key.
    fn text(&self, key: &AbsPath) -> String {
        let mut text = String::from("# Written by bedplate.\nTypes: deb\n");
        let mut field = |name: &str, words: &[String]| {
            if !words.is_empty() {
                text.push_str(&format!("{name}: {}\n", words.join(" ")));
            }
        };
        field("URIs", &self.uris);
        field("Suites", &self.suites);
        field("Components", &self.components);
        field("Architectures", &self.architectures);
        field("Signed-By", &[key.to_string(), self.fingerprint.to_string()]);
        text
    }

    /// What must become of the key.
    fn wanted_key(&self, file: &FileState) -> Result<Key, Blocked> {
        if let FileState::Present { kind: Kind::Directory | Kind::Link { .. } | Kind::Other, .. } = file {
            return Err(Blocked::refused(
                format!("/etc/apt/keyrings/{}.asc is not a plain file, so it is left alone", self.name),
                "move it away yourself if nothing needs it, then run again",
            ));
        }
        if let Some(key) = &self.key {
            let content = key.trim_end().to_owned() + "\n";
            if *file == FileState::text(&content, 0o644, Owner::root()) {
                return Ok(Key::Keep);
            }
            return Ok(Key::Write { content, found: Found::of(file) });
        }
        let holds = file.content().and_then(|text| fingerprints(text).ok());
        let readable = matches!(file, FileState::Present { mode, .. } if mode & 0o444 == 0o444);
        if readable && holds.is_some_and(|all| all.contains(&self.fingerprint)) {
            return Ok(Key::Keep);
        }
        Ok(Key::Fetch { url: self.key_url.clone().unwrap_or_default() })
    }

    /// Other files that name this repository, without it.
    fn others(&self, machine: &Machine, own: &AbsPath) -> Result<Vec<(Written, String)>, Blocked> {
        let uris: Vec<String> = self.uris.iter().map(|uri| normal(uri)).collect();
        let files = machine.get(&AptSources::All)?;
        let others = files.iter().filter(|(path, _)| path.as_str() != own.as_str()).filter_map(|(path, before)| {
            let content = without(path, before, &uris)?;
            let path = AbsPath::new(path.as_str()).ok()?;
            let found = Found::Digest(crate::base::Digest::of(before));
            Some((Written { path, content, found }, before.clone()))
        });
        Ok(others.collect())
    }

    fn key_diff(&self, key: &Key, path: &AbsPath, file: &FileState) -> Option<Diff> {
        let held = file.content().and_then(|text| fingerprints(text).ok());
        let before = held.map(|all| all.iter().map(Fingerprint::as_str).collect::<Vec<_>>().join(", "));
        let after = Some(self.fingerprint.to_string());
        (*key != Key::Keep).then(|| Diff::Value { what: format!("key in {path}"), before, after })
    }
}

impl Resource for AptRepository {
    const NAME: &'static str = "apt_repository";
    const EXAMPLE: &'static str = "name = \"docker\"\nuris = [\"https://download.docker.com/linux/debian\"]\n\
        suites = [\"bookworm\"]\ncomponents = [\"stable\"]\n\
        fingerprint = \"9DC8 5822 9FC7 DD38 854A  E2D8 8D81 803C 0EBF CD88\"\n\
        key_url = \"https://download.docker.com/linux/debian/gpg\"\n";

    fn check(&self, problems: &mut Problems) {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(legal) {
            problems.push("name", "apt ignores files of such a name", Some("use small letters, digits and `-`"));
        }
        for (field, words) in [("uris", &self.uris), ("suites", &self.suites)] {
            if words.is_empty() {
                problems.push(field, "a repository needs at least one", None);
            }
        }
        let lists = [
            ("uris", &self.uris),
            ("suites", &self.suites),
            ("components", &self.components),
            ("architectures", &self.architectures),
        ];
        for (field, words) in lists {
            for (index, word) in words.iter().enumerate() {
                if word.is_empty()
                    || word.starts_with('#')
                    || word.contains(|c: char| c.is_whitespace() || c.is_control())
                {
                    problems.push(&format!("{field}.{index}"), "this is not one word", None);
                }
            }
        }
        for (index, uri) in self.uris.iter().enumerate() {
            if !SCHEMES.iter().any(|scheme| uri.starts_with(scheme)) {
                problems.push(&format!("uris.{index}"), "this is not an address", Some("write it as `https://…`"));
            }
        }
        if self.components.is_empty() && self.suites.iter().any(|suite| !suite.ends_with('/')) {
            problems.push("components", "a suite needs components", Some("name them, or end the suite in `/`"));
        }
        match (&self.key, &self.key_url) {
            (Some(key), None) => match fingerprints(key) {
                Err(why) => problems.push("key", format!("this is not a key: {why}"), None),
                Ok(found) if !found.contains(&self.fingerprint) => {
                    let has = found.iter().map(Fingerprint::as_str).collect::<Vec<_>>().join(", ");
                    problems.push("key", format!("this key has another fingerprint: {has}"), None);
                }
                Ok(_) => {}
            },
            (None, Some(url)) if SCHEMES.iter().any(|scheme| url.starts_with(scheme)) => {}
            (None, Some(_)) => problems.push("key_url", "this is not an address", Some("write it as `https://…`")),
            _ => problems.push("", "exactly one of `key` and `key_url` is needed", None),
        }
    }

    fn facts(&self) -> Vec<Question> {
        let paths = self.sources_path().into_iter().chain(self.key_path());
        let mut facts: Vec<Question> = paths.map(|path| File::at(&path).into()).collect();
        facts.push(AptSources::All.into());
        facts
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let (Some(path), Some(key_path)) = (self.sources_path(), self.key_path()) else {
            return Err(Blocked::refused(format!("`{}` makes no file name", self.name), "choose another name"));
        };
        let key_file = machine.file(&key_path)?;
        let key = self.wanted_key(key_file)?;
        let others = self.others(machine, &path)?;
        let file = machine.file(&path)?;
        let content = self.text(&key_path);
        let right = *file == FileState::text(&content, 0o644, Owner::root());
        if right && key == Key::Keep && others.is_empty() {
            return Ok(Plan::in_sync(format!("{path} and its key {} are there", self.fingerprint)));
        }
        if !right && !file.is_absent() && file.digest().is_none() {
            return Err(Blocked::refused(
                format!("{path} is not a plain file, so it is left alone"),
                "move it away yourself if nothing needs it, then run again",
            ));
        }
        let diff = |path: &AbsPath, before: Option<&str>, after: &str| Diff::Text {
            path: path.to_string(),
            before: before.map(str::to_owned),
            after: Some(after.to_owned()),
        };
        // One action does it all, so that all can be put back; the further diffs hang on changes without actions.
        let mut shown = Vec::new();
        if !right {
            shown.push((format!("write {path}"), diff(&path, file.content(), &content)));
        }
        if let Some(key_diff) = self.key_diff(&key, &key_path, key_file) {
            shown.push((format!("pin the key in {key_path}"), key_diff));
        }
        for (other, before) in &others {
            let summary = format!("turn off the entry for the same repository in {}", other.path);
            shown.push((summary, diff(&other.path, Some(before), &other.content)));
        }
        let action = SetRepository {
            sources: Written { path, content, found: Found::of(file) },
            key_path,
            key,
            others: others.into_iter().map(|(other, _)| other).collect(),
        };
        let mut changes: Vec<Change> = shown
            .into_iter()
            .map(|(summary, diff)| Change { summary, diff: Some(diff), actions: Vec::new() })
            .collect();
        changes.push(Change::by(action));
        Ok(Plan::changes(changes, ""))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let key = proptest::sample::select(vec![
            (Some("-----BEGIN PGP PUBLIC KEY BLOCK-----".to_owned()), None),
            (None, Some("https://example.org/key".to_owned())),
        ]);
        key.prop_map(|(key, key_url)| AptRepository {
            name: "example".into(),
            uris: vec!["https://example.org/linux/debian".into()],
            suites: vec!["bookworm".into()],
            components: vec!["stable".into()],
            architectures: Vec::new(),
            fingerprint: Fingerprint::new(&"A1".repeat(20)).unwrap(),
            key,
            key_url,
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_pinned_in_the_sources() {
        let repository = AptRepository {
            name: "docker".into(),
            uris: vec!["https://download.docker.com/linux/debian".into()],
            suites: vec!["bookworm".into()],
            components: vec!["stable".into()],
            architectures: Vec::new(),
            fingerprint: Fingerprint::new("9DC858229FC7DD38854AE2D88D81803C0EBFCD88").unwrap(),
            key: None,
            key_url: Some("https://download.docker.com/linux/debian/gpg".into()),
        };
        assert_eq!(
            repository.text(&repository.key_path().unwrap()),
            "# Written by bedplate.\nTypes: deb\nURIs: https://download.docker.com/linux/debian\nSuites: bookworm\n\
             Components: stable\nSigned-By: /etc/apt/keyrings/docker.asc 9DC858229FC7DD38854AE2D88D81803C0EBFCD88\n"
        );
        // What a proxy's error page left there is no key.
        let page = FileState::text("<html>", 0o644, Owner::root());
        assert!(matches!(repository.wanted_key(&page), Ok(Key::Fetch { .. })));
    }
}
