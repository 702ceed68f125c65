# Files: one process for all of them where it can be.

# file_probe LIMIT OPEN PATH...: stat, links, digests of all; then the content (up to LIMIT bytes each) of the first
# OPEN paths, end to end. Every list ends with an empty field.
file_probe() {
	file_limit=$1
	file_open=$2
	shift 2
	stat --printf '%n\000%F\000%a\000%u\000%g\000%U\000%G\000%s\000' -- "$@"
	bp_field ''
	for file_path in "$@"; do
		if [ -h "$file_path" ]; then
			bp_field "$file_path"
			bp_field "$(readlink -- "$file_path")"
		fi
	done
	bp_field ''
	# Keep only plain files in "$@": each path is looked at once and put at the end if it stays.
	file_count=$#
	file_plain=0
	while [ "$file_count" -gt 0 ]; do
		file_path=$1
		shift
		file_count=$((file_count - 1))
		file_open=$((file_open - 1))
		if [ -f "$file_path" ] && [ ! -h "$file_path" ] && [ -r "$file_path" ]; then
			set -- "$@" "$file_path"
			[ "$file_open" -ge 0 ] && file_plain=$((file_plain + 1))
		fi
	done
	[ $# -gt 0 ] && sha256sum --zero -- "$@"
	bp_field ''
	# The open ones stand first.
	while [ $# -gt "$file_plain" ]; do
		file_count=$#
		while [ "$file_count" -gt 1 ]; do
			set -- "$@" "$1"
			shift
			file_count=$((file_count - 1))
		done
		shift
	done
	for file_path in "$@"; do
		bp_field "$file_path"
	done
	bp_field ''
	[ $# -gt 0 ] && head -q -c "$file_limit" -- "$@"
	return 0
}
