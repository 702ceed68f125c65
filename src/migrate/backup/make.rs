//! Makes a backup: looks, takes each tree as an archive, reads it back, and gives the folder its name when all is proved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::super::thaw;
use super::archive::{self, Differences, Tree};
use super::host::{self, Packed};
use super::record::{self, Database, Filling, Manifest, Saved};
use super::{Steps, Undone, counted, here, told, with};
use crate::base::event::{EventKind, Failure};
use crate::base::{Exit, size};
use crate::engine::Run;
use crate::inventory::deploy::Deploy;
use crate::migrate::freight::{self, Freight, Root, To, Wishes};
use crate::migrate::manifest;
use crate::migrate::side::{Side, Trouble, time};
use crate::migrate::survey::{self, Survey};
use crate::migrate::{Means, freeze};
use crate::ssh::{Connection, Target};

/// What must stay free here besides.
const SPARE: u64 = 64 * 1024 * 1024;
/// Where Kamal puts certificates for kamal-proxy, below a home.
const PROXY_S: &str = "/.kamal/proxy/apps-config";
/// Most names that are told one by one.
const MOST_NAMES: usize = 8;
/// Files that only a database server may read while they change, and whose they are.
const ENGINES: [(&[u8], &str); 3] =
    [(b"PG_VERSION", "PostgreSQL"), (b"ibdata1", "MySQL or MariaDB"), (b"WiredTiger", "MongoDB")];

/// What a backup is about.
#[derive(Debug)]
pub struct Backup {
    /// The host.
    pub host: Target,
    /// The deployer's login there.
    pub user: String,
    /// Kamal's configuration, where there is one.
    pub deploy: Option<Deploy>,
    /// The host's roles and accessories.
    pub groups: Vec<String>,
    /// Volumes and paths besides.
    pub also: Vec<String>,
    /// Volumes and paths that stay.
    pub skip: Vec<String>,
    /// The folder here that backups lie in.
    pub to: PathBuf,
    /// How many backups of this host are kept; all of them when absent.
    pub keep: Option<usize>,
    /// Whether containers are stopped for it.
    pub stop: bool,
    /// How they are, and what is run before.
    pub means: Means,
    /// Whether it only looks.
    pub dry_run: bool,
    /// Whether it only starts what an earlier run has left stopped.
    pub start: bool,
    /// When it began, for people and for the folder's name: `2026-11-23T19:49:26Z`, `20261123-194926`.
    pub taken: (String, String),
}

/// Makes it, and tells it. Gives what the process ends with.
pub async fn backup(job: Arc<Backup>, run: Run) -> Exit {
    let undone = Mutex::new(Undone::default());
    told("backup", &job.host, &run, &job.means, &undone, work(&job, &run, &undone)).await
}

async fn work(job: &Backup, run: &Run, undone: &Mutex<Undone>) -> Result<Exit, Trouble> {
    let room = match job.start {
        true => 0,
        false => record::room(&job.to).map_err(|error| {
            let what = format!("backups can not be written to {}: {error}", job.to.display());
            Trouble::refused(what, "name a folder that is there and that you may write to")
        })?,
    };
    let mut side = Side::open(&job.host, run).await?;
    let mut making = Making { job, run, undone, side: &mut side, links: Vec::new() };
    let exit = making.all(room).await?;
    side.close().await;
    Ok(exit)
}

struct Making<'a> {
    job: &'a Backup,
    run: &'a Run,
    undone: &'a Mutex<Undone>,
    side: &'a mut Side,
    /// Names that are links, and where they lead.
    links: Vec<(String, String)>,
}

impl Making<'_> {
    async fn all(&mut self, room: u64) -> Result<Exit, Trouble> {
        let job = self.job;
        if !job.dry_run {
            self.side.lock(self.run).await?;
            host::sweep(self.side).await?;
        }
        self.others_stops().await?;
        if job.start {
            return Ok(Exit::Done);
        }
        if let (Some(command), false, false) = (&job.means.dump, job.stop, job.dry_run) {
            // Before anything is looked at: what it writes is taken along, and is to be there.
            self.side.act("running your dump command", host::call("backup_run").arg(command)).await?;
        }
        let seen = survey::survey(self.side, &job.user).await?;
        let freight = self.freight(&seen).await?;
        let used = freight.used();
        if used + SPARE > room {
            let what = format!(
                "there is not enough room in {}: {} may be needed, and {} are free",
                job.to.display(),
                size(used + SPARE),
                size(room)
            );
            return Err(Trouble::refused(what, "name a folder on a larger disk, or leave something out with `--skip`"));
        }
        self.tell(&freight).await;
        if job.dry_run {
            return Ok(Exit::Done);
        }
        let keys: Vec<String> = freight.roots.iter().map(key).collect();
        let result = self.taken(&freight).await;
        // What is left there after a failure is taken away by the next run at the latest.
        let cleaned = host::clean(self.side, &keys).await;
        let (manifest, folder) = result?;
        cleaned?;
        self.conclude(&manifest, &folder).await
    }

    /// Containers that an earlier backup or restore has left stopped are started; those of a move are not.
    async fn others_stops(&mut self) -> Result<(), Trouble> {
        let (stopped, ours) = host::standing_still(self.side).await?;
        if stopped.is_empty() {
            if self.job.start {
                self.side.note("nothing was left stopped").await;
            }
        } else if ours && !self.job.dry_run {
            let names = host::start(self.side, &self.job.means).await?;
            self.side.note(format!("started again what an earlier run had left stopped: {}", names.join(", "))).await;
        } else if self.job.stop || self.job.start {
            let what = format!("containers stand still here since a move: {}", stopped.join(", "));
            let help = "leave `--stop` away to take the data as it is; `bedplate migrate … --abort` starts them";
            return Err(Trouble::refused(what, help).on(&self.side.name));
        } else {
            self.side.note(format!("stopped by an earlier run, and left so: {}", stopped.join(", "))).await;
        }
        Ok(())
    }

    async fn freight(&mut self, seen: &Survey) -> Result<Freight, Trouble> {
        let job = self.job;
        let refused = |what: String, help: &str| Err(Trouble::refused(what, help).on(&job.host.name));
        if seen.docker.is_empty() && job.also.is_empty() {
            let help = "start Docker there, or name what is to be backed up with `--also`";
            return refused("Docker does not answer".to_owned(), help);
        }
        let also: Vec<String> = job.also.iter().cloned().chain(of_the_proxy(seen)).collect();
        let wishes = Wishes { deploy: job.deploy.as_ref(), groups: &job.groups, also: &also, skip: &job.skip };
        let candidates = freight::candidates(seen, &seen.home, wishes);
        let paths: Vec<String> = candidates.found.iter().map(|candidate| candidate.from.clone()).collect();
        let mut found = survey::paths(self.side, &paths).await?;
        // A database by itself is taken by SQLite's own means, with all that belongs to it.
        let databases = found.iter_mut().filter(|found| found.sort == survey::Sort::Database);
        databases.for_each(|found| found.sort = survey::Sort::File);
        let paths = candidates.found.iter().zip(&found).filter(|(named, _)| matches!(named.to, To::Path(_)));
        let named = paths.map(|(named, found)| (named.from.clone(), found.real.clone()));
        self.links = named.filter(|(name, real)| name != real).collect();
        let freight = freight::taken(seen, candidates, &found);
        self.links.retain(|(_, real)| freight.roots.iter().any(|root| root.from == *real));
        if !freight.wrong.is_empty() {
            let help = match job.stop && job.means.dump.is_some() {
                true => "make the folder that the dump goes to before; what can not be taken is left out with `--skip`",
                false => "look at what is named with `--also`; what can not be taken is left out with `--skip`",
            };
            return refused(freight.wrong.join("; "), help);
        }
        if freight.roots.is_empty() {
            let help = "no volume, no folder of a container: name what you mean with `--also`";
            return refused("there is nothing to back up".to_owned(), help);
        }
        Ok(freight)
    }

    async fn tell(&self, freight: &Freight) {
        for root in &freight.roots {
            self.side.note(format!("takes {}: {}", root.what, size(root.used))).await;
        }
        for left in &freight.left {
            self.side.note(format!("leaves {}: {}", left.what, left.why)).await;
        }
        let stops: Vec<&str> = freight.apps.iter().chain(&freight.others).map(String::as_str).collect();
        if self.job.stop && !stops.is_empty() {
            self.side.note(format!("stops meanwhile: {}", stops.join(", "))).await;
        }
    }

    /// Takes everything into a folder that gets its name at the end.
    async fn taken(&mut self, freight: &Freight) -> Result<(Manifest, PathBuf), Trouble> {
        let job = self.job;
        with(self.undone, |undone| undone.data = "the data there is as it was");
        self.side.act("making a place for lists", host::call("backup_place")).await?;
        let name = job.host.name.as_str();
        let filling = Filling::begin(&job.to, name, &job.taken.1).map_err(|error| host::here(&job.to, &error))?;
        let key = &self.side.connection.login().host_key_fingerprint;
        let mut manifest = Manifest::new(name, key, &job.taken.0, job.stop, &self.run.version);
        manifest.left = freight.left.iter().map(|left| format!("{}: {}", left.what, left.why)).collect();
        manifest.links.clone_from(&self.links);
        let line = host::line(self.side, self.run).await?;
        let result = self.trees(freight, &line, &filling, &mut manifest).await;
        line.close().await;
        result?;
        let folder = filling.finish(&manifest).map_err(|error| host::here(&job.to, &error))?;
        Ok((manifest, folder))
    }

    async fn trees(
        &mut self,
        freight: &Freight,
        line: &Connection,
        filling: &Filling,
        manifest: &mut Manifest,
    ) -> Result<(), Trouble> {
        let job = self.job;
        let teller = self.side.teller.clone();
        let steps = freight.roots.len() + if job.stop { 2 } else { 0 };
        let mut steps = Steps { teller: &teller, name: "backup", step: 0, steps };
        let mut begun = Instant::now();
        if job.stop {
            // Sums that are counted now are not counted while all stands still.
            for root in &freight.roots {
                host::look(self.side, line, &key(root), &root.from).await?;
            }
            begun = steps.begin("stop what writes".to_owned()).await;
            self.stop(freight).await?;
            steps.end("stopped what writes".to_owned(), begun).await;
        }
        for (number, root) in freight.roots.iter().enumerate() {
            let at = steps.begin(format!("take {}", root.what)).await;
            let saved = self.tree(root, number, line, filling).await?;
            let packed = format!(
                "took {}: {}, {}, packed {}; read back and compared",
                root.what,
                counted(usize::try_from(saved.entries).unwrap_or(usize::MAX), "entry").replace("entrys", "entries"),
                size(saved.bytes),
                size(saved.size)
            );
            steps.end(packed, at).await;
            manifest.trees.push(saved);
        }
        if job.stop {
            let at = steps.begin("start what was stopped".to_owned()).await;
            host::start(self.side, &job.means).await?;
            with(self.undone, |undone| undone.stopped = false);
            steps.end(format!("started again, after {}", time(begun.elapsed())), at).await;
        }
        Ok(())
    }

    async fn stop(&mut self, freight: &Freight) -> Result<(), Trouble> {
        self.side.act("noting who stops", host::call("backup_stops").arg("backup")).await?;
        with(self.undone, |undone| undone.stopped = true);
        thaw::arm(self.side, self.job.means.grace).await?;
        freeze::stop(self.side, freight, &self.job.means).await?;
        let roots: Vec<String> =
            freight.roots.iter().filter(|root| !is_proxy_s(root)).map(|r| r.from.clone()).collect();
        let mut still = freeze::writers(self.side, &roots).await?;
        if still.is_empty() {
            return Ok(());
        }
        still.truncate(MOST_NAMES);
        let help = "stop it, or leave `--stop` away";
        Err(Trouble::new("something still writes there", help).said(still).on(&self.side.name))
    }

    /// Takes one tree.
    async fn tree(
        &mut self,
        root: &Root,
        number: usize,
        line: &Connection,
        filling: &Filling,
    ) -> Result<Saved, Trouble> {
        let (job, key) = (self.job, key(root));
        let (top, single) = match (root.file, root.from.rsplit_once('/')) {
            (true, Some((top, name))) => (if top.is_empty() { "/" } else { top }, name),
            _ => (root.from.as_str(), ""),
        };
        let (before, looked) = host::look(self.side, line, &key, &root.from).await?;
        let names = looked.databases.iter().map(|path| match single {
            "" => path.strip_prefix(&format!("{}/", root.from)).unwrap_or_default().to_owned(),
            name => name.to_owned(),
        });
        let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        let mut saved = Saved {
            what: root.what.clone(),
            volume: Saved::volume_of(&root.to),
            path: root.from.clone(),
            file: root.file,
            archive: format!("{:02}-{}.tar.gz", number + 1, record::file_name(&root.what.replace('/', "_"))),
            used: root.used,
            ..Saved::default()
        };
        if let (To::Volume { volume, .. }, Some(saved)) = (&root.to, &mut saved.volume)
            && !saved.below.is_empty()
        {
            saved.owner = host::owner(self.side, volume).await?;
        }
        let mut staged = BTreeMap::new();
        let mut copied = Vec::new();
        if !job.stop && !names.is_empty() {
            host::sqlite(self.side).await?;
            for name in &names {
                let taken = host::database(self.side, &key, top, name).await?;
                let shown = if root.file { String::new() } else { name.clone() };
                if let Some(why) = taken.why_not {
                    saved.in_use.push(format!("{name}, taken as a file ({why})"));
                    continue;
                }
                staged.insert(shown.clone().into_bytes(), taken.sum);
                copied.push(name.clone());
                saved.databases.push(Database { path: shown, integrity: taken.integrity });
            }
        }
        let list = host::call("backup_list").arg(&key).arg(top).arg(single).args(&copied);
        self.side.act("listing what is packed", list).await?;
        let path = filling.path(&saved.archive);
        filling.file(&saved.archive).map_err(|error| host::here(&path, &error))?;
        let packed = Packed { what: &root.what, key: &key, top, bytes: root.used };
        host::pack(self.side, line, packed, &path).await?;
        let (after, _) = host::look(self.side, line, &key, &root.from).await?;
        let archive = self.examined(&path, root, &mut saved).await?;
        let beside = |name: &[u8]| {
            ["-wal", "-shm", "-journal"]
                .iter()
                .any(|end| name.strip_suffix(end.as_bytes()).is_some_and(|base| staged.contains_key(base)))
        };
        let [before, after] = [before, after].map(|tree| tree.without(|entry| beside(&entry.name)));
        let differences = archive::differences(&archive, &before, &after, &staged);
        self.judge(root, differences, &mut saved).await?;
        if job.stop {
            self.integrity(root, &looked.databases, &mut saved).await?;
        } else {
            self.engines(root, &archive, &mut saved).await;
        }
        Ok(saved)
    }

    /// Reads the archive back from the disk.
    async fn examined(&self, path: &Path, root: &Root, saved: &mut Saved) -> Result<Tree, Trouble> {
        let (place, single) = (path.to_owned(), root.file);
        let read = move || -> std::io::Result<(String, u64, Tree)> {
            let file = std::fs::File::open(&place)?;
            let length = file.metadata()?.len();
            let (sum, tree) = record::examine(file, single);
            Ok((sum?, length, tree?))
        };
        let (sum, length, tree) = here(read).await?.map_err(|error| {
            Trouble::new(format!("the archive of {} can not be read back: {error}", root.what), "run again")
        })?;
        (saved.sha256, saved.size, saved.digest) = (sum, length, tree.digest());
        (saved.entries, saved.bytes) = (tree.entries.len() as u64, tree.bytes());
        Ok(tree)
    }

    /// What to do about an archive that differs from its tree.
    async fn judge(&self, root: &Root, found: Differences, saved: &mut Saved) -> Result<(), Trouble> {
        let Differences { in_use, missing } = found;
        if !missing.is_empty() {
            let what = format!("the archive of {} lacks {}", root.what, counted(missing.len(), "file"));
            let said = missing.into_iter().take(MOST_NAMES).collect();
            return Err(Trouble::new(what, "look at `dmesg` there for errors of its disk")
                .said(said)
                .on(&self.side.name));
        }
        if in_use.is_empty() && saved.in_use.is_empty() {
            return Ok(());
        }
        if self.job.stop && !is_proxy_s(root) {
            let what = format!("{} has changed while all should stand still", root.what);
            let said = in_use.into_iter().take(MOST_NAMES).collect();
            let help = "stop what writes there, such as a cron job, and run again";
            return Err(Trouble::new(what, help).said(said).on(&self.side.name));
        }
        saved.in_use.extend(in_use.into_iter().map(|name| if name.is_empty() { ".".to_owned() } else { name }));
        let shown: Vec<&str> = saved.in_use.iter().take(MOST_NAMES).map(String::as_str).collect();
        let more = saved.in_use.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.side.note(format!("{}: taken while in use: {}{more}", root.what, shown.join(", "))).await;
        Ok(())
    }

    /// Asks SQLite about databases that stand still.
    async fn integrity(&mut self, root: &Root, paths: &[String], saved: &mut Saved) -> Result<(), Trouble> {
        if paths.is_empty() {
            return Ok(());
        }
        host::sqlite(self.side).await?;
        let broken = manifest::broken(self.side, paths).await?;
        for path in paths {
            let said = broken.iter().find(|(other, _)| other == path).map_or("ok", |(_, said)| said);
            let name = path.strip_prefix(&format!("{}/", root.from)).unwrap_or_default();
            saved.databases.push(Database { path: name.to_owned(), integrity: said.to_owned() });
        }
        Ok(())
    }

    /// Tells of databases whose files are worth little when taken in use.
    async fn engines(&self, root: &Root, archive: &Tree, saved: &mut Saved) {
        let is = |name: &[u8], file: &[u8]| name.rsplit(|byte| *byte == b'/').next() == Some(file);
        let found = ENGINES.iter().find(|(file, _)| archive.entries.iter().any(|entry| is(&entry.name, file)));
        if let Some((_, engine)) = found {
            let text = format!("files of {engine}, which may not start from a copy that was taken while it runs");
            self.side.note(format!("{} holds {text}: use `--stop`, or `--dump COMMAND`", root.what)).await;
            saved.in_use.push(text);
        }
    }

    /// Tells what has come of it, and takes old backups away.
    async fn conclude(&self, manifest: &Manifest, folder: &Path) -> Result<Exit, Trouble> {
        let job = self.job;
        let packed: u64 = manifest.trees.iter().map(|tree| tree.size).sum();
        self.side.note(format!("the backup is in {}, {}", folder.display(), size(packed))).await;
        if !manifest.is_sound() {
            let databases = manifest.trees.iter().flat_map(|tree| tree.databases.iter().map(move |one| (tree, one)));
            let broken = databases.filter(|(_, database)| database.integrity != "ok");
            let said = broken.map(|(tree, one)| format!("{}/{}: {}", tree.path, one.path, one.integrity)).collect();
            let failure = Failure {
                what: "SQLite finds a database broken".into(),
                said,
                state: Some("the backup holds it as it is; no older backup was removed".into()),
                help: Some("mend it there (`sqlite3 FILE .recover`); look at older backups".into()),
                ..Failure::default()
            };
            self.side.teller.tell(EventKind::HostFailed(failure)).await;
            return Ok(Exit::HostFailed);
        }
        let databases: usize = manifest.trees.iter().map(|tree| tree.databases.len()).sum();
        if databases > 0 {
            self.side.note(format!("SQLite finds {} whole", counted(databases, "database"))).await;
        }
        if let Some(keep) = job.keep {
            let (parent, newest) = (job.to.clone(), folder.to_owned());
            let retired = here(move || record::retire(&parent, &newest, keep)).await?;
            let retired = retired.map_err(|error| host::here(&job.to, &error))?;
            for name in &retired.removed {
                self.side.note(format!("removed the older backup {name}")).await;
            }
            for (name, why) in &retired.left {
                self.side.note(format!("left the older backup {name}: {why}")).await;
            }
        }
        Ok(Exit::Done)
    }
}

/// Certificates of the operator's own that kamal-proxy has from another home than the login's that is known here: nobody
/// may have named the one that Kamal deploys with.
fn of_the_proxy(seen: &Survey) -> Vec<String> {
    let proxies = seen.containers.iter().filter(|container| container.name == freight::PROXY);
    let sources =
        proxies.flat_map(|proxy| &proxy.mounts).filter(|mount| mount.sort == "bind").map(|mount| &mount.source);
    let known = format!("{}{PROXY_S}", if seen.home.is_empty() { "/root" } else { &seen.home });
    sources.filter(|source| source.ends_with(PROXY_S) && **source != known).cloned().collect()
}

/// kamal-proxy goes on while all else stands still.
fn is_proxy_s(root: &Root) -> bool {
    matches!(&root.to, To::Volume { below, .. } if !below.is_empty())
}

/// By which name the host keeps what it knows of a tree meanwhile; not the one of a move.
fn key(root: &Root) -> String {
    manifest::key(&format!("backup {}", root.from))
}
