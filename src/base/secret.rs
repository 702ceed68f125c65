//! Text that must never be shown: no Debug, no Display, no Serialize, and wiped when dropped.

use zeroize::Zeroizing;

/// A secret value. The only way to its text is [`Secret::reveal`], so that every use can be found by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: only to send it to where it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Replaces every known secret in a line that is about to be shown or logged.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<Secret>,
}

impl Redactor {
    /// Learns a secret. Texts shorter than four characters are not looked for: they would blank out ordinary words.
    pub fn learn(&mut self, secret: &Secret) {
        if secret.reveal().len() >= 4 && !self.secrets.contains(secret) {
            self.secrets.push(secret.clone());
        }
    }

    /// Learns all that `other` knows.
    pub fn learn_all(&mut self, other: &Redactor) {
        other.secrets.iter().for_each(|secret| self.learn(secret));
    }

    /// `line` with each known secret replaced by `[secret]`.
    pub fn redact(&self, line: &str) -> String {
        self.secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret.reveal(), "[secret]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter22");
        assert!(!format!("{secret:?}").contains("hunter22"));
        let mut redactor = Redactor::default();
        redactor.learn(&secret);
        assert_eq!(redactor.redact("the word is hunter22."), "the word is [secret].");
    }
}
