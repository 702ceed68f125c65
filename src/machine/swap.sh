# Swap: what is in use, whether this host may have any, and what is at the path of a swap file.

# swap_probe: why there can be none (or nothing), then a name, a type and a size in KiB for each that is on and exists
# here: in a container the kernel lists those of its neighbours too.
swap_probe() {
	swap_why=
	if [ ! -r /proc/swaps ]; then
		swap_why='the kernel knows no swap'
	elif [ -e /proc/user_beancounters ] && [ ! -e /proc/bc ]; then
		swap_why='it is an OpenVZ container, whose swap is its host'\''s'
	else
		swap_map=
		[ -r /proc/self/uid_map ] && read -r swap_map </proc/self/uid_map
		# shellcheck disable=SC2086 # three numbers
		set -- $swap_map
		if [ $# = 3 ] && [ "$*" != '0 0 4294967295' ]; then
			swap_why='it is an unprivileged container, whose swap is its host'\''s'
		fi
		while read -r swap_key swap_value; do
			if [ "$swap_key" = CapEff: ] && ! swap_admin "$swap_value" && [ -z "$swap_why" ]; then
				swap_why='the login may not administer the system (CAP_SYS_ADMIN is missing)'
			fi
		done </proc/self/status
	fi
	bp_field "$swap_why"
	[ -r /proc/swaps ] || return 0
	while read -r swap_path swap_kind swap_size _; do
		[ "$swap_kind" = Type ] && continue
		case $swap_path in
			*\\*) swap_real=$(printf '%b' "$swap_path") ;;
			*) swap_real=$swap_path ;;
		esac
		[ -e "$swap_real" ] || continue
		bp_field "$swap_real"
		bp_field "$swap_kind"
		bp_field "$swap_size"
	done </proc/swaps
}

# swap_admin MASK: whether the hexadecimal capability mask has CAP_SYS_ADMIN, bit 21: bit 1 of the sixth digit from
# the right.
swap_admin() {
	swap_digits=${1%?????}
	case ${swap_digits#"${swap_digits%?}"} in
		[2367abefABEF]) return 0 ;;
	esac
	return 1
}

# swap_size PATH: bytes of a plain file, 0 for none.
swap_size() {
	if [ -f "$1" ] && [ ! -h "$1" ]; then stat -c %s -- "$1"; else echo 0; fi
}

# swap_is_swap PATH: whether it bears the mark of mkswap, which ends its first page (4, 16 or 64 KiB).
swap_is_swap() {
	for swap_at in 4086 16374 65526; do
		# The shell leaves out bytes of zero, so that ten bytes with any of them are fewer.
		[ "$(dd if="$1" bs=1 skip="$swap_at" count=10 2>/dev/null)" = SWAPSPACE2 ] && return 0
	done
	return 1
}

# swap_file_probe PATH...: what is there: absent, other, file or swap; bytes, mode, user number; bytes of leftovers.
swap_file_probe() {
	for swap_path in "$@"; do
		if [ -h "$swap_path" ] || [ -d "$swap_path" ]; then
			printf 'other\0000\0000\0000\000'
		elif [ -f "$swap_path" ]; then
			if swap_is_swap "$swap_path"; then bp_field swap; else bp_field file; fi
			stat --printf '%s\000%a\000%u\000' -- "$swap_path"
		elif [ -e "$swap_path" ]; then
			printf 'other\0000\0000\0000\000'
		else
			printf 'absent\0000\0000\0000\000'
		fi
		swap_left=0
		for swap_name in "$swap_path.bedplate-part" "$swap_path.bedplate-bridge"; do
			[ -e "$swap_name" ] && swap_left=$((swap_left + $(swap_size "$swap_name") + 1))
		done
		bp_field "$swap_left"
	done
}
