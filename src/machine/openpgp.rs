//! Reads which keys an OpenPGP public key file holds (RFC 4880), so that a repository's key can be pinned by its
//! fingerprint on hosts without gnupg. No signature is checked here: apt does that.

use base64::Engine as _;
use sha1::Digest as _;

/// The fingerprint of a version 4 key: 40 capital hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Errors: not 40 hexadecimal digits, when spaces (as people write them) are left out.
    pub fn new(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_uppercase();
        if digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(Self(digits));
        }
        Err(format!("`{text}` is not a fingerprint: it has 40 hexadecimal digits (short key numbers can be forged)"))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.0
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fingerprints of all primary keys in an ASCII-armored text. Errors: what is wrong with it, as a phrase.
pub fn fingerprints(armored: &str) -> Result<Vec<Fingerprint>, &'static str> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
    let mut found = Vec::new();
    let mut rest = armored;
    let mut blocks = 0;
    while let Some(at) = rest.find(BEGIN) {
        let block = &rest[at + BEGIN.len()..];
        let end = block.find(END).ok_or("its last line is missing")?;
        found.extend(primaries(&dearmor(&block[..end])?)?);
        rest = &block[end + END.len()..];
        blocks += 1;
    }
    if blocks == 0 {
        return Err("it is not an ASCII-armored OpenPGP public key");
    }
    if found.is_empty() { Err("it holds no public key") } else { Ok(found) }
}

/// The bytes of one block: headers up to an empty line, base64, perhaps a checksum after `=`.
fn dearmor(block: &str) -> Result<Vec<u8>, &'static str> {
    let mut lines = block.lines().map(str::trim).skip(1).skip_while(|line| line.contains(": ") || line.ends_with(':'));
    let mut text = String::new();
    for line in lines.by_ref() {
        if line.starts_with('=') {
            break;
        }
        text.push_str(line);
    }
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| "its base64 is broken")
}

/// Walks the packets.
fn primaries(mut bytes: &[u8]) -> Result<Vec<Fingerprint>, &'static str> {
    const CUT: &str = "it is cut off";
    let mut found = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        if first & 0x80 == 0 {
            return Err("it is not made of OpenPGP packets");
        }
        let (tag, length, header) = if first & 0x40 != 0 {
            let (length, header) = new_length(rest)?;
            (first & 0x3f, length, header)
        } else {
            let width = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return Err("it has a packet without a length"),
            };
            let digits = rest.get(..width).ok_or(CUT)?;
            ((first >> 2) & 0xf, digits.iter().fold(0usize, |sum, digit| sum << 8 | usize::from(*digit)), width)
        };
        let end = header.checked_add(length).ok_or(CUT)?;
        let body = rest.get(header..end).ok_or(CUT)?;
        if tag == 6 {
            found.push(fingerprint(body)?);
        }
        bytes = &rest[end..];
    }
    Ok(found)
}

/// Length and width of a length in the new format.
fn new_length(rest: &[u8]) -> Result<(usize, usize), &'static str> {
    let byte = |at: usize| rest.get(at).map(|byte| usize::from(*byte)).ok_or("it is cut off");
    match byte(0)? {
        length @ 0..=191 => Ok((length, 1)),
        high @ 192..=223 => Ok((((high - 192) << 8) + byte(1)? + 192, 2)),
        255 => Ok((byte(1)? << 24 | byte(2)? << 16 | byte(3)? << 8 | byte(4)?, 5)),
        _ => Err("it has a packet of partial length"),
    }
}

/// RFC 4880, 12.2: the SHA-1 of 0x99, the length in two bytes, and the packet.
fn fingerprint(body: &[u8]) -> Result<Fingerprint, &'static str> {
    if body.first() != Some(&4) {
        return Err("its key is not of version 4, which is all that is known here");
    }
    let length = u16::try_from(body.len()).map_err(|_| "its key is too long")?;
    let mut hash = sha1::Sha1::new();
    hash.update([0x99]);
    hash.update(length.to_be_bytes());
    hash.update(body);
    Ok(Fingerprint(hash.finalize().iter().map(|byte| format!("{byte:02X}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by gpg 2.2 for this test; gpg says C2D0 E88C D082 DFBF 5C39 7068 37F7 4EE4 15CE B250.
    pub(crate) const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n\
mDMEawQP+xYJKwYBBAHaRw8BAQdAxlOr9r52L8XuoGQVKs2x1wVAFruQ7cHEjwTs\n\
pi798oW0I090aGVyIFJlcG9zaXRvcnkgPHRlc3RAZXhhbXBsZS5vcmc+iJAEExYI\n\
ADgWIQTC0OiM0ILfv1w5cGg3907kFc6yUAUCawQP+wIbIwULCQgHAgYVCgkICwIE\n\
FgIDAQIeAQIXgAAKCRA3907kFc6yUErRAP43iUYhi1vz7wfZa3pKJoPhlsnBZSmn\n\
S3UY+ThuvYJdtwEAlvJCD2i7n841/KE/YEky5djdrHFMm1MiIu7ilHdJ2QM=\n\
=IL98\n-----END PGP PUBLIC KEY BLOCK-----\n";

    #[test]
    fn agrees_with_gpg() {
        let wanted = Fingerprint::new("C2D0 E88C D082 DFBF 5C39  7068 37F7 4EE4 15CE B250").unwrap();
        assert_eq!(fingerprints(KEY), Ok(vec![wanted.clone()]));
        let headed = KEY.replacen("\n\n", "\nComment: x\nVersion: GnuPG\n\n", 1).replace('\n', "\r\n");
        assert_eq!(fingerprints(&headed), Ok(vec![wanted]));
        assert_eq!(fingerprints(&KEY.repeat(2)).map(|all| all.len()), Ok(2), "a second key does not hide");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM", &KEY.replace("mDMEawQP", "mDMEawQ*"), "<html>"] {
            assert!(fingerprints(bad).is_err(), "{bad}");
        }
        assert!(Fingerprint::new("0EBFCD88").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = primaries(&bytes);
        }
    }
}
