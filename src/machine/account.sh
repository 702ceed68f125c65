# Users and groups from the databases in /etc. Password hashes never leave the host: only their digests do.

# account_groups: the group database.
account_groups() {
	bp_field "$(cat /etc/group)"
}

# account_shadow NAME PASSWORD LASTCHANGE MAXIMUM EXPIRES: a name, what its password is, and how it has aged.
account_shadow() {
	bp_field "$1"
	case $2 in
		'') bp_field empty ;;
		'!'*) bp_field locked ;;
		'$'*)
			account_digest=$(printf '%s' "$2" | sha256sum)
			bp_field "${account_digest%% *}"
			;;
		*) bp_field none ;;
	esac
	if [ -n "$5" ] && [ "$5" -ge 0 ] && [ "$account_today" -ge "$5" ]; then
		bp_field account-expired
	elif [ "$3" = 0 ]; then
		bp_field must-change
	elif [ -n "$3" ] && [ -n "$4" ] && [ "$4" -ge 0 ] && [ "$account_today" -gt $(($3 + $4)) ]; then
		bp_field password-expired
	else
		bp_field fine
	fi
}

# account_users NAME...: the user and group databases; what is known of each name's password; the homes of those that
# exist with the number of their owner. The last two lists end with an empty field.
account_users() {
	bp_field "$(cat /etc/passwd)"
	bp_field "$(cat /etc/group)"
	account_wanted=" $* "
	account_today=$(($(date +%s) / 86400))
	while IFS=: read -r account_name account_password account_last _ account_maximum _ _ account_expires _; do
		case $account_wanted in
			*" $account_name "*)
				account_shadow "$account_name" "$account_password" "$account_last" "$account_maximum" "$account_expires"
				;;
		esac
	done </etc/shadow
	bp_field ''
	set --
	while IFS=: read -r account_name _ _ _ _ account_home _; do
		case $account_wanted in
			*" $account_name "*) [ -d "$account_home" ] && set -- "$@" "$account_home" ;;
		esac
	done </etc/passwd
	[ $# -gt 0 ] && stat -L --printf '%n\000%u\000' -- "$@"
	bp_field ''
}
