# What starts again by itself, on the host that was to be left, what a move or a backup has stopped there, when nobody
# comes back to go on. A unit of systemd, so that it outlives the connection and comes back after a reboot.

thaw_unit=/etc/systemd/system/bedplate-thaw.service
thaw_link=/etc/systemd/system/multi-user.target.wants/bedplate-thaw.service

# thaw_arm SECONDS SCRIPT: before anything is stopped. From now on the host goes back when its lock has been free for
# SECONDS: the run that stops things holds it for as long as it is there.
thaw_arm() {
	# shellcheck disable=SC2154 # set in freeze.sh, which comes along
	mkdir -p "$freeze_dir" && chmod 0700 "$freeze_dir" || exit 1
	rm -f "$freeze_dir/armed" "$freeze_dir/firing" "$freeze_dir/fired"
	# shellcheck disable=SC2016 # $1 is for the script that is written
	printf '%s\nthaw_main "$1"\n' "$2" >"$freeze_dir/watch.part" && mv -f "$freeze_dir/watch.part" "$freeze_dir/watch" || exit 1
	(
		umask 022
		mkdir -p "${thaw_link%/*}" &&
			printf '%s\n' '[Unit]' 'Description=bedplate starts again what a move has stopped, if nobody goes on' \
				"ConditionPathExists=|$freeze_dir/armed" "ConditionPathExists=|$freeze_dir/firing" \
				'Wants=docker.service' 'After=docker.service' \
				'StartLimitIntervalSec=3600' 'StartLimitBurst=20' \
				'[Service]' "ExecStart=/bin/sh $freeze_dir/watch $1" 'Restart=on-failure' 'RestartSec=30' \
				'[Install]' 'WantedBy=multi-user.target' >"$thaw_unit"
	) && ln -s -f -n "$thaw_unit" "$thaw_link" && : >"$freeze_dir/armed" && sync "$freeze_dir/armed" "$thaw_unit" || exit 1
	systemctl daemon-reload && systemctl reset-failed bedplate-thaw.service 2>/dev/null
	systemctl restart bedplate-thaw.service && systemctl --quiet is-active bedplate-thaw.service
}

# thaw_claim: the run goes on, and takes the decision off the host. Says `gone back` when the host has done so already.
thaw_claim() {
	if ! mv "$freeze_dir/armed" "$freeze_dir/claimed" 2>/dev/null; then
		printf 'gone back'
		return 0
	fi
	thaw_disarm
}

# thaw_disarm: nothing fires any more, and nothing is left of it.
thaw_disarm() {
	rm -f "$freeze_dir/armed" "$freeze_dir/firing" "$freeze_dir/fired" "$freeze_dir/claimed" "$freeze_dir/watch"
	[ -e "$thaw_unit" ] || return 0
	systemctl stop bedplate-thaw.service
	thaw_forget
}

# thaw_forget: removes the unit, which may be the one that this runs in.
thaw_forget() {
	rm -f "$thaw_link" "$thaw_unit"
	systemctl daemon-reload
	return 0
}

# thaw_fired: ends well when the host has gone back by itself.
thaw_fired() {
	[ -e "$freeze_dir/fired" ]
}

# thaw_hold: the host's lock, for this shell.
thaw_hold() {
	mkdir -p /run/bedplate && chmod 0700 /run/bedplate && command exec 9>>/run/bedplate/lock || return 1
	host_take && return 0
	exec 9>&-
	return 1
}

# thaw_main SECONDS: what the unit runs.
thaw_main() {
	thaw_free=0
	while [ -e "$freeze_dir/armed" ] || [ -e "$freeze_dir/firing" ]; do
		sleep 5
		if (thaw_hold); then thaw_free=$((thaw_free + 5)); else thaw_free=0; fi
		[ "$thaw_free" -ge "$1" ] || continue
		thaw_hold || continue
		rm -f /run/bedplate/owner /run/bedplate/holder
		# Whoever moves the file first decides.
		[ ! -e "$freeze_dir/armed" ] || mv -f "$freeze_dir/armed" "$freeze_dir/firing" || exit 0
		[ -e "$freeze_dir/firing" ] || exit 0
		(freeze_start) || exit 1
		mv -f "$freeze_dir/firing" "$freeze_dir/fired" && rm -f "$freeze_dir/watch"
		thaw_forget
		exit 0
	done
}
