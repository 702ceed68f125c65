//! What a run leaves behind on the host: its line in the journal, and what leads back from its steps.

use super::host::{Stop, Work};
use super::record::{self, JournalEntry, JournalStep, KeptRun};
use super::steps::Ended;
use crate::base::Exit;
use crate::base::event::EventKind;
use crate::plan::undo::KeptStep;
use crate::plan::{self, Step};
use crate::ssh::HeldShell;

impl Work<'_> {
    /// How many steps the journal knows.
    pub(super) fn remembered(&self) -> usize {
        self.done.len()
    }

    /// The steps behind the first `count` were taken back.
    pub(super) fn forget_behind(&mut self, count: usize) {
        self.done.truncate(count);
        self.kept.truncate(count);
    }

    /// Notes for the journal which of `steps` were done.
    pub(super) fn remember(&mut self, steps: &[Step], ended: &Ended) {
        let done = match ended {
            Ended::Done => steps.len(),
            Ended::Stopped(index) | Ended::Lost(index, _) => *index,
            Ended::Failed(_, index) => *index,
        };
        self.done.extend(
            steps.iter().take(done).map(|step| JournalStep { task: step.name.clone(), action: step.action.summary() }),
        );
        self.kept.extend(self.doing.drain(..).take(done));
    }

    /// What leads back from this run. Who wants back what an undo took back applies.
    fn way_back(&mut self, undoes: bool) -> Option<KeptRun> {
        let steps: Vec<KeptStep> = std::mem::take(&mut self.kept).into_iter().flatten().collect();
        let run = format!("{:08x}", rand::random::<u32>());
        (!steps.is_empty() && !undoes).then_some(KeptRun { v: 1, run, steps })
    }

    pub(super) async fn write_journal(&mut self, shell: &mut HeldShell, exit: &Result<Exit, Stop>) {
        if self.done.is_empty() {
            return;
        }
        let undoes = plan::undo::run_of(&self.job.tasks).map(str::to_owned);
        let kept = self.way_back(undoes.is_some());
        let mut entry = JournalEntry {
            v: 1,
            operator: self.run.operator.clone(),
            version: self.run.version.clone(),
            playbooks: self.job.playbooks.as_str().to_owned(),
            done: std::mem::take(&mut self.done),
            exit: exit.as_ref().map_or_else(|stop| stop.exit, |exit| *exit),
            failure: exit.as_ref().err().map(|stop| stop.failure.what.clone()),
            run: kept.as_ref().map(|kept| kept.run.clone()),
            undoes,
        };
        // Both in one exchange.
        let (there, mut written) = match &kept {
            Some(kept) => record::keep_and_write(shell, kept, &entry).await.unwrap_or((false, false)),
            None => (false, false),
        };
        if kept.is_some() && !there {
            let text = "what this run has changed could not be kept on the host (/var/lib/bedplate/undo): it can not be undone";
            self.teller.tell(EventKind::Note { text: text.into() }).await;
        }
        if !there {
            entry.run = None;
            written = matches!(record::write(shell, &entry).await, Ok(true));
        }
        if !written {
            let text = "the run could not be written into the host's journal (/var/lib/bedplate/journal.jsonl)".into();
            self.teller.tell(EventKind::Note { text }).await;
        }
    }
}
