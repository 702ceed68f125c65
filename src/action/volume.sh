# Volumes: a file system on a device that every probe says is blank, and its growth.

# volume_refuse NODE WHY: nothing was done.
volume_refuse() {
	bp_fail "$1 is not blank, so it is not formatted: it $2"
}

# volume_must_be_blank NODE SIZE: asks everything again, right before the one step that can not be taken back, and
# looks closer than the plan did. What can not be asked counts as "no".
volume_must_be_blank() {
	[ -b "$1" ] || bp_fail "$1 is not a block device"
	volume_number=$(stat -c '%t %T' -- "$1") || bp_fail "$1 can not be asked for its number"
	volume_number=$((0x${volume_number% *})):$((0x${volume_number#* }))
	volume_sys=/sys/dev/block/$volume_number
	read -r volume_size <"$volume_sys/size" || bp_fail "the size of $1 can not be read"
	[ "$((volume_size * 512))" = "$2" ] || bp_moved "$1"
	read -r volume_only <"$volume_sys/ro" || bp_fail "whether $1 can be written is not known"
	[ "$volume_only" = 0 ] || bp_fail "$1 is read-only"
	[ ! -e "$volume_sys/partition" ] || bp_fail "$1 is a partition; only whole devices are formatted"
	[ -d "$volume_sys/holders" ] || bp_fail "what uses $1 is not known"
	for volume_entry in "$volume_sys"/*/partition; do
		[ ! -e "$volume_entry" ] || volume_refuse "$1" "has partitions"
	done
	for volume_entry in "$volume_sys"/holders/*; do
		[ ! -e "$volume_entry" ] || volume_refuse "$1" "is in use by ${volume_entry##*/}"
	done
	[ -r /proc/self/mountinfo ] || bp_fail "what is mounted is not known"
	[ -z "$(block_device_mounts "$volume_number" "$1")" ] || volume_refuse "$1" "is mounted"
	[ -r /proc/swaps ] || bp_fail "what is in use as swap is not known"
	while read -r volume_name _; do
		[ "$volume_name" != "$1" ] || volume_refuse "$1" "is in use as swap"
	done </proc/swaps
	volume_signs=$(blkid -p -o export -- "$1")
	volume_status=$?
	if [ "$volume_status" != 2 ] || [ -n "$volume_signs" ]; then
		volume_refuse "$1" "bears a signature (blkid ended with $volume_status)
$volume_signs"
	fi
	volume_signs=$(wipefs --noheadings --no-act --output TYPE -- "$1") || bp_fail "wipefs can not judge $1"
	[ -z "$volume_signs" ] || volume_refuse "$1" "bears the signature of $volume_signs"
	case $(block_device_zero "$1" "$2" 67108864 1024) in
		zero) ;;
		data) volume_refuse "$1" "holds data (not all of it is zero)" ;;
		*) bp_fail "$1 can not be read from end to end, so it is not formatted" ;;
	esac
	case $(block_device_second "$1" "$2" 8388608 256) in
		zero) ;;
		data) volume_refuse "$1" "holds data (a second reader says so)" ;;
		busy) volume_refuse "$1" "is in use by something that does not show (a container's mount, a part of a larger file system)" ;;
		*) bp_fail "a second reader can not judge $1, so it is not formatted" ;;
	esac
}

# volume_is NODE KIND UUID: whether that file system is on it.
volume_is() {
	[ "$(blkid -p -o value -s TYPE -- "$1")" = "$2" ] && [ "$(blkid -p -o value -s UUID -- "$1")" = "$3" ]
}

# volume_format SPEC NODE SIZE KIND UUID LABEL: in a session of its own: half a file system is none.
volume_format() {
	bp_detached /run/bedplate/format.log volume_format_now "$@"
}

volume_format_now() {
	exec 9>/run/bedplate/format.lock
	flock 9
	[ "$(block_device_find "$1")" = "$2" ] || bp_moved "$1"
	volume_record=$(block_device_record "$2")
	if volume_is "$2" "$4" "$5"; then
		rm -f -- "$volume_record"
		return 0
	fi
	command -v "mkfs.$4" >/dev/null || bp_fail "mkfs.$4 is not installed"
	volume_must_be_blank "$2" "$3"
	# Should the power go in the middle, the record says that what is on the device is ours and worth nothing.
	mkdir -p -- "${volume_record%/*}"
	if ! printf '%s %s %s\n' "$1" "$4" "$5" >"$volume_record" || ! sync -- "$volume_record"; then
		bp_fail "$volume_record can not be written: is the disk full?"
	fi
	case $4 in
		ext4)
			if [ -n "$6" ]; then set -- "$@" -L "$6"; fi
			volume_node=$2 volume_kind=$4 volume_uuid=$5
			shift 6
			mkfs.ext4 -q -m 1 -E nodiscard -U "$volume_uuid" "$@" -- "$volume_node"
			;;
		xfs)
			if [ -n "$6" ]; then set -- "$@" -L "$6"; fi
			volume_node=$2 volume_kind=$4 volume_uuid=$5
			shift 6
			mkfs.xfs -q -K -m "uuid=$volume_uuid" "$@" -- "$volume_node"
			;;
		*) bp_fail "$4 is not a file system that volumes have" ;;
	esac || bp_fail "mkfs.$volume_kind failed on $volume_node"
	sync
	if command -v udevadm >/dev/null; then udevadm settle -t 10; fi
	volume_is "$volume_node" "$volume_kind" "$volume_uuid" || bp_fail "$volume_node does not hold what was just made on it"
	rm -f -- "$volume_record"
}

# volume_grow PATH NUMBER NODE KIND: let the file system fill its device; never the other way.
volume_grow() {
	bp_detached /run/bedplate/grow.log volume_grow_now "$@"
}

volume_grow_now() {
	[ "$(mount_number "$1")" = "$2" ] || bp_moved "$1"
	case $4 in
		ext4) resize2fs -- "$3" ;;
		xfs) xfs_growfs -- "$1" ;;
		*) bp_fail "$4 can not be grown" ;;
	esac
}

# volume_grow_partition SPEC NODE DISK NUMBER: let the last partition reach to the end of its disk.
volume_grow_partition() {
	bp_detached /run/bedplate/grow.log volume_grow_partition_now "$@"
}

volume_grow_partition_now() {
	[ "$(block_device_find "$1")" = "$2" ] || bp_moved "$1"
	block_sys=/sys/class/block/${2##*/}
	read -r block_size <"$block_sys/size" || bp_fail "the size of $2 can not be read"
	volume_before=$block_size
	block_size=$((block_size * 512))
	volume_behind=$(block_device_behind)
	case $volume_behind in
		"$4 "*" $3") ;;
		*) bp_moved "$2" ;;
	esac
	command -v growpart >/dev/null || bp_fail 'growpart is not installed'
	# 1 is "nothing to do": a run before this one may have been cut off right after it.
	growpart "$3" "$4" || [ $? = 1 ] || bp_fail "the partition table of $3 can not be changed; it is as it was"
	read -r block_size <"$block_sys/size" || bp_fail "the size of $2 can not be read"
	[ "$block_size" -ge "$volume_before" ] || bp_fail "$2 has become smaller: do not write to it, and look at $3"
}
