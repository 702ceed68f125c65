//! The host's own way back from a stop: when the machine that commands is gone for good, what was stopped starts again by
//! itself. It ends before the new host may serve, so that there are never two of one app. What is stopped, and how it is
//! started, is not here.

use std::sync::LazyLock;
use std::time::Duration;

use super::freeze::FREEZE;
use super::side::{Side, Trouble};
use crate::engine::record::HOST;
use crate::shell::{Call, Library, PRELUDE};

static THAW: Library = Library { name: "thaw.sh", text: include_str!("thaw.sh"), needs: &[&FREEZE] };

/// What the unit runs: functions alone, as they are sent otherwise.
static SCRIPT: LazyLock<String> = LazyLock::new(|| [PRELUDE.text, HOST.text, FREEZE.text, THAW.text].join("\n"));

/// Has the host go back once nobody has held its lock for `grace`. Errors: it can not; nothing may be stopped then.
pub(super) async fn arm(side: &mut Side, grace: Duration) -> Result<(), Trouble> {
    let call = Call::new(&THAW, "thaw_arm").arg(grace.as_secs().to_string()).arg(SCRIPT.as_str());
    side.act("having the host go back by itself if this machine is lost", call).await.map(|_| ())
}

/// Takes the decision off the host, for good. Errors: it has gone back.
pub(super) async fn claim(side: &mut Side) -> Result<(), Trouble> {
    let said = side.act("keeping the host from going back by itself", Call::new(&THAW, "thaw_claim")).await?;
    if said != b"gone back" {
        return Ok(());
    }
    let what = "the old host has started its app again by itself, since it had heard nothing from here";
    Err(Trouble::new(what, "run the move again: what has changed is copied anew").on(&side.name))
}

/// Ends it, whatever it has come to.
pub(super) async fn disarm(side: &mut Side) -> Result<(), Trouble> {
    side.act("ending the host's own way back", Call::new(&THAW, "thaw_disarm")).await.map(|_| ())
}

/// Whether the host has gone back by itself.
pub(super) async fn has_fired(side: &mut Side) -> Result<bool, Trouble> {
    let answers = side.ask(vec![Call::new(&THAW, "thaw_fired")]).await?;
    Ok(answers.first().is_some_and(|(status, _)| *status == 0))
}
