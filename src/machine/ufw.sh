# ufw: what its files say and what the running firewall does. Its own command is slow and believes its files.

# ufw_value FILE KEY: the value of a shell-like setting, without quotes.
ufw_value() {
	ufw_found=
	while IFS='=' read -r ufw_key ufw_text; do
		[ "$ufw_key" = "$2" ] && ufw_found=$ufw_text
	done <"$1"
	ufw_found=${ufw_found#\"}
	bp_field "${ufw_found%\"}"
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
	ufw_value /etc/ufw/ufw.conf ENABLED
	ufw_enabled=$ufw_found
	ufw_value /etc/default/ufw DEFAULT_INPUT_POLICY
	ufw_value /etc/default/ufw DEFAULT_OUTPUT_POLICY
	ufw_value /etc/default/ufw DEFAULT_FORWARD_POLICY
	ufw_value /etc/default/ufw IPV6
	bp_field "$(cat /etc/ufw/user.rules)"
	bp_field "$(cat /etc/ufw/user6.rules)"
	[ "$ufw_enabled" = yes ] || return 0
	bp_field "$(iptables -w 5 -S)"
	# Without IPv6 in the kernel there is nothing to look at, and ufw leaves it alone.
	if [ -e /proc/net/if_inet6 ]; then bp_field "$(ip6tables -w 5 -S)"; else bp_field none; fi
}
