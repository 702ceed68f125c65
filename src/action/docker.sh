# Changes of Docker: its configuration, volumes, networks.

docker_file=/etc/docker/daemon.json

# docker_identity: the running daemon's process and its start, as the stamp has it; fails when it does not run.
docker_identity() {
	docker_pid=''
	[ -r /run/docker.pid ] && read -r docker_pid </run/docker.pid
	[ -n "$docker_pid" ] && [ -r "/proc/$docker_pid/stat" ] || return 1
	read -r docker_stat <"/proc/$docker_pid/stat"
	# shellcheck disable=SC2086 # fields of proc(5); the 22nd is the start
	set -- ${docker_stat##*) }
	shift 19
	printf '%s %s' "$docker_pid" "$1"
}

# docker_stamped: write down which configuration the running daemon has read.
docker_stamped() {
	docker_who=$(docker_identity) || return 1
	mkdir -p /run/bedplate
	rm -f /run/bedplate/docker-stamp
	cat -- "$docker_file" >/run/bedplate/docker-loaded || return 1
	printf '%s\n' "$docker_who" >/run/bedplate/docker-stamp
}

# docker_validate FILE: whether the daemon would take it; daemons before version 23 can not say.
docker_validate() {
	command -v dockerd >/dev/null || return 0
	case $(dockerd --help 2>&1) in
		*--validate*) ;;
		*) return 0 ;;
	esac
	dockerd --validate --config-file "$1"
}

# docker_put_back STATE: the configuration of before (STATE is absent or its digest), when the daemon does not run with
# the new one. Ends the call.
docker_put_back() {
	journalctl --no-pager -q -o cat -n 12 -u docker.service | grep -v '^$' | tail -n 8
	if [ "$1" = absent ]; then
		rm -f -- "$docker_file"
	elif [ "$(action_state /run/bedplate/docker-before)" = "$1" ] && cp -- /run/bedplate/docker-before "$docker_file.bedplate-part"; then
		chmod --reference="$docker_file" -- "$docker_file.bedplate-part"
		chown --reference="$docker_file" -- "$docker_file.bedplate-part"
		mv -f -T -- "$docker_file.bedplate-part" "$docker_file"
	else
		bp_fail 'Docker does not start with its daemon.json: see journalctl -u docker'
	fi
	systemctl reset-failed docker.service docker.socket 2>/dev/null
	if systemctl --no-ask-password restart docker.service; then
		bp_fail 'Docker does not start with the new daemon.json: the old one is back and Docker runs with it'
	fi
	bp_fail 'Docker starts neither with the new daemon.json nor with the old one, which is back: see journalctl -u docker'
}

# docker_configure_now STATE WANTED MODE USER GROUP CONTENT APPLY: APPLY is nothing, reload or restart.
docker_configure_now() {
	docker_before=$1
	# A file that was right before and a daemon that does not start with it: there is nothing to go back to.
	[ "$1" != "$2" ] || docker_before=none
	docker_now=$(action_state "$docker_file")
	if [ "$docker_now" != "$2" ]; then
		[ "$docker_now" = "$1" ] || bp_moved "$docker_file"
		rm -f /run/bedplate/docker-before
		[ "$docker_now" = absent ] || cp -- "$docker_file" /run/bedplate/docker-before || bp_fail "$docker_file can not be copied"
		printf '%s' "$6" >/run/bedplate/docker-wanted || bp_fail 'the new daemon.json can not be written'
		docker_validate /run/bedplate/docker-wanted || bp_fail 'Docker would not take this daemon.json: nothing was changed'
		(action_write "$docker_file" "$1" "$2" "$3" "$4" "$5" "$6") || return "$?"
	fi
	case $7 in
		restart)
			systemctl reset-failed docker.service docker.socket 2>/dev/null
			systemctl --no-ask-password restart docker.service || docker_put_back "$docker_before"
			;;
		reload) systemctl --no-ask-password reload docker.service || docker_put_back "$docker_before" ;;
	esac
	# Without a running daemon there is nothing to stamp.
	docker_stamped || [ "$7" = nothing ]
}

# docker_configure STATE WANTED MODE USER GROUP CONTENT APPLY
docker_configure() {
	bp_detached /run/bedplate/docker.log docker_configure_now "$@"
}

# docker_volume_create NAME OPTION...: each OPTION is KEY=VALUE, in the order of the keys.
docker_volume_create() {
	docker_name=$1
	shift
	docker_wanted=$(for docker_option in "$@"; do printf '%s\n' "$docker_option"; done)
	if docker_is=$(docker volume inspect --format '{{range $key, $value := .Options}}{{$key}}={{$value}}
{{end}}' -- "$docker_name" 2>/dev/null); then
		[ "$docker_is" = "$docker_wanted" ] || bp_moved "volume $docker_name"
		return 0
	fi
	for docker_option in "$@"; do
		shift
		set -- "$@" --opt "$docker_option"
	done
	docker volume create "$@" -- "$docker_name"
}

# docker_network_create NAME IPV6 OPTION...: a bridge; IPV6 is 1 or 0.
docker_network_create() {
	docker_name=$1
	docker_ipv6=$2
	shift 2
	if docker network inspect -- "$docker_name" >/dev/null 2>&1; then
		printf '%s\n' "network $docker_name is there already"
		return 0
	fi
	for docker_option in "$@"; do
		shift
		set -- "$@" --opt "$docker_option"
	done
	[ "$docker_ipv6" = 0 ] || set -- "$@" --ipv6
	docker network create --driver bridge "$@" -- "$docker_name"
}
