# Changes of the rules for what Docker publishes: the new table takes the old one's place in one stroke.

# shellcheck disable=SC2154 # the names are set by the library that asks

# docker_firewall_set STATE WANTED RULES UNIT_WANTED UNIT: STATE is what the plan saw of the file.
docker_firewall_set() {
	command -v nft >/dev/null || bp_fail 'nft is not installed'
	docker_firewall_try=$(mktemp) || bp_fail 'no temporary file can be made: is the disk full?'
	trap 'rm -f -- "$docker_firewall_try"' EXIT
	printf '%s' "$3" >"$docker_firewall_try"
	nft -c -f "$docker_firewall_try" || bp_fail 'nft does not take the rules: nothing was changed'
	(action_write "$docker_firewall_rules" "$1" "$2" 0644 root root "$3") || return "$?"
	docker_firewall_path=/etc/systemd/system/$docker_firewall_unit
	(action_write "$docker_firewall_path" "$(action_state "$docker_firewall_path")" "$4" 0644 root root "$5") || return "$?"
	systemctl daemon-reload || return 1
	systemctl --no-ask-password enable "$docker_firewall_unit" || return 1
	systemctl reset-failed "$docker_firewall_unit" 2>/dev/null
	systemctl --no-ask-password restart "$docker_firewall_unit" || bp_fail 'the rules can not be loaded: see journalctl -u bedplate-docker-firewall'
	[ "$(docker_firewall_live)" = same ] || bp_fail 'the rules are not in force, though nft took them'
}

# docker_firewall_take_away STATE
docker_firewall_take_away() {
	case $(action_state "$docker_firewall_rules") in
		absent | "$1") ;;
		*) bp_moved "$docker_firewall_rules" ;;
	esac
	systemctl --no-ask-password disable --now "$docker_firewall_unit" 2>/dev/null
	rm -f -- "/etc/systemd/system/$docker_firewall_unit" "$docker_firewall_rules" || return 1
	rmdir -- /etc/bedplate 2>/dev/null
	systemctl daemon-reload || return 1
	if docker_firewall_list >/dev/null; then nft delete table inet bedplate_docker; fi
}
