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

# session_user: sets session_login to who logged in, before any sudo.
session_user() {
	session_login=${SUDO_USER:-}
	[ -n "$session_login" ] || session_login=$(id -un)
}

session_probe() {
	session_find
	session_user
	bp_field "$session_line"
	bp_field "$session_login"
	if [ -n "${SUDO_USER:-}" ]; then bp_field 1; else bp_field 0; fi
}
