# Whether a running service has read its configuration as it is now. What was loaded is remembered below /run, together
# with the run of the service (its invocation) that loaded it, so that both are forgotten at a reboot. What others
# load, systemd remembers.

# loaded_digest PATH...: one digest of all files at or right below the paths.
loaded_digest() {
	loaded_sum=$(find "$@" -maxdepth 1 -type f -exec sha256sum -- {} + 2>/dev/null | sort | sha256sum)
	printf '%s' "${loaded_sum%% *}"
}

# loaded_newer LINK PATH...: whether anything at or right below the paths changed after the link was made. The time
# that counts is the inode's, which a copy can not set back.
loaded_newer() {
	loaded_link=$1
	shift
	[ -n "$(find "$@" -maxdepth 1 -newercm "$loaded_link" -print -quit 2>/dev/null)" ]
}

# loaded_since UNIT PATH...: whether the unit was started or reloaded, by whomever, after the last change at or right
# below the paths. While it runs, only a reload moves the time of its last change of state.
loaded_since() {
	loaded_unit=$1
	shift
	loaded_times=$(loaded_moved "$loaded_unit") || return 1
	{
		printf '%s\n' "$loaded_times"
		find "$@" -maxdepth 1 -printf 'file %C@\n' 2>/dev/null
	} | awk '
		$1 == "moved" { moved = $2 }
		$1 == "file" && $2 > last { last = $2 }
		END { exit !(moved > 0 && moved - 0.01 > last) } # files are timed in ticks of up to a hundredth of a second'
}

# loaded_moved UNIT: when it last changed its state, in seconds since 1970, if its last reload went well. systemd tells
# the parts of a second on Debian 12 (252) and not yet on 11 (247): there the time since the start of the host is counted
# back from now.
loaded_moved() {
	set -- show -p ReloadResult -p StateChangeTimestamp -p StateChangeTimestampMonotonic -- "$1"
	loaded_shown=$(systemctl --timestamp=us+utc "$@" 2>/dev/null) || loaded_shown=$(systemctl "$@" 2>/dev/null)
	case $loaded_shown in *ReloadResult=success*) ;; *) return 1 ;; esac
	loaded_time=${loaded_shown#*StateChangeTimestamp=}
	loaded_time=${loaded_time%%
*}
	case $loaded_time in
		# The day of the week stands first.
		*.*) date -u -d "${loaded_time#* }" '+moved %s.%N' 2>/dev/null && return ;;
	esac
	# Both clocks are to be read within one hundredth of a second, the unit of the one.
	loaded_tries=20 loaded_up='' loaded_after=+
	while [ "$loaded_up" != "$loaded_after" ] && [ "$loaded_tries" -gt 0 ]; do
		loaded_tries=$((loaded_tries - 1))
		read -r loaded_up _ </proc/uptime
		loaded_now=$(date +%s.%N)
		read -r loaded_after _ </proc/uptime
	done
	printf '%s\n' "$loaded_shown" | awk -F = -v now="$loaded_now" -v up="$loaded_up" '
		$1 == "StateChangeTimestampMonotonic" && $2 > 0 { printf "moved %.6f\n", now - up - 0.005 + $2 / 1000000 }'
}

# loaded_one UNIT KEY PATH...: 1 if the unit runs with an older configuration, or else 0.
loaded_one() {
	loaded_name=$1
	# systemd keeps a link for each running unit: its target is the invocation, its age that of the run.
	loaded_run=/run/systemd/units/invocation:$1
	loaded_stamp=
	[ -r "/run/bedplate/loaded/$2" ] && read -r loaded_stamp <"/run/bedplate/loaded/$2"
	shift 2
	if [ ! -h "$loaded_run" ]; then
		bp_field 0
	elif [ "${loaded_stamp%% *}" = "$(readlink -- "$loaded_run")" ]; then
		if [ "${loaded_stamp##* }" = "$(loaded_digest "$@")" ] || loaded_since "$loaded_name" "$@"; then
			bp_field 0
		else
			bp_field 1
		fi
	elif loaded_newer "$loaded_run" "$@" && ! loaded_since "$loaded_name" "$@"; then
		bp_field 1
	else
		bp_field 0
	fi
}

# loaded_probe (UNIT KEY PATHS)...: an answer each, in order. PATHS has a line each.
loaded_probe() {
	set -f
	IFS='
'
	while [ $# -gt 0 ]; do
		# shellcheck disable=SC2086 # a line is one path
		loaded_one "$1" "$2" $3
		shift 3
	done
}
