//! `bedplate init`: the built-in playbooks and templates and a first inventory, to own and edit. Kamal's own files are not
//! touched: what Kamal 2 would refuse in them is shown as a diff.

use std::io::Write as _;
use std::path::Path;

use similar::TextDiff;

use super::arguments::Init;
use super::{Failed, note, say};
use crate::base::{Diagnostics, Exit};
use crate::handoff::hook;
use crate::inventory::deploy::{self, Mended};
use crate::playbook::Disk;
use crate::playbook::starter::{self, Filled};

/// Runs the command.
pub(super) fn run(command: &Init) -> Result<Exit, Failed> {
    let kamal = from_kamal(command)?;
    if command.diff {
        print(&kamal.mended);
        return Ok(Exit::Done);
    }
    let mut files: Vec<(String, String, u32)> = starter::files_with(&kamal.filled.clone().unwrap_or_default())
        .into_iter()
        .map(|(path, text)| (path, text, 0o644))
        .collect();
    if command.hooks {
        files.push((format!("{}/{}", kamal.hooks, hook::NAME), hook::TEXT.to_owned(), 0o755));
    }
    let present: Vec<&str> =
        files.iter().map(|(path, ..)| path.as_str()).filter(|path| command.directory.join(path).exists()).collect();
    if !present.is_empty() && !command.force {
        return Err(Failed::input(format!("{} would be overwritten", present.join(", ")))
            .help("nothing was written; choose an empty directory, or add `--force` to replace them"));
    }
    for (path, text, mode) in &files {
        write(&command.directory.join(path), text, *mode)?;
    }
    let place = match command.directory.to_str() {
        Some(".") => "here".to_owned(),
        _ => format!("into {}", command.directory.display()),
    };
    let next = match kamal.filled {
        Some(_) => format!("look at the hosts in bedplate.toml, which are those of {}, then run", deploy::FILE),
        None => "name your server in bedplate.toml, then run".to_owned(),
    };
    let hooks = if command.hooks { format!(", and {}/{},", kamal.hooks, hook::NAME) } else { String::new() };
    note(&format!("Wrote bedplate.toml, playbooks/ and templates/{hooks} {place}.\n\nNext: {next} `bedplate check`."));
    propose(&kamal.mended);
    Ok(Exit::Done)
}

/// What Kamal's configuration says.
struct Kamal {
    /// Of the inventory; `None` without such a file.
    filled: Option<Filled>,
    /// Its files with what Kamal 2 refuses mended.
    mended: Vec<Mended>,
    /// Where its hooks are.
    hooks: String,
}

/// What Kamal's configuration says in that folder; warnings are shown. Errors: it can not be read.
fn from_kamal(command: &Init) -> Result<Kamal, Failed> {
    let mut found = Diagnostics::new();
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let disk = Disk::new(&command.directory);
    let deploy = deploy::load(&disk, command.destination.as_deref(), &env, &mut found);
    let hooks = deploy.as_ref().and_then(|deploy| deploy.tree.get("hooks_path")?.text());
    let hooks = hooks.unwrap_or(hook::FOLDER).trim_end_matches('/').to_owned();
    let filled = deploy.map(|deploy| deploy::starter(&deploy, &mut found));
    if found.has_errors() {
        return Err(found.into());
    }
    if !found.is_empty() {
        note(super::drawn(&found).trim_end());
    }
    let mended = deploy::mended(&disk, command.destination.as_deref(), &env);
    Ok(Kamal { filled, mended, hooks })
}

/// Proposes edits.
fn propose(mended: &[Mended]) {
    if !mended.is_empty() {
        note(
            "\nKamal 2 refuses parts of its configuration. This mends what needs no choice of yours; it was not written.",
        );
        note("To take it: `bedplate init --diff | patch -p1`\n");
        print(mended);
    }
}

/// Prints edits as `patch -p1` and `git apply` take them.
fn print(mended: &[Mended]) {
    for Mended { path, before, after } in mended {
        let diff = TextDiff::from_lines(before, after);
        say(&diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string());
    }
}

/// Writes beside the file and renames, so that no half file is left when the disk is full.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failed> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::Builder::new().permissions(permissions(mode)).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error).map(|_| ())
    });
    written.map_err(|error| Failed::host(format!("{} can not be written: {error}", path.display())))
}

/// As an editor would make it; a temporary file alone would be private.
fn permissions(mode: u32) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(mode)
}
