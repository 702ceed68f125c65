//! One command on a host as three streams: what it is sent, what it says, how it ends. The held shell and single
//! commands run over this, whatever carries it: an SSH channel, a local process, a fake.
//!
//! Each wire has its own reading and writing task. The reading one always drains: a channel that is not read would
//! stop every other channel of its connection, keepalive included.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc, watch};

/// Most bytes that a host may be ahead of us. Beyond it the rest is read and thrown away.
const MAX_BACKLOG: usize = 32 * 1024 * 1024;
/// Most bytes that a patient wire holds for its reader, or of what is to be written. Two of the largest windows' worth.
const PATIENT_BACKLOG: usize = 4 * 1024 * 1024;
/// How long the reason of a lost connection may take to arrive after the loss itself.
const REASON_PATIENCE: Duration = Duration::from_secs(1);

/// How a command came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exit(u32),
    /// A signal ended it.
    Signal(String),
    /// The host refused to start it.
    Refused,
    /// Its channel was closed without a status: nothing is known of its success.
    NoStatus,
    /// It said more than anyone can take in.
    Flood,
    /// The connection was lost, and why.
    Lost(String),
}

/// What comes from a command.
#[derive(Debug)]
pub(crate) enum Heard {
    Out(Vec<u8>),
    Err(Vec<u8>),
    End(Ending),
}

/// Why a connection ended; `None` while it lives.
pub(crate) type Reason = watch::Receiver<Option<String>>;

/// The near end of a running command.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Dropping it tells the command that no more input comes.
    input: Option<mpsc::UnboundedSender<Vec<u8>>>,
    heard: mpsc::UnboundedReceiver<Heard>,
    backlog: Arc<AtomicUsize>,
    /// Bytes that wait to be written.
    unwritten: Arc<Level>,
    /// Wakes a patient reader, where this is one.
    room: Option<Arc<Notify>>,
    over: bool,
}

/// How much waits somewhere, and who waits for it to become less.
#[derive(Debug, Default)]
struct Level {
    bytes: AtomicUsize,
    less: Notify,
    /// Whether nothing more will ever be written.
    over: AtomicBool,
}

impl Wire {
    /// Queues bytes for the command's standard input. What can not be delivered shows as the wire's end.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        if let Some(input) = &self.input {
            self.unwritten.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
            // The writing task is gone when the command is; its end is on the way to `hear`.
            let _ = input.send(bytes);
        }
    }

    /// Something to wait by until most of what was sent has been written.
    pub(crate) fn pressure(&self) -> Pressure {
        Pressure(self.unwritten.clone())
    }

    /// Ends the command's standard input.
    pub(crate) fn finish(&mut self) {
        self.input = None;
    }

    /// The next thing that the command says. After its end: the end again.
    pub(crate) async fn hear(&mut self) -> Heard {
        if self.over {
            return Heard::End(Ending::NoStatus);
        }
        match self.heard.recv().await {
            Some(heard) => {
                if let Heard::Out(bytes) | Heard::Err(bytes) = &heard {
                    self.backlog.fetch_sub(bytes.len(), Ordering::Relaxed);
                    if let Some(room) = &self.room {
                        room.notify_one();
                    }
                } else {
                    self.over = true;
                }
                heard
            }
            None => {
                self.over = true;
                Heard::End(Ending::NoStatus)
            }
        }
    }

    /// A wire to nothing, which has ended.
    pub(crate) fn none() -> Self {
        parts().0
    }

    /// A wire over an SSH channel on which a command has been requested.
    pub(crate) fn over_channel(channel: Channel<Msg>, reason: Reason) -> Self {
        let (read, write) = channel.split();
        let (wire, input, mouth) = parts();
        tokio::spawn(write_channel(write, input, wire.unwritten.clone()));
        tokio::spawn(read_channel(read, mouth, reason));
        wire
    }

    /// The same for streams of any length: when nobody hears, nothing is read, and the host has to wait. Only for a
    /// connection that carries nothing else, which would have to wait too.
    pub(crate) fn patient_over_channel(channel: Channel<Msg>, reason: Reason) -> Self {
        let (read, write) = channel.split();
        let (mut wire, input, mut mouth) = parts();
        let room = Arc::new(Notify::new());
        (wire.room, mouth.room) = (Some(room.clone()), Some(room));
        tokio::spawn(write_channel(write, input, wire.unwritten.clone()));
        tokio::spawn(read_channel(read, mouth, reason));
        wire
    }

    /// A wire over any pair of streams. It ends when the output does, as [`Ending::NoStatus`].
    pub(crate) fn over_streams<R, W>(output: R, writer: W) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (wire, input, mouth) = parts();
        tokio::spawn(write_stream(writer, input, wire.unwritten.clone()));
        tokio::spawn(async move {
            let why = read_stream(output, &mouth, Heard::Out).await;
            mouth.end(why.map_or(Ending::NoStatus, Ending::Lost));
        });
        wire
    }

    /// A wire over a process on this machine, which is killed with the wire. Errors: it can not be started.
    pub(crate) fn over_process(mut command: tokio::process::Command) -> std::io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (wire, input, mouth) = parts();
        if let Some(stdin) = child.stdin.take() {
            tokio::spawn(write_stream(stdin, input, wire.unwritten.clone()));
        }
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        tokio::spawn(async move {
            let reading = async {
                let out = async {
                    if let Some(output) = output {
                        read_stream(output, &mouth, Heard::Out).await;
                    }
                };
                let err = async {
                    if let Some(errors) = errors {
                        read_stream(errors, &mouth, Heard::Err).await;
                    }
                };
                tokio::join!(out, err);
                child.wait().await
            };
            // Nobody listens any more: dropping the child kills it.
            let status = tokio::select! {
                status = reading => status,
                () = mouth.to.closed() => return,
            };
            mouth.end(
                match status.map(|status| (status.code(), std::os::unix::process::ExitStatusExt::signal(&status))) {
                    Ok((Some(code), _)) => Ending::Exit(code.unsigned_abs()),
                    Ok((None, Some(signal))) => Ending::Signal(signal.to_string()),
                    _ => Ending::NoStatus,
                },
            );
        });
        Ok(wire)
    }
}

/// The far end's way to speak.
struct Mouth {
    to: mpsc::UnboundedSender<Heard>,
    backlog: Arc<AtomicUsize>,
    room: Option<Arc<Notify>>,
}

impl Mouth {
    /// Passes bytes on; `false` when the backlog is full.
    fn say(&self, bytes: Vec<u8>, stream: fn(Vec<u8>) -> Heard) -> bool {
        if self.backlog.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > MAX_BACKLOG {
            return false;
        }
        // Without a listener there is nothing to keep.
        let _ = self.to.send(stream(bytes));
        true
    }

    /// Waits while a patient reader has enough to hear.
    async fn room(&self) {
        if let Some(room) = &self.room {
            while self.backlog.load(Ordering::Relaxed) > PATIENT_BACKLOG && !self.to.is_closed() {
                tokio::select! {
                    () = room.notified() => {}
                    () = self.to.closed() => {}
                }
            }
        }
    }

    fn end(&self, ending: Ending) {
        let _ = self.to.send(Heard::End(ending));
    }
}

fn parts() -> (Wire, mpsc::UnboundedReceiver<Vec<u8>>, Mouth) {
    let (input, queue) = mpsc::unbounded_channel();
    let (to, heard) = mpsc::unbounded_channel();
    let backlog = Arc::new(AtomicUsize::new(0));
    let unwritten = Arc::default();
    let wire = Wire { input: Some(input), heard, backlog: backlog.clone(), unwritten, room: None, over: false };
    (wire, queue, Mouth { to, backlog, room: None })
}

/// How much of what was sent waits to be written.
pub(crate) struct Pressure(Arc<Level>);

impl Pressure {
    /// Whether there is room for more.
    pub(crate) fn is_low(&self) -> bool {
        self.is_over() || self.0.bytes.load(Ordering::Relaxed) <= PATIENT_BACKLOG
    }

    /// Whether whatever is sent goes nowhere any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Waits until there is.
    pub(crate) async fn low(&self) {
        while !self.is_low() {
            self.0.less.notified().await;
        }
    }
}

impl Level {
    fn took(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.less.notify_one();
    }
}

/// Nobody is left waiting for what will never be written.
struct Drained(Arc<Level>);

impl Drop for Drained {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        self.0.less.notify_one();
    }
}

async fn write_channel(write: ChannelWriteHalf<Msg>, mut input: mpsc::UnboundedReceiver<Vec<u8>>, level: Arc<Level>) {
    let level = Drained(level);
    while let Some(bytes) = input.recv().await {
        level.0.took(bytes.len());
        if write.data_bytes(bytes).await.is_err() {
            return;
        }
    }
    // A channel that is gone already needs no end of input.
    let _ = write.eof().await;
}

async fn read_channel(mut read: ChannelReadHalf, mouth: Mouth, mut reason: Reason) {
    let mut ending = None;
    let mut flooded = false;
    loop {
        mouth.room().await;
        match read.wait().await {
            Some(ChannelMsg::Data { data }) if !flooded => flooded = !mouth.say(data.into(), Heard::Out),
            Some(ChannelMsg::ExtendedData { data, .. }) if !flooded => flooded = !mouth.say(data.into(), Heard::Err),
            Some(ChannelMsg::ExitStatus { exit_status }) => ending = Some(Ending::Exit(exit_status)),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                ending = Some(Ending::Signal(format!("{signal_name:?}")));
            }
            Some(ChannelMsg::Failure) => {
                ending = Some(Ending::Refused);
                break;
            }
            Some(ChannelMsg::Close) => break,
            Some(_) => {}
            None => {
                if ending.is_none() {
                    let told = tokio::time::timeout(REASON_PATIENCE, reason.wait_for(Option::is_some)).await;
                    let why = told.ok().and_then(Result::ok).and_then(|why| why.clone());
                    ending = Some(Ending::Lost(why.unwrap_or_else(|| "the connection was closed".to_owned())));
                }
                break;
            }
        }
        if flooded && ending.is_none() {
            // Told at once; the loop goes on only to keep the connection's other channels alive.
            ending = Some(Ending::Flood);
            mouth.end(Ending::Flood);
        }
    }
    mouth.end(ending.unwrap_or(Ending::NoStatus));
}

async fn write_stream(
    mut writer: impl AsyncWrite + Unpin,
    mut input: mpsc::UnboundedReceiver<Vec<u8>>,
    level: Arc<Level>,
) {
    let level = Drained(level);
    while let Some(bytes) = input.recv().await {
        level.0.took(bytes.len());
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    // The reader may have left before us.
    let _ = writer.shutdown().await;
}

/// Reads to the end; gives the error that ended it, if one did.
async fn read_stream(mut stream: impl AsyncRead + Unpin, mouth: &Mouth, kind: fn(Vec<u8>) -> Heard) -> Option<String> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return None,
            Ok(length) => {
                if !mouth.say(buffer[..length].to_vec(), kind) {
                    mouth.end(Ending::Flood);
                    return None;
                }
            }
            Err(error) => return Some(error.to_string()),
        }
    }
}
