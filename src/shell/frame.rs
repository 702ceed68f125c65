//! Reads what a host sends back: frames marked by the connection's nonce, with a body of NUL-ended fields or of plain
//! output. Whatever stands outside frames (a login banner, a noisy profile) is kept apart. A long answer may come packed:
//! behind a mark of its own, one member of gzip. The host is not trusted: sizes are capped and nothing here can panic.

use std::io::Write as _;

use flate2::write::GzDecoder;

use super::Nonce;

/// Most bytes that one frame may hold. A probe of everything that a large host has is well below 1 MiB.
pub const MAX_BODY: usize = 16 * 1024 * 1024;
/// Most bytes that may come outside of frames before the first one.
pub const MAX_NOISE: usize = 64 * 1024;

/// A piece of a host's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Frame `index` begins.
    Begin {
        /// Index of the call in its batch.
        index: usize,
    },
    /// More output of the open frame, as it comes.
    Output {
        /// Index of the call in its batch.
        index: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Frame `index` has ended.
    End {
        /// Index of the call in its batch.
        index: usize,
        /// Exit status of the call.
        status: u8,
        /// All of its output.
        body: Vec<u8>,
    },
    /// The batch is over.
    Done {
        /// Number of the batch.
        number: usize,
    },
}

/// An answer that is not of the agreed form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// More than [`MAX_BODY`] in one frame.
    #[error("the host sent more than {} MiB in answer to one call", MAX_BODY >> 20)]
    TooLong,
    /// More than [`MAX_NOISE`] outside of frames.
    #[error("the host's login shell prints more than {} KiB of text: it must be quiet for commands", MAX_NOISE >> 10)]
    TooNoisy,
    /// A mark that makes no sense where it stands.
    #[error("the host's answer is out of order at `{0}`")]
    OutOfOrder(String),
    /// What came packed can not be unpacked.
    #[error("the host's answer was damaged on its way: {0}")]
    Damaged(String),
}

/// The mark behind which it is packed.
const PACKED: &[u8] = b"packed:0";
/// Packed bytes that are unpacked at once, so that a little of them can not become very much.
const PACKED_STEP: usize = 4 * 1024;

/// Takes bytes as they come and gives parts as they become whole.
#[derive(Debug)]
pub struct Reader {
    mark: Vec<u8>,
    pending: Vec<u8>,
    open: Option<(usize, Vec<u8>)>,
    noise: Vec<u8>,
    /// Set while what comes is packed.
    packed: Option<GzDecoder<Vec<u8>>>,
}

impl Reader {
    /// A reader for the frames of `nonce`.
    pub fn new(nonce: &Nonce) -> Self {
        let mark = format!("\0{}:", nonce.as_str()).into_bytes();
        Self { mark, pending: Vec::new(), open: None, noise: Vec::new(), packed: None }
    }

    /// What came outside of frames so far, controls and all.
    pub fn noise(&self) -> &[u8] {
        &self.noise
    }

    /// Index and output so far of the frame that is open.
    pub fn open(&self) -> Option<(usize, &[u8])> {
        self.open.as_ref().map(|(index, body)| (*index, body.as_slice()))
    }

    /// Takes more bytes. Errors: what no honest host sends.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Part>, BadFrame> {
        let mut parts = Vec::new();
        let mut rest = bytes.to_vec();
        while !rest.is_empty() {
            rest = match self.packed.take() {
                Some(packed) => self.push_packed(packed, &rest, &mut parts)?,
                None => self.push_plain(&rest, &mut parts)?,
            };
        }
        Ok(parts)
    }

    /// Unpacks to the end of the member; gives what follows it.
    fn push_packed(
        &mut self,
        mut packed: GzDecoder<Vec<u8>>,
        mut bytes: &[u8],
        parts: &mut Vec<Part>,
    ) -> Result<Vec<u8>, BadFrame> {
        let damaged = |error: std::io::Error| BadFrame::Damaged(error.to_string());
        while !bytes.is_empty() {
            let taken = packed.write(&bytes[..bytes.len().min(PACKED_STEP)]).map_err(damaged)?;
            bytes = &bytes[taken..];
            let over = taken == 0;
            if over {
                // Compares the sum at its end.
                packed.try_finish().map_err(damaged)?;
            }
            let text = std::mem::take(packed.get_mut());
            if !self.push_plain(&text, parts)?.is_empty() {
                return Err(BadFrame::OutOfOrder("packed twice".to_owned()));
            }
            if over {
                return Ok(bytes.to_vec());
            }
        }
        self.packed = Some(packed);
        Ok(Vec::new())
    }

    /// Reads to the end, or to where what is packed begins: gives that.
    fn push_plain(&mut self, bytes: &[u8], parts: &mut Vec<Part>) -> Result<Vec<u8>, BadFrame> {
        self.pending.extend_from_slice(bytes);
        loop {
            let Some(at) = find(&self.pending, &self.mark) else {
                // The tail may be the beginning of a mark: keep it back.
                let keep = longest_suffix_that_begins(&self.pending, &self.mark);
                let ready = self.pending.len() - keep;
                let text: Vec<u8> = self.pending.drain(..ready).collect();
                self.take_text(text, parts)?;
                return Ok(Vec::new());
            };
            let after = at + self.mark.len();
            let Some(length) = self.pending[after..].iter().position(|b| *b == 0) else {
                if self.pending.len() - after > 64 {
                    return Err(BadFrame::OutOfOrder(printable(&self.pending[after..])));
                }
                let text: Vec<u8> = self.pending.drain(..at).collect();
                self.take_text(text, parts)?;
                return Ok(Vec::new());
            };
            let text: Vec<u8> = self.pending.drain(..at).collect();
            self.take_text(text, parts)?;
            let word: Vec<u8> = self.pending.drain(..self.mark.len() + length + 1).skip(self.mark.len()).collect();
            if &word[..length] == PACKED {
                self.packed = Some(GzDecoder::new(Vec::new()));
                return Ok(std::mem::take(&mut self.pending));
            }
            self.take_mark(&word[..length], parts)?;
        }
    }

    fn take_text(&mut self, text: Vec<u8>, parts: &mut Vec<Part>) -> Result<(), BadFrame> {
        if text.is_empty() {
            return Ok(());
        }
        match &mut self.open {
            Some((index, body)) => {
                if body.len() + text.len() > MAX_BODY {
                    return Err(BadFrame::TooLong);
                }
                body.extend_from_slice(&text);
                parts.push(Part::Output { index: *index, bytes: text });
            }
            None => {
                if self.noise.len() + text.len() > MAX_NOISE {
                    return Err(BadFrame::TooNoisy);
                }
                self.noise.extend_from_slice(&text);
            }
        }
        Ok(())
    }

    fn take_mark(&mut self, word: &[u8], parts: &mut Vec<Part>) -> Result<(), BadFrame> {
        let bad = || BadFrame::OutOfOrder(printable(word));
        let text = std::str::from_utf8(word).map_err(|_| bad())?;
        let mut words = text.split(':');
        let kind = words.next();
        let number = words.next().and_then(|n| n.parse::<usize>().ok()).ok_or_else(bad)?;
        match (kind, self.open.take()) {
            (Some("begin"), None) => {
                self.open = Some((number, Vec::new()));
                parts.push(Part::Begin { index: number });
            }
            (Some("end"), Some((index, body))) if index == number => {
                let status = words.next().and_then(|s| s.parse::<u8>().ok()).ok_or_else(bad)?;
                parts.push(Part::End { index, status, body });
            }
            (Some("done"), None) => parts.push(Part::Done { number }),
            _ => return Err(bad()),
        }
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn longest_suffix_that_begins(text: &[u8], mark: &[u8]) -> usize {
    (1..mark.len().min(text.len() + 1)).rev().find(|n| text[text.len() - n..] == mark[..*n]).unwrap_or(0)
}

/// Text of a host made fit for a terminal: controls and escapes shown, not obeyed.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let clean = text.chars().flat_map(|c| {
        let shown: String = match c {
            '\t' => "    ".to_owned(),
            c if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) => {
                c.escape_unicode().to_string()
            }
            c => c.to_string(),
        };
        shown.chars().collect::<Vec<_>>()
    });
    clean.collect()
}

/// Lines of a host's output, made fit for a terminal. Carriage returns (progress bars) end a line too.
pub fn printable_lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|b| *b == b'\n' || *b == b'\r');
    lines
        .map(|line| printable(strip_escapes(line).as_slice()).trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Leaves out terminal colour sequences (ESC `[` … letter): they say nothing and would be shown as noise.
fn strip_escapes(line: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(line.len());
    let mut rest = line.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte == 0x1b && rest.peek() == Some(&b'[') {
            rest.next();
            for part in rest.by_ref() {
                if (0x40..=0x7e).contains(&part) {
                    break;
                }
            }
        } else {
            clean.push(byte);
        }
    }
    clean
}

/// Reads the fields of one answer in turn.
#[derive(Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub String);

impl<'a> Fields<'a> {
    /// The fields of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// The next field's bytes. Errors: there is none.
    pub fn bytes(&mut self) -> Result<&'a [u8], BadAnswer> {
        let end =
            self.rest.iter().position(|b| *b == 0).ok_or_else(|| BadAnswer("the answer ends too early".into()))?;
        let field = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(field)
    }

    /// The next field as text. Errors: none left, or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, BadAnswer> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| BadAnswer(format!("`{}` is not UTF-8", printable(bytes))))
    }

    /// The next field as a number. Errors: none left, or not a number.
    pub fn number<N: std::str::FromStr>(&mut self) -> Result<N, BadAnswer> {
        let text = self.text()?;
        text.trim().parse().map_err(|_| BadAnswer(format!("`{}` is not a number", printable(text.as_bytes()))))
    }

    /// The next field as yes or no (`1` or `0`).
    pub fn flag(&mut self) -> Result<bool, BadAnswer> {
        match self.text()? {
            "1" => Ok(true),
            "0" => Ok(false),
            other => Err(BadAnswer(format!("`{}` is neither 0 nor 1", printable(other.as_bytes())))),
        }
    }

    /// Exactly `length` bytes, whatever they are. Errors: fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], BadAnswer> {
        if length > self.rest.len() {
            return Err(BadAnswer("the answer ends too early".into()));
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(stream: &[u8], nonce: &Nonce) -> Vec<Part> {
        let mut reader = Reader::new(nonce);
        let parts = reader.push(stream).unwrap();
        parts.into_iter().filter(|p| !matches!(p, Part::Output { .. })).collect()
    }

    fn stream(nonce: &Nonce, body: &[u8]) -> Vec<u8> {
        let n = nonce.as_str();
        let mut bytes = b"Welcome!\n".to_vec();
        bytes.extend(format!("\0{n}:begin:0\0").bytes());
        bytes.extend_from_slice(body);
        bytes.extend(format!("\0{n}:end:0:3\0\0{n}:done:1\0").bytes());
        bytes
    }

    /// The same with its frames packed.
    fn packed(nonce: &Nonce, body: &[u8]) -> Vec<u8> {
        let n = nonce.as_str();
        let mut frames = Vec::new();
        frames.extend(format!("\0{n}:begin:0\0").bytes());
        frames.extend_from_slice(body);
        frames.extend(format!("\0{n}:end:0:3\0").bytes());
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&frames).unwrap();
        let mut bytes = format!("Welcome!\n\0{n}:packed:0\0").into_bytes();
        bytes.extend(packer.finish().unwrap());
        bytes.extend(format!("\0{n}:done:1\0").bytes());
        bytes
    }

    fn whole_body(parts: &[Part]) -> Option<&[u8]> {
        parts.iter().find_map(|part| match part {
            Part::End { body, .. } => Some(body.as_slice()),
            _ => None,
        })
    }

    proptest! {
        #[test]
        fn a_stream_split_anywhere_reads_the_same(body in proptest::collection::vec(any::<u8>(), 0..60), cut in 0usize..200) {
            let nonce = Nonce::new(0x0102_0304);
            let bytes = stream(&nonce, &body);
            let cut = cut.min(bytes.len());
            let mut reader = Reader::new(&nonce);
            let mut parts = reader.push(&bytes[..cut]).unwrap();
            parts.extend(reader.push(&bytes[cut..]).unwrap());
            parts.retain(|p| !matches!(p, Part::Output { .. }));
            prop_assert_eq!(&parts, &whole(&bytes, &nonce));
            prop_assert_eq!(&parts[1], &Part::End { index: 0, status: 3, body });
            prop_assert_eq!(reader.noise(), b"Welcome!\n");
        }

        #[test]
        fn what_is_packed_reads_as_what_is_not(body in proptest::collection::vec(any::<u8>(), 0..300), cuts in proptest::collection::vec(0usize..500, 0..4)) {
            let nonce = Nonce::new(0x0102_0304);
            let bytes = packed(&nonce, &body);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let mut reader = Reader::new(&nonce);
            let mut parts = Vec::new();
            for cut in cuts.windows(2) {
                parts.extend(reader.push(&bytes[cut[0]..cut[1]]).unwrap());
            }
            parts.retain(|p| !matches!(p, Part::Output { .. }));
            prop_assert_eq!(&parts, &whole(&stream(&nonce, &body), &nonce));
            prop_assert_eq!(reader.noise(), b"Welcome!\n");
        }

        #[test]
        fn what_is_packed_and_damaged_never_reads_as_whole(at in 40usize..120, flip in 1u8..) {
            let nonce = Nonce::new(0x0102_0304);
            let body: Vec<u8> = (0..200).collect();
            let mut bytes = packed(&nonce, &body);
            let at = at + b"Welcome!\n".len();
            bytes[at] ^= flip;
            let parts = Reader::new(&nonce).push(&bytes).unwrap_or_default();
            let done = parts.iter().any(|part| matches!(part, Part::Done { .. }));
            prop_assert!(!done || whole_body(&parts) == Some(body.as_slice()));
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let nonce = Nonce::new(5);
            let _ = Reader::new(&nonce).push(&bytes);
            let mut marked = format!("\0{}:", nonce.as_str()).into_bytes();
            marked.extend(&bytes);
            let _ = Reader::new(&nonce).push(&marked);
            let _ = printable_lines(&bytes);
            let mut fields = Fields::new(&bytes);
            while fields.text().is_ok() {}
        }
    }

    #[test]
    fn endless_output_is_refused() {
        let nonce = Nonce::new(5);
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(format!("\0{}:begin:0\0", nonce.as_str()).as_bytes()).unwrap();
        for _ in 0..40 {
            bomb.write_all(&vec![b'y'; 1 << 20]).unwrap();
        }
        let mut reader = Reader::new(&nonce);
        reader.push(format!("\0{}:packed:0\0", nonce.as_str()).as_bytes()).unwrap();
        assert_eq!(reader.push(&bomb.finish().unwrap()), Err(BadFrame::TooLong));
        let mut reader = Reader::new(&nonce);
        reader.push(format!("\0{}:begin:0\0", nonce.as_str()).as_bytes()).unwrap();
        let megabyte = vec![b'y'; 1 << 20];
        let refused = (0..40).find_map(|_| reader.push(&megabyte).err());
        assert_eq!(refused, Some(BadFrame::TooLong));
        let mut noisy = Reader::new(&nonce);
        assert_eq!(noisy.push(&megabyte), Err(BadFrame::TooNoisy));
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(
            printable_lines(b"\x1b[31mred\x1b[0m\nbell\x07 \x1b]0;title\n"),
            ["red", "bell\\u{7} \\u{1b}]0;title"]
        );
    }
}
