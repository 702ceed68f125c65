//! The held shell: one `sh` for the whole of a connection. Batches go in, frames come out; a batch costs one round
//! trip whatever the number of its calls.

use std::collections::VecDeque;
use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use futures::future::BoxFuture;

use crate::shell::frame::{BadFrame, Part, Reader};
use crate::shell::{Batch, Nonce};

use super::error::{FrameResult, Progress, SessionError, no_shell};
use super::wire::{Ending, Heard, Wire};

/// How much of the shell's error output is kept for messages.
const ERRORS_KEPT: usize = 8 * 1024;
/// How long the first mark may take. sudo on a host with a broken resolver takes tens of seconds.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Opens another wire to a root shell when the first one ended before it said anything: sudo wants a password, or the login
/// shell takes no command that long.
pub(super) type Reopen = Box<dyn FnOnce(Vec<u8>) -> BoxFuture<'static, Result<Wire, SessionError>> + Send + Sync>;

/// Starts the command that it is given on a session that is open already.
pub(super) type Begin = Box<dyn FnOnce(String) -> BoxFuture<'static, Result<Wire, SessionError>> + Send + Sync>;

/// Longest command that carries a script: Linux takes arguments of 128 KiB.
const LONGEST: usize = 120_000;

/// A command that runs `script` and is a shell for more behind it. sshd lets no input follow before the command has
/// begun, so a script within the command saves a round trip. Any login shell reads it: it is one quoted constant, and
/// one word without anything special. Packed, the questions of all built-in playbooks fit into what TCP sends before it
/// waits for the first acknowledgement (ten segments, RFC 6928). (BSD's csh takes no word that long, and a host may
/// lack base64 or gzip: then the script goes to a plain shell.) `None`: it is too long.
fn with_script(script: &str) -> Option<String> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(script.as_bytes()).ok()?;
    let word = base64::engine::general_purpose::STANDARD.encode(packed.finish().ok()?);
    // What was defined goes with the shell that ends here; what it holds open (the lock) stays open.
    let shell = "command -v base64 >/dev/null && command -v gzip >/dev/null || exit 127; \
                 script=$(printf %s \"$0\" | base64 -d | gzip -d) && [ -n \"$script\" ] || exit 127; \
                 eval \"$script\"; exec sh";
    (word.len() < LONGEST).then(|| format!("sh -c '{shell}' '{word}'"))
}

/// A shell that stays. Nothing can come between two batches: `run` takes it mutably.
pub struct HeldShell {
    wire: Wire,
    nonce: Nonce,
    reader: Reader,
    /// What has come and was not taken in yet: of a batch that was sent behind another.
    parts: VecDeque<Part>,
    loaded: Vec<&'static str>,
    number: usize,
    errors: Vec<u8>,
    answered: bool,
    first_answer: Duration,
    reopen: Option<Reopen>,
    /// Set while no command was requested yet.
    begin: Option<Begin>,
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
            parts: VecDeque::new(),
            loaded: Vec::new(),
            number: 0,
            errors: Vec::new(),
            answered: false,
            first_answer: FIRST_ANSWER,
            reopen: None,
            begin: None,
            over: false,
        }
    }

    /// A shell that `begin` starts together with its first batch.
    pub(super) fn begun_by(begin: Begin) -> Self {
        Self { begin: Some(begin), ..Self::new(Wire::none()) }
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
        let (number, script) = self.render(batch)?;
        self.exchange(number, batch, script, batch.has_secrets(), on).await
    }

    /// The same for two batches in one exchange: `then` is sent behind `first` at once and runs when that is done,
    /// whatever became of it. `on` is given the parts of `first` alone.
    ///
    /// Errors: as of [`HeldShell::run`] for `first`; what became of `then` is in the answer.
    pub async fn run_then(
        &mut self,
        first: &Batch,
        then: &Batch,
        on: &mut (dyn FnMut(&Part) + Send),
    ) -> Result<(Vec<FrameResult>, Result<Vec<FrameResult>, SessionError>), SessionError> {
        let (number, script) = self.render(first)?;
        let (after, behind) = self.render(then)?;
        let secret = first.has_secrets() || then.has_secrets();
        let first = self.exchange(number, first, script + &behind, secret, on).await?;
        Ok((first, self.answer(after, then, Instant::now(), &mut |_| {}).await))
    }

    /// Number and script of the next batch, with the libraries that the shell will not have by then.
    fn render(&mut self, batch: &Batch) -> Result<(usize, String), SessionError> {
        if self.over {
            let why = "the shell has ended before".to_owned();
            return Err(SessionError::Lost { why, progress: Box::default() });
        }
        let script = batch.render(&self.nonce, self.number + 1, &self.loaded)?;
        self.number += 1;
        for library in batch.libraries() {
            if !self.loaded.contains(&library.name) {
                self.loaded.push(library.name);
            }
        }
        tracing::trace!(script = batch.show(), "as it would be shown");
        Ok((self.number, script))
    }

    async fn exchange(
        &mut self,
        number: usize,
        batch: &Batch,
        script: String,
        secret: bool,
        on: &mut (dyn FnMut(&Part) + Send),
    ) -> Result<Vec<FrameResult>, SessionError> {
        let begun = Instant::now();
        match self.begin.take() {
            None => self.wire.send(script.clone().into_bytes()),
            Some(begin) => {
                self.over = true;
                // Commands show in lists of processes: secrets go by standard input alone.
                match with_script(&script).filter(|_| !secret) {
                    Some(command) => {
                        self.wire = begin(command).await?;
                        self.loaded.clear();
                    }
                    None => {
                        self.wire = begin("sh".to_owned()).await?;
                        self.wire.send(script.clone().into_bytes());
                    }
                }
            }
        }
        let mut result = self.answer(number, batch, begun, on).await;
        // One that only stays silent would do so again.
        if let Err(SessionError::NoShell { .. }) = &result
            && begun.elapsed() < self.first_answer
            && let Some(reopen) = self.reopen.take()
        {
            let noise = [self.reader.noise(), &self.errors].concat();
            self.wire = reopen(noise).await?;
            self.reader = Reader::new(&self.nonce);
            self.errors.clear();
            self.parts.clear();
            self.wire.send(script.into_bytes());
            result = self.answer(number, batch, begun, on).await;
        }
        result
    }

    async fn answer(
        &mut self,
        number: usize,
        batch: &Batch,
        begun: Instant,
        on: &mut (dyn FnMut(&Part) + Send),
    ) -> Result<Vec<FrameResult>, SessionError> {
        // Whoever drops this future in the middle leaves answers behind that are not the next batch's.
        self.over = true;
        let result = self.read(number, on).await;
        self.over = result.is_err();
        let ended = result.as_ref().map(Vec::len).ok();
        let took = begun.elapsed();
        tracing::debug!(number, mode = ?batch.mode(), calls = batch.len(), ended, ?took, "a batch");
        result
    }

    async fn read(
        &mut self,
        number: usize,
        on: &mut (dyn FnMut(&Part) + Send),
    ) -> Result<Vec<FrameResult>, SessionError> {
        let mut ended = Vec::new();
        loop {
            if self.take(number, &mut ended, on) {
                return Ok(ended);
            }
            let heard = if self.answered {
                self.wire.hear().await
            } else {
                match tokio::time::timeout(self.first_answer, self.wire.hear()).await {
                    Ok(heard) => heard,
                    Err(_) => return Err(no_shell(self.reader.noise(), &self.errors, None)),
                }
            };
            match heard {
                Heard::Out(bytes) => match self.reader.push(&bytes) {
                    Ok(parts) => self.parts.extend(parts),
                    Err(why) => return Err(self.bad_answer(why, ended)),
                },
                Heard::Err(bytes) => self.keep_errors(&bytes),
                Heard::End(ending) => return Err(self.failed(ending, ended)),
            }
        }
    }

    /// Whether the batch `number` is done. What came of the one behind it stays for that one.
    fn take(&mut self, number: usize, ended: &mut Vec<FrameResult>, on: &mut (dyn FnMut(&Part) + Send)) -> bool {
        while let Some(part) = self.parts.pop_front() {
            self.answered = true;
            on(&part);
            match part {
                Part::End { index, status, body } => ended.push(FrameResult { index, status, body }),
                Part::Done { number: done } if done == number => return true,
                Part::Done { .. } | Part::Begin { .. } | Part::Output { .. } => {}
            }
        }
        false
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
