//! The host's name.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Plan, Problems, Resource, edit};
use crate::action::SetHostname;
use crate::base::Diff;
use crate::base::name::AbsPath;
use crate::machine::{Blocked, File, Machine, Question, System};

/// The host's name: as the kernel has it now, in `/etc/hostname` for the next boot, and in `/etc/hosts`, so that the
/// host can look itself up (sudo complains when it can not).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// The name, with or without a domain: `web1` or `web1.example.com`.
    pub name: String,
}

fn path(text: &str) -> Result<AbsPath, Blocked> {
    AbsPath::new(text).map_err(|bad| Blocked::refused(bad.to_string(), "correct the path"))
}

fn asks() -> impl Iterator<Item = Question> {
    let paths = ["/etc/hostname", "/etc/hosts"].into_iter().filter_map(|path| AbsPath::new(path).ok());
    paths.map(|path| File::at(&path).into()).chain([System::Here.into()])
}

impl Hostname {
    /// `/etc/hosts` with a line for the name, if none has it.
    fn hosts(&self, before: &str) -> String {
        let words = |line: &str| {
            let line = line.split('#').next().unwrap_or_default().to_owned();
            line.split_ascii_whitespace().skip(1).any(|word| word == self.name)
        };
        if before.lines().any(words) {
            return before.to_owned();
        }
        let own = match self.name.split_once('.') {
            Some((short, _)) => format!("127.0.1.1\t{} {short}", self.name),
            None => format!("127.0.1.1\t{}", self.name),
        };
        let mut own = Some(own.as_str());
        let mut lines: Vec<&str> = Vec::new();
        for line in before.lines() {
            // Debian's place for the host's own name; an earlier name goes with its line.
            if line.split_ascii_whitespace().next() == Some("127.0.1.1") {
                lines.extend(own.take());
            } else {
                lines.push(line);
            }
        }
        lines.extend(own);
        edit::join(&lines)
    }
}

impl Resource for Hostname {
    const NAME: &'static str = "hostname";
    const EXAMPLE: &'static str = "name = \"web1\"\n";

    fn check(&self, problems: &mut Problems) {
        let label = |label: &str| {
            let legal = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
            (1..=63).contains(&label.len())
                && label.chars().all(legal)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if self.name.len() > 64 || !self.name.split('.').all(label) {
            problems.push("name", "this is not the name of a host", Some("use letters, digits and `-`, at most 64"));
        }
    }

    fn facts(&self) -> Vec<Question> {
        asks().collect()
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let (hostname, hosts) = (path("/etc/hostname")?, path("/etc/hosts")?);
        let mut changes = Vec::new();
        let written = edit::text(machine, &hostname)?.unwrap_or_default();
        if written.trim() != self.name {
            changes.extend(edit::plan(machine, &hostname, format!("{}\n", self.name), "")?.changes);
        }
        let table = edit::text(machine, &hosts)?.unwrap_or_default();
        let wanted = self.hosts(table);
        if wanted != table {
            changes.extend(edit::plan(machine, &hosts, wanted, "")?.changes);
        }
        let found = &machine.get(&System::Here)?.hostname;
        if *found != self.name {
            let diff = Diff::value("host name", found, &self.name);
            changes.push(Change::by(SetHostname { found: found.clone(), wanted: self.name.clone() }).diff(diff));
        }
        Ok(Plan::changes(changes, format!("it is {}", self.name)))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let names = proptest::sample::select(vec!["box", "web1", "web1.example.com"]);
        names.prop_map(|name| Hostname { name: name.into() }).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_gets_one_line() {
        let name = Hostname { name: "web1.example.com".into() };
        let after = name.hosts("127.0.0.1 localhost\n127.0.1.1 old\n::1 ip6-localhost\n127.0.1.1 older\n");
        assert_eq!(after, "127.0.0.1 localhost\n127.0.1.1\tweb1.example.com web1\n::1 ip6-localhost\n");
        assert_eq!(name.hosts(&after), after);
        let beside = "10.0.0.5 web1.example.com # public\n";
        assert_eq!(name.hosts(beside), beside);
    }
}
