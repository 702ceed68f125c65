# Hands what still comes to the old host on to the new one, until names lead there. systemd does it, so that it stays
# after a reboot.

forward_units=/etc/systemd/system

# forward_start ADDRESS PORT...: stops kamal-proxy, which holds the ports, and listens in its place.
forward_start() {
	forward_program=/lib/systemd/systemd-socket-proxyd
	[ -x "$forward_program" ] || bp_fail "there is no $forward_program on this host"
	forward_to=$1
	shift
	for forward_port in "$@"; do
		forward_name=bedplate-forward-$forward_port
		printf '[Unit]\nDescription=Port %s goes to the new host\n\n[Socket]\nListenStream=%s\nNoDelay=yes\n\n[Install]\nWantedBy=sockets.target\n' \
			"$forward_port" "$forward_port" >"$forward_units/$forward_name.socket" || exit 1
		printf '[Unit]\nDescription=Port %s goes to the new host\n\n[Service]\nExecStart=%s --connections-max=8192 %s:%s\nDynamicUser=yes\nLimitNOFILE=65536\n' \
			"$forward_port" "$forward_program" "$forward_to" "$forward_port" >"$forward_units/$forward_name.service" || exit 1
		chmod 0644 "$forward_units/$forward_name.socket" "$forward_units/$forward_name.service" || exit 1
	done
	systemctl daemon-reload || exit 1
	if docker container inspect kamal-proxy >/dev/null 2>&1; then
		docker container stop --time 10 kamal-proxy || exit 1
	fi
	for forward_port in "$@"; do
		systemctl enable --now "bedplate-forward-$forward_port.socket" || exit 1
	done
}

# forward_stop: the opposite, kamal-proxy left out.
forward_stop() {
	for forward_file in "$forward_units"/bedplate-forward-*.socket; do
		[ -e "$forward_file" ] || continue
		forward_name=${forward_file##*/}
		forward_name=${forward_name%.socket}
		systemctl disable --now "$forward_name.socket"
		systemctl stop "$forward_name.service"
		rm -f "$forward_file" "$forward_units/$forward_name.service"
	done
	systemctl daemon-reload
}
