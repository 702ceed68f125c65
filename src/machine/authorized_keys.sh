# The keys that may log in as a user: one answer a user, in order.

# authorized_keys_path PATH: what is at a path: kind, mode, owner, size, digest; `absent` alone where nothing is.
authorized_keys_path() {
	if [ ! -e "$1" ] && [ ! -h "$1" ]; then
		bp_field absent
		return
	fi
	stat --printf '%F\000%a\000%u\000%g\000%U\000%G\000' -- "$1"
	if [ -f "$1" ] && [ ! -h "$1" ]; then
		# A user's own file may be of any size; what is larger is no key file that anyone wrote.
		bp_field "$(head -c 262144 -- "$1")"
		authorized_keys_digest=$(sha256sum <"$1")
		bp_field "${authorized_keys_digest%% *}"
	fi
}

# authorized_keys_probe NAME...: the home (/home/NAME where there is no account), what is at .ssh in it, and what at
# .ssh/authorized_keys.
authorized_keys_probe() {
	for authorized_keys_user in "$@"; do
		authorized_keys_home=/home/$authorized_keys_user
		while IFS=: read -r authorized_keys_name _ _ _ _ authorized_keys_found _; do
			if [ "$authorized_keys_name" = "$authorized_keys_user" ]; then
				authorized_keys_home=$authorized_keys_found
				break
			fi
		done </etc/passwd
		bp_field "$authorized_keys_home"
		authorized_keys_path "$authorized_keys_home/.ssh"
		if [ -h "$authorized_keys_home/.ssh" ]; then
			bp_field absent
		else
			authorized_keys_path "$authorized_keys_home/.ssh/authorized_keys"
		fi
	done
}
