//! Files of saved plans (`check --save`, `apply --plan`), as they are read and written.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::Selection;
use super::prepare::{arguments, operator};
use super::{Failed, note};
use crate::base::Exit;
use crate::base::name::HostName;
use crate::engine::jobs::Jobs;
use crate::engine::reviewed::{PLAN_VERSION, SavedPlan, Sheet};

/// A plan that is going to be saved.
pub(super) struct Saving {
    path: PathBuf,
    file: tempfile::NamedTempFile,
    hosts: Vec<HostName>,
    arguments: Vec<String>,
    /// Where the hosts' plans come in.
    pub(super) sheet: Sheet,
}

impl Saving {
    /// Begins the file beside where it will stand; what stands there now stays until the plan is whole. Errors: it can
    /// not be written, before anything is contacted.
    pub(super) fn begin(path: &Path, jobs: &Jobs, selection: &Selection) -> Result<Self, Failed> {
        let failed = |why: String| Failed::input(format!("the plan {} can not be written: {why}", path.display()));
        if path.is_dir() {
            return Err(failed("it is a folder".into()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(error.kind().to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            hosts: jobs.jobs.iter().map(|job| job.target.name.clone()).collect(),
            arguments: arguments(selection, jobs),
            sheet: Sheet::default(),
        })
    }

    /// Writes the plan when every host has one; `exit` is what the check ended with. Errors: it can not be written.
    pub(super) fn finish(mut self, exit: Exit) -> Result<(), Failed> {
        let shown = self.path.display();
        let hosts = self.sheet.hosts(&self.hosts).filter(|_| matches!(exit, Exit::Done | Exit::Drift));
        let Some(hosts) = hosts else {
            note(&format!(
                "\nNo plan was saved in {shown}: only one that could be done on every host is worth a review."
            ));
            return Ok(());
        };
        let operator = operator();
        let plan = SavedPlan {
            v: PLAN_VERSION,
            bedplate: env!("CARGO_PKG_VERSION").to_owned(),
            made: operator.since,
            by: operator.name,
            arguments: std::mem::take(&mut self.arguments),
            hosts,
        };
        let failed = |why: String| Failed::host(format!("the plan {shown} can not be written: {why}"));
        let text = serde_json::to_string_pretty(&plan).map_err(|error| failed(error.to_string()))?;
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(|e| failed(e.to_string()))?;
        self.file.persist(&self.path).map_err(|error| failed(error.error.to_string()))?;
        note(&format!("\nThe plan is saved in {shown}: an apply that is given it does this or nothing."));
        Ok(())
    }
}

/// Reads the plan at `path` and holds it against `jobs`. Errors: it can not be read, or is not about them any more.
pub(super) fn read(path: &Path, jobs: &Jobs, selection: &Selection) -> Result<Arc<SavedPlan>, Failed> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::input(format!("the plan {shown} can not be read: {error}")))?;
    let plan = SavedPlan::read(&text).map_err(|why| {
        Failed::input(format!("{shown} is no saved plan: {why}")).help("save one with `bedplate check --save FILE`")
    })?;
    let narrowed = !selection.hosts.is_empty() || !selection.limit.is_empty();
    match plan.fits(&jobs.jobs, env!("CARGO_PKG_VERSION"), narrowed) {
        Ok(()) => Ok(Arc::new(plan)),
        Err(misfit) => {
            let what = format!("the plan {shown} does not fit any more: {}", misfit.what);
            Err(Failed::input(what).help(misfit.help))
        }
    }
}
