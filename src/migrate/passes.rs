//! The copies of a move: the first while the app serves, the last while all stands still, and the comparison of both hosts.

use std::sync::Mutex;
use std::time::Instant;

use super::chain::{Both, Kept, Stage, with};
use super::copy::{self, COPY, Copier, Pass, Trip};
use super::freight::{self, Freight, Root, To};
use super::manifest::{self, Manifest};
use super::side::Trouble;
use super::{freeze, survey, thaw};
use crate::base::size;
use crate::shell::Call;

impl Both<'_> {
    /// The freight with the places where it goes, volumes made.
    async fn trips(&mut self, freight: &Freight) -> Result<Vec<(Root, String)>, Trouble> {
        let mut all = Vec::new();
        for root in &freight.roots {
            let to = match &root.to {
                To::Path(path) => path.clone(),
                To::Volume { volume, below } => {
                    let mut call = Call::new(&COPY, "copy_volume").arg(&volume.name);
                    for (key, value) in volume.options.iter().flatten() {
                        call = call.arg("--opt").arg(format!("{key}={value}"));
                    }
                    for (key, value) in volume.labels.iter().flatten() {
                        call = call.arg("--label").arg(format!("{key}={value}"));
                    }
                    let said = self.new.act(&format!("making {}", root.what), call).await?;
                    let said = String::from_utf8_lossy(&said).trim().to_owned();
                    let (device, mountpoint) = said.split_once('|').unwrap_or(("", said.as_str()));
                    if device != volume.device().unwrap_or_default() {
                        let what = format!("{} is another one on the new host: it lies on `{device}`", root.what);
                        let help = "declare it there as it was on the old host, or remove it if it is empty";
                        return Err(Trouble::new(what, help).on(&self.new.name));
                    }
                    let base = if device.is_empty() { mountpoint } else { device };
                    if !below.is_empty() {
                        self.own(&volume.mountpoint, base).await?;
                    }
                    if below.is_empty() { base.to_owned() } else { format!("{base}/{below}") }
                }
            };
            all.push((root.clone(), to));
        }
        Ok(all)
    }

    /// Gives a volume the owner that it had: Docker does so only for one that it finds empty, and a container that may not
    /// write beside what was copied says nothing of it.
    async fn own(&mut self, from: &str, to: &str) -> Result<(), Trouble> {
        let answers = self.old.ask(vec![Call::new(&COPY, "copy_owner").arg(from)]).await?;
        let text = answers.first().map(|(_, body)| String::from_utf8_lossy(body).replace('\0', "")).unwrap_or_default();
        let Some((owner, mode)) = text.trim().split_once(' ') else { return Ok(()) };
        let call = Call::new(&COPY, "copy_own").arg(to).arg(owner).arg(mode);
        self.new.act("giving a volume its owner", call).await.map(|_| ())
    }

    async fn copy_all(
        &mut self,
        copier: &mut Copier<'_>,
        trips: &[(Root, String)],
        owner: Option<(u32, u32)>,
        pass: Pass,
    ) -> Result<(), Trouble> {
        for (root, to) in trips {
            let begun = self.begin(&format!("copy {}", root.what)).await;
            let trip = trip(root, to, owner, &self.job.user);
            copier.copy(self.old, self.new, &trip, pass).await?;
            let action = match pass {
                Pass::Live => format!("copied {}: {}", root.what, copy::told(root.bytes, begun.elapsed())),
                _ => format!("copied what has changed of {}", root.what),
            };
            self.end(action, begun).await;
        }
        Ok(())
    }

    /// Looks at every tree on both sides at once.
    async fn manifests(&mut self, trips: &[(Root, String)]) -> Result<Vec<(Manifest, Manifest)>, Trouble> {
        let mut all = Vec::new();
        for (root, to) in trips {
            let key = manifest::key(&root.from);
            let (old, new) = tokio::join!(
                manifest::take(self.old, &key, &root.from, root.of_login),
                manifest::take(self.new, &key, to, root.of_login)
            );
            all.push((old?, new?));
        }
        Ok(all)
    }

    pub(super) async fn first_copy(&mut self, kept: &Mutex<Kept>) -> Result<(), Trouble> {
        self.lock().await?;
        let user = &self.job.user;
        let (old, new) = tokio::join!(survey::survey(self.old, user), survey::survey(self.new, user));
        let (old, new) = (old?, new?);
        if new.docker.is_empty() {
            let help = "`bedplate apply` on the new host installs it; `bedplate ready` says what is missing";
            return Err(Trouble::new("Docker does not answer on the new host", help).on(&self.new.name));
        }
        let freight = self.freight(&old, &new).await?;
        self.may_be_filled(&old, &new, &freight).await?;
        let (stopped, _) = freeze::state(self.old).await?;
        if !stopped.is_empty() {
            self.old.note(format!("still stopped by an earlier run: {}", stopped.join(", "))).await;
            with(kept, |kept| kept.stopped_before = stopped);
        }
        self.mark(Stage::Copying).await?;
        let mut copier = Copier::new(self.run, self.job.manner.clone());
        let result = self.first_pass(&mut copier, &freight, new.owner, kept).await;
        copier.clean(self.old, self.new).await;
        result?;
        with(kept, |kept| kept.freight = freight);
        Ok(())
    }

    async fn first_pass(
        &mut self,
        copier: &mut Copier<'_>,
        freight: &Freight,
        owner: Option<(u32, u32)>,
        kept: &Mutex<Kept>,
    ) -> Result<(), Trouble> {
        let begun = self.begin("look for rsync on both hosts").await;
        copier.ready(self.old, self.new).await?;
        self.end("rsync is on both hosts".into(), begun).await;
        let trips = self.trips(freight).await?;
        self.steps.1 = trips.len() + 2;
        let begun = Instant::now();
        self.copy_all(copier, &trips, owner, Pass::Live).await?;
        with(kept, |kept| kept.first_copy = begun.elapsed());
        let begun = self.begin("sum up every file on both hosts").await;
        let looked = self.manifests(&trips).await?;
        let files: u64 = looked.iter().map(|(old, _)| old.entries).sum();
        let bytes: u64 = looked.iter().map(|(old, _)| old.bytes).sum();
        self.end(format!("summed up {files} entries, {}, on both hosts", size(bytes)), begun).await;
        if looked.iter().any(|(_, new)| !new.databases.is_empty()) {
            // While the app serves: later it would wait for it.
            self.sqlite().await?;
        }
        Ok(())
    }

    /// A pass as the last one would be, without stopping anything.
    pub(super) async fn rehearse(&mut self, kept: &Mutex<Kept>) -> Result<(), Trouble> {
        self.lock().await?;
        if self.is_deploying().await?.is_some() {
            let what = "an earlier run had begun to deploy to the new host: there is nothing left to rehearse";
            let help = "go on without `--rehearse`, or go back with `--abort`";
            return Err(Trouble::refused(what, help).on(&self.new.name));
        }
        let freight = with(kept, |kept| kept.freight.clone());
        let new = survey::survey(self.new, &self.job.user).await?;
        let mut copier = Copier::new(self.run, self.job.manner.clone());
        let begun = Instant::now();
        let result = async {
            copier.ready(self.old, self.new).await?;
            let trips = self.trips(&freight).await?;
            self.copy_all(&mut copier, &trips, new.owner, Pass::Live).await?;
            self.manifests(&trips).await
        }
        .await;
        copier.clean(self.old, self.new).await;
        result?;
        with(kept, |kept| kept.second_pass = begun.elapsed());
        Ok(())
    }

    pub(super) async fn final_copy(&mut self, kept: &Mutex<Kept>) -> Result<(), Trouble> {
        self.lock().await?;
        let user = &self.job.user;
        let (old, new) = tokio::join!(survey::survey(self.old, user), survey::survey(self.new, user));
        let (old, new) = (old?, new?);
        // Somebody may have deployed since the first copy.
        let freight = self.freight(&old, &new).await?;
        self.may_be_filled(&old, &new, &freight).await?;
        with(kept, |kept| kept.freight = freight.clone());
        let mut copier = Copier::new(self.run, self.job.manner.clone());
        // All that can be done before the app stops is done before.
        copier.ready(self.old, self.new).await?;
        let trips = self.trips(&freight).await?;
        let result = self.frozen_copy(&mut copier, &freight, &trips, new.owner, kept).await;
        copier.clean(self.old, self.new).await;
        result?;
        self.mark(Stage::Verified).await
    }

    async fn frozen_copy(
        &mut self,
        copier: &mut Copier<'_>,
        freight: &Freight,
        trips: &[(Root, String)],
        owner: Option<(u32, u32)>,
        kept: &Mutex<Kept>,
    ) -> Result<(), Trouble> {
        self.steps = (0, trips.len() + 3);
        let begun = self.begin("stop what writes").await;
        thaw::arm(self.old, self.job.means.grace).await?;
        with(kept, |kept| kept.stopped = Some(Instant::now()));
        freeze::stop(self.old, freight, &self.job.means).await?;
        self.nobody_writes(freight, trips).await?;
        self.end("stopped what writes on the old host".into(), begun).await;
        for (root, _) in trips {
            manifest::mark(self.old, &manifest::key(&root.from), &root.from).await?;
        }
        self.copy_all(copier, trips, owner, Pass::Final).await?;
        let begun = self.begin("compare both hosts").await;
        self.compare(copier, trips, owner).await?;
        self.end("compared: names, owners, modes and the SHA-256 of every file are the same".into(), begun).await;
        for (root, _) in trips {
            if !manifest::is_still(self.old, &manifest::key(&root.from), &root.from).await? {
                let what = format!("{} has changed while all should stand still", root.what);
                return Err(
                    Trouble::new(what, "stop what writes there, such as a cron job, and run again").on(&self.old.name)
                );
            }
        }
        self.nobody_writes(freight, trips).await
    }

    async fn nobody_writes(&mut self, freight: &Freight, trips: &[(Root, String)]) -> Result<(), Trouble> {
        let now = survey::survey(self.old, &self.job.user).await?;
        let mut writing = Freight { roots: freight.roots.clone(), ..Freight::default() };
        freight::stops(&now, &mut writing);
        let mut still: Vec<String> =
            writing.apps.iter().chain(&writing.others).map(|name| format!("container {name}")).collect();
        let roots: Vec<String> = trips
            .iter()
            // kamal-proxy goes on, to answer those who come meanwhile; nobody asks it for new certificates.
            .filter(|(root, _)| !matches!(&root.to, To::Volume { below, .. } if !below.is_empty()))
            .map(|(root, _)| root.from.clone())
            .collect();
        still.extend(freeze::writers(self.old, &roots).await?.into_iter().map(|line| format!("process {line}")));
        if still.is_empty() {
            return Ok(());
        }
        still.truncate(8);
        let help = "stop it, or name a command that stops all that writes: `--freeze COMMAND --thaw COMMAND`";
        Err(Trouble::new("something still writes on the old host", help).said(still).on(&self.old.name))
    }

    /// Compares every tree. What differs is copied once more, every file read; if it still differs, it is told.
    async fn compare(
        &mut self,
        copier: &mut Copier<'_>,
        trips: &[(Root, String)],
        owner: Option<(u32, u32)>,
    ) -> Result<(), Trouble> {
        let mut databases = Vec::new();
        for (root, to) in trips {
            let trip = trip(root, to, owner, &self.job.user);
            let one = [(root.clone(), to.clone())];
            let mut looked = self.manifests(&one).await?;
            if looked.iter().any(|(old, new)| old.digest != new.digest) {
                self.new.note(format!("{} differs: every file is read and copied again", root.what)).await;
                copier.copy(self.old, self.new, &trip, Pass::Whole).await?;
                looked = self.manifests(&one).await?;
            }
            let differs = copier.copy(self.old, self.new, &trip, Pass::Look).await?;
            for (old, new) in &looked {
                if old.digest != new.digest || old.missing > 0 || !differs.is_empty() {
                    let mut said = differs.clone();
                    said.truncate(12);
                    let what = format!("{} is not the same on both hosts", root.what);
                    let help = "look at the free space and the file system of the new host, then run again";
                    return Err(Trouble::new(what, help).said(said).on(&self.new.name));
                }
                databases.extend(new.databases.iter().cloned());
            }
        }
        self.whole(&databases).await
    }

    async fn sqlite(&mut self) -> Result<(), Trouble> {
        let sqlite = Call::new(&COPY, "copy_package").arg("sqlite3").arg("sqlite3");
        self.new.act("installing sqlite3", sqlite).await.map(|_| ())
    }

    /// Whether SQLite finds every database whole.
    async fn whole(&mut self, databases: &[String]) -> Result<(), Trouble> {
        if databases.is_empty() {
            return Ok(());
        }
        self.sqlite().await?;
        let broken = manifest::broken(self.new, databases).await?;
        if broken.is_empty() {
            self.new.note(format!("SQLite finds {} whole", counted(databases.len(), "database"))).await;
            return Ok(());
        }
        let said = broken.iter().map(|(path, said)| format!("{path}: {said}")).collect();
        let help =
            "it is the same on the old host, byte for byte: mend it there (`sqlite3 FILE .recover`), or `--skip` it";
        Err(Trouble::new("SQLite finds a database broken", help).said(said).on(&self.new.name))
    }
}

fn trip<'a>(root: &'a Root, to: &'a str, owner: Option<(u32, u32)>, user: &'a str) -> Trip<'a> {
    let owner = owner.filter(|_| root.of_login);
    Trip { what: &root.what, from: &root.from, to, file: root.file, owner, bytes: root.bytes, user }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
