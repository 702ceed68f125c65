//! Tools that the rules need, installed with apt where this machine lets us, and never skipped over in silence.

use std::process::Command;
use std::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Makes sure that `program` can be run, installing Debian's `package` when it is missing and we are root.
pub(crate) fn need(program: &str, package: &str) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if found(program) {
        return;
    }
    let install = || {
        let apt = |args: &[&str]| {
            Command::new("apt-get")
                .args(args)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .output()
                .is_ok_and(|o| o.status.success())
        };
        apt(&["install", "-y", "-q", package]) || (apt(&["update", "-q"]) && apt(&["install", "-y", "-q", package]))
    };
    assert!(
        install() && found(program),
        "this test needs `{program}`, and it could not be installed: run `apt-get install {package}` as root"
    );
}

fn found(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
}
