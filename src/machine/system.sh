# What the host is: os-release, kernel, memory. Builtins where they do: each process costs half a millisecond.

# system_line FILE: the first line of a file, or nothing.
system_line() {
	system_text=
	[ -r "$1" ] && read -r system_text <"$1"
	bp_field "$system_text"
}

system_probe() {
	ID='' VERSION_ID='' VERSION_CODENAME=''
	# shellcheck disable=SC1091 # os-release is defined to be shell assignments (os-release(5))
	[ -r /etc/os-release ] && . /etc/os-release
	bp_field "$ID"
	bp_field "$VERSION_ID"
	bp_field "$VERSION_CODENAME"
	bp_field "$(dpkg --print-architecture)"
	system_line /proc/sys/kernel/osrelease
	system_line /proc/sys/kernel/hostname
	system_line /run/systemd/container
	system_memory=0
	while read -r system_key system_value _; do
		[ "$system_key" = MemTotal: ] && system_memory=$system_value && break
	done </proc/meminfo
	bp_field "$system_memory"
	system_line /sys/devices/system/cpu/online
	if [ -d /run/systemd/system ]; then bp_field 1; else bp_field 0; fi
	if [ -e /run/reboot-required ] || [ -e /var/run/reboot-required ]; then bp_field 1; else bp_field 0; fi
	bp_field "$(date +%s)"
	session_uid || session_number=$(id -u)
	bp_field "$session_number"
	system_fixed=
	for system_path in / /etc /usr /var; do
		[ -w "$system_path" ] || system_fixed="$system_fixed $system_path"
	done
	bp_field "${system_fixed# }"
}
