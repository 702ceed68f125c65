# bedplate: static functions that every script begins with. POSIX sh; dash is the judge.
LC_ALL=C
LANG=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL LANG PATH
umask 077
set -u

# One field of an answer. Shell values can not hold NUL, so nothing needs escaping.
bp_field() {
	printf '%s\000' "$1"
}

# bp_probe INDEX FUNCTION ARGS...: run a reading call in a frame; its error output is not part of the answer.
bp_probe() {
	bp_index=$1
	shift
	# shellcheck disable=SC2154 # set on the last line of every script
	printf '\000%s:begin:%s\000' "$bp_nonce" "$bp_index"
	("$@") </dev/null 2>/dev/null
	printf '\000%s:end:%s:%s\000' "$bp_nonce" "$bp_index" "$?"
}

# bp_act INDEX FUNCTION ARGS...: run a changing call in a frame, unless the operator has asked to stop.
bp_act() {
	bp_index=$1
	shift
	if [ -e /run/bedplate/stop ]; then
		return 1
	fi
	printf '\000%s:begin:%s\000' "$bp_nonce" "$bp_index"
	("$@") </dev/null 2>&1
	bp_status=$?
	printf '\000%s:end:%s:%s\000' "$bp_nonce" "$bp_index" "$bp_status"
	return "$bp_status"
}

# bp_hold INDEX FUNCTION ARGS...: run a call in this very shell, so that what it opens stays open.
bp_hold() {
	bp_index=$1
	shift
	printf '\000%s:begin:%s\000' "$bp_nonce" "$bp_index"
	"$@" </dev/null 2>&1
	bp_status=$?
	printf '\000%s:end:%s:%s\000' "$bp_nonce" "$bp_index" "$bp_status"
	return "$bp_status"
}

# bp_packed: what it is given, packed where the host can: over a far link, what does not fit into what TCP sends before
# it waits for an answer takes further round trips.
bp_packed() {
	if command -v gzip >/dev/null; then
		printf '\000%s:packed:0\000' "$bp_nonce"
		gzip -1 && return 0
		echo 'gzip does not work on this host' >&2
		return 1
	else
		cat
	fi
}

# The end of a batch.
bp_done() {
	printf '\000%s:done:%s\000' "$bp_nonce" "$1"
}

# bp_moved WHAT: the state that an action was planned on does not hold any more. 75 is EX_TEMPFAIL.
bp_moved() {
	printf '%s\n' "$1 has changed since it was looked at; nothing was done to it"
	exit 75
}

# bp_fail TEXT...: end the call with a reason.
bp_fail() {
	printf '%s\n' "$*"
	exit 1
}

# bp_detached LOG FUNCTION ARGS...: run a call that must not be torn in two (dpkg, mkfs) in a session of its own, its
# output in a file, and show that file as it grows. A lost connection ends the showing, not the call.
bp_detached() {
	bp_log=$1
	shift
	mkdir -p /run/bedplate && chmod 0700 /run/bedplate
	: >"$bp_log"
	bp_pipe=$bp_log.status
	rm -f -- "$bp_pipe"
	(
		trap '' HUP PIPE INT TERM
		("$@") >>"$bp_log" 2>&1 </dev/null
		echo "$?" >"$bp_pipe.part"
		mv -f -- "$bp_pipe.part" "$bp_pipe"
	) >/dev/null 2>&1 &
	bp_child=$!
	tail -n +1 -s 0.2 --pid="$bp_child" -f -- "$bp_log" 2>/dev/null
	wait "$bp_child"
	if [ -r "$bp_pipe" ]; then
		read -r bp_status <"$bp_pipe"
		return "$bp_status"
	fi
	return 1
}
