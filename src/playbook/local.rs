//! What is read on the operator's own computer: files, and the commands that give a secret. One small trait, so that
//! tests read from memory and no other file of this room touches a disk.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// The operator's computer, as far as playbooks and inventories need it.
pub trait Local: Debug {
    /// The text of the file at `path` (relative to the inventory's folder); `None` when there is none.
    /// Errors: why it can not be read, as a phrase.
    fn read(&self, path: &str) -> Result<Option<String>, String>;
    /// Names of the plain files in the folder `path`, in order; `None` when there is no such folder.
    fn names(&self, path: &str) -> Result<Option<Vec<String>>, String>;
    /// What `command` (a program and its arguments, no shell) writes. Errors: why there is nothing, as a phrase.
    fn output(&self, command: &[String]) -> Result<String, String>;
}

/// Files below a folder.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The folder that paths are relative to: that of the inventory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/").zip(std::env::home_dir()) {
            Some((rest, home)) => home.join(rest),
            None => self.root.join(Path::new(path)),
        }
    }
}

impl Local for Disk {
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        match std::fs::read(self.path(path)) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err("it is not UTF-8 text".into()),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn names(&self, path: &str) -> Result<Option<Vec<String>>, String> {
        let entries = match std::fs::read_dir(self.path(path)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| error.to_string())?;
            if entry.path().is_file() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort();
        Ok(Some(names))
    }

    fn output(&self, command: &[String]) -> Result<String, String> {
        let Some((program, arguments)) = command.split_first() else { return Err("the command is empty".into()) };
        let mut process = std::process::Command::new(program);
        // The error output goes to the terminal: a password store may have to ask its own question there.
        process.args(arguments).current_dir(&self.root).stderr(std::process::Stdio::inherit());
        let output = process.output().map_err(|error| format!("`{program}` can not be started: {error}"))?;
        if !output.status.success() {
            return Err(format!("`{program}` ended with {}", output.status));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("what `{program}` wrote is not UTF-8 text"))
    }
}

/// Files and commands that exist in memory alone.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Path to text.
    pub files: BTreeMap<String, String>,
    /// Command line, its words joined by spaces, to what it writes.
    pub commands: BTreeMap<String, String>,
}

impl Memory {
    /// These files.
    pub fn of<P: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { files, commands: BTreeMap::new() }
    }
}

impl Local for Memory {
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        Ok(self.files.get(path).cloned())
    }

    fn names(&self, path: &str) -> Result<Option<Vec<String>>, String> {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let inside = self.files.keys().filter_map(|file| file.strip_prefix(&folder));
        let names: Vec<String> = inside.filter(|rest| !rest.contains('/')).map(str::to_owned).collect();
        Ok(if names.is_empty() { None } else { Some(names) })
    }

    fn output(&self, command: &[String]) -> Result<String, String> {
        let line = command.join(" ");
        self.commands.get(&line).cloned().ok_or_else(|| format!("`{line}` can not be started: no such program"))
    }
}
