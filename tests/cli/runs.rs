//! Runs that reach no host, and runs on saved facts.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use bedplate::base::{EventKind, Exit};

use super::program::Desk;

/// A port of this machine that nobody listens on.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_host_that_is_not_there_is_unreachable() {
    let address = format!("root@127.0.0.1:{}", closed_port());
    let ran = Desk::new().run(&["check", &address, "-F", "none"]).exits(3);
    let ran = ran.complains("refuses connections").complains("nothing was changed").complains("sshd runs");
    assert!(ran.stdout.contains("unreachable"), "{}", ran.stdout);
}

#[test]
fn json_is_all_that_stands_on_standard_output() {
    let address = format!("root@127.0.0.1:{}", closed_port());
    let ran = Desk::new().run(&["check", &address, "-F", "none", "--json"]).exits(3);
    let events = ran.events();
    assert!(matches!(events.first().map(|event| &event.kind), Some(EventKind::RunStarted { .. })));
    assert!(matches!(
        events.last().map(|event| &event.kind),
        Some(EventKind::RunFinished { exit: Exit::Unreachable, .. })
    ));
}

#[test]
fn a_recorded_run_is_drawn_again_as_it_was() {
    let desk = Desk::new();
    let address = format!("root@127.0.0.1:{}", closed_port());
    let live = desk.run(&["check", &address, "-F", "none", "--record", "run.jsonl"]).exits(3);
    let again = desk.run(&["replay", "run.jsonl"]).exits(0);
    assert_eq!(live.stdout, again.stdout);
}

#[test]
fn secrets_on_the_command_line_are_not_told() {
    let desk = Desk::new();
    let address = format!("root@127.0.0.1:{}", closed_port());
    // As `openssl passwd -6` writes it.
    let hash = format!("admin_password=$6$hunter22${}", "a".repeat(86));
    let words = ["check", &address, "-F", "none", "--json", "--set", &hash, "--set", "admin_user=ann"];
    let ran = desk.run(&words).exits(3);
    assert!(!ran.stdout.contains("hunter22") && !ran.stderr.contains("hunter22"));
    assert!(ran.stdout.contains("admin_user=ann"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_of_ours() {
    let desk = Desk::new();
    let mut command = desk.command(&["generate", "reference"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(16, child.stdout.take().expect("a pipe"));
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn saved_facts_are_planned_on_without_a_host() {
    let desk = Desk::new();
    let machine: serde_json::Value =
        serde_json::from_str(include_str!("../recorded/debian-12.json")).expect("recorded facts");
    let saved = serde_json::json!({ "v": 1, "host": "web1", "taken": "2026-01-02T03:04:05Z", "machine": machine });
    desk.write("facts.json", &format!("{saved}\n"));
    let ran = desk.run(&["check", "web1", "--facts", "facts.json", "--set", "docker_source=distribution"]).exits(2);
    assert!(ran.stdout.contains("Debian 12") && ran.stdout.contains("make /swapfile"), "{}", ran.stdout);
    desk.write("odd.json", "{}\n");
    desk.run(&["check", "web1", "--facts", "odd.json"]).exits(4).complains("odd.json:1").complains("bedplate facts");
}
