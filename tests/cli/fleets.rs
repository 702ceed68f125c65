//! Runs over many hosts, none of which is there: batches, failures that stop a run, shares of the hosts, open files.

use std::net::TcpListener;
use std::process::Command;

use bedplate::base::EventKind;

use super::program::Desk;
use super::ran::Ran;

/// A folder whose inventory has so many hosts, at a port where nobody listens.
fn fleet(hosts: usize) -> Desk {
    let listener = TcpListener::bind("127.0.1.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let hosts = (1..=hosts).map(|number| {
        let group = if number % 2 == 0 { "even" } else { "odd" };
        format!("[hosts.web{number}]\naddress = \"127.0.1.{number}\"\nport = {port}\nuser = \"root\"\ngroups = [\"{group}\"]\n")
    });
    let desk = Desk::new();
    desk.write("bedplate.toml", &format!("[groups.even]\n[groups.odd]\n{}", hosts.collect::<String>()));
    desk
}

fn hosts_of(ran: &Ran) -> Vec<String> {
    let events = ran.events();
    let started = events.iter().find_map(|event| match &event.kind {
        EventKind::RunStarted { hosts, .. } => Some(hosts.iter().map(ToString::to_string).collect()),
        _ => None,
    });
    started.expect("a beginning")
}

fn count(ran: &Ran, name: &str) -> usize {
    ran.events().iter().filter(|event| event.kind.name() == name).count()
}

#[test]
fn a_canary_that_fails_is_the_last_host() {
    let words = ["apply", "-F", "none", "--yes", "--serial", "1,50%"];
    let ran = fleet(5).run(&words).exits(3).complains("batch 1 of 3: web1");
    assert!(ran.stdout.contains("! web2  not begun"), "{}", ran.stdout);
    assert!(ran.stdout.contains("5 hosts: 1 unreachable, 4 not begun"), "{}", ran.stdout);
    let told = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("4 hosts were not begun: 1 host failed"), "{}", ran.stdout);
    assert!(told.contains("bedplate apply -F none --serial 1,50%"), "what to type again: {}", ran.stdout);
    let json = fleet(5).run(&[&words[..], &["--json"]].concat()).exits(3);
    assert_eq!((count(&json, "host_not_begun"), count(&json, "host_finished")), (4, 1));
}

#[test]
fn a_check_begins_no_further_host_after_so_many_failures() {
    let ran = fleet(6).run(&["check", "-F", "none", "--forks", "1", "--max-failures", "2", "--json"]).exits(3);
    assert_eq!((count(&ran, "host_connecting"), count(&ran, "host_not_begun")), (2, 4));
    let all = fleet(6).run(&["check", "-F", "none", "--forks", "1", "--json"]).exits(3);
    assert_eq!((count(&all, "host_connecting"), count(&all, "host_not_begun")), (6, 0));
}

#[test]
fn shares_are_every_host_once_and_follow_the_groups() {
    let share =
        |words: &[&str]| hosts_of(&fleet(5).run(&[&["check", "-F", "none", "--json"], words].concat()).exits(3));
    assert_eq!(share(&["--shard", "1/2"]), ["web1", "web3", "web5"]);
    assert_eq!(share(&["--shard", "2/2"]), ["web2", "web4"]);
    assert_eq!(share(&["odd", "--shard", "2/2"]), ["web3"]);
    let none = fleet(2).run(&["check", "-F", "none", "--shard", "3/3"]).exits(0);
    let none = none.complains("there is no host in the share 3/3: there are 2 in all");
    assert!(none.stdout.contains("There was no host to look at."), "{}", none.stdout);
    fleet(2).run(&["check", "--shard", "3/2"]).exits(4).complains("such as 2/5");
}

#[test]
fn batches_of_no_host_are_no_batches_and_a_saved_plan_has_none() {
    fleet(2).run(&["apply", "--serial", "0"]).exits(4).complains("such as 25%");
    fleet(2).run(&["apply", "--serial", "1", "--plan", "plan.json"]).exits(4).complains("cannot be used with");
    fleet(2).run(&["apply", "--max-failures", "0"]).exits(4).complains("max-failures");
}

#[test]
fn few_open_files_mean_fewer_hosts_at_once_and_are_told() {
    let desk = fleet(30);
    let mut limited = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_bedplate");
    limited.args(["-c", "ulimit -Sn 100; ulimit -Hn 144; exec \"$0\" \"$@\"", program, "check", "-F", "none"]);
    let ran = Ran::of(&limited.current_dir(desk.path()).output().expect("sh runs")).exits(3);
    let ran = ran.complains("10 hosts at once, not 16").complains("no more than 144 files open");
    assert!(ran.stdout.contains("30 hosts: 30 unreachable"), "{}", ran.stdout);
    assert!(!desk.run(&["check", "-F", "none"]).exits(3).stderr.contains("at once"));
}
