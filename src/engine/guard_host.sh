# What the guarded host runs by itself when nobody confirms: all that was saved is put back, entry by entry, and what
# became of it is left as a report. Written to the host as a file, so it needs nothing but what stands here.

guard_home=/var/lib/bedplate/guard
guard_problems=

# guard_problem TEXT: something could not be put back.
guard_problem() {
	printf 'problem=%s\n' "$*" >>"$guard_home/report.part"
	guard_problems=1
}

# guard_back_file PATH SAVED: SAVED is a copy, or does not exist when there was nothing.
guard_back_file() {
	# What belongs to a user can lead anywhere.
	case $1 in
		*/.ssh/*)
			if [ -h "${1%/.ssh/*}/.ssh" ]; then
				guard_problem "$1 is not put back: the folder above it has become a link"
				return
			fi
			;;
	esac
	if [ ! -e "$2" ] && [ ! -h "$2" ]; then
		rm -f -- "$1" || guard_problem "$1 can not be taken away"
		return
	fi
	if [ -f "$1" ] && [ ! -h "$1" ] && [ -f "$2" ] && [ ! -h "$2" ] && cmp -s -- "$1" "$2" &&
		[ "$(stat -c '%a %u %g' -- "$1")" = "$(stat -c '%a %u %g' -- "$2")" ]; then
		return
	fi
	[ ! -d "$1" ] || [ -h "$1" ] || rm -rf -- "$1"
	[ -d "${1%/*}" ] || mkdir -p -- "${1%/*}"
	rm -rf -- "$1.bedplate-back"
	if ! cp -a --remove-destination -T -- "$2" "$1.bedplate-back" || ! mv -f -T -- "$1.bedplate-back" "$1"; then
		guard_problem "$1 can not be put back"
	fi
}

# guard_back_folder PATH SAVED: all that is in SAVED comes back, what came later goes.
guard_back_folder() {
	if [ ! -d "$2" ]; then
		rm -rf -- "$1" || guard_problem "$1 can not be taken away"
		return
	fi
	[ ! -h "$1" ] || rm -f -- "$1"
	[ -d "$1" ] || mkdir -p -- "$1"
	chown --reference="$2" -- "$1" && chmod --reference="$2" -- "$1"
	for guard_entry in "$2"/* "$2"/.[!.]*; do
		[ -e "$guard_entry" ] || [ -h "$guard_entry" ] || continue
		if [ -d "$guard_entry" ] && [ ! -h "$guard_entry" ]; then
			# In a shell of its own: the names are used again below.
			(guard_back_folder "$1/${guard_entry##*/}" "$guard_entry" && [ -z "$guard_problems" ]) || guard_problems=1
		else
			guard_back_file "$1/${guard_entry##*/}" "$guard_entry"
		fi
	done
	for guard_entry in "$1"/* "$1"/.[!.]*; do
		[ -e "$guard_entry" ] || [ -h "$guard_entry" ] || continue
		[ -e "$2/${guard_entry##*/}" ] || [ -h "$2/${guard_entry##*/}" ] || rm -rf -- "$guard_entry"
	done
	return 0
}

# guard_back_line FILE NAME SAVED: the line of NAME in a database of colons is as in SAVED, or is not there.
guard_back_line() {
	[ -f "$1" ] || return 0
	cp -p -- "$1" "$1.bedplate-back" || return 1
	awk -v name="$2" -v saved="$3" 'BEGIN { FS = ":"; getline line <saved }
		$1 == name { if (line != "" && !done) print line; done = 1; next }
		{ print }
		END { if (line != "" && !done) print line }' "$1" >"$1.bedplate-back" || return 1
	if cmp -s -- "$1" "$1.bedplate-back"; then
		rm -f -- "$1.bedplate-back"
	else
		mv -f -T -- "$1.bedplate-back" "$1"
	fi
}

# guard_back_member FILE USER SAVED FIELD: USER is in the lists (the FIELDth of each line) of the groups named in
# SAVED, and in no other.
guard_back_member() {
	[ -f "$1" ] || return 0
	cp -p -- "$1" "$1.bedplate-back" || return 1
	awk -v user="$2" -v saved="$3" -v field="$4" 'BEGIN { FS = ":"; OFS = ":"; while ((getline name <saved) > 0) was[name] = 1 }
		NF >= field {
			n = split($field, member, ","); list = ""; is = 0
			for (i = 1; i <= n; i++) {
				if (member[i] == user) { is = 1; if (!($1 in was)) continue }
				list = list (list == "" ? "" : ",") member[i]
			}
			if (!is && ($1 in was)) list = list (list == "" ? "" : ",") user
			if (list != $field) $field = list
		}
		{ print }' "$1" >"$1.bedplate-back" || return 1
	if cmp -s -- "$1" "$1.bedplate-back"; then
		rm -f -- "$1.bedplate-back"
	else
		mv -f -T -- "$1.bedplate-back" "$1"
	fi
}

# guard_back_lines NAME SAVED DATABASE...: the lines of NAME; those of others, who may have come since, stay.
guard_back_lines() {
	guard_entry=$1 guard_from=$2
	shift 2
	for guard_base in "$@"; do
		guard_back_line "/etc/$guard_base" "$guard_entry" "$guard_from/$guard_base" ||
			guard_problem "/etc/$guard_base can not be put back"
	done
}

# guard_back_account NAME SAVED: the account's own lines, groups and keys.
guard_back_account() {
	guard_back_lines "$1" "$2" passwd shadow group gshadow
	guard_back_member /etc/group "$1" "$2/groups" 4 || guard_problem "the groups of $1 can not be put back"
	guard_back_member /etc/gshadow "$1" "$2/groups" 4 || guard_problem "the groups of $1 can not be put back"
	if [ -s "$2/home" ]; then
		read -r guard_folder <"$2/home"
		# A link in a user's folder is never followed.
		if [ ! -h "$guard_folder/.ssh" ] && { [ -d "$guard_folder/.ssh" ] || [ -e "$2/authorized_keys" ]; }; then
			if [ ! -d "$guard_folder/.ssh" ] && mkdir -m 0700 -- "$guard_folder/.ssh"; then
				chown --reference="$guard_folder" -- "$guard_folder/.ssh"
			fi
			guard_back_file "$guard_folder/.ssh/authorized_keys" "$2/authorized_keys"
		fi
	fi
}

# guard_back_live TOOL SAVED: ufw's chains and the policies as they were in the running firewall, in one stroke; the
# chains of others stay.
guard_back_live() {
	command -v "$1" >/dev/null && [ -s "$2" ] || return 0
	"$1-save" -t filter >"$guard_home/live" 2>/dev/null
	awk 'BEGIN { print "*filter" }
		FILENAME == ARGV[1] && /^:ufw/ { now[substr($1, 2)] = 1; print "-F", substr($1, 2); next }
		FILENAME == ARGV[1] && /^-A (INPUT|FORWARD|OUTPUT) -j ufw/ { sub(/^-A/, "-D"); print; next }
		FILENAME == ARGV[1] { next }
		/^:ufw/ && !(substr($1, 2) in now) { print "-N", substr($1, 2) }
		/^:(INPUT|FORWARD|OUTPUT) / { print "-P", substr($1, 2), $2 }
		/^-A ufw/ || /^-A (INPUT|FORWARD|OUTPUT) -j ufw/ { print }
		END { print "COMMIT" }' "$guard_home/live" "$2" | "$1-restore" -w 5 --noflush ||
		guard_problem "the running firewall ($1) can not be put back"
	# Chains that came later are empty now and go, unless somebody else leads to them.
	sed -n 's/^:\(ufw[^ ]*\) .*/\1/p' "$guard_home/live" >"$guard_home/chains"
	while read -r guard_name; do
		grep -q "^:$guard_name " "$2" || "$1" -w 5 -X "$guard_name" 2>/dev/null
	done <"$guard_home/chains"
	rm -f -- "$guard_home/chains" "$guard_home/live"
}

# guard_back_firewall SAVED
guard_back_firewall() {
	guard_back_folder /etc/ufw "$1/ufw"
	guard_back_file /etc/default/ufw "$1/default"
	# At boot ufw.service starts behind this with the files that are now there.
	if [ "$guard_why" != reboot ]; then
		guard_back_live iptables "$1/live4"
		guard_back_live ip6tables "$1/live6"
	fi
}

# guard_back_unit NAME SAVED: SAVED has two lines, whether it was enabled and whether it was active.
guard_back_unit() {
	guard_enabled='' guard_active=''
	{ read -r guard_enabled && read -r guard_active; } <"$2/unit"
	case $guard_enabled in
		masked | masked-runtime) return 0 ;;
		'' | not-found) return 0 ;;
	esac
	case $(systemctl is-enabled -- "$1" 2>/dev/null) in
		masked | masked-runtime) systemctl --quiet unmask -- "$1"; systemctl --quiet --runtime unmask -- "$1" ;;
	esac
	case $guard_enabled in
		enabled | alias) systemctl --quiet enable -- "$1" 2>/dev/null ;;
		disabled) systemctl --quiet disable -- "$1" 2>/dev/null ;;
	esac
	return 0
}

# guard_ears NAME: the sockets that a service listens on, by number.
guard_ears() {
	guard_main=$(systemctl show -p MainPID --value -- "$1")
	guard_open=" $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { printf "%s ", $10 }')"
	for guard_fd in /proc/"$guard_main"/fd/*; do
		guard_fd=$(readlink -- "$guard_fd") || continue
		guard_fd=${guard_fd#socket:\[}
		guard_fd=${guard_fd%\]}
		case $guard_open in
			*" $guard_fd "*) printf '%s ' "$guard_fd" ;;
		esac
	done
}

# guard_reload NAME: a reload is only a wish. What listens is waited for until it listens anew, some seconds at most.
guard_reload() {
	guard_old=$(guard_ears "$1")
	systemctl reload -- "$1" || return 1
	guard_tries=0
	while [ -n "$guard_old" ] && [ "$(guard_ears "$1")" = "$guard_old" ] && [ "$guard_tries" -lt 30 ]; do
		sleep 0.1
		guard_tries=$((guard_tries + 1))
	done
}

# guard_run_unit NAME SAVED: running or not, as it was. At boot only a wish is left: to wait would be for ever.
guard_run_unit() {
	guard_enabled='' guard_active=''
	{ read -r guard_enabled && read -r guard_active; } <"$2/unit"
	if [ "$guard_why" = reboot ]; then
		[ "$guard_active" != active ] || [ "$guard_enabled" != enabled ] || systemctl --no-block start -- "$1"
		return
	fi
	case $guard_active in
		active)
			systemctl reset-failed -- "$1" 2>/dev/null
			case $1 in
				*.socket)
					# A socket whose service runs can not start.
					systemctl stop -- "$1" "${1%.socket}.service"
					systemctl start -- "$1"
					;;
				ufw.service) systemctl start -- "$1" ;;
				*)
					if systemctl --quiet is-active -- "$1"; then
						guard_reload "$1" || systemctl restart -- "$1"
					else
						systemctl start -- "$1"
					fi
					;;
			esac || guard_problem "$1 does not run again"
			;;
		inactive | failed)
			# With its socket in its place a service starts when somebody comes.
			if systemctl --quiet is-active -- "$1" && [ "$1" != ssh.service ]; then
				systemctl stop -- "$1" || guard_problem "$1 does not stop"
			fi
			;;
	esac
	return 0
}

# guard_each KIND...: put each saved entry of these kinds back.
guard_each() {
	for guard_place in "$guard_home"/saved/*; do
		[ -r "$guard_place/kind" ] || continue
		read -r guard_kind <"$guard_place/kind"
		read -r guard_what <"$guard_place/name"
		case " $* " in
			*" $guard_kind "*) ;;
			*) continue ;;
		esac
		case $guard_kind in
			file) guard_back_file "$guard_what" "$guard_place/data" ;;
			folder) guard_back_folder "$guard_what" "$guard_place/data" ;;
			account) guard_back_account "$guard_what" "$guard_place" ;;
			group) guard_back_lines "$guard_what" "$guard_place" group gshadow ;;
			firewall) guard_back_firewall "$guard_place" ;;
			unit) guard_back_unit "$guard_what" "$guard_place" ;;
			sysctl)
				[ ! -r "$guard_place/data" ] || cat -- "$guard_place/data" >"/proc/sys/$(printf '%s' "$guard_what" | tr '.' '/')" ||
					guard_problem "$guard_what can not be set back"
				;;
		esac
	done
}

# guard_run_units: the units that were saved, running as they were.
guard_run_units() {
	for guard_place in "$guard_home"/saved/*; do
		[ -r "$guard_place/unit" ] || continue
		read -r guard_what <"$guard_place/name"
		guard_run_unit "$guard_what" "$guard_place"
	done
}

# guard_old_way: the way in that there was works again, as far as the host itself can tell.
guard_old_way() {
	[ -r "$guard_home/saved/ports" ] && [ "$guard_why" != reboot ] || return 0
	[ -d /run/sshd ] || mkdir -m 0755 /run/sshd
	sshd -t 2>/dev/null || guard_problem "sshd refuses the configuration that was put back"
	read -r guard_ports <"$guard_home/saved/ports"
	for guard_port in $guard_ports; do
		guard_tries=0
		until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$guard_port" '
			$4 == "0A" { n = split($2, part, ":"); if (part[n] == port) found = 1 } END { exit !found }'; do
			guard_tries=$((guard_tries + 1))
			[ "$guard_tries" -lt 50 ] || break
			sleep 0.1
		done
		[ "$guard_tries" -lt 50 ] || guard_problem "nothing listens on port $((0x$guard_port)) as before"
	done
}

# guard_fire WHY: put everything back. Once begun it is finished, by the next boot if need be.
guard_fire() {
	guard_why=$1
	# One winner: whoever renames the marker first has fired or confirmed.
	if [ ! -e "$guard_home/firing" ]; then
		mv -T -- "$guard_home/armed" "$guard_home/firing" 2>/dev/null || return 0
		sync -f "$guard_home" 2>/dev/null
	fi
	# No further step of the run that went wrong begins; the next run takes this away with its lock.
	mkdir -p /run/bedplate && : >/run/bedplate/stop
	{
		read -r guard_nonce
	} <"$guard_home/firing"
	printf 'nonce=%s\nwhy=%s\nat=%s\n' "$guard_nonce" "$guard_why" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$guard_home/report.part"
	guard_each file folder account group sysctl
	guard_each unit
	systemctl daemon-reload
	guard_each firewall
	guard_run_units
	guard_old_way
	printf 'end=1\n' >>"$guard_home/report.part"
	mv -f -T -- "$guard_home/report.part" "$guard_home/report"
	rm -f -- /etc/systemd/system/multi-user.target.wants/bedplate-guard.service /etc/systemd/system/bedplate-guard.service
	rm -rf -- "$guard_home/saved"
	sync -f "$guard_home" 2>/dev/null
	rm -f -- "$guard_home/firing"
}

# guard_main WHY: `timeout`, `reboot` or `asked`. Whoever asked may go; the rest is done all the same.
guard_main() {
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	LC_ALL=C
	export PATH LC_ALL
	umask 077
	trap '' HUP PIPE INT TERM
	guard_fire "$1"
}
