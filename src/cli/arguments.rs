//! The command line as clap reads it. Its doc comments are the help texts, the man pages and the reference.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod backup;
mod migrate;

pub use backup::{Backup, Restore};
pub use migrate::Migrate;

use crate::engine::{self, rollout::BatchSize};
use crate::inventory::Shard;

/// Turns a bare Ubuntu or Debian box into a hardened, deploy-ready server over SSH, and keeps it so.
#[derive(Debug, Parser)]
#[command(name = "bedplate", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done or in sync, 1 a host failed, 2 check found drift, 3 a host was unreachable, \
                        4 bad input or a saved plan that does not fit (nothing was changed), 5 a guard put a host back, 6 another run holds \
                        a host, 130 interrupted."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Options of every command.
    #[command(flatten)]
    pub output: Output,
}

/// How a run is told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// JSON lines on standard output, one event a line.
    #[arg(long, global = true)]
    pub json: bool,

    /// Say more: why tasks are in sync, what the hosts print. Twice: everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub colour: Colour,

    /// Show at most this many lines of each diff; 0 shows all.
    #[arg(long, global = true, value_name = "LINES", default_value_t = 40)]
    pub diff_lines: usize,

    /// Write the run as JSON lines into FILE too, for `bedplate replay`.
    #[arg(long, global = true, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Write a page with every host, its diffs, and all settings with their reasons to FILE.
    #[arg(long, global = true, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    /// Write a developer's log into FILE (filtered by BEDPLATE_LOG, such as `bedplate=debug`).
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would change, with diffs; changes nothing. Exits 2 when a host has drifted.
    Check(Check),
    /// Show what will change, do it, and prove it by a second look.
    Apply(Apply),
    /// Show whether Kamal will work: a new login as its user, and all that it needs. Changes nothing.
    Ready(Ready),
    /// Apply, see that Kamal will work, then run it: `kamal setup`, or `kamal deploy` where the app runs already.
    Handoff(Handoff),
    /// Move to another server with the data: prepare it, copy while the app serves, stop, copy the rest, deploy there.
    Migrate(Migrate),
    /// Take the data of a host into a folder here, proved file by file, while the app goes on.
    Backup(Backup),
    /// Put a backup into a host, beside what is there, and exchange both.
    Restore(Restore),
    /// Show what is true of a host.
    Facts(Facts),
    /// Tell what a resource takes, what a variable is for, what a playbook does.
    Explain(Explain),
    /// Show what bedplate has changed on hosts, when, and by whom.
    History(History),
    /// Take back what a run has changed on a host, where that can be done.
    Undo(Undo),
    /// Write bedplate.toml, playbooks/ and templates/ into this directory, to own and edit.
    Init(Init),
    /// Throw-away local boxes to rehearse on.
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// A local box up, applied, checked, broken, found out, repaired, and down again.
    Demo(Demo),
    /// Draw a recorded run (`--record`, or the output of `--json`) again.
    Replay(Replay),
    /// Print documents that are made from the code.
    #[command(hide = true)]
    Generate(Generate),
}

/// Which hosts, and what of the playbooks.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Hosts: names of the inventory, or `user@address[:port]`. None: every host of the inventory.
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,

    /// Another host in the place of the one named, with its tasks; set by commands, not by the user.
    #[arg(skip)]
    pub successor: Option<String>,

    /// The inventory [default: bedplate.toml, or else Kamal's config/deploy.yml, if there is one].
    #[arg(short, long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,

    /// Kamal's destination: config/deploy.NAME.yml is laid over config/deploy.yml.
    #[arg(short, long, value_name = "NAME")]
    pub destination: Option<String>,

    /// Only these hosts and groups; `*` matches, `!` leaves out. May be given more than once, or with commas.
    #[arg(short, long, value_name = "PATTERN", value_delimiter = ',')]
    pub limit: Vec<String>,

    /// Only this share of them, such as 2/5, for jobs of CI that run side by side: every host is in exactly one share.
    #[arg(long, value_name = "INDEX/COUNT")]
    pub shard: Option<Shard>,

    /// Only tasks with one of these tags; a playbook's name is a tag too.
    #[arg(short, long, value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,

    /// No tasks with any of these tags.
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub skip_tags: Vec<String>,

    /// Set a variable for all hosts.
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// How hosts are logged in to.
    #[command(flatten)]
    pub login: Login,

    /// How many hosts are worked on at once.
    #[arg(long, visible_alias = "forks", value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,

    /// Print the scripts that would be sent. `check`: the one that asks, and nothing is contacted. `apply`: also those
    /// that act, planned on the host's facts; none of them is sent.
    #[arg(long)]
    pub show_script: bool,
}

/// How a run goes over many hosts.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Many hosts")]
pub struct Rollout {
    /// Go batch by batch: numbers or shares of hosts, the last for all further batches. `--serial 1,25%` takes one host
    /// first, as a canary, then a quarter at a time. A batch begins when the one before is done, and is asked about on
    /// its own. The first failure stops the run, unless `--max-failures` says otherwise.
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    pub serial: Vec<BatchSize>,

    /// What stops the run.
    #[command(flatten)]
    pub tolerance: Tolerance,
}

/// When a run begins no further host.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Many hosts")]
pub struct Tolerance {
    /// Begin no further host once so many have failed. Those at work are seen through to their end.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: Option<u32>,
}

impl Rollout {
    /// As it would be typed again.
    pub(super) fn words(&self) -> Vec<String> {
        let sizes: Vec<String> = self.serial.iter().map(ToString::to_string).collect();
        let serial = (!sizes.is_empty()).then(|| ["--serial".to_owned(), sizes.join(",")]);
        let most = self.tolerance.max_failures.map(|most| ["--max-failures".to_owned(), most.to_string()]);
        serial.into_iter().chain(most).flatten().collect()
    }

    /// The same for the engine.
    pub(super) fn rollout(&self) -> engine::Rollout {
        let most = self.tolerance.max_failures.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        engine::Rollout::new(self.serial.clone(), most)
    }
}

/// How hosts are logged in to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Login")]
pub struct Login {
    /// Log in with this private key, before what the inventory and ~/.ssh/config name.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<String>,

    /// Accept and remember the keys of hosts never seen before. A changed key is refused all the same.
    #[arg(long)]
    pub accept_new: bool,

    /// Ask for a login password where no key is accepted.
    #[arg(long)]
    pub ask_password: bool,

    /// Read this file in the place of ~/.ssh/config; `none` reads none.
    #[arg(short = 'F', long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
}

/// `bedplate check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Which hosts and tasks.
    #[command(flatten)]
    pub selection: Selection,

    /// When no further host is begun.
    #[command(flatten)]
    pub tolerance: Tolerance,

    /// Exit 2 also when there is nothing but unmanaged findings.
    #[arg(long)]
    pub strict: bool,

    /// Plan on facts saved by `bedplate facts --json`, without contacting a host.
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,

    /// Save the plan to FILE, to be reviewed and given to `apply --plan`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["facts", "show_script"])]
    pub save: Option<PathBuf>,
}

/// `bedplate apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// Which hosts and tasks.
    #[command(flatten)]
    pub selection: Selection,

    /// How it goes over many hosts.
    #[command(flatten)]
    pub rollout: Rollout,

    /// Do not ask before changing anything.
    #[arg(short, long)]
    pub yes: bool,

    /// Do what this plan of `check --save` says, or nothing: hosts, playbooks or variables that have changed since are
    /// refused, on all hosts before anything is changed on one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["show_script", "serial"])]
    pub plan: Option<PathBuf>,

    /// Exit 2 also when there are unmanaged findings left.
    #[arg(long)]
    pub strict: bool,

    /// Seconds that a host waits for a new login before it takes back a change that could lock you out.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=900))]
    pub window: u64,
}

/// `bedplate ready`.
#[derive(Debug, Args)]
pub struct Ready {
    /// Which hosts and tasks.
    #[command(flatten)]
    pub selection: Selection,
}

/// `bedplate handoff`.
///
/// It ends with what ended it: the codes below as long as bedplate is at work, the deployer's own once that has been run.
/// `--record` and `--report` hold the apply; with `--json` the deployer's output goes to standard error.
#[derive(Debug, Args)]
pub struct Handoff {
    /// Which hosts and tasks.
    #[command(flatten)]
    pub selection: Selection,

    /// Do not ask before changing anything.
    #[arg(short, long)]
    pub yes: bool,

    /// Seconds that a host waits for a new login before it takes back a change that could lock you out.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=900))]
    pub window: u64,

    /// The deployer to run in the app's folder [default: bin/kamal, or kamal, with `setup` or `deploy`].
    #[arg(last = true, value_name = "COMMAND")]
    pub deployer: Vec<String>,
}

/// `bedplate facts`.
#[derive(Debug, Args)]
pub struct Facts {
    /// Which hosts, and the facts of which tasks.
    #[command(flatten)]
    pub selection: Selection,
}

/// `bedplate explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A resource, a variable or a playbook; none: a list of them.
    pub name: Option<String>,
}

/// `bedplate history`.
#[derive(Debug, Args)]
pub struct History {
    /// Which hosts.
    #[command(flatten)]
    pub selection: Selection,

    /// How many runs of each host, the latest first; 0 shows all that the host remembers.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    pub runs: usize,
}

/// `bedplate undo`.
///
/// What still is as the run left it goes back to what it was before, under the guard where it decides who gets in, and is
/// proved by a second look. What somebody has changed since is left alone, and what can not be undone (a package that was
/// installed, a command) stays: both are told first.
#[derive(Debug, Args)]
pub struct Undo {
    /// The host: a name of the inventory, or `user@address[:port]`.
    pub host: String,

    /// The run, as `bedplate history` names it [default: the last that changed anything].
    pub run: Option<String>,

    /// Only show what would be undone; changes nothing. Exits 2 when there is anything.
    #[arg(long, conflicts_with = "yes")]
    pub check: bool,

    /// Do not ask before changing anything.
    #[arg(short, long)]
    pub yes: bool,

    /// Another host in the place of the one named, with its tasks; set by commands, not by the user.
    #[arg(skip)]
    pub successor: Option<String>,

    /// The inventory [default: bedplate.toml, or else Kamal's config/deploy.yml, if there is one].
    #[arg(short, long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,

    /// Kamal's destination: config/deploy.NAME.yml is laid over config/deploy.yml.
    #[arg(short, long, value_name = "NAME")]
    pub destination: Option<String>,

    /// Set a variable.
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// How the host is logged in to.
    #[command(flatten)]
    pub login: Login,

    /// Seconds that a host waits for a new login before it takes back a change that could lock you out.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=900))]
    pub window: u64,
}

/// `bedplate init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Where to write.
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    pub directory: PathBuf,

    /// Kamal's destination, when the inventory is made of config/deploy.yml.
    #[arg(short, long, value_name = "NAME")]
    pub destination: Option<String>,

    /// Replace files that are there.
    #[arg(long)]
    pub force: bool,

    /// Write Kamal's hook that asks `bedplate ready` before each deploy too.
    #[arg(long)]
    pub hooks: bool,

    /// Write nothing; only print what Kamal 2 wants changed in its own files, as a diff that `patch -p1` takes.
    #[arg(long, conflicts_with_all = ["force", "hooks"])]
    pub diff: bool,
}

/// `bedplate sandbox`.
#[derive(Debug, Subcommand)]
pub enum Sandbox {
    /// Boot a box.
    Up {
        /// Its name.
        #[arg(default_value = "box1")]
        name: String,
        /// Its release: debian-11, debian-12 or debian-13.
        #[arg(long, default_value = "debian-12")]
        release: String,
    },
    /// List boxes.
    List,
    /// Open a root shell in a box.
    Shell {
        /// Its name.
        #[arg(default_value = "box1")]
        name: String,
    },
    /// Take boxes down, with all that they left.
    Down {
        /// Their names; none: all of them.
        names: Vec<String>,
    },
}

/// `bedplate demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The box's release: debian-11, debian-12 or debian-13.
    #[arg(long, default_value = "debian-12")]
    pub release: String,

    /// Leave the box up at the end.
    #[arg(long)]
    pub keep: bool,
}

/// `bedplate replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The recording; `-` reads standard input.
    pub file: PathBuf,
}

/// `bedplate generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// What to print.
    #[arg(value_enum)]
    pub what: Document,

    /// `man`: write the program's page and one for each command into FOLDER.
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
}

/// A document that is made from the code.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Document {
    /// Reference of playbooks, variables, resources, events and exit codes, in Markdown.
    Reference,
    /// JSON schema of playbooks, for editors.
    PlaybookSchema,
    /// JSON schema of bedplate.toml, for editors.
    InventorySchema,
    /// JSON schema of the event stream.
    EventSchema,
    /// Completions for bash.
    Bash,
    /// Completions for zsh.
    Zsh,
    /// Completions for fish.
    Fish,
    /// The manual page.
    Man,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
