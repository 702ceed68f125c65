# What is wrong with a host at large.

# health_probe: names of failed units; names of packages that are neither installed nor gone. Each a line.
health_probe() {
	bp_field "$(systemctl list-units --failed --plain --no-legend --no-pager | cut -d ' ' -f 1)"
	bp_field "$(awk '
		$1 == "Package:" { name = $2 }
		$1 == "Status:" && $4 != "installed" && $4 != "config-files" && $4 != "not-installed" { print name }
	' /var/lib/dpkg/status)"
}
