//! The held shell: one `sh` for the whole of a connection. Batches go in, frames come out; a batch costs one round
//! trip whatever the number of its calls.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::shell::frame::{BadFrame, Part, Reader};
use crate::shell::{Batch, Nonce};

use super::error::{FrameResult, Progress, SessionError, no_shell};
use super::wire::{Ending, Heard, Wire};

/// How much of the shell's error output is kept for messages.
const ERRORS_KEPT: usize = 8 * 1024;
/// How long the first mark may take. sudo on a host with a broken resolver takes tens of seconds.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Opens another wire to a root shell when the first one ended because sudo wants a password.
pub(super) type Reopen = Box<dyn FnOnce(Vec<u8>) -> BoxFuture<'static, Result<Wire, SessionError>> + Send + Sync>;

/// A shell that stays. Nothing can come between two batches: `run` takes it mutably.
pub struct HeldShell {
    wire: Wire,
    nonce: Nonce,
    reader: Reader,
    loaded: Vec<&'static str>,
    number: usize,
    errors: Vec<u8>,
    answered: bool,
    first_answer: Duration,
    reopen: Option<Reopen>,
    over: bool,
}

impl std::fmt::Debug for HeldShell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldShell").field("batches", &self.number).field("over", &self.over).finish_non_exhaustive()
    }
}

impl HeldShell {
    pub(super) fn new(wire: Wire) -> Self {
        let nonce = Nonce::new(rand::random());
        Self {
            wire,
            reader: Reader::new(&nonce),
            nonce,
            loaded: Vec::new(),
            number: 0,
            errors: Vec::new(),
            answered: false,
            first_answer: FIRST_ANSWER,
            reopen: None,
            over: false,
        }
    }

    pub(super) fn or_reopen(mut self, reopen: Reopen) -> Self {
        self.reopen = Some(reopen);
        self
    }

    /// With another limit for the first answer than a minute.
    #[must_use]
    pub fn first_answer_within(mut self, limit: Duration) -> Self {
        self.first_answer = limit;
        self
    }

    /// A shell over any pair of streams: its output, and its input.
    pub fn over<R, W>(output: R, input: W) -> Self
    where
        R: tokio::io::AsyncRead + Send + Unpin + 'static,
        W: tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        Self::new(Wire::over_streams(output, input))
    }

    /// The last error output that stands outside of frames, at most 8 KiB.
    pub fn errors(&self) -> &[u8] {
        &self.errors
    }

    /// What came outside of frames on standard output.
    pub fn noise(&self) -> &[u8] {
        self.reader.noise()
    }

    /// Sends one batch, the libraries that the shell does not have yet along with it, and gives each part as it
    /// comes. One result for each frame that ended: fewer than calls when an acting batch stopped at a failure.
    ///
    /// Errors: the session failed; its [`Progress`] says which frames ended. The shell is of no use after one.
    pub async fn run(
        &mut self,
        batch: &Batch,
        on: &mut (dyn FnMut(&Part) + Send),
    ) -> Result<Vec<FrameResult>, SessionError> {
        if self.over {
            let why = "the shell has ended before".to_owned();
            return Err(SessionError::Lost { why, progress: Box::default() });
        }
        // Whoever drops this future in the middle leaves answers behind that are not the next batch's.
        self.over = true;
        self.number += 1;
        let script = batch.render(&self.nonce, self.number, &self.loaded)?;
        let begun = Instant::now();
        self.wire.send(script.clone().into_bytes());
        let mut result = self.read(on).await;
        if let Err(SessionError::NoShell { .. }) = &result
            && let Some(reopen) = self.reopen.take()
        {
            let noise = [self.reader.noise(), &self.errors].concat();
            self.wire = reopen(noise).await?;
            self.reader = Reader::new(&self.nonce);
            self.errors.clear();
            self.wire.send(script.into_bytes());
            result = self.read(on).await;
        }
        self.over = result.is_err();
        let ended = result.as_ref().map(Vec::len).ok();
        let took = begun.elapsed();
        tracing::debug!(number = self.number, mode = ?batch.mode(), calls = batch.len(), ended, ?took, "a batch");
        tracing::trace!(script = batch.show(), "as it would be shown");
        for library in batch.libraries() {
            if !self.loaded.contains(&library.name) {
                self.loaded.push(library.name);
            }
        }
        result
    }

    async fn read(&mut self, on: &mut (dyn FnMut(&Part) + Send)) -> Result<Vec<FrameResult>, SessionError> {
        let mut ended = Vec::new();
        loop {
            let heard = if self.answered {
                self.wire.hear().await
            } else {
                match tokio::time::timeout(self.first_answer, self.wire.hear()).await {
                    Ok(heard) => heard,
                    Err(_) => return Err(no_shell(self.reader.noise(), &self.errors, None)),
                }
            };
            match heard {
                Heard::Out(bytes) => {
                    let parts = self.reader.push(&bytes);
                    match parts {
                        Ok(parts) => {
                            if self.take(parts, &mut ended, on) {
                                return Ok(ended);
                            }
                        }
                        Err(why) => return Err(self.bad_answer(why, ended)),
                    }
                }
                Heard::Err(bytes) => self.keep_errors(&bytes),
                Heard::End(ending) => return Err(self.failed(ending, ended)),
            }
        }
    }

    /// Whether the batch is done.
    fn take(&mut self, parts: Vec<Part>, ended: &mut Vec<FrameResult>, on: &mut (dyn FnMut(&Part) + Send)) -> bool {
        let mut done = false;
        for part in parts {
            self.answered = true;
            on(&part);
            match part {
                Part::End { index, status, body } => ended.push(FrameResult { index, status, body }),
                Part::Done { number } => done |= number == self.number,
                Part::Begin { .. } | Part::Output { .. } => {}
            }
        }
        done
    }

    fn keep_errors(&mut self, bytes: &[u8]) {
        self.errors.extend_from_slice(bytes);
        let surplus = self.errors.len().saturating_sub(ERRORS_KEPT);
        self.errors.drain(..surplus);
    }

    fn progress(&self, ended: Vec<FrameResult>) -> Box<Progress> {
        Box::new(Progress { ended, open: self.reader.open().map(|(index, body)| (index, body.to_vec())) })
    }

    fn bad_answer(&self, why: BadFrame, ended: Vec<FrameResult>) -> SessionError {
        SessionError::BadAnswer { why, progress: self.progress(ended) }
    }

    fn failed(&self, ending: Ending, ended: Vec<FrameResult>) -> SessionError {
        match ending {
            Ending::Lost(why) => SessionError::Lost { why, progress: self.progress(ended) },
            Ending::Flood => self.bad_answer(BadFrame::TooLong, ended),
            ending if !self.answered => no_shell(self.reader.noise(), &self.errors, Some(&ending)),
            how => {
                let printed = crate::shell::frame::printable_lines(&self.errors);
                SessionError::ShellEnded { how, printed, progress: self.progress(ended) }
            }
        }
    }

    /// Ends the shell: no more input comes, so `sh` exits by itself.
    pub fn close(mut self) {
        self.wire.finish();
    }
}
