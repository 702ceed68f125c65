//! SHA-256 digests in the form that `sha256sum` prints, so that both ends of a connection can compare content.

use sha2::Digest as _;

/// 64 lower-case hexadecimal digits.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[schemars(with = "String")]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        let hash = sha2::Sha256::digest(bytes.as_ref());
        Self(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads the 64 digits that a host sent. Errors: anything else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let legal = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{}` is not a SHA-256 digest", text.escape_debug()))
        }
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_sha256sum() {
        // `printf abc | sha256sum`
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of("abc").as_str(), known);
        assert!(Digest::parse(&known.to_uppercase()).is_err());
        assert!(Digest::parse("abc").is_err());
    }
}
