//! What `bedplate init` writes: the built-in playbooks and templates, and a first inventory that names every variable
//! with what it is for. As it stands it changes nothing: a run with it does what a run without any file does.

use std::fmt::Write as _;

use super::variable::Variable;
use super::{Playbooks, builtin, write};
use crate::base::Diagnostics;

/// Characters in a line of comment.
const WIDTH: usize = 110;

/// What is known already for the first inventory, as TOML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// Lines below `[defaults]`.
    pub defaults: String,
    /// Tables of hosts and groups.
    pub hosts: String,
    /// Lines below `[variables]`.
    pub variables: String,
}

/// Every file, by its path below the folder: `bedplate.toml` first.
pub fn files() -> Vec<(String, String)> {
    files_with(&Filled::default())
}

/// The same, with what is known already.
pub fn files_with(filled: &Filled) -> Vec<(String, String)> {
    let mut files = vec![("bedplate.toml".to_owned(), inventory(filled))];
    files.extend(builtin::files());
    files
}

/// `bedplate.toml`. What can be set stands behind a `#` without a space.
fn inventory(filled: &Filled) -> String {
    let playbooks = Playbooks::builtin(&mut Diagnostics::new());
    let mut text = HEAD.to_owned();
    for playbook in &playbooks.all {
        let _ = writeln!(text, "    {:<17} # {}", format!("\"{}\",", playbook.stem), playbook.description);
    }
    text.push_str("]\n\n");
    let (head, examples) = HOSTS.split_once(DEFAULTS).unwrap_or((HOSTS, ""));
    for part in [head, DEFAULTS, &filled.defaults, examples] {
        text.push_str(part);
    }
    if !filled.hosts.is_empty() {
        let _ = writeln!(text, "{}", filled.hosts);
    }
    text.push_str(VARIABLES);
    text.push_str(&filled.variables);
    for playbook in &playbooks.all {
        let own: Vec<&Variable> = playbooks.of(playbook).collect();
        if own.is_empty() {
            continue;
        }
        let _ = write!(text, "\n# ---- {}: {} ----\n", playbook.stem, playbook.description);
        own.into_iter().for_each(|variable| text.push_str(&commented(variable)));
    }
    text
}

/// A variable with its documentation and its default, as a comment.
fn commented(variable: &Variable) -> String {
    let mut text = String::from("\n");
    for line in write::wrapped(&variable.doc, WIDTH) {
        let _ = writeln!(text, "# {line}");
    }
    let secret = "{ secret = { env = \"NAME\" } }";
    match &variable.default {
        Some(default) => {
            let value = write::value(default);
            let setting = format!("{} = {value}", variable.name);
            if variable.secret {
                let _ = writeln!(text, "# Never written down here: such as `{} = {secret}`.", variable.name);
            }
            setting.lines().for_each(|line| {
                let _ = writeln!(text, "#{line}");
            });
        }
        None => {
            let _ = writeln!(text, "# It has no default: such as `{} = {}`.", variable.name, variable.sort.example());
        }
    }
    text
}

const HEAD: &str = "\
# The inventory of bedplate: which hosts there are, and what they shall have that is not the default.
#
#     bedplate check     shows what would change on every host named here, and changes nothing
#     bedplate apply     shows the same, does it, and proves it
#
# A line that begins with `#` and no space is an example or a default: take the `#` away and change it.

# What runs, in this order: files of playbooks/, which are yours to edit, or the built-in ones where there is no such
# file. Take a line out to leave one out; name a file of your own to have it run too.
playbooks = [
";

/// The line that what is known of all hosts goes below.
const DEFAULTS: &str = "[defaults]\n";

const HOSTS: &str = r#"# How hosts are logged in to, unless their own settings below say otherwise. What is left out is taken from ~/.ssh/config
# and ssh-agent, as ssh itself does.
[defaults]
#user = "root"
#port = 22
#key = ["~/.ssh/id_ed25519"]
#sudo = true

# A host. Its name is what `bedplate check web1` and reports call it; the address is a name or a number, v4 or v6.
#[hosts.web1]
#address = "203.0.113.5"
#groups = ["web"]

# A host behind another, with a key that is known beforehand: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there
# shows the fingerprint. Without it an unknown key is shown and asked about once.
#[hosts.db1]
#address = "2001:db8::5"
#user = "admin"
#port = 2222
#jump = "web1"
#fingerprint = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#[hosts.db1.variables]
#swap_size = "2G"

# What several hosts share. Of two groups of a host the one named last wins; the host's own settings win over both.
#[groups.web]
#user = "root"
#[groups.web.variables]
#timezone = "Europe/Berlin"

"#;

const VARIABLES: &str = "\
# What all hosts share. Each can also be set for one run: `--set swap_size=2G`, or BEDPLATE_VAR_SWAP_SIZE=2G.
# A table adds to its default key by key; a key set to \"{{ none }}\" is left alone.
[variables]
";
