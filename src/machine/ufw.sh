# ufw: what its files say and what the running firewall does. Its own command is slow and believes its files.

# ufw_settings: sets the shell-like settings of ufw's two files, without quotes; the last of a name counts.
ufw_settings() {
	ufw_enabled='' ufw_incoming='' ufw_outgoing='' ufw_routed='' ufw_six=''
	while IFS='=' read -r ufw_key ufw_text; do
		[ "$ufw_key" != ENABLED ] || ufw_enabled=$ufw_text
	done </etc/ufw/ufw.conf
	while IFS='=' read -r ufw_key ufw_text; do
		ufw_text=${ufw_text#\"}
		ufw_text=${ufw_text%\"}
		case $ufw_key in
			DEFAULT_INPUT_POLICY) ufw_incoming=$ufw_text ;;
			DEFAULT_OUTPUT_POLICY) ufw_outgoing=$ufw_text ;;
			DEFAULT_FORWARD_POLICY) ufw_routed=$ufw_text ;;
			IPV6) ufw_six=$ufw_text ;;
		esac
	done </etc/default/ufw
	ufw_enabled=${ufw_enabled#\"}
	ufw_enabled=${ufw_enabled%\"}
}

# ufw_others: other firewalls that start at boot, one a line: they would flush these rules, or these theirs.
ufw_others() {
	for ufw_unit in firewalld netfilter-persistent shorewall csf ferm; do
		for ufw_link in /etc/systemd/system/*.wants/"$ufw_unit.service"; do
			[ ! -h "$ufw_link" ] || { printf '%s\n' "$ufw_unit"; break; }
		done
	done
	for ufw_link in /etc/systemd/system/*.wants/nftables.service; do
		if [ -h "$ufw_link" ] && grep -q -s '^[[:space:]]*flush ruleset' /etc/nftables.conf; then
			printf '%s\n' nftables
			break
		fi
	done
}

# ufw_probe: whether ufw is there; other firewalls; its settings; its two files of rules; and, where it is on, the two
# running firewalls.
ufw_probe() {
	if [ -x /usr/sbin/ufw ] && [ -r /etc/ufw/ufw.conf ] && [ -r /etc/default/ufw ]; then bp_field 1; else bp_field 0; fi
	bp_field "$(ufw_others)"
	[ -r /etc/ufw/ufw.conf ] && [ -r /etc/default/ufw ] || return 0
	ufw_settings
	for ufw_text in "$ufw_enabled" "$ufw_incoming" "$ufw_outgoing" "$ufw_routed" "$ufw_six"; do
		bp_field "$ufw_text"
	done
	bp_field "$(cat /etc/ufw/user.rules)"
	bp_field "$(cat /etc/ufw/user6.rules)"
	[ "$ufw_enabled" = yes ] || return 0
	bp_field "$(iptables -w 5 -S)"
	# Without IPv6 in the kernel there is nothing to look at, and ufw leaves it alone.
	if [ -e /proc/net/if_inet6 ]; then bp_field "$(ip6tables -w 5 -S)"; else bp_field none; fi
}
