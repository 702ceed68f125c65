//! What a backup and a restore ask of a host, and the streams of archives to and from it. What is asked when is decided
//! elsewhere.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::Means;
use super::super::copy::COPY;
use super::super::freeze;
use super::super::manifest;
use super::super::side::{Side, Trouble};
use super::super::survey::Volume;
use super::archive::Tree;
use crate::base::event::EventKind;
use crate::engine::{Run, Teller};
use crate::shell::frame::{BadAnswer, Fields, printable_lines};
use crate::shell::{Call, Library};
use crate::ssh::Connection;
use crate::ssh::pipe::{Piece, Piped, Streams};

static BACKUP: Library = Library { name: "backup.sh", text: include_str!("backup.sh"), needs: &[] };

/// Where lists and copies of databases are on a host, as in `backup.sh`.
const PLACE: &str = "/var/lib/bedplate/backup";
/// What every program says of a full disk.
const FULL: &[u8] = b"No space left on device";
/// Bytes that are sent at once.
const PART: usize = 64 * 1024;

pub(super) fn call(function: &'static str) -> Call {
    Call::new(&BACKUP, function)
}

/// A copy of a database that stands in the place of the live one.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// Why there is no such copy; `None` where there is.
    pub(super) why_not: Option<String>,
    /// What SQLite says of it.
    pub(super) integrity: String,
    /// Its SHA-256.
    pub(super) sum: String,
}

/// Takes a copy of the database `name` below `top`.
pub(super) async fn database(side: &mut Side, key: &str, top: &str, name: &str) -> Result<Taken, Trouble> {
    let call = call("backup_database").arg(key).arg(top).arg(name);
    let answers = side.ask(vec![call]).await?;
    let (status, said) = answers.into_iter().next().unwrap_or((1, Vec::new()));
    if status != 0 {
        let help = format!("look at the free space of {PLACE}, and at the owner of the database");
        return Err(Trouble::new(format!("the database {name} can not be copied"), help).on(&side.name));
    }
    let mut fields = Fields::new(&said);
    let mut read = || -> Result<Taken, BadAnswer> {
        let mut text = || Ok(String::from_utf8_lossy(fields.bytes()?).trim().to_owned());
        let (how, integrity, sum): (String, String, String) = (text()?, text()?, text()?);
        Ok(Taken { why_not: (how != "taken").then_some(how), integrity, sum })
    };
    read().map_err(|error| Trouble::from(error).on(&side.name))
}

/// All that `take` has found in a tree, entry by entry.
pub(super) async fn entries(side: &Side, line: &Connection, key: &str) -> Result<Tree, Trouble> {
    let words = ["cat".to_owned(), format!("/var/lib/bedplate/migrate/{key}.manifest")];
    let mut streams = begin(side, line, &words).await?;
    let mut text = Vec::new();
    loop {
        match streams.next().await {
            Piece::Bytes(bytes) => text.extend(bytes),
            Piece::End(end) => {
                ended(&end, &[0], "reading the list of files").map_err(|trouble| trouble.on(&side.name))?;
                break;
            }
        }
    }
    Tree::of_host(&text).map_err(|why| Trouble::new(why, "run again; if it stays, please report it").on(&side.name))
}

/// Looks at a tree, and gives all that is in it, with the paths of its databases.
pub(super) async fn look(
    side: &mut Side,
    line: &Connection,
    key: &str,
    root: &str,
) -> Result<(Tree, manifest::Manifest), Trouble> {
    let taken = manifest::take(side, key, root, false).await?;
    let entries = entries(side, line, key).await?;
    // What an earlier restore has kept, and sockets, which no archive holds.
    let tree = entries.without(|entry| entry.name.starts_with(b".bedplate-") || entry.sort == 's');
    Ok((tree, taken))
}

/// What is packed: the tree's own folder and name, and how it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) what: &'a str,
    pub(super) key: &'a str,
    pub(super) top: &'a str,
    pub(super) bytes: u64,
}

/// Streams an archive into a file. Gives whether tar said that something changed meanwhile.
pub(super) async fn pack(side: &Side, line: &Connection, packed: Packed<'_>, into: &Path) -> Result<bool, Trouble> {
    let Packed { what, key, top, bytes } = packed;
    let place = |end: &str| format!("{PLACE}/{key}.{end}");
    // Numbers and not names, and the one form that holds attributes, ACLs, holes and any name. What went away since it was
    // listed is no failure: what the archive lacks is seen when it is read back.
    let words = "tar --create --ignore-failed-read --format=posix --numeric-owner --acls --xattrs --xattrs-include=* \
                 --sparse --no-recursion --null --verbatim-files-from --file=-";
    let mut words: Vec<String> = words.split_ascii_whitespace().map(str::to_owned).collect();
    words.push("--use-compress-program=gzip -1".to_owned());
    words.extend(
        ["-C", top, "-T", &place("list"), "-C", &place("staged"), "-T", &place("staged.list")].map(str::to_owned),
    );
    let trouble = |error: std::io::Error| here(into, &error);
    let mut file = std::fs::File::options().append(true).open(into).map_err(trouble)?;
    let mut streams = begin(side, line, &words).await?;
    let mut progress = Progress::new(&side.teller, bytes);
    loop {
        match streams.next().await {
            Piece::Bytes(part) => {
                file.write_all(&part).map_err(trouble)?;
                progress.passed(part.len());
            }
            Piece::End(end) => {
                file.sync_all().map_err(trouble)?;
                // 1: a file changed, or went away, while it was read.
                ended(&end, &[0, 1], &format!("packing {what}")).map_err(|trouble| trouble.on(&side.name))?;
                return Ok(end.status == Some(1));
            }
        }
    }
}

/// Streams an archive into a folder of the host.
pub(super) async fn unpack(
    side: &Side,
    line: &Connection,
    what: &str,
    from: &Path,
    folder: &str,
) -> Result<(), Trouble> {
    let words = "tar --extract --gzip --numeric-owner --same-owner --preserve-permissions --acls --xattrs --xattrs-include=* \
                 --file=- -C";
    let words: Vec<String> = words.split_ascii_whitespace().map(str::to_owned).chain([folder.to_owned()]).collect();
    let trouble = |error: std::io::Error| here(from, &error);
    let mut file = std::fs::File::open(from).map_err(trouble)?;
    let total = file.metadata().map_err(trouble)?.len();
    let streams = begin(side, line, &words).await?;
    let mut progress = Progress::new(&side.teller, total);
    let mut failed = None;
    let fed = streams.feed(|| {
        let mut part = vec![0; PART];
        match std::io::Read::read(&mut file, &mut part) {
            Ok(0) => None,
            Ok(length) => {
                part.truncate(length);
                progress.passed(length);
                Some(part)
            }
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    let end = fed.await;
    if let Some(error) = failed {
        return Err(trouble(error));
    }
    ended(&end, &[0], &format!("unpacking {what}")).map_err(|trouble| trouble.on(&side.name))
}

async fn begin(side: &Side, line: &Connection, words: &[String]) -> Result<Streams, Trouble> {
    let pipe = line.pipe().await.map_err(|error| Trouble::from(error).on(&side.name))?;
    pipe.begin(words).await.map_err(|said| {
        let said = printable_lines(&said);
        Trouble::new("a command can not be started", "see what the host said").said(said).on(&side.name)
    })
}

fn ended(end: &Piped, good: &[u32], what: &str) -> Result<(), Trouble> {
    match end {
        Piped { status: Some(status), .. } if good.contains(status) => Ok(()),
        Piped { lost: Some(why), .. } => Err(Trouble::new(
            format!("{what}: the connection was lost: {why}"),
            "run again when the host can be reached",
        )),
        Piped { status, errors, .. } => {
            let status = status.map_or_else(|| "without a status".to_owned(), |status| format!("with {status}"));
            let mut said = printable_lines(errors);
            said.drain(..said.len().saturating_sub(8));
            let full = errors.windows(FULL.len()).any(|part| part == FULL);
            let help = if full { "make room on that disk, and run again" } else { "see what the host said" };
            Err(Trouble::new(format!("{what}: it ended {status}"), help).said(said))
        }
    }
}

/// Something is wrong with a file on this machine.
pub(super) fn here(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::new(format!("{}: {error}", path.display()), "look at the free space and the owner of that folder here")
}

/// Tells how far a stream is, now and then.
struct Progress<'a> {
    teller: &'a Teller,
    total: u64,
    bytes: u64,
    begun: Instant,
    told: Instant,
}

impl<'a> Progress<'a> {
    fn new(teller: &'a Teller, total: u64) -> Self {
        Self { teller, total, bytes: 0, begun: Instant::now(), told: Instant::now() }
    }

    fn passed(&mut self, length: usize) {
        self.bytes += length as u64;
        if self.told.elapsed() > Duration::from_millis(200) {
            self.told = Instant::now();
            let rate = (self.bytes as f64 / self.begun.elapsed().as_secs_f64().max(0.001)) as u64;
            // How well the rest can be compressed is not known, so neither is the time that is left.
            let (bytes, total) = (self.bytes, self.total.max(self.bytes));
            self.teller.tell_if_room(EventKind::Copying { bytes, total, bytes_per_second: rate, left_s: None });
        }
    }
}

/// A second line to a host, for streams.
pub(super) async fn line(side: &Side, run: &Run) -> Result<Connection, Trouble> {
    run.connector.connect(&side.target).await.map_err(|error| Trouble::from(error).on(&side.name))
}

/// Sees to it that sqlite3 is there.
pub(super) async fn sqlite(side: &mut Side) -> Result<(), Trouble> {
    let call = Call::new(&COPY, "copy_package").arg("sqlite3").arg("sqlite3");
    side.act("installing sqlite3", call).await.map(|_| ())
}

/// Takes away all that was needed for a while.
pub(super) async fn clean(side: &mut Side, keys: &[String]) -> Result<(), Trouble> {
    side.act("tidying up", call("backup_clean").args(keys)).await?;
    side.act("removing what was installed", Call::new(&COPY, "copy_unpack")).await.map(|_| ())
}

/// Makes a volume where there is none, and gives the folder of its data. Errors: there is another one of that name.
pub(super) async fn volume(side: &mut Side, what: &str, volume: &Volume) -> Result<String, Trouble> {
    let mut call = Call::new(&COPY, "copy_volume").arg(&volume.name);
    for (key, value) in volume.options.iter().flatten() {
        call = call.arg("--opt").arg(format!("{key}={value}"));
    }
    for (key, value) in volume.labels.iter().flatten() {
        call = call.arg("--label").arg(format!("{key}={value}"));
    }
    let said = side.act(&format!("making {what}"), call).await?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let (device, mountpoint) = said.rsplit_once('|').unwrap_or(("", said.as_str()));
    if device != volume.device().unwrap_or_default() {
        let what = format!("{what} is another one on this host: it lies on `{device}`");
        let help = "declare it as it was when the backup was made, or remove it if it is empty";
        return Err(Trouble::new(what, help).on(&side.name));
    }
    Ok(if device.is_empty() { mountpoint.to_owned() } else { device.to_owned() })
}

/// Owner, group and mode of a volume's own folder: `1000:1000 755`.
pub(super) async fn owner(side: &mut Side, volume: &Volume) -> Result<String, Trouble> {
    let base = volume.device().unwrap_or(&volume.mountpoint);
    let answers = side.ask(vec![Call::new(&COPY, "copy_owner").arg(base)]).await?;
    let said = answers.first().map(|(_, body)| String::from_utf8_lossy(body).replace('\0', ""));
    Ok(said.unwrap_or_default().trim().to_owned())
}

/// Gives a volume that is still empty the owner that it had: Docker does so only for one that it finds empty, and a
/// container that may not write beside what is restored says nothing of it.
pub(super) async fn own(side: &mut Side, base: &str, owner: &str) -> Result<(), Trouble> {
    let Some((owner, mode)) = owner.split_once(' ') else { return Ok(()) };
    side.act("giving a volume its owner", call("restore_own").arg(base).arg(owner).arg(mode)).await.map(|_| ())
}

/// Removes what a restore has left half-done.
pub(super) async fn sweep(side: &mut Side) -> Result<(), Trouble> {
    let said = side.act("removing what a restore has left", call("restore_sweep")).await?;
    for line in printable_lines(&said) {
        side.note(line).await;
    }
    Ok(())
}

/// Waits until an exchange is over that goes on without its connection. Errors: it is not.
pub(super) async fn settled(side: &mut Side) -> Result<(), Trouble> {
    side.act("waiting for the data to be exchanged", call("restore_wait")).await.map(|_| ())
}

/// What stands still here, and whether an earlier backup or restore is to blame for it.
pub(super) async fn standing_still(side: &mut Side) -> Result<(Vec<String>, bool), Trouble> {
    let (stopped, _) = freeze::state(side).await?;
    let answers = side.ask(vec![call("backup_stopped_by")]).await?;
    let ours = answers.first().is_some_and(|(_, body)| !body.trim_ascii().is_empty());
    Ok((stopped, ours))
}

/// Starts again what a backup or a restore has stopped, and gives the names.
pub(super) async fn start(side: &mut Side, means: &Means) -> Result<Vec<String>, Trouble> {
    let names = freeze::start(side, means).await?;
    side.act("noting what was started", call("backup_started")).await?;
    Ok(names)
}

#[cfg(test)]
mod tests;
