# Mounts. fstab is written before: what is mounted is what the next boot will mount.

# mount_number PATH: the kernel's number of the device that is mounted at PATH; nothing when none is.
mount_number() {
	mount_found=$(mount_at "$1")
	mount_found=${mount_found#* * }
	printf '%s' "${mount_found%% *}"
}

# mount_make PATH NUMBER PROTECT: mount what fstab has for PATH. NUMBER is that of the device, or nothing where it has
# none of its own. PROTECT makes the folder underneath immutable, so that nobody writes into it while nothing is
# mounted.
mount_make() {
	mount_have=$(mount_number "$1")
	if [ -n "$mount_have" ]; then
		[ -z "$2" ] || [ "$mount_have" = "$2" ] || bp_moved "$1"
		return 0
	fi
	if [ ! -e "$1" ] && [ ! -h "$1" ]; then
		(umask 022 && mkdir -p -- "$1") || bp_fail "$1 can not be made"
	fi
	if [ ! -d "$1" ] || [ -h "$1" ] || ! mount_is_empty "$1"; then
		bp_moved "$1"
	fi
	if [ "$3" = 1 ]; then
		chattr +i -- "$1" || printf '%s\n' "$1 can not be made immutable on its file system; it is mounted all the same"
	fi
	mount -- "$1" || bp_fail "$1 can not be mounted"
	mount_have=$(mount_number "$1")
	if [ -n "$2" ] && [ "$mount_have" != "$2" ]; then
		umount -- "$1"
		bp_fail "fstab mounts the device $mount_have at $1, and not $2 as planned: it was taken away again"
	fi
}

# mount_again PATH NUMBER
mount_again() {
	[ "$(mount_number "$1")" = "$2" ] || bp_moved "$1"
	mount -o remount -- "$1"
}

# mount_remove PATH: only what nobody uses.
mount_remove() {
	[ -n "$(mount_number "$1")" ] || return 0
	umount -- "$1" || bp_fail "$1 is in use, so it stays mounted: stop what uses it (\`fuser -vm $1\` names it)"
}
