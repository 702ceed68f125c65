//! The releases of Debian that a box can be made of.

use std::fmt;
use std::str::FromStr;

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 11.
    Bullseye,
    /// Debian 12.
    #[default]
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// All of them, oldest first.
    pub const ALL: [Suite; 3] = [Suite::Bullseye, Suite::Bookworm, Suite::Trixie];

    /// The name that archives know it by.
    pub fn codename(self) -> &'static str {
        match self {
            Suite::Bullseye => "bullseye",
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
        }
    }

    /// The number of the release.
    pub fn version(self) -> u8 {
        match self {
            Suite::Bullseye => 11,
            Suite::Bookworm => 12,
            Suite::Trixie => 13,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Debian {}", self.version())
    }
}

/// A text that names no known release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a release that a box can be made of: say debian-11, debian-12 or debian-13")]
pub struct UnknownSuite(pub String);

impl FromStr for Suite {
    type Err = UnknownSuite;

    /// Reads `bookworm`, `debian-12`, `debian12`, `Debian 12` or `12`.
    fn from_str(text: &str) -> Result<Self, UnknownSuite> {
        let lower = text.trim().to_ascii_lowercase();
        let bare =
            lower.strip_prefix("debian").map_or(lower.as_str(), |rest| rest.trim_start_matches(['-', ' ', ':', '/']));
        Suite::ALL
            .into_iter()
            .find(|suite| bare == suite.codename() || bare == suite.version().to_string())
            .ok_or_else(|| UnknownSuite(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_is_understood() {
        for text in ["bookworm", "debian-12", "debian12", "12", "Debian 12", "debian:bookworm", " 12 "] {
            assert_eq!(text.parse(), Ok(Suite::Bookworm), "{text}");
        }
        for suite in Suite::ALL {
            assert_eq!(suite.codename().parse(), Ok(suite));
            assert_eq!(suite.to_string().parse(), Ok(suite));
        }
    }

    #[test]
    fn what_is_not_a_release_is_refused_with_the_legal_ones() {
        for text in ["", "debian", "10", "ubuntu-12", "1", "bookworm2", "debian-"] {
            let error = text.parse::<Suite>().unwrap_err();
            assert!(error.to_string().contains("debian-12"), "{error}");
        }
    }
}
