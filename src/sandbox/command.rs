//! Programs of this machine: run, and their failure told in one place.

use std::io::Write as _;
use std::process::{Command, Output as Ended, Stdio};

use super::error::{Doing as _, Error, Result, last_lines};

/// Where programs are looked for: root's tools are not on every login's path.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 and the signal's number when a signal ended it, as shells count.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Whether the status is 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    fn of(ended: Ended) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        Self {
            status: ended.status.code().unwrap_or_else(|| 128 + ended.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
        }
    }
}

/// `words` as a command in the C locale with nothing on its standard input.
pub(super) fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().map_or(("true", words), |(first, rest)| (*first, rest));
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs `command` to its end, whatever that is. Errors: it could not be started.
pub(super) fn output(command: &mut Command) -> Result<Output> {
    let ended = command.output().doing(|| format!("can not run `{}`", command.get_program().display()))?;
    tracing::debug!(?command, status = %ended.status, "ran");
    Ok(Output::of(ended))
}

/// The same with `input` on its standard input.
pub(super) fn output_of_input(command: &mut Command, input: &[u8]) -> Result<Output> {
    let what = format!("can not run `{}`", command.get_program().display());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().doing(|| what.clone())?;
    let pipe = child.stdin.take();
    // A thread, because a program that answers before it has read everything would block both sides.
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut pipe) = pipe {
                // A program that closes its input early is judged by its status.
                let _ = pipe.write_all(input);
            }
        });
        child.wait_with_output()
    });
    Ok(Output::of(ended.doing(|| what)?))
}

/// Runs `words` and returns its standard output. Errors: it could not be started, or failed.
pub(super) fn run(words: &[&str]) -> Result<String> {
    let output = output(&mut command(words))?;
    if output.success() {
        Ok(output.stdout)
    } else {
        let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        Err(Error::Tool { command: words.join(" "), said: last_lines(said, 5) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = run(&["sh", "-c", "echo gone wrong >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.ends_with("gone wrong"), "{error}");
        assert!(run(&["no-such-program-at-all"]).unwrap_err().to_string().contains("no-such-program-at-all"));
    }

    #[test]
    fn more_input_and_output_than_a_pipe_holds_passes_through() {
        let input = vec![b'x'; 1 << 20];
        let output = output_of_input(&mut command(&["cat"]), &input).unwrap();
        assert_eq!((output.status, output.stdout.len()), (0, input.len()));
        assert_eq!(output_of_input(&mut command(&["true"]), &input).unwrap().status, 0);
    }

    #[test]
    fn a_signal_counts_as_in_a_shell() {
        assert_eq!(output(&mut command(&["sh", "-c", "kill -9 $$"])).unwrap().status, 137);
    }
}
