//! What no task declares, where a box must be made ready for it: ports past the firewall, mounts, and `--strict`.

use bedplate::base::EventKind;
use bedplate::sandbox::Suite;

use super::support::{Ran, Rig};

/// What is found, each as `name: what`.
fn findings(ran: &Ran) -> Vec<String> {
    let planned = ran.events().into_iter().find_map(|event| match event.kind {
        EventKind::Planned { findings, .. } => Some(findings),
        _ => None,
    });
    planned.unwrap_or_default().into_iter().map(|finding| format!("{}: {}", finding.id, finding.what)).collect()
}

/// A look at the firewall and at the whole, which finds `ids` and changes its mind about nothing else.
#[track_caller]
fn finds(rig: &Rig, ids: &[&str]) -> Vec<String> {
    let look = ["--json", "--tags", "access,last-look"];
    let found = findings(&rig.run("check", &look).exits(0));
    let names: Vec<&str> = found.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ids, "{found:?}");
    rig.run("check", &[&look[..], &["--strict"]].concat()).exits(if ids.is_empty() { 0 } else { 2 });
    found
}

fn published_ports(rig: &Rig) {
    rig.inside("apt-get install -y -q busybox-static >/dev/null 2>&1");
    rig.inside(
        "d=$(mktemp -d) && mkdir $d/bin && cp /bin/busybox $d/bin/ && ln -s busybox $d/bin/sleep && \
         tar -C $d -c . | docker import - example >/dev/null && \
         docker run -d --name open -p 5432:80 -p 80:80 -p 127.0.0.1:6379:80 example sleep 600 >/dev/null",
    );
    // The rules for what Docker publishes close it.
    finds(rig, &[]);
    rig.inside("nft delete table inet bedplate_docker");
    let past = finds(rig, &["docker-port-past-firewall"]);
    assert!(past[0].contains(" 5432/tcp to everybody"), "80 is let in and 6379 is the host's own: {past:?}");
    rig.inside("iptables -I DOCKER-USER -i eth0 -j DROP");
    finds(rig, &[]);
    rig.inside("iptables -D DOCKER-USER -i eth0 -j DROP && ufw allow 5432/tcp >/dev/null");
    finds(rig, &["foreign-ufw-rule"]);
    rig.inside("ufw delete allow 5432/tcp >/dev/null && docker rm -f open >/dev/null");
    rig.run("apply", &["--tags", "docker"]).exits(0);
    finds(rig, &[]);
}

fn mounts(rig: &mut Rig) {
    let disk = rig.sandbox.attach_disk(64, None).expect("a disk");
    rig.inside(&format!("mkfs.ext4 -q {disk} && mkdir /mnt/stray && mount {disk} /mnt/stray"));
    let found = finds(rig, &["mount-not-at-boot"]);
    assert!(found[0].contains(&format!("{disk} is mounted at /mnt/stray")), "{found:?}");
    rig.inside(&format!("echo '{disk} /mnt/stray ext4 nofail 0 2' >>/etc/fstab && systemctl daemon-reload"));
    finds(rig, &[]);
    rig.inside("umount /mnt/stray");
    finds(rig, &["unmounted"]);
    rig.inside("sed -i /stray/d /etc/fstab && rmdir /mnt/stray && systemctl daemon-reload");
    finds(rig, &[]);
}

#[test]
#[ignore = "full tier: ports past the firewall and stray mounts, two minutes; not in the quick one"]
fn what_is_unmanaged_is_found_where_it_comes_and_forgotten_where_it_goes() {
    let mut rig = Rig::up(Suite::Bookworm);
    rig.run("apply", &[]).exits(0);
    finds(&rig, &[]);
    published_ports(&rig);
    mounts(&mut rig);
}

#[test]
#[ignore = "full tier: half a minute, for what others load and what nobody does"]
fn what_others_reload_is_loaded_and_a_lost_reload_is_found() {
    for suite in [Suite::Bullseye, Suite::Trixie] {
        let rig = Rig::up(suite);
        let access = |code| drop(rig.run("check", &["--tags", "access,base"]).exits(code));
        rig.run("apply", &["--tags", "access,base"]).exits(0);
        let own = "/etc/ssh/sshd_config.d/70-own.conf";
        rig.inside(&format!("echo 'ClientAliveInterval 77' >{own}"));
        access(2);
        rig.inside("systemctl reload ssh");
        access(0);
        // systemd itself starts anew, which loads nothing for anybody.
        rig.inside(&format!(
            "echo 'ClientAliveInterval 78' >{own} && systemctl daemon-reload && systemctl daemon-reexec"
        ));
        access(2);
        rig.run("apply", &["--tags", "access,base"]).exits(0);
        access(0);
        rig.inside("touch /etc/systemd/journald.conf.d/60-bedplate.conf");
        access(0);
        rig.inside("printf '[Journal]\\n' >/etc/systemd/journald.conf.d/70-own.conf");
        access(2);
        rig.inside("systemctl restart systemd-journald");
        access(0);
    }
}
