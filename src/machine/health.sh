# What is wrong with a host at large, and what nobody may have meant to be so.

# health_probe: a line each, a word and what it is about: units that failed or are masked by hand, packages that are
# neither installed nor gone or that are held, packages that came to their version from another one (day, name, the
# version before, the one of now; by dpkg's log of this month and the last), accounts besides root that are root,
# accounts that need no password, files below /etc and root's .ssh that everybody may write, all mounts (source, kind,
# root within the file system, place, as the kernel writes them), and unit files of mounts.
health_probe() {
	bp_field "$(
		systemctl list-units --failed --plain --no-legend --no-pager | while read -r health_unit _; do
			printf 'failed %s\n' "$health_unit"
		done
		grep -s -h -E ' (upgrade|install|remove|purge) ' /var/log/dpkg.log.1 /var/log/dpkg.log | awk '
			FILENAME == "/dev/stdin" {
				delete day[$4]
				if ($3 == "upgrade") { day[$4] = $1; before[$4] = $5; now[$4] = $6 }
				next
			}
			FILENAME == "/var/lib/dpkg/status" {
				if ($1 == "Package:") name = $2
				if ($1 == "Architecture:") full = name ":" $2
				if ($1 == "Version:" && (full in day) && now[full] == $2) print "changed", day[full], name, before[full], $2
				if ($1 != "Status:") next
				if ($4 != "installed" && $4 != "config-files" && $4 != "not-installed") print "half", name
				if ($2 == "hold" && $4 == "installed") print "held", name
				next
			}
			FILENAME == "/proc/self/mountinfo" {
				for (i = 7; $i != "-"; i++) { }
				print "mount", $(i + 2), $(i + 1), $4, $5
				next
			}
			{ split($0, part, ":") }
			FILENAME == "/etc/passwd" && part[3] == "0" && part[1] != "root" { print "root", part[1] }
			FILENAME == "/etc/shadow" && part[1] != "" && part[2] == "" { print "open", part[1] }
		' /dev/stdin /var/lib/dpkg/status /proc/self/mountinfo /etc/passwd /etc/shadow
		find /etc /root/.ssh -xdev \
			-regex '/etc/systemd/system/[^/]*' -type l -lname /dev/null -printf 'masked %f\n' -o \
			-regex '/etc/systemd/system/[^/]*\.mount' -printf 'unit %f\n' -o \
			! -type l -perm -0002 ! -perm -1000 -printf 'writable %p\n'
	)"
}
