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

/// An app as Kamal has it, on a box of this machine that nobody contacts.
const DEPLOY: &str = "service: shop\nimage: ann/shop\nservers:\n  web: [127.0.0.2]\n  job: { hosts: [127.0.0.3] }\n\
                      registry: { server: localhost:5555 }\nbuilder: { arch: amd64 }\nssh: { user: ann, port: 2222 }\n\
                      volumes: [shop_storage:/rails/storage]\nproxy: { host: shop.example.com }\n";

#[test]
fn kamals_configuration_alone_is_an_inventory() {
    let desk = Desk::new();
    desk.write("config/deploy.yml", DEPLOY);
    let script = desk.run(&["check", "--show-script"]).exits(0).stdout;
    for part in ["# 127.0.0.2: asks", "# 127.0.0.3: asks", "shop_storage", "ann"] {
        assert!(script.contains(part), "`{part}` is not asked about");
    }
    let job = desk.run(&["check", "job", "--show-script"]).exits(0).stdout;
    assert!(job.contains("# 127.0.0.3: asks") && !job.contains("# 127.0.0.2: asks"));
    let named = desk.run(&["check", "root@127.0.0.9", "--show-script"]).exits(0).stdout;
    assert!(named.contains("# 127.0.0.9: asks") && named.contains("ann") && !named.contains("127.0.0.2"));
}

#[test]
fn what_init_makes_of_it_asks_the_same() {
    let desk = Desk::new();
    desk.write("config/deploy.yml", DEPLOY);
    desk.write("config/deploy.staging.yml", "servers:\n  web: [127.0.0.4]\n  job: { hosts: [127.0.0.5] }\n");
    for destination in [&[][..], &["-d", "staging"][..]] {
        let before = desk.run(&[&["check", "--show-script"], destination].concat()).exits(0).stdout;
        assert_eq!(before.contains("# 127.0.0.4: asks"), !destination.is_empty());
        desk.run(&[&["init", "--force"], destination].concat()).exits(0).complains("config/deploy.yml");
        let after = desk.run(&["check", "--show-script"]).exits(0).stdout;
        assert_eq!(before, after, "bedplate.toml asks other things than deploy.yml");
        let told = desk.run(&["check", "-d", "staging"]).exits(4);
        told.complains("bedplate.toml is the inventory");
        std::fs::remove_file(desk.path().join("bedplate.toml")).expect("the inventory");
        std::fs::remove_dir_all(desk.path().join("playbooks")).expect("the playbooks");
    }
}

#[test]
fn a_deploy_yml_that_names_nobody_stops_before_anything_is_contacted() {
    let desk = Desk::new();
    desk.write("config/deploy.yml", "service: shop\nservers: [<%= Host.first %>]\n");
    let ran = desk.run(&["apply", "--yes"]).exits(4);
    ran.complains("config/deploy.yml:2:11").complains("unknown (ERB)").complains("root@203.0.113.5");
    desk.write("config/deploy.yml", "service: [\n");
    desk.run(&["check"]).exits(4).complains("this is not YAML");
    desk.write("config/deploy.yml", "service: shop\n");
    desk.run(&["check"]).exits(4).complains("there is no host in config/deploy.yml");
    desk.run(&["check", "-d", "prod"]).exits(4).complains("there is no config/deploy.prod.yml");
}

#[test]
fn the_gate_shows_what_it_would_ask_and_tells_who_is_not_there() {
    let desk = Desk::new();
    desk.write("config/deploy.yml", &DEPLOY.replace("localhost:5555", "ghcr.io"));
    let script = desk.run(&["ready", "--show-script"]).exits(0).stdout;
    for part in ["# 127.0.0.2: asks what Kamal's user finds", "look_docker", "look_registry ghcr.io"] {
        assert!(script.contains(part), "`{part}` is not in\n{script}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let port = format!("port: {closed}");
    desk.write("config/deploy.yml", &DEPLOY.replace("127.0.0.2", "127.0.0.1").replace("port: 2222", &port));
    let ran = desk.run(&["ready", "web", "-F", "none"]).exits(3).complains("refuses connections");
    assert!(ran.stdout.contains("unreachable"), "{}", ran.stdout);
}

#[test]
fn init_proposes_what_kamal_2_wants_as_a_diff_that_patch_takes() {
    super::tools::need("patch", "patch");
    let desk = Desk::new();
    let old = format!("# the shop\n{DEPLOY}traefik: {{}}   # gone\ndeploy_timeout: 30s # long\n");
    desk.write("config/deploy.yml", &old);
    let proposed = desk.run(&["init"]).exits(0).complains("it was not written").stdout;
    let diff = desk.run(&["init", "--diff"]).exits(0).stdout;
    assert_eq!(proposed, diff);
    let read = || std::fs::read_to_string(desk.path().join("config/deploy.yml")).expect("the file");
    assert_eq!(read(), old, "init wrote Kamal's file");
    desk.write("a.diff", &diff);
    let patch = std::process::Command::new("patch").args(["-p1", "-i", "a.diff"]).current_dir(desk.path()).output();
    assert!(patch.expect("patch runs").status.success(), "{diff}");
    assert_eq!(read(), format!("# the shop\n{DEPLOY}deploy_timeout: 30 # long\n"));
    assert_eq!(desk.run(&["init", "--diff"]).exits(0).stdout, "");
}

#[test]
fn the_hook_lets_through_all_but_deploys() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    desk.run(&["init", "--hooks"]).exits(0).complains(".kamal/hooks/pre-connect");
    desk.run(&["init", "--hooks"]).exits(4).complains(".kamal/hooks/pre-connect would be overwritten");
    // In the place of the program: it tells how it was called, and that nothing is ready.
    desk.write("bin/bedplate", "#!/bin/sh\necho \"called: $*\"\nexit 1\n");
    let program = desk.path().join("bin/bedplate");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let hook = |command: &str, destination: Option<&str>| {
        let mut hook = std::process::Command::new(desk.path().join(".kamal/hooks/pre-connect"));
        hook.env("PATH", format!("{}:/usr/bin:/bin", desk.path().join("bin").display())).env("KAMAL_COMMAND", command);
        hook.env_remove("KAMAL_DESTINATION").envs(destination.map(|name| ("KAMAL_DESTINATION", name)));
        super::ran::Ran::of(&hook.output().expect("the hook runs"))
    };
    for command in ["lock", "app", "rollback", ""] {
        assert_eq!(hook(command, None).exits(0).stdout, "");
    }
    assert_eq!(hook("deploy", None).exits(1).stdout, "called: ready\n");
    assert_eq!(hook("setup", Some("staging")).exits(1).stdout, "called: ready --destination staging\n");
    std::fs::remove_file(desk.path().join("bin/bedplate")).expect("the program");
    hook("deploy", None).exits(1).complains("bedplate is not installed here");
}

#[test]
fn a_handoff_that_can_not_end_well_does_not_begin() {
    let desk = Desk::new();
    let path = |desk: &Desk, words: &[&str]| {
        let output = desk.command(words).env("PATH", desk.path()).output();
        super::ran::Ran::of(&output.expect("the program runs"))
    };
    let host = "root@127.0.0.1:1";
    path(&desk, &["handoff", host]).exits(4).complains("there is no config/deploy.yml").complains("kamal init");
    desk.write("config/deploy.yml", DEPLOY);
    path(&desk, &["handoff", host]).exits(4).complains("no kamal on the PATH").complains("gem install kamal");
    path(&desk, &["handoff", host, "--", "./ship"]).exits(4).complains("there is no program ./ship");
}

#[test]
fn an_answer_that_the_disk_has_no_room_for_is_no_success() {
    let desk = Desk::new();
    desk.write("config/deploy.yml", &DEPLOY.replace("builder: { arch: amd64 }\n", ""));
    for words in [&["init", "--diff"][..], &["generate", "reference"], &["check", "--show-script"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
        let output = desk.command(words).stdout(full).output();
        super::ran::Ran::of(&output.expect("the program runs")).exits(1).complains("can not be written");
    }
}
