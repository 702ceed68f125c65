# Docker as its files and its socket show it; builtins where they do. Nothing here starts Docker: connecting to the
# socket would (socket activation), so the daemon's own pid file is looked at first.

docker_configuration=/etc/docker/daemon.json

# docker_running: sets docker_pid and docker_born (the start of that process, in ticks since boot).
docker_running() {
	docker_pid=''
	# The file has no line end, so `read` reports one missing.
	[ -r /run/docker.pid ] && read -r docker_pid </run/docker.pid
	case $docker_pid in
		'' | *[!0-9]*) return 1 ;;
	esac
	docker_name=''
	[ -r "/proc/$docker_pid/comm" ] && read -r docker_name <"/proc/$docker_pid/comm"
	[ "$docker_name" = dockerd ] || return 1
	read -r docker_stat <"/proc/$docker_pid/stat"
	# The 22nd field of proc(5); the name in brackets is the second.
	# shellcheck disable=SC2086 # fields
	set -- ${docker_stat##*) }
	shift 19
	docker_born=$1
}

# docker_root: sets docker_data, the folder with images, volumes and networks.
docker_root() {
	docker_data=/var/lib/docker
	[ -r "$docker_configuration" ] || return 0
	docker_text=''
	while IFS= read -r docker_line || [ -n "$docker_line" ]; do
		docker_text=$docker_text$docker_line
	done <"$docker_configuration"
	case $docker_text in
		*'"data-root"'*)
			docker_text=${docker_text#*'"data-root"'}
			docker_text=${docker_text#*'"'}
			docker_data=${docker_text%%'"'*}
			;;
	esac
}

# docker_uplink: sets docker_mtu, the packet size of the interface with the default route; 0 when there is none.
docker_uplink() {
	docker_mtu=0
	while read -r docker_name docker_line _; do
		if [ "$docker_line" = 00000000 ]; then
			read -r docker_mtu <"/sys/class/net/$docker_name/mtu"
			break
		fi
	done </proc/net/route
}

# docker_routes: interface, destination and mask of each way that Docker has not made, a line each, as the kernel has it.
docker_routes() {
	while read -r docker_name docker_line _ _ _ _ _ docker_mask _; do
		case $docker_name in
			Iface | docker* | br-* | veth*) ;;
			*) [ "$docker_mask" = 00000000 ] || printf '%s %s %s\n' "$docker_name" "$docker_line" "$docker_mask" ;;
		esac
	done </proc/net/route
}

# docker_used: whether there are images, containers or volumes.
docker_used() {
	for docker_path in "$docker_data"/image/*/imagedb/content/sha256/* "$docker_data"/containers/* "$docker_data"/volumes/*/_data; do
		[ ! -e "$docker_path" ] || return 0
	done
	return 1
}

# docker_probe: whether it runs; what configuration it has loaded (a word, then the text); whether it is in a swarm;
# whether Docker has been here; whether it keeps anything; a Docker of other origin; the packet size of the uplink; routes.
docker_probe() {
	docker_foreign=''
	docker_loaded=''
	if docker_running; then
		bp_field 1
		docker_stamp=''
		[ -r /run/bedplate/docker-stamp ] && read -r docker_stamp </run/bedplate/docker-stamp
		if [ "$docker_stamp" = "$docker_pid $docker_born" ]; then
			bp_field text
			docker_loaded=/run/bedplate/docker-loaded
		elif [ ! -e "$docker_configuration" ]; then
			bp_field text
		else
			# A file that was put there before the daemon wrote its pid file is what it read.
			# shellcheck disable=SC2046 # two numbers
			set -- $(stat -c %Z -- "$docker_configuration" /run/docker.pid)
			# shellcheck disable=SC3013 # dash has -nt, and it knows parts of a second
			if [ "$1" -le "$2" ] && [ /run/docker.pid -nt "$docker_configuration" ]; then
				bp_field text
				docker_loaded=$docker_configuration
			else
				bp_field unknown
			fi
		fi
		if [ -n "$docker_loaded" ] && [ -s "$docker_loaded" ]; then
			head -c 65536 -- "$docker_loaded"
		fi
		bp_field ''
		docker_foreign=$(readlink -- "/proc/$docker_pid/exe")
		case $docker_foreign in
			/usr/bin/dockerd* | /usr/sbin/dockerd*) docker_foreign='' ;;
		esac
	else
		bp_field 0
		bp_field none
		bp_field ''
	fi
	docker_root
	if [ -e "$docker_data/swarm/docker-state.json" ]; then bp_field 1; else bp_field 0; fi
	if [ -e "$docker_data/network/files/local-kv.db" ]; then bp_field 1; else bp_field 0; fi
	if docker_used; then bp_field 1; else bp_field 0; fi
	[ -n "$docker_foreign" ] || [ ! -d /snap/docker ] || docker_foreign=/snap/docker
	bp_field "$docker_foreign"
	docker_uplink
	bp_field "$docker_mtu"
	bp_field "$(docker_routes)"
}

# docker_volumes NAME...: for each whether it is there, and its options as Docker keeps them (JSON; may be empty). The
# files tell it without the daemon.
docker_volumes() {
	docker_root
	for docker_volume in "$@"; do
		docker_line=''
		if [ -d "$docker_data/volumes/$docker_volume" ]; then
			bp_field 1
			[ -r "$docker_data/volumes/$docker_volume/opts.json" ] &&
				IFS= read -r docker_line <"$docker_data/volumes/$docker_volume/opts.json"
			bp_field "$docker_line"
		else
			bp_field 0
			bp_field ''
		fi
	done
}

# docker_networks: `1` and what the daemon answers about all networks (HTTP/1.0, so to the end), or `0`. Perl's base is
# part of every Debian and Ubuntu and costs half of what the docker program does; a hung daemon is waited for 5 s.
docker_networks() {
	if ! docker_running; then
		bp_field 0
		bp_field ''
		return 0
	fi
	bp_field 1
	# The numbers are AF_UNIX and SOCK_STREAM: to load them by name would cost more than all the rest.
	perl -e '
		alarm 5;
		socket(my $socket, 1, 1, 0) or exit 1;
		connect($socket, pack("S Z108", 1, "/run/docker.sock")) or exit 1;
		syswrite $socket, "GET /networks HTTP/1.0\r\nHost: docker\r\n\r\n";
		print while <$socket>;'
	bp_field ''
}
