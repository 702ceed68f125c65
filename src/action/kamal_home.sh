# What Kamal keeps in a home, moved to that of another user.

# kamal_owned USER PATH: of what is at the path, links not followed.
kamal_owned() {
	chown -h -- "$1:" "$2"
}

# kamal_move FROM TO FOLDER [FILE]...: rename a folder of FROM's home into TO's and leave a link in its place, by which
# containers that were made with the old path still find their data. FILES are those of the folder that belong to TO
# then; what containers have made keeps its owners. Cut off anywhere, nothing is lost and a second run finishes it.
kamal_move() {
	kamal_from=$(kamal_home "$1") kamal_to=$(kamal_home "$2") kamal_was=$1 kamal_user=$2 kamal_name=$3
	shift 3
	if [ -z "$kamal_from" ] || [ ! -d "$kamal_to" ]; then bp_fail "$kamal_user has no home"; fi
	kamal_old=$kamal_from/$kamal_name kamal_new=$kamal_to/$kamal_name
	kamal_link=$kamal_old.bedplate-link
	if [ ! -e "$kamal_old" ] && [ -h "$kamal_link" ] && [ -d "$kamal_new" ]; then
		mv -f -T -- "$kamal_link" "$kamal_old"
		return
	fi
	if [ ! -d "$kamal_old" ] || [ -h "$kamal_old" ]; then bp_moved "$kamal_old"; fi
	if [ -e "$kamal_new" ] || [ -h "$kamal_new" ]; then bp_moved "$kamal_new"; fi
	for kamal_lock in "$kamal_from"/.kamal/lock-*; do
		[ -d "$kamal_lock" ] && bp_fail "a deploy is at work or was cut off: $kamal_lock is there"
	done
	[ "$(stat -c %d -- "$kamal_old")" = "$(stat -c %d -- "$kamal_to")" ] ||
		bp_fail "$kamal_old is on another file system than $kamal_to"
	# Before it is moved: nobody else can reach it here.
	kamal_id=$(id -u -- "$kamal_was") || bp_fail "there is no user $kamal_was"
	if [ "$kamal_name" = .kamal ]; then
		chown -R -h --from="$kamal_id" -- "$kamal_user:" "$kamal_old" || bp_fail "the owner of $kamal_old can not be set"
	else
		kamal_owned "$kamal_user" "$kamal_old" || bp_fail "the owner of $kamal_old can not be set"
		for kamal_file; do
			kamal_inside=$kamal_from/$kamal_file
			while [ "$kamal_inside" != "$kamal_old" ] && [ "${kamal_inside#"$kamal_old"/}" != "$kamal_inside" ]; do
				[ ! -e "$kamal_inside" ] || kamal_owned "$kamal_user" "$kamal_inside"
				kamal_inside=${kamal_inside%/*}
			done
		done
	fi
	ln -s -f -n -T -- "$kamal_new" "$kamal_link" || bp_fail "no link can be made in $kamal_from: is the disk full?"
	# A rename and never a copy: the file systems were compared.
	mv -n -T -- "$kamal_old" "$kamal_new"
	if [ -e "$kamal_old" ]; then bp_fail "$kamal_old can not be moved to $kamal_new"; fi
	mv -f -T -- "$kamal_link" "$kamal_old" && sync -f -- "$kamal_new" "$kamal_from"
}

# kamal_own USER FILE...: files below the user's home that Kamal uploads again become the user's. A link on the way is
# never followed.
kamal_own() {
	kamal_user=$1
	kamal_to=$(kamal_home "$1")
	[ -d "$kamal_to" ] || bp_fail "$1 has no home"
	shift
	for kamal_file; do
		kamal_inside=$kamal_to/$kamal_file
		[ -f "$kamal_inside" ] || bp_moved "$kamal_inside"
		while [ "$kamal_inside" != "$kamal_to" ]; do
			[ ! -h "$kamal_inside" ] || bp_fail "$kamal_inside is a link: look where it leads"
			kamal_inside=${kamal_inside%/*}
		done
		kamal_owned "$kamal_user" "$kamal_to/$kamal_file" || return
	done
}
