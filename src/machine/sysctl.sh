# Kernel settings: as they are now, and as the boot makes them. Builtins and one cat: no process a key.

# sysctl_probe PATH...: for each path below /proc/sys: absent, ro, rw or secret, and the value.
sysctl_probe() {
	for sysctl_path in "$@"; do
		sysctl_value=
		if [ ! -e "$sysctl_path" ]; then
			bp_field absent
		elif [ ! -r "$sysctl_path" ] || ! IFS= read -r sysctl_value <"$sysctl_path"; then
			# An empty value ends without a line break, as one that can not be read does.
			if [ -r "$sysctl_path" ] && [ -w "$sysctl_path" ]; then bp_field rw; else bp_field ro; fi
		elif [ -w "$sysctl_path" ]; then
			bp_field rw
		else
			bp_field ro
		fi
		bp_field "$sysctl_value"
	done
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
