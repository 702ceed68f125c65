//! One command of root's as raw streams, for copies that go through this machine. Nothing here knows what is in them.

use crate::shell::{BadText, quote};

use super::wire::{Ending, Heard, Pressure, Wire};

/// What a shell says that is there.
const HERE: &[u8] = b"bedplate-pipe\n";
/// Most that may come before that.
const MOST_NOISE: usize = 64 * 1024;

/// A command's streams.
pub struct Pipe {
    wire: Wire,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piped {
    /// Its exit status; `None` when it ended without one.
    pub status: Option<u32>,
    /// The last of its error output.
    pub errors: Vec<u8>,
    /// Why the connection ended, where it did.
    pub lost: Option<String>,
}

/// Where a copy of a command's output goes, with its end.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of standard output.
    Bytes(Vec<u8>),
    /// The command is over.
    End(Piped),
}

impl Pipe {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire }
    }

    /// Whether a shell answers; if not, all that was said instead.
    pub(super) async fn answers(&mut self) -> Result<(), Vec<u8>> {
        self.wire.send(b"echo bedplate-pipe\n".to_vec());
        self.until_here().await
    }

    async fn until_here(&mut self) -> Result<(), Vec<u8>> {
        let (mut out, mut said) = (Vec::new(), Vec::new());
        loop {
            match self.wire.hear().await {
                Heard::Out(bytes) => {
                    out.extend_from_slice(&bytes);
                    said.extend(bytes);
                    if out.ends_with(HERE) {
                        return Ok(());
                    }
                }
                Heard::Err(bytes) => said.extend(bytes),
                Heard::End(_) => return Err(said),
            }
            if said.len() > MOST_NOISE {
                return Err(said);
            }
        }
    }

    /// Turns the shell into the command of these words, in the locale C. From then on its streams are the command's.
    /// Errors: what was said instead.
    pub async fn begin(mut self, words: &[String]) -> Result<Streams, Vec<u8>> {
        let quoted: Result<Vec<String>, BadText> = words.iter().map(|word| quote(word)).collect();
        let words = quoted.map_err(|error| error.to_string().into_bytes())?.join(" ");
        // The shell has read no further than its line when the word comes, so what is sent then is the command's.
        self.wire.send(format!("LC_ALL=C; export LC_ALL; umask 077; echo bedplate-pipe; exec {words}\n").into_bytes());
        self.until_here().await?;
        let pressure = self.wire.pressure();
        Ok(Streams { wire: self.wire, pressure, errors: Vec::new() })
    }
}

/// A running command.
pub struct Streams {
    wire: Wire,
    pressure: Pressure,
    errors: Vec<u8>,
}

impl Streams {
    /// The next piece of output. Not to be asked again after the end.
    pub async fn next(&mut self) -> Piece {
        loop {
            match self.wire.hear().await {
                Heard::Out(bytes) => return Piece::Bytes(bytes),
                Heard::Err(bytes) => {
                    self.errors.extend(bytes);
                    let surplus = self.errors.len().saturating_sub(8 * 1024);
                    self.errors.drain(..surplus);
                }
                Heard::End(ending) => {
                    let errors = std::mem::take(&mut self.errors);
                    let (status, lost) = match ending {
                        Ending::Exit(status) => (Some(status), None),
                        Ending::Lost(why) => (None, Some(why)),
                        _ => (None, None),
                    };
                    return Piece::End(Piped { status, errors, lost });
                }
            }
        }
    }

    /// Sends input, waiting while much of it is unsent.
    pub async fn send(&self, bytes: Vec<u8>) {
        self.wire.send(bytes);
        self.pressure.low().await;
    }

    /// Ends the input.
    pub fn finish(&mut self) {
        self.wire.finish();
    }
}

/// Lets each of two commands hear what the other says, until both are over. Each direction waits for its own reader
/// only: rsync speaks both ways at once, and would stand still for ever otherwise.
pub async fn join(mut one: Streams, mut other: Streams, mut passed: impl FnMut(usize)) -> (Piped, Piped) {
    let (mut ended_one, mut ended_other) = (None, None);
    let (into_one, into_other) = (one.wire.pressure(), other.wire.pressure());
    loop {
        tokio::select! {
            piece = one.next(), if ended_one.is_none() && into_other.is_low() => match piece {
                Piece::Bytes(bytes) => {
                    passed(bytes.len());
                    other.wire.send(bytes);
                }
                Piece::End(end) => {
                    other.finish();
                    ended_one = Some(end);
                }
            },
            piece = other.next(), if ended_other.is_none() && into_one.is_low() => match piece {
                Piece::Bytes(bytes) => {
                    passed(bytes.len());
                    one.wire.send(bytes);
                }
                Piece::End(end) => {
                    one.finish();
                    ended_other = Some(end);
                }
            },
            () = into_one.low(), if !into_one.is_low() => {}
            () = into_other.low(), if !into_other.is_low() => {}
        }
        if let (Some(one), Some(other)) = (&ended_one, &ended_other) {
            return (one.clone(), other.clone());
        }
    }
}
