//! The arguments of `bedplate backup` and `bedplate restore`.

use std::path::PathBuf;

use clap::Args;

use super::{Login, Selection};

/// `bedplate backup`.
///
/// The data of a host as a folder of archives: named volumes, folders of containers, certificates. The app goes on
/// meanwhile; databases of SQLite are taken by SQLite itself. Each archive is read back here and compared with the host,
/// file by file, before the folder gets its name.
#[derive(Debug, Args)]
pub struct Backup {
    /// The host.
    #[command(flatten)]
    pub selection: Selection,

    /// The folder that the backup's own folder is made in, named after the host and the time.
    #[arg(long, value_name = "DIR", required_unless_present = "start")]
    pub to: Option<PathBuf>,

    /// Keep this many backups of the host in that folder, and remove older ones when the new one is proved.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub keep: Option<u16>,

    /// Stop the containers for as long as it takes, so that all of it is of one moment. They are started again whatever
    /// happens.
    #[arg(long)]
    pub stop: bool,

    /// Show what would be taken, and whether there is room for it; changes nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Only start what a backup or a restore that was cut off has left stopped.
    #[arg(long, conflicts_with_all = ["stop", "dry_run", "keep"])]
    pub start: bool,

    /// Take this volume or path too. May be given more than once, or with commas.
    #[arg(long, value_name = "VOLUME|PATH", value_delimiter = ',')]
    pub also: Vec<String>,

    /// Leave this volume or path out.
    #[arg(long, value_name = "VOLUME|PATH", value_delimiter = ',')]
    pub skip: Vec<String>,

    /// Run this as root on the host first, such as a dump into a path that `--also` names; with `--stop` when the app has
    /// stopped and databases still run.
    #[arg(long, value_name = "COMMAND")]
    pub dump: Option<String>,

    /// Seconds that containers have to end by themselves before they are killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub stop_timeout: u32,
}

/// `bedplate restore`.
///
/// The backup is read through and proved before anything is contacted. It is unpacked beside the data that is there,
/// proved again, and exchanged with it while containers that use it stand still. A cut before that leaves all as it was.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup: a folder that `bedplate backup` has made.
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,

    /// The host: `user@address[:port]`, or a name of the inventory.
    #[arg(long, value_name = "HOST")]
    pub to: String,

    /// The inventory [default: bedplate.toml, or else Kamal's config/deploy.yml, if there is one].
    #[arg(short, long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,

    /// How the host is logged in to.
    #[command(flatten)]
    pub login: Login,

    /// Only this volume or path of the backup. May be given more than once, or with commas.
    #[arg(long, value_name = "VOLUME|PATH", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Exchange data that is there already. It is kept beside, under a name that ends in `.bedplate-before-` and the time.
    #[arg(long)]
    pub overwrite: bool,

    /// Remove what was there when all is done.
    #[arg(long, requires = "overwrite")]
    pub remove_old: bool,

    /// Prove the backup and show what would go where; changes nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Seconds that containers have to end by themselves before they are killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub stop_timeout: u32,
}

impl Selection {
    /// One host alone, with nothing chosen besides.
    pub(in crate::cli) fn of_host(host: &str, inventory: Option<PathBuf>, login: Login) -> Self {
        Self {
            hosts: vec![host.to_owned()],
            successor: None,
            inventory,
            destination: None,
            limit: Vec::new(),
            shard: None,
            tags: Vec::new(),
            skip_tags: Vec::new(),
            set: Vec::new(),
            login,
            parallel: 1,
            show_script: false,
        }
    }
}
