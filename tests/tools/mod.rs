//! Tools that tests need on this machine, installed with apt where it lets us, and never skipped over in silence.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Makes sure that `program` can be run, installing Debian's `package` when it is missing and we are root.
pub(crate) fn need(program: &str, package: &str) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if found(program) {
        return;
    }
    // A test that wants an sshd of its own must not leave one running on this machine (sshd's unit asks for this file).
    if package == "openssh-server" {
        let _ = std::fs::create_dir_all("/etc/ssh");
        let _ = std::fs::write("/etc/ssh/sshd_not_to_be_run", "");
    }
    let install = || {
        let apt = |args: &[&str]| {
            Command::new("apt-get")
                .args(["-o", "DPkg::Lock::Timeout=300"])
                .args(args)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .output()
                .is_ok_and(|o| o.status.success())
        };
        let install = ["install", "-y", "-q", "--no-install-recommends", package];
        apt(&install) || (apt(&["update", "-q"]) && apt(&install))
    };
    assert!(
        install() && found(program),
        "this test needs `{program}`, and it could not be installed: run `apt-get install {package}` as root"
    );
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_owned());
    std::env::split_paths(&path).chain(system).any(|folder| folder.join(program).exists())
}
