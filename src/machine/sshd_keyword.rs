//! The keywords of sshd_config(5) that may be set, and how `sshd -T` prints their values: two spellings of one value
//! must compare as one.

/// What values a keyword takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// `yes` or `no`.
    Flag,
    /// A whole number.
    Number,
    /// A time such as `30` or `2m`; printed in seconds.
    Time,
    /// One of these words, printed so.
    Word(&'static [&'static str]),
    /// Names with commas between, as written.
    List,
    /// `start:rate:full`, three numbers.
    Throttle,
    /// Anything without blanks, as written.
    Text,
}

/// One keyword.
#[derive(Debug, PartialEq, Eq)]
pub struct Keyword {
    /// As sshd_config(5) writes it.
    pub name: &'static str,
    /// What older releases call it, newest first.
    older: &'static [&'static str],
    values: Values,
    /// Whether `sshd -T` of every release that knows it prints it. One that is not printed is written without proof.
    printed: bool,
}

const fn keyword(name: &'static str, values: Values) -> Keyword {
    Keyword { name, older: &[], values, printed: true }
}

const FORWARDING: Values = Values::Word(&["yes", "no", "local", "remote"]);
const ROOT: Values = Values::Word(&["yes", "no", "without-password", "forced-commands-only"]);
const LEVEL: Values = Values::Word(&["QUIET", "FATAL", "ERROR", "INFO", "VERBOSE", "DEBUG", "DEBUG2", "DEBUG3"]);

/// All of them, by name.
static KEYWORDS: &[Keyword] = &[
    keyword("AllowAgentForwarding", Values::Flag),
    keyword("AllowStreamLocalForwarding", FORWARDING),
    keyword("AllowTcpForwarding", FORWARDING),
    keyword("Banner", Values::Text),
    keyword("Ciphers", Values::List),
    keyword("ClientAliveCountMax", Values::Number),
    keyword("ClientAliveInterval", Values::Time),
    keyword("Compression", Values::Flag),
    Keyword { printed: false, ..keyword("DebianBanner", Values::Flag) },
    keyword("DisableForwarding", Values::Flag),
    keyword("ExposeAuthInfo", Values::Flag),
    keyword("GSSAPIAuthentication", Values::Flag),
    keyword("GatewayPorts", Values::Word(&["yes", "no", "clientspecified"])),
    keyword("HostKeyAlgorithms", Values::List),
    keyword("HostbasedAuthentication", Values::Flag),
    keyword("IgnoreRhosts", Values::Word(&["yes", "no", "shosts-only"])),
    keyword("IgnoreUserKnownHosts", Values::Flag),
    Keyword { older: &["ChallengeResponseAuthentication"], ..keyword("KbdInteractiveAuthentication", Values::Flag) },
    keyword("KerberosAuthentication", Values::Flag),
    keyword("KexAlgorithms", Values::List),
    keyword("LogLevel", LEVEL),
    keyword("LoginGraceTime", Values::Time),
    keyword("MACs", Values::List),
    keyword("MaxAuthTries", Values::Number),
    keyword("MaxSessions", Values::Number),
    keyword("MaxStartups", Values::Throttle),
    keyword("PasswordAuthentication", Values::Flag),
    keyword("PerSourceMaxStartups", Values::Text),
    keyword("PerSourceNetBlockSize", Values::Text),
    keyword("PerSourcePenaltyExemptList", Values::List),
    keyword("PermitEmptyPasswords", Values::Flag),
    keyword("PermitRootLogin", ROOT),
    keyword("PermitTTY", Values::Flag),
    keyword("PermitTunnel", Values::Word(&["yes", "no", "point-to-point", "ethernet"])),
    keyword("PermitUserEnvironment", Values::Flag),
    keyword("PermitUserRC", Values::Flag),
    keyword("PrintLastLog", Values::Flag),
    keyword("PrintMotd", Values::Flag),
    Keyword { older: &["PubkeyAcceptedKeyTypes"], ..keyword("PubkeyAcceptedAlgorithms", Values::List) },
    keyword("PubkeyAuthentication", Values::Flag),
    keyword("RequiredRSASize", Values::Number),
    keyword("StreamLocalBindUnlink", Values::Flag),
    keyword("StrictModes", Values::Flag),
    keyword("TCPKeepAlive", Values::Flag),
    keyword("UseDNS", Values::Flag),
    keyword("VersionAddendum", Values::Text),
    keyword("X11Forwarding", Values::Flag),
    keyword("X11UseLocalhost", Values::Flag),
];

/// The keyword of that name, in any case and age; `None` for one that is not in the table.
pub fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.names().any(|known| known.eq_ignore_ascii_case(name)))
}

/// Names of all keywords.
pub fn names() -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().map(|keyword| keyword.name)
}

impl Keyword {
    /// Its names, newest first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.older.iter().copied())
    }

    /// Whether `sshd -T` tells its value.
    pub fn is_printed(&self) -> bool {
        self.printed
    }

    /// `text` as `sshd -T` prints it. Errors: what would be a value, as a phrase.
    pub fn canonical(&self, text: &str) -> Result<String, String> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        match self.values {
            Values::Flag => match lower.as_str() {
                "yes" | "true" => Ok("yes".into()),
                "no" | "false" => Ok("no".into()),
                _ => Err("`yes` or `no`".into()),
            },
            Values::Number => text.parse::<u32>().map(|number| number.to_string()).map_err(|_| "a whole number".into()),
            Values::Time => seconds(&lower).map(|time| time.to_string()).ok_or("a time such as `30` or `2m`".into()),
            Values::Word(words) => {
                // Two words for one thing; `sshd -T` prints the older.
                let lower = if lower == "prohibit-password" { "without-password" } else { lower.as_str() };
                let found = words.iter().find(|word| word.eq_ignore_ascii_case(lower));
                found.map(|word| (*word).to_owned()).ok_or_else(|| format!("one of {}", words.join(", ")))
            }
            Values::Throttle => {
                let numbers: Vec<Result<u32, _>> = text.split(':').map(str::parse::<u32>).collect();
                match numbers.as_slice() {
                    [Ok(start), Ok(rate), Ok(full)] => Ok(format!("{start}:{rate}:{full}")),
                    _ => Err("three numbers such as `10:30:100`".into()),
                }
            }
            Values::List => {
                let names: Vec<&str> = text.split(',').map(str::trim).collect();
                let legal = |name: &&str| {
                    name.starts_with(|c: char| c.is_ascii_alphanumeric())
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@:/".contains(c))
                };
                if names.iter().all(legal) {
                    Ok(names.join(","))
                } else {
                    Err("whole names with commas between (`+`, `-`, `^` and `*` depend on the release)".into())
                }
            }
            Values::Text
                if text.is_empty()
                    || text.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'#\\".contains(c)) =>
            {
                Err("a text without blanks and quotes".into())
            }
            Values::Text => Ok(text.to_owned()),
        }
    }
}

/// sshd's time format (sshd_config(5), TIME FORMATS): numbers with s, m, h, d, w, added up.
fn seconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let factor = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(factor)?)?;
    }
    match number {
        Some(rest) => total.checked_add(rest),
        None if text.is_empty() => None,
        None => Some(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_sshd_prints_them() {
        let canonical = |name: &str, value: &str| find(name).unwrap().canonical(value);
        assert_eq!(canonical("permitrootlogin", "Prohibit-Password").unwrap(), "without-password");
        assert_eq!(canonical("LoginGraceTime", "1m30s").unwrap(), "90");
        assert_eq!(canonical("LogLevel", "verbose").unwrap(), "VERBOSE");
        assert_eq!(canonical("Ciphers", "a@b.c, d").unwrap(), "a@b.c,d");
        assert_eq!(canonical("X11Forwarding", "No").unwrap(), "no");
        for (name, value) in [("MACs", "+x"), ("LoginGraceTime", "soon"), ("Banner", "a b"), ("MaxSessions", "-1")] {
            assert!(canonical(name, value).is_err(), "{name} {value}");
        }
        assert_eq!(find("ChallengeResponseAuthentication").unwrap().name, "KbdInteractiveAuthentication");
        assert_eq!(find("Port"), None, "ports add up and have a field of their own");
    }

    #[test]
    fn a_canonical_value_is_its_own_canonical_value() {
        for keyword in KEYWORDS {
            for text in ["yes", "no", "30", "1h", "a,b", "INFO", "none", "remote"] {
                if let Ok(once) = keyword.canonical(text) {
                    assert_eq!(keyword.canonical(&once), Ok(once.clone()), "{}", keyword.name);
                }
            }
        }
    }
}
