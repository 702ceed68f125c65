//! What is moved: decided from what is on the old host and what deploy.yml says. Pure; every tree is a whole one, so that
//! both sides can be compared without a list of exceptions.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::{Container, Found, Mount, Sort, Survey, Volume};
use crate::inventory::deploy::{self, Deploy};

/// Where kamal-proxy keeps its state and its certificates.
const PROXY_VOLUME: &str = "kamal-proxy-config";
/// kamal-proxy's container.
pub(super) const PROXY: &str = "kamal-proxy";
/// Folders of the system's: what is mounted from there is the new host's own.
const OF_THE_SYSTEM: [&str; 12] =
    ["/proc", "/sys", "/dev", "/run", "/var/run", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot"];
/// Folders that hold everything: nobody means all of it.
const TOO_WIDE: [&str; 9] = ["/", "/var", "/var/lib", "/home", "/root", "/srv", "/mnt", "/opt", "/tmp"];
/// Kamal's own files that are worth taking along, below the home.
const PROXY_FILES: [&str; 5] = ["apps-config", "options", "image", "image_version", "run_command"];

/// What the operator and deploy.yml say about what is to be moved.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Kamal's configuration, where there is one.
    pub deploy: Option<&'a Deploy>,
    /// The host's roles and accessories.
    pub groups: &'a [String],
    /// Volumes and paths besides.
    pub also: &'a [String],
    /// Volumes and paths that stay.
    pub skip: &'a [String],
}

/// A tree that may be moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// How it is called: `volume shop_storage`.
    pub what: String,
    /// Where it is on the old host.
    pub from: String,
    /// Where it goes.
    pub to: To,
    /// Whether it belongs to the deployer's login, whatever its number.
    pub of_login: bool,
    /// Whether the operator named it, so that its absence is a mistake.
    pub named: bool,
}

/// What may be moved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidates {
    /// Trees to be looked at.
    pub found: Vec<Candidate>,
    /// What stays without being looked at.
    pub left: Vec<Left>,
    /// What can neither be moved nor stay behind without a word.
    pub wrong: Vec<String>,
}

/// Where a tree goes.
#[derive(Debug, Clone, PartialEq)]
pub enum To {
    /// Into a volume of Docker's, or into a folder in it.
    Volume {
        /// The volume, as it was on the old host.
        volume: Volume,
        /// The folder in it; empty for all of it.
        below: String,
    },
    /// To a path.
    Path(String),
}

/// A tree that is moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Root {
    /// How it is called.
    pub what: String,
    /// Where it really is on the old host.
    pub from: String,
    /// Where it goes.
    pub to: To,
    /// Whether it is a single file.
    pub file: bool,
    /// Whether it belongs to the deployer's login.
    pub of_login: bool,
    /// Bytes that it takes on the disk.
    pub used: u64,
    /// Bytes in it, holes included.
    pub bytes: u64,
    /// Inodes that it takes.
    pub inodes: u64,
}

/// What stays, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What.
    pub what: String,
    /// Why.
    pub why: &'static str,
}

/// All that is moved, and what must stand still for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Freight {
    /// The trees.
    pub roots: Vec<Root>,
    /// What stays.
    pub left: Vec<Left>,
    /// Containers of the app that run: they are stopped first.
    pub apps: Vec<String>,
    /// Other containers that run and write there, or are of the same service: databases, mostly.
    pub others: Vec<String>,
    /// What makes the move impossible.
    pub wrong: Vec<String>,
}

impl Freight {
    /// Bytes that it takes on the disk.
    pub fn used(&self) -> u64 {
        self.roots.iter().map(|root| root.used).sum()
    }
}

/// What may be moved, and what stays without being looked at. `new_home`: of the deployer's login there.
pub fn candidates(old: &Survey, new_home: &str, wishes: Wishes<'_>) -> Candidates {
    let homely = wishes.deploy.map(|deploy| declared(deploy, wishes.groups).0).unwrap_or_default();
    let homely = homely.into_iter().map(|(_, path)| path).filter(|path| !path.starts_with('/'));
    let homely = homely.map(|path| path.trim_start_matches("./").trim_end_matches('/').to_owned()).collect();
    let (found, left, wrong) = Default::default();
    let mut gathered = Gathered { old, new_home, wishes, homely, found, left, wrong };
    old.volumes.iter().for_each(|volume| gathered.volume(volume));
    for container in old.containers.iter().filter(|container| container.name != PROXY) {
        container.mounts.iter().filter(|mount| mount.sort == "bind").for_each(|mount| gathered.bind(container, mount));
    }
    if let Some(deploy) = wishes.deploy {
        let (folders, uploaded) = declared(deploy, wishes.groups);
        for (what, folder) in folders {
            gathered.path(what, &folder);
        }
        // Kamal uploads them again; of another owner they would keep it from doing so.
        let mut found = std::mem::take(&mut gathered.found);
        let is_uploaded =
            |from: &str| gathered.homely(from).is_some_and(|below| uploaded.iter().any(|path| path == below));
        found.retain(|candidate| !is_uploaded(&candidate.from));
        gathered.found = found;
    }
    {
        let home = gathered.home().to_owned();
        for name in PROXY_FILES {
            let path = format!("{home}/.kamal/proxy/{name}");
            let what = match name {
                "apps-config" => "certificates and error pages of your own".to_owned(),
                name => format!("kamal-proxy's {name}"),
            };
            gathered.path(what, &path);
            gathered
                .found
                .last_mut()
                .filter(|last| last.from == path)
                .into_iter()
                .for_each(|last| last.of_login = true);
        }
    }
    for also in wishes.also {
        gathered.also(also);
    }
    Candidates { found: gathered.found, left: gathered.left, wrong: gathered.wrong }
}

/// What is being gathered.
struct Gathered<'a> {
    old: &'a Survey,
    new_home: &'a str,
    wishes: Wishes<'a>,
    /// Folders that deploy.yml names from the login's home: where that home is, they are.
    homely: Vec<String>,
    found: Vec<Candidate>,
    left: Vec<Left>,
    wrong: Vec<String>,
}

impl Gathered<'_> {
    /// Whether it stays: by its name, or by a path that may be written from the login's home.
    fn skipped(&self, name: &str) -> bool {
        let same = |skip: &String| {
            skip.trim_end_matches('/') == name || self.absolute(skip) == name || self.homely(name) == Some(skip)
        };
        self.wishes.skip.iter().any(same)
    }

    fn leave(&mut self, what: String, why: &'static str) {
        let left = Left { what, why };
        if !self.left.contains(&left) {
            self.left.push(left);
        }
    }

    fn add(&mut self, candidate: Candidate) {
        if !self.found.iter().any(|other| other.from == candidate.from) {
            self.found.push(candidate);
        }
    }

    fn volume(&mut self, volume: &Volume) {
        let what = format!("volume {}", volume.name);
        let mounted =
            self.old.containers.iter().any(|container| {
                container.name != PROXY && container.mounts.iter().any(|mount| mount.name == volume.name)
            });
        let options = volume.options.as_ref().is_some_and(|options| !options.is_empty());
        if volume.name == PROXY_VOLUME {
            let to = To::Volume { volume: volume.clone(), below: "certs".into() };
            let from = format!("{}/certs", volume.mountpoint);
            let what = "certificates of kamal-proxy".into();
            self.add(Candidate { what, from, to, of_login: false, named: false });
        } else if self.skipped(&volume.name) {
            self.leave(what, "you said so");
        } else if volume.is_anonymous() {
            if self.of_accessory(&volume.name) {
                self.wrong.push(format!(
                    "{what} of an accessory has no name, so its container on the new host would not find it; give it one in \
                     deploy.yml (`volumes:` or `directories:`), or leave it behind with `--skip`"
                ));
            } else if mounted {
                self.leave(what, "it has no name, so no other container would find it");
            }
        } else if volume.driver != "local" {
            self.leave(what, "its driver is not `local`");
        } else if options && volume.device().is_none() {
            self.leave(what, "it lies on a network or in memory");
        } else {
            let from = volume.device().unwrap_or(&volume.mountpoint).trim_end_matches('/').to_owned();
            let to = To::Volume { volume: volume.clone(), below: String::new() };
            self.add(Candidate { what, from, to, of_login: false, named: false });
        }
    }

    /// Whether a container of an accessory has this volume.
    fn of_accessory(&self, volume: &str) -> bool {
        self.old.containers.iter().any(|container| {
            container.label("service").is_some()
                && container.label("role").is_none()
                && container.mounts.iter().any(|mount| mount.name == volume)
        })
    }

    fn bind(&mut self, container: &Container, mount: &Mount) {
        let what = format!("{} of {}", mount.source, container.name);
        if self.homely(&mount.source).is_some_and(|below| below.starts_with(".kamal/")) {
            return;
        }
        if is_below(&mount.source, &OF_THE_SYSTEM) || mount.source.starts_with(&format!("{}/", self.old.docker_root)) {
            self.leave(what, "it is the system's");
        } else {
            self.path(what, &mount.source);
        }
    }

    /// A path's rest below the deployer's home, or below root's, which may have been the deployer's before.
    fn homely<'p>(&self, path: &'p str) -> Option<&'p str> {
        let homes = [self.old.home.as_str(), "/root"];
        homes.into_iter().filter(|home| !home.is_empty()).find_map(|home| path.strip_prefix(home)?.strip_prefix('/'))
    }

    /// The login's home on the old host; root's where that login is not there yet.
    fn home(&self) -> &str {
        if self.old.home.is_empty() { "/root" } else { &self.old.home }
    }

    fn absolute(&self, path: &str) -> String {
        match path.starts_with('/') {
            true => path.trim_end_matches('/').to_owned(),
            false => format!("{}/{}", self.home(), path.trim_start_matches("./").trim_end_matches('/')),
        }
    }

    fn path(&mut self, what: String, path: &str) {
        let from = self.absolute(path);
        if self.skipped(path) || self.skipped(&from) {
            self.leave(what, "you said so");
        } else if TOO_WIDE.contains(&from.as_str()) {
            self.wrong
                .push(format!("{what}: {from} is too wide; name what you mean with `--also`, and `--skip {from}`"));
        } else {
            // What a path names outright is found there by the new container too; only what is said from the home moves
            // with it, Kamal's own files among it. Without a deploy.yml nobody can tell.
            let moves = |below: &str| {
                self.wishes.deploy.is_none()
                    || below.starts_with(".kamal/")
                    || self.homely.iter().any(|homely| homely == below)
            };
            let to = match self.homely(&from) {
                Some(below) if !self.new_home.is_empty() && moves(below) => format!("{}/{below}", self.new_home),
                _ => from.clone(),
            };
            self.add(Candidate { what, from, to: To::Path(to), of_login: false, named: false });
        }
    }

    fn also(&mut self, name: &str) {
        if !name.starts_with('/') {
            // Every volume that can be moved is there already.
            let known = self
                .found
                .iter()
                .any(|candidate| matches!(&candidate.to, To::Volume { volume, .. } if volume.name == name));
            if !known {
                let (what, from) = (format!("volume {name}"), String::new());
                let to = To::Path(String::new());
                self.found.push(Candidate { what, from, to, of_login: false, named: true });
            }
            return;
        }
        let from = name.trim_end_matches('/').to_owned();
        if TOO_WIDE.contains(&from.as_str()) || from.is_empty() || is_below(&from, &OF_THE_SYSTEM) {
            self.wrong.push(format!("{name} is the system's or too wide, and would replace the new host's own"));
            return;
        }
        self.found.retain(|candidate| candidate.from != from);
        let (what, to) = (from.clone(), To::Path(from.clone()));
        self.found.push(Candidate { what, from, to, of_login: false, named: true });
    }
}

/// What deploy.yml gives containers of a host: folders with their names, and files that Kamal uploads itself.
fn declared(deploy: &Deploy, groups: &[String]) -> (Vec<(String, String)>, Vec<String>) {
    let all = groups.is_empty();
    let is_here = |name: &String| all || groups.contains(name);
    let mut volumes = Vec::new();
    let (mut folders, mut uploaded) = (Vec::new(), Vec::new());
    let roles: Vec<_> = deploy.roles.iter().filter(|role| is_here(&role.name)).collect();
    if !roles.is_empty() {
        volumes.extend(deploy.volumes.iter().map(|volume| ("the app", volume)));
    }
    for role in roles {
        volumes.extend(role.volumes.iter().map(|volume| (role.name.as_str(), volume)));
    }
    for accessory in deploy.accessories.iter().filter(|accessory| is_here(&accessory.name)) {
        volumes.extend(accessory.volumes.iter().map(|volume| (accessory.name.as_str(), volume)));
        let named = |said: &deploy::Said<String>| (format!("{} of {}", said.value, accessory.name), said.value.clone());
        folders.extend(accessory.directories.iter().map(named));
        uploaded.extend(accessory.files.iter().map(|said| said.value.clone()));
    }
    for (of, volume) in volumes {
        if let deploy::Volume::Folder(path) = &volume.value
            && !is_below(path, &OF_THE_SYSTEM)
        {
            folders.push((format!("{path} of {of}"), path.clone()));
        }
    }
    (folders, uploaded)
}

fn is_below(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path == *folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// What is moved by rsync, of `candidates` that were `found` so.
pub fn freight(old: &Survey, candidates: Candidates, found: &[Found]) -> Freight {
    let mut freight = taken(old, candidates, found);
    let odd = freight.roots.iter().filter(|root| root.from.contains(['*', '?', '[', ']', '\\']));
    let odd = odd.map(|root| {
        format!("{} has one of `* ? [ ] \\` in its name, which can not be moved: rename it, or leave it behind with `--skip`", root.from)
    });
    let odd: Vec<String> = odd.collect();
    freight.wrong.extend(odd);
    freight
}

/// What is taken, by whatever means, of `candidates` that were `found` so.
pub fn taken(old: &Survey, candidates: Candidates, found: &[Found]) -> Freight {
    let Candidates { found: candidates, mut left, wrong } = candidates;
    let mut freight = Freight { wrong, ..Freight::default() };
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (candidate, found) in candidates.into_iter().zip(found) {
        let Candidate { what, to, of_login, named, .. } = candidate;
        let real = found.real.trim_end_matches('/').to_owned();
        match found.sort {
            Sort::Absent if named => freight.wrong.push(format!("there is no {what} there")),
            Sort::Absent => {}
            Sort::Other => left.push(Left { what, why: "it is neither a folder nor a file" }),
            // An empty folder is made by whoever needs it; a volume is not, with its options.
            Sort::Folder if found.empty && matches!(to, To::Path(_)) && of_login => {}
            Sort::Database if named => freight.wrong.push(format!(
                "{real} is a database of SQLite, which keeps more beside it: name the folder that it is in"
            )),
            Sort::Folder | Sort::File | Sort::Database => {
                if real.contains('\u{fffd}') {
                    freight
                        .wrong
                        .push(format!("{real} has a name that is no UTF-8: rename it, or leave it out with `--skip`"));
                    continue;
                }
                if real.contains('\n') {
                    let name = real.replace('\n', "\\n");
                    freight
                        .wrong
                        .push(format!("{name} has a line break in its name: rename it, or leave it out with `--skip`"));
                    continue;
                }
                if let Some(other) = names.get(&real) {
                    left.push(Left { what: format!("{what} (it is the same as {other})"), why: "it is moved once" });
                    continue;
                }
                names.insert(real.clone(), what.clone());
                let file = found.sort != Sort::Folder;
                let Found { used, bytes, inodes, .. } = *found;
                freight.roots.push(Root { what, from: real, to, file, of_login, used, bytes, inodes });
            }
        }
    }
    let tops: Vec<String> = freight.roots.iter().map(|root| root.from.clone()).collect();
    // A volume in a tree that is moved is still to be made on the new host.
    let inner = |root: &Root| {
        let below = |top: &String| root.from.strip_prefix(top.as_str()).is_some_and(|rest| rest.starts_with('/'));
        matches!(root.to, To::Path(_)) && tops.iter().any(below)
    };
    freight.roots.retain(|root| !inner(root));
    freight.left = left;
    collisions(&mut freight);
    stops(old, &mut freight);
    freight
}

/// Two trees can not go to one place: the one would be lost to the other.
fn collisions(freight: &mut Freight) {
    let path = |root: &Root| match &root.to {
        To::Path(path) => Some(path.clone()),
        To::Volume { volume, below } if below.is_empty() => volume.device().map(str::to_owned),
        To::Volume { .. } => None,
    };
    let mut wrong = Vec::new();
    for (at, one) in freight.roots.iter().enumerate() {
        for other in &freight.roots[at + 1..] {
            let (Some(here), Some(there)) = (path(one), path(other)) else { continue };
            // A volume below a tree goes along with it, to the same place.
            let along = |a: &Root, b: &Root, x: &str, y: &str| matches!((a.from.strip_prefix(&b.from), x.strip_prefix(y)), (Some(from), Some(to)) if from == to);
            let meet = is_below(&here, &[&there]) || is_below(&there, &[&here]);
            if meet && !along(one, other, &here, &there) && !along(other, one, &there, &here) {
                wrong.push(format!(
                    "{} and {} would both go to {here}: one of them is stale; leave it behind with `--skip {}`, or move it away",
                    one.from, other.from, other.from
                ));
            }
        }
    }
    freight.wrong.append(&mut wrong);
}

/// Which containers must stand still.
pub(super) fn stops(old: &Survey, freight: &mut Freight) {
    let roots: Vec<&str> = freight.roots.iter().map(|root| root.from.as_str()).collect();
    let volumes: BTreeSet<&str> = freight
        .roots
        .iter()
        .filter_map(|root| match &root.to {
            To::Volume { volume, .. } => Some(volume.name.as_str()),
            To::Path(_) => None,
        })
        .collect();
    let touches = |mount: &Mount| {
        let source = mount.source.as_str();
        let meets = |root: &&str| {
            let below =
                |one: &str, other: &str| one == other || one.strip_prefix(other).is_some_and(|r| r.starts_with('/'));
            below(source, root) || below(root, source)
        };
        volumes.contains(mount.name.as_str()) || (!source.is_empty() && roots.iter().any(meets))
    };
    for container in old.containers.iter().filter(|container| container.running && container.name != PROXY) {
        let of_service = container.label("service").is_some();
        if of_service || container.mounts.iter().any(touches) {
            let to = if container.label("role").is_some() { &mut freight.apps } else { &mut freight.others };
            to.push(container.name.clone());
        }
    }
}

#[cfg(test)]
mod tests;
