# The keys that may log in as a user.

# authorized_keys_probe LIMIT NAME...: the home of each (/home/NAME where there is no account); then what is at .ssh and
# at .ssh/authorized_keys in them, as file_probe tells it. Below a link of a user's nothing is looked at.
authorized_keys_probe() {
	authorized_keys_limit=$1
	shift
	authorized_keys_left=$#
	while [ "$authorized_keys_left" -gt 0 ]; do
		authorized_keys_left=$((authorized_keys_left - 1))
		authorized_keys_home=/home/$1
		while IFS=: read -r authorized_keys_name _ _ _ _ authorized_keys_found _; do
			if [ "$authorized_keys_name" = "$1" ]; then
				authorized_keys_home=$authorized_keys_found
				break
			fi
		done </etc/passwd
		shift
		bp_field "$authorized_keys_home"
		set -- "$@" "$authorized_keys_home/.ssh"
		[ -h "$authorized_keys_home/.ssh" ] || set -- "$@" "$authorized_keys_home/.ssh/authorized_keys"
	done
	file_probe "$authorized_keys_limit" "$#" "$@"
}
