# Swap files. A swap file that is on can be neither renamed nor removed, so a new one is made beside its path and renamed
# before it is used, and one of another size is reached over a bridge: a second file that is on while the first is
# replaced, so that there is never less swap than before.

# swap_lock: one change of swap at a time: a connection that broke may have left one at work.
swap_lock() {
	mkdir -p /run/bedplate
	exec 9>/run/bedplate/swap.lock
	flock 9
}

# swap_is_on PATH
swap_is_on() {
	[ -e "$1" ] || return 1
	while read -r swap_name _; do
		[ "$swap_name" = "$1" ] && return 0
	done </proc/swaps
	return 1
}

# swap_state PATH: absent, other, or the bytes of a swap file.
swap_state() {
	if [ ! -e "$1" ] && [ ! -h "$1" ]; then
		printf 'absent'
	elif [ -f "$1" ] && [ ! -h "$1" ] && swap_is_swap "$1"; then
		stat -c %s -- "$1"
	else
		printf 'other'
	fi
}

# swap_allocate PATH MIB METHOD: a file with no holes, marked as swap. METHOD: reserve (the file system vouches for what
# it has reserved), write (zeros), nocow (zeros in a file that is never copied on write).
swap_allocate() {
	: >"$1" || bp_fail "$1 can not be written"
	chmod 0600 -- "$1"
	swap_written=no
	if [ "$3" = reserve ]; then
		swap_answer=$(fallocate -l "$2MiB" -- "$1" 2>&1) && swap_written=yes
		case $swap_written$swap_answer in
			yes* | *'not supported'*) ;;
			*) bp_fail "there is no room for $2 MiB at $1" ;;
		esac
	elif [ "$3" = nocow ]; then
		chattr +C -- "$1" || bp_fail "this btrfs can not keep $1 from being copied on write, so it can not be swap"
	fi
	if [ "$swap_written" = no ]; then
		dd if=/dev/zero of="$1" bs=1M count="$2" conv=notrunc,fsync status=none ||
			bp_fail "there is no room for $2 MiB at $1"
	fi
	mkswap -- "$1" >/dev/null || bp_fail "$1 can not be made swap"
}

# swap_make PATH MIB METHOD FOUND: FOUND is absent, or the bytes of the swap file that is there.
swap_make() {
	bp_detached /run/bedplate/swap.log swap_make_now "$@"
}

swap_make_now() {
	swap_lock
	swap_part=$1.bedplate-part
	swap_bridge=$1.bedplate-bridge
	swap_now=$(swap_state "$1")
	swap_made=no
	if [ "$swap_now" != "$(($2 * 1048576))" ]; then
		[ "$swap_now" = "$4" ] || [ "$swap_now" = absent ] || bp_moved "$1"
		swap_replace "$@"
	fi
	if ! chown 0:0 -- "$1" || ! chmod 0600 -- "$1"; then
		bp_fail "the owner or mode of $1 can not be set"
	fi
	swap_is_on "$1" || swapon -- "$1" || {
		[ "$swap_made" = no ] || rm -f -- "$1"
		bp_fail "the kernel does not take $1 as swap"
	}
	rm -f -- "$swap_part"
	if swap_is_on "$swap_bridge"; then
		swapoff -- "$swap_bridge" || bp_fail "memory is too full to give $swap_bridge up; run again when there is more room"
	fi
	rm -f -- "$swap_bridge"
}

# swap_replace PATH MIB METHOD FOUND: put a new file at PATH. What fails leaves the old one on.
swap_replace() {
	trap 'rm -f -- "$swap_part"' EXIT
	if swap_is_on "$1"; then
		if ! swap_is_on "$swap_bridge"; then
			rm -f -- "$swap_bridge"
			trap 'rm -f -- "$swap_part"; swap_is_on "$swap_bridge" || rm -f -- "$swap_bridge"' EXIT
			swap_allocate "$swap_bridge" "$2" "$3"
			swapon -- "$swap_bridge" || bp_fail "the kernel does not take $swap_bridge as swap"
		fi
		swapoff -- "$1" || {
			swapoff -- "$swap_bridge"
			bp_fail "memory is too full to replace $1, which stays as it was; run again when there is more room"
		}
	fi
	rm -f -- "$1"
	swap_allocate "$swap_part" "$2" "$3"
	mv -f -T -- "$swap_part" "$1" || bp_fail "$1 can not be put in place"
	swap_made=yes
}

# swap_activate PATH: use a swap file that is there.
swap_activate() {
	swap_lock
	case $(swap_state "$1") in
		absent | other) bp_moved "$1" ;;
	esac
	if ! chown 0:0 -- "$1" || ! chmod 0600 -- "$1"; then
		bp_fail "the owner or mode of $1 can not be set"
	fi
	swap_is_on "$1" || swapon -- "$1" || bp_fail "the kernel does not take $1 as swap"
}

# swap_remove PATH: only what is swap, and what an interrupted run left beside it.
swap_remove() {
	swap_lock
	swap_state=$(swap_state "$1")
	[ "$swap_state" != other ] || bp_moved "$1"
	for swap_path in "$1.bedplate-part" "$1.bedplate-bridge" "$1"; do
		if swap_is_on "$swap_path"; then
			swapoff -- "$swap_path" || bp_fail "memory is too full to give up the swap in $swap_path, which stays in use"
		fi
		rm -f -- "$swap_path"
	done
}
