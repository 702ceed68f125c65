# The host's own record of bedplate's runs: the lock, the wish to stop, the journal.

# host_started PID: when that process began, in ticks; a number that is used again began at another time.
host_started() {
	[ -r "/proc/$1/stat" ] && sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20
}

# host_is_deserted: the host has heard nothing of the connection that the lock came by for three times as long as the
# run there takes to give a silent connection up. sshd itself would wait for hours.
host_is_deserted() {
	[ -r /run/bedplate/holder ] && command -v ss >/dev/null || return 1
	read -r host_pid host_start host_limit host_peer host_port </run/bedplate/holder || return 1
	[ -n "$host_port" ] && [ "$host_limit" -gt 0 ] && [ "$(host_started "$host_pid")" = "$host_start" ] || return 1
	ss -H -t -n -i state established "dport = :$host_port" | awk -v peer="$host_peer" -v limit="$((host_limit * 3000))" '
		index($0, peer) { here = 1; next }
		here {
			silent = unheard = 0; here = 0
			for (i = 1; i <= NF; i++) {
				if (sub(/^lastrcv:/, "", $i)) silent = $i + 0
				else if (sub(/^lastack:/, "", $i)) unheard = $i + 0
			}
			if (silent > limit && unheard > limit) dead = 1; else alive = 1
		}
		END { exit !(dead && !alive) }'
}

# host_take: the lock, if nobody has it. A deserted holder is ended; what it began goes on and keeps the lock until it
# is done.
host_take() {
	flock -n 9 && return 0
	host_is_deserted || return 1
	kill -9 "$host_pid"
	flock -w 3 9
}

# host_lock OWNER LIMIT: hold the lock as long as this shell, or a command that it began, lives. LIMIT is the number of
# seconds after which this run gives a silent connection up. Runs in the shell itself.
host_lock() {
	if ! mkdir -p /run/bedplate || ! chmod 0700 /run/bedplate; then
		printf '%s\n' 'no lock can be taken: /run/bedplate can not be made'
		return 1
	fi
	command exec 9>>/run/bedplate/lock || return 1
	if ! host_take; then
		exec 9>&-
		host_owner=
		[ -r /run/bedplate/owner ] && IFS= read -r host_owner </run/bedplate/owner
		printf '%s\n' "$host_owner"
		return 76
	fi
	rm -f -- /run/bedplate/stop
	printf '%s\n' "$1" >/run/bedplate/owner
	session_find
	# shellcheck disable=SC2154 # session_line is set by session_find
	host_peer=${session_line%% *} host_port=${session_line#* }
	host_peer=${host_peer#::ffff:}
	printf '%s %s %s %s %s\n' "$$" "$(host_started $$)" "$2" "$host_peer" "${host_port%% *}" >/run/bedplate/holder
}

# host_unlock: let the lock go. Runs in the shell itself.
host_unlock() {
	rm -f -- /run/bedplate/owner /run/bedplate/holder /run/bedplate/stop
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

# host_keep RUN TEXT: keep what leads back from a run, for root alone; the last ten are.
host_keep() {
	host_folder=/var/lib/bedplate/undo
	if ! mkdir -p "$host_folder" || ! chmod 0700 /var/lib/bedplate "$host_folder"; then return 1; fi
	if ! printf '%s' "$2" >"$host_folder/part" || ! sync -- "$host_folder/part" ||
		! mv -f -T -- "$host_folder/part" "$host_folder/$1.json"; then
		rm -f -- "$host_folder/part"
		return 1
	fi
	# shellcheck disable=SC2012 # the names are bedplate's own
	ls -1t -- "$host_folder" | tail -n +11 | while read -r host_name; do
		rm -f -- "$host_folder/$host_name"
	done
}

# host_kept RUN: what is kept of a run; of the last one, if RUN is empty.
host_kept() {
	host_name=$1.json
	# shellcheck disable=SC2012 # the names are bedplate's own
	[ -n "$1" ] || host_name=$(ls -1t -- /var/lib/bedplate/undo 2>/dev/null | head -n 1)
	[ -n "$host_name" ] && [ -f "/var/lib/bedplate/undo/$host_name" ] && cat -- "/var/lib/bedplate/undo/$host_name"
}
