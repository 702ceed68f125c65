# Package installations by apt: never a question, never an unplanned removal, waiting for locks with a visible reason.

apt_stamp=/run/bedplate/apt-lists

# apt_locker FILE: the process that holds a lock on FILE, as `name (process 12)`; nothing when it is free. A holder that
# can not be seen from here (another PID namespace) counts as none: apt itself then tells.
apt_locker() {
	apt_inode=$(stat -c %i -- "$1" 2>/dev/null) || return 0
	while read -r _ _ _ _ apt_pid apt_node _; do
		[ "${apt_node##*:}" = "$apt_inode" ] || continue
		for apt_file in /proc/"$apt_pid"/fd/*; do
			if [ "$(readlink -- "$apt_file")" = "$1" ]; then
				apt_name=a-program
				read -r apt_name <"/proc/$apt_pid/comm"
				printf '%s (process %s)' "$apt_name" "$apt_pid"
				return 0
			fi
		done
	done </proc/locks 2>/dev/null
	return 0
}

# apt_wait: until nobody holds one of apt's or dpkg's locks; for a quarter of an hour, saying who it is.
apt_wait() {
	apt_waited=0
	while :; do
		apt_who=
		for apt_lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
			apt_who=$(apt_locker "$apt_lock")
			[ -z "$apt_who" ] || break
		done
		[ -n "$apt_who" ] || return 0
		if [ "$apt_waited" -ge 900 ]; then
			printf '%s\n' "gave up after 15 minutes: $apt_who still holds $apt_lock"
			return 100
		fi
		if [ -e /run/bedplate/stop ]; then
			printf '%s\n' "stopped while waiting for $apt_who"
			return 1
		fi
		[ $((apt_waited % 30)) != 0 ] || printf '%s\n' "waiting for $apt_who, which holds $apt_lock"
		sleep 1
		apt_waited=$((apt_waited + 1))
	done
}

# apt_run COMMAND...: run it as soon as the locks are free, showing its lines as they come; again when somebody was
# quicker at a lock. What it said stays in $apt_said.
apt_run() {
	apt_said=/run/bedplate/apt-said
	apt_tries=0
	while :; do
		apt_wait || return "$?"
		{
			"$@" 2>&1
			printf '%s' "$?" >"$apt_said.status"
		} | tee -- "$apt_said"
		apt_status=1
		[ -r "$apt_said.status" ] && apt_status=$(cat -- "$apt_said.status")
		rm -f -- "$apt_said.status"
		apt_tries=$((apt_tries + 1))
		if [ "$apt_status" = 0 ] || [ "$apt_tries" -ge 5 ] ||
			! grep -q -e 'Could not get lock ' -e 'Unable to lock ' -e 'Unable to acquire the dpkg frontend lock' \
				-e 'is locked by another process' -- "$apt_said"; then
			break
		fi
		sleep 1
	done
	[ "$apt_status" = 0 ] || apt_reasons "$apt_said"
	rm -f -- "$apt_said"
	return "$apt_status"
}

# apt_reasons FILE: what apt said, in words that tell what to do.
apt_reasons() {
	if grep -q -e 'No space left on device' -e 'enough free space' -- "$1"; then
		printf '%s\n' 'the disk is full: make room (apt-get clean, docker system prune, journalctl --vacuum-size=100M)'
	fi
	if grep -q -i 'hash sum mismatch' -- "$1"; then
		printf '%s\n' 'the mirror is being updated or a proxy serves old files (hash sum mismatch): try again in some minutes'
	fi
	if grep -q 'is not valid yet' -- "$1"; then
		printf '%s\n' "the host's clock is behind (it says $(date -u)): set it first"
	fi
	if grep -q 'Conflicting values set for option Signed-By' -- "$1"; then
		printf '%s\n' 'two files in /etc/apt/sources.list.d name the same repository with different keys: remove one of them'
	fi
	if grep -q -e 'NO_PUBKEY' -e 'EXPKEYSIG' -e 'is not signed' -- "$1"; then
		printf '%s\n' 'a repository is not signed by a key that this host knows (or the key has expired)'
	fi
	if grep -q -e 'is expired (invalid since' -e 'is no longer valid' -- "$1"; then
		printf '%s\n' 'a mirror serves lists that have run out: it is no longer kept up, or somebody serves an old copy'
	fi
	if grep -q -i -e 'EXPSIG' -e 'signature.* expired' -- "$1"; then
		printf '%s\n' 'the signature of a repository has run out: whoever keeps it has to sign it anew'
	fi
	if grep -q 'does not have a Release file' -- "$1"; then
		printf '%s\n' 'a source in /etc/apt names a suite that its mirror does not have (any more): correct or remove it'
	fi
	sed -n -e 's/^[EW]: Failed to fetch \([a-z+]*:\/\/[^/ ]*\)[^ ]*  *\(.*\)$/\1 does not serve: \2/p' -- "$1" | sort -u
}

# apt_get ARGS...: apt-get that never asks and never restarts services behind our back.
apt_get() {
	DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true APT_LISTCHANGES_FRONTEND=none \
		NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 UCF_FORCE_CONFFOLD=1 \
		apt-get -y -q -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 \
		-o Acquire::Retries=3 -o DPkg::Lock::Timeout=60 "$@"
}

# apt_repair: finish what an interrupted run of dpkg left.
apt_repair() {
	set -- /var/lib/dpkg/updates/*
	if [ ! -e "$1" ] && [ -z "$(dpkg --audit 2>/dev/null)" ]; then
		return 0
	fi
	printf '%s\n' 'finishing an interrupted installation (dpkg --configure -a)'
	apt_run env DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true NEEDRESTART_SUSPEND=1 \
		dpkg --force-confdef --force-confold --configure -a
	[ -z "$(dpkg --audit 2>/dev/null)" ] || apt_run apt_get -f --no-remove install
}

# apt_lists_are_fresh: fetched within the hour since boot, and no source is newer.
apt_lists_are_fresh() {
	[ -e "$apt_stamp" ] && [ -n "$(find "$apt_stamp" -mmin -60)" ] &&
		[ -z "$(find /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/keyrings -newer "$apt_stamp" 2>/dev/null)" ]
}

# apt_fetch OPTION...: fetch package lists, every failure being one: by default apt calls an unreachable mirror a
# warning, and apt before 2.1 has no setting for that.
apt_fetch() {
	apt_fetched=/run/bedplate/apt-fetched
	{
		apt_get -o APT::Update::Error-Mode=any "$@" update 2>&1
		printf '%s' "$?" >"$apt_fetched.status"
	} | tee -- "$apt_fetched"
	apt_status=1
	[ -r "$apt_fetched.status" ] && apt_status=$(cat -- "$apt_fetched.status")
	! grep -q -e '^W: Failed to fetch ' -e '^W: Some index files failed' -- "$apt_fetched" || apt_status=100
	rm -f -- "$apt_fetched" "$apt_fetched.status"
	return "$apt_status"
}

# apt_lists: fetch the package lists of all repositories.
apt_lists() {
	if apt_run apt_fetch; then
		: >"$apt_stamp"
		return 0
	fi
	printf '%s\n' 'the package lists can not be fetched: look at /etc/apt/sources.list* and at the way to the mirror'
	return 100
}

# apt_put OPTION ARG...: install (or, with the option -s, only say what would be done).
apt_put() {
	apt_option=$1
	shift
	apt_get "$apt_option" -o APT::Install-Recommends="$apt_recommends" install -- "$@"
}

# apt_unplanned ARG...: fails, naming them, when packages would go that are not in $apt_removable.
apt_unplanned() {
	apt_planned=$(apt_put -s "$@" 2>&1) || {
		printf '%s\n' "$apt_planned" | grep -v -e '^Inst ' -e '^Conf ' -e '^Remv ' | tail -n 20
		return 100
	}
	apt_lost=$(printf '%s\n' "$apt_planned" | while read -r apt_word apt_name _; do
		[ "$apt_word" = Remv ] || continue
		case " $apt_removable " in
			*" ${apt_name%%:*} "*) ;;
			*) printf '%s ' "${apt_name%%:*}" ;;
		esac
	done)
	[ -n "$apt_lost" ] || return 0
	printf '%s\n' "the installation would remove $apt_lost" \
		'so it was not begun: remove them yourself first if you agree'
	return 1
}

# apt_install_now RECOMMENDS REMOVABLE ARG...: ARG is NAME, NAME=VERSION or NAME- (goes; must be in REMOVABLE).
apt_install_now() {
	# What packages' scripts make must be as they expect, not as private as our own files.
	umask 022
	apt_recommends=$1
	apt_removable=$2
	shift 2
	apt_repair || return 1
	apt_lists_are_fresh || apt_lists || return 100
	# apt refuses all removals by itself; only where some are wanted it must be asked which they are.
	apt_option=--no-remove
	if [ -n "$apt_removable" ]; then
		apt_option=--allow-change-held-packages
		apt_unplanned "$@" || return "$?"
	fi
	apt_run apt_put "$apt_option" "$@" && return 0
	apt_status=$?
	if grep -q 'remove is disabled' -- "$apt_log"; then
		apt_unplanned "$@"
		return "$apt_status"
	fi
	# A mirror that moved on since the lists were fetched: look again, once.
	grep -q -e '404 ' -e 'ize mismatch' -e 'ash Sum mismatch' -- "$apt_log" || return "$apt_status"
	apt_lists && apt_run apt_put "$apt_option" "$@"
}

# apt_detached FUNCTION ARGS...: in a session of its own, so that a lost connection does not tear dpkg in two.
apt_detached() {
	apt_log=/run/bedplate/apt.log
	bp_detached "$apt_log" "$@"
}

# apt_install RECOMMENDS NAME...: all of them in one transaction.
apt_install() {
	apt_recommends=$1
	shift
	apt_detached apt_install_now "$apt_recommends" '' "$@"
}

# apt_exchange REMOVABLE ARG...: install and remove in one transaction; only what is in REMOVABLE may go.
apt_exchange() {
	apt_removable=$1
	shift
	apt_detached apt_install_now 0 "$apt_removable" "$@"
}

# apt_hold WANTED NAME...: hold (1) packages back from upgrades, or let them go again (0).
apt_hold() {
	apt_verb=unhold
	[ "$1" = 0 ] || apt_verb=hold
	shift
	apt_wait && apt-mark "$apt_verb" "$@"
}

# apt_configure_upgrades STATE WANTED CONTENT EXPECTED: write the settings of unattended upgrades, look whether they are
# what apt makes of all its files (EXPECTED, as apt-config dumps them, in order), and let a dry run prove them. A file
# that apt can not read is taken away again: it would break all of apt.
apt_configure_upgrades() {
	apt_path=/etc/apt/apt.conf.d/52-bedplate-local
	(action_write "$apt_path" "$1" "$2" 0644 root root "$3") || return "$?"
	if ! apt_effective=$(apt-config dump APT::Periodic Unattended-Upgrade 2>&1); then
		rm -f -- "$apt_path"
		bp_fail "apt can not read the new settings, so they are gone again: $apt_effective"
	fi
	apt_missing=$(printf '%s\n' "$4" | while IFS= read -r apt_line; do
		case "
$apt_effective
" in
			*"
$apt_line
"*) ;;
			*) printf '%s ' "$apt_line" ;;
		esac
	done)
	if [ -n "$apt_missing" ]; then
		bp_fail "a later file in /etc/apt/apt.conf.d (or /etc/apt/apt.conf) overrides: $apt_missing"
	fi
	apt_wait || return "$?"
	apt_proof=$(umask 022 && timeout 300 unattended-upgrade --dry-run 2>&1) && return 0
	printf '%s\n' "$apt_proof" | tail -n 5
	bp_fail 'unattended-upgrade --dry-run does not work with these settings'
}

# apt_save PATH: keep what is at a path, once, until apt_put_back or the end of the call.
apt_save() {
	apt_copy=/run/bedplate/apt-before/$(printf '%s' "$1" | tr / %)
	mkdir -p /run/bedplate/apt-before || return 1
	if [ -e "$apt_copy" ] || [ -e "$apt_copy.none" ]; then
		return 0
	fi
	if [ -e "$1" ]; then cp -p -- "$1" "$apt_copy"; else : >"$apt_copy.none"; fi
}

# apt_put_back PATH...: what was saved.
apt_put_back() {
	for apt_path in "$@"; do
		apt_copy=/run/bedplate/apt-before/$(printf '%s' "$apt_path" | tr / %)
		if [ -e "$apt_copy.none" ]; then
			rm -f -- "$apt_path"
		elif [ -e "$apt_copy" ]; then
			cp -p -- "$apt_copy" "$apt_path.bedplate-part" && mv -f -T -- "$apt_path.bedplate-part" "$apt_path"
		fi
	done
	rm -rf /run/bedplate/apt-before
}

# apt_download URL PATH: an armored key, fetched by apt itself: no other downloader is on every host.
apt_download() {
	apt_part=/var/lib/apt/lists/partial/bedplate-key
	mkdir -p /var/lib/apt/lists/partial
	rm -f -- "$apt_part"
	if ! apt_text=$(/usr/lib/apt/apt-helper -o Acquire::Retries=3 download-file "$1" "$apt_part" 2>&1); then
		printf '%s\n' "$apt_text" | tail -n 4
		rm -f -- "$apt_part"
		printf '%s\n' "the key can not be fetched from $1"
		return 100
	fi
	if ! grep -q -e '-----BEGIN PGP PUBLIC KEY BLOCK-----' -- "$apt_part"; then
		rm -f -- "$apt_part"
		printf '%s\n' "what $1 serves is not an ASCII-armored key"
		return 1
	fi
	# A copy: of an address that begins with `file:` apt makes a link.
	action_parents "$2" && cat -- "$apt_part" >"$2.bedplate-part" && chmod 0644 -- "$2.bedplate-part" &&
		mv -f -T -- "$2.bedplate-part" "$2"
	apt_status=$?
	rm -f -- "$apt_part"
	return "$apt_status"
}

# apt_repository_now SOURCES STATE WANTED CONTENT KEY HOW STATE WANTED CONTENT [PATH STATE WANTED CONTENT]...: SOURCES
# and KEY are paths; HOW is text (CONTENT is the key), fetch (it is an address) or keep; then files whose entries for
# the same repository are turned off.
apt_repository_now() {
	umask 022
	apt_sources=$1
	if ! apt_save "$1" || ! apt_save "$5"; then
		bp_fail 'there is no room in /run/bedplate'
	fi
	apt_touched=$1' '$5
	apt_fresh=0
	apt_lists_are_fresh && apt_fresh=1
	case $6 in
		text) (action_write "$5" "$7" "$8" 0644 root root "$9") ;;
		fetch) apt_wait && apt_download "$9" "$5" ;;
	esac || apt_repository_fails "$?"
	(action_write "$1" "$2" "$3" 0644 root root "$4") || apt_repository_fails "$?"
	shift 9
	while [ $# -ge 4 ]; do
		apt_save "$1" || bp_fail 'there is no room in /run/bedplate'
		apt_touched="$apt_touched $1"
		(action_write "$1" "$2" "$3" 0644 root root "$4") || apt_repository_fails "$?"
		shift 4
	done
	apt_run apt_fetch -o Dir::Etc::sourcelist="$apt_sources" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 ||
		apt_repository_fails 100
	if ! apt_text=$(apt-get indextargets 2>&1 >/dev/null); then
		printf '%s\n' "$apt_text"
		apt_repository_fails 100
	fi
	rm -rf /run/bedplate/apt-before
	[ "$apt_fresh" = 0 ] || : >"$apt_stamp"
}

# apt_repository_fails STATUS: leave apt as it was.
apt_repository_fails() {
	# shellcheck disable=SC2086 # the paths of apt's own files have no spaces
	apt_put_back $apt_touched
	bp_status=$1
	printf '%s\n' 'the repository was not added: its files are as they were'
	exit "$bp_status"
}

# apt_repository ARGS...: as apt_repository_now.
apt_repository() {
	apt_detached apt_repository_now "$@"
}
