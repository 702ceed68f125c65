//! The host's own record of runs: the lock that keeps two of them apart, the wish to stop, and the journal.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::Exit;
use crate::machine::session::SESSION;
use crate::plan::undo::KeptStep;
use crate::shell::{Batch, Call, Library, Mode};
use crate::ssh::{FrameResult, HeldShell, SessionError};

/// The functions around a host's lock.
pub static HOST: Library = Library { name: "host.sh", text: include_str!("host.sh"), needs: &[&SESSION] };

/// The exit status of `host_lock` when another run holds the lock.
const HELD: u8 = 76;

/// Who runs bedplate, from where, when: the owner of a lock, and the head of a journal line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Login name and machine: `ann@laptop`.
    pub name: String,
    /// Process number on that machine.
    pub process: u32,
    /// Start of the run, RFC 3339 in UTC.
    pub since: String,
}

/// What came of asking for the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// Ours until the shell ends.
    Taken,
    /// Another run's; its owner as it wrote itself down.
    Held(Option<Operator>),
    /// It could not be taken, and what the host said.
    Failed(Vec<String>),
}

/// Takes the host's lock for as long as `shell` lives: see [`lock_batch`].
pub async fn lock(shell: &mut HeldShell, operator: &Operator, limit: Duration) -> Result<Lock, SessionError> {
    Ok(locked(&shell.run(&lock_batch(operator, limit), &mut |_| {}).await?))
}

/// What takes the host's lock for as long as the shell lives that it is sent to. A command that outlives a lost
/// connection keeps it too, so a second run never meets the first one's apt. `limit` is the time after which this run
/// gives a silent connection up (zero: never): a holder whose connection the host has heard nothing of for longer is
/// taken for gone.
pub fn lock_batch(operator: &Operator, limit: Duration) -> Batch {
    let owner = serde_json::to_string(operator).unwrap_or_default();
    let call = Call::new(&HOST, "host_lock").arg(owner).arg(limit.as_secs().to_string());
    Batch::new(Mode::Hold, vec![call])
}

/// What came of [`lock_batch`].
pub fn locked(results: &[FrameResult]) -> Lock {
    let said = |body: &[u8]| crate::shell::frame::printable_lines(body);
    match results.first() {
        Some(result) if result.status == 0 => Lock::Taken,
        Some(result) if result.status == HELD => Lock::Held(serde_json::from_slice(&result.body).ok()),
        Some(result) => Lock::Failed(said(&result.body)),
        None => Lock::Failed(Vec::new()),
    }
}

/// Lets the lock go.
pub async fn unlock(shell: &mut HeldShell) -> Result<(), SessionError> {
    let call = Call::new(&HOST, "host_unlock");
    shell.run(&Batch::new(Mode::Hold, vec![call]), &mut |_| {}).await.map(|_| ())
}

/// Tells the run that holds the lock to end after the call in hand. `shell` is another one on the same host.
pub async fn stop(shell: &mut HeldShell) -> Result<(), SessionError> {
    let call = Call::new(&HOST, "host_stop");
    shell.run(&Batch::new(Mode::Probe, vec![call]), &mut |_| {}).await.map(|_| ())
}

/// One run, as the host remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Version of this form.
    pub v: u32,
    /// Who, from where, since when.
    pub operator: Operator,
    /// bedplate's version.
    pub version: String,
    /// Digest of the tasks as they were rendered for this host, secrets left out.
    pub playbooks: String,
    /// What was done, in order.
    pub done: Vec<JournalStep>,
    /// How it ended.
    pub exit: Exit,
    /// The failure in one line, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// By which name `undo` finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The run that it took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
}

/// One action that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStep {
    /// Name of the task.
    pub task: String,
    /// The action's summary.
    pub action: String,
}

fn journal_call(entry: &JournalEntry) -> Call {
    Call::new(&HOST, "host_journal").arg(serde_json::to_string(entry).unwrap_or_default())
}

/// Adds `entry` to the journal. Gives whether the host could write it: a full disk is told, it fails no run.
pub async fn write(shell: &mut HeldShell, entry: &JournalEntry) -> Result<bool, SessionError> {
    let results = shell.run(&Batch::new(Mode::Hold, vec![journal_call(entry)]), &mut |_| {}).await?;
    Ok(results.first().is_some_and(|result| result.status == 0))
}

/// Keeps `run` on the host, to be undone, the last ten are; then adds `entry`, which names it, to the journal. Gives
/// whether there was room for the first, and for both: an entry that would name what is not kept is not written.
pub async fn keep_and_write(
    shell: &mut HeldShell,
    run: &KeptRun,
    entry: &JournalEntry,
) -> Result<(bool, bool), SessionError> {
    let keep = Call::new(&HOST, "host_keep").arg(run.run.as_str()).arg(serde_json::to_string(run).unwrap_or_default());
    // The first that fails ends the batch.
    let results = shell.run(&Batch::new(Mode::Hold, vec![keep, journal_call(entry)]), &mut |_| {}).await?;
    let well = |index: usize| results.get(index).is_some_and(|result| result.status == 0);
    Ok((well(0), well(1)))
}

/// The steps of one run, with what leads back from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptRun {
    /// Version of this form.
    pub v: u32,
    /// Its name.
    pub run: String,
    /// Its steps, in the order in which they were done.
    pub steps: Vec<KeptStep>,
}

/// What the host keeps of `run`, or of the last one. `None`: of that it keeps nothing, or nothing that can be read.
pub async fn kept(shell: &mut HeldShell, run: Option<&str>) -> Result<Option<KeptRun>, SessionError> {
    let call = Call::new(&HOST, "host_kept").arg(run.unwrap_or_default());
    let results = shell.run(&Batch::new(Mode::Probe, vec![call]), &mut |_| {}).await?;
    Ok(results.first().and_then(|result| serde_json::from_slice(&result.body).ok()))
}

/// The last thousand runs, oldest first. Lines that are not of this form are left out.
pub async fn read(shell: &mut HeldShell) -> Result<Vec<JournalEntry>, SessionError> {
    let call = Call::new(&HOST, "host_journal_read");
    let results = shell.run(&Batch::new(Mode::Probe, vec![call]), &mut |_| {}).await?;
    let body = results.first().map(|result| result.body.as_slice()).unwrap_or_default();
    let lines = body.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}
