# What Kamal's user finds on a host, in a login like Kamal's. Reads only.

# look_docker: whether there is a client; status and last line of asking the server its version; the server's folder,
# system and security options; the driver of the network kamal; containers with their ports, a line each.
look_docker() {
	if ! command -v docker >/dev/null; then
		bp_field 0
		bp_field 127
		bp_field ''
		bp_field ''
		bp_field ''
		bp_field ''
		return 0
	fi
	bp_field 1
	look_said=$(docker version --format '{{.Server.Version}}' 2>&1)
	bp_field "$?"
	bp_field "$(printf '%s\n' "$look_said" | tail -n 1)"
	bp_field "$(docker info --format '{{.DockerRootDir}}|{{.OSType}}|{{.SecurityOptions}}')"
	bp_field "$(docker network inspect --format '{{.Driver}}' kamal)"
	bp_field "$(docker ps --format '{{.Names}}|{{.Ports}}')"
}

# look_ports: addresses and ports that something listens on, as the kernel writes them, a line each.
look_ports() {
	bp_field "$(cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" { print $2 }')"
}

# look_home: who; the home; whether it can be written; whether scp is there; locks of Kamal's, a line each; what in
# .kamal belongs to somebody else.
look_home() {
	bp_field "$(id -un)"
	bp_field "$HOME"
	if [ -w "$HOME" ] && { [ ! -e "$HOME/.kamal" ] || [ -w "$HOME/.kamal" ]; }; then bp_field 1; else bp_field 0; fi
	if command -v scp >/dev/null; then bp_field 1; else bp_field 0; fi
	bp_field "$(cd -- "$HOME" && for look_lock in .kamal/lock-*; do [ -d "$look_lock" ] && echo "$look_lock"; done)"
}

# look_system: machine; seconds since 1970; whether the clock is kept; whether a reboot waits; packages that are half
# there; swap files; `path|kB free` of each FOLDER that is there; addresses of IPv6 that are good beyond the link, as the
# kernel writes them.
look_system() {
	bp_field "$(uname -m)"
	bp_field "$(date +%s)"
	bp_field "$(timedatectl show --property NTPSynchronized --value)"
	if [ -e /run/reboot-required ]; then bp_field 1; else bp_field 0; fi
	bp_field "$(awk '
		$1 == "Package:" { name = $2 }
		$1 == "Status:" && $4 != "installed" && $4 != "config-files" && $4 != "not-installed" { print name }
	' /var/lib/dpkg/status)"
	bp_field "$(tail -n +2 /proc/swaps | cut -d ' ' -f 1)"
	look_root=$(docker info --format '{{.DockerRootDir}}')
	bp_field "$(for look_folder in "${look_root:-/var/lib/docker}" /var/lib/containerd; do
		look_free=$(df -Pk -- "$look_folder" | awk 'NR == 2 { print $4 }')
		[ -n "$look_free" ] && echo "$look_folder|$look_free"
	done)"
	# Scope 0 is global; what Docker's bridges have is nobody's way in.
	bp_field "$(awk '$4 == "00" && $6 !~ /^(docker|br-|veth)/ { print $1 }' /proc/net/if_inet6)"
}

# look_registry SERVER: how it was asked (`curl`, `wget`, `openssl`, or nothing where there is no way), the status, the
# last line of error, and the status of HTTP; 0 where it was not seen.
look_registry() {
	look_ca=/etc/docker/certs.d/$1/ca.crt
	[ -r "$look_ca" ] || look_ca=/etc/ssl/certs/ca-certificates.crt
	look_status=0 look_code=0
	if command -v curl >/dev/null; then
		look_how=curl
		# The number comes last, on a line of its own.
		look_said=$(curl --silent --show-error --output /dev/null --write-out '\n%{http_code}' --max-time 10 --cacert "$look_ca" \
			"https://$1/v2/" 2>&1) || look_status=$?
		look_code=${look_said##*
}
		look_said=${look_said%
*}
		case $look_code in '' | *[!0-9]*) look_code=0 ;; esac
	elif command -v wget >/dev/null; then
		look_how=wget
		look_said=$(wget --quiet --tries=1 --timeout=10 --ca-certificate="$look_ca" --output-document=/dev/null "https://$1/v2/" 2>&1) || look_status=$?
		# 6 and 8: it answered, and wants a login.
		case $look_status in 6 | 8) look_status=0 ;; esac
	elif command -v openssl >/dev/null; then
		look_how=openssl
		case $1 in *:*) look_at=$1 ;; *) look_at=$1:443 ;; esac
		look_said=$(timeout 10 openssl s_client -connect "$look_at" -servername "${1%:*}" -CAfile "$look_ca" -verify_return_error </dev/null 2>&1) || look_status=$?
	else
		look_how=
		look_said=
	fi
	bp_field "$look_how"
	bp_field "$look_status"
	bp_field "$(printf '%s\n' "$look_said" | tail -n 1)"
	bp_field "$((look_code))"
}

# look_volumes NAME...: whether there is such a volume of Docker's, the folder or device that it lies on where it names
# one, and whether that is there.
look_volumes() {
	for look_volume; do
		if look_device=$(docker volume inspect --format '{{with .Options}}{{.device}}{{end}}' -- "$look_volume" 2>/dev/null); then
			bp_field 1
		else
			bp_field 0
		fi
		# What a template makes of an option that is not set.
		[ "$look_device" != '<no value>' ] || look_device=
		bp_field "$look_device"
		if [ -z "$look_device" ] || [ -e "$look_device" ]; then bp_field 1; else bp_field 0; fi
	done
}

# look_files FILE...: absent, own or other: whose each file below the home is.
look_files() {
	cd -- "$HOME" || return 1
	for look_file; do
		if [ ! -e "$look_file" ]; then
			bp_field absent
		elif [ -O "$look_file" ]; then
			bp_field own
		else
			bp_field other
		fi
	done
}

# look_folders FOLDER...: whether it is there, and the number of its owner. A relative one is in the home.
look_folders() {
	cd -- "$HOME" || return 1
	for look_folder; do
		if [ -d "$look_folder" ]; then bp_field 1; else bp_field 0; fi
		bp_field "$(stat -c %u -- "$look_folder")"
	done
}
