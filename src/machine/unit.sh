# systemd units, all of them by one question.

# unit_is_nowhere UNIT: no file of that name (or of its template) is in any folder that systemd reads, and it does not
# run: systemd would say so too, but looks long for each. Of kinds that need no file, only systemd knows.
unit_is_nowhere() {
	case $1 in *.service | *.socket | *.timer) ;; *) return 1 ;; esac
	case $1 in
		*@*) set -- "$1" "${1%%@*}@.${1##*.}" ;;
		*) set -- "$1" "$1" ;;
	esac
	[ ! -h "/run/systemd/units/invocation:$1" ] || return 1
	for unit_folder in /etc/systemd/system* /run/systemd/system* /run/systemd/transient /run/systemd/generator* \
		/usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
		for unit_file in "$unit_folder/$1" "$unit_folder/$2"; do
			[ ! -e "$unit_file" ] && [ ! -h "$unit_file" ] || return 1
		done
	done
}

# unit_probe UNIT...: the names of those that are nowhere, a line each; of the others a paragraph each, in order.
unit_probe() {
	unit_left=$# unit_nowhere=
	[ -d /run/systemd/system ] || unit_left=0
	while [ "$unit_left" -gt 0 ]; do
		unit_left=$((unit_left - 1))
		if unit_is_nowhere "$1"; then
			unit_nowhere="$unit_nowhere$1
"
		else
			set -- "$@" "$1"
		fi
		shift
	done
	bp_field "$unit_nowhere"
	if [ $# = 0 ]; then
		bp_field ''
	else
		bp_field "$(systemctl show --no-pager -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload -- "$@")"
	fi
}
