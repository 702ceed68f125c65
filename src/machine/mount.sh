# What is mounted at a path, and what is there when nothing is.

# mount_at PATH: the line of mountinfo that is on top at PATH, as the kernel writes it; nothing when there is none.
mount_at() {
	# The shell reads byte by byte, and a host with many containers has many mounts.
	case $1 in
		*[\ \\]*) mount_lines=$(cat /proc/self/mountinfo) ;;
		*) mount_lines=$(grep -F -e " $1 " /proc/self/mountinfo) ;;
	esac
	mount_line=
	while read -r mount_id mount_parent mount_number mount_root mount_place mount_rest; do
		case $mount_place in
			*\\*) mount_real=$(printf '%b' "$mount_place") ;;
			*) mount_real=$mount_place ;;
		esac
		[ "$mount_real" != "$1" ] ||
			mount_line="$mount_id $mount_parent $mount_number $mount_root $mount_place $mount_rest"
	done <<-LINES
		$mount_lines
	LINES
	printf '%s' "$mount_line"
}

# mount_is_empty FOLDER
mount_is_empty() {
	for mount_entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
		[ ! -e "$mount_entry" ] && [ ! -h "$mount_entry" ] || return 1
	done
	return 0
}

# mount_probe PATH...: the line of mountinfo, what is there (absent, empty, full, other), whether it is immutable, and
# device and inode.
mount_probe() {
	for mount_path in "$@"; do
		mount_found=$(mount_at "$mount_path")
		bp_field "$mount_found"
		mount_fixed=0
		if [ -h "$mount_path" ]; then
			bp_field other
		elif [ -d "$mount_path" ]; then
			# What is on a mounted file system is nobody's concern here: a new xfs is empty, a new ext4 is not.
			if [ -z "$mount_found" ] && mount_is_empty "$mount_path"; then bp_field empty; else bp_field full; fi
			if [ -z "$mount_found" ]; then
				mount_flags=$(lsattr -d -- "$mount_path")
				case ${mount_flags%% *} in
					*i*) mount_fixed=1 ;;
				esac
			fi
		elif [ -e "$mount_path" ]; then
			bp_field other
		else
			bp_field absent
		fi
		bp_field "$mount_fixed"
		bp_field "$(stat -c '%d:%i' -- "$mount_path")"
	done
}
