# What a move finds on a host: its login, its Docker, and the paths that data lies in. Reads only.

# survey_host USER: the machine; the home, number and group of a user; rsync's version; whether ssh is there; the server's
# version and folder of Docker, empty where it does not answer; whether there is a Docker at all.
survey_host() {
	bp_field "$(uname -m)"
	survey_entry=$(getent passwd "$1") || survey_entry=''
	bp_field "$(printf '%s' "$survey_entry" | cut -d : -f 6)"
	bp_field "$(printf '%s' "$survey_entry" | cut -d : -f 3)"
	bp_field "$(printf '%s' "$survey_entry" | cut -d : -f 4)"
	survey_rsync=$(rsync --version) || survey_rsync=''
	bp_field "$(printf '%s\n' "$survey_rsync" | sed -n 's/^rsync *version *\([0-9.]*\).*/\1/p')"
	if command -v ssh >/dev/null && command -v ssh-keygen >/dev/null; then
		bp_field 1
	else
		bp_field 0
	fi
	survey_docker=$(docker info --format '{{.ServerVersion}}|{{.DockerRootDir}}') || survey_docker='|'
	bp_field "${survey_docker%%|*}"
	bp_field "${survey_docker#*|}"
	if command -v docker >/dev/null; then bp_field 1; else bp_field 0; fi
}

# survey_ipv6: the addresses of IPv6 by which the world reaches this host, in hexadecimal, a line each: global, lasting, and
# not of a network that Docker has made.
survey_ipv6() {
	[ -r /proc/net/if_inet6 ] || return 0
	# shellcheck disable=SC2034 # the fields of a line, of which not all are asked for
	while read -r survey_address survey_index survey_length survey_scope survey_flags survey_device; do
		case $survey_scope/$survey_address/$survey_device in
			00/f[cd]* | 00/*/docker* | 00/*/br-* | 00/*/veth*) continue ;;
			00/[23]*) ;;
			*) continue ;;
		esac
		# Temporary (privacy), tentative, failed or about to go: RFC 4941 and IFA_F_* in linux/if_addr.h.
		[ "$((0x$survey_flags & 0x69))" -ne 0 ] || printf '%s\n' "$survey_address"
	done </proc/net/if_inet6
}

# survey_volumes: all volumes of Docker as it describes them itself.
survey_volumes() {
	survey_names=$(docker volume ls --quiet) || return 1
	[ -n "$survey_names" ] || return 0
	# shellcheck disable=SC2086 # names, which hold no blanks
	docker volume inspect $survey_names
}

# survey_containers: all containers, a line of JSON each, without their environment.
survey_containers() {
	survey_names=$(docker ps --all --quiet --no-trunc) || return 1
	[ -n "$survey_names" ] || return 0
	# shellcheck disable=SC2086 # numbers
	docker container inspect --format '{"name":{{json .Name}},"running":{{json .State.Running}},"labels":{{json .Config.Labels}},"mounts":{{json .Mounts}}}' $survey_names
}

# survey_paths PATH...: of each its sort (folder, database, file, other, absent), where it really is, whether it is empty, the bytes
# that it takes on the disk, the bytes in it, and its inodes.
survey_paths() {
	for survey_path in "$@"; do
		survey_empty=0
		if [ -d "$survey_path" ]; then
			bp_field folder
			# A file system of ext4 is made with a folder for what a check may find, which is nothing of anybody's as long
			# as it holds nothing.
			[ -n "$(find "$survey_path/" -mindepth 1 -maxdepth 1 ! '(' -name lost+found -type d -empty ')' -print -quit)" ] || survey_empty=1
		elif [ -f "$survey_path" ] && [ "$(head -c 15 -- "$survey_path")" = 'SQLite format 3' ]; then
			bp_field database
		elif [ -f "$survey_path" ]; then
			bp_field file
		elif [ -e "$survey_path" ] || [ -h "$survey_path" ]; then
			bp_field other
		else
			bp_field absent
			survey_empty=1
		fi
		bp_field "$(readlink -m -- "$survey_path")"
		bp_field "$survey_empty"
		survey_used=$(du -s -B 1 -- "$survey_path/." || du -s -B 1 -- "$survey_path") || survey_used=0
		bp_field "${survey_used%%[!0-9]*}"
		survey_used=$(du -s -b -- "$survey_path/." || du -s -b -- "$survey_path") || survey_used=0
		bp_field "${survey_used%%[!0-9]*}"
		survey_used=$(du -s --inodes -- "$survey_path/." || du -s --inodes -- "$survey_path") || survey_used=0
		bp_field "${survey_used%%[!0-9]*}"
	done
}

# survey_room PATH...: of each the file system that it is on or would be on, the free bytes there, and the free inodes
# (empty where the file system makes them as it needs them).
survey_room() {
	for survey_path in "$@"; do
		while [ ! -e "$survey_path" ] && [ "$survey_path" != / ]; do
			survey_path=$(dirname -- "$survey_path")
		done
		bp_field "$(stat -c %d -- "$survey_path")"
		bp_field "$(df -B 1 --output=avail -- "$survey_path" | tail -n 1 | tr -d ' ')"
		# btrfs says that it has none at all.
		bp_field "$(df --output=itotal,iavail -- "$survey_path" | sed -n '2s/^ *[1-9][0-9]*  *\([0-9][0-9]*\)$/\1/p')"
	done
}

