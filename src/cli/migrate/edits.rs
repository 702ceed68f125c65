//! deploy.yml in a move: that it names the new host, and back again.

use std::path::Path;

use similar::TextDiff;

use crate::cli::arguments::Migrate;
use crate::cli::{Failed, init, note};
use crate::inventory::deploy::{self, Mended, NotEdited};
use crate::playbook::Disk;

/// What becomes of deploy.yml.
#[derive(Default)]
pub(super) struct Edits {
    /// That it names the new host; empty when it does already.
    pub(super) to_new: Vec<Mended>,
    /// That it names the old one.
    pub(super) to_old: Vec<Mended>,
}

/// The files, for people.
pub(super) fn names_of(edits: &[Mended]) -> String {
    edits.iter().map(|edit| edit.path.as_str()).collect::<Vec<_>>().join(" and ")
}

/// Shows edits as a diff, and what they leave that holds the address which they replace.
pub(super) fn show(edits: &[Mended], replaced: &str) {
    for Mended { path, before, after } in edits {
        let diff = TextDiff::from_lines(before, after);
        note(&format!("\n{}", diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}"))));
    }
    let left = deploy::still_holding(edits, replaced);
    if !left.is_empty() {
        note(&format!("warning: {replaced} stands elsewhere too, and is left for you to judge:"));
        left.iter().for_each(|line| note(&format!("  {line}")));
    }
}

/// Both edits. Errors: deploy.yml names neither host, or both, or in a way that can not be edited; a way back is never
/// refused for it.
pub(super) fn edits(command: &Migrate, folder: &Path, old: &str, new: &str) -> Result<Edits, Failed> {
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let disk = Disk::new(folder);
    let edit = |from: &str, to: &str| deploy::rehosted(&disk, command.selection.destination.as_deref(), &env, from, to);
    let back = |edits: &[Mended]| {
        let turned = |Mended { path, before, after }: &Mended| Mended {
            path: path.clone(),
            before: after.clone(),
            after: before.clone(),
        };
        edits.iter().map(turned).collect::<Vec<_>>()
    };
    match (edit(old, new), edit(new, old)) {
        (Ok(to_new), Err(NotEdited::NotNamed(_))) => Ok(Edits { to_old: back(&to_new), to_new }),
        // An earlier run has edited it already.
        (Err(NotEdited::NotNamed(_)), Ok(to_old)) => Ok(Edits { to_new: Vec::new(), to_old }),
        _ if command.abort => {
            note(&format!("warning: write {old} for {new} in {} yourself", deploy::FILE));
            Ok(Edits::default())
        }
        (Err(NotEdited::NotNamed(file)), Err(NotEdited::NotNamed(_))) => {
            let help =
                format!("write the old host's address there as you name it here, {old}, or name it as it is there");
            Err(Failed::input(format!("{file} names neither {old} nor {new}: the deployer would go elsewhere"))
                .help(&help))
        }
        (Err(wrong @ NotEdited::ByHand { .. }), _) | (_, Err(wrong @ NotEdited::ByHand { .. })) => {
            let help = format!("write {new} there yourself, in the place of {old}, and run it again");
            Err(Failed::input(wrong.to_string()).help(&help))
        }
        _ => {
            let help = "a move is to a host that serves nothing yet; take the new one out of the file";
            Err(Failed::input(format!("{} names both {old} and {new}", deploy::FILE)).help(help))
        }
    }
}

/// Writes the edits, each file at once. Errors: a file has changed since it was read, or can not be written.
pub(super) fn write(folder: &Path, edits: &[Mended]) -> Result<(), Failed> {
    for Mended { path, before, after } in edits {
        let place = folder.join(path);
        match std::fs::read_to_string(&place) {
            Ok(now) if now == *before => init::write(&place, after, 0o644)?,
            Ok(now) if now == *after => {}
            Ok(_) => return Err(Failed::host(format!("{path} has changed since it was read; it is left alone"))),
            Err(error) => return Err(Failed::host(format!("{path} can not be read: {error}"))),
        }
    }
    Ok(())
}
