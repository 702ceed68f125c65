//! The built-in playbooks as tasks, with the variables of a few sensible users.

use bedplate::base::Diagnostics;
use bedplate::inventory;
use bedplate::plan::{self, Task};
use bedplate::playbook::{Memory, Playbooks, Settings};

/// Users by name, each with what they set.
pub(crate) const USERS: [(&str, &[&str]); 4] = [
    ("nothing is set", &[]),
    ("the distribution's Docker", &["docker_source=distribution"]),
    (
        "an administrator, root shut out",
        &["admin_user=alice", "root_login=no", "hostname=web1", "timezone=Europe/Berlin", "ssh_port=2222"],
    ),
    ("root deploys, without a firewall", &["deploy_user=root", "firewall=false", "swap_size=0", "docker_network="]),
];

/// The tasks of the built-in playbooks for a host without an inventory.
pub(crate) fn tasks(set: &[&str]) -> Vec<Task> {
    let mut found = Diagnostics::new();
    let playbooks = Playbooks::builtin(&mut found);
    let hosts = inventory::select(None, &["root@203.0.113.5".into()], &[], &mut found);
    let settings = Settings { set: set.iter().map(|a| (*a).to_owned()).collect(), ..Settings::default() };
    let hosts = plan::compile(&playbooks, &hosts, &settings, &Memory::default(), &mut found);
    assert!(found.is_empty(), "{}", found.render(false));
    hosts.into_iter().next().expect("a host").tasks
}
