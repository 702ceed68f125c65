#!/bin/sh
# What the built-in playbooks make of a bare Debian 12, as somebody in a hurry would write it down: it asks nothing, proves
# nothing, and takes nothing back. The benchmark's yardstick; not meant for servers.
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

apt_get() { apt-get -y -q -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=0 "$@"; }

fallocate -l 64M /swapfile && chmod 600 /swapfile && mkswap -q /swapfile && swapon /swapfile
echo '/swapfile none swap sw 0 0' >> /etc/fstab
echo 'vm.swappiness = 10' > /etc/sysctl.d/60-swap.conf

apt_get update
apt_get install nftables ufw unattended-upgrades docker.io

mkdir -p /etc/systemd/journald.conf.d /etc/systemd/coredump.conf.d /etc/docker
printf '[Journal]\nStorage=persistent\nSystemMaxUse=500M\n' > /etc/systemd/journald.conf.d/60-size.conf
systemctl restart systemd-journald

getent group docker > /dev/null || groupadd --system docker
useradd --create-home --shell /bin/bash --groups docker deploy
install -d -m 700 -o deploy -g deploy /home/deploy/.ssh
install -m 600 -o deploy -g deploy /root/.ssh/authorized_keys /home/deploy/.ssh/authorized_keys

ufw default deny incoming && ufw default allow outgoing
ufw allow 22/tcp && ufw allow 80/tcp && ufw allow 443/tcp
ufw --force enable

awk '$5 >= 3071' /etc/ssh/moduli > /etc/ssh/moduli.safe && mv /etc/ssh/moduli.safe /etc/ssh/moduli
cat > /etc/ssh/sshd_config.d/00-hardening.conf <<'END'
AllowAgentForwarding no
AllowTcpForwarding yes
Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr
ClientAliveCountMax 2
Compression no
KbdInteractiveAuthentication no
KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256
LogLevel VERBOSE
LoginGraceTime 60
MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com
MaxAuthTries 6
PasswordAuthentication no
PermitRootLogin prohibit-password
PermitTunnel no
PermitUserEnvironment no
X11Forwarding no
END
sshd -t && systemctl reload ssh

cat > /etc/apt/apt.conf.d/52-local <<'END'
APT::Periodic::AutocleanInterval "7";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::Update-Package-Lists "1";
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
END

cat > /etc/sysctl.d/99-kernel.conf <<'END'
dev.tty.ldisc_autoload = 0
fs.protected_fifos = 2
fs.protected_regular = 2
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
kernel.panic = 10
kernel.sysrq = 0
kernel.unprivileged_bpf_disabled = 1
END
cat > /etc/sysctl.d/60-network.conf <<'END'
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.all.accept_source_route = 0
net.ipv4.conf.all.rp_filter = 2
net.ipv4.conf.all.secure_redirects = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.accept_redirects = 0
net.ipv4.conf.default.rp_filter = 2
net.ipv4.conf.default.send_redirects = 0
net.ipv4.tcp_syncookies = 1
net.ipv6.conf.all.accept_redirects = 0
net.ipv6.conf.default.accept_redirects = 0
END
sysctl -q -p /etc/sysctl.d/60-network.conf

for module in dccp sctp rds tipc; do echo "install $module /bin/false"; done > /etc/modprobe.d/60-unused.conf
printf '* hard core 0\nroot hard core 0\n' > /etc/security/limits.d/60-core.conf
echo 'ulimit -c 0' > /etc/profile.d/60-core.sh
printf '[Coredump]\nStorage=none\nProcessSizeMax=0\n' > /etc/systemd/coredump.conf.d/60-none.conf
echo 'fs.suid_dumpable = 0' > /etc/sysctl.d/60-core.conf

cat > /etc/docker/daemon.json <<'END'
{ "log-driver": "local", "log-opts": { "max-size": "10m", "max-file": "5" }, "live-restore": true, "icc": false,
  "no-new-privileges": true }
END
systemctl restart docker

mkdir -p /etc/docker-firewall
cat > /etc/docker-firewall/rules.nft <<'END'
table inet docker_published {
	chain forward {
		type filter hook forward priority -5; policy accept;
		ct state established,related accept
		iifname { "docker0", "docker_gwbridge" } accept
		iifname "br-*" accept
		oifname { "docker0", "docker_gwbridge" } jump published
		oifname "br-*" jump published
	}
	chain published {
		ct status dnat meta l4proto tcp ct original proto-dst { 80, 443 } accept
		drop
	}
}
END
cat > /etc/systemd/system/docker-firewall.service <<'END'
[Unit]
Before=docker.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/docker-firewall/rules.nft
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now docker-firewall
docker network create kamal
