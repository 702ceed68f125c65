//! The only place where shell text is put together. Control flow lives in static POSIX functions (`*.sh` files,
//! constant at compile time); what is generated is calls of them, each argument through one quoting function. So data
//! can not become code: there is no way from a `String` to a command.
//!
//! Nothing here runs anything. What comes back from a host is read by [`frame`].

pub mod frame;

use crate::base::Secret;

/// A set of static shell functions. The text must be functions only: it is sent before any call and runs nothing.
#[derive(Debug)]
pub struct Library {
    /// Name of the `.sh` file, for `--show-script` and the tests.
    pub name: &'static str,
    /// The functions. Each is named after its library: `package_probe`, `package_install`.
    pub text: &'static str,
    /// Libraries whose functions these call.
    pub needs: &'static [&'static Library],
}

/// What every script begins with: frames, fields, atomic files.
pub static PRELUDE: Library = Library { name: "prelude.sh", text: include_str!("prelude.sh"), needs: &[] };

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// Shown as it is.
    Text(String),
    /// Sent on the shell's standard input like the rest, but never shown.
    Secret(Secret),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Arg::Text(text.to_owned())
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Arg::Text(text)
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Arg::Text(text.clone())
    }
}

impl From<&Secret> for Arg {
    fn from(secret: &Secret) -> Self {
        Arg::Secret(secret.clone())
    }
}

macro_rules! args_from_names {
    ($($name:ident),*) => {$(
        impl From<&crate::base::name::$name> for Arg {
            fn from(name: &crate::base::name::$name) -> Self {
                Arg::Text(name.as_str().to_owned())
            }
        }
    )*};
}
args_from_names!(AbsPath, PackageName, UnitName, UserName, GroupName, SysctlKey, HostName, DockerName);

/// One call of a static function.
#[derive(Debug, Clone)]
pub struct Call {
    library: &'static Library,
    function: &'static str,
    args: Vec<Arg>,
}

impl Call {
    /// A call of `function`, which `library` defines.
    pub fn new(library: &'static Library, function: &'static str) -> Self {
        debug_assert!(library.text.contains(&format!("{function}() {{")), "{function} is not in {}", library.name);
        Self { library, function, args: Vec::new() }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<A: Into<Arg>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The library that defines the function.
    pub fn library(&self) -> &'static Library {
        self.library
    }

    /// The function's name.
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// The call as shell text. `secrets` decides what stands in the place of secret arguments.
    fn text(&self, secrets: Secrets) -> Result<String, BadText> {
        let mut text = self.function.to_owned();
        for arg in &self.args {
            text.push(' ');
            match (arg, secrets) {
                (Arg::Text(plain), _) => text.push_str(&quote(plain)?),
                (Arg::Secret(secret), Secrets::Sent) => text.push_str(&quote(secret.reveal())?),
                (Arg::Secret(_), Secrets::Shown) => text.push_str("'[secret]'"),
            }
        }
        Ok(text)
    }
}

/// A text that no shell word can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value holds a NUL byte, which no shell argument can carry")]
pub struct BadText;

/// `text` as one word of POSIX shell. Errors: NUL.
pub fn quote(text: &str) -> Result<String, BadText> {
    shlex::try_quote(text)
        .map(|quoted| {
            // shlex may choose double quotes; only single quotes are the same to every shell and every locale.
            if quoted.starts_with('"') || quoted.contains('\\') { single(text) } else { quoted.into_owned() }
        })
        .map_err(|_| BadText)
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[derive(Clone, Copy)]
enum Secrets {
    Sent,
    Shown,
}

/// What a batch is for: it decides what becomes of error output and of the rest after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads only. Error output is dropped, each call runs whatever became of the one before.
    Probe,
    /// Changes the host. Error output is part of the answer, the first failure ends the batch.
    Act,
    /// Changes the held shell itself, such as a lock that it holds from then on. Else as [`Mode::Act`].
    Hold,
}

/// Calls that travel together and run in order, each in a frame of its own.
#[derive(Debug, Clone)]
pub struct Batch {
    mode: Mode,
    calls: Vec<Call>,
    /// How many calls each lane has, in order; what is left over is one more lane.
    lanes: Vec<usize>,
}

/// 128 random bits that mark the frames of one connection, so that no output can be taken for a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// A nonce of the given bits.
    pub fn new(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Batch {
    /// A batch of `calls`.
    pub fn new(mode: Mode, calls: Vec<Call>) -> Self {
        Self { mode, calls, lanes: Vec::new() }
    }

    /// A batch of calls that only read, those of each lane in order and the lanes side by side. The frames come in the
    /// order of the calls all the same.
    pub fn side_by_side(lanes: Vec<Vec<Call>>) -> Self {
        let counts = lanes.iter().map(Vec::len).collect();
        Self { mode: Mode::Probe, calls: lanes.into_iter().flatten().collect(), lanes: counts }
    }

    /// The same with further calls behind.
    #[must_use]
    pub fn and(mut self, calls: impl IntoIterator<Item = Call>) -> Self {
        self.calls.extend(calls);
        self
    }

    /// How many frames it makes.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether it holds no call.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// What it is for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether one of its arguments is a secret.
    pub fn has_secrets(&self) -> bool {
        self.calls.iter().any(|call| call.args.iter().any(|arg| matches!(arg, Arg::Secret(_))))
    }

    /// The libraries that its calls need, each once, needed ones first; the prelude is always the first.
    pub fn libraries(&self) -> Vec<&'static Library> {
        let mut libraries = vec![&PRELUDE];
        for call in &self.calls {
            gather(call.library, &mut libraries);
        }
        libraries
    }

    /// The bytes to send for batch number `number` of a connection whose shell already has `loaded`. A connection
    /// cut anywhere in them runs nothing: functions are whole or not defined, and the one command is the last line.
    /// Errors: an argument with a NUL.
    pub fn render(&self, nonce: &Nonce, number: usize, loaded: &[&'static str]) -> Result<String, BadText> {
        self.rendered(nonce.as_str(), number, loaded, Secrets::Sent)
    }

    /// What `--show-script` prints: the same, with its comments, secrets left out, a fixed nonce and nothing packed.
    pub fn show(&self) -> String {
        self.rendered("NONCE", 1, &[], Secrets::Shown).unwrap_or_else(|bad| format!("# {bad}\n"))
    }

    fn rendered(&self, nonce: &str, number: usize, loaded: &[&str], secrets: Secrets) -> Result<String, BadText> {
        let mut text = String::new();
        for library in self.libraries() {
            match secrets {
                _ if loaded.contains(&library.name) => {}
                Secrets::Sent => text.push_str(&without_comments(library.text)),
                Secrets::Shown => text.push_str(library.text),
            }
        }
        let mut lines = Vec::new();
        for (index, call) in self.calls.iter().enumerate() {
            let call = call.text(secrets)?;
            lines.push(match self.mode {
                Mode::Probe => format!("bp_probe {index} {call}\n"),
                Mode::Act => format!("bp_act {index} {call} || return 0\n"),
                Mode::Hold => format!("bp_hold {index} {call} || return 0\n"),
            });
        }
        text.push_str(&format!("bp_batch_{number}() {{\n{}:\n}}\n", beside(&lines, &self.lanes)));
        // Long answers, which are those to many questions, are packed; what is packed by halves has no end, so the shell
        // ends then. Nobody reads that by eye.
        let packed =
            if self.lanes.is_empty() || matches!(secrets, Secrets::Shown) { "" } else { " | bp_packed || exit 1" };
        text.push_str(&format!("{{ bp_nonce={nonce}; bp_batch_{number}{packed}; bp_done {number}; }}\n"));
        Ok(text)
    }
}

/// A library as it is sent: its comments are for readers. They may not stand on lines of their own within a string.
pub fn without_comments(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with('#')).collect()
}

/// The lines of the lanes, each lane running while those before it do: what it writes waits in a pipe for its turn.
fn beside(lines: &[String], lanes: &[usize]) -> String {
    let (first, rest) = lanes.split_first().map_or((lines.len(), lanes), |(first, rest)| (*first, rest));
    let (first, others) = lines.split_at(first.min(lines.len()));
    if others.is_empty() {
        return first.concat();
    }
    format!("{{\n{}}} | {{\n{}cat\n}}\n", beside(others, rest), first.concat())
}

fn gather(library: &'static Library, into: &mut Vec<&'static Library>) {
    for needed in library.needs {
        gather(needed, into);
    }
    if !into.iter().any(|known| known.name == library.name) {
        into.push(library);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    static ECHO: Library =
        Library { name: "echo.sh", text: "echo_fields() { for a in \"$@\"; do bp_field \"$a\"; done; }\n", needs: &[] };

    fn run(shell: &str, script: &str) -> Vec<u8> {
        let mut child = Command::new(shell)
            .arg("-s")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{shell} is needed for this test: {e}"));
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    fn echoed(shell: &str, words: &[String]) -> Vec<String> {
        let nonce = Nonce::new(7);
        let batch = Batch::new(Mode::Probe, vec![Call::new(&ECHO, "echo_fields").args(words)]);
        let output = run(shell, &batch.render(&nonce, 1, &[]).unwrap());
        let mut reader = frame::Reader::new(&nonce);
        let frames = reader.push(&output).unwrap();
        let ended = frames.into_iter().find_map(|f| match f {
            frame::Part::End { body, .. } => Some(body),
            _ => None,
        });
        let mut fields = frame::Fields::new(ended.as_deref().expect("the frame ended"));
        words.iter().map(|_| fields.text().unwrap().to_owned()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(120))]

        #[test]
        fn any_text_survives_dash_and_bash(words in proptest::collection::vec("[^\0]{0,40}", 1..6)) {
            prop_assert_eq!(&echoed("dash", &words), &words);
            prop_assert_eq!(&echoed("bash", &words), &words);
        }
    }

    #[test]
    fn a_script_cut_anywhere_runs_nothing() {
        let mark = tempfile::NamedTempFile::new().unwrap();
        static TOUCH: Library = Library { name: "touch.sh", text: "touch_it() { echo ran >>\"$1\"; }\n", needs: &[] };
        let call = Call::new(&TOUCH, "touch_it").arg(mark.path().to_str().unwrap());
        let script = Batch::new(Mode::Act, vec![call]).render(&Nonce::new(1), 1, &[]).unwrap();
        let tail = script.len() - 160;
        for cut in (0..tail).step_by(211).chain(tail..script.len() - 1) {
            run("dash", &script[..cut]);
        }
        assert_eq!(std::fs::read_to_string(mark.path()).unwrap(), "", "a cut script ran");
        run("dash", &script);
        assert_eq!(std::fs::read_to_string(mark.path()).unwrap(), "ran\n", "the whole script did not run");
    }

    #[test]
    fn secrets_are_sent_and_not_shown() {
        let secret = Secret::new("open sesame");
        let batch = Batch::new(Mode::Act, vec![Call::new(&ECHO, "echo_fields").arg(&secret)]);
        assert!(batch.render(&Nonce::new(1), 1, &[]).unwrap().contains("open sesame"));
        assert!(!batch.show().contains("open sesame"));
    }

    #[test]
    fn lanes_answer_in_the_order_of_their_calls_however_long_each_takes() {
        static SLOW: Library = Library {
            name: "slow.sh",
            text: "slow_say() { timeout \"$1\" tail -f /dev/null; head -c \"$2\" /dev/zero | tr '\\000' x; bp_field \"$3\"; }\n",
            needs: &[],
        };
        // More than a pipe holds, in the lane that has to wait.
        let say =
            |seconds: &str, bytes: &str, text: &str| Call::new(&SLOW, "slow_say").arg(seconds).arg(bytes).arg(text);
        let lanes = vec![
            vec![say("0.3", "0", "a"), say("0.1", "9", "b")],
            vec![say("0.01", "300000", "c")],
            vec![say("0.2", "1", "d"), say("0.01", "0", "e")],
        ];
        for shell in ["dash", "bash"] {
            let nonce = Nonce::new(7);
            let output = run(shell, &Batch::side_by_side(lanes.clone()).render(&nonce, 1, &[]).unwrap());
            let parts = frame::Reader::new(&nonce).push(&output).unwrap();
            let ended: Vec<(usize, usize)> = parts
                .iter()
                .filter_map(|part| match part {
                    frame::Part::End { index, body, .. } => Some((*index, body.len())),
                    _ => None,
                })
                .collect();
            assert_eq!(ended, [(0, 2), (1, 11), (2, 300_002), (3, 3), (4, 2)], "{shell}");
            assert!(matches!(parts.last(), Some(frame::Part::Done { number: 1 })), "{shell}");
        }
    }

    #[test]
    fn lanes_are_packed_where_there_is_gzip_and_end_the_shell_where_it_breaks() {
        let calls = || vec![Call::new(&ECHO, "echo_fields").arg("x".repeat(5000))];
        let nonce = Nonce::new(7);
        let script = Batch::side_by_side(vec![calls(), calls()]).render(&nonce, 1, &[]).unwrap();
        let done = |output: &[u8]| {
            let parts = frame::Reader::new(&nonce).push(output).unwrap_or_default();
            parts.iter().filter(|part| matches!(part, frame::Part::End { body, .. } if body.len() == 5001)).count() == 2
                && matches!(parts.last(), Some(frame::Part::Done { .. }))
        };
        for shell in ["dash", "bash"] {
            let packed = run(shell, &script);
            assert!(done(&packed) && packed.len() < 1000, "{shell}: {} bytes", packed.len());
            let plain = run(shell, &format!("command() {{ return 1; }}\n{script}"));
            assert!(done(&plain) && plain.len() > 10_000, "{shell}: {} bytes", plain.len());
            let broken = run(shell, &format!("gzip() {{ head -c 3000 >/dev/null; return 1; }}\n{script}echo on\n"));
            assert!(!done(&broken) && !broken.ends_with(b"on\n"), "{shell}: it went on without an answer");
        }
    }

    #[test]
    fn nul_is_refused() {
        assert_eq!(quote("a\0b"), Err(BadText));
    }
}
