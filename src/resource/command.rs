//! A command, for what no resource knows.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource};
use crate::action::RunCommand;
use crate::base::name::AbsPath;
use crate::machine::{Blocked, File, Machine, Question, Trial};

/// A command that is run once: until the file is there that it `creates`, or `unless` another command succeeds.
///
/// bedplate does not know what a command does: it is not undone, and what it `changes` is looked at again after it.
/// Prefer a resource wherever there is one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The command, run as root by `sh`.
    pub run: String,
    /// A file or directory that the command makes: when it is there, nothing is run.
    #[serde(default)]
    pub creates: Option<AbsPath>,
    /// A command that only looks, and succeeds when nothing is to be done. It is run at every check, for ten seconds
    /// at most.
    #[serde(default)]
    pub unless: Option<String>,
    /// Files and directories that the command changes besides.
    #[serde(default)]
    pub changes: Vec<AbsPath>,
}

impl Resource for Command {
    const NAME: &'static str = "command";
    const EXAMPLE: &'static str = "run = \"update-ca-certificates\"\nunless = \"test -e /etc/ssl/certs/own.pem\"\n\
        changes = [\"/etc/ssl/certs\"]\n";

    fn check(&self, problems: &mut Problems) {
        if self.run.trim().is_empty() || self.run.contains('\0') {
            problems.push("run", "there is no command", None);
        }
        match (&self.creates, &self.unless) {
            (None, None) => {
                let help = "add `creates` or `unless`: a command that always runs could never be in sync";
                problems.push("", "nothing tells whether the command has been run", Some(help));
            }
            (Some(_), Some(_)) => {
                problems.push("unless", "`creates` tells already", Some("leave one of the two out"));
            }
            _ => {}
        }
    }

    fn facts(&self) -> Vec<Question> {
        let file = self.creates.iter().map(|path| File::secret(path).into());
        let trial = self.unless.iter().map(|command| Trial(command.clone()).into());
        file.chain(trial).collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        if let Some(path) = &self.creates
            && !machine.get(&File::secret(path))?.is_absent()
        {
            return Ok(Plan::in_sync(format!("there is {path}")));
        }
        if let Some(command) = &self.unless
            && *machine.get(&Trial(command.clone()))?
        {
            return Ok(Plan::in_sync(format!("`{command}` succeeds")));
        }
        let action = RunCommand {
            command: self.run.clone(),
            creates: self.creates.clone(),
            unless: self.unless.clone(),
            changes: self.changes.clone(),
        };
        Ok(Plan::changes(vec![Change::by(action)], ""))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        any::<bool>()
            .prop_map(|creates| Command {
                run: "make-it".into(),
                creates: creates.then(|| AbsPath::new("/srv/made").unwrap()),
                unless: (!creates).then(|| "test -e /srv/made".to_owned()),
                changes: Vec::new(),
            })
            .boxed()
    }
}
