//! Texts to tasks, and mistakes to what is drawn of them.

use super::*;
use crate::base::{Diagnostics, Source};
use crate::inventory;
use crate::playbook::{Memory, Playbooks, Settings};

/// What came of a run on these files: the tasks of each host, and all that was told.
struct Made {
    hosts: Vec<HostTasks>,
    found: Diagnostics,
}

impl Made {
    fn drawn(&self) -> String {
        self.found.render(false)
    }

    fn tasks(self) -> Vec<Task> {
        assert!(self.found.is_empty(), "{}", self.drawn());
        self.hosts.into_iter().next().expect("a host").tasks
    }
}

fn made(local: &Memory, settings: &Settings) -> Made {
    let mut found = Diagnostics::new();
    let text = local.files.get("bedplate.toml").cloned().unwrap_or_else(|| "[hosts.web1]\naddress = \"::1\"\n".into());
    let inventory = inventory::read(&Source::new("bedplate.toml", text), &mut found);
    let playbooks = Playbooks::load(local, &inventory.choice(), &mut found);
    let hosts = inventory::select(Some(&inventory), &[], &[], &mut found);
    let hosts = compile(&playbooks, &hosts, settings, local, &mut found);
    Made { hosts, found }
}

fn set(text: &str, arguments: &[&str]) -> Made {
    let settings = Settings { set: arguments.iter().map(|a| (*a).to_owned()).collect(), ..Settings::default() };
    made(&Memory::of([("playbooks/10-test.toml", text)]), &settings)
}

fn shown(task: &Task) -> String {
    match &task.declaration {
        Declaration::Ready(declared) => format!("{declared:?}"),
        Declaration::Late(late) => format!("{late:?}"),
    }
}

const MOTD: &str = "
[variables.greeting]
type = \"string\"
default = \"hello\"
doc = \"What is said.\"

[[task]]
name = \"motd\"
[task.file]
path = \"/etc/motd\"
content = \"{{ greeting }}\"
";

#[test]
fn the_built_in_playbooks_are_right_for_a_bare_host() {
    let mut found = Diagnostics::new();
    let playbooks = Playbooks::builtin(&mut found);
    let hosts = inventory::select(None, &["root@203.0.113.5".into()], &[], &mut found);
    let hosts = compile(&playbooks, &hosts, &Settings::default(), &Memory::default(), &mut found);
    assert!(found.is_empty(), "{}", found.render(false));
    assert!(hosts[0].tasks.len() > 3);
}

#[test]
fn a_value_can_not_change_structure() {
    for value in ["\"\nmode = \"0777", "{{ greeting }}", "'''", "\\", "a\"b", "{% if %}", "]\n[[task]]", "\u{1b}[0m"] {
        let tasks = set(MOTD, &[&format!("greeting={value}")]).tasks();
        assert_eq!(tasks.len(), 1);
        assert!(shown(&tasks[0]).contains(&format!("content: Some({value:?})")), "{}", shown(&tasks[0]));
        assert!(shown(&tasks[0]).contains("mode: Mode(420)"));
    }
}
