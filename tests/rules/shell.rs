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

/// Comments are not sent, so no line of a string may look like one. bash tells what it makes of functions.
#[test]
fn without_its_comments_it_means_the_same() {
    let told = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
        let script = "set +u; . \"$0\"; declare -f";
        let output = Command::new("bash").args(["-c", script]).arg(file.path()).output().expect("bash runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // What boots a box is run as it is and not made of functions.
    let libraries = |path: &std::path::PathBuf| !path.components().any(|part| part.as_os_str() == "sandbox");
    for path in tidy::files("src", &["sh"]).into_iter().filter(libraries) {
        let text = std::fs::read_to_string(&path).expect("a text file");
        let functions = told(&text);
        assert!(functions.contains(" () \n{"), "{} defines no function", path.display());
        assert_eq!(told(&bedplate::shell::without_comments(&text)), functions, "{}", path.display());
    }
}

#[test]
fn dash_reads_it() {
    tools::need("dash", "dash");
    let wrong: Vec<String> =
        tidy::files("src", &["sh"]).iter().filter_map(|path| check("dash", &["-n"], path).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
