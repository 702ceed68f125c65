# What Kamal keeps in the home of its login user: where it is, when that user has become another.

# kamal_home NAME: the home of a user, or nothing.
kamal_home() {
	while IFS=: read -r kamal_name _ _ _ _ kamal_path _; do
		if [ "$kamal_name" = "$1" ]; then
			printf '%s' "$kamal_path"
			return 0
		fi
	done </etc/passwd
}

# kamal_folder FOLDER: its name, what is in the old home (absent, folder, moved, half, other), what is in the new one
# (absent, folder, other). What is in neither is left out.
kamal_folder() {
	kamal_old=$kamal_from/$1 kamal_new=$kamal_to/$1
	if [ -h "$kamal_old" ] && [ "$(readlink -- "$kamal_old")" = "$kamal_new" ]; then
		kamal_word=moved
	elif [ -h "$kamal_old" ]; then
		kamal_word=other
	elif [ -d "$kamal_old" ]; then
		kamal_word=folder
	elif [ -e "$kamal_old" ]; then
		kamal_word=other
	elif [ -h "$kamal_old.bedplate-link" ] && [ -d "$kamal_new" ]; then
		kamal_word=half
	else
		kamal_word=absent
	fi
	if [ -z "$kamal_to" ] || { [ ! -e "$kamal_new" ] && [ ! -h "$kamal_new" ]; }; then
		kamal_there=absent
	elif [ -d "$kamal_new" ] && [ ! -h "$kamal_new" ]; then
		kamal_there=folder
	else
		kamal_there=other
	fi
	[ "$kamal_word $kamal_there" = 'absent absent' ] && return 0
	[ "$kamal_word" = folder ] && kamal_any=1
	bp_field "$1"
	bp_field "$kamal_word"
	bp_field "$kamal_there"
}

# kamal_probe [FROM TO FOLDERS FILES NAME...]...: of each, FOLDERS and FILES being numbers of names: the folders, ended
# by an empty field; whether the homes are on one file system; a lock of Kamal's, or nothing; for each file absent,
# theirs or other. Folders of accessories are found by the environment files that Kamal keeps for each.
kamal_probe() {
	while [ $# -gt 3 ]; do
		kamal_from=$(kamal_home "$1") kamal_to=$(kamal_home "$2")
		kamal_user=$2 kamal_folders=$3 kamal_files=$4 kamal_any='' kamal_seen=' .kamal '
		shift 4
		kamal_folder .kamal
		while [ "$kamal_folders" -gt 0 ]; do
			kamal_folders=$((kamal_folders - 1))
			case $kamal_seen in *" $1 "*) ;; *) kamal_folder "$1" ;; esac
			kamal_seen="$kamal_seen$1 "
			shift
		done
		for kamal_env in "$kamal_from"/.kamal/apps/*/env/accessories/*.env; do
			[ -f "$kamal_env" ] || continue
			kamal_service=${kamal_env#"$kamal_from"/.kamal/apps/} kamal_accessory=${kamal_env##*/}
			kamal_name=${kamal_service%%/*}-${kamal_accessory%.env}
			case $kamal_seen in *" $kamal_name "*) ;; *) kamal_folder "$kamal_name" ;; esac
			kamal_seen="$kamal_seen$kamal_name "
		done
		bp_field ''
		kamal_same=1
		if [ -n "$kamal_any" ]; then
			kamal_other=/home
			[ -d "$kamal_to" ] && kamal_other=$kamal_to
			[ "$(stat -c %d -- "$kamal_from")" = "$(stat -c %d -- "$kamal_other")" ] || kamal_same=0
		fi
		bp_field "$kamal_same"
		kamal_lock=
		for kamal_name in "$kamal_from"/.kamal/lock-*; do [ -d "$kamal_name" ] && kamal_lock=$kamal_name; done
		bp_field "$kamal_lock"
		while [ "$kamal_files" -gt 0 ]; do
			kamal_files=$((kamal_files - 1))
			kamal_file=$kamal_from/$1
			[ -n "$kamal_to" ] && [ -e "$kamal_to/$1" ] && kamal_file=$kamal_to/$1
			if [ ! -f "$kamal_file" ]; then
				bp_field absent
			elif [ "$(stat -c %U -- "$kamal_file")" = "$kamal_user" ]; then
				bp_field theirs
			else
				bp_field other
			fi
			shift
		done
	done
}
