//! Documents that must be what the code says, and files that other programs read.

use std::path::Path;
use std::process::Command;

use super::tools;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn ruby_reads_the_vagrantfile() {
    tools::need("ruby", "ruby");
    let output = Command::new("ruby").arg("-c").arg(root().join("vagrant/Vagrantfile")).output().expect("ruby runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_vagrantfile_has_every_release() {
    let text = std::fs::read_to_string(root().join("vagrant/Vagrantfile")).expect("the Vagrantfile");
    for release in
        ["ubuntu-20.04", "ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04", "debian-11", "debian-12", "debian-13"]
    {
        assert!(text.contains(&format!("\"{release}\" => ")), "{release} is missing");
    }
}

#[test]
fn only_the_agreed_names_stand_at_the_top() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "playbooks",
        "templates",
        "tests",
        "vagrant",
        "README.md",
        "LICENSE",
        // What builds and failed property tests leave; git passes them over.
        "target",
        "proptest-regressions",
    ];
    let odd: Vec<String> = std::fs::read_dir(root())
        .expect("the top folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !agreed.contains(&name.as_str()))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
}
