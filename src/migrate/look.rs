//! What there is to move, told, and whether the new host may be filled with it. Changes nothing.

use std::collections::BTreeSet;

use super::chain::{Both, Earlier, Stage};
use super::freeze;
use super::freight::{self, Freight, Root, To, Wishes};
use super::side::Trouble;
use super::survey::{self, Found, Room, Sort, Survey};
use crate::base::size;

/// How much more than the data a file system must have room for.
pub(super) const SPARE: u64 = 256 * 1024 * 1024;
/// How many more inodes it must have: whoever runs there makes files too.
const SPARE_INODES: u64 = 1000;

impl Both<'_> {
    /// What there is to move, and how far that is. Errors: it can not be moved.
    pub(super) async fn look(&mut self) -> Result<(Freight, Earlier), Trouble> {
        if self.job.forward && self.stands_at(Stage::Switched).await? {
            let text = "the app has been moved here already: what still comes to the old host is handed on, nothing else is done";
            self.new.note(text).await;
            return Ok((Freight::default(), Earlier::Moved));
        }
        let user = &self.job.user;
        let (old, new) = tokio::join!(survey::survey(self.old, user), survey::survey(self.new, user));
        let (old, new) = (old?, new?);
        if let Some(freight) = self.is_deploying().await? {
            let text = "an earlier run had begun to deploy here, and the old host stands still since: nothing is copied any more, the \
                        deployer runs again and the move goes on from there";
            self.new.note(text).await;
            return Ok((freight, Earlier::Deploying));
        }
        let freight = self.freight(&old, &new).await?;
        self.may_be_filled(&old, &new, &freight).await?;
        for root in &freight.roots {
            let to = match &root.to {
                To::Volume { .. } => String::new(),
                To::Path(path) if *path == root.from => String::new(),
                To::Path(path) => format!(", to {path}"),
            };
            self.old.note(format!("moves {}: {}{to}", root.what, size(root.used))).await;
        }
        for left in &freight.left {
            self.old.note(format!("stays: {}: {}", left.what, left.why)).await;
        }
        let stops: Vec<&str> = freight.apps.iter().chain(&freight.others).map(String::as_str).collect();
        if !stops.is_empty() && self.job.means.own.is_none() {
            self.old.note(format!("will be stopped for the last copy: {}", stops.join(", "))).await;
        }
        if !new.machine.is_empty() && old.machine != new.machine {
            let text = format!(
                "the machines differ ({} and {}): images must be built for the new one, and the data of PostgreSQL or MySQL \
                 can not be read there; take a dump (`--dump`, `--also`, `--skip`). SQLite does not mind",
                old.machine, new.machine
            );
            self.new.note(text).await;
        }
        Ok((freight, Earlier::Copied))
    }

    /// Whether a move from this old host has come to `stage` and not been taken back.
    async fn stands_at(&mut self, stage: Stage) -> Result<bool, Trouble> {
        let ours = self.old.connection.login().host_key_fingerprint.clone();
        Ok(self.marked().await? == Some((ours, stage)) && freeze::has_begun(self.old).await?)
    }

    /// What was moved, where an earlier run was cut off behind the last copy and the old host still stands still: then the new
    /// one has everything, and perhaps more. `None` where this is not so.
    pub(super) async fn is_deploying(&mut self) -> Result<Option<Freight>, Trouble> {
        if !self.stands_at(Stage::Switching).await? {
            return Ok(None);
        }
        let user = &self.job.user;
        let (old, new) = tokio::join!(survey::survey(self.old, user), survey::survey(self.new, user));
        let freight = self.freight(&old?, &new?).await?;
        Ok(Some(freight).filter(|freight| freight.apps.is_empty() && freight.others.is_empty()))
    }

    pub(super) async fn freight(&mut self, old: &Survey, new: &Survey) -> Result<Freight, Trouble> {
        let job = self.job;
        if old.docker.is_empty() && (job.also.is_empty() || old.docker_installed) {
            let help = "start Docker there, or name what is to be moved with `--also`";
            return Err(Trouble::refused("Docker does not answer on the old host", help).on(&self.old.name));
        }
        let new_home = if new.home.is_empty() { &old.home } else { &new.home };
        let wishes = Wishes { deploy: job.deploy.as_ref(), groups: &job.groups, also: &job.also, skip: &job.skip };
        let candidates = freight::candidates(old, new_home, wishes);
        let paths: Vec<String> = candidates.found.iter().map(|candidate| candidate.from.clone()).collect();
        let found = survey::paths(self.old, &paths).await?;
        let freight = freight::freight(old, candidates, &found);
        match freight.wrong.as_slice() {
            [] => Ok(freight),
            wrong => {
                let help =
                    "look at what is named with `--also`; a tree that can not be copied is left out with `--skip`";
                Err(Trouble::refused(wrong.join("; "), help).on(&self.old.name))
            }
        }
    }

    /// Whether the new host has room, and nothing there would be lost.
    pub(super) async fn may_be_filled(&mut self, old: &Survey, new: &Survey, freight: &Freight) -> Result<(), Trouble> {
        let ours = match self.marked().await? {
            Some((_, Stage::Switched)) => {
                let what =
                    "the app has been moved to the new host already: a copy would overwrite what came there since";
                let help = "to go back, `--abort`; it starts the old host's containers again, without what came since";
                return Err(Trouble::refused(what, help).on(&self.new.name));
            }
            Some((_, Stage::Switching)) => {
                let what = "an earlier run had begun to deploy to the new host, and the old one serves again: what came to the new one \
                     since would be overwritten";
                let help = "if the app is well there, point your DNS at it, and that is all; else go back with `--abort`, then run again";
                return Err(Trouble::refused(what, help).on(&self.new.name));
            }
            // What came to the new host before it was given up is there only.
            Some((_, Stage::Aborted)) => false,
            Some((from, _)) => from == self.old.connection.login().host_key_fingerprint,
            None => false,
        };
        let paths: Vec<String> = freight.roots.iter().map(|root| path_on_new(root, new)).collect();
        let found = survey::paths(self.new, &paths).await?;
        let rooms = survey::rooms(self.new, &paths).await?;
        let full: Vec<&str> = freight
            .roots
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.sort != Sort::Absent && !found.empty)
            .map(|(root, _)| root.what.as_str())
            .collect();
        if !full.is_empty() && !ours && !self.job.overwrite {
            let what = format!("the new host is not empty: {}", full.join(", "));
            let help = "what is there would be replaced; `--overwrite` does that, or take another host";
            return Err(Trouble::refused(what, help).on(&self.new.name));
        }
        if let Some(what) = too_small(&freight.roots, &found, &rooms) {
            let help = "take a larger disk, mount a volume where the data goes, or leave something out with `--skip`";
            return Err(Trouble::refused(what, help).on(&self.new.name));
        }
        if new.docker.is_empty() && !old.docker.is_empty() {
            self.new.note("Docker is not there yet: it is looked at again when it is").await;
        }
        Ok(())
    }
}

/// What is too small for `roots`, in words; `None` when all of them fit. `found` is what lies there already, `rooms` the
/// file systems, both in the order of the roots. What lies there will be replaced, so its room counts as free.
fn too_small(roots: &[Root], found: &[Found], rooms: &[Room]) -> Option<String> {
    let devices: BTreeSet<u64> = rooms.iter().map(|room| room.device).collect();
    devices.into_iter().find_map(|device| {
        let here = || roots.iter().zip(found).zip(rooms).filter(|(_, room)| room.device == device);
        let names = here().map(|((root, _), _)| root.what.as_str()).collect::<Vec<_>>().join(", ");
        let there = |count: fn(&Found) -> u64| here().map(|((_, found), _)| count(found)).sum::<u64>();
        let needed = here().map(|((root, _), _)| root.used).sum::<u64>() + SPARE;
        let free = here().map(|(_, room)| room.free).min().unwrap_or(0);
        if needed > free + there(|found| found.used) {
            return Some(format!(
                "there is not enough room on the new host: {} for {names}, and {} are free",
                size(needed),
                size(free)
            ));
        }
        let needed = here().map(|((root, _), _)| root.inodes).sum::<u64>() + SPARE_INODES;
        let free = here().filter_map(|(_, room)| room.inodes).min()?;
        (needed > free + there(|found| found.inodes)).then(|| {
            format!(
                "there are not enough free inodes on the new host: {needed} for {names}, and {free} are free: its file system \
                 can not hold so many files, however small they are"
            )
        })
    })
}

/// Where a tree would come to lie, as far as that is known before its volume is made.
pub(super) fn path_on_new(root: &Root, new: &Survey) -> String {
    match &root.to {
        To::Path(path) => path.clone(),
        To::Volume { volume, below } => {
            let made = new.volumes.iter().find(|other| other.name == volume.name);
            let root = if new.docker_root.is_empty() { "/var/lib/docker" } else { &new.docker_root };
            let usual = format!("{root}/volumes/{}/_data", volume.name);
            let base = volume.device().or(made.map(|made| made.mountpoint.as_str())).unwrap_or(&usual);
            if below.is_empty() { base.to_owned() } else { format!("{base}/{below}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(used: u64, inodes: u64) -> Root {
        let to = To::Path("/srv/shop".into());
        Root {
            what: "/srv/shop".into(),
            from: "/srv/shop".into(),
            to,
            file: false,
            of_login: false,
            used,
            bytes: 0,
            inodes,
        }
    }

    fn judge(inodes: u64, there: u64, free: Option<u64>) -> Option<String> {
        let found = Found { inodes: there, ..Found::default() };
        let room = Room { device: 1, free: SPARE + 10, inodes: free };
        too_small(&[root(10, inodes)], &[found], &[room])
    }

    #[test]
    fn inodes_are_asked_for_as_bytes_are() {
        let said = judge(5000, 0, Some(5999)).unwrap();
        assert!(said.contains("6000 for /srv/shop, and 5999 are free"), "{said}");
        assert_eq!(judge(5000, 0, Some(6000)), None);
        assert_eq!(judge(5000, 4000, Some(2000)), None, "what a re-run replaces does not count as room");
        assert_eq!(judge(5000, 0, None), None, "a file system without a fixed number was taken for a full one");
    }

    #[test]
    fn trees_of_one_file_system_share_its_room_and_others_do_not() {
        let room = |device, free| Room { device, free, inodes: Some(100_000) };
        let roots = [root(SPARE, 1), root(SPARE, 1)];
        let found = [Found::default(), Found::default()];
        assert_eq!(too_small(&roots, &found, &[room(1, 2 * SPARE), room(2, 2 * SPARE)]), None);
        let said = too_small(&roots, &found, &[room(1, 2 * SPARE), room(1, 2 * SPARE)]).unwrap();
        assert!(said.contains("not enough room") && said.contains("/srv/shop, /srv/shop"), "{said}");
    }
}
