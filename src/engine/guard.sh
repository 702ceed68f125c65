# The guard of a group of steps that can cut access: armed before them, confirmed by a new login after them. What is
# done when nobody confirms stands in guard_host.sh.

guard_home=/var/lib/bedplate/guard

# guard_refuse TEXT: end the arming and leave nothing of it.
guard_refuse() {
	guard_disarmed
	printf '%s\n' "$1"
	exit 1
}

# guard_enter NUMBER KIND NAME: one entry, as it is before the first step.
guard_enter() {
	guard_place=$guard_home/saved/$(printf '%04d' "$1")
	mkdir -- "$guard_place" && printf '%s\n' "$2" >"$guard_place/kind" && printf '%s\n' "$3" >"$guard_place/name" || return 1
	guard_save "$guard_place" "$2" "$3" || return 1
	[ "$2" != firewall ] || guard_save_live "$guard_place"
}

# guard_boot_unit: what fires when the host starts anew inside the window. Before anything that lets in or shuts out.
guard_boot_unit() {
	mkdir -p /etc/systemd/system/multi-user.target.wants &&
		(
			umask 022
			printf '%s\n' '[Unit]' \
				'Description=bedplate puts back what no login confirmed' \
				'DefaultDependencies=no' \
				"ConditionPathExists=|$guard_home/armed" \
				"ConditionPathExists=|$guard_home/firing" \
				"RequiresMountsFor=$guard_home" \
				'After=local-fs.target systemd-remount-fs.service' \
				'Before=network-pre.target ufw.service ssh.service ssh.socket shutdown.target' \
				'Conflicts=shutdown.target' \
				'[Service]' 'Type=oneshot' 'TimeoutStartSec=300' \
				"ExecStart=/bin/sh $guard_home/restore reboot" \
				'[Install]' 'WantedBy=multi-user.target' >/etc/systemd/system/bedplate-guard.service
		) &&
		ln -s -f -n -- /etc/systemd/system/bedplate-guard.service \
			/etc/systemd/system/multi-user.target.wants/bedplate-guard.service &&
		sync -f /etc/systemd/system
}

# guard_disarmed: nothing of a guard is left but its report.
guard_disarmed() {
	systemctl stop bedplate-guard-window.timer 2>/dev/null
	rm -f -- /etc/systemd/system/multi-user.target.wants/bedplate-guard.service /etc/systemd/system/bedplate-guard.service
	rm -rf -- "$guard_home/saved"
}

# guard_arming SECONDS NONCE RESTORE [KIND NAME]...: see guard_arm.
guard_arming() {
	guard_seconds=$1 guard_nonce=$2 guard_restore=$3
	shift 3
	[ -d /run/systemd/system ] || guard_refuse "systemd does not run here, and the guard needs its timers"
	if ! mkdir -p "$guard_home" || ! chmod 0700 /var/lib/bedplate "$guard_home"; then
		guard_refuse "$guard_home can not be made"
	fi
	if [ -e "$guard_home/armed" ] || [ -e "$guard_home/firing" ]; then
		printf '%s\n' "an earlier run's guard is still armed, or is putting things back"
		exit 77
	fi
	guard_disarmed
	systemctl reset-failed bedplate-guard-window.timer bedplate-guard-window.service 2>/dev/null
	# shellcheck disable=SC2016 # $1 is for the script that is written
	if ! printf '%s\nguard_main "$1"\n' "$guard_restore" >"$guard_home/restore.part" ||
		! mv -f -T -- "$guard_home/restore.part" "$guard_home/restore" || ! mkdir -- "$guard_home/saved"; then
		guard_refuse "nothing can be saved in $guard_home: is the disk full?"
	fi
	guard_number=0
	while [ $# -gt 1 ]; do
		guard_number=$((guard_number + 1))
		guard_enter "$guard_number" "$1" "$2" || guard_refuse "$1 $2 can not be saved in $guard_home: is the disk full?"
		shift 2
	done
	guard_listening >"$guard_home/saved/ports"
	guard_whose
	guard_boot_unit || guard_refuse "the unit that puts things back at boot can not be installed"
	sync -f "$guard_home" || guard_refuse "what was saved can not be brought to the disk"
	systemd-run --quiet --collect --unit=bedplate-guard-window --on-active="${guard_seconds}s" \
		--timer-property=AccuracySec=100ms --property=Type=oneshot --property=TimeoutStartSec=300 \
		/bin/sh "$guard_home/restore" timeout || guard_refuse "the timer of the guard does not start"
	systemctl --quiet is-active bedplate-guard-window.timer || guard_refuse "the timer of the guard does not run"
	# The marker comes last: without it neither timer nor boot does anything.
	if ! printf '%s\n' "$guard_nonce" >"$guard_home/armed.part" || ! sync -- "$guard_home/armed.part" ||
		! mv -f -T -- "$guard_home/armed.part" "$guard_home/armed" || ! sync -f "$guard_home"; then
		guard_refuse "the guard's marker can not be written"
	fi
}

# guard_listening: the ports that sshd listens on now, in hexadecimal, on one line.
guard_listening() {
	guard_sshd=
	if [ -x /usr/sbin/sshd ]; then
		[ -d /run/sshd ] || mkdir -m 0755 /run/sshd
		for guard_port in $(sshd -T 2>/dev/null | sed -n 's/^port //p'); do
			guard_sshd="$guard_sshd $(printf '%04X' "$guard_port")"
		done
	fi
	guard_open=" $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
		awk '$4 == "0A" { n = split($2, part, ":"); printf "%s ", part[n] }')"
	for guard_port in $guard_sshd; do
		case $guard_open in
			*" $guard_port "*) printf '%s ' "$guard_port" ;;
		esac
	done
	printf '\n'
}

# guard_arm SECONDS NONCE RESTORE [KIND NAME]...: save the entries, and have the host put them back SECONDS from now,
# or when it starts anew, unless guard_confirm comes before. Status 77: one is armed already.
guard_arm() {
	(guard_arming "$@")
}

# guard_whose: who is logged in and from where, and what sshd has for that login.
guard_whose() {
	session_find
	session_user
	# shellcheck disable=SC2154 # both are set by those two
	printf '%s %s\n' "$session_login" "${session_line:-127.0.0.1 0 127.0.0.1 22}" >"$guard_home/saved/login"
	[ ! -x /usr/sbin/sshd ] || guard_door >"$guard_home/saved/door" || rm -f -- "$guard_home/saved/door"
}

# guard_note NONCE: how the steps have left each entry, so that what others change from now on is told from it. Where
# that can not be written down, all is put back whoever changed it.
guard_note() {
	guard_nonce=
	[ -r "$guard_home/armed" ] && read -r guard_nonce <"$guard_home/armed"
	[ "$guard_nonce" = "$1" ] || bp_fail "no guard of that name is armed"
	for guard_place in "$guard_home"/saved/[0-9]*; do
		read -r guard_kind <"$guard_place/kind" && read -r guard_name <"$guard_place/name" || return 1
		[ "$guard_kind" != unit ] || continue
		if ! mkdir -- "$guard_place/left" || ! guard_save "$guard_place/left" "$guard_kind" "$guard_name"; then
			bp_fail "it can not be noted how $guard_name was left: is the disk full?"
		fi
	done
	# The mark comes last, and only on top of what is on the disk.
	sync -f "$guard_home" && printf '%s\n' "$1" >"$guard_home/saved/left.part" &&
		mv -f -T -- "$guard_home/saved/left.part" "$guard_home/saved/left"
}

# guard_confirm NONCE: this login proves the way in: the guard is gone. Status 78: it has fired; 79: none of that name
# was armed.
guard_confirm() {
	guard_nonce=
	[ -r "$guard_home/armed" ] && read -r guard_nonce <"$guard_home/armed"
	if [ "$guard_nonce" = "$1" ] && mv -T -- "$guard_home/armed" "$guard_home/confirmed" 2>/dev/null; then
		sync -f "$guard_home"
		guard_disarmed
		return 0
	fi
	[ -r "$guard_home/confirmed" ] && read -r guard_nonce <"$guard_home/confirmed" && [ "$guard_nonce" = "$1" ] && return 0
	if [ -e "$guard_home/firing" ] || grep -q -x -s "nonce=$1" "$guard_home/report" "$guard_home/report.part"; then
		return 78
	fi
	return 79
}

# guard_put_back NONCE: do not wait for the end of the window.
guard_put_back() {
	guard_nonce=
	[ -r "$guard_home/armed" ] && read -r guard_nonce <"$guard_home/armed"
	[ "$guard_nonce" = "$1" ] || [ -e "$guard_home/firing" ] || return 79
	systemctl stop bedplate-guard-window.timer 2>/dev/null
	# In a unit of its own: this connection may be what is put back.
	systemd-run --quiet --collect --wait --unit=bedplate-guard-now --property=Type=oneshot \
		/bin/sh "$guard_home/restore" asked
}
