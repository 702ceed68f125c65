//! The developers' log (`--log FILE`): spans and events of `tracing`, never the user's messages.

use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::Failed;

/// Begins the log. russh stays at warnings: its debug lines hold parts of keys.
pub(super) fn start(file: Option<&Path>) -> Result<(), Failed> {
    let Some(path) = file else { return Ok(()) };
    let log = std::fs::File::create(path)
        .map_err(|error| Failed::input(format!("the log {} can not be written: {error}", path.display())))?;
    let asked = std::env::var("BEDPLATE_LOG").unwrap_or_else(|_| "bedplate=debug,russh=warn".to_owned());
    let filter =
        EnvFilter::try_new(&asked).map_err(|error| Failed::input(format!("BEDPLATE_LOG is not a filter: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Arc::new(log))
        .try_init()
        .map_err(|error| Failed::host(format!("the log can not be begun: {error}")))
}
