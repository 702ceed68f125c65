//! Texts to tasks, and mistakes to what is drawn of them.

use super::*;
use crate::base::event::Verdict;
use crate::base::{Diagnostics, Source};
use crate::inventory;
use crate::machine::SystemState;
use crate::playbook::{Memory, Playbooks, Settings, facts};

mod drift;
mod mistakes;
mod rubbish;
mod schema;

/// What came of a run on these files: the tasks of each host, and all that was told.
struct Made {
    hosts: Vec<HostTasks>,
    found: Diagnostics,
}

impl Made {
    fn drawn(&self) -> String {
        self.found.render(false)
    }

    fn messages(&self) -> Vec<String> {
        self.found.iter().map(|wrong| wrong.message.clone()).collect()
    }

    fn tasks(self) -> Vec<Task> {
        assert!(self.found.is_empty(), "{}", self.drawn());
        self.hosts.into_iter().next().expect("a host").tasks
    }
}

fn made(local: &Memory, settings: &Settings) -> Made {
    made_on(local, settings, &[], &[])
}

fn made_on(local: &Memory, settings: &Settings, targets: &[String], limit: &[String]) -> Made {
    let mut found = Diagnostics::new();
    let text = local.files.get("bedplate.toml").cloned().unwrap_or_else(|| ONE_HOST.into());
    let inventory = inventory::read(&Source::new("bedplate.toml", text), &mut found);
    let playbooks = Playbooks::load(local, &inventory.choice(), &mut found);
    let hosts = inventory::select(Some(&inventory), targets, limit, &mut found);
    let hosts = compile(&playbooks, &hosts, settings, local, &mut found);
    Made { hosts, found }
}

const ONE_HOST: &str = "playbooks = [\"10-test\"]\n[hosts.web1]\naddress = \"::1\"\n";

fn playbook(text: &str) -> Made {
    made(&Memory::of([("playbooks/10-test.toml", text)]), &Settings::default())
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

fn on(system: &SystemState) -> Machine {
    let mut machine = Machine::default();
    machine.set(crate::machine::System::Here, system.clone());
    machine
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

#[test]
fn the_nearest_setting_of_a_variable_counts() {
    let inventory = |part: &str| {
        let text = "playbooks = [\"10-test\"]\n[variables]\ngreeting = \"all\"\n[groups.a.variables]\ngreeting = \"a\"\n\
                    [groups.b.variables]\ngreeting = \"b\"\n[hosts.web1]\naddress = \"::1\"\n";
        format!("{text}{part}")
    };
    let grouped = "groups = [\"a\", \"b\"]\n";
    let own = format!("{grouped}[hosts.web1.variables]\ngreeting = \"{{{{ host.name }}}}\"\n");
    let env = [("BEDPLATE_VAR_GREETING".to_owned(), "env".to_owned())];
    let set = vec!["greeting=first".to_owned(), "greeting=set".to_owned()];
    for (part, settings, wanted) in [
        ("", Settings::default(), "all"),
        (grouped, Settings::default(), "b"),
        (own.as_str(), Settings::default(), "web1"),
        (own.as_str(), Settings { env: env.clone().into(), ..Settings::default() }, "env"),
        (own.as_str(), Settings { env: env.clone().into(), set, ..Settings::default() }, "set"),
    ] {
        let files = Memory::of([("bedplate.toml", inventory(part)), ("playbooks/10-test.toml", MOTD.to_owned())]);
        let tasks = made(&files, &settings).tasks();
        assert!(shown(&tasks[0]).contains(&format!("content: Some({wanted:?})")), "{wanted}: {}", shown(&tasks[0]));
    }
}

#[test]
fn a_mistake_in_a_playbook_is_told_once_for_all_hosts() {
    let inventory = "playbooks = [\"10-test\"]\n[hosts.a]\naddress = \"::1\"\n[hosts.b]\naddress = \"::2\"\n";
    let text = MOTD.replace("/etc/motd", "etc/motd");
    let files = Memory::of([("bedplate.toml", inventory.to_owned()), ("playbooks/10-test.toml", text)]);
    assert_eq!(made(&files, &Settings::default()).messages(), ["`etc/motd` is not an absolute path"]);
}

#[test]
fn what_reads_facts_is_decided_by_the_host() {
    let text = format!(
        "{MOTD}\n[[task]]\nname = \"old\"\nwhen = \"facts.major < 12\"\n[task.packages]\n\
        install = [\"for-{{{{ facts.codename }}}}\"]\n"
    );
    let tasks = playbook(&text).tasks();
    let when = tasks[1].when.as_ref().expect("a condition");
    assert_eq!(when.text(), "facts.major < 12");
    let mut held = Vec::new();
    for sample in facts::samples() {
        let machine = on(&sample);
        let Declaration::Late(late) = &tasks[1].declaration else { panic!("{:?}", tasks[1]) };
        let declared = late.resolve(&machine).expect("a declaration");
        assert!(format!("{declared:?}").contains(&format!("for-{}", sample.codename)), "{declared:?}");
        held.extend(when.holds(&machine).expect("an answer").then_some(sample.codename));
    }
    assert_eq!(held, ["bullseye"]);
    assert!(matches!(when.holds(&Machine::default()), Err(Blocked::NotAsked(_))));
}

#[test]
fn a_condition_over_variables_alone_is_decided_at_once() {
    let text = MOTD.replace("name = \"motd\"", "name = \"motd\"\nwhen = \"greeting == ''\"");
    let tasks = playbook(&text).tasks();
    let planned = plan(&tasks, &Machine::default());
    assert_eq!(planned.tasks[0].shown.verdict, Verdict::Skipped);
    assert_eq!(planned.tasks[0].shown.why, "`greeting == ''` does not hold here");
}

fn names(made: &Made) -> Vec<String> {
    let mut names: Vec<String> = made.hosts[0].tasks.iter().map(|task| task.playbook.clone()).collect();
    names.dedup();
    names
}

const OWN_HOST: &str = "[hosts.web1]\naddress = \"::1\"\n";

#[test]
fn a_file_takes_the_place_of_the_built_in_playbook_of_its_name() {
    let all = names(&made(&Memory::of([("bedplate.toml", OWN_HOST)]), &Settings::default()));
    let own = "[[task]]\nname = \"own\"\n[task.group]\nname = \"own\"\n";
    let replaced = made(
        &Memory::of([("bedplate.toml", OWN_HOST), ("playbooks/25-swap.toml", own), ("playbooks/35-mine.toml", own)]),
        &Settings::default(),
    );
    assert!(replaced.found.is_empty(), "{}", replaced.drawn());
    let mut wanted = all.clone();
    wanted.insert(wanted.iter().position(|name| name == "deploy-user").expect("a playbook"), "mine".into());
    assert_eq!(names(&replaced), wanted);
    let of_swap: Vec<&str> =
        replaced.hosts[0].tasks.iter().filter(|task| task.playbook == "swap").map(|task| task.place.as_str()).collect();
    assert_eq!(of_swap, ["playbooks/25-swap.toml:1"]);
}

#[test]
fn each_built_in_playbook_can_be_skipped_replaced_or_left_out() {
    let files = Memory::of([("bedplate.toml", OWN_HOST)]);
    let all = made(&files, &Settings::default());
    let playbooks: Vec<(String, String)> = crate::playbook::builtin::playbooks()
        .iter()
        .map(|(stem, _)| (stem.clone(), crate::playbook::reader::name_of(stem)))
        .collect();
    assert_eq!(names(&all), playbooks.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>());
    for (stem, name) in &playbooks {
        let rest: Vec<String> = playbooks.iter().map(|(_, name)| name.clone()).filter(|other| other != name).collect();
        for tag in [stem, name] {
            let skipped = made(&files, &Settings { skip_tags: vec![tag.clone()], ..Settings::default() });
            assert!(skipped.found.is_empty(), "{}", skipped.drawn());
            assert_eq!(names(&skipped), rest);
        }
        let empty = Memory::of([("bedplate.toml", OWN_HOST), (&format!("playbooks/{stem}.toml"), "")]);
        let replaced = made(&empty, &Settings::default());
        assert!(replaced.found.is_empty(), "{}", replaced.drawn());
        assert_eq!(names(&replaced), rest);
        let inventory = format!("playbooks = {rest:?}\n{OWN_HOST}");
        let left_out = made(&Memory::of([("bedplate.toml", inventory)]), &Settings::default());
        assert!(left_out.found.is_empty(), "{}", left_out.drawn());
        assert_eq!(names(&left_out), rest);
    }
}

#[test]
fn a_secret_is_in_what_is_written_and_nowhere_else() {
    let text = "[variables.token]\ntype = \"string\"\ndefault = { secret = { command = [\"pass\", \"token\"] } }\ndoc = \"T.\"\n\
        [[task]]\nname = \"token\"\n[task.file]\npath = \"/etc/token\"\ncontent = \"token={{ token }}\"\n";
    let mut files = Memory::of([("playbooks/10-test.toml", text)]);
    files.commands.insert("pass token".into(), "s3cr3t-t0ken\n".into());
    let made = made(&files, &Settings::default());
    assert!(made.found.is_empty(), "{}", made.drawn());
    let tasks = &made.hosts[0].tasks;
    assert!(shown(&tasks[0]).contains("secret: true"), "{}", shown(&tasks[0]));
    assert_eq!(made.hosts[0].secrets.redact("token=s3cr3t-t0ken"), "token=[secret]");
    files.commands.insert("pass token".into(), "an0ther-t0ken\n".into());
    let other = super::tests::made(&files, &Settings::default());
    assert_eq!(made.hosts[0].digest, other.hosts[0].digest, "the digest of the tasks must not depend on a secret");
}

/// The tasks of one host with `inventory` and `files`, as they would be shown.
fn tasks_with(files: &Memory) -> (Vec<String>, String) {
    let mut found = Diagnostics::new();
    let text = files.files.get("bedplate.toml");
    let inventory = text.map(|text| inventory::read(&Source::new("bedplate.toml", text.as_str()), &mut found));
    let choice = inventory.as_ref().map_or(crate::playbook::Choice::Builtin, inventory::Inventory::choice);
    let playbooks = Playbooks::load(files, &choice, &mut found);
    let hosts = inventory::select(inventory.as_ref(), &["root@203.0.113.9".into()], &[], &mut found);
    let mut hosts = compile(&playbooks, &hosts, &Settings::default(), files, &mut found);
    assert!(found.is_empty(), "{}", found.render(false));
    let host = hosts.remove(0);
    let tasks = host.tasks.iter().map(|task| format!("{} {} {}", task.playbook, task.name, shown(task)));
    (tasks.collect(), format!("{:?}", host.digest))
}

#[test]
fn what_init_writes_is_what_happens_without_any_file() {
    let files = Memory::of(crate::playbook::starter::files());
    assert!(files.files.contains_key("playbooks/20-swap.toml"));
    assert_eq!(tasks_with(&files), tasks_with(&Memory::default()));
}

/// An inventory as it is written, with all that stands in comments as a setting.
fn taken_in(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') || rest.starts_with("    ") && rest.ends_with(',') => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn every_line_that_init_comments_out_can_be_taken_in() {
    let mut files = Memory::of(crate::playbook::starter::files());
    let text = files.files.get_mut("bedplate.toml").expect("the inventory");
    *text = taken_in(text);
    assert_eq!(tasks_with(&files), tasks_with(&Memory::default()));
    let mut found = Diagnostics::new();
    let inventory = inventory::read(&Source::new("bedplate.toml", files.files["bedplate.toml"].as_str()), &mut found);
    assert!(found.is_empty(), "{}", found.render(false));
    let of_db1 = &inventory.hosts[1];
    assert_eq!((of_db1.name.as_str(), of_db1.jump.as_deref()), ("db1", Some("root@203.0.113.5:22")));
    let given: Vec<&str> = inventory.variables.iter().map(|given| given.name.as_str()).collect();
    let declared = Playbooks::builtin(&mut found).variables;
    assert_eq!(given.len(), declared.len(), "every variable stands in the file");
}

#[test]
fn a_table_adds_to_its_default_key_by_key() {
    let text = "[variables.settings]\ntype = \"table\"\ndefault = { a = 1, b = 2, c = 3 }\ndoc = \"S.\"\n\n\
        [[task]]\nname = \"settings\"\n[task.file]\npath = \"/etc/s\"\ncontent = \"{{ settings | tojson }}\"\n";
    let inventory = "playbooks = [\"10-test\"]\n[variables]\nsettings = { b = 5, c = \"{{ none }}\", d = \"{{ 2 + 2 }}\" }\n\
        [hosts.web1]\naddress = \"::1\"\n";
    let files = Memory::of([("bedplate.toml", inventory), ("playbooks/10-test.toml", text)]);
    let set = |text: &str| Settings { set: vec![format!("settings={text}")], ..Settings::default() };
    for (settings, wanted) in
        [(Settings::default(), r#"{"a": 1, "b": 5, "d": 4}"#), (set("{ a = 9 }"), r#"{"a": 9, "b": 5, "d": 4}"#)]
    {
        let tasks = made(&files, &settings).tasks();
        assert!(shown(&tasks[0]).contains(&format!("{wanted:?}")), "{}", shown(&tasks[0]));
    }
}

#[test]
fn every_setting_is_told_with_its_value_and_its_reason() {
    let inventory = "[variables]\nswap_size = \"2G\"\nadmin_password = { secret = { command = [\"pass\"] } }\n\
        [hosts.web1]\naddress = \"::1\"\n[hosts.web1.variables]\nkernel_settings = { \"kernel.sysrq\" = 1, \"vm.x\" = 5 }\n";
    let set = Settings { set: vec!["ssh_port=2222".into()], ..Settings::default() };
    let mut files = Memory::of([("bedplate.toml", inventory)]);
    files.commands.insert("pass".into(), "$6$salt$hash".into());
    let made = made(&files, &set);
    assert!(made.found.is_empty(), "{}", made.drawn());
    let settings = &made.hosts[0].settings;
    let row = |name: &str| {
        let row = settings.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}"));
        (row.value.as_str(), row.reason.as_str(), row.source.as_str())
    };
    let (value, reason, source) = row("swap_size");
    assert_eq!((value, source), ("2G", "bedplate.toml:2"));
    assert!(reason.starts_with("Size of the swap file"), "{reason}");
    assert_eq!(row("ssh_port").0, "2222");
    assert_eq!(row("ssh_port").2, "--set");
    assert_eq!(row("admin_password").0, "secret");
    let sysrq = "No magic keys at the provider's console; root still has /proc/sysrq-trigger.";
    assert_eq!(row("kernel.sysrq"), ("1", sysrq, "kernel_settings, bedplate.toml:7"));
    assert_eq!(row("kernel.kptr_restrict").1, row("kernel.dmesg_restrict").1, "one comment for two keys");
    assert_eq!(row("kernel.panic").2, "kernel_settings, default of 70-kernel");
    assert_eq!(row("firewall").0, "true");
    assert!(settings.iter().all(|row| !row.reason.is_empty()), "{settings:#?}");
}
