//! The arguments of `bedplate migrate`.

use clap::Args;

use super::Selection;

/// `bedplate migrate`.
///
/// The old host is named like any host, the new one behind `--to`. The old host's data is only read; its containers are
/// stopped for the last copy, started again when anything fails, and left as they are, stopped, when all went well. Run it
/// again to go on after a failure. It ends with the deployer's own number once that has been run and has failed.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The old host, and the tasks for the new one.
    #[command(flatten)]
    pub selection: Selection,

    /// The new host: `user@address[:port]`, or a name of the inventory.
    #[arg(long, value_name = "HOST")]
    pub to: String,

    /// Show what would be done and whether it can be; changes nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Prepare the new host and copy, without stopping anything: tells how long the app will be away.
    #[arg(long, conflicts_with = "dry_run")]
    pub rehearse: bool,

    /// Put the old host back in service: the app stops on the new host and starts on the old one, with the old one's data.
    #[arg(long, conflicts_with_all = ["dry_run", "rehearse"])]
    pub abort: bool,

    /// Do not ask, neither before the new host is changed nor before the app is stopped.
    #[arg(short, long)]
    pub yes: bool,

    /// Copy through this machine, for hosts that can not reach each other.
    #[arg(long)]
    pub via_here: bool,

    /// Copy at most this much in a second, such as `20m`.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bandwidth: Option<String>,

    /// Do not compress what is copied. It is compressed only where the line is slow enough for that to pay.
    #[arg(long)]
    pub no_compress: bool,

    /// Move this volume or path too. May be given more than once, or with commas.
    #[arg(long, value_name = "VOLUME|PATH", value_delimiter = ',')]
    pub also: Vec<String>,

    /// Leave this volume or path behind.
    #[arg(long, value_name = "VOLUME|PATH", value_delimiter = ',')]
    pub skip: Vec<String>,

    /// Stop by this command, run as root on the old host, what writes without being a container; containers are stopped too.
    /// While it runs it stands in that host's list of processes, so keep passwords in files.
    #[arg(long, value_name = "COMMAND", requires = "thaw")]
    pub freeze: Option<String>,

    /// The command that takes `--freeze` back.
    #[arg(long, value_name = "COMMAND", requires = "freeze")]
    pub thaw: Option<String>,

    /// Run this as root on the old host when the app has stopped and databases still run, such as a dump into a folder that
    /// `--also` names and that is there already. Whoever is logged in there can read it while it runs.
    #[arg(long, value_name = "COMMAND", conflicts_with = "freeze")]
    pub dump: Option<String>,

    /// Seconds that containers have to end by themselves before they are killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub stop_timeout: u32,

    /// Seconds that the old host waits, once it has lost this machine in the middle of the last copy, before it starts
    /// everything again by itself.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=3600))]
    pub thaw_after: u64,

    /// Replace data that is on the new host already.
    #[arg(long)]
    pub overwrite: bool,

    /// Hand on to the new host what still comes to the old one, until you delete it: nobody with an old DNS answer meets an
    /// error.
    #[arg(long)]
    pub forward: bool,

    /// Minutes to watch the DNS until it leads to the new host; 0 does not watch.
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    pub watch: u64,

    /// Seconds that the new host waits for a new login before it takes back a change that could lock you out.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=900))]
    pub window: u64,

    /// Another deployer than Kamal, run in the app's folder.
    #[arg(last = true, value_name = "COMMAND")]
    pub deployer: Vec<String>,
}

/// A rate as rsync takes it. Errors: it is none.
fn rate(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let sound = text.len() - digits.len() <= 1 && digits.parse::<u32>().is_ok_and(|number| number > 0);
    if sound {
        Ok(text.to_owned())
    } else {
        Err("write a number of kilobytes, or one with m or g behind it".to_owned())
    }
}
