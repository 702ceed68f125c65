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
        self.until_here().await.map(|_| ())
    }

    /// Hears up to the shell's word, and gives what came right behind it. Errors: all that was said instead.
    async fn until_here(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let (mut out, mut said) = (Vec::new(), Vec::new());
        loop {
            match self.wire.hear().await {
                Heard::Out(bytes) => {
                    out.extend_from_slice(&bytes);
                    said.extend(bytes);
                    if let Some(at) = out.windows(HERE.len()).position(|part| part == HERE) {
                        return Ok(out.split_off(at + HERE.len()));
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
        // A command that speaks first may be heard along with it.
        let early = self.until_here().await?;
        let pressure = self.wire.pressure();
        Ok(Streams { wire: self.wire, pressure, early, errors: Vec::new() })
    }
}

/// A running command.
pub struct Streams {
    wire: Wire,
    pressure: Pressure,
    /// Output that was heard already.
    early: Vec<u8>,
    errors: Vec<u8>,
}

impl Streams {
    /// The next piece of output. Not to be asked again after the end.
    pub async fn next(&mut self) -> Piece {
        if !self.early.is_empty() {
            return Piece::Bytes(std::mem::take(&mut self.early));
        }
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

    /// Gives the command all that `next` gives, waiting while much of it is unsent, then ends its input and hears it out.
    /// Its output is dropped. One that ends before it has heard everything is not waited for.
    pub async fn feed(mut self, mut next: impl FnMut() -> Option<Vec<u8>>) -> Piped {
        let pressure = self.wire.pressure();
        let mut finished = false;
        loop {
            tokio::select! {
                piece = self.next() => if let Piece::End(end) = piece {
                    return end;
                },
                () = pressure.low(), if !finished => match next().filter(|_| !pressure.is_over()) {
                    Some(bytes) => {
                        self.wire.send(bytes);
                        // Whoever writes it may run on this very thread.
                        tokio::task::yield_now().await;
                    }
                    None => {
                        self.finish();
                        finished = true;
                    }
                },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::Connection;

    async fn command(words: &[&str]) -> Streams {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Connection::local().pipe().await.unwrap().begin(&words).await.unwrap()
    }

    async fn all(streams: &mut Streams) -> (Vec<u8>, Piped) {
        let mut out = Vec::new();
        loop {
            match streams.next().await {
                Piece::Bytes(bytes) => out.extend(bytes),
                Piece::End(end) => return (out, end),
            }
        }
    }

    #[tokio::test]
    async fn a_command_that_speaks_first_is_heard_from_its_first_byte() {
        for _ in 0..50 {
            let mut streams = command(&["echo", "a b"]).await;
            assert_eq!(all(&mut streams).await.0, b"a b\n");
        }
    }

    #[tokio::test]
    async fn what_is_sent_comes_through_whatever_it_holds() {
        let mut streams = command(&["cat"]).await;
        let sent: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
        streams.send(sent.clone()).await;
        streams.finish();
        let (heard, end) = all(&mut streams).await;
        assert!(heard == sent, "{} bytes of {}", heard.len(), sent.len());
        assert_ne!(end.status, Some(1));
    }

    #[tokio::test]
    async fn a_command_is_fed_and_heard_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut left = 300;
        let streams = command(&["dd", "status=none", &format!("of={}", file.path().display())]).await;
        let fed = streams.feed(|| {
            left -= 1;
            (left > 0).then(|| vec![7; 64 * 1024])
        });
        assert_eq!(fed.await.status, Some(0));
        assert_eq!(std::fs::metadata(file.path()).unwrap().len(), 299 * 64 * 1024);
        // One that ends early does not keep us waiting for ever.
        let endless = command(&["false"]).await.feed(|| Some(vec![7; 64 * 1024]));
        assert_eq!(endless.await.status, Some(1));
    }

    #[tokio::test]
    async fn two_commands_that_both_speak_much_do_not_wait_for_each_other() {
        // Each says more than anything in between holds before it hears the other.
        let script = "head -c 9000000 /dev/zero & head -c 9000000 >/dev/null; wait";
        let (one, other) = (command(&["sh", "-c", script]).await, command(&["sh", "-c", script]).await);
        let mut passed = 0;
        let joined =
            tokio::time::timeout(std::time::Duration::from_secs(60), join(one, other, |bytes| passed += bytes));
        joined.await.expect("they stand still");
        assert_eq!(passed, 18_000_000);
    }
}
