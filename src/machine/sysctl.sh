# Kernel settings: as they are now, and as the boot makes them.

# sysctl_probe PATH...: for each path below /proc/sys: absent, ro or rw; then the values as lines of `PATH:VALUE`. One
# process reads them all: a shell's own `read` takes a byte at a time, and the kernel gives a number only to whoever
# takes it whole (dash would read 2048 as 2).
sysctl_probe() {
	for sysctl_path in "$@"; do
		if [ ! -e "$sysctl_path" ]; then
			bp_field absent
		elif [ -w "$sysctl_path" ]; then
			bp_field rw
		else
			bp_field ro
		fi
	done
	bp_field "$(grep -aHs '' -- "$@")"
}

# sysctl_files_probe: name and content of every file that systemd-sysctl reads, as they lie; nothing is sorted here.
sysctl_files_probe() {
	for sysctl_path in /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf \
		/usr/lib/sysctl.d/*.conf /lib/sysctl.d/*.conf; do
		[ -e "$sysctl_path" ] || continue
		bp_field "$sysctl_path"
		if [ -f "$sysctl_path" ]; then
			while IFS= read -r sysctl_line || [ -n "$sysctl_line" ]; do
				case $sysctl_line in
					'' | '#'* | ';'*) ;;
					*) printf '%s\n' "$sysctl_line" ;;
				esac
			done <"$sysctl_path"
		fi
		bp_field ''
	done
}
