# Kernel settings, now. Their files are written as all files are.

# sysctl_set PATH VALUE ...: pairs of a path below /proc/sys and its value; every one is tried.
sysctl_set() {
	sysctl_status=0
	while [ $# -ge 2 ]; do
		if ! printf '%s\n' "$2" >"$1"; then
			printf 'the kernel does not take %s for %s\n' "$2" "$1"
			sysctl_status=1
		fi
		shift 2
	done
	return "$sysctl_status"
}
