//! sshd: the files it reads, what it makes of them for one login, and whether the running one has read them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::loaded::LOADED;
use super::session::SESSION;
use super::{BadAnswer, Fact, Fields, Kept, Machine, Question, Slot, file};
use crate::base::Digest;
use crate::base::name::{AbsPath, UserName};
use crate::shell::{Call, Library};

/// Reads sshd's state; the actions stamp what they loaded with it.
pub(crate) static SSHD: Library =
    Library { name: "sshd.sh", text: include_str!("sshd.sh"), needs: &[&SESSION, &LOADED] };

/// sshd's main file.
pub const MAIN: &str = "/etc/ssh/sshd_config";
/// The folder of its drop-ins.
pub const FOLDER: &str = "/etc/ssh/sshd_config.d";

/// The one question of this sort: sshd's files and whether they are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sshd {
    /// This host's.
    Here,
}

/// sshd's files and whether they are in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SshdState {
    /// There is no sshd.
    Absent,
    /// There is one.
    Present(Config),
}

/// An sshd and its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The main file and the drop-ins, as sshd reads them: by path and text.
    pub files: BTreeMap<AbsPath, String>,
    /// Whether the running sshd has read the files as they are now. True when none runs.
    pub loaded: bool,
    /// Whether systemd turns the ports into those of ssh.socket by itself (Ubuntu from 24.04 on).
    pub socket_generator: bool,
    /// Whether `/etc/ssh/moduli` holds groups of less than 3072 bits.
    pub short_moduli: bool,
    /// What it offers when no file says otherwise, by keyword in lower case: kex, ciphers, MACs, host key algorithms.
    pub defaults: BTreeMap<String, String>,
}

/// What does a login meet? Serialises as the user's name; empty is who is logged in now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SshLogin(pub Option<UserName>);

impl TryFrom<String> for SshLogin {
    type Error = crate::base::name::BadName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self(if text.is_empty() { None } else { Some(UserName::new(text)?) }))
    }
}

impl From<SshLogin> for String {
    fn from(login: SshLogin) -> String {
        login.0.map(String::from).unwrap_or_default()
    }
}

/// What `sshd -T` says of a login from where the present one comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SshLoginState {
    /// Values by keyword in lower case; several lines of one keyword with line breaks between. Ports are apart.
    pub settings: BTreeMap<String, String>,
    /// The ports of its configuration.
    pub ports: BTreeSet<u16>,
    /// Those of them that nothing listens on.
    pub deaf: BTreeSet<u16>,
    /// The user's groups, where groups decide who may log in.
    pub groups: BTreeSet<String>,
    /// What sshd says when it can not read its files.
    pub broken: Option<String>,
}

/// One line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its file.
    pub path: &'a AbsPath,
    /// Its number, from 1.
    pub number: usize,
    /// Its keyword in lower case.
    pub keyword: String,
    /// What follows, without quotes around it.
    pub value: &'a str,
    /// The condition of the `Match` that it stands under.
    pub within: Option<&'a str>,
}

impl Config {
    /// The text of the main file.
    pub fn main(&self) -> Option<&str> {
        self.files.iter().find(|(path, _)| path.as_str() == MAIN).map(|(_, text)| text.as_str())
    }

    /// The lines of one file that say something.
    pub fn lines(&self, path: &AbsPath) -> Vec<Line<'_>> {
        let Some((path, text)) = self.files.get_key_value(path) else { return Vec::new() };
        let mut within = None;
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
            let (keyword, rest) = line.split_at(end);
            let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim_end();
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            let keyword = keyword.to_ascii_lowercase();
            if keyword == "match" {
                within = Some(value);
            } else {
                lines.push(Line { path, number: index + 1, keyword, value, within });
            }
        }
        lines
    }

    /// Whether a drop-in's text is in force at all: the main file's line that includes the folder.
    pub fn include_line(&self) -> Option<usize> {
        let main = self.files.keys().find(|path| path.as_str() == MAIN)?;
        self.lines(main)
            .into_iter()
            .find(|line| {
                let all = |word: &str| word == "/etc/ssh/sshd_config.d/*.conf" || word == "sshd_config.d/*.conf";
                line.keyword == "include" && line.within.is_none() && line.value.split_whitespace().any(all)
            })
            .map(|line| line.number)
    }
}

impl Fact for Sshd {
    type Answer = SshdState;
    const COST: u32 = 10;

    fn call(_: &[&Self]) -> Call {
        Call::new(&SSHD, "sshd_probe")
    }

    fn parse(_: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SshdState>, BadAnswer> {
        if !fields.flag()? {
            return Ok(vec![SshdState::Absent]);
        }
        let mut files = BTreeMap::new();
        loop {
            let path = fields.text()?;
            if path.is_empty() {
                break;
            }
            let path = AbsPath::new(path).map_err(|bad| BadAnswer(bad.to_string()))?;
            // A byte that is not UTF-8 can stand in a comment; it makes the text differ, not the reading fail.
            files.insert(path, String::from_utf8_lossy(fields.bytes()?).into_owned());
        }
        let (loaded, socket_generator, short_moduli) = (fields.flag()?, fields.flag()?, fields.flag()?);
        let algorithms = ["kexalgorithms", "ciphers", "macs", "hostkeyalgorithms"];
        let defaults =
            settings(fields.text()?).into_iter().filter(|(key, _)| algorithms.contains(&key.as_str())).collect();
        Ok(vec![SshdState::Present(Config { files, loaded, socket_generator, short_moduli, defaults })])
    }

    fn derives_from(&self, other: &Question) -> bool {
        changes_sshd(other)
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<SshdState> {
        use proptest::strategy::Strategy as _;
        any::config().prop_map(SshdState::Present).boxed()
    }
}

impl Fact for SshLogin {
    type Answer = SshLoginState;
    const COST: u32 = 11;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&SSHD, "sshd_probe_logins")
            .args(questions.iter().map(|login| login.0.as_ref().map_or("", UserName::as_str)))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<SshLoginState>, BadAnswer> {
        let mut answers: Vec<SshLoginState> = Vec::new();
        for _ in questions {
            let failed = match fields.text()? {
                "=" => {
                    let first = answers.first().cloned();
                    answers.push(first.ok_or_else(|| BadAnswer("the first login is like none before it".into()))?);
                    continue;
                }
                status => status != "0",
            };
            let text = String::from_utf8_lossy(fields.bytes()?).into_owned();
            let groups = fields.text()?.split_ascii_whitespace().map(str::to_owned).collect();
            answers.push(if failed {
                let broken = Some(text.lines().take(3).collect::<Vec<_>>().join("; "));
                SshLoginState {
                    settings: BTreeMap::new(),
                    ports: BTreeSet::new(),
                    deaf: BTreeSet::new(),
                    groups,
                    broken,
                }
            } else {
                let (ports, settings) = (ports(&text), settings(&text));
                SshLoginState { settings, ports, deaf: BTreeSet::new(), groups, broken: None }
            });
        }
        let hexadecimal = |line: &str| u16::from_str_radix(line, 16).ok();
        let listening: BTreeSet<u16> = fields.text()?.lines().filter_map(hexadecimal).collect();
        for answer in &mut answers {
            answer.deaf = answer.ports.difference(&listening).copied().collect();
        }
        Ok(answers)
    }

    fn derives_from(&self, other: &Question) -> bool {
        changes_sshd(other)
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<SshLoginState> {
        any::login()
    }
}

/// Whether a change of `other` can change what sshd is or says.
fn changes_sshd(other: &Question) -> bool {
    match other {
        Question::Package(package) => package.0.as_str() == "openssh-server",
        other => file::is_below(other, "/etc/ssh"),
    }
}

/// The lines of `sshd -T` by keyword, without ports and addresses: those of one keyword with line breaks between.
fn settings(text: &str) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        if matches!(keyword, "port" | "listenaddress" | "") {
            continue;
        }
        settings
            .entry(keyword.to_owned())
            .and_modify(|before| {
                before.push('\n');
                before.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    settings
}

/// The ports that the addresses to listen on name.
fn ports(text: &str) -> BTreeSet<u16> {
    let addresses = text.lines().filter_map(|line| line.strip_prefix("listenaddress "));
    let found: BTreeSet<u16> = addresses.filter_map(|address| address.rsplit(':').next()?.parse().ok()).collect();
    if found.is_empty() {
        return text.lines().filter_map(|line| line.strip_prefix("port ")?.parse().ok()).collect();
    }
    found
}

/// Digest of a configuration file's text, or the word for none, as actions compare it.
pub fn digest(text: Option<&str>) -> String {
    text.map_or_else(|| "absent".to_owned(), |text| Digest::of(text).as_str().to_owned())
}

#[cfg(test)]
mod any {
    //! Hosts as the laws meet them: stock, hardened by someone else, in disorder.

    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn text() -> BoxedStrategy<String> {
        let line = select(vec![
            "# a comment",
            "PasswordAuthentication yes",
            "passwordauthentication no",
            "PermitRootLogin yes",
            "X11Forwarding yes",
            "AcceptEnv LANG LC_*",
            "Port 2222",
            "Port 22",
            "KexAlgorithms curve25519-sha256",
            "Match User deploy",
            "  PasswordAuthentication yes",
            "Match Group sftp",
            "Match all",
            "Include /etc/ssh/sshd_config.d/*.conf",
            "",
        ]);
        proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n") + "\n").boxed()
    }

    pub(super) fn config() -> BoxedStrategy<Config> {
        let names = select(vec!["00-aaa.conf", "00-bedplate.conf", "50-cloud-init.conf", "zz.conf"]);
        let drop_ins = proptest::collection::btree_map(names, text(), 0..4);
        let kex = select(vec!["curve25519-sha256,ecdh-sha2-nistp256", "mlkem768x25519-sha256,curve25519-sha256", ""]);
        (text(), drop_ins, kex, any::<(bool, bool, bool)>())
            .prop_map(|(main, drop_ins, kex, (loaded, socket_generator, short_moduli))| {
                let mut files = BTreeMap::from([(AbsPath::new(MAIN).unwrap(), main)]);
                files.extend(
                    drop_ins.into_iter().map(|(name, text)| (AbsPath::new(format!("{FOLDER}/{name}")).unwrap(), text)),
                );
                let defaults = BTreeMap::from([
                    ("kexalgorithms".to_owned(), kex.to_owned()),
                    ("ciphers".to_owned(), "aes256-ctr,chacha20-poly1305@openssh.com".to_owned()),
                ]);
                Config { files, loaded, socket_generator, short_moduli, defaults }
            })
            .boxed()
    }

    pub(super) fn login() -> BoxedStrategy<SshLoginState> {
        let flag = || select(vec!["yes", "no"]);
        let root = select(vec!["yes", "no", "without-password"]);
        let methods = select(vec!["any", "any", "publickey", "publickey,password"]);
        let allowed = select(vec![None, None, None, Some("deploy"), Some("*"), Some("nobody")]);
        let ports = select(vec![vec![22], vec![2222], vec![22, 2222]]);
        (flag(), flag(), root, methods, allowed, ports, any::<(bool, bool, bool)>())
            .prop_map(|(password, forwarding, root, methods, allowed, ports, (old, deaf, broken))| {
                let mut settings: BTreeMap<String, String> = [
                    ("passwordauthentication", password),
                    ("x11forwarding", forwarding),
                    ("kbdinteractiveauthentication", password),
                    ("pubkeyauthentication", "yes"),
                    ("permitrootlogin", root),
                    ("authenticationmethods", methods),
                    ("maxauthtries", "6"),
                    ("kexalgorithms", "curve25519-sha256,ecdh-sha2-nistp256"),
                    ("ciphers", "aes256-ctr"),
                    ("macs", "hmac-sha2-256"),
                    ("hostkeyalgorithms", "ssh-ed25519,ecdsa-sha2-nistp256"),
                    ("hostkey", "/etc/ssh/ssh_host_rsa_key\n/etc/ssh/ssh_host_ed25519_key"),
                ]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
                if old {
                    settings.insert("challengeresponseauthentication".into(), password.into());
                }
                if let Some(allowed) = allowed {
                    settings.insert("allowusers".into(), allowed.into());
                }
                let ports: BTreeSet<u16> = ports.into_iter().collect();
                let deaf = if deaf { ports.iter().copied().take(1).collect() } else { BTreeSet::new() };
                SshLoginState {
                    settings,
                    ports,
                    deaf,
                    groups: BTreeSet::new(),
                    broken: (broken && old).then(|| "line 3: Bad configuration option: Prot".into()),
                }
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(main: &str, drop_in: &str) -> Config {
        let files = BTreeMap::from([
            (AbsPath::new(MAIN).unwrap(), main.to_owned()),
            (AbsPath::new(format!("{FOLDER}/50-x.conf")).unwrap(), drop_in.to_owned()),
        ]);
        let defaults = BTreeMap::new();
        Config { files, loaded: true, socket_generator: false, short_moduli: false, defaults }
    }

    #[test]
    fn lines_know_what_they_stand_under() {
        let config = config(
            "# x\nPort=22\nInclude \"/etc/ssh/sshd_config.d/*.conf\"\nMatch User a,b\n\tX11Forwarding  no \n",
            "",
        );
        let lines = config.lines(&AbsPath::new(MAIN).unwrap());
        let seen: Vec<_> =
            lines.iter().map(|line| (line.number, line.keyword.as_str(), line.value, line.within)).collect();
        assert_eq!(
            seen,
            [
                (2, "port", "22", None),
                (3, "include", "/etc/ssh/sshd_config.d/*.conf", None),
                (5, "x11forwarding", "no", Some("User a,b"))
            ]
        );
        assert_eq!(config.include_line(), Some(3));
    }

    #[test]
    fn an_include_under_a_match_is_none() {
        assert_eq!(config("Match all\nInclude /etc/ssh/sshd_config.d/*.conf\n", "").include_line(), None);
    }

    #[test]
    fn logins_are_asked_for_one_by_one_wherever_they_may_differ() {
        use crate::machine::testing::run;
        use crate::shell::{Batch, Mode};

        let folder = tempfile::tempdir().unwrap();
        let uniform = |text: &str| {
            let path = folder.path().join("sshd_config");
            std::fs::write(&path, text).unwrap();
            let call = Call::new(&SSHD, "sshd_is_uniform").arg("/nowhere").arg(path.to_str().unwrap());
            run(&Batch::new(Mode::Probe, vec![call]))[0].0 == 0
        };
        let same = ["", "Port 22\n #Match User a\nInclude /etc/ssh/sshd_config.d/*.conf\n  # include x\nUsePAM yes"];
        let others = [
            "Port 22\n\tMatch User deploy\n",
            "match=all",
            "\"Match\" user a",
            "Include /etc/ssh/more/*.conf\n",
            "Include /etc/ssh/sshd_config.d/*.conf /etc/ssh/x\n",
        ];
        assert!(same.into_iter().all(uniform));
        assert_eq!(others.into_iter().find(|text| uniform(text)), None);
    }

    #[test]
    fn reads_logins() {
        let body = b"0\0port 2222\nlistenaddress [::]:2222\nlistenaddress 0.0.0.0:2222\nhostkey a\nhostkey b\n\
            passwordauthentication no\nsubsystem sftp /x y\0\0=\x001\0line 2: Bad option\0\x000016\n\0";
        let names = ["", "root", "deploy"].map(|name| SshLogin::try_from(name.to_owned()).unwrap());
        let logins = SshLogin::parse(&names.iter().collect::<Vec<_>>(), &mut Fields::new(body)).unwrap();
        assert_eq!(logins[0], logins[1]);
        assert_eq!(logins[0].settings["hostkey"], "a\nb");
        assert_eq!(logins[0].deaf, BTreeSet::from([2222]));
        assert_eq!(logins[0].ports, BTreeSet::from([2222]));
        assert_eq!(logins[2].broken.as_deref(), Some("line 2: Bad option"));
    }
}
