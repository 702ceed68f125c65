//! What can go wrong with a box, each with what to do about it.

use std::path::PathBuf;

use super::Suite;

/// Why a box could not be made, found or handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Boxes are made of Linux namespaces.
    #[error("local boxes need Linux: run this on a Linux machine, or use the boxes of `vagrant/`")]
    NotLinux,
    /// Namespaces, mounts and firewall rules are root's.
    #[error("local boxes need root: run the same command with sudo")]
    NotRoot,
    /// Programs are missing and were not, or could not be, installed.
    #[error("missing on this machine: {}; install with `{command}`", .tools.join(", "))]
    ToolsMissing {
        /// The programs that were not found.
        tools: Vec<&'static str>,
        /// What installs them.
        command: String,
    },
    /// Not enough room on the disk.
    #[error("{} has {free_mib} MiB free, and {need_mib} MiB are needed: make room, or name another cache directory", .path.display())]
    NoSpace {
        /// The directory that was asked.
        path: PathBuf,
        /// Free, in MiB.
        free_mib: u64,
        /// Needed, in MiB.
        need_mib: u64,
    },
    /// The name can not be a box's.
    #[error(
        "`{0}` can not be the name of a box: use 1 to 40 lower-case letters, digits and `-`, beginning with a letter"
    )]
    BadName(String),
    /// A box of that name lives.
    #[error("a box named `{0}` exists: `bedplate sandbox down {0}` removes it")]
    NameTaken(String),
    /// No such box.
    #[error("there is no box named `{0}`: `bedplate sandbox list` shows those there are")]
    NoSuchBox(String),
    /// The box is not running.
    #[error(
        "the box `{0}` is not running (it was powered off): remove it with `bedplate sandbox down {0}`, or boot it again"
    )]
    NotRunning(String),
    /// No private network is left.
    #[error(
        "no private network is free for a box: every candidate overlaps a route of this machine, or too many boxes run"
    )]
    NoAddress,
    /// No mirror gave the packages of an image.
    #[error("the packages of {suite} could not be fetched from {}: check the network and apt's sources of this machine; the first try ended with: {said}", .tried.join(", "))]
    MirrorUnreachable {
        /// What was to be built.
        suite: Suite,
        /// The mirrors that were tried.
        tried: Vec<String>,
        /// What came of the first.
        said: String,
    },
    /// The image could not be built, and the mirror is not to blame.
    #[error("the image of {suite} could not be built; mmdebstrap said: {said}")]
    ImageFailed {
        /// What was to be built.
        suite: Suite,
        /// Its last lines.
        said: String,
    },
    /// The box did not come up.
    #[error("the box `{name}` did not come up: {why}; its console ended with: {console}")]
    BootFailed {
        /// The box.
        name: String,
        /// What was waited for in vain.
        why: &'static str,
        /// The last lines of its console.
        console: String,
    },
    /// A program of this machine failed.
    #[error("`{command}` failed: {said}")]
    Tool {
        /// The command.
        command: String,
        /// What it said.
        said: String,
    },
    /// A file or directory failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with its path.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// Names what was being done when a file failed.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}

/// The last `count` lines of `text`, joined by ` | `, without terminal controls.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<String> = text
        .split(['\n', '\r'])
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_output_is_told_and_no_controls() {
        assert_eq!(last_lines("a\nb\n\x1b[0mc\r\n\n", 2), "b | [0mc");
        assert_eq!(last_lines("", 2), "");
    }
}
