# sshd's configuration as a whole: judged on a copy, put in place, loaded, and shown to listen.

sshd_copy=

# sshd_room: a folder of our own that the next boot takes away.
sshd_room() {
	[ -d /run/bedplate ] || mkdir -m 0700 /run/bedplate
}

# sshd_judge MESSAGE: end with what sshd said of the copy, under the names that the real files have.
sshd_judge() {
	sed "s|$sshd_copy|/etc/ssh|g" "$sshd_copy/said"
	bp_fail "$1; nothing was changed"
}

# sshd_copied: a copy of the files in which includes lead to the copy.
sshd_copied() {
	sshd_room
	sshd_copy=$(mktemp -d /run/bedplate/sshd.XXXXXX) || bp_fail "no room for a copy of the configuration in /run"
	trap 'rm -rf -- "$sshd_copy"' EXIT
	mkdir -- "$sshd_copy/sshd_config.d"
	cp -- /etc/ssh/sshd_config "$sshd_copy/sshd_config"
	for sshd_path in /etc/ssh/sshd_config.d/*.conf; do
		[ -f "$sshd_path" ] && cp -- "$sshd_path" "$sshd_copy/sshd_config.d/"
	done
	return 0
}

# sshd_includes: make the copy's own includes lead to the copy.
sshd_includes() {
	sed -i -e "s|^\([[:space:]]*[Ii][Nn][Cc][Ll][Uu][Dd][Ee][[:space:]=].*\)/etc/ssh/sshd_config\.d/|\1$sshd_copy/sshd_config.d/|" \
		-e "s|^\([[:space:]]*[Ii][Nn][Cc][Ll][Uu][Dd][Ee][[:space:]=]*\)sshd_config\.d/|\1$sshd_copy/sshd_config.d/|" \
		"$sshd_copy/sshd_config"
}

# sshd_place PATH WANTED CONTENT: put one file in place; a file that is there keeps its mode and owner, and, if it is
# somebody else's, a copy of how it was.
sshd_place() {
	if [ "$2" = absent ]; then
		rm -f -- "$1"
		return
	fi
	sshd_part=$1.bedplate-part.$$
	if [ -f "$1" ]; then
		case $1 in
			*/00-bedplate.conf) ;;
			*) [ -e "$1.before-bedplate" ] || cp -p -- "$1" "$1.before-bedplate" ;;
		esac
		cp -p -- "$1" "$sshd_part" || return 1
	else
		action_parents "$1" && : >"$sshd_part" && chmod 0644 -- "$sshd_part" || return 1
	fi
	printf '%s' "$3" >"$sshd_part" || return 1
	[ "$(action_state "$sshd_part")" = "$2" ] || return 1
	sync -- "$sshd_part" 2>/dev/null
	mv -f -T -- "$sshd_part" "$1"
}

# sshd_hears PORT...: wait up to ten seconds until all are listened on.
sshd_hears() {
	sshd_tries=0
	while [ "$sshd_tries" -lt 100 ]; do
		sshd_now=" $(sshd_listening | tr '\n' ' ')"
		sshd_deaf=
		for sshd_port in "$@"; do
			case $sshd_now in
				*" $(printf '%04X' "$sshd_port") "*) ;;
				*) sshd_deaf=$sshd_port ;;
			esac
		done
		[ -n "$sshd_deaf" ] || return 0
		sleep 0.1
		sshd_tries=$((sshd_tries + 1))
	done
	bp_fail "nothing listens on port $sshd_deaf after sshd has read its new configuration"
}

# sshd_by_socket PORT...: ssh.socket listens. Where no generator reads the ports from sshd's files, it is told them.
# A socket whose service runs can not start anew, so both stop for a moment; logins that are open stay.
sshd_by_socket() {
	if [ ! -e /usr/lib/systemd/system-generators/sshd-socket-generator ]; then
		(umask 022 && mkdir -p /etc/systemd/system/ssh.socket.d)
		{
			printf '# Written by bedplate.\n[Socket]\nListenStream=\n'
			printf 'ListenStream=%s\n' "$@"
		} >/etc/systemd/system/ssh.socket.d/bedplate.conf.part || return 1
		chmod 0644 /etc/systemd/system/ssh.socket.d/bedplate.conf.part
		mv -f -- /etc/systemd/system/ssh.socket.d/bedplate.conf.part /etc/systemd/system/ssh.socket.d/bedplate.conf
	fi
	systemctl daemon-reload
	systemctl stop ssh.socket ssh.service
	systemctl reset-failed ssh.socket ssh.service 2>/dev/null
	systemctl start ssh.socket
}

# sshd_ears: the sockets that the running sshd listens on, by number, with blanks between.
sshd_ears() {
	sshd_main=$(systemctl show -p MainPID --value ssh.service)
	sshd_open=" $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { printf "%s ", $10 }')"
	for sshd_file in /proc/"$sshd_main"/fd/*; do
		sshd_file=$(readlink -- "$sshd_file") || continue
		sshd_file=${sshd_file#socket:\[}
		sshd_file=${sshd_file%\]}
		case $sshd_open in
			*" $sshd_file "*) printf '%s ' "$sshd_file" ;;
		esac
	done
}

# sshd_reload: a reload only asks sshd to start over. Whoever comes before it does meets the old settings, so it is
# waited for: then it listens on other sockets.
sshd_reload() {
	sshd_old=$(sshd_ears)
	systemctl reload ssh.service || return 1
	sshd_tries=0
	while [ -n "$sshd_old" ] && [ "$(sshd_ears)" = "$sshd_old" ] && [ "$sshd_tries" -lt 100 ]; do
		sleep 0.1
		sshd_tries=$((sshd_tries + 1))
	done
}

# sshd_load SOCKET PORT...: make the running sshd read its files, and leave word of what it has read.
sshd_load() {
	sshd_socket=$1
	shift
	if [ "$sshd_socket" = 1 ] && systemctl --quiet is-active ssh.socket; then
		bp_detached /run/bedplate/sshd.log sshd_by_socket "$@" || bp_fail "ssh.socket does not start"
	fi
	if systemctl --quiet is-active ssh.service; then
		if [ "$sshd_socket" = 1 ]; then systemctl reload ssh.service; else sshd_reload; fi ||
			bp_fail "sshd does not read its configuration again"
	fi
	sshd_hears "$@"
	sshd_link=/run/systemd/units/invocation:ssh.service
	[ -h "$sshd_link" ] || return 0
	sshd_room
	printf '%s %s\n' "$(readlink -- "$sshd_link")" "$(sshd_digest)" >/run/bedplate/sshd.loaded.part &&
		mv -f -- /run/bedplate/sshd.loaded.part /run/bedplate/sshd.loaded
}

# sshd_configure SOCKET PORTS FILES [PATH FOUND WANTED CONTENT]... [USER PAIRS]...: FILES of the first, any number of
# the second. PAIRS are lines of `sshd -T` that USER (empty: who is logged in) must meet; PORTS has blanks between.
sshd_configure() {
	sshd_socket=$1 sshd_ports=$2 sshd_left=$3
	shift 3
	sshd_ready
	sshd_copied
	# Twice over the same list: first all is judged on the copy, then put in place.
	for sshd_round in copy place; do
		sshd_count=$sshd_left
		while [ "$sshd_count" -gt 0 ]; do
			if [ "$sshd_round" = copy ]; then
				sshd_now=$(action_state "$1")
				[ "$sshd_now" = "$2" ] || [ "$sshd_now" = "$3" ] || bp_moved "$1"
				sshd_target=$sshd_copy/${1#/etc/ssh/}
				if [ "$3" = absent ]; then rm -f -- "$sshd_target"; else printf '%s' "$4" >"$sshd_target"; fi
			else
				sshd_place "$1" "$3" "$4" || bp_fail "$1 can not be written: is the disk full?"
			fi
			# What was looked at goes to the end, so that the second round finds the list as it was.
			set -- "$@" "$1" "$2" "$3" "$4"
			shift 4
			sshd_count=$((sshd_count - 1))
		done
		# The users stand first now; they take part in the first round only.
		if [ "$sshd_round" = copy ]; then
			sshd_includes
			sshd -t -f "$sshd_copy/sshd_config" >"$sshd_copy/said" 2>&1 || sshd_judge "sshd refuses this configuration"
			session_user
			while [ $# -gt $((sshd_left * 4)) ]; do
				sshd_meets "$1" "$2"
				shift 2
			done
		fi
	done
	# shellcheck disable=SC2086 # a list of numbers
	sshd_load "$sshd_socket" $sshd_ports
}

# sshd_meets USER PAIRS: a login of USER must meet each line of PAIRS, by the copy.
sshd_meets() {
	# shellcheck disable=SC2154 # session_login is set by session_user
	sshd_user=${1:-$session_login}
	sshd_ask "$sshd_user" -f "$sshd_copy/sshd_config" >"$sshd_copy/said" ||
		sshd_judge "sshd does not say what a login of $sshd_user would meet"
	printf '%s\n' "$2" >"$sshd_copy/wanted"
	grep -F -x -v -f "$sshd_copy/said" "$sshd_copy/wanted" >"$sshd_copy/missing"
	if [ -s "$sshd_copy/missing" ]; then
		sed 's/^/not in force: /' "$sshd_copy/missing" >"$sshd_copy/said"
		sshd_judge "a Match block or an included file outranks these settings for $sshd_user"
	fi
}

# sshd_prune_moduli: leave out the groups of less than 3072 bits. The list as it was is kept beside it.
sshd_prune_moduli() {
	[ -f /etc/ssh/moduli ] || return 0
	sshd_part=/etc/ssh/moduli.bedplate-part.$$
	trap 'rm -f -- "$sshd_part"' EXIT
	if ! cp -p -- /etc/ssh/moduli "$sshd_part" ||
		! awk '$5 !~ /^[0-9]+$/ || $5 >= 3071' /etc/ssh/moduli >"$sshd_part"; then
		bp_fail "/etc/ssh/moduli can not be written: is the disk full?"
	fi
	grep -q '^[0-9]' "$sshd_part" || bp_fail "/etc/ssh/moduli has no group of 3072 bits or more; it is left as it is"
	[ -e /etc/ssh/moduli.before-bedplate ] || cp -p -- /etc/ssh/moduli /etc/ssh/moduli.before-bedplate
	sync -- "$sshd_part" 2>/dev/null
	mv -f -T -- "$sshd_part" /etc/ssh/moduli
}
