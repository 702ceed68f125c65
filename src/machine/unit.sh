# systemd units, all of them by one question.

# unit_probe UNIT...: a paragraph a unit, in order.
unit_probe() {
	bp_field "$(systemctl show --no-pager -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload -- "$@")"
}
