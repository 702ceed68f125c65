# The table of nftables that rules over what Docker publishes: as its file says, and as the kernel has it.

docker_firewall_rules=/etc/bedplate/docker-firewall.nft
docker_firewall_unit=bedplate-docker-firewall.service
docker_firewall_line='
'

# docker_firewall_list: the running table, without what counts.
docker_firewall_list() {
	nft -s list table inet bedplate_docker 2>/dev/null
}

# docker_firewall_as_file: what the file comes to, listed by the same nft from a network of its own that nobody uses.
docker_firewall_as_file() {
	# shellcheck disable=SC2016 # the inner shell's
	unshare -n -- sh -c 'nft -f "$1" && nft -s list table inet bedplate_docker' sh "$docker_firewall_rules" 2>/dev/null
}

# docker_firewall_live [TEXT]: whether the running table is what the file says: same, other or absent. TEXT is the file's,
# where it was read already.
docker_firewall_live() {
	docker_firewall_now=$(docker_firewall_list) || { printf 'absent'; return; }
	[ -f "$docker_firewall_rules" ] || { printf 'other'; return; }
	docker_firewall_text=${1:-$(cat -- "$docker_firewall_rules")}
	docker_firewall_text=${docker_firewall_text%"$docker_firewall_line"}
	docker_firewall_start='
delete table inet bedplate_docker
'
	# A table that is listed word by word as the file has it is what the file says; another may be so in other words.
	if [ "$docker_firewall_now" = "${docker_firewall_text#*"$docker_firewall_start"}" ]; then
		printf 'same'
		return
	fi
	if ! docker_firewall_filed=$(docker_firewall_as_file); then
		# A file that nft does not take is not what runs; where no such network can be made, nothing can be said.
		if unshare -n true 2>/dev/null; then printf 'other'; else printf 'same'; fi
	elif [ "$docker_firewall_now" = "$docker_firewall_filed" ]; then
		printf 'same'
	else
		printf 'other'
	fi
}

# docker_firewall_uplinks: interfaces that a default route leads to, a line each.
docker_firewall_uplinks() {
	set -- /proc/net/route
	[ ! -r /proc/net/ipv6_route ] || set -- "$@" /proc/net/ipv6_route
	awk '
		FILENAME == "/proc/net/route" { if ($2 == "00000000" && $8 == "00000000") print $1; next }
		$1 ~ /^0+$/ && $2 == "00" && $NF != "lo" { print $NF }
	' "$@"
}

# docker_firewall_mixed: 1 if rules of both iptables are in the kernel, or else 0: each believes to be alone.
docker_firewall_mixed() {
	if [ -s /proc/net/ip_tables_names ] && command -v iptables-nft-save >/dev/null &&
		iptables-nft-save 2>/dev/null | grep -q '^-A '; then
		printf 1
	else
		printf 0
	fi
}

# docker_firewall_probe: whether nft is there; the unit's file, behind one character, or nothing; the file of rules, the
# same; whether the unit is enabled; the running table; uplinks; whether both iptables are in use.
docker_firewall_probe() {
	if command -v nft >/dev/null; then bp_field 1; else bp_field 0; fi
	if [ -f "/etc/systemd/system/$docker_firewall_unit" ]; then
		printf '='
		tr -d '\000' <"/etc/systemd/system/$docker_firewall_unit"
		bp_field .
	else
		bp_field ''
	fi
	docker_firewall_found=
	[ ! -f "$docker_firewall_rules" ] || docker_firewall_found=$(cat -- "$docker_firewall_rules" && printf .)
	bp_field "${docker_firewall_found:+=}$docker_firewall_found"
	if [ -h "/etc/systemd/system/sysinit.target.wants/$docker_firewall_unit" ]; then bp_field 1; else bp_field 0; fi
	bp_field "$(docker_firewall_live "${docker_firewall_found%.}")"
	bp_field "$(docker_firewall_uplinks)"
	bp_field "$(docker_firewall_mixed)"
}
