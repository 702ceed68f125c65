# sshd: its files, what it makes of them, and whether the running one has read them.

# sshd_digest: one line of the digests of all files that sshd reads.
sshd_digest() {
	sshd_sum=$(sha256sum -- /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf 2>/dev/null)
	# shellcheck disable=SC2086 # its lines become one
	printf '%s ' $sshd_sum
}

# sshd_is_loaded: whether the running sshd has read the files as they are. A reload does not move a service's start
# time, so bedplate leaves the digest, with the invocation it belongs to; of the reloads of others systemd knows.
sshd_is_loaded() {
	sshd_link=/run/systemd/units/invocation:ssh.service
	[ -h "$sshd_link" ] || return 0
	sshd_invocation=$(readlink -- "$sshd_link")
	sshd_stamp='' sshd_seen=''
	[ -r /run/bedplate/sshd.loaded ] && read -r sshd_stamp sshd_seen </run/bedplate/sshd.loaded
	if [ "$sshd_stamp" = "$sshd_invocation" ]; then
		[ "$sshd_seen " != "$(sshd_digest)" ] || return 0
	else
		[ -n "$(find /etc/ssh/sshd_config /etc/ssh/sshd_config.d -newer "$sshd_link" 2>/dev/null)" ] || return 0
	fi
	loaded_since ssh.service /etc/ssh/sshd_config /etc/ssh/sshd_config.d
}

# sshd_listening: the ports that anything listens on, in hexadecimal, one a line.
sshd_listening() {
	set -- /proc/net/tcp
	[ ! -r /proc/net/tcp6 ] || set -- "$@" /proc/net/tcp6
	awk '$4 == "0A" { n = split($2, part, ":"); print part[n] }' "$@"
}

# sshd_heard: the same, of the ports that `sshd -T` names on the standard input; not looked further for than they are
# found, since the kernel walks through all connections to tell.
sshd_heard() {
	set -- /dev/stdin /proc/net/tcp
	[ ! -r /proc/net/tcp6 ] || set -- "$@" /proc/net/tcp6
	awk '
		FILENAME == "/dev/stdin" { if ($1 == "port") { wanted[sprintf("%04X", $2)]; left++ }; next }
		$4 == "0A" {
			n = split($2, part, ":")
			if (!(part[n] in wanted)) next
			print part[n]
			delete wanted[part[n]]
			if (--left == 0) exit
		}
	' "$@"
}

# sshd_ask USER OPTION...: the settings that a login of USER from this connection's address meets.
sshd_ask() {
	sshd_who=$1
	shift
	session_find
	sshd_from=127.0.0.1 sshd_to=127.0.0.1 sshd_port=22
	# shellcheck disable=SC2154 # session_line is set by session_find
	if [ -n "$session_line" ]; then
		sshd_from=${session_line%% *} sshd_port=${session_line##* }
		sshd_to=${session_line% *}
		sshd_to=${sshd_to##* }
	fi
	sshd -T "$@" -C "user=$sshd_who,host=$sshd_from,addr=$sshd_from,laddr=$sshd_to,lport=$sshd_port" 2>&1
}

# sshd_ready: sshd looks for this folder even to test; with socket activation nobody has made it yet.
sshd_ready() {
	[ -d /run/sshd ] || mkdir -m 0755 /run/sshd
}

# sshd_probe: whether there is an sshd; its files, path and text in turn, up to an empty path; whether it has read
# them; whether a generator turns its ports into those of ssh.socket; whether its moduli hold short ones; the lists of
# algorithms that it has by itself.
sshd_probe() {
	if [ ! -x /usr/sbin/sshd ]; then
		bp_field 0
		return 0
	fi
	bp_field 1
	for sshd_path in /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; do
		[ -f "$sshd_path" ] || continue
		bp_field "$sshd_path"
		tr -d '\000' <"$sshd_path"
		bp_field ''
	done
	bp_field ''
	if sshd_is_loaded; then bp_field 1; else bp_field 0; fi
	if [ -e /usr/lib/systemd/system-generators/sshd-socket-generator ]; then bp_field 1; else bp_field 0; fi
	if awk '$5 ~ /^[0-9]+$/ && $5 < 3071 { found = 1; exit } END { exit !found }' /etc/ssh/moduli; then
		bp_field 1
	else
		bp_field 0
	fi
	sshd_ready
	# One key is loaded in the place of all: it is for its lists alone.
	sshd_key=/etc/ssh/ssh_host_ed25519_key
	if [ -r "$sshd_key" ] && sshd_own=$(sshd -T -f /dev/null -o "HostKey=$sshd_key"); then
		bp_field "$sshd_own"
	else
		bp_field "$(sshd -T -f /dev/null)"
	fi
}

# sshd_is_uniform FILE...: none has a `Match`, and none reads others than the usual ones: then every login meets the same.
sshd_is_uniform() {
	for sshd_path in "$@"; do
		[ -r "$sshd_path" ] || continue
		while read -r sshd_line || [ -n "$sshd_line" ]; do
			case $sshd_line in
				'#'* | 'Include /etc/ssh/sshd_config.d/*.conf') ;;
				*[Mm][Aa][Tt][Cc][Hh]* | *[Ii][Nn][Cc][Ll][Uu][Dd][Ee]*) return 1 ;;
			esac
		done <"$sshd_path"
	done
}

# sshd_probe_logins USER...: `sshd -T` for each, an empty USER being who is logged in; `=` where that was answered
# already. Then the groups where groups decide, and at the end which of its ports are listened on.
sshd_probe_logins() {
	sshd_ready
	session_user
	sshd_first='' sshd_status=''
	# shellcheck disable=SC2154 # set by session_user
	sshd_login=$session_login
	for sshd_user in "$@"; do
		[ -n "$sshd_user" ] && [ "$sshd_user" = "$sshd_first" ] && bp_field '=' && continue
		[ -n "$sshd_user" ] || sshd_first=$sshd_login
		if [ "$sshd_status" = '' ] || ! sshd_is_uniform /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; then
			sshd_status=0
			sshd_text=$(sshd_ask "${sshd_user:-$sshd_login}") || sshd_status=1
		fi
		bp_field "$sshd_status"
		bp_field "$sshd_text"
		case $sshd_text in
			*allowgroups\ * | *denygroups\ *) bp_field "$(id -Gn -- "${sshd_user:-$sshd_login}")" ;;
			*) bp_field '' ;;
		esac
	done
	printf '%s\n' "$sshd_text" | sshd_heard
	bp_field ''
}
