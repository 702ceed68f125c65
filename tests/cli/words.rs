//! Mistakes on the command line and in files: exit code 4, before anything is contacted, with what to do.

use bedplate::base::event::Mistake;
use bedplate::base::{EventKind, Exit};

use super::program::Desk;
use super::ran::Ran;

#[test]
fn a_mistyped_command_is_bad_input() {
    let ran = Desk::new().run(&["chekc"]).exits(4).complains("unrecognized subcommand 'chekc'");
    assert!(ran.stderr.contains("check"), "the near one is not named: {}", ran.stderr);
}

#[test]
fn help_and_version_are_no_mistakes() {
    let desk = Desk::new();
    let verbs = ["check", "apply", "facts", "ready", "handoff", "migrate", "backup", "restore", "undo", "history"];
    for verb in verbs.into_iter().chain(["explain", "init", "generate", "sandbox", "demo", "replay"]) {
        let help = desk.run(&[verb, "--help"]).exits(0);
        assert!(help.stdout.contains("Usage:") && help.stderr.is_empty(), "{verb}: {}", help.stderr);
    }
    assert_eq!(desk.run(&["--version"]).exits(0).stdout, format!("bedplate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_script_is_never_asked_for_in_vain() {
    for words in [["migrate", "root@127.0.0.1", "--to", "root@127.0.0.2"], ["backup", "root@127.0.0.1", "--to", "."]] {
        let ran = Desk::new().run(&[&words[..], &["--show-script"]].concat()).exits(4);
        ran.complains("has no script").complains("--dry-run");
    }
}

#[test]
fn no_host_is_told_with_the_two_ways_to_name_one() {
    Desk::new().run(&["check"]).exits(4).complains("root@203.0.113.5").complains("bedplate init");
}

#[test]
fn an_address_that_is_none_is_drawn() {
    Desk::new().run(&["check", "root@[::1"]).exits(4).complains("root@[::1").complains("user@[v6]:port");
}

#[test]
fn a_mistyped_variable_names_the_near_one() {
    let ran = Desk::new().run(&["check", "root@127.0.0.1", "--set", "docker_sorce=distribution"]);
    ran.exits(4).complains("did you mean `docker_source`?");
}

#[test]
fn a_mistyped_tag_names_the_near_one() {
    Desk::new().run(&["check", "root@127.0.0.1", "--tags", "dokcer"]).exits(4).complains("did you mean `docker`?");
}

#[test]
fn mistakes_of_all_files_are_told_at_once_by_line_and_column() {
    let desk = Desk::new();
    desk.write("bedplate.toml", "[hosts.web1]\naddress = \"127.0.0.1\"\nprot = 1\n");
    desk.write("playbooks/10-own.toml", "[[task]]\nname = \"x\"\n[task.pakages]\ninstall = [\"curl\"]\n");
    desk.write("playbooks/20-own.toml", "[[task]]\nname = \"y\"\n[task.packages]\ninstal = [\"curl\"]\n");
    let ran = desk.run(&["apply", "--yes"]).exits(4);
    for place in ["bedplate.toml:3:1", "playbooks/10-own.toml:3:7", "playbooks/20-own.toml:4:1"] {
        assert!(ran.stderr.contains(place), "{place} is not told:\n{}", ran.stderr);
    }
    for near in ["`port`", "`packages`", "`install`"] {
        assert!(ran.stderr.contains(&format!("did you mean {near}")), "{near} is not offered:\n{}", ran.stderr);
    }
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
}

/// The mistakes of a run that was refused, by file, line and column.
fn refused(ran: &Ran) -> Vec<String> {
    let events: Vec<EventKind> = ran.events().into_iter().map(|event| event.kind).collect();
    let [EventKind::RunRefused { exit: Exit::BadInput, mistakes, .. }] = &events[..] else { panic!("{events:?}") };
    let place = |m: &Mistake| format!("{:?} {:?} {:?} {}", m.file, m.line, m.column, m.what);
    mistakes.iter().map(place).collect()
}

#[test]
fn mistakes_are_an_event_too_for_whoever_reads_json() {
    let desk = Desk::new();
    desk.write("playbooks/10-own.toml", "[[task]]\nname = \"x\"\n[task.pakages]\ninstall = [\"curl\"]\n");
    let ran = desk.run(&["check", "root@127.0.0.1", "--json", "--record", "run.jsonl"]).exits(4);
    assert_eq!(refused(&ran), ["Some(\"playbooks/10-own.toml\") Some(3) Some(7) unknown resource `pakages` in a task"]);
    assert!(ran.stderr.contains("did you mean `packages`?"), "people are told as before: {}", ran.stderr);
    let again = desk.run(&["replay", "run.jsonl"]).exits(0);
    assert_eq!(again.stderr, ran.stderr, "a replay tells otherwise");
    let ran = desk.run(&["apply", "--jsno", "--json"]).exits(4);
    assert_eq!(refused(&ran), ["None None None unexpected argument '--jsno' found"]);
    let ran = desk.run(&["check", "--json"]).exits(4);
    assert!(refused(&ran)[0].contains("no host"), "{}", ran.stdout);
}

#[test]
fn what_can_not_be_written_is_told_before_anything_is_contacted() {
    let desk = Desk::new();
    for (option, told) in [("--record", "the log"), ("--report", "the report"), ("--save", "the plan")] {
        for path in ["nowhere/file", "."] {
            let ran = desk.run(&["check", "root@127.0.0.1:1", "-F", "none", option, path]).exits(4);
            ran.complains(told).complains(path);
        }
    }
    desk.run(&["check", "root@127.0.0.1", "--log", "nowhere/file"]).exits(4).complains("nowhere/file");
}

#[test]
fn a_plan_that_does_not_fit_is_refused_before_anything_is_contacted() {
    let desk = Desk::new();
    let apply = |text: &str| {
        desk.write("plan.json", text);
        desk.run(&["apply", "root@127.0.0.1:1", "-F", "none", "--yes", "--plan", "plan.json"]).exits(4)
    };
    let plan = |bedplate: &str, host: &str| {
        let digest = "0".repeat(64);
        format!(
            "{{\"v\":1,\"bedplate\":\"{bedplate}\",\"made\":\"\",\"by\":\"\",\"arguments\":[],\"hosts\":[{{\"host\":\"{host}\",\
             \"login\":\"root@127.0.0.1:1\",\"playbooks\":\"{digest}\",\"actions\":\"{digest}\",\"tasks\":[],\"findings\":[]}}]}}"
        )
    };
    apply("{}").complains("plan.json is no saved plan").complains("check --save");
    apply(&plan("0.0.0", "127.0.0.1")).complains("made by bedplate 0.0.0");
    apply(&plan(env!("CARGO_PKG_VERSION"), "web1")).complains("does not say what to do on 127.0.0.1");
    apply(&plan(env!("CARGO_PKG_VERSION"), "127.0.0.1:1")).complains("the tasks of 127.0.0.1:1 are not those");
    desk.run(&["apply", "root@127.0.0.1", "--plan", "none.json"]).exits(4).complains("none.json can not be read");
}

#[test]
fn files_that_are_named_must_be_there() {
    let desk = Desk::new();
    desk.run(&["check", "-i", "none.toml"]).exits(4).complains("there is no inventory none.toml");
    desk.run(&["check", "root@127.0.0.1", "--key", "none"]).exits(4).complains("there is no private key none");
    desk.run(&["check", "root@127.0.0.1", "-F", "no_file"]).exits(4).complains("there is no file no_file");
    desk.run(&["check", "--facts", "none.json"]).exits(4).complains("none.json can not be read");
    desk.run(&["replay", "none.jsonl"]).exits(4).complains("none.jsonl can not be read");
}

#[test]
fn colour_is_for_terminals() {
    let desk = Desk::new();
    assert!(!desk.run(&["check", "root@[::1"]).stderr.contains('\u{1b}'), "a pipe gets colour");
}

#[test]
fn a_release_that_no_box_can_be_is_refused() {
    Desk::new().run(&["sandbox", "up", "x", "--release", "debian-10"]).exits(4).complains("debian-12");
    Desk::new().run(&["demo", "--release", "ubuntu"]).exits(4).complains("debian-12");
}
