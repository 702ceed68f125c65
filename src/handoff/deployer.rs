//! The deployer's command: which one it is, and its run, with nothing of ours in its environment. What it does is its own
//! affair.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where an app keeps its own Kamal.
const OWN: &str = "bin/kamal";

/// A program that deploys, found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployer {
    program: PathBuf,
    words: Words,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Words {
    /// The operator's own; the program's name as it was typed.
    Given { name: String, rest: Vec<String> },
    /// `setup` or `deploy`, as the hosts have it.
    Kamal { destination: Option<String> },
}

/// Why there is no deployer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoDeployer {
    /// There is no Kamal.
    #[error("there is no bin/kamal here, and no kamal on the PATH")]
    NoKamal,
    /// There is no such program.
    #[error("there is no program {0}")]
    NoProgram(String),
}

impl Deployer {
    /// The program that `words` name, or else Kamal: the app's own before the one on `path`. `folder` is the app's.
    /// Errors: it is not there.
    pub fn find(
        words: &[String],
        folder: &Path,
        destination: Option<&str>,
        path: Option<&OsStr>,
    ) -> Result<Self, NoDeployer> {
        let on_path = |name: &str| {
            let folders = path.into_iter().flat_map(std::env::split_paths);
            folders.map(|folder| folder.join(name)).find(|program| runs(program))
        };
        match words.split_first() {
            Some((name, rest)) => {
                let own = name.contains('/').then(|| folder.join(name)).filter(|program| runs(program));
                let program = if name.contains('/') { own } else { on_path(name) };
                let program = program.ok_or_else(|| NoDeployer::NoProgram(name.clone()))?;
                Ok(Self { program, words: Words::Given { name: name.clone(), rest: rest.to_vec() } })
            }
            None => {
                let own = Some(folder.join(OWN)).filter(|program| runs(program));
                let program = own.or_else(|| on_path("kamal")).ok_or(NoDeployer::NoKamal)?;
                Ok(Self { program, words: Words::Kamal { destination: destination.map(str::to_owned) } })
            }
        }
    }

    /// What is run, where the app is `deployed` already or not.
    pub fn words(&self, deployed: bool) -> Vec<String> {
        match &self.words {
            Words::Given { rest, .. } => rest.clone(),
            Words::Kamal { destination } => {
                let verb = if deployed { "deploy" } else { "setup" };
                let destination = destination.iter().flat_map(|name| ["--destination".to_owned(), name.clone()]);
                std::iter::once(verb.to_owned()).chain(destination).collect()
            }
        }
    }

    /// The command as it would be typed.
    pub fn line(&self, deployed: bool) -> String {
        let program = match &self.words {
            Words::Given { name, .. } => name.clone(),
            Words::Kamal { .. } => "kamal".to_owned(),
        };
        std::iter::once(program).chain(self.words(deployed)).collect::<Vec<_>>().join(" ")
    }

    /// Runs it in `folder` on this process's terminal, and gives what it ended with; of one that a signal ended, 128 and
    /// the signal's number, as shells have it. `quiet`: standard output is somebody else's, and its own goes to the
    /// error output. Errors: what the system says when it can not be started.
    pub async fn run(&self, folder: &Path, deployed: bool, quiet: bool) -> std::io::Result<u8> {
        let mut command = tokio::process::Command::new(std::path::absolute(&self.program)?);
        command.args(self.words(deployed)).current_dir(folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BEDPLATE_") {
                command.env_remove(name);
            }
        }
        if quiet {
            command.stdout(Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?));
        }
        let status = command.status().await?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(u8::try_from(code).unwrap_or(1))
    }
}

fn runs(program: &Path) -> bool {
    std::fs::metadata(program).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str, mode: u32) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_app_s_own_kamal_comes_first() {
        let (app, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = Some(elsewhere.path().as_os_str());
        let find = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Deployer::find(&words, app.path(), Some("staging"), path)
        };
        assert_eq!(find(&[]), Err(NoDeployer::NoKamal));
        program(elsewhere.path(), "kamal", 0o755);
        assert_eq!(find(&[]).unwrap().program, elsewhere.path().join("kamal"));
        program(app.path(), OWN, 0o644);
        assert_eq!(find(&[]).unwrap().program, elsewhere.path().join("kamal"), "one that can not be run was taken");
        program(app.path(), OWN, 0o755);
        let own = find(&[]).unwrap();
        assert_eq!(own.program, app.path().join(OWN));
        assert_eq!(own.line(false), "kamal setup --destination staging");
        assert_eq!(own.words(true), ["deploy", "--destination", "staging"]);
        assert_eq!(find(&["./deploy.sh"]), Err(NoDeployer::NoProgram("./deploy.sh".into())));
        program(app.path(), "deploy.sh", 0o755);
        let given = find(&["./deploy.sh", "now"]).unwrap();
        assert_eq!((given.words(true), given.line(true).as_str()), (vec!["now".to_owned()], "./deploy.sh now"));
    }
}
