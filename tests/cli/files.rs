//! Files that the program writes and documents that it prints.

use super::program::Desk;

#[test]
fn init_writes_what_no_files_at_all_would_do() {
    let desk = Desk::new();
    desk.run(&["init"]).exits(0);
    for file in ["bedplate.toml", "playbooks/90-docker.toml"] {
        assert!(desk.path().join(file).is_file(), "{file} is missing");
    }
    let own = desk.run(&["check", "root@127.0.0.1", "--show-script"]).exits(0).stdout;
    let builtin = Desk::new().run(&["check", "root@127.0.0.1", "--show-script"]).exits(0).stdout;
    assert_eq!(own, builtin, "the files ask other things than the built-in playbooks");
}

#[test]
fn init_overwrites_nothing_unless_told_to() {
    let desk = Desk::new();
    desk.write("bedplate.toml", "# mine\n");
    desk.run(&["init"]).exits(4).complains("bedplate.toml would be overwritten").complains("--force");
    assert!(!desk.path().join("playbooks").exists(), "half of it was written");
    desk.run(&["init", "--force"]).exits(0);
    let text = std::fs::read_to_string(desk.path().join("bedplate.toml")).expect("the inventory");
    assert!(!text.contains("# mine"));
}

#[test]
fn the_scripts_that_are_shown_hold_no_machine_of_ours() {
    let script = Desk::new().run(&["check", "root@203.0.113.5", "--show-script"]).exits(0).stdout;
    assert!(script.contains("bp_probe"), "{script}");
    assert!(!script.contains(env!("CARGO_MANIFEST_DIR")));
}

#[test]
fn documents_are_printed_whole() {
    let desk = Desk::new();
    for (what, part) in [
        ("reference", "### `ufw`"),
        ("event-schema", "\"host_failed\""),
        ("bash", "complete -F"),
        ("zsh", "#compdef bedplate"),
        ("fish", "complete -c bedplate"),
        ("man", ".TH bedplate"),
    ] {
        let text = desk.run(&["generate", what]).exits(0).stdout;
        assert!(text.contains(part), "{what} lacks `{part}`");
    }
}
