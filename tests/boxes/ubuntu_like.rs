//! Debian made to look like Ubuntu, as far as it can: sshd by its socket, cloud-init's drop-in that takes passwords, a
//! main file without its `Include`, needrestart, and sudo-rs in sudo's place. What only Ubuntu has is in the tests of
//! facts made by hand (`tests/recorded`).

use bedplate::sandbox::Suite;

use super::support::Rig;

/// What a cloud image of Ubuntu has and Debian has not.
const LIKE: &str = "export DEBIAN_FRONTEND=noninteractive && apt-get update -qq && \
    apt-get install -y -q --no-install-recommends needrestart sudo-rs >/dev/null 2>&1 && \
    ln -sf \"$(dpkg -L sudo-rs | grep -m 1 '/bin/su\\?do')\" /usr/local/bin/sudo && \
    printf 'PasswordAuthentication yes\\nPermitRootLogin yes\\n' >/etc/ssh/sshd_config.d/50-cloud-init.conf && \
    sed -i '/^Include/d' /etc/ssh/sshd_config && \
    systemctl disable -q ssh.service && systemctl stop ssh.service && systemctl enable -q --now ssh.socket";

#[test]
#[ignore = "full tier: Debian in Ubuntu's clothes"]
fn debian_that_looks_like_ubuntu_becomes_ready_and_stays_so() {
    let mut rig = Rig::up(Suite::Trixie);
    rig.inside(LIKE);
    // As there, sshd can not judge its own files until somebody has made its folder.
    assert!(rig.inside("sshd -T 2>&1 || true").contains("Missing privilege separation directory"));
    let admin = ["--set", "admin_user=ann"];
    rig.run("apply", &admin).exits(0);
    let says = rig.inside("sshd -T -C user=deploy,host=h,addr=192.0.2.1");
    for line in ["passwordauthentication no", "kbdinteractiveauthentication no", "permitrootlogin without-password"] {
        assert!(says.lines().any(|said| said == line), "{line} is not in {says}");
    }
    let refused = rig.login_without_key("deploy");
    assert!(refused.stderr.contains("Permission denied (publickey)."), "{}", refused.stderr);
    assert!(rig.inside("systemctl is-active ssh.socket").contains("active"));
    rig.run("check", &admin).exits(0);
    // The administrator's sudo is sudo-rs.
    let sudo = rig.login("ann", "sudo --version 2>&1; sudo -n id -u");
    assert!(sudo.stdout.contains("sudo-rs") && sudo.stdout.trim().ends_with('0'), "{} {}", sudo.stdout, sudo.stderr);
    let by_ann = rig.run_as("ann", "check", &admin);
    by_ann.exits(0);
    rig.reboot();
    rig.login("deploy", "docker version").exits(0);
    rig.run("check", &admin).exits(0);
}
