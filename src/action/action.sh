# Changes of files and units. Every function can be run twice and checks the state that it was planned on.

# action_state PATH: what is at a path, in one word: absent, directory, link, other, or the digest of a file.
action_state() {
	if [ -h "$1" ]; then
		printf 'link'
	elif [ -d "$1" ]; then
		printf 'directory'
	elif [ -f "$1" ]; then
		action_digest=$(sha256sum -- "$1") || return 1
		action_digest=${action_digest#\\}
		printf '%s' "${action_digest%% *}"
	elif [ -e "$1" ]; then
		printf 'other'
	else
		printf 'absent'
	fi
}

# action_expect PATH STATE: stop unless the path is as planned.
action_expect() {
	[ "$(action_state "$1")" = "$2" ] || bp_moved "$1"
}

# action_parents PATH: make missing folders above a path, readable by all.
action_parents() {
	action_parent=${1%/*}
	[ -z "$action_parent" ] || [ -d "$action_parent" ] || (umask 022 && mkdir -p -- "$action_parent")
}

# action_write PATH STATE WANTED MODE USER GROUP CONTENT: write beside the target, then rename over it. STATE is what
# the plan saw, WANTED the digest of CONTENT: a second run finds it there and only sets mode and owner.
action_write() {
	action_now=$(action_state "$1")
	if [ "$action_now" != "$3" ]; then
		[ "$action_now" = "$2" ] || bp_moved "$1"
	fi
	action_parents "$1" || bp_fail "the folder of $1 can not be made"
	action_part=$1.bedplate-part.$$
	trap 'rm -f -- "$action_part"' EXIT
	(umask 077 && printf '%s' "$7" >"$action_part") || bp_fail "$1 can not be written"
	[ "$(action_state "$action_part")" = "$3" ] || bp_fail "$1 can not be written whole: is the disk full?"
	if ! chown -- "$5:$6" "$action_part" || ! chmod -- "$4" "$action_part"; then
		bp_fail "the owner or mode of $1 can not be set"
	fi
	sync -- "$action_part" 2>/dev/null
	mv -f -T -- "$action_part" "$1" || bp_fail "$1 can not be replaced"
}

# action_attributes PATH KIND MODE USER GROUP: KIND is file or directory; links are never followed.
action_attributes() {
	[ ! -h "$1" ] || bp_moved "$1"
	case $2 in
		directory) [ -d "$1" ] || bp_moved "$1" ;;
		*) [ -f "$1" ] || bp_moved "$1" ;;
	esac
	chown -h -- "$4:$5" "$1" && chmod -- "$3" "$1"
}

# action_directory PATH MODE USER GROUP
action_directory() {
	if [ ! -d "$1" ] || [ -h "$1" ]; then
		action_expect "$1" absent
		if ! action_parents "$1" || ! mkdir -m 0700 -- "$1"; then
			bp_fail "$1 can not be made"
		fi
	fi
	chown -- "$3:$4" "$1" && chmod -- "$2" "$1"
}

# action_link PATH STATE TARGET: STATE is absent or link.
action_link() {
	[ -h "$1" ] || action_expect "$1" "$2"
	action_parents "$1" && ln -s -f -n -T -- "$3" "$1.bedplate-part.$$" && mv -f -T -- "$1.bedplate-part.$$" "$1"
}

# action_remove PATH STATE: a folder only when it is empty.
action_remove() {
	case $(action_state "$1") in
		absent) return 0 ;;
		"$2") ;;
		*) bp_moved "$1" ;;
	esac
	if [ "$2" = directory ]; then rmdir -- "$1"; else rm -f -- "$1"; fi
}

# action_units VERB UNIT...: one systemctl verb. More than five restarts in ten seconds lock a unit out, so the count
# is reset before each.
action_units() {
	action_verb=$1
	shift
	case $action_verb in
		start | restart | reload-or-restart)
			systemctl reset-failed -- "$@" 2>/dev/null
			;;
	esac
	systemctl --no-ask-password "$action_verb" -- "$@" && return 0
	action_status=$?
	systemctl status --no-pager --lines=10 -- "$@" 2>&1 | tail -n 15
	return "$action_status"
}

# action_daemon_reload: make systemd read its unit files again.
action_daemon_reload() {
	systemctl daemon-reload
}
