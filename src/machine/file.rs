//! Files, directories and links: kind, mode, owner, digest and, for small text files, the content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadAnswer, Blocked, Fact, Fields, Kept, Knowledge, Machine, Question, Slot};
use crate::base::Digest;
use crate::base::name::AbsPath;
use crate::shell::{Call, Library};

pub(super) static FILE: Library = Library { name: "file.sh", text: include_str!("file.sh"), needs: &[] };

/// Content of files up to this many bytes is part of the answer; of larger ones the digest only.
pub const CONTENT_LIMIT: u64 = 64 * 1024;

/// What is at this path? Serialises as the path, with `#` before it where the content is not to be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct File {
    /// The path. A link at its end is not followed.
    pub path: AbsPath,
    /// Whether the content must stay on the host: only its digest is asked.
    pub secret: bool,
}

impl File {
    /// Asks with content.
    pub fn at(path: &AbsPath) -> Self {
        Self { path: path.clone(), secret: false }
    }

    /// Asks without content.
    pub fn secret(path: &AbsPath) -> Self {
        Self { path: path.clone(), secret: true }
    }
}

impl TryFrom<String> for File {
    type Error = crate::base::name::BadName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix('#') {
            Some(path) => Ok(Self { path: AbsPath::new(path)?, secret: true }),
            None => Ok(Self { path: AbsPath::new(text)?, secret: false }),
        }
    }
}

impl From<File> for String {
    fn from(file: File) -> String {
        if file.secret { format!("#{}", file.path) } else { file.path.into() }
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Nothing.
    Absent,
    /// Something.
    Present {
        /// What sort of thing.
        kind: Kind,
        /// The low twelve bits: `0o644`.
        mode: u32,
        /// Its owner.
        owner: Owner,
    },
}

/// User and group of a file. A plan knows them by name or by number, a host tells both; they are the same owner when
/// either agrees.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Owner {
    /// User number, where it is known.
    pub uid: Option<u32>,
    /// Group number, where it is known.
    pub gid: Option<u32>,
    /// User name, or the number again where it has no name.
    pub user: String,
    /// Group name, or the number again where it has no name.
    pub group: String,
}

impl Owner {
    /// `root:root`.
    pub fn root() -> Self {
        Self { uid: Some(0), gid: Some(0), user: "root".into(), group: "root".into() }
    }

    /// An owner as a playbook names it: each part a name or a number.
    pub fn named(user: &str, group: &str) -> Self {
        let number = |text: &str| if text == "root" { Some(0) } else { text.parse().ok() };
        Self { uid: number(user), gid: number(group), user: user.into(), group: group.into() }
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str, ids: (Option<u32>, Option<u32>)| {
            one == other || matches!(ids, (Some(one), Some(other)) if one == other)
        };
        same(&self.user, &other.user, (self.uid, other.uid)) && same(&self.group, &other.group, (self.gid, other.gid))
    }
}

/// `user:group`.
impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// What sort of thing is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A plain file.
    File {
        /// Bytes.
        size: u64,
        /// Digest of the content; `None` when it can not be read.
        digest: Option<Digest>,
        /// The content, where it was asked, is small enough and is UTF-8.
        content: Option<String>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it points, as it is written in it.
        target: String,
    },
    /// A device, a socket, a pipe.
    Other,
}

impl FileState {
    /// A plain file with this content.
    pub fn text(content: &str, mode: u32, owner: Owner) -> Self {
        let digest = Some(Digest::of(content));
        let kept = (content.len() as u64 <= CONTENT_LIMIT).then(|| content.to_owned());
        FileState::Present { kind: Kind::File { size: content.len() as u64, digest, content: kept }, mode, owner }
    }

    /// Digest of a plain file; `None` for all else.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            FileState::Present { kind: Kind::File { digest, .. }, .. } => digest.as_ref(),
            _ => None,
        }
    }

    /// Content of a plain file, where it is known.
    pub fn content(&self) -> Option<&str> {
        match self {
            FileState::Present { kind: Kind::File { content, .. }, .. } => content.as_deref(),
            _ => None,
        }
    }

    /// Whether there is nothing.
    pub fn is_absent(&self) -> bool {
        *self == FileState::Absent
    }

    /// Whether there is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, FileState::Present { kind: Kind::Directory, .. })
    }

    /// The same without its content, as a secret question has it.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        if let FileState::Present { kind: Kind::File { content, .. }, .. } = &mut self {
            *content = None;
        }
        self
    }
}

impl Machine {
    /// What is at `path`, whichever way it was asked. Errors: not asked, not known yet.
    pub fn file(&self, path: &AbsPath) -> Result<&FileState, Blocked> {
        match self.get(&File::at(path)) {
            Err(Blocked::NotAsked(question)) => match self.get(&File::secret(path)) {
                Err(Blocked::NotAsked(_)) => Err(Blocked::NotAsked(question)),
                other => other,
            },
            other => other,
        }
    }

    /// In an effect: sets what is at `path`, for each way it was asked (with content if it was not asked at all).
    pub fn set_file(&mut self, path: &AbsPath, state: FileState) {
        self.content_changed(path);
        let (open, secret) = (File::at(path), File::secret(path));
        if self.files.contains_key(&secret) {
            self.set(secret, state.clone().without_content());
            if !self.files.contains_key(&open) {
                return;
            }
        }
        self.set(open, state);
    }

    /// In an effect: what comes to be at `path` can not be foretold.
    pub fn forget_file(&mut self, path: &AbsPath) {
        self.forget(&File::at(path));
        self.forget(&File::secret(path));
    }

    /// Paths at which nothing is, as far as it was asked.
    pub fn absent_files(&self) -> Vec<AbsPath> {
        let absent = self.files.iter().filter(|(_, state)| **state == Knowledge::Known(FileState::Absent));
        absent.map(|(file, _)| file.path.clone()).collect()
    }
}

/// Whether `question` is about this very path.
pub fn is_about(question: &Question, path: &str) -> bool {
    matches!(question, Question::File(file) if file.path.as_str() == path)
}

/// Whether `question` is about a path in or below `folder`.
pub fn is_below(question: &Question, folder: &str) -> bool {
    let Question::File(file) = question else { return false };
    file.path.as_str().strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Fact for File {
    type Answer = FileState;
    const COST: u32 = 4;

    fn call(questions: &[&Self]) -> Call {
        let (secret, open): (Vec<&File>, Vec<&File>) = questions.iter().partition(|file| file.secret);
        Call::new(&FILE, "file_probe")
            .arg(CONTENT_LIMIT.to_string())
            .arg(open.len().to_string())
            .args(open.iter().map(|file| &file.path).map(AbsPath::as_str))
            .args(secret.iter().map(|file| &file.path).map(AbsPath::as_str))
    }

    fn parse(questions: &[&Self], fields: &mut Fields<'_>) -> Result<Vec<FileState>, BadAnswer> {
        let states = read(fields, CONTENT_LIMIT)?;
        let state = |question: &&Self| {
            let state = states.get(question.path.as_str()).cloned().unwrap_or(FileState::Absent);
            if question.secret { state.without_content() } else { state }
        };
        Ok(questions.iter().map(state).collect())
    }

    fn slot(machine: &Machine) -> &Slot<Self> {
        Self::kept(machine)
    }

    fn slot_mut(machine: &mut Machine) -> &mut Slot<Self> {
        Self::kept_mut(machine)
    }

    #[cfg(test)]
    fn any(&self) -> proptest::strategy::BoxedStrategy<FileState> {
        use proptest::prelude::*;
        let secret = self.secret;
        let owner = prop_oneof![
            Just(Owner::root()),
            Just(Owner { uid: Some(1000), gid: Some(1000), user: "deploy".into(), group: "deploy".into() })
        ];
        let mode = proptest::sample::select(vec![0o600, 0o644, 0o640, 0o755, 0o700, 0o440]);
        let text = prop_oneof![Just(String::new()), "[a-z =\n]{0,60}", Just("# a comment\nkey=value\n".to_owned())];
        prop_oneof![
            2 => Just(FileState::Absent),
            4 => (text, mode.clone(), owner.clone()).prop_map(|(text, mode, owner)| FileState::text(&text, mode, owner)),
            1 => (mode.clone(), owner.clone())
                .prop_map(|(mode, owner)| FileState::Present { kind: Kind::Directory, mode, owner }),
            // A link's own owner and mode mean nothing to anyone.
            1 => Just(FileState::Present {
                kind: Kind::Link { target: "/somewhere".into() }, mode: 0o777, owner: Owner::root()
            }),
        ]
        .prop_map(move |state| if secret { state.without_content() } else { state })
        .boxed()
    }
}

/// All that `file_probe` tells with this limit of bytes, by path; what is not there is left out. Errors: a file changed
/// while it was read.
pub(super) fn read(fields: &mut Fields<'_>, limit: u64) -> Result<BTreeMap<String, FileState>, BadAnswer> {
    let mut states: BTreeMap<String, FileState> = BTreeMap::new();
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    read_stat(fields, &mut states, &mut sizes)?;
    read_links(fields, &mut states)?;
    read_digests(fields, &mut states)?;
    for (path, bytes) in read_contents(fields, &sizes, limit)? {
        if let Some(FileState::Present { kind: Kind::File { digest, content, .. }, .. }) = states.get_mut(&path) {
            if digest.as_ref().is_some_and(|digest| *digest != Digest::of(&bytes)) {
                return Err(BadAnswer(format!("{path} changed while it was read; try again")));
            }
            *content = String::from_utf8(bytes).ok();
        }
    }
    Ok(states)
}

/// Records of eight fields up to an empty one.
fn read_stat(
    fields: &mut Fields<'_>,
    states: &mut BTreeMap<String, FileState>,
    sizes: &mut BTreeMap<String, u64>,
) -> Result<(), BadAnswer> {
    loop {
        let path = fields.text()?;
        if path.is_empty() {
            return Ok(());
        }
        let kind = fields.text()?;
        let mode = u32::from_str_radix(fields.text()?, 8).map_err(|_| BadAnswer("a file mode is not octal".into()))?;
        let (uid, gid): (u32, u32) = (fields.number()?, fields.number()?);
        let name = |name: &str, number: u32| if name == "UNKNOWN" { number.to_string() } else { name.to_owned() };
        let (user, group) = (name(fields.text()?, uid), name(fields.text()?, gid));
        let (uid, gid) = (Some(uid), Some(gid));
        let size: u64 = fields.number()?;
        let kind = match kind {
            "regular file" | "regular empty file" => {
                sizes.insert(path.to_owned(), size);
                Kind::File { size, digest: None, content: None }
            }
            "directory" => Kind::Directory,
            "symbolic link" => Kind::Link { target: String::new() },
            _ => Kind::Other,
        };
        states.insert(path.to_owned(), FileState::Present { kind, mode, owner: Owner { uid, gid, user, group } });
    }
}

/// Pairs of path and target up to an empty path.
fn read_links(fields: &mut Fields<'_>, states: &mut BTreeMap<String, FileState>) -> Result<(), BadAnswer> {
    loop {
        let path = fields.text()?;
        if path.is_empty() {
            return Ok(());
        }
        let found = String::from_utf8_lossy(fields.bytes()?).into_owned();
        if let Some(FileState::Present { kind: Kind::Link { target }, .. }) = states.get_mut(path) {
            *target = found;
        }
    }
}

/// `sha256sum --zero` lines up to an empty one.
fn read_digests(fields: &mut Fields<'_>, states: &mut BTreeMap<String, FileState>) -> Result<(), BadAnswer> {
    loop {
        let line = fields.text()?;
        if line.is_empty() {
            return Ok(());
        }
        let (hex, path) = line.split_at_checked(64).ok_or_else(|| BadAnswer("a digest is too short".into()))?;
        let path = path.strip_prefix("  ").or_else(|| path.strip_prefix(" *")).unwrap_or(path);
        if let Some(FileState::Present { kind: Kind::File { digest, .. }, .. }) = states.get_mut(path) {
            *digest = Some(Digest::parse(hex).map_err(BadAnswer)?);
        }
    }
}

/// Paths up to an empty field, then their contents end to end, each cut at [`CONTENT_LIMIT`].
fn read_contents(
    fields: &mut Fields<'_>,
    sizes: &BTreeMap<String, u64>,
    limit: u64,
) -> Result<BTreeMap<String, Vec<u8>>, BadAnswer> {
    let mut paths = Vec::new();
    loop {
        let path = fields.text()?;
        if path.is_empty() {
            break;
        }
        paths.push(path.to_owned());
    }
    let mut contents = BTreeMap::new();
    for path in paths {
        let size = sizes.get(&path).copied().unwrap_or(0);
        let bytes = fields.take(size.min(limit) as usize)?;
        if size <= limit {
            contents.insert(path, bytes.to_vec());
        }
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Probe;
    use crate::shell::{Nonce, frame};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};

    /// Runs a probe on this machine, through a real dash.
    fn probe(questions: Vec<Question>) -> Machine {
        let probe = Probe::new(questions);
        let nonce = Nonce::new(9);
        let mut child = Command::new("dash")
            .arg("-s")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dash is needed for this test");
        let script = probe.batch().render(&nonce, 1, &[]).unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap().stdout;
        let parts = frame::Reader::new(&nonce).push(&output).unwrap();
        let bodies: Vec<Vec<u8>> = parts
            .into_iter()
            .filter_map(|part| match part {
                frame::Part::End { body, .. } => Some(body),
                _ => None,
            })
            .collect();
        probe.read(bodies.iter().map(Vec::as_slice)).unwrap()
    }

    #[test]
    fn sees_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| AbsPath::new(format!("{}/{name}", folder.path().display())).unwrap();
        std::fs::write(path("text with space").as_str(), "a\nb\0c").unwrap();
        std::fs::write(path("big").as_str(), vec![b'x'; CONTENT_LIMIT as usize + 1]).unwrap();
        std::fs::write(path("empty").as_str(), "").unwrap();
        std::fs::write(path("secret").as_str(), "hush").unwrap();
        std::fs::create_dir(path("folder").as_str()).unwrap();
        std::os::unix::fs::symlink("big", path("link").as_str()).unwrap();
        std::fs::set_permissions(path("empty").as_str(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let open = ["text with space", "big", "empty", "folder", "link", "nothing"];
        let mut questions: Vec<Question> = open.iter().map(|name| File::at(&path(name)).into()).collect();
        questions.push(File::secret(&path("secret")).into());
        let machine = probe(questions);

        assert_eq!(machine.file(&path("text with space")).unwrap().content(), Some("a\nb\0c"));
        let big = machine.file(&path("big")).unwrap();
        assert_eq!((big.content(), big.digest().is_some()), (None, true));
        assert_eq!(machine.file(&path("empty")).unwrap().content(), Some(""));
        assert!(matches!(machine.file(&path("empty")).unwrap(), FileState::Present { mode: 0o640, .. }));
        assert!(machine.file(&path("folder")).unwrap().is_directory());
        let link = machine.file(&path("link")).unwrap();
        assert!(matches!(link, FileState::Present { kind: Kind::Link { target }, .. } if target == "big"), "{link:?}");
        assert!(machine.file(&path("nothing")).unwrap().is_absent());
        let secret = machine.file(&path("secret")).unwrap();
        assert_eq!((secret.content(), secret.digest()), (None, Some(&Digest::of("hush"))));
    }

    #[test]
    fn a_question_is_a_string() {
        let path = AbsPath::new("/etc/fstab").unwrap();
        assert_eq!(serde_json::to_string(&File::secret(&path)).unwrap(), r##""#/etc/fstab""##);
        assert_eq!(serde_json::from_str::<File>(r#""/etc/fstab""#).unwrap(), File::at(&path));
    }
}
