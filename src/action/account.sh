# Changes of users and groups. Each can be run twice, and finishes what a run that was cut off has left.

# account_field NAME NUMBER: a field of a user's line (passwd(5)); fails where there is no such user.
account_field() {
	account_line=$(getent -s files passwd "$1") || return 1
	printf '%s\n' "$account_line" | cut -d : -f "$2"
}

# account_group_add NAME GID SYSTEM: GID may be empty.
account_group_add() {
	getent -s files group "$1" >/dev/null && return 0
	account_name=$1
	account_gid=$2
	account_system=$3
	set --
	[ -n "$account_gid" ] && set -- "$@" --gid "$account_gid"
	[ "$account_system" = 1 ] && set -- "$@" --system
	groupadd "$@" -- "$account_name"
}

# account_group_remove NAME
account_group_remove() {
	getent -s files group "$1" >/dev/null || return 0
	groupdel -- "$1"
}

# account_set_password NAME PASSWORD: on standard input, as arguments of a process can be read by all. `*` is no secret.
account_set_password() {
	printf '%s:%s\n' "$1" "$2" | chpasswd --encrypted && return 0
	[ "$2" = '*' ] && usermod --password '*' -- "$1"
}

# account_user_add NAME UID SYSTEM GROUP HOME MAKE_HOME SHELL COMMENT PASSWORD GROUP...: empty is the host's choice;
# GROUP is the primary one, the rest are supplementary. PASSWORD is a hash or `*`.
account_user_add() {
	account_name=$1 account_uid=$2 account_system=$3 account_primary=$4 account_home=$5
	account_make=$6 account_shell=$7 account_comment=$8 account_password=$9
	shift 9
	account_groups=$(IFS=, && printf '%s' "$*")
	if ! getent -s files passwd "$account_name" >/dev/null; then
		# A group of the user's own name may have been left by an earlier account.
		[ -z "$account_primary" ] && getent -s files group "$account_name" >/dev/null && account_primary=$account_name
		set -- --no-create-home --home-dir "$account_home" --shell "$account_shell" --comment "$account_comment"
		if [ -n "$account_primary" ]; then set -- "$@" --gid "$account_primary"; else set -- "$@" --user-group; fi
		[ -n "$account_uid" ] && set -- "$@" --uid "$account_uid"
		[ "$account_system" = 1 ] && set -- "$@" --system
		[ -n "$account_groups" ] && set -- "$@" --groups "$account_groups"
		useradd "$@" -- "$account_name" || return 1
	elif [ -n "$account_groups" ]; then
		usermod --append --groups "$account_groups" -- "$account_name" || return 1
	fi
	account_set_password "$account_name" "$account_password" || return 1
	[ "$account_make" = 0 ] || account_home "$account_name"
}

# account_home NAME: the home directory, filled from /etc/skel if it is new; an old one is given to its user, not what
# is in it. It is put in its place when it is whole.
account_home() {
	account_home=$(account_field "$1" 6) || bp_moved "user $1"
	account_ids=$(account_field "$1" 3):$(account_field "$1" 4)
	case $account_home in
		/*[!/]*) ;;
		*) bp_fail "the home of $1 is '$account_home', which can not be made" ;;
	esac
	if [ -d "$account_home" ]; then
		chown -h -- "$account_ids" "$account_home"
		return
	fi
	account_parent=${account_home%/*}
	[ -z "$account_parent" ] || [ -d "$account_parent" ] || (umask 022 && mkdir -p -- "$account_parent") || return 1
	account_part=$account_home.bedplate-part
	rm -rf -- "$account_part"
	mkdir -m 0700 -- "$account_part" || return 1
	[ ! -d /etc/skel ] || (umask 022 && cp -R -P -- /etc/skel/. "$account_part/") || return 1
	if ! chown -R -h -- "$account_ids" "$account_part" || ! chmod -- 0750 "$account_part"; then return 1; fi
	mv -T -- "$account_part" "$account_home"
}

# account_user_remove NAME: the home stays.
account_user_remove() {
	account_uid=$(account_field "$1" 3) || return 0
	# systemd keeps a manager for the user for a while after the last logout. A login that still is holds userdel up.
	systemctl stop "user@$account_uid.service" 2>/dev/null
	userdel -- "$1"
}

# account_expect NAME FIELD FOUND WANTED: stop unless the field is as planned, or as it will be.
account_expect() {
	account_now=$(account_field "$1" "$2") || bp_moved "user $1"
	[ "$2" != 5 ] || account_now=$(printf '%s' "$account_now" | sed 's/,*$//')
	[ "$account_now" = "$3" ] || [ "$account_now" = "$4" ] || bp_moved "user $1"
}

# account_comment NAME FOUND WANTED
account_comment() {
	account_expect "$1" 5 "$2" "$3"
	usermod --comment "$3" -- "$1"
}

# account_move_home NAME FOUND WANTED MAKE: the entry, and the new directory if MAKE is 1; nothing is moved.
account_move_home() {
	account_expect "$1" 6 "$2" "$3"
	usermod --home "$3" -- "$1" || return 1
	[ "$4" = 0 ] || account_home "$1"
}

# account_shell NAME FOUND WANTED
account_shell() {
	account_expect "$1" 7 "$2" "$3"
	usermod --shell "$3" -- "$1"
}

# account_primary NAME GROUP
account_primary() {
	usermod --gid "$2" -- "$1"
}

# account_password NAME FOUND PASSWORD: FOUND is none, locked, empty, or the digest of a hash.
account_password() {
	account_line=$(getent -s files shadow "$1") || bp_moved "user $1"
	account_hash=$(printf '%s\n' "$account_line" | cut -d : -f 2)
	if [ "$account_hash" != "$3" ]; then
		case $account_hash in
			'') account_now=empty ;;
			'!'*) account_now=locked ;;
			'$'*) account_now=$(printf '%s' "$account_hash" | sha256sum) account_now=${account_now%% *} ;;
			*) account_now=none ;;
		esac
		[ "$account_now" = "$2" ] || bp_moved "the password of $1"
		account_set_password "$1" "$3"
	fi
}

# account_join NAME GROUP
account_join() {
	usermod --append --groups "$2" -- "$1"
}

# account_leave NAME GROUP
account_leave() {
	case " $(id -G -n -- "$1") " in
		*" $2 "*) gpasswd --delete "$1" "$2" ;;
	esac
}

# account_renew NAME AGING: let an account that has run out be used again; a changed password date is today's.
account_renew() {
	account_today=$(($(date +%s) / 86400))
	case $2 in
		must-change) chage --lastday "$account_today" -- "$1" ;;
		password-expired) chage --lastday "$account_today" --maxdays 99999 --inactive -1 -- "$1" ;;
		*) chage --lastday "$account_today" --maxdays 99999 --inactive -1 --expiredate -1 -- "$1" ;;
	esac
}
