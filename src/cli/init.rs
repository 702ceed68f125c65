//! `bedplate init`: the built-in playbooks and templates and a first inventory, to own and edit.

use std::io::Write as _;
use std::path::Path;

use super::arguments::Init;
use super::{Failed, note};
use crate::base::{Diagnostics, Exit};
use crate::inventory::deploy;
use crate::playbook::Disk;
use crate::playbook::starter::{self, Filled};

/// Runs the command.
pub(super) fn run(command: &Init) -> Result<Exit, Failed> {
    let filled = from_kamal(command)?;
    let files = starter::files_with(&filled.clone().unwrap_or_default());
    let present: Vec<&str> =
        files.iter().map(|(path, _)| path.as_str()).filter(|path| command.directory.join(path).exists()).collect();
    if !present.is_empty() && !command.force {
        return Err(Failed::input(format!("{} would be overwritten", present.join(", ")))
            .help("nothing was written; choose an empty directory, or add `--force` to replace them"));
    }
    for (path, text) in &files {
        write(&command.directory.join(path), text)?;
    }
    let place = match command.directory.to_str() {
        Some(".") => "here".to_owned(),
        _ => format!("into {}", command.directory.display()),
    };
    let next = match filled {
        Some(_) => format!("look at the hosts in bedplate.toml, which are those of {}, then run", deploy::FILE),
        None => "name your server in bedplate.toml, then run".to_owned(),
    };
    note(&format!("Wrote bedplate.toml, playbooks/ and templates/ {place}.\n\nNext: {next} `bedplate check`."));
    Ok(Exit::Done)
}

/// What Kamal's configuration says in that folder, where there is one; warnings are shown. Errors: it can not be read.
fn from_kamal(command: &Init) -> Result<Option<Filled>, Failed> {
    let mut found = Diagnostics::new();
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let disk = Disk::new(&command.directory);
    let deploy = deploy::load(&disk, command.destination.as_deref(), &env, &mut found);
    let filled = deploy.map(|deploy| deploy::starter(&deploy, &mut found));
    if found.has_errors() {
        return Err(found.into());
    }
    if !found.is_empty() {
        note(found.render(super::colour_on_errors()).trim_end());
    }
    Ok(filled)
}

/// Writes beside the file and renames, so that no half file is left when the disk is full.
fn write(path: &Path, text: &str) -> Result<(), Failed> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error).map(|_| ())
    });
    written.map_err(|error| Failed::host(format!("{} can not be written: {error}", path.display())))
}

/// As an editor would make it; a temporary file alone would be private.
fn readable() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o644)
}
