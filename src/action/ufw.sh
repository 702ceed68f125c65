# ufw: rules first, then the policies, then on; and a running firewall that somebody flushed, built anew.

# ufw_digest: of the rules, whatever their order.
ufw_digest() {
	ufw_sum=$(sed -n 's/^### tuple ### //p' /etc/ufw/user.rules /etc/ufw/user6.rules | sort | sha256sum)
	printf '%s' "${ufw_sum%% *}"
}

# ufw_set_ipv6 WORD: yes or no.
ufw_set_ipv6() {
	ufw_part=/etc/default/ufw.bedplate-part.$$
	cp -p -- /etc/default/ufw "$ufw_part" && sed -e '/^IPV6=/d' -e "1i IPV6=$1" /etc/default/ufw >"$ufw_part" &&
		sync -- "$ufw_part" && mv -f -T -- "$ufw_part" /etc/default/ufw
}

# ufw_drop TOOL: take ufw's chains out of the running firewall in one stroke; all others stay. ufw itself only makes
# the ways to its rules together with the chains, so a firewall that was flushed stays open, or shut, until they go.
ufw_drop() {
	"$1-save" -t filter | awk 'BEGIN { print "*filter" }
		/^:ufw/ { name = substr($1, 2); print "-F", name; gone[++n] = name }
		/^-A (INPUT|FORWARD|OUTPUT) -j ufw/ { sub(/^-A/, "-D"); print }
		END { for (i = 1; i <= n; i++) print "-X", gone[i]; print "COMMIT" }' | "$1-restore" -w 5 --noflush
}

# ufw_rebuild: the running firewall as the files say, whatever became of it.
ufw_rebuild() {
	ufw_drop iptables || bp_fail "ufw's chains can not be taken down: other rules lead to them"
	[ ! -e /proc/net/if_inet6 ] || ufw_drop ip6tables || bp_fail "ufw's IPv6 chains can not be taken down: other rules lead to them"
	/lib/ufw/ufw-init start
}

# ufw_rule OPERATION WORDS COMMENT: WORDS are ufw's own, a line each.
ufw_rule() (
	ufw_operation=$1 ufw_comment=$3
	set -f
	IFS='
'
	# shellcheck disable=SC2086 # words by design
	set -- $2
	ufw_route=
	if [ "$1" = route ]; then
		ufw_route=route
		shift
	fi
	[ "$ufw_operation" = add ] || set -- delete "$@"
	[ -z "$ufw_route" ] || set -- route "$@"
	if [ "$ufw_operation" = add ] && [ -n "$ufw_comment" ]; then
		set -- "$@" comment "$ufw_comment"
	fi
	ufw "$@"
)

# ufw_lets_in PORT: the rules let everybody in there.
ufw_lets_in() {
	grep -q -E "^### tuple ### allow(_log|_log-all)? (tcp|any) ([^ ]*,)?$1(,[^ ]*)? (0\.0\.0\.0/0 any 0\.0\.0\.0/0|::/0 any ::/0) ([^ ]+ - )?in" \
		/etc/ufw/user.rules /etc/ufw/user6.rules
}

# ufw_configure BEFORE AFTER IPV6 ON DEFAULTS REBUILD PORTS [OPERATION WORDS COMMENT]...: digests of the rules; `-` or
# yes or no; keep, enable, reload or disable; policies of what comes in, goes out, passes; 1 to build the running
# firewall anew; ports that must be open at the end.
ufw_configure() {
	ufw_now=$(ufw_digest)
	[ "$ufw_now" = "$1" ] || [ "$ufw_now" = "$2" ] || bp_moved "the rules of ufw"
	ufw_ipv6=$3 ufw_on=$4 ufw_defaults=$5 ufw_anew=$6 ufw_ports=$7
	shift 7
	if [ "$ufw_ipv6" != - ]; then
		ufw_set_ipv6 "$ufw_ipv6" || bp_fail "/etc/default/ufw can not be written: is the disk full?"
		# A running firewall gets chains for IPv6 before it gets rules for it: ufw fails on rules without chains.
		! grep -q '^ENABLED=yes' /etc/ufw/ufw.conf || ufw reload || return 1
	fi
	while [ $# -gt 2 ]; do
		ufw_rule "$1" "$2" "$3" || bp_fail "ufw does not take the rule: $(printf '%s' "$2" | tr '\n' ' ')"
		shift 3
	done
	for ufw_port in $ufw_ports; do
		ufw_lets_in "$ufw_port" || bp_fail "no rule of ufw lets port $ufw_port in, over which this host is reached"
	done
	# shellcheck disable=SC2086 # three words by design
	set -- $ufw_defaults
	if [ $# -eq 3 ]; then
		ufw default "$1" incoming && ufw default "$2" outgoing && ufw default "$3" routed || return 1
	fi
	case $ufw_on in
		enable) ufw --force enable || return 1 ;;
		disable) ufw --force disable || return 1 ;;
		reload) ufw reload || return 1 ;;
	esac
	[ "$ufw_anew" != 1 ] || ufw_rebuild
}
