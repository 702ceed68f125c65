//! Realistic damage to a converged host, drawn by chance from a seed: what people and packages do to servers between two
//! runs. Each says which tasks must name it, or which finding.

#![allow(clippy::print_stdout, reason = "the damage that is drawn, and how long each takes, is worth reading")]

/// Chance that can be had again: SplitMix64.
pub(crate) struct Luck(u64);

impl Luck {
    /// From `BEDPLATE_SEED`, or from the clock; printed, so that a failure can be had again.
    pub(crate) fn new() -> Self {
        let seed = match std::env::var("BEDPLATE_SEED") {
            Ok(text) => text.parse().expect("BEDPLATE_SEED is a number"),
            Err(_) => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs() % 1_000_000),
        };
        println!("the same again: BEDPLATE_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("a number below another")
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}

/// One damage.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    /// What is run on the host, as root; `$swap` is the swap file's path.
    pub(crate) line: String,
    /// The tasks that must name it and repair it, in their order.
    pub(crate) tasks: &'static [&'static str],
    /// Whether something foreign stays, which the repair only makes harmless.
    pub(crate) stays: bool,
}

/// Files that the built-in playbooks write, with the tasks that answer for them.
const FILES: [(&str, &[&str]); 11] = [
    ("/etc/systemd/journald.conf.d/60-bedplate.conf", &["limits of the journal", "journal knows its limits"]),
    ("/etc/sysctl.d/60-bedplate-swap.conf", &["swap only when memory is short"]),
    ("/etc/sysctl.d/99-zz-bedplate-kernel.conf", &["kernel settings"]),
    ("/etc/sysctl.d/60-bedplate-network.conf", &["network settings"]),
    ("/etc/sysctl.d/60-bedplate-core.conf", &["no core dumps of privileged programs"]),
    ("/etc/modprobe.d/60-bedplate-unused.conf", &["unused kernel modules off"]),
    ("/etc/security/limits.d/60-bedplate-core.conf", &["no core dumps of logins"]),
    ("/etc/profile.d/60-bedplate-core.sh", &["no core dumps of login shells"]),
    ("/etc/systemd/coredump.conf.d/60-bedplate.conf", &["no core dumps of services"]),
    ("/etc/apt/apt.conf.d/52-bedplate-local", &["unattended upgrades"]),
    ("/etc/ssh/sshd_config.d/00-bedplate.conf", &["sshd"]),
];

/// What befalls a file; `$f` is its path.
const BEFALLS: [&str; 6] = [
    "rm $f",
    ": >$f",
    "sed -i '$d' $f",
    "sed -i '1,2d' $f",
    "printf '# by hand\\n' >>$f",
    "mv $f $f.away && head -c 20 $f.away >$f && rm $f.away",
];

/// What befalls a file whose mode or owner matter.
const PERMISSIONS: [&str; 4] =
    ["chmod 0666 $f", "chmod 0777 $f", "chown nobody $f", "chgrp daemon $f && chmod 0660 $f"];

/// The tasks that name it, and lines of which each is such a damage.
type Kind = (&'static [&'static str], &'static [&'static str]);

/// The kinds that are not of one file.
const KINDS: &[Kind] = &[
    // The firewall, live.
    (
        &["firewall"],
        &[
            "iptables -D ufw-user-input 2",
            "iptables -I ufw-user-input -j ACCEPT",
            "iptables -F && iptables -P INPUT ACCEPT",
            "ip6tables -F ufw6-user-input",
        ],
    ),
    // The ways to ufw's rules, one of six each. The box stays reachable, or nobody could look.
    (
        &["firewall"],
        &[
            "iptables -D INPUT -j ufw-after-input",
            "iptables -D INPUT -j ufw-track-input",
            "iptables -P INPUT ACCEPT && iptables -D INPUT -j ufw-before-input",
            "iptables -D INPUT -j ufw-before-input && iptables -A INPUT -j ufw-before-input",
        ],
    ),
    (
        &["firewall"],
        &[
            "ip6tables -D INPUT -j ufw6-before-input",
            "ip6tables -D INPUT -j ufw6-reject-input",
            "ip6tables -D OUTPUT -j ufw6-before-logging-output",
            "iptables -D FORWARD -j ufw-before-forward",
            "iptables -D OUTPUT -j ufw-after-logging-output",
        ],
    ),
    (&["firewall"], &["iptables -P INPUT ACCEPT", "ip6tables -P INPUT ACCEPT", "iptables -P FORWARD ACCEPT"]),
    (&["firewall"], &["iptables -I ufw-user-input -p tcp --dport 3306 -j ACCEPT"]),
    // The firewall, by its own command and files.
    (&["firewall"], &["ufw delete allow 443/tcp", "ufw delete allow 80/tcp", "ufw deny 80/tcp"]),
    (&["firewall"], &["ufw default allow incoming", "ufw --force disable", "ufw --force reset"]),
    (
        &["firewall"],
        &["systemctl disable ufw", "systemctl mask ufw", "sed -i 's/^ENABLED=.*/ENABLED=no/' /etc/ufw/ufw.conf"],
    ),
    (&["firewall"], &["sed -i 's/^IPV6=.*/IPV6=no/' /etc/default/ufw && ufw reload"]),
    // sshd.
    (
        &["sshd"],
        &["sed -i 's/^LogLevel.*/LogLevel QUIET/' /etc/ssh/sshd_config.d/00-bedplate.conf && systemctl reload ssh"],
    ),
    (
        &["sshd"],
        &[
            "awk '$5 >= 3071 { $5 = 2047; print; exit }' /etc/ssh/moduli >/tmp/short && cat /tmp/short >>/etc/ssh/moduli && rm /tmp/short",
        ],
    ),
    (&["sshd"], &["systemctl -q disable ssh.service", "systemctl -q mask ssh.service"]),
    // Swap.
    (&["swap file"], &["swapoff $swap", "swapoff $swap && rm $swap", "chmod 0644 $swap"]),
    (&["swap file"], &["sed -i '\\,^/swapfile,d' /etc/fstab", "sed -i 's/none swap sw/none swap noauto/' /etc/fstab"]),
    // Kernel settings, live.
    (
        &["network settings"],
        &[
            "sysctl -q -w net.ipv4.conf.all.accept_redirects=1",
            "sysctl -q -w net.ipv4.tcp_syncookies=0",
            "sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.default.accept_source_route=1",
        ],
    ),
    // Accounts.
    (
        &["user deploy"],
        &[
            "usermod -s /bin/sh deploy",
            "usermod -s /usr/sbin/nologin deploy",
            "passwd -q -d deploy",
            "usermod -p '$6$a$b' deploy",
            "usermod -L deploy",
            "chage -E 1 deploy",
            "chage -d 0 deploy",
        ],
    ),
    (&["user deploy"], &["gpasswd -d deploy docker >/dev/null", "chown root /home/deploy"]),
    (&["user deploy", "keys of deploy"], &["rm -r /home/deploy", "userdel -r deploy 2>/dev/null"]),
    (
        &["keys of deploy"],
        &[
            "chmod 0777 /home/deploy/.ssh",
            "chmod 0666 /home/deploy/.ssh/authorized_keys",
            "rm /home/deploy/.ssh/authorized_keys",
            ": >/home/deploy/.ssh/authorized_keys",
            "rm -r /home/deploy/.ssh",
            "chown -R root /home/deploy/.ssh",
            "sed -i 's/^ssh-/command=\"false\" ssh-/' /home/deploy/.ssh/authorized_keys",
        ],
    ),
    // Docker.
    (
        &["docker engine"],
        &[
            "systemctl stop docker.service docker.socket",
            "systemctl stop docker.service",
            "systemctl stop docker.socket",
        ],
    ),
    (
        &["docker engine"],
        &[
            "systemctl disable docker.service 2>/dev/null",
            "systemctl mask docker.service 2>/dev/null",
            "systemctl disable docker.socket 2>/dev/null",
        ],
    ),
    (
        &["docker engine"],
        &[
            "systemctl stop docker.socket && systemctl kill -s KILL docker.service && sleep 1 && systemctl stop docker.service",
        ],
    ),
    (&["docker network kamal"], &["docker network rm kamal >/dev/null"]),
    (
        &["docker settings"],
        &[
            "sed -i 's/10m/99m/' /etc/docker/daemon.json",
            "rm /etc/docker/daemon.json && systemctl restart docker",
            "sed -i 's/\"icc\": false/\"icc\": true/' /etc/docker/daemon.json && systemctl restart docker",
            "echo '{}' >/etc/docker/daemon.json",
        ],
    ),
    // Packages.
    (
        &["base packages"],
        &[
            "apt-get -q -y purge unattended-upgrades >/dev/null 2>&1",
            "apt-get -q -y remove unattended-upgrades >/dev/null 2>&1",
        ],
    ),
    (&["base packages", "firewall"], &["apt-get -q -y purge ufw >/dev/null 2>&1"]),
    (&["docker engine", "docker network kamal"], &["apt-get -q -y purge docker.io >/dev/null 2>&1"]),
    // Upgrades.
    (
        &["unattended upgrades"],
        &[
            "systemctl disable apt-daily-upgrade.timer",
            "systemctl mask apt-daily.timer",
            "systemctl -q mask --now apt-daily-upgrade.timer",
        ],
    ),
];

/// Kinds after which the host is right and not quite as before: something foreign stays that is harmless now (a line
/// commented out, a file that is read late), or the same is said in other words.
const FOREIGN: &[Kind] = &[
    (&["keys of deploy"], &["sed -i 's/^ssh-/#ssh-/' /home/deploy/.ssh/authorized_keys"]),
    (
        &["sshd"],
        &[
            "echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/00-aaa.conf && systemctl reload ssh",
            "echo PermitRootLogin yes >/etc/ssh/sshd_config.d/00-aaa.conf",
        ],
    ),
    (
        &["sshd"],
        &[
            "sed -i '1iX11Forwarding yes' /etc/ssh/sshd_config && systemctl reload ssh",
            "sed -i '/^Include/d' /etc/ssh/sshd_config",
            "echo ClientAliveInterval 77 >/etc/ssh/sshd_config.d/70-own.conf",
            "printf 'Match User deploy\\n\\tPasswordAuthentication yes\\n' >/etc/ssh/sshd_config.d/80-own.conf && systemctl reload ssh",
        ],
    ),
    (&["time zone"], &["ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime"]),
    (&["journal knows its limits"], &["printf '[Journal]\\nCompress=no\\n' >/etc/systemd/journald.conf.d/70-own.conf"]),
];

/// What befalls the file at `path`.
fn befalls(line: &str, path: &str, tasks: &'static [&'static str]) -> Damage {
    Damage { line: line.replace("$f", path), tasks, stays: false }
}

/// Every damage there is: each line of each kind, each file and all that befalls it.
fn every() -> Vec<Vec<Damage>> {
    let kinds = KINDS.iter().map(|kind| (kind, false)).chain(FOREIGN.iter().map(|kind| (kind, true)));
    let mut all: Vec<Vec<Damage>> = kinds
        .map(|((tasks, lines), stays)| {
            lines.iter().map(|line| Damage { line: (*line).to_owned(), tasks, stays }).collect()
        })
        .collect();
    for (path, tasks) in FILES {
        all.push(BEFALLS.iter().map(|line| befalls(line, path, tasks)).collect());
        // sshd and apt read as root whatever the mode is; journald may have to be restarted for it or not.
        if !["/etc/ssh", "/etc/apt", "/etc/systemd/journald"].iter().any(|other| path.starts_with(other)) {
            all.push(PERMISSIONS.iter().map(|line| befalls(line, path, tasks)).collect());
        }
    }
    all
}

/// One damage of each kind and to each file, in a chance order; or, with `BEDPLATE_EVERY_DAMAGE` set, every one.
pub(crate) fn all(luck: &mut Luck) -> Vec<Damage> {
    let whole = std::env::var_os("BEDPLATE_EVERY_DAMAGE").is_some();
    let mut all: Vec<Damage> =
        every().into_iter().flat_map(|kind| if whole { kind } else { vec![luck.pick(&kind).clone()] }).collect();
    luck.shuffle(&mut all);
    // What leaves something behind comes last, so that the others are compared with a host as it should be.
    all.sort_by_key(|damage| damage.stays);
    all
}

/// What no task declares: the line that does it, the finding that must name it, and the line that takes it back.
pub(crate) const STRAYS: &[(&str, &str, &str)] = &[
    ("apt-mark hold ufw >/dev/null", "held-package", "apt-mark unhold ufw >/dev/null"),
    ("apt-mark hold passwd >/dev/null", "held-package", "apt-mark unhold passwd >/dev/null"),
    (
        "d=$(mktemp -d) && mkdir $d/DEBIAN && for v in 2 1; do \
         printf 'Package: stray\\nVersion: %s\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' $v >$d/DEBIAN/control && \
         dpkg-deb -b $d /tmp/stray.deb >/dev/null && dpkg -i /tmp/stray.deb >/dev/null 2>&1 || exit 1; done",
        "downgraded-package",
        "dpkg --purge stray >/dev/null && rm /tmp/stray.deb",
    ),
    ("ufw allow 6379/tcp >/dev/null", "foreign-ufw-rule", "ufw delete allow 6379/tcp >/dev/null"),
    (
        "iptables -I INPUT -p tcp --dport 3306 -j ACCEPT",
        "rule-before-ufw",
        "iptables -D INPUT -p tcp --dport 3306 -j ACCEPT",
    ),
    (
        "ip6tables -I INPUT -p tcp --dport 3306 -j ACCEPT",
        "rule-before-ufw",
        "ip6tables -D INPUT -p tcp --dport 3306 -j ACCEPT",
    ),
    ("useradd -o -u 0 -g 0 toor", "second-root", "userdel -f toor 2>/dev/null"),
    ("useradd ann && passwd -q -d ann", "empty-password", "userdel ann"),
    (
        "install -d /etc/sudoers.d && touch /etc/sudoers.d/x && chmod 0666 /etc/sudoers.d/x",
        "writable-sudoers",
        "rm /etc/sudoers.d/x",
    ),
    ("touch /etc/cron.d/x && chmod 0777 /etc/cron.d/x", "writable-file", "rm /etc/cron.d/x"),
    ("systemd-run -q --unit=broken false; sleep 0.3", "failed-unit", "systemctl reset-failed broken"),
    ("systemctl -q mask apt-daily-other.service", "masked-unit", "systemctl -q unmask apt-daily-other.service"),
    (
        "mkdir /mnt/gone && echo '/dev/nothing /mnt/gone ext4 nofail 0 2' >>/etc/fstab",
        "unmounted",
        "sed -i /gone/d /etc/fstab && rmdir /mnt/gone",
    ),
    (
        "ssh-keygen -q -t ed25519 -N '' -C stray -f /tmp/stray && cat /tmp/stray.pub >>/home/deploy/.ssh/authorized_keys",
        "undeclared-key",
        "sed -i '/stray/d' /home/deploy/.ssh/authorized_keys && rm /tmp/stray*",
    ),
    (
        "echo 'net.ipv4.tcp_syncookies = 0' >/etc/sysctl.d/99-own.conf",
        "sysctl-overruled",
        "rm /etc/sysctl.d/99-own.conf",
    ),
];
