//! A scripted host for tests: it reads the script that a real one would be sent, answers each call as it was told to,
//! and can fail in the ways that links and hosts do. It is honest about the form: what it can not parse it does not
//! answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::shell::Mode;

use super::held::HeldShell;

/// One call as it reached the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Reading or changing.
    pub mode: Mode,
    /// Index in its batch.
    pub index: usize,
    /// Name of the static function.
    pub function: String,
    /// Its arguments, unquoted.
    pub args: Vec<String>,
}

/// What the host answers to one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Exit status.
    pub status: u8,
    /// Output.
    pub body: Vec<u8>,
}

impl Reply {
    /// Success, with these fields as its answer.
    pub fn fields<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> Self {
        let mut body = Vec::new();
        for field in fields {
            body.extend_from_slice(field.as_ref());
            body.push(0);
        }
        Self { status: 0, body }
    }

    /// Failure, with a line of output.
    pub fn failure(status: u8, line: &str) -> Self {
        Self { status, body: format!("{line}\n").into_bytes() }
    }
}

/// A way to fail. Counts are bytes of the host's answers since the shell began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer ends after so many bytes.
    CutAt(usize),
    /// The byte at this place is another one.
    GarbleAt(usize),
    /// After so many bytes nothing comes any more, and the link stays up.
    StallAt(usize),
    /// Each call takes this long.
    Delay(Duration),
}

type Answerer = dyn FnMut(&Asked) -> Reply + Send;

/// A scripted host. Clones are the same host: they share the answers.
#[derive(Clone)]
pub struct Fake {
    answer: Arc<Mutex<Answerer>>,
    fault: Option<Fault>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Fake {
    /// A host that answers each call by `answer`.
    pub fn new(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self { answer: Arc::new(Mutex::new(answer)), fault: None }
    }

    /// The same host, with this fault in every shell opened from now on.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// A held shell on it. Must be called within a tokio runtime.
    pub fn shell(&self) -> HeldShell {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (output, input) = tokio::io::split(near);
        tokio::spawn(serve(self.clone(), String::new(), far));
        HeldShell::over(output, input)
    }

    /// Answers the batches of one shell, which `command` began, over `stream` until that ends: for servers that stand in
    /// for many hosts.
    pub async fn serve(self, command: &str, stream: impl AsyncRead + AsyncWrite + Send + Unpin) {
        serve(self, within(command), stream).await;
    }

    fn answer(&self, asked: &Asked) -> Reply {
        match self.answer.lock() {
            Ok(mut answer) => answer(asked),
            Err(_) => Reply::failure(255, "the fake host's answers panicked before"),
        }
    }
}

/// The script that a command carries; nothing where it is a bare `sh`.
fn within(command: &str) -> String {
    use base64::Engine as _;
    let word = command.strip_suffix('\'').and_then(|command| command.rsplit('\'').next()).unwrap_or_default();
    let packed = base64::engine::general_purpose::STANDARD.decode(word).unwrap_or_default();
    let mut script = String::new();
    // A bare `sh` carries none.
    let _ = std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut script);
    script
}

async fn serve(fake: Fake, mut pending: String, mut stream: impl AsyncRead + AsyncWrite + Send + Unpin) {
    let mut sent = 0;
    let mut number = 1;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some((batch, rest)) = take_batch(&pending, number) {
            pending = rest;
            if !answer(&fake, &batch, number, &mut stream, &mut sent).await {
                return;
            }
            number += 1;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => pending.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
}

struct Parsed {
    nonce: String,
    calls: Vec<Asked>,
}

/// The first whole batch in `text`, and what follows it.
fn take_batch(text: &str, number: usize) -> Option<(Parsed, String)> {
    let head = format!("bp_batch_{number}() {{\n");
    let start = text.find(&head)? + head.len();
    let mut calls = Vec::new();
    let mut rest = &text[start..];
    loop {
        let (line, after) = logical_line(rest)?;
        rest = after;
        if let Some(tail) = line.strip_prefix("{ bp_nonce=") {
            let nonce = tail.split(';').next()?.to_owned();
            // Lanes that run side by side answer in the order of their calls.
            calls.sort_by_key(|asked: &Asked| asked.index);
            return Some((Parsed { nonce, calls }, rest.to_owned()));
        }
        let words = shlex::split(line).unwrap_or_default();
        let mode = match words.first().map(String::as_str) {
            Some("bp_probe") => Mode::Probe,
            Some("bp_act") => Mode::Act,
            Some("bp_hold") => Mode::Hold,
            _ => continue,
        };
        // Calls whose failure ends the batch have `|| return 0` behind them.
        let end = if mode == Mode::Probe { words.len() } else { words.len().saturating_sub(3) };
        if let [_, index, function, args @ ..] = &words[..end] {
            let index = index.parse().ok()?;
            calls.push(Asked { mode, index, function: function.clone(), args: args.to_vec() });
        }
    }
}

/// A line, where line breaks within single quotes do not count. `None`: it has not all come yet.
fn logical_line(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if !quoted => escaped = true,
            '\'' => quoted = !quoted,
            '\n' if !quoted => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Answers one batch, call by call. Whether the link still stands.
async fn answer(
    fake: &Fake,
    batch: &Parsed,
    number: usize,
    stream: &mut (impl AsyncWrite + Unpin),
    sent: &mut usize,
) -> bool {
    let nonce = &batch.nonce;
    for asked in &batch.calls {
        let begin = format!("\0{nonce}:begin:{}\0", asked.index).into_bytes();
        if !send(stream, begin, sent, fake.fault).await {
            return false;
        }
        if let Some(Fault::Delay(time)) = fake.fault {
            tokio::time::sleep(time).await;
        }
        let reply = fake.answer(asked);
        let mut piece = reply.body;
        piece.extend(format!("\0{nonce}:end:{}:{}\0", asked.index, reply.status).bytes());
        if !send(stream, piece, sent, fake.fault).await {
            return false;
        }
        if asked.mode != Mode::Probe && reply.status != 0 {
            break;
        }
    }
    send(stream, format!("\0{nonce}:done:{number}\0").into_bytes(), sent, fake.fault).await
}

/// Whether the link still stands.
async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    mut piece: Vec<u8>,
    sent: &mut usize,
    fault: Option<Fault>,
) -> bool {
    let before = *sent;
    *sent += piece.len();
    match fault {
        Some(Fault::GarbleAt(at)) if (before..*sent).contains(&at) => piece[at - before] ^= 0x55,
        Some(Fault::CutAt(at) | Fault::StallAt(at)) if *sent > at => {
            piece.truncate(at.saturating_sub(before));
            // A near end that is gone is no concern of the host.
            let _ = stream.write_all(&piece).await;
            if matches!(fault, Some(Fault::StallAt(_))) {
                std::future::pending::<()>().await;
            }
            return false;
        }
        _ => {}
    }
    stream.write_all(&piece).await.is_ok()
}
