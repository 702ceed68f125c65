# File systems: which one would hold a path, and how large it is.

# filesystem_probe PATH...: for each path, of the nearest folder above it that exists: type, block size, blocks, blocks
# that are free for use.
filesystem_probe() {
	for filesystem_path in "$@"; do
		while [ ! -d "$filesystem_path" ]; do
			filesystem_path=${filesystem_path%/*}
			filesystem_path=${filesystem_path:-/}
		done
		stat -f --printf '%T\000%S\000%b\000%a\000' -- "$filesystem_path"
	done
}
