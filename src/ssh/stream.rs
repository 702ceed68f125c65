//! The byte stream under a connection, watched: it keeps the first line that the server says (its version, or why it
//! hangs up), and it fails when a write is stuck. A link can die while much is being sent; keepalive questions would
//! then wait in the same queue as everything else.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::offers::Offers;

/// Most bytes of the greeting that are kept: room for the version and the server's lists of algorithms.
const GREETING: usize = 8192;

/// Any two-way byte stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What the server said first, shared with whoever has to explain a failure.
#[derive(Debug, Clone, Default)]
pub(super) struct Greeting(Arc<Mutex<Vec<u8>>>);

impl Greeting {
    fn add(&self, bytes: &[u8]) {
        if let Ok(mut kept) = self.0.lock() {
            let room = GREETING.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// What the server offers.
    pub(super) fn offers(&self) -> Offers {
        self.0.lock().ok().and_then(|kept| Offers::read(&kept)).unwrap_or_default()
    }

    /// The lines before the version, and the version (`SSH-2.0-…`).
    pub(super) fn lines(&self) -> (Vec<String>, Option<String>) {
        let bytes = self.0.lock().map(|kept| kept.clone()).unwrap_or_default();
        let mut before = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            let text = crate::shell::frame::printable(line.strip_suffix(b"\r").unwrap_or(line));
            if text.starts_with("SSH-") {
                return (before, Some(text));
            }
            if !text.trim().is_empty() {
                before.push(text);
            }
        }
        (before, None)
    }
}

/// A stream whose writes may not be stuck for longer than a limit.
pub(super) struct Watched {
    inner: Box<dyn Stream>,
    greeting: Greeting,
    limit: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(inner: Box<dyn Stream>, limit: Duration) -> (Self, Greeting) {
        let greeting = Greeting::default();
        (Self { inner, greeting: greeting.clone(), limit, stuck: None }, greeting)
    }

    fn watch<T>(&mut self, poll: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stuck = None;
            return poll;
        }
        let limit = self.limit;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        if stuck.as_mut().poll(context).is_ready() {
            let why = format!("nothing could be sent for {} s", limit.as_secs());
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        Poll::Pending
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if poll.is_ready() {
            self.greeting.add(&buffer.filled()[before..]);
        }
        poll
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(poll, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(poll, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A stream that can not be shut down any more is shut. russh would forget why it ended otherwise.
        Pin::new(&mut self.inner).poll_shutdown(cx).map(|_| Ok(()))
    }
}

/// The input and output of a process as one stream; the process ends with it.
pub(super) struct Process {
    output: tokio::process::ChildStdout,
    input: tokio::process::ChildStdin,
    _child: tokio::process::Child,
}

impl Process {
    /// Starts `command` with pipes. Its error output is dropped. Errors: it can not be started.
    pub(super) fn start(mut command: tokio::process::Command) -> io::Result<Self> {
        use std::process::Stdio;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        match (child.stdout.take(), child.stdin.take()) {
            (Some(output), Some(input)) => Ok(Self { output, input, _child: child }),
            _ => Err(io::Error::other("the process has no pipes")),
        }
    }
}

impl AsyncRead for Process {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Process {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_stuck_write_fails_and_a_slow_one_does_not() {
        let (near, _nobody_reads) = tokio::io::duplex(16);
        let (mut watched, _) = Watched::new(Box::new(near), Duration::from_millis(200));
        let error = watched.write_all(&[7; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (near, mut far) = tokio::io::duplex(16);
        let (mut watched, _) = Watched::new(Box::new(near), Duration::from_millis(200));
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 5];
            while let Ok(1..) = far.read(&mut buffer).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        // Takes longer than the limit as a whole; each step of it does not.
        watched.write_all(&[7; 400]).await.unwrap();
        drop(watched);
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn the_greeting_is_kept_up_to_the_version() {
        let (near, mut far) = tokio::io::duplex(4096);
        let (mut watched, greeting) = Watched::new(Box::new(near), Duration::from_secs(1));
        far.write_all(b"a notice\x1b[2J\r\nSSH-2.0-Test one\r\n\0\0binary").await.unwrap();
        drop(far);
        watched.read_to_end(&mut Vec::new()).await.unwrap();
        let (before, version) = greeting.lines();
        assert_eq!(before, ["a notice\\u{1b}[2J"]);
        assert_eq!(version.as_deref(), Some("SSH-2.0-Test one"));
    }
}
