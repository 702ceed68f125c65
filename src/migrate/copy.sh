# Copies trees from one host to another with rsync: the new host pulls, the old one only reads. What is needed for that is
# lent for a moment and taken back.

copy_dir=/run/bedplate/migrate
copy_record=/var/lib/bedplate/migrate
# The fastest of today's ciphers first.
copy_ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr

# copy_apt WORD...: apt, in peace: nothing is restarted for it on a host that serves.
copy_apt() {
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y -o DPkg::Lock::Timeout=120 "$@"
}

# copy_install PACKAGE: installs it, with newer lists if that is what it takes.
copy_install() {
	apt-cache show "$1" >/dev/null 2>&1 || copy_apt update
	copy_apt install --no-install-recommends "$1" || { copy_apt update && copy_apt install --no-install-recommends "$1"; }
}

# copy_package COMMAND PACKAGE: sees to it that a command is there. What is installed for it is written down.
copy_package() {
	command -v "$1" >/dev/null && return 0
	mkdir -p "$copy_record" || exit 1
	printf '%s\n' "$2" >>"$copy_record/installed" || exit 1
	bp_detached /run/bedplate/copy-package.log copy_install "$2"
}

# copy_remove: removes what was written down.
copy_remove() {
	sort -u "$copy_record/installed" | while read -r copy_name; do
		copy_apt purge "$copy_name" </dev/null || exit 1
	done
}

# copy_unpack: removes what was installed for a copy.
copy_unpack() {
	[ -e "$copy_record/installed" ] || return 0
	bp_detached /run/bedplate/copy-package.log copy_remove || exit 1
	rm -f "$copy_record/installed"
}

# copy_place: an empty folder that nobody else can look into.
copy_place() {
	rm -rf "$copy_dir" && mkdir -p "$copy_dir" && chmod 0700 "$copy_dir"
}

# copy_learn OPTION...: the words that rsync here would start the other one with, each in a field.
copy_learn() {
	# shellcheck disable=SC2016 # for the script that is written
	printf '#!/bin/sh\nfor word; do printf "%%s\\000" "$word"; done >%s/words\nexit 1\n' "$copy_dir" >"$copy_dir/learn" || exit 1
	rsync -e "/bin/sh $copy_dir/learn" "$@" other:/x/ "$copy_dir/nothing/" >/dev/null 2>&1
	cat "$copy_dir/words"
}

# copy_key: makes a key that is used once, and gives its public half.
copy_key() {
	rm -f "$copy_dir/key" "$copy_dir/key.pub"
	ssh-keygen -q -t ed25519 -N '' -C bedplate-migrate-once -f "$copy_dir/key" || exit 1
	cat "$copy_dir/key.pub"
}

# copy_known LINE: how the other host is known.
copy_known() {
	printf '%s\n' "$1" >"$copy_dir/known_hosts"
}

# copy_addresses: the addresses of this host, with commas between.
copy_addresses() {
	hostname -I | tr ' ' '\n' | sed '/^$/d' | paste -s -d , -
}

# copy_lend USER KEY COMMAND FROM: lets whoever holds the key run that one command, from those addresses, within ten
# minutes; a copy logs in at once.
copy_lend() {
	copy_take_back "$1"
	copy_home=$(getent passwd "$1" | cut -d : -f 6)
	copy_file=$copy_home/.ssh/authorized_keys
	copy_until=$(date -d '+10 minutes' +%Y%m%d%H%M%S) || exit 1
	[ -f "$copy_file" ] || bp_fail "$1 has no $copy_file"
	cp -p -- "$copy_file" "$copy_file.bedplate-new" || exit 1
	[ -z "$(tail -c 1 "$copy_file.bedplate-new")" ] || printf '\n' >>"$copy_file.bedplate-new" || exit 1
	printf 'restrict,from="%s",expiry-time="%s",command="%s" %s\n' "$4" "$copy_until" "$3" "$2" >>"$copy_file.bedplate-new" || exit 1
	mv -f -- "$copy_file.bedplate-new" "$copy_file"
}

# copy_take_back USER: takes such keys away, also those of a move that was cut off.
copy_take_back() {
	copy_home=$(getent passwd "$1" | cut -d : -f 6)
	copy_file=$copy_home/.ssh/authorized_keys
	rm -f -- "$copy_file.bedplate-new"
	grep -q ' bedplate-migrate-once$' "$copy_file" 2>/dev/null || return 0
	cp -p -- "$copy_file" "$copy_file.bedplate-new" || exit 1
	copy_status=0
	grep -v ' bedplate-migrate-once$' "$copy_file" >"$copy_file.bedplate-new" || copy_status=$?
	# 1: no other line. Anything else, such as a full disk, must not cost anybody the way in.
	if [ "$copy_status" -gt 1 ]; then
		rm -f -- "$copy_file.bedplate-new"
		bp_fail "$copy_file can not be written"
	fi
	mv -f -- "$copy_file.bedplate-new" "$copy_file"
}

# copy_reaches OPTIONS ADDRESS: whether the key that was lent opens the other host from here, and how many bytes a second
# come of the zeros that it sends, for a second at most.
copy_reaches() {
	# shellcheck disable=SC2086 # options
	timeout 20 ssh -F none -i "$copy_dir/key" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
		-o UserKnownHostsFile="$copy_dir/known_hosts" -o ConnectTimeout=8 -c "$copy_ciphers" $1 "$2" \
		</dev/null 2>"$copy_dir/said" | copy_rate && return 0
	cat "$copy_dir/said"
	return 1
}

# copy_rate: counts what comes in from the first byte on; fails when none does.
copy_rate() {
	[ "$(head -c 1 | wc -c)" = 1 ] || return 1
	read -r copy_begun _ </proc/uptime
	copy_bytes=$(timeout 1 cat | wc -c)
	read -r copy_ended _ </proc/uptime
	copy_ticks=$((${copy_ended%.*}${copy_ended#*.} - ${copy_begun%.*}${copy_begun#*.}))
	[ "$copy_ticks" -gt 0 ] || copy_ticks=1
	printf '%s\n' "$((copy_bytes * 100 / copy_ticks))"
}

# copy_zstd: whether rsync can compress by zstd.
copy_zstd() {
	rsync --version | grep -qw zstd
}

# copy_pipes: two pipes, and three commands on them. `pipes` stands in the place of ssh: what rsync says goes into one, what
# it is to hear comes out of the other, and when that is over, all is: rsync waits for its end. `ends` has the other ends.
# `free` lets go whoever waits for them.
copy_pipes() {
	rm -f "$copy_dir/up" "$copy_dir/down"
	mkfifo "$copy_dir/up" "$copy_dir/down" || exit 1
	# shellcheck disable=SC2016 # for the script that is written
	printf 'exec 3<&0 </dev/null\ncat <&3 >%s/up &\nexec 3<&-\ncat <%s/down\nstatus=$?\nkill "$!"\nexit "$status"\n' "$copy_dir" "$copy_dir" >"$copy_dir/pipes" || exit 1
	printf 'cat %s/up </dev/null &\ncat >%s/down\nwait\n' "$copy_dir" "$copy_dir" >"$copy_dir/ends" || exit 1
	printf ': <>%s/up\n: <>%s/down\n' "$copy_dir" "$copy_dir" >"$copy_dir/free"
}

# copy_parent PATH USER: makes the folders above a path; those below the home of the deployer's login belong to it, or the
# deployer could put nothing beside the data.
copy_parent() {
	copy_home=$(getent passwd "$2" | cut -d : -f 6)
	copy_above=$(dirname -- "$1")
	while [ ! -d "$copy_above" ]; do
		case $copy_above in
			"${copy_home:-/nowhere}"/*) copy_owned=$copy_above ;;
			*) copy_owned='' ;;
		esac
		copy_below=$copy_above
		copy_above=$(dirname -- "$copy_above")
		if [ -d "$copy_above" ]; then
			(umask 022 && mkdir -- "$copy_below") || exit 1
			[ -z "$copy_owned" ] || chown -- "$2:" "$copy_below" || exit 1
			copy_above=$(dirname -- "$1")
		fi
	done
}

# copy_owner PATH: owner, group and mode of a folder.
copy_owner() {
	bp_field "$(stat -c '%u:%g %a' -- "$1")"
}

# copy_own PATH OWNER MODE: gives a folder an owner and a mode.
copy_own() {
	chown -- "$2" "$1" && chmod -- "$3" "$1"
}

# copy_pull SHELL OPTION... SOURCE TARGET: runs rsync. What stands in the place of ssh is a word of `ssh` or `pipes`.
copy_pull() {
	copy_shell=$1
	shift
	if [ "$copy_shell" = pipes ]; then
		copy_way="/bin/sh $copy_dir/pipes"
		# What stands in for ssh can not write to what refuses to wait.
		set -- --blocking-io "$@"
	else
		copy_way="ssh -F none -i $copy_dir/key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes"
		copy_way="$copy_way -o UserKnownHostsFile=$copy_dir/known_hosts -o ConnectTimeout=15 -o ServerAliveInterval=15"
		copy_way="$copy_way -c $copy_ciphers $copy_shell"
	fi
	copy_status=0
	rsync -e "$copy_way" "$@" || copy_status=$?
	if [ "$copy_shell" = pipes ] && [ "$copy_status" != 0 ]; then
		# Whoever waits for the other end of a pipe would wait for ever.
		sh "$copy_dir/free"
	fi
	return "$copy_status"
}

# copy_volume NAME LABEL-OR-OPTION...: makes a volume of Docker unless there is one, and gives the folder that its data is
# in: of one that lies on a folder of the host, that folder.
copy_volume() {
	copy_name=$1
	shift
	if ! docker volume inspect "$copy_name" >/dev/null 2>&1; then
		docker volume create "$@" "$copy_name" >/dev/null || exit 1
	fi
	docker volume inspect --format '{{if .Options}}{{index .Options "device"}}{{end}}|{{.Mountpoint}}' "$copy_name"
}

# copy_mark TEXT: writes down whose data this host is being filled with.
copy_mark() {
	mkdir -p "$copy_record" && chmod 0700 "$copy_record" && printf '%s\n' "$1" >"$copy_record/move.new" &&
		sync "$copy_record/move.new" && mv -f "$copy_record/move.new" "$copy_record/move"
}

# copy_marked: that text.
copy_marked() {
	[ ! -e "$copy_record/move" ] || cat "$copy_record/move"
}

# copy_deploys USER: Kamal's locks in the home of its login, which stand for a deploy that runs or was cut off.
copy_deploys() {
	copy_home=$(getent passwd "$1" | cut -d : -f 6)
	for copy_lock in "${copy_home:-/nowhere}"/.kamal/lock-*; do
		[ ! -d "$copy_lock" ] || printf '%s\n' "$copy_lock"
	done
}

# copy_clean: takes away all that a copy needed.
copy_clean() {
	rm -rf "$copy_dir"
}
