//! Whether two trees are the same: names, sorts, modes, owners, sizes, links and the SHA-256 of every file, as one digest
//! on each side. Also what lies in them that has to be looked at: databases of SQLite.

use super::side::{Side, Trouble};
use crate::base::Digest;
use crate::shell::frame::{BadAnswer, Fields};
use crate::shell::{Call, Library};

static MANIFEST: Library = Library { name: "manifest.sh", text: include_str!("manifest.sh"), needs: &[] };

/// What was found in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Entries.
    pub(super) entries: u64,
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Bytes that were read for it.
    pub(super) read: u64,
    /// Files that went away while they were being read.
    pub(super) missing: u64,
    /// SHA-256 of the whole.
    pub(super) digest: String,
    /// Databases of SQLite.
    pub(super) databases: Vec<String>,
}

/// By which name a host keeps what it knows of a tree; `from` is its path on the old host, so both sides agree.
pub(super) fn key(from: &str) -> String {
    Digest::of(from).short().to_owned()
}

/// Looks at a tree. `of_login`: owners do not count, as it is given to another. Errors: it can not be read.
pub(super) async fn take(side: &mut Side, key: &str, root: &str, of_login: bool) -> Result<Manifest, Trouble> {
    let call = Call::new(&MANIFEST, "manifest_take").arg(key).arg(root).arg(if of_login { "1" } else { "0" });
    let answers = side.ask(vec![call]).await?;
    let (status, body) = answers.into_iter().next().unwrap_or((1, Vec::new()));
    if status != 0 {
        let help = "look at the free space of /var on that host, and at `dmesg` for errors of its disk";
        return Err(Trouble::new(format!("{root} can not be read through"), help).on(&side.name));
    }
    read(&body).map_err(|error| Trouble::from(error).on(&side.name))
}

fn read(body: &[u8]) -> Result<Manifest, BadAnswer> {
    let mut fields = Fields::new(body);
    let mut number = || fields.number::<u64>();
    let (entries, bytes, hashed, missing) = (number()?, number()?, number()?, number()?);
    let digest = fields.text()?.to_owned();
    let databases = String::from_utf8_lossy(fields.bytes()?).lines().map(str::to_owned).collect();
    Ok(Manifest { entries, bytes, read: hashed, missing, digest, databases })
}

/// Writes down how a tree stands.
pub(super) async fn mark(side: &mut Side, key: &str, root: &str) -> Result<(), Trouble> {
    let call = Call::new(&MANIFEST, "manifest_mark").arg(key).arg(root);
    side.act("looking at what stands still", call).await.map(|_| ())
}

/// Whether it still stands so.
pub(super) async fn is_still(side: &mut Side, key: &str, root: &str) -> Result<bool, Trouble> {
    let call = Call::new(&MANIFEST, "manifest_still").arg(key).arg(root);
    Ok(side.ask(vec![call]).await?.first().is_some_and(|(status, _)| *status == 0))
}

/// Takes away what a host keeps of trees.
pub(super) async fn forget(side: &mut Side) -> Result<(), Trouble> {
    side.act("tidying up", Call::new(&MANIFEST, "manifest_forget")).await.map(|_| ())
}

/// Asks SQLite whether databases are whole. Gives those that are not, with what it says.
pub(super) async fn broken(side: &mut Side, databases: &[String]) -> Result<Vec<(String, String)>, Trouble> {
    if databases.is_empty() {
        return Ok(Vec::new());
    }
    let answers = side.ask(vec![Call::new(&MANIFEST, "manifest_databases").args(databases)]).await?;
    let mut fields = Fields::new(answers.first().map_or(&[][..], |(_, body)| body));
    let mut broken = Vec::new();
    for _ in databases {
        let mut pair = || -> Result<(String, String), BadAnswer> {
            Ok((fields.text()?.to_owned(), String::from_utf8_lossy(fields.bytes()?).trim().to_owned()))
        };
        let (path, said) = pair().map_err(|error| Trouble::from(error).on(&side.name))?;
        if said != "ok" {
            broken.push((path, said));
        }
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::shell::frame::{Part, Reader};
    use crate::shell::{Batch, Mode, Nonce};

    /// What `manifest_take` says of a tree, its records kept in `state`.
    fn taken(state: &Path, root: &Path) -> Manifest {
        let root = root.to_str().unwrap();
        let call = Call::new(&MANIFEST, "manifest_take").arg("x").arg(root).arg("0");
        let script = Batch::new(Mode::Probe, vec![call]).render(&Nonce::new(7), 1, &[]).unwrap();
        let script = script.replace("/var/lib/bedplate/migrate", state.to_str().unwrap());
        let output = Command::new("dash").arg("-c").arg(script).output().expect("dash runs");
        let parts = Reader::new(&Nonce::new(7)).push(&output.stdout).unwrap();
        let body = parts.into_iter().find_map(|part| match part {
            Part::End { body, status: 0, .. } => Some(body),
            _ => None,
        });
        read(&body.expect("an answer")).unwrap()
    }

    fn old(path: &Path) {
        // At rest, as far as its times tell; the time of its status can not be set, so that is waited for.
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }

    #[test]
    fn whatever_differs_is_seen_in_the_digest() {
        let (state, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| tree.path().join(name);
        let shell = |line: &str| {
            let ran = Command::new("bash").args(["-c", line]).current_dir(tree.path()).status().unwrap();
            assert!(ran.success(), "{line}");
        };
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("folder/one"), "1").unwrap();
        std::fs::write(at("odd\nname 'x' \u{e9}"), "2").unwrap();
        std::fs::write(at("db"), [b"SQLite format 3\0".as_slice(), &[0; 200]].concat()).unwrap();
        std::fs::hard_link(at("folder/one"), at("two")).unwrap();
        std::os::unix::fs::symlink("folder/one", at("link")).unwrap();
        old(&at("folder/one"));
        let first = taken(state.path(), tree.path());
        assert_eq!((first.entries, first.missing), (7, 0), "{first:?}");
        assert_eq!(first.databases, [at("db").to_str().unwrap()]);
        assert_eq!(taken(state.path(), tree.path()).digest, first.digest, "the same tree differs from itself");
        let mut seen = vec![first.digest];
        for change in [
            "chmod 600 folder/one",
            "ln -sf folder/two link",
            "rm two && cp -p folder/one two",
            "printf 9 >folder/one",
            "mv db db2",
            "mkdir empty",
            "truncate -s 300 db2",
            "mkfifo pipe",
            "rm pipe && touch pipe",
        ] {
            shell(change);
            let digest = taken(state.path(), tree.path()).digest;
            assert!(!seen.contains(&digest), "`{change}` is not seen");
            seen.push(digest);
        }
    }

    #[test]
    fn a_sum_is_kept_only_of_a_file_at_rest() {
        let (state, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = tree.path().join("file");
        std::fs::write(&file, vec![7; 1000]).unwrap();
        assert_eq!(taken(state.path(), tree.path()).read, 1000);
        // Changed a moment ago: it may be changing still, without a newer time.
        assert_eq!(taken(state.path(), tree.path()).read, 1000);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while taken(state.path(), tree.path()).read != 0 {
            assert!(std::time::Instant::now() < until, "a file at rest is read for ever");
            std::thread::yield_now();
        }
        std::fs::write(&file, vec![8; 1000]).unwrap();
        old(&file);
        let again = taken(state.path(), tree.path());
        assert_eq!(again.read, 1000, "a changed file with an old time was not read again");
    }
}
