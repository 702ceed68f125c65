//! The results as a page, with the machine that they were found on.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::goals::{Goals, number};
use super::sample::{Rounds, middle};

/// A page that grows as things are measured.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Self {
        Self(String::new())
    }

    /// A new part, with what there is to know of it.
    pub(crate) fn part(&mut self, title: &str, words: &str) {
        super::say(title);
        let _ = write!(self.0, "\n## {title}\n\n{words}\n\n");
    }

    /// Text as it is.
    pub(crate) fn text(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
        super::say(text);
    }

    /// Rounds as a table; ratios are to the first subject.
    pub(crate) fn rounds(&mut self, way: &str, rounds: &Rounds) {
        let base = rounds.0[0].0;
        let mut text = format!(
            "| {way} | seconds | ratio to {base} | CPU here, s | peak memory, MB | round trips | bytes up | bytes down |\n\
             |---|---|---|---|---|---|---|---|\n"
        );
        for (name, samples) in &rounds.0 {
            let count = |of: fn(&super::sample::Sample) -> u64| match middle(samples, |sample| of(sample) as f64) {
                0.0 => "-".to_owned(),
                found => format!("{found:.0}"),
            };
            let _ = writeln!(
                text,
                "| {name} | {:.3} | {} | {:.3} | {} | {} | {} | {} |",
                middle(samples, |sample| sample.wall),
                number(rounds.ratio(name, base)),
                middle(samples, |sample| sample.cpu),
                number(middle(samples, |sample| sample.memory)),
                count(|sample| sample.turns),
                count(|sample| sample.bytes.0),
                count(|sample| sample.bytes.1),
            );
        }
        self.text(&text);
    }

    /// Writes the page where it is kept, unless it was a short run.
    pub(crate) fn finish(self, goals: &Goals, whole: bool) {
        let text = format!(
            "# What bedplate costs\n\nWritten by `cargo test --release --test bench -- --ignored what_it_costs`. Medians; what is compared ran in turn, \
             and a ratio is the\nmedian of the ratios within a round. Times and peak memory are of the commanding side, of the \
             largest process where there\nare several. The relay delays bytes, not the opening of a TCP connection, for \
             everyone alike.\n\n{}\n## Aims\n\n{}{}",
            machine(),
            goals.table(),
            self.0
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/RESULTS.md");
        if whole {
            std::fs::write(path, text.trim_end().to_owned() + "\n").expect("the page");
        }
    }
}

/// The first line of what a program says, or nothing.
fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().ok();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

fn line(file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(key));
    found.unwrap_or_default().trim_matches(['\t', ' ', ':', '=', '"']).to_owned()
}

/// The machine in a few lines, without its name or its paths.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: u64 = line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "- {}, {cores} cores, {} GB of memory, Linux {}\n- {}; boxes: Debian 12 in systemd-nspawn on the same machine\n- {}; bedplate \
         {}\n- load when the page was written: {}\n",
        line("/proc/cpuinfo", "model name"),
        kib / 1_000_000,
        said("uname", &["-r"]),
        line("/etc/os-release", "PRETTY_NAME"),
        said("ssh", &["-V"]),
        env!("CARGO_PKG_VERSION"),
        load.join(" ")
    )
}
