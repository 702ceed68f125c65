# This very connection, as sshd told its children.

# session_find: sets session_line to the four words of SSH_CONNECTION (client address, client port, server address,
# server port). sudo drops the variable, so it is looked for in the environments of the processes above.
session_find() {
	session_line=${SSH_CONNECTION:-}
	session_pid=$$
	while [ -z "$session_line" ] && [ "$session_pid" -gt 1 ]; do
		session_line=$(tr '\000' '\n' <"/proc/$session_pid/environ" | sed -n 's/^SSH_CONNECTION=//p')
		session_parent=0
		while read -r session_key session_value _; do
			[ "$session_key" = PPid: ] && session_parent=$session_value && break
		done <"/proc/$session_pid/status"
		session_pid=$session_parent
	done
}

# session_uid: sets session_number to the number of the user that this runs as.
session_uid() {
	session_number=
	while read -r session_key _ session_value _; do
		[ "$session_key" = Uid: ] && session_number=$session_value && return 0
	done </proc/self/status
	return 1
}

# session_user: sets session_login to who logged in, before any sudo.
session_user() {
	session_login=${SUDO_USER:-}
	[ -z "$session_login" ] || return 0
	# Who is root needs no process to be told: the first line of the database is its own on every host but odd ones.
	session_first=
	if session_uid && [ "$session_number" = 0 ]; then read -r session_first </etc/passwd; fi
	case $session_first in
		root:*:0:*) session_login=root ;;
		*) session_login=$(id -un) ;;
	esac
}

session_probe() {
	session_find
	session_user
	bp_field "$session_line"
	bp_field "$session_login"
	if [ -n "${SUDO_USER:-}" ]; then bp_field 1; else bp_field 0; fi
}
