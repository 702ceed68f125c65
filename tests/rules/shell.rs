//! Every line of shell that can reach a host, before shellcheck and dash.

use std::process::Command;

use super::{tidy, tools};

fn check(program: &str, args: &[&str], path: &std::path::Path) -> Result<(), String> {
    let output = Command::new(program).args(args).arg(path).output().expect("a program that runs");
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn shellcheck_finds_nothing() {
    tools::need("shellcheck", "shellcheck");
    let wrong: Vec<String> = tidy::files("src", &["sh"])
        .iter()
        .filter_map(|path| check("shellcheck", &["-s", "sh", "-S", "style"], path).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dash_reads_it() {
    tools::need("dash", "dash");
    let wrong: Vec<String> =
        tidy::files("src", &["sh"]).iter().filter_map(|path| check("dash", &["-n"], path).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
