//! What may stand for something else in a value of `ssh_config`: `%h` and its like, `~`, `${NAME}`, spans of time.

use std::path::PathBuf;
use std::time::Duration;

use super::Myself;

/// What the tokens stand for.
#[derive(Debug, Clone)]
pub(in crate::ssh) struct Tokens<'a> {
    /// The name that was asked for: `%n`.
    pub(in crate::ssh) original: &'a str,
    /// The name or address that is dialled: `%h`.
    pub(in crate::ssh) host: &'a str,
    /// `%p`.
    pub(in crate::ssh) port: u16,
    /// The login user: `%r`.
    pub(in crate::ssh) user: &'a str,
    /// The name in known_hosts: `%k`.
    pub(in crate::ssh) key_alias: &'a str,
    /// `%u`, `%d`, `%i`, `%l`, `%L`.
    pub(in crate::ssh) me: &'a Myself,
}

impl Tokens<'_> {
    fn value(&self, token: char) -> Option<String> {
        Some(match token {
            '%' => "%".to_owned(),
            'h' => self.host.to_owned(),
            'n' => self.original.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.user.to_owned(),
            'k' => self.key_alias.to_owned(),
            'u' => self.me.user.clone(),
            'd' => self.me.home.display().to_string(),
            'i' => self.me.uid.to_string(),
            'l' => self.me.host.clone(),
            'L' => self.me.host.split('.').next().unwrap_or_default().to_owned(),
            _ => return None,
        })
    }

    /// `text` with its tokens replaced; `legal` are those that the option knows. Errors: another one.
    pub(in crate::ssh) fn expand(&self, text: &str, legal: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let token = rest.next().filter(|token| legal.contains(*token));
            match token.and_then(|token| self.value(token)) {
                Some(value) => out.push_str(&value),
                None => return Err(format!("`{text}` holds a `%` token that can not stand there")),
            }
        }
        Ok(out)
    }
}

/// `text` with `${NAME}` replaced from the environment. Errors: a variable that is not set.
pub(in crate::ssh) fn environment(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let Some(length) = rest[at..].find('}') else { return Err(format!("`{text}` has a `${{` without a `}}`")) };
        let name = &rest[at + 2..at + length];
        match std::env::var(name) {
            Ok(value) => out.push_str(&value),
            Err(_) => return Err(format!("`{text}` names ${name}, which is not set")),
        }
        rest = &rest[at + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// `text` as a path, with `~` for the home folder.
pub(in crate::ssh) fn tilde(text: &str, me: &Myself) -> PathBuf {
    match text.strip_prefix('~') {
        Some("") => me.home.clone(),
        Some(rest) if rest.starts_with('/') => me.home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    }
}

/// A span of time: seconds, or numbers with `s`, `m`, `h`, `d`, `w` in a row (sshd_config(5), "TIME FORMATS").
pub(super) fn span(text: &str) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if !number.is_empty() {
        total = total.checked_add(number.parse().ok()?)?;
    }
    // OpenSSH keeps these in an int.
    (!text.is_empty() && total <= i32::MAX as u64).then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        for (text, seconds) in
            [("10", Some(10)), ("1m30s", Some(90)), ("1w", Some(604_800)), ("", None), ("x", None), ("s", None)]
        {
            assert_eq!(span(text).map(|s| s.as_secs()), seconds, "{text}");
        }
    }
}
