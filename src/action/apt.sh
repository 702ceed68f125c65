# Package installations by apt: never a question, never a removal, waiting for locks with a visible reason.

# apt_holder FILE: who holds a lock, in words.
apt_holder() {
	for apt_process in /proc/[0-9]*; do
		for apt_file in "$apt_process"/fd/*; do
			if [ "$(readlink -- "$apt_file")" = "$1" ]; then
				read -r apt_name <"$apt_process/comm"
				printf '%s (process %s)' "$apt_name" "${apt_process#/proc/}"
				return 0
			fi
		done
	done 2>/dev/null
	printf 'another program'
}

# apt_run LOCK-PATTERN COMMAND...: run apt-get; when a lock is held, say by whom and try again, for ten minutes.
apt_run() {
	apt_tries=0
	while :; do
		apt_output=$("$@" 2>&1)
		apt_status=$?
		[ "$apt_status" = 0 ] && break
		case $apt_output in
			*'Could not get lock '* | *'Unable to lock '* | *'Unable to acquire the dpkg frontend lock'*) ;;
			*) break ;;
		esac
		apt_lock=/var/lib/dpkg/lock-frontend
		case $apt_output in
			*/var/lib/apt/lists/lock*) apt_lock=/var/lib/apt/lists/lock ;;
			*/var/cache/apt/archives/lock*) apt_lock=/var/cache/apt/archives/lock ;;
		esac
		apt_tries=$((apt_tries + 1))
		[ "$apt_tries" -le 200 ] || break
		[ $((apt_tries % 5)) = 1 ] && printf 'waiting for %s, which holds %s\n' "$(apt_holder "$apt_lock")" "$apt_lock"
		sleep 3
	done
	printf '%s\n' "$apt_output"
	return "$apt_status"
}

# apt_get ARGS...: apt-get that never asks and never restarts services behind our back.
apt_get() {
	DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true APT_LISTCHANGES_FRONTEND=none \
		NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 UCF_FORCE_CONFFOLD=1 \
		apt-get -y -q -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 \
		-o Acquire::Retries=3 "$@"
}

# apt_repair: finish what an interrupted run of dpkg left.
apt_repair() {
	[ -n "$(dpkg --audit 2>/dev/null)" ] || return 0
	printf 'finishing an interrupted installation (dpkg --configure -a)\n'
	apt_run env DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a || return 1
	[ -z "$(dpkg --audit 2>/dev/null)" ] || apt_run apt_get -f install
}

# apt_lists: fetch the package lists, an unreachable mirror being an error (by default it is a warning).
apt_lists() {
	apt_run apt_get -o APT::Update::Error-Mode=any update && return 0
	printf '%s\n' 'the package lists can not be fetched: look at /etc/apt/sources.list* and at the way to the mirror'
	return 100
}

# apt_plan RECOMMENDS NAME...: what would be done; nothing is.
apt_plan() {
	apt_recommends=$1
	shift
	apt_get -s -o APT::Install-Recommends="$apt_recommends" install -- "$@"
}

# apt_install_now RECOMMENDS NAME...
apt_install_now() {
	apt_repair || return 1
	apt_planned=$(apt_plan "$@" 2>&1) || {
		apt_lists || return 1
		apt_planned=$(apt_plan "$@" 2>&1) || {
			printf '%s\n' "$apt_planned"
			return 100
		}
	}
	case $apt_planned in
		*"
Remv "*)
			printf '%s\n' "$apt_planned" | grep '^Remv '
			printf '%s\n' 'the installation would remove packages, so it was not begun: remove them yourself first if you agree'
			return 1
			;;
	esac
	apt_recommends=$1
	shift
	apt_run apt_get -o APT::Install-Recommends="$apt_recommends" install -- "$@" && return 0
	# Lists that are days old name files that the mirror no longer has.
	apt_lists && apt_run apt_get -o APT::Install-Recommends="$apt_recommends" install -- "$@"
}

# apt_install RECOMMENDS NAME...: in a session of its own, so that a lost connection does not tear dpkg in two.
apt_install() {
	bp_detached /run/bedplate/apt.log apt_install_now "$@"
}
