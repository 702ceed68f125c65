//! The keys that may log in as a user: `.ssh/authorized_keys` in the home that the user database names.
//!
//! A user who does not exist yet is asked too: the answer then is what is in `/home/NAME`, which is what the account
//! will find when it is made.

use std::fmt;

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::file::FileState;
use super::{BadAnswer, Fact, Fields, Kept, Machine, Slot, file};
use crate::base::name::{AbsPath, UserName};
use crate::shell::{Call, Library};

static AUTHORIZED_KEYS: Library =
    Library { name: "authorized_keys.sh", text: include_str!("authorized_keys.sh"), needs: &[&file::FILE] };

/// Bytes of a key file that are read: a user's own may be of any size, and what is larger is none that anyone wrote.
const LIMIT: u64 = 256 * 1024;

/// Which keys may log in as this user?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorizedKeys(pub UserName);

/// What is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeysState {
    /// Its home, or `/home/NAME` where there is no account.
    pub home: String,
    /// What is at `.ssh`.
    pub folder: FileState,
    /// What is at `.ssh/authorized_keys`; absent where `.ssh` is a link.
    pub file: FileState,
}

impl KeysState {
    /// A home without keys.
    pub fn none(home: impl Into<String>) -> Self {
        Self { home: home.into(), folder: FileState::Absent, file: FileState::Absent }
    }

    /// The keys in the file. Lines that are no keys are left out, as sshd passes over them.
    pub fn keys(&self) -> Vec<KeyLine> {
        self.file.content().unwrap_or_default().lines().filter_map(|line| KeyLine::parse(line).ok()).collect()
    }

    /// Path of the key file. Errors: the home is not an absolute path.
    pub fn path(&self) -> Result<AbsPath, crate::base::name::BadName> {
        AbsPath::new(format!("{}/.ssh/authorized_keys", self.home.trim_end_matches('/')))
    }
}

impl Fact for AuthorizedKeys {
    type Answer = KeysState;
    const COST: u32 = 3;

    fn call(questions: &[&Self]) -> Call {
        Call::new(&AUTHORIZED_KEYS, "authorized_keys_probe")
            .arg(LIMIT.to_string())
            .args(questions.iter().map(|keys| keys.0.as_str()))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<KeysState>, BadAnswer> {
        let homes = questions.iter().map(|_| fields.text().map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
        let states = file::read(fields, LIMIT)?;
        let at = |path: String| states.get(&path).cloned().unwrap_or(FileState::Absent);
        let state = |home: String| KeysState {
            folder: at(format!("{home}/.ssh")),
            file: at(format!("{home}/.ssh/authorized_keys")),
            home,
        };
        Ok(homes.into_iter().map(state).collect())
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<KeysState> {
        use super::file::{Kind, Owner};
        use proptest::prelude::*;
        let owner = proptest::sample::select(vec![
            Owner::root(),
            Owner::named(self.0.as_str(), self.0.as_str()),
            Owner { uid: Some(1001), gid: Some(1001), user: "1001".into(), group: "1001".into() },
        ]);
        let mode = proptest::sample::select(vec![0o600, 0o644, 0o700, 0o755, 0o775]);
        let line = proptest::sample::select(vec![
            testing::ONE.to_owned(),
            testing::TWO.to_owned(),
            format!("command=\"echo 'Please login as the user \\\"ubuntu\\\".';sleep 10\" {}", testing::ONE),
            "# a comment".to_owned(),
            "nonsense".to_owned(),
            String::new(),
        ]);
        let content = proptest::collection::vec(line, 0..4).prop_map(|lines| lines.join("\n"));
        let end = proptest::sample::select(vec!["", "\n"]);
        let text = (content, end).prop_map(|(content, end)| content + end);
        let home = format!("/home/{}", self.0);
        let link = || FileState::Present {
            kind: Kind::Link { target: "/etc/shadow".into() },
            mode: 0o777,
            owner: Owner::root(),
        };
        let file = prop_oneof![
            1 => Just(FileState::Absent),
            4 => (text, mode.clone(), owner.clone()).prop_map(|(text, mode, owner)| FileState::text(&text, mode, owner)),
            1 => Just(link()),
        ];
        let folder = (mode, owner).prop_map(|(mode, owner)| FileState::Present { kind: Kind::Directory, mode, owner });
        prop_oneof![
            1 => Just(KeysState::none(home.clone())),
            6 => (folder, file).prop_map({
                let home = home.clone();
                move |(folder, file)| KeysState { home: home.clone(), folder, file }
            }),
            1 => Just(KeysState { home, folder: link(), file: FileState::Absent }),
        ]
        .boxed()
    }
}

/// One key of an `authorized_keys` file: `options type base64 comment` (sshd(8)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyLine {
    /// What the key may do: `restrict`, `command="…"`, `from="…"`; empty for everything.
    pub options: String,
    /// Such as `ssh-ed25519`.
    pub kind: String,
    /// The key itself, in base64.
    pub blob: String,
    /// Whose it is said to be.
    pub comment: String,
}

impl KeyLine {
    /// Reads one line. Errors: why it is not a public key, as a phrase.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        if line.contains("PRIVATE KEY") {
            return Err("this is a private key: write the line of the .pub file instead".into());
        }
        if line.is_empty() || line.starts_with('#') || line.contains(['\n', '\r', '\0']) {
            return Err("a public key is one line, such as `ssh-ed25519 AAAA… name`".into());
        }
        let (options, rest) = match is_key_type(line) {
            true => ("", line),
            false => line.split_at(end_of_options(line)),
        };
        let mut words = rest.trim_start().splitn(3, [' ', '\t']);
        let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let comment = words.next().unwrap_or_default().trim();
        if !is_key_type(kind) {
            return Err("this is no public key: it should look like `ssh-ed25519 AAAA… name`".into());
        }
        let key = Self { options: options.into(), kind: kind.into(), blob: blob.into(), comment: comment.into() };
        // The blob names the type again: a key that was cut or mixed up in copying shows here.
        let parts = key.bytes().and_then(|bytes| parts(&bytes));
        match parts {
            Some(parts) if parts.len() >= 2 && parts[0] == kind.as_bytes() => Ok(key),
            _ => Err(format!("the key after `{kind}` is not whole: copy the line of the .pub file again")),
        }
    }

    /// The same, allowed everything.
    #[must_use]
    pub fn without_options(mut self) -> Self {
        self.options.clear();
        self
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        let hash = sha2::Sha256::digest(self.bytes().unwrap_or_default());
        format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(hash))
    }

    /// The key and whose it is said to be, for people.
    pub fn title(&self) -> String {
        let comment = if self.comment.is_empty() { "no comment" } else { &self.comment };
        format!("{} {} ({comment})", self.kind, self.fingerprint())
    }

    /// Whether this is the same key, whatever its options and comment.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.kind == other.kind && self.blob == other.blob
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        base64::engine::general_purpose::STANDARD.decode(&self.blob).ok()
    }
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [&self.options, &self.kind, &self.blob, &self.comment];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).map(String::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl TryFrom<String> for KeyLine {
    type Error = String;
    fn try_from(line: String) -> Result<Self, String> {
        Self::parse(&line)
    }
}

impl From<KeyLine> for String {
    fn from(key: KeyLine) -> String {
        key.to_string()
    }
}

impl schemars::JsonSchema for KeyLine {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyLine".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// Whether `text` begins with a key type that OpenSSH knows.
fn is_key_type(text: &str) -> bool {
    let word = text.split([' ', '\t']).next().unwrap_or_default();
    let plain = word.strip_suffix("@openssh.com").unwrap_or(word);
    ["ssh-ed25519", "ssh-rsa", "ssh-dss", "sk-ssh-ed25519"].contains(&plain)
        || plain.starts_with("ecdsa-sha2-nistp")
        || plain.starts_with("sk-ecdsa-sha2-nistp")
}

/// The length-prefixed parts of a key (RFC 4253, 6.6), or nothing where they do not fill it to its end.
fn parts(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        parts.push(part.to_vec());
        bytes = rest;
    }
    Some(parts)
}

/// Where the options end: at the first blank outside of double quotes, in which `\"` does not end the quoting.
fn end_of_options(line: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in line.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return at,
            _ => {}
        }
    }
    line.len()
}

/// Keys for tests.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl one@example";
    pub(crate) const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBK2uPc2S2Xq3sCvM0ZMq3Jm1zKqj8R0yq9n4rE7c1aB two@example";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::{Batch, Mode};

    #[test]
    fn reads_a_line() {
        let key = KeyLine::parse(testing::ONE).unwrap();
        assert_eq!((key.kind.as_str(), key.comment.as_str(), key.options.as_str()), ("ssh-ed25519", "one@example", ""));
        // As `ssh-keygen -lf` prints it for this key of GitHub.
        assert_eq!(key.fingerprint(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert_eq!(key.to_string(), testing::ONE);
    }

    #[test]
    fn reads_what_cloud_images_write() {
        let line = format!(
            "no-port-forwarding,no-agent-forwarding,command=\"echo 'Please login as the user \\\"ubuntu\\\" rather than \
             the user \\\"root\\\".';echo;sleep 10;exit 142\" {}",
            testing::ONE
        );
        let key = KeyLine::parse(&line).unwrap();
        assert!(key.options.ends_with("exit 142\""), "{}", key.options);
        assert_eq!(key.to_string(), line);
        assert_eq!(key.without_options().to_string(), testing::ONE);
    }

    #[test]
    fn says_what_is_wrong_with_a_key() {
        let cut = &testing::ONE[..40];
        assert!(KeyLine::parse(cut).unwrap_err().contains("not whole"));
        assert!(KeyLine::parse("-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err().contains("private key"));
        for bad in ["", "# no", "hello", "ssh-rsa", &format!("{}\n{}", testing::ONE, testing::TWO)] {
            assert!(KeyLine::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn asks_a_real_shell() {
        let (root, nobody) = (UserName::new("root").unwrap(), UserName::new("no-such-user").unwrap());
        let questions = vec![AuthorizedKeys(root.clone()).into(), AuthorizedKeys(nobody.clone()).into()];
        let machine = crate::machine::testing::probe(questions);
        let state = machine.known(&AuthorizedKeys(root)).unwrap();
        assert_eq!(state.home.as_str(), "/root");
        assert_eq!(machine.known(&AuthorizedKeys(nobody)), Some(&KeysState::none("/home/no-such-user")));
    }

    /// Homes of its own, in the place of /home: their names are those of users that do not exist.
    #[test]
    fn reads_what_lies_in_homes_and_follows_no_link_of_theirs() {
        static NEEDS: [&Library; 1] = [&file::FILE];
        let folder = tempfile::tempdir().unwrap();
        let library = AUTHORIZED_KEYS.text.replace("/home/", &format!("{}/", folder.path().display()));
        let library: &'static Library =
            Box::leak(Box::new(Library { name: "homes.sh", text: Box::leak(library.into_boxed_str()), needs: &NEEDS }));
        for name in ["plain-zz", "linked-zz", "long-zz"] {
            std::fs::create_dir_all(folder.path().join(name).join(".ssh")).unwrap();
        }
        let key = |name: &str| folder.path().join(name).join(".ssh/authorized_keys");
        std::fs::write(key("plain-zz"), format!("{}\n\n\n\n\n", testing::ONE)).unwrap();
        std::fs::write(key("long-zz"), vec![b'x'; LIMIT as usize + 1]).unwrap();
        std::fs::remove_dir(folder.path().join("linked-zz/.ssh")).unwrap();
        std::os::unix::fs::symlink("../plain-zz/.ssh", folder.path().join("linked-zz/.ssh")).unwrap();

        let names = ["plain-zz", "linked-zz", "long-zz"].map(|name| AuthorizedKeys(UserName::new(name).unwrap()));
        let call = Call::new(library, "authorized_keys_probe").arg(LIMIT.to_string());
        let call = call.args(names.iter().map(|name| name.0.as_str()));
        let (_, answer) = crate::machine::testing::run(&Batch::new(Mode::Probe, vec![call])).remove(0);
        let questions: Vec<&AuthorizedKeys> = names.iter().collect();
        let states = AuthorizedKeys::parse(&questions, &mut Fields::new(&answer)).unwrap();
        assert_eq!(states[0].keys(), [KeyLine::parse(testing::ONE).unwrap()]);
        assert!(states[0].file.content().unwrap().ends_with("\n\n\n\n\n") && states[0].folder.is_directory());
        assert!(matches!(&states[1].folder, FileState::Present { kind: file::Kind::Link { .. }, .. }));
        assert!(states[1].file.is_absent(), "a link of a user's was followed");
        assert_eq!((states[2].file.content(), states[2].file.digest().is_some()), (None, true));
    }
}
