# How the things stand that a guard looks after: noted before the steps, behind them, and when it fires.

guard_home=/var/lib/bedplate/guard

# guard_save PLACE KIND NAME: one entry, into the folder PLACE.
guard_save() {
	case $2 in
		file | folder)
			if [ -e "$3" ] || [ -h "$3" ]; then cp -a -- "$3" "$1/data"; fi
			;;
		unit) guard_save_unit "$3" >"$1/unit" ;;
		firewall)
			if [ -d /etc/ufw ]; then cp -a -- /etc/ufw "$1/ufw" || return 1; fi
			if [ -f /etc/default/ufw ]; then cp -a -- /etc/default/ufw "$1/default" || return 1; fi
			;;
		sysctl) cat -- "$(guard_setting "$3")" >"$1/data" 2>/dev/null || rm -f -- "$1/data" ;;
		account) guard_save_account "$3" "$1" ;;
		group) guard_save_lines "$3" "$1" group gshadow ;;
		*) return 1 ;;
	esac
}

# guard_setting KEY: the file of a kernel setting.
guard_setting() {
	printf '/proc/sys/%s' "$(printf '%s' "$1" | tr '.' '/')"
}

# guard_save_unit NAME: two lines, whether it is enabled and whether it is active.
guard_save_unit() {
	guard_word=$(systemctl is-enabled -- "$1" 2>/dev/null)
	printf '%s\n' "${guard_word:-not-found}"
	guard_word=$(systemctl is-active -- "$1" 2>/dev/null)
	printf '%s\n' "${guard_word:-unknown}"
}

# guard_save_live PLACE: the running firewall.
guard_save_live() {
	command -v iptables-save >/dev/null || return 0
	iptables-save -t filter >"$1/live4" || return 1
	# A host without IPv6 has none to save.
	ip6tables-save -t filter >"$1/live6" 2>/dev/null || rm -f -- "$1/live6"
	# A firewall that nobody touched has no table yet: what comes later goes then.
	[ -s "$1/live4" ] || printf '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n' >"$1/live4"
	[ -s "$1/live6" ] || printf '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n' >"$1/live6"
}

# guard_line FILE NAME: the line of NAME in a database of colons, if there is one.
guard_line() {
	[ ! -f "$1" ] || awk -F : -v name="$2" '$1 == name { print; exit }' "$1"
}

# guard_save_lines NAME PLACE DATABASE...: the line of NAME in each.
guard_save_lines() {
	guard_entry=$1 guard_into=$2
	shift 2
	for guard_base in "$@"; do
		guard_line "/etc/$guard_base" "$guard_entry" >"$guard_into/$guard_base" || return 1
	done
}

# guard_save_account NAME PLACE: the account's own lines, the groups it is in, its keys.
guard_save_account() {
	guard_save_lines "$1" "$2" passwd shadow group gshadow || return 1
	awk -F : -v user="$1" '{ n = split($4, member, ","); for (i = 1; i <= n; i++) if (member[i] == user) print $1 }' \
		/etc/group >"$2/groups"
	awk -F : -v name="$1" '$1 == name { print $6; exit }' /etc/passwd >"$2/home"
	[ -s "$2/home" ] || return 0
	read -r guard_folder <"$2/home"
	if [ -f "$guard_folder/.ssh/authorized_keys" ] && [ ! -h "$guard_folder/.ssh" ] && [ ! -h "$guard_folder/.ssh/authorized_keys" ]; then
		cp -a -- "$guard_folder/.ssh/authorized_keys" "$2/authorized_keys"
	fi
	return 0
}

# guard_door: what sshd's files have for the login that armed the guard, without what keeps nobody out.
guard_door() {
	read -r guard_who guard_from _ guard_to guard_at <"$guard_home/saved/login" || return 1
	[ -d /run/sshd ] || mkdir -m 0755 /run/sshd
	guard_text=$(sshd -T -C "user=$guard_who,host=$guard_from,addr=$guard_from,laddr=$guard_to,lport=$guard_at" 2>/dev/null) || return 1
	printf '%s\n' "$guard_text" | grep -v -E '^(acceptenv|allowagentforwarding|banner|clientalive(countmax|interval)|compression|debianbanner|exposeauthinfo|gatewayports|ignorerhosts|ignoreuserknownhosts|ipqos|loglevel|logverbose|permittunnel|permituserenvironment|permituserrc|printlastlog|printmotd|rekeylimit|setenv|syslogfacility|tcpkeepalive|usedns|versionaddendum|x11displayoffset|x11forwarding|x11uselocalhost|xauthlocation) ' | sort
}
