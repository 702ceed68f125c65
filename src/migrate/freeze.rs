//! Stops what writes on the old host, finds whoever still does, and starts it again. What is stopped is written down on the
//! host first, so that it can be started again by whoever comes, whatever became of this run.

use std::time::Duration;

use super::freight::Freight;
use super::side::{Side, Trouble};
use super::thaw;
use crate::shell::frame::Fields;
use crate::shell::{Call, Library};

pub(super) static FREEZE: Library = Library { name: "freeze.sh", text: include_str!("freeze.sh"), needs: &[] };

/// What stands among the names for the operator's own command, as in `freeze.sh`.
const OWN: &str = "(your command)";

/// How what writes is brought to stand still.
#[derive(Debug, Clone)]
pub struct Means {
    /// Seconds that a container has to end by itself. A database that is killed has to recover on the new host.
    pub patience: u32,
    /// A command that stops what no container is, and the one that takes it back.
    pub own: Option<(String, String)>,
    /// A command between the app's end and the databases'.
    pub dump: Option<String>,
    /// How long the host waits for this machine, once it has lost it, before it starts everything again by itself.
    pub grace: Duration,
}

impl Means {
    /// Containers alone, with the usual waiting time for a machine that is lost.
    pub fn containers(patience: u32, dump: Option<String>) -> Self {
        Self { patience, own: None, dump, grace: Duration::from_secs(120) }
    }
}

/// Stops it all. Errors: something can not be stopped; what is stopped by then is written down.
pub(super) async fn stop(old: &mut Side, freight: &Freight, means: &Means) -> Result<(), Trouble> {
    let call = |function| Call::new(&FREEZE, function);
    let stop = || call("freeze_stop").arg(means.patience.to_string());
    if let Some((freeze, thaw)) = &means.own {
        old.act("noting what is stopped", call("freeze_keep").arg(thaw)).await?;
        old.act("noting what is stopped", call("freeze_note").arg(OWN)).await?;
        old.act("running your command", call("freeze_own").arg(freeze)).await?;
    }
    // The first to be started again is the last that was stopped: databases before the app.
    let names = freight.apps.iter().chain(&freight.others);
    old.act("noting what is stopped", call("freeze_note").args(names)).await?;
    if !freight.apps.is_empty() {
        let said = old.act("stopping the app", stop().args(&freight.apps)).await?;
        tell_killed(old, &said, means).await;
    }
    if let Some(dump) = &means.dump {
        old.act("running your dump command", call("freeze_own").arg(dump)).await?;
    }
    if !freight.others.is_empty() {
        let said = old.act("stopping databases", stop().args(&freight.others)).await?;
        tell_killed(old, &said, means).await;
    }
    Ok(())
}

async fn tell_killed(old: &Side, said: &[u8], means: &Means) {
    let names = killed(said);
    if !names.is_empty() {
        let text = format!(
            "did not end within {} s and had to be killed: {}. Files are as after a power cut: what was acknowledged as written \
             is in them, and a database recovers from its log when it starts. With a longer `--stop-timeout` \
             it can end by itself",
            means.patience,
            names.join(", ")
        );
        old.note(text).await;
    }
}

/// The containers that Docker had to kill, of what `freeze_stop` prints.
fn killed(said: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(said).lines().filter_map(|line| line.strip_prefix("killed ")).map(str::to_owned).collect()
}

/// Stops containers without writing them down.
pub(super) async fn stop_all(side: &mut Side, names: &[String], means: &Means) -> Result<(), Trouble> {
    let call = Call::new(&FREEZE, "freeze_stop").arg(means.patience.to_string()).args(names);
    side.act("stopping containers", call).await.map(|_| ())
}

/// Leaves word on the old host of where its app has gone.
pub(super) async fn moved(old: &mut Side, text: &str) -> Result<(), Trouble> {
    old.act("leaving a note", Call::new(&FREEZE, "freeze_moved").arg(text)).await.map(|_| ())
}

/// Removes stopped containers, not what they keep.
pub(super) async fn remove(side: &mut Side, names: &[String]) -> Result<(), Trouble> {
    side.act("removing containers", Call::new(&FREEZE, "freeze_remove").args(names)).await.map(|_| ())
}

/// Writes a container down that is about to be stopped.
pub(super) async fn note(old: &mut Side, name: &str) -> Result<(), Trouble> {
    old.act("noting what is stopped", Call::new(&FREEZE, "freeze_note").arg(name)).await.map(|_| ())
}

/// Starts again what was stopped, and gives the names. Errors: something does not start.
pub(super) async fn start(old: &mut Side, means: &Means) -> Result<Vec<String>, Trouble> {
    thaw::disarm(old).await?;
    let (names, _) = state(old).await?;
    if let Some((_, thaw)) = &means.own {
        old.act("noting your command", Call::new(&FREEZE, "freeze_keep").arg(thaw)).await?;
    }
    old.act("starting what was stopped", Call::new(&FREEZE, "freeze_start")).await?;
    Ok(names)
}

/// Whether a move has stopped what was to stop, if only nothing, and nobody has started it since.
pub(super) async fn has_begun(old: &mut Side) -> Result<bool, Trouble> {
    let answers = old.ask(vec![Call::new(&FREEZE, "freeze_begun")]).await?;
    Ok(answers.first().is_some_and(|(status, _)| *status == 0))
}

/// The names that were stopped and not started since; and what runs.
pub(super) async fn state(old: &mut Side) -> Result<(Vec<String>, Vec<String>), Trouble> {
    let answers = old.ask(vec![Call::new(&FREEZE, "freeze_state")]).await?;
    let mut fields = Fields::new(answers.first().map_or(&[][..], |(_, body)| body));
    let mut lines = || fields.text().map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    let read = lines().and_then(|stopped| Ok((stopped, lines()?)));
    read.map_err(|error| Trouble::from(error).on(&old.name))
}

/// Whoever has something below `roots` open for writing. Errors: nobody can tell.
pub(super) async fn writers(old: &mut Side, roots: &[String]) -> Result<Vec<String>, Trouble> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let answers = old.ask(vec![Call::new(&FREEZE, "freeze_writers").args(roots)]).await?;
    match answers.first() {
        Some((0, body)) => Ok(String::from_utf8_lossy(body).lines().map(str::to_owned).collect()),
        _ => Err(Trouble::new("who writes there can not be found out", "perl must run on that host").on(&old.name)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::shell::frame::{Part, Reader};
    use crate::shell::{Batch, Mode, Nonce};

    fn writers(root: &str) -> String {
        let call = Call::new(&FREEZE, "freeze_writers").arg(root);
        let script = Batch::new(Mode::Probe, vec![call]).render(&Nonce::new(7), 1, &[]).unwrap();
        let output = Command::new("dash").arg("-c").arg(script).output().expect("dash runs");
        let parts = Reader::new(&Nonce::new(7)).push(&output.stdout).unwrap();
        let body = parts.into_iter().find_map(|part| match part {
            Part::End { body, status: 0, .. } => Some(body),
            _ => None,
        });
        String::from_utf8(body.expect("an answer")).unwrap()
    }

    #[test]
    fn a_container_that_had_to_be_killed_is_told_from_one_that_ended() {
        assert_eq!(killed(b"shop-web-1\nshop-db\nkilled shop-db\n"), ["shop-db"]);
        assert!(killed(b"shop-web-1\nkilled\n").is_empty());
    }

    #[test]
    fn whoever_writes_is_found_and_whoever_reads_is_not() {
        let tree = tempfile::tempdir().unwrap();
        let path = std::fs::canonicalize(tree.path()).unwrap().join("file");
        std::fs::write(&path, "x").unwrap();
        let root = path.parent().unwrap().to_str().unwrap().to_owned();
        let reads = std::fs::File::open(&path).unwrap();
        assert_eq!(writers(&root), "");
        let writes = std::fs::File::options().append(true).open(&path).unwrap();
        let found = writers(&root);
        assert!(found.contains(&format!("{} ", std::process::id())) && found.contains("/file"), "{found}");
        drop((reads, writes));
        // By another name, as in a container.
        let elsewhere = tempfile::tempdir_in(path.parent().unwrap().parent().unwrap()).unwrap();
        let other = elsewhere.path().join("other");
        std::fs::hard_link(&path, &other).unwrap();
        let _writes = std::fs::File::options().append(true).open(&other).unwrap();
        assert!(writers(&root).contains("/other"), "a file with another name is not known by its number");
    }
}
