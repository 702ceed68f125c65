//! Puts a backup back: proves it before anything is contacted, unpacks it beside the data that is there, proves it again,
//! and exchanges both while what writes stands still. Until then nothing of what is there is touched.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::host;
use super::record::{self, Manifest, Saved};
use super::{Steps, Undone, counted, here, told, with};
use crate::base::{Exit, size};
use crate::engine::{Run, Teller};
use crate::migrate::freight::{self, Freight, Root, To};
use crate::migrate::look::{self, path_on_new};
use crate::migrate::manifest;
use crate::migrate::side::{Side, Trouble, time};
use crate::migrate::survey::{self, Sort, Survey};
use crate::migrate::{Means, freeze};
use crate::shell::frame::{BadAnswer, Fields};
use crate::shell::quote;
use crate::ssh::{Connection, Target};

/// What a restore is about.
#[derive(Debug)]
pub struct Restore {
    /// The host.
    pub host: Target,
    /// The backup's folder.
    pub from: PathBuf,
    /// Only these trees, by volume, path or the name that they are told by; all of them when empty.
    pub only: Vec<String>,
    /// Whether what is there may be exchanged.
    pub overwrite: bool,
    /// Whether what was there is removed in the end.
    pub remove_old: bool,
    /// How containers are stopped.
    pub means: Means,
    /// Whether it only looks.
    pub dry_run: bool,
    /// For the names of what was there: `20261123-194926`.
    pub stamp: String,
}

/// Puts it back, and tells it. Gives what the process ends with.
pub async fn restore(job: Arc<Restore>, run: Run) -> Exit {
    let undone = Mutex::new(Undone::default());
    told("restore", &job.host, &run, &job.means, &undone, work(&job, &run, &undone)).await
}

/// A tree on its way.
struct Staged<'a> {
    saved: &'a Saved,
    target: String,
    /// The folder beside its target, and how it is exchanged.
    folder: String,
    how: String,
}

impl Staged<'_> {
    /// The name of a tree that is a file.
    fn name(&self) -> &str {
        match self.saved.file {
            true => self.saved.path.rsplit('/').next().unwrap_or_default(),
            false => "",
        }
    }

    /// Where it is before it is exchanged.
    fn place(&self) -> String {
        match self.name() {
            "" => format!("{}/tree", self.folder),
            name => format!("{}/tree/{name}", self.folder),
        }
    }
}

async fn work(job: &Restore, run: &Run, undone: &Mutex<Undone>) -> Result<Exit, Trouble> {
    let (manifest, trees) = proved(job, run).await?;
    with(undone, |undone| undone.data = "the data there is as it was");
    let mut side = Side::open(&job.host, run).await?;
    let mut putting = Putting { job, run, undone, side: &mut side, manifest: &manifest, trees: &trees };
    putting.all().await?;
    side.close().await;
    Ok(Exit::Done)
}

/// Reads the backup through. Errors: it is truncated, altered, or not all there; nothing was contacted.
async fn proved(job: &Restore, run: &Run) -> Result<(Manifest, Vec<Saved>), Trouble> {
    let untrue = |why: String| {
        let what = format!("{} can not be restored: {why}", job.from.display());
        Trouble::refused(what, "take another backup; nothing was contacted")
    };
    let manifest = record::read(&job.from).map_err(untrue)?;
    let trees = chosen(&manifest, &job.only)
        .map_err(|(name, help)| Trouble::refused(format!("there is no {name} in {}", job.from.display()), help))?;
    let teller = Teller::new(run, Some(&job.host.name));
    let mut steps = Steps { teller: &teller, name: "restore", step: 0, steps: trees.len() };
    for tree in &trees {
        let begun = steps.begin(format!("read {} through", tree.archive)).await;
        let (folder, saved) = (job.from.clone(), tree.clone());
        here(move || record::prove(&folder, &saved)).await?.map_err(untrue)?;
        steps.end(format!("read {} through: {}, as it was written", tree.archive, size(tree.size)), begun).await;
    }
    Ok((manifest, trees))
}

/// The trees that are meant. Errors: a name that is none of them, and which there are.
fn chosen(manifest: &Manifest, only: &[String]) -> Result<Vec<Saved>, (String, String)> {
    let is = |tree: &Saved, name: &str| {
        let volume = tree.volume.as_ref().is_some_and(|volume| volume.name == name);
        volume || tree.what == name || tree.path == name.trim_end_matches('/')
    };
    if let Some(name) = only.iter().find(|name| !manifest.trees.iter().any(|tree| is(tree, name))) {
        let all: Vec<&str> = manifest.trees.iter().map(|tree| tree.what.as_str()).collect();
        return Err((name.clone(), format!("there are: {}", all.join(", "))));
    }
    let wanted = |tree: &&Saved| only.is_empty() || only.iter().any(|name| is(tree, name));
    Ok(manifest.trees.iter().filter(wanted).cloned().collect())
}

struct Putting<'a> {
    job: &'a Restore,
    run: &'a Run,
    undone: &'a Mutex<Undone>,
    side: &'a mut Side,
    manifest: &'a Manifest,
    trees: &'a [Saved],
}

impl<'a> Putting<'a> {
    async fn all(&mut self) -> Result<(), Trouble> {
        if !self.job.dry_run {
            self.side.lock(self.run).await?;
            host::sweep(self.side).await?;
        }
        let (stopped, ours) = host::standing_still(self.side).await?;
        if !stopped.is_empty() && !ours {
            let what = format!("containers stand still here since a move: {}", stopped.join(", "));
            let help = "end the move first: `bedplate migrate … --abort`";
            return Err(Trouble::refused(what, help).on(&self.side.name));
        }
        with(self.undone, |undone| undone.stopped = !stopped.is_empty() && !self.job.dry_run);
        let seen = survey::survey(self.side, "root").await?;
        self.may_be_put(&seen).await?;
        if self.job.dry_run {
            return Ok(());
        }
        let teller = self.side.teller.clone();
        let mut steps = Steps { teller: &teller, name: "restore", step: 0, steps: self.trees.len() + 2 };
        let staged = self.staged(&seen, &mut steps).await?;
        self.whole(&staged).await?;
        let stood = self.exchange(&seen, &staged, &mut steps).await?;
        if let Some(stood) = stood {
            self.side.note(format!("containers stood still for {stood}")).await;
        }
        self.tidy(&staged).await
    }

    /// A tree as one that would come to this host.
    fn root(saved: &Saved, from: String) -> Root {
        let (what, to) = (saved.what.clone(), saved.to());
        Root { what, from, to, file: saved.file, of_login: false, used: saved.used, bytes: saved.bytes, inodes: 0 }
    }

    /// The tree that holds all of another one, here as in the backup.
    fn comes_with(&self, inner: &Saved, seen: &Survey) -> Option<&'a Saved> {
        let target = |tree: &Saved| path_on_new(&Self::root(tree, tree.path.clone()), seen);
        let (path, to) = (&inner.path, target(inner));
        let holds = |outer: &&Saved| match (path.strip_prefix(&outer.path), to.strip_prefix(&target(outer))) {
            (Some(rest), Some(there)) => rest.starts_with('/') && rest == there,
            _ => false,
        };
        self.trees.iter().find(holds)
    }

    /// Whether there is room, and nothing there would be lost without being asked. Tells what goes where.
    async fn may_be_put(&mut self, seen: &Survey) -> Result<(), Trouble> {
        let refused = |what: String, help: &str| Err(Trouble::refused(what, help).on(&self.job.host.name));
        if seen.docker.is_empty() && self.trees.iter().any(|tree| tree.volume.is_some()) {
            return refused(
                "Docker does not answer, and volumes are to be restored".into(),
                "`bedplate apply` installs it",
            );
        }
        let paths: Vec<String> =
            self.trees.iter().map(|tree| path_on_new(&Self::root(tree, tree.path.clone()), seen)).collect();
        let found = survey::paths(self.side, &paths).await?;
        let rooms = survey::rooms(self.side, &paths).await?;
        let other = |(tree, found): &(&Saved, &survey::Found)| match found.sort {
            Sort::Absent => false,
            Sort::Folder => tree.file,
            Sort::File | Sort::Database => !tree.file,
            Sort::Other => true,
        };
        if let Some((tree, found)) = self.trees.iter().zip(&found).find(other) {
            let what = format!("{} is another sort of thing there: {}", found.real, tree.what);
            return refused(what, "move it out of the way");
        }
        let full = self.trees.iter().zip(&found).filter(|(_, found)| found.sort != Sort::Absent && !found.empty);
        let full: Vec<&str> = full.map(|(tree, _)| tree.what.as_str()).collect();
        if !full.is_empty() && !self.job.overwrite {
            let what = format!("there is data already: {}", full.join(", "));
            return refused(what, "`--overwrite` exchanges it; what was there is kept beside");
        }
        let mut devices: Vec<u64> = rooms.iter().map(|room| room.device).collect();
        devices.sort_unstable();
        devices.dedup();
        for device in devices {
            let here = || self.trees.iter().zip(&rooms).filter(|(_, room)| room.device == device);
            // What is there stays until all is proved.
            let needed: u64 = here().map(|(tree, _)| tree.used).sum::<u64>() + look::SPARE;
            let free = here().map(|(_, room)| room.free).min().unwrap_or(0);
            if needed > free {
                let names: Vec<&str> = here().map(|(tree, _)| tree.what.as_str()).collect();
                let what = format!(
                    "there is not enough room: {} for {}, and {} are free",
                    size(needed),
                    names.join(", "),
                    size(free)
                );
                return refused(
                    what,
                    "what is there stays until the backup is proved: make room, or restore less (`--only`)",
                );
            }
        }
        self.tell_links().await?;
        let key = &self.side.connection.login().host_key_fingerprint;
        if *key != self.manifest.host_key {
            self.side.note(format!("the backup is of another host: {}", self.manifest.host)).await;
        }
        for ((tree, path), found) in self.trees.iter().zip(&paths).zip(&found) {
            let there = if found.sort == Sort::Absent || found.empty { "" } else { ", in the place of what is there" };
            self.side.note(format!("restores {} to {path}: {}{there}", tree.what, size(tree.bytes))).await;
            for name in tree.in_use.iter().take(4) {
                self.side.note(format!("{}: was in use when it was taken: {name}", tree.what)).await;
            }
        }
        Ok(())
    }

    /// Tells of names that led to the trees on the other host, and lead nowhere here: an app may come by them.
    async fn tell_links(&mut self) -> Result<(), Trouble> {
        let ours = |real: &String| self.trees.iter().any(|tree| tree.path == *real);
        let links: Vec<&(String, String)> = self.manifest.links.iter().filter(|(_, real)| ours(real)).collect();
        let names: Vec<String> = links.iter().map(|(name, _)| name.clone()).collect();
        let found = survey::paths(self.side, &names).await?;
        for ((name, real), found) in links.into_iter().zip(found) {
            if found.real != *real {
                let [to, from] = [real, name].map(|path| quote(path).unwrap_or_else(|_| path.clone()));
                let text =
                    format!("{name} led to {real} when the backup was made, and does not here: `ln -s {to} {from}`");
                self.side.note(text).await;
            }
        }
        Ok(())
    }

    /// Unpacks everything beside its target, and compares it with the manifest.
    async fn staged(&mut self, seen: &Survey, steps: &mut Steps<'_>) -> Result<Vec<Staged<'a>>, Trouble> {
        let line = host::line(self.side, self.run).await?;
        let mut all = Vec::new();
        let mut result = Ok(());
        for saved in self.trees {
            if let (Some(outer), To::Volume { volume, .. }) = (self.comes_with(saved, seen), saved.to()) {
                let note = format!("{} comes with {}, which it lies in", saved.what, outer.what);
                host::volume(self.side, &saved.what, &volume).await?;
                self.side.note(note).await;
                continue;
            }
            let begun = steps.begin(format!("unpack {}", saved.what)).await;
            match self.stage(saved, &line).await {
                Ok(staged) => all.push(staged),
                Err(trouble) => {
                    result = Err(trouble);
                    break;
                }
            }
            steps
                .end(format!("unpacked {} beside its place, and compared it with the manifest", saved.what), begun)
                .await;
        }
        line.close().await;
        result.map(|()| all)
    }

    async fn stage(&mut self, saved: &'a Saved, line: &Connection) -> Result<Staged<'a>, Trouble> {
        let target = match saved.to() {
            To::Path(path) => path,
            To::Volume { volume, below } => {
                let base = host::volume(self.side, &saved.what, &volume).await?;
                if below.is_empty() {
                    base
                } else {
                    let owner = saved.volume.as_ref().map(|volume| volume.owner.as_str()).unwrap_or_default();
                    host::own(self.side, &base, owner).await?;
                    format!("{base}/{below}")
                }
            }
        };
        let key = manifest::key(&format!("restore {}", saved.path));
        let call = host::call("restore_stage").arg(&key).arg(&target);
        let said = self.side.act(&format!("making a place for {}", saved.what), call).await?;
        let mut fields = Fields::new(&said);
        let mut read =
            || -> Result<(String, String), BadAnswer> { Ok((fields.text()?.to_owned(), fields.text()?.to_owned())) };
        let (folder, how) = read().map_err(|error| Trouble::from(error).on(&self.side.name))?;
        with(self.undone, |undone| undone.staged = true);
        let staged = Staged { saved, target, folder, how };
        let into = format!("{}/tree", staged.folder);
        host::unpack(self.side, line, &saved.what, &self.job.from.join(&saved.archive), &into).await?;
        let found = manifest::take(self.side, &key, &staged.place(), false).await?;
        if found.digest != saved.digest {
            let what = format!("{} is not on the host as it is in the backup", saved.what);
            let help = "look at the file system there: it may not hold owners, modes or names as they are";
            return Err(Trouble::new(what, help).on(&self.side.name));
        }
        Ok(staged)
    }

    /// Whether SQLite finds every database whole that was so when it was taken.
    async fn whole(&mut self, staged: &[Staged<'_>]) -> Result<(), Trouble> {
        let mut paths = Vec::new();
        for tree in staged {
            for database in &tree.saved.databases {
                let place = tree.place();
                let path = if database.path.is_empty() { place } else { format!("{place}/{}", database.path) };
                paths.push((path, database));
            }
        }
        if paths.is_empty() {
            return Ok(());
        }
        host::sqlite(self.side).await?;
        let all: Vec<String> = paths.iter().map(|(path, _)| path.clone()).collect();
        let broken = manifest::broken(self.side, &all).await?;
        let was = |path: &String| paths.iter().any(|(other, base)| other == path && base.integrity == "ok");
        let said: Vec<String> =
            broken.iter().filter(|(path, _)| was(path)).map(|(path, said)| format!("{path}: {said}")).collect();
        if !said.is_empty() {
            let help = "take another backup";
            return Err(Trouble::new("SQLite finds a database broken", help).said(said).on(&self.side.name));
        }
        for (path, said) in broken {
            self.side.note(format!("a database was broken already when it was taken: {path}: {said}")).await;
        }
        self.side.note(format!("SQLite finds {} whole", counted(all.len(), "database"))).await;
        Ok(())
    }

    /// Stops what writes, exchanges all data, and starts again. Gives for how long containers stood still.
    async fn exchange(
        &mut self,
        seen: &Survey,
        staged: &[Staged<'_>],
        steps: &mut Steps<'_>,
    ) -> Result<Option<String>, Trouble> {
        let lies = |saved: &Saved| {
            let staged = staged.iter().find(|tree| tree.saved.what == saved.what && tree.saved.path == saved.path);
            staged.map_or_else(|| path_on_new(&Self::root(saved, saved.path.clone()), seen), |tree| tree.target.clone())
        };
        let roots = self.trees.iter().map(|saved| Self::root(saved, lies(saved))).collect();
        let mut freight = Freight { roots, ..Freight::default() };
        freight::stops(seen, &mut freight);
        let stops = freight.apps.len() + freight.others.len();
        let begun = Instant::now();
        if stops > 0 {
            let at = steps.begin("stop what writes".to_owned()).await;
            self.side.act("noting who stops", host::call("backup_stops").arg("restore")).await?;
            with(self.undone, |undone| undone.stopped = true);
            freeze::stop(self.side, &freight, &self.job.means).await?;
            steps.end(format!("stopped {}", counted(stops, "container")), at).await;
        }
        self.nobody_writes(staged).await?;
        let at = steps.begin("exchange the data".to_owned()).await;
        // From here on what is staged is the data.
        with(self.undone, |undone| {
            undone.staged = false;
            undone.data = "the data was about to be exchanged: all of it is the backup's, or all of it as it was";
        });
        let mut call = host::call("restore_swap").arg(&self.job.stamp);
        for tree in staged {
            call = call.arg(&tree.target).arg(&tree.folder).arg(&tree.how).arg(tree.name());
        }
        self.side.act("exchanging the data", call).await?;
        with(self.undone, |undone| undone.data = "the backup is restored");
        steps.end("exchanged the data".to_owned(), at).await;
        let names = host::start(self.side, &self.job.means).await?;
        with(self.undone, |undone| undone.stopped = false);
        if !names.is_empty() {
            self.side.note(format!("started again: {}", names.join(", "))).await;
        }
        Ok((stops > 0).then(|| time(begun.elapsed())))
    }

    async fn nobody_writes(&mut self, staged: &[Staged<'_>]) -> Result<(), Trouble> {
        let is_proxy_s = |tree: &Saved| tree.volume.as_ref().is_some_and(|volume| !volume.below.is_empty());
        let targets: Vec<String> =
            staged.iter().filter(|tree| !is_proxy_s(tree.saved)).map(|tree| tree.target.clone()).collect();
        let found = survey::paths(self.side, &targets).await?;
        let there = targets.into_iter().zip(found).filter(|(_, found)| found.sort != Sort::Absent);
        let mut still = freeze::writers(self.side, &there.map(|(path, _)| path).collect::<Vec<_>>()).await?;
        if still.is_empty() {
            return Ok(());
        }
        still.truncate(8);
        Err(Trouble::new("something still writes there", "stop it, and run again").said(still).on(&self.side.name))
    }

    /// Tells what was kept, or removes it, and takes away what was needed.
    async fn tidy(&mut self, staged: &[Staged<'_>]) -> Result<(), Trouble> {
        let of = |function| {
            let mut call = host::call(function).arg(&self.job.stamp);
            for tree in staged {
                call = call.arg(&tree.target).arg(&tree.how);
            }
            call
        };
        let said = self.side.act("looking at what was kept", of("restore_kept")).await?;
        let kept: Vec<String> = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
        if self.job.remove_old && !kept.is_empty() {
            self.side.act("removing what was there", of("restore_drop")).await?;
        } else {
            for path in &kept {
                self.side.note(format!("what was there is kept: {path}")).await;
            }
        }
        host::sweep(self.side).await?;
        let keys: Vec<String> =
            staged.iter().map(|tree| manifest::key(&format!("restore {}", tree.saved.path))).collect();
        host::clean(self.side, &keys).await
    }
}
