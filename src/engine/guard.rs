//! The guard of steps that can cut access, as the engine speaks to it. What does the work stands on the host: a
//! systemd timer and a boot-time unit put everything back unless a new login confirms in time.
//!
//! The order is: [`arm`] over the held shell, the steps with [`note_call`] behind them, a NEW connection (new TCP, new authentication, the user, key,
//! port and way that the next run will use), [`confirm`] over that one. The caller asserts beforehand what that login
//! must show (that the running sshd offers `publickey` alone, that sudo works). Whatever happens to the caller, the
//! host ends up either confirmed or as it was: one rename decides, and the loser of it does nothing.
//!
//! Nothing here waits, opens connections or decides what to do.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::action::Saved;
use crate::machine::session::SESSION;
use crate::shell::frame::{BadAnswer, Fields, printable, printable_lines};
use crate::shell::{Batch, Call, Library, Mode, Nonce};
use crate::ssh::{FrameResult, HeldShell, SessionError};

static STATE: Library = Library { name: "guard_state.sh", text: include_str!("guard_state.sh"), needs: &[] };
static GUARD: Library = Library { name: "guard.sh", text: include_str!("guard.sh"), needs: &[&SESSION, &STATE] };
/// Apart, because every connection asks.
static REPORT: Library = Library { name: "guard_report.sh", text: include_str!("guard_report.sh"), needs: &[] };

/// What the host itself runs, as a file of its own there.
const RESTORE: &str = concat!(
    include_str!("guard_state.sh"),
    include_str!("guard_files.sh"),
    include_str!("guard_accounts.sh"),
    include_str!("guard_host.sh")
);

/// The shortest window: a login over a slow link with a question to the operator must fit in.
pub const SHORTEST_WINDOW: Duration = Duration::from_secs(10);

/// What came of arming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Armed {
    /// The host puts everything back by itself from now on.
    Yes,
    /// An earlier run's guard is armed or firing: wait until its window is over.
    Another,
    /// It could not be armed, and what the host said. Nothing was left behind.
    Failed(Vec<String>),
}

/// What came of confirming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmed {
    /// The change stays.
    Yes,
    /// Too late: the host has put everything back, or is at it.
    PutBack,
    /// The host knows of no such guard.
    Unknown,
}

/// Why a guard fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No login confirmed in time.
    Timeout,
    /// The host started anew inside the window.
    Reboot,
    /// The run asked for it.
    Asked,
}

/// What a guard left when it had put everything back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The run's nonce, as it was given to [`arm`].
    pub nonce: String,
    /// Why it fired.
    pub why: Why,
    /// When it began, RFC 3339 in UTC by the host's clock.
    pub at: String,
    /// What could not be put back, or does not work as before; none when all is as it was.
    pub problems: Vec<String>,
    /// What somebody else had changed behind the steps, and was therefore left alone.
    pub left: Vec<String>,
    /// What somebody else had changed behind the steps, and was put back all the same, as it might keep the door shut.
    pub forced: Vec<String>,
    /// The folder on the host with copies of that.
    pub kept: Option<String>,
}

impl Report {
    /// What became of somebody else's work, as phrases; none where nobody else had done any.
    pub fn of_others(&self) -> Vec<String> {
        let mut told = Vec::new();
        if !self.left.is_empty() {
            told.push(format!("left alone, as somebody else has changed it meanwhile: {}", self.left.join(", ")));
        }
        if !self.forced.is_empty() {
            let kept = self.kept.as_ref().map(|folder| format!(" (copies are kept in {folder})")).unwrap_or_default();
            told.push(format!(
                "put back although somebody else had changed it meanwhile, as it might keep everybody out: {}{kept}",
                self.forced.join(", ")
            ));
        }
        told
    }
}

/// How the guard of a host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is going on.
    pub now: Now,
    /// What the last one that fired left, if nobody was shown it yet ([`seen`]).
    pub report: Option<Report>,
}

/// What a guard is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// None is armed.
    Idle,
    /// One is armed and waits.
    Armed,
    /// One is putting things back.
    Firing,
}

/// Why the guard could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The session failed. Whether the call was carried out is not known.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The host answered something else than was asked.
    #[error("the host's answer about its guard makes no sense: {0}")]
    Answer(#[from] BadAnswer),
}

/// The call that saves `saves` and arms the host for `window`, in the name of `nonce`.
pub fn arm_call(saves: &BTreeSet<Saved>, window: Duration, nonce: &Nonce) -> Call {
    let seconds = window.max(SHORTEST_WINDOW).as_secs();
    let mut call = Call::new(&GUARD, "guard_arm").arg(seconds.to_string()).arg(nonce.as_str()).arg(RESTORE);
    for saved in in_order(saves) {
        let (kind, name) = words(saved);
        call = call.arg(kind).arg(name);
    }
    call
}

/// Saves `saves` on the host and arms it: unless [`confirm`] comes within `window` (at least [`SHORTEST_WINDOW`]), it
/// puts them back. Arm before the first step that can cut access; nothing slow may run until it is confirmed.
pub async fn arm(
    shell: &mut HeldShell,
    saves: &BTreeSet<Saved>,
    window: Duration,
    nonce: &Nonce,
) -> Result<Armed, GuardError> {
    let result = run(shell, arm_call(saves, window, nonce)).await?;
    Ok(match result.status {
        0 => Armed::Yes,
        77 => Armed::Another,
        _ => Armed::Failed(printable_lines(&result.body)),
    })
}

/// The call that notes how the steps have left what was saved: the last of their batch. What others change from then on
/// is told from bedplate's own work, and left alone when the guard fires.
pub fn note_call(nonce: &Nonce) -> Call {
    Call::new(&GUARD, "guard_note").arg(nonce.as_str())
}

/// Disarms the host. To be called over the NEW login only: the call is the proof that it works.
pub async fn confirm(shell: &mut HeldShell, nonce: &Nonce) -> Result<Confirmed, GuardError> {
    let result = run(shell, Call::new(&GUARD, "guard_confirm").arg(nonce.as_str())).await?;
    Ok(match result.status {
        0 => Confirmed::Yes,
        78 => Confirmed::PutBack,
        _ => Confirmed::Unknown,
    })
}

/// Has the host put everything back at once, without waiting for the end of the window: for a step that failed.
/// Gives what it left. A session that fails here says nothing: the host goes on by itself.
pub async fn put_back(shell: &mut HeldShell, nonce: &Nonce) -> Result<Standing, GuardError> {
    run(shell, Call::new(&GUARD, "guard_put_back").arg(nonce.as_str())).await?;
    report(shell).await
}

/// The call that asks how the guard stands. It only reads, so it can travel with other questions.
pub fn report_call() -> Call {
    Call::new(&REPORT, "guard_report")
}

/// How the host's guard stands, and what the last one left. To be asked at each connection, before anything is planned.
pub async fn report(shell: &mut HeldShell) -> Result<Standing, GuardError> {
    let result = run(shell, report_call()).await?;
    Ok(standing(&result.body)?)
}

/// Marks the report as shown, so that it is told once.
pub async fn seen(shell: &mut HeldShell) -> Result<(), GuardError> {
    run(shell, Call::new(&REPORT, "guard_seen")).await.map(|_| ())
}

/// One call. It runs even when the operator has asked the run to stop: a guard is never left half way.
async fn run(shell: &mut HeldShell, call: Call) -> Result<FrameResult, GuardError> {
    let results = shell.run(&Batch::new(Mode::Hold, vec![call]), &mut |_| {}).await?;
    results.into_iter().next().ok_or_else(|| BadAnswer("the call was not begun".into()).into())
}

/// Reads the answer to [`report_call`].
pub fn standing(body: &[u8]) -> Result<Standing, BadAnswer> {
    let mut fields = Fields::new(body);
    let now = match fields.text()? {
        "" => Now::Idle,
        "armed" => Now::Armed,
        "firing" => Now::Firing,
        other => return Err(BadAnswer(format!("`{}` is no state of a guard", printable(other.as_bytes())))),
    };
    let text = String::from_utf8_lossy(fields.bytes()?).into_owned();
    Ok(Standing { now, report: reported(&text) })
}

/// Reads what a guard left; `None` when there is nothing or it is not whole.
fn reported(text: &str) -> Option<Report> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value("end")?;
    let why = match value("why")? {
        "timeout" => Why::Timeout,
        "reboot" => Why::Reboot,
        _ => Why::Asked,
    };
    let all = |key: &str| -> Vec<String> {
        let values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values.map(|value| printable(value.as_bytes())).collect()
    };
    Some(Report {
        nonce: value("nonce")?.to_owned(),
        why,
        at: value("at")?.to_owned(),
        problems: all("problem"),
        left: all("stays"),
        forced: all("forced"),
        kept: all("kept").pop(),
    })
}

/// Folders before the files in them, so that a file of its own comes last; else in their own order.
fn in_order(saves: &BTreeSet<Saved>) -> Vec<&Saved> {
    let mut all: Vec<&Saved> = saves.iter().collect();
    all.sort_by_key(|saved| match saved {
        Saved::Folder(_) => 0,
        Saved::File(_) => 1,
        _ => 2,
    });
    all
}

/// One entry as the host's functions name it.
fn words(saved: &Saved) -> (&'static str, &str) {
    match saved {
        Saved::File(path) => ("file", path.as_str()),
        Saved::Folder(path) => ("folder", path.as_str()),
        Saved::Unit(unit) => ("unit", unit.as_str()),
        Saved::Firewall => ("firewall", "ufw"),
        Saved::Sysctl(key) => ("sysctl", key.as_str()),
        Saved::Account(user) => ("account", user.as_str()),
        Saved::Group(group) => ("group", group.as_str()),
    }
}

#[cfg(test)]
#[path = "guard_shell_tests.rs"]
mod shell_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_guard_left() {
        let body =
            b"\0nonce=0f\nwhy=reboot\nat=2026-01-02T03:04:05Z\nproblem=ssh.service does not run again\nstays=/etc/ssh/x\n\
            forced=/etc/ssh/y\nkept=/k/0f\nend=1\n\0";
        let standing = standing(body).unwrap();
        assert_eq!(standing.now, Now::Idle);
        let report = standing.report.unwrap();
        assert_eq!((report.nonce.as_str(), report.why), ("0f", Why::Reboot));
        assert_eq!(report.problems, ["ssh.service does not run again"]);
        let others = report.of_others();
        assert!(others[0].starts_with("left alone") && others[0].ends_with("/etc/ssh/x"), "{others:?}");
        assert!(others[1].contains("/etc/ssh/y") && others[1].ends_with("(copies are kept in /k/0f)"), "{others:?}");
    }

    #[test]
    fn half_a_report_is_none() {
        assert_eq!(
            standing(b"firing\0nonce=0f\nwhy=timeout\nat=x\n\0").unwrap(),
            Standing { now: Now::Firing, report: None }
        );
        assert!(standing(b"asleep\0\0").is_err());
    }

    #[test]
    fn what_the_host_runs_is_whole_and_defines_functions_only() {
        assert!(RESTORE.contains("guard_main() {"));
        let mut depth = 0i32;
        for line in RESTORE.lines() {
            if line.ends_with("() {") && !line.starts_with('\t') {
                depth += 1;
            } else if line == "}" {
                depth -= 1;
            } else if depth == 0 {
                let harmless = line.is_empty() || line.starts_with('#') || line.starts_with("guard_");
                assert!(harmless, "runs when it is read: {line}");
            }
        }
        assert_eq!(depth, 0);
    }
    proptest::proptest! {
        #[test]
        fn no_report_can_break_the_reader(
            state in "(|armed|firing|\\PC{0,6})\0?",
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            lines in "((nonce|why|at|problem|stays|forced|kept|end)=?[ -~]{0,6}\n){0,8}\0?",
        ) {
            for body in [&body, &[state.as_bytes(), lines.as_bytes()].concat()] {
                if let Ok(Standing { report: Some(report), .. }) = standing(body) {
                    let told = report.problems.iter().cloned().chain(report.of_others()).collect::<String>();
                    proptest::prop_assert!(told.chars().all(|c| !c.is_control()), "{told:?}");
                }
            }
        }
    }
}
