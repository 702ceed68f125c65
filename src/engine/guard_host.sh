# What the guarded host runs by itself when nobody confirms: what was saved is put back, entry by entry, and what
# became of it is left as a report. Written to the host as a file, with the three beside it, so it needs nothing else.

guard_home=/var/lib/bedplate/guard
guard_kept=/var/lib/bedplate/kept

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
	guard_back /etc/ufw "$1/ufw" "$1/left/ufw"
	guard_back /etc/default/ufw "$1/default" "$1/left/default"
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

# guard_back_setting KEY SAVED LEFT: a kernel setting.
guard_back_setting() {
	[ -r "$2" ] || return 0
	guard_file=$(guard_setting "$1")
	guard_now=$(cat -- "$guard_file" 2>/dev/null)
	[ "$guard_now" != "$(cat -- "$2")" ] || return 0
	if [ -n "$guard_known" ] && [ "$guard_now" != "$(cat -- "$3" 2>/dev/null)" ]; then
		if [ -z "$guard_force" ]; then
			guard_leave "$1"
			return
		fi
		guard_tell forced "$1 (was $guard_now)"
	fi
	cat -- "$2" >"$guard_file" || guard_problem "$1 can not be set back"
}

# guard_each KIND...: put each saved entry of these kinds back.
guard_each() {
	for guard_place in "$guard_home"/saved/[0-9]*; do
		[ -r "$guard_place/kind" ] || continue
		read -r guard_kind <"$guard_place/kind"
		read -r guard_what <"$guard_place/name"
		case " $* " in
			*" $guard_kind "*) ;;
			*) continue ;;
		esac
		case $guard_kind in
			file | folder) guard_back "$guard_what" "$guard_place/data" "$guard_place/left/data" ;;
			account) guard_back_account "$guard_what" "$guard_place" "$guard_place/left" ;;
			group) guard_back_lines "$guard_what" "$guard_place" "$guard_place/left" group gshadow ;;
			firewall) guard_back_firewall "$guard_place" ;;
			unit) guard_back_unit "$guard_what" "$guard_place" ;;
			sysctl) guard_back_setting "$guard_what" "$guard_place/data" "$guard_place/left/data" ;;
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

# guard_hears: waits some seconds until the ports are listened on that were; sets guard_deaf to one that is not.
guard_hears() {
	guard_deaf=
	# At boot nothing listens yet.
	[ -r "$guard_home/saved/ports" ] && [ "$guard_why" != reboot ] || return 0
	read -r guard_ports <"$guard_home/saved/ports"
	for guard_port in $guard_ports; do
		guard_tries=0
		until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$guard_port" '
			$4 == "0A" { n = split($2, part, ":"); if (part[n] == port) found = 1 } END { exit !found }'; do
			guard_tries=$((guard_tries + 1))
			[ "$guard_tries" -lt 50 ] || break
			sleep 0.1
		done
		if [ "$guard_tries" -ge 50 ]; then
			guard_deaf=$guard_port
			return 1
		fi
	done
}

# guard_refuses: sshd refuses its configuration.
guard_refuses() {
	[ -x /usr/sbin/sshd ] || return 1
	[ -d /run/sshd ] || mkdir -m 0755 /run/sshd
	! sshd -t 2>/dev/null
}

# guard_is_shut: sshd's files, with what stays of somebody else's work in them, are not a way in as there was.
guard_is_shut() {
	! guard_refuses || return 0
	[ -r "$guard_home/saved/door" ] || return 1
	! guard_door | cmp -s -- - "$guard_home/saved/door"
}

# guard_old_way: the way in that there was works again, as far as the host itself can tell.
guard_old_way() {
	! guard_refuses || guard_problem "sshd refuses the configuration that was put back"
	guard_hears || guard_problem "nothing listens on port $((0x$guard_deaf)) as before"
}

# guard_round: each entry in its order, up to what is running.
guard_round() {
	printf '' >"$guard_home/stays"
	guard_each file folder account group sysctl
	guard_each unit
	systemctl daemon-reload
	guard_each firewall
}

# guard_round_of_all: whoever changed it.
guard_round_of_all() {
	guard_force=1
	# What could not be done a moment ago is tried once more.
	sed -i '/^problem=/d' "$guard_home/report.part"
	guard_round
}

# guard_all_back: first what the steps left. If what others did meanwhile keeps the door shut, everything.
guard_all_back() {
	guard_noted='' guard_force=''
	[ ! -r "$guard_home/saved/left" ] || read -r guard_noted <"$guard_home/saved/left"
	if [ -n "$guard_nonce" ] && [ "$guard_noted" = "$guard_nonce" ]; then guard_known=1; else guard_known=''; fi
	guard_round
	if [ -s "$guard_home/stays" ] && guard_is_shut; then guard_round_of_all; fi
	guard_run_units
	if [ -s "$guard_home/stays" ] && ! guard_hears; then
		guard_round_of_all
		guard_run_units
	fi
	sort -u -- "$guard_home/stays" | while read -r guard_line; do
		guard_tell stays "$guard_line"
	done
	rm -f -- "$guard_home/stays"
	[ ! -d "$guard_kept/$guard_nonce" ] || guard_tell kept "$guard_kept/$guard_nonce"
	# The last five suffice. Their names are hexadecimal.
	# shellcheck disable=SC2012
	[ ! -d "$guard_kept" ] || ls -1t -- "$guard_kept" | tail -n +6 | while read -r guard_line; do
		rm -rf -- "${guard_kept:?}/${guard_line:?}"
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
	mkdir -p /run/bedplate && printf '' >/run/bedplate/stop
	{
		read -r guard_nonce
	} <"$guard_home/firing"
	printf 'nonce=%s\nwhy=%s\nat=%s\n' "$guard_nonce" "$guard_why" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$guard_home/report.part"
	guard_all_back
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
