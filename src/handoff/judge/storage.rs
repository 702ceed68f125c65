//! What containers are given of the host: folders, volumes of Docker's, and the files that Kamal uploads.

use super::{Case, Judge};
use crate::inventory::deploy::{Deploy, Said, Volume};

pub(super) fn judge(case: &Case<'_>, judge: &mut Judge) {
    given_folders(case, judge);
    given_volumes(case, judge);
    uploaded_files(case, judge);
}

fn given_folders(case: &Case<'_>, judge: &mut Judge) {
    let missing: Vec<&str> = case
        .questions
        .folders
        .iter()
        .zip(&case.look.folders)
        .filter(|(_, (there, _))| !there)
        .map(|(folder, _)| folder.as_str())
        .collect();
    if !missing.is_empty() {
        let what = format!(
            "{} is not there: Docker makes it for root alone, and the app may not write to it",
            missing.join(", ")
        );
        judge.warn(
            "folders",
            what,
            "make it for the container's user, such as `install -d -o 1000 -g 1000 PATH` for Rails",
        );
    } else if !case.questions.folders.is_empty() {
        judge.ready("folders", format!("{} is there", case.questions.folders.join(", ")));
    }
}

fn given_volumes(case: &Case<'_>, judge: &mut Judge) {
    let all: Vec<_> = case.questions.volumes.iter().zip(&case.look.volumes).collect();
    let mut fine = true;
    for (name, volume) in all.iter().filter(|(_, volume)| volume.there && !volume.device_there) {
        fine = false;
        let what = format!("the volume {name} lies on {}, which is not there: is its disk mounted?", volume.device);
        judge.fail(
            "volumes",
            what,
            "`bedplate apply` mounts declared disks; `findmnt` on the host shows what is mounted",
        );
    }
    let (there, later): (Vec<_>, Vec<_>) = all.iter().partition(|(_, volume)| volume.there);
    let names = |list: Vec<&(&String, &crate::handoff::look::FoundVolume)>| {
        list.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    if fine && !there.is_empty() {
        judge.ready("volumes", format!("there: {}", names(there)));
    }
    if !later.is_empty() {
        judge.ready("volumes", format!("not there yet, so Docker makes it: {}", names(later)));
    }
}

fn uploaded_files(case: &Case<'_>, judge: &mut Judge) {
    let foreign: Vec<&str> = case
        .questions
        .files
        .iter()
        .zip(&case.look.files)
        .filter(|(_, own)| **own == Some(false))
        .map(|(file, _)| file.as_str())
        .collect();
    if !foreign.is_empty() {
        let what = format!("{} is not {}'s: Kamal hangs when it uploads it again", foreign.join(", "), case.user);
        let help = format!("`bedplate apply` gives it to {0}; or `chown {0}: FILE` on the host", case.user);
        judge.fail("accessory-files", what, help);
    }
}

fn is_here(groups: &[String], name: &String) -> bool {
    groups.is_empty() || groups.contains(name)
}

/// What containers on a host of `groups` are given.
fn given<'a>(deploy: &'a Deploy, groups: &[String]) -> impl Iterator<Item = &'a Said<Volume>> {
    let roles: Vec<_> = deploy.roles.iter().filter(|role| is_here(groups, &role.name)).collect();
    let common = deploy.volumes.iter().filter({
        let any = !roles.is_empty();
        move |_| any
    });
    let accessories: Vec<_> = deploy.accessories.iter().filter(|one| is_here(groups, &one.name)).collect();
    common
        .chain(roles.into_iter().flat_map(|role| &role.volumes))
        .chain(accessories.into_iter().flat_map(|accessory| &accessory.volumes))
}

fn once(names: impl Iterator<Item = String>) -> Vec<String> {
    names.fold(Vec::new(), |mut all, name| {
        if !all.contains(&name) {
            all.push(name);
        }
        all
    })
}

/// Folders of a host of `groups` that containers are given.
pub(in crate::handoff) fn folders(deploy: &Deploy, groups: &[String]) -> Vec<String> {
    let path = |said: &Said<Volume>| match &said.value {
        Volume::Folder(path) if path.starts_with('/') => Some(path.clone()),
        _ => None,
    };
    once(given(deploy, groups).filter_map(path))
}

/// Volumes of Docker's that containers on a host of `groups` are given.
pub(in crate::handoff) fn volumes(deploy: &Deploy, groups: &[String]) -> Vec<String> {
    let name = |said: &Said<Volume>| match &said.value {
        Volume::Named(name) => Some(name.clone()),
        Volume::Folder(_) => None,
    };
    // What would be an option of the client is no name.
    once(given(deploy, groups).filter_map(name).filter(|name| !name.starts_with('-')))
}

/// Files that Kamal uploads for accessories on a host of `groups`, by their paths below the home.
pub(in crate::handoff) fn files(deploy: &Deploy, groups: &[String]) -> Vec<String> {
    let accessories = deploy.accessories.iter().filter(|accessory| is_here(groups, &accessory.name));
    once(accessories.flat_map(|accessory| &accessory.files).map(|file| file.value.clone()))
}
