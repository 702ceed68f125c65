//! A file whose content is a template. It is rendered before it gets here: a resource reads no files. From then on it
//! is a `file` and planned as one.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::{Mode, Presence};
use super::file::File;
use super::{Plan, Problems, Resource};
use crate::base::name::AbsPath;
use crate::machine::{Blocked, Machine, Question};

/// A file whose content is made from a template with the playbooks' variables.
///
/// The template is rendered before any host is contacted, so that a mistake in it is told first; one that reads
/// `facts` is tried on sample hosts before. Content that reads a secret is never shown.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Where the file is.
    pub path: AbsPath,
    /// File name of the template: in `templates/` beside bedplate.toml, or a built-in one.
    #[serde(default)]
    pub template: Option<String>,
    /// The template itself, in place of a file.
    #[serde(default)]
    pub content: Option<String>,
    /// Permissions in octal.
    #[serde(default)]
    pub mode: Mode,
    /// Owner: a name or a number.
    #[serde(default = "root")]
    pub owner: String,
    /// Group: a name or a number.
    #[serde(default = "root")]
    pub group: String,
    /// Whether the content must not be shown in plans, logs and reports.
    #[serde(default)]
    pub secret: bool,
    /// Whether the file should be there.
    #[serde(default)]
    pub state: Presence,
}

fn root() -> String {
    "root".into()
}

impl Template {
    fn file(&self) -> File {
        File {
            path: self.path.clone(),
            content: self.content.clone().filter(|_| self.state == Presence::Present),
            mode: self.mode,
            owner: self.owner.clone(),
            group: self.group.clone(),
            secret: self.secret,
            state: self.state,
        }
    }
}

impl Resource for Template {
    const NAME: &'static str = "template";
    const EXAMPLE: &'static str = "path = \"/etc/motd\"\ncontent = \"This is {{ host.name }}.\\n\"\n";

    fn check(&self, problems: &mut Problems) {
        if self.state == Presence::Present && self.content.is_none() {
            problems.push("", "a template needs `template` or `content`", Some("name a file of `templates/`"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        self.file().facts()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        self.file().plan(machine)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::strategy::Strategy;
        File::any()
            .prop_map(|file| Template {
                path: file.path,
                template: None,
                content: file.content,
                mode: file.mode,
                owner: file.owner,
                group: file.group,
                secret: file.secret,
                state: file.state,
            })
            .boxed()
    }
}
