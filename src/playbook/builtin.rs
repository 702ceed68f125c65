//! The playbooks and templates that are in the binary.

use std::collections::BTreeMap;
use std::sync::Arc;

use include_dir::{Dir, include_dir};

use crate::base::Source;

static PLAYBOOKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/playbooks");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Every built-in playbook by its file's name without ending, in order.
pub fn playbooks() -> Vec<(String, Arc<Source>)> {
    let mut all: Vec<(String, Arc<Source>)> = texts(&PLAYBOOKS)
        .filter_map(|(name, text)| {
            let stem = name.strip_suffix(".toml")?.to_owned();
            Some((stem, Source::new(format!("builtin:{name}"), text)))
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// Every built-in template by its file's name.
pub fn templates() -> BTreeMap<String, Arc<Source>> {
    let templates = texts(&TEMPLATES).filter(|(name, _)| name.ends_with(".j2"));
    templates.map(|(name, text)| (name.to_owned(), Source::new(format!("builtin:{name}"), text))).collect()
}

/// All built-in files, by the path that `bedplate init` gives them: playbooks, templates, and what explains them.
pub fn files() -> Vec<(String, String)> {
    let playbooks = texts(&PLAYBOOKS).map(|(name, text)| (format!("playbooks/{name}"), text.to_owned()));
    let templates = texts(&TEMPLATES).map(|(name, text)| (format!("templates/{name}"), text.to_owned()));
    let mut files: Vec<(String, String)> = playbooks.chain(templates).collect();
    files.sort();
    files
}

fn texts(folder: &'static Dir<'static>) -> impl Iterator<Item = (&'static str, &'static str)> {
    folder.files().filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
}
