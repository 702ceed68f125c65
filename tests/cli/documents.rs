//! Documents that other programs read: completions, manual pages, and the workflow in the README.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::program::Desk;
use super::tools::need;

/// Runs `program` with `text` on its standard input. Gives what it printed on standard output; it must complain of
/// nothing.
#[track_caller]
fn content(program: &str, arguments: &[&str], text: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program that runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the text is taken");
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn completions_are_taken_by_their_shells() {
    let desk = Desk::new();
    for (shell, arguments) in [("bash", &["-n"][..]), ("zsh", &["-n"]), ("fish", &["--no-execute"])] {
        need(shell, shell);
        content(shell, arguments, &desk.run(&["generate", shell]).exits(0).stdout);
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let script = Desk::new().run(&["generate", "bash"]).exits(0).stdout;
    for (words, completed) in
        [("bedplate che", "check"), ("bedplate apply --pl", "--plan"), ("bedplate check --sa", "--save")]
    {
        let count = words.split(' ').count();
        let line = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={}; _bedplate bedplate \"${{COMP_WORDS[COMP_CWORD]}}\" '' 2>/dev/null\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            count - 1
        );
        let offered = content("bash", &["--norc"], &line);
        assert_eq!(offered.trim(), completed, "after `{words}`");
    }
}

#[test]
fn every_command_has_a_manual_page_without_a_slip() {
    need("mandoc", "mandoc");
    let desk = Desk::new();
    desk.run(&["generate", "man", "--into", "man"]).exits(0);
    let mut pages: Vec<String> = std::fs::read_dir(desk.path().join("man"))
        .expect("the pages")
        .map(|entry| entry.expect("a page").file_name().to_string_lossy().into_owned())
        .collect();
    pages.sort();
    let help = desk.run(&["--help"]).exits(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    for command in named.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help") {
        assert!(pages.contains(&format!("bedplate-{command}.1")), "{command} has no page: {pages:?}");
    }
    for page in &pages {
        let text = std::fs::read_to_string(desk.path().join("man").join(page)).expect("a page");
        content("mandoc", &["-T", "lint", "-W", "error"], &text);
    }
    desk.run(&["generate", "bash", "--into", "man"]).exits(4).complains("only manual pages");
}

/// The shell of the step in the README's workflow that checks.
fn step_of_the_readme() -> String {
    need("ruby", "ruby");
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let yaml = readme.split("```yaml\n").find_map(|part| part.strip_prefix("on:")).expect("a workflow");
    let yaml = yaml.split("\n```\n").next().expect("its end");
    let step = "steps = YAML.load(STDIN.read)['jobs']['drift']['steps']\n\
        abort 'uses' unless steps.first['uses'].start_with?('actions/checkout@')\n\
        puts steps.find { |step| step['env'] }['run']";
    content("ruby", &["-ryaml", "-e", step], &format!("on:{yaml}"))
}

#[test]
fn the_workflow_in_the_readme_shows_drift_and_fails_by_it() {
    let step = step_of_the_readme();
    for code in [0, 2] {
        let desk = Desk::new();
        desk.write("bin/bedplate", &format!("#!/bin/sh\necho \"the plan of $*\"\nexit {code}\n"));
        let program = desk.path().join("bin/bedplate");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("a program");
        desk.write("step.sh", &step);
        let path = format!("{}:{}", desk.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        // As GitHub runs it.
        command.args(["-e", "step.sh"]).current_dir(desk.path()).env("PATH", path).env("HOME", desk.path());
        command.env("KEY", "a key").env("GITHUB_STEP_SUMMARY", desk.path().join("summary.md"));
        let output = command.output().expect("bash runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let summary = std::fs::read_to_string(desk.path().join("summary.md")).expect("a summary");
        assert_eq!(summary, "```\nthe plan of check --report drift.html\n```\n");
        let key = desk.path().join(".ssh/id_ed25519");
        assert_eq!(std::fs::read_to_string(&key).expect("the key"), "a key\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).expect("the key").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
