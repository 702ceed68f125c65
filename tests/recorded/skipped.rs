//! Each built-in playbook left out: the others still make sense on a bare host.

use bedplate::base::Diagnostics;
use bedplate::inventory;
use bedplate::plan::{self, Task};
use bedplate::playbook::{Memory, Playbooks, Settings};

use super::{by_hand, recorded};

fn tasks_without(name: &str) -> Vec<Task> {
    let mut found = Diagnostics::new();
    let playbooks = Playbooks::builtin(&mut found);
    let hosts = inventory::select(None, &["root@203.0.113.5".into()], &[], &mut found);
    let settings = Settings { skip_tags: vec![name.to_owned()], ..Settings::default() };
    let hosts = plan::compile(&playbooks, &hosts, &settings, &Memory::default(), &mut found);
    assert!(found.is_empty(), "{}", found.render(false));
    hosts.into_iter().next().expect("a host").tasks
}

#[test]
fn no_playbook_needs_another() {
    let names: Vec<String> =
        Playbooks::builtin(&mut Diagnostics::new()).all.into_iter().map(|playbook| playbook.name).collect();
    assert!(names.len() > 5);
    let mut wrong = Vec::new();
    for release in ["debian-11", "debian-12", "debian-13"] {
        let machine = by_hand::machine_of_its_own(recorded(release));
        for name in &names {
            let tasks = tasks_without(name);
            let plan = plan::plan(&tasks, &machine);
            let place = format!("{release} without {name}");
            wrong.extend(plan.refused().map(|task| format!("{place}: {}: {}", task.shown.name, task.shown.why)));
            wrong.extend(plan.put_off().map(|task| format!("{place}: {} is known later", task.shown.name)));
            wrong.extend(plan.needs.iter().map(|question| format!("{place}: {question:?} is not recorded")));
            wrong.extend(plan::fold::fights(&tasks, &plan).into_iter().map(|fight| format!("{place}: {fight:?}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
