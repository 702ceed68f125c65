# How the guard of a host stands, and what the last one that fired left. Asked at each connection, so it is kept small.

guard_home=/var/lib/bedplate/guard

# guard_report: `armed`, `firing` or nothing; then what the last guard that fired left, which is told once.
guard_report() {
	if [ -e "$guard_home/firing" ]; then
		bp_field firing
	elif [ -e "$guard_home/armed" ]; then
		bp_field armed
	else
		bp_field ''
	fi
	if [ -r "$guard_home/report" ]; then
		bp_field "$(cat -- "$guard_home/report")"
	else
		bp_field ''
	fi
}

# guard_seen: the report was shown.
guard_seen() {
	[ ! -e "$guard_home/report" ] || mv -f -T -- "$guard_home/report" "$guard_home/report.seen"
}
