# The host's own record of bedplate's runs: the lock, the wish to stop, the journal.

# host_lock OWNER: hold the lock as long as this shell, or a command that it began, lives. Runs in the shell itself.
host_lock() {
	if ! mkdir -p /run/bedplate || ! chmod 0700 /run/bedplate; then
		printf '%s\n' 'no lock can be taken: /run/bedplate can not be made'
		return 1
	fi
	command exec 9>>/run/bedplate/lock || return 1
	if ! flock -n 9; then
		exec 9>&-
		host_owner=
		[ -r /run/bedplate/owner ] && IFS= read -r host_owner </run/bedplate/owner
		printf '%s\n' "$host_owner"
		return 76
	fi
	rm -f -- /run/bedplate/stop
	printf '%s\n' "$1" >/run/bedplate/owner
}

# host_unlock: let the lock go. Runs in the shell itself.
host_unlock() {
	rm -f -- /run/bedplate/owner /run/bedplate/stop
	exec 9>&-
}

# host_stop: the run that holds the lock ends after the call in hand.
host_stop() {
	[ -d /run/bedplate ] && : >/run/bedplate/stop
}

# host_journal LINE: add a line to the journal, whole or not at all, and on the disk before it counts.
host_journal() {
	mkdir -p /var/lib/bedplate && chmod 0700 /var/lib/bedplate || return 1
	host_file=/var/lib/bedplate/journal.jsonl
	# A line that a full disk or a power cut left unfinished is ended first.
	if [ -s "$host_file" ] && [ -n "$(tail -c 1 -- "$host_file")" ]; then
		printf '\n' >>"$host_file"
	fi
	printf '%s\n' "$1" >>"$host_file" && sync -- "$host_file"
}

# host_journal_read: the last thousand lines.
host_journal_read() {
	[ ! -r /var/lib/bedplate/journal.jsonl ] || tail -n 1000 -- /var/lib/bedplate/journal.jsonl
}
