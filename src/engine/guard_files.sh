# Files and folders put back: what bedplate's own steps left, entry by entry. What somebody else has changed since then
# stays, unless nobody could get in by it; then it is put back too, and a copy of it is kept.

guard_home=/var/lib/bedplate/guard
# Where copies go of what somebody else had made of a thing that must be put back all the same.
guard_kept=/var/lib/bedplate/kept
# The guard's own name.
guard_nonce=
# 1 where it was noted how the steps left each entry: else nobody's work can be told from anybody's.
guard_known=
# 1 where everything goes back, whoever changed it.
guard_force=

# guard_tell KEY TEXT: one line of the report, whatever is in a name.
guard_tell() {
	printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' '?')" >>"$guard_home/report.part"
}

# guard_problem TEXT: something could not be put back.
guard_problem() {
	guard_tell problem "$*"
}

# guard_leave WHAT: it stays as somebody else has made it.
guard_leave() {
	printf '%s\n' "$(printf '%s' "$1" | tr '\n' '?')" >>"$guard_home/stays"
}

# guard_keep PATH: a copy of what is there, before it is put back against somebody else's change. A hard link takes no
# room on a full disk.
guard_keep() {
	guard_tell forced "$1"
	[ -e "$1" ] || [ -h "$1" ] || return 0
	guard_copy=$guard_kept/$guard_nonce$1
	mkdir -p -- "${guard_copy%/*}"
	rm -rf -- "$guard_copy"
	cp -a -l -T -- "$1" "$guard_copy" 2>/dev/null || cp -a -T -- "$1" "$guard_copy" ||
		guard_problem "no copy of $1 could be kept"
}

# guard_keep_line DATABASE NAME LINE: the same for one line of a database.
guard_keep_line() {
	guard_tell forced "/etc/$1: the line of $2"
	if ! mkdir -p -- "$guard_kept/$guard_nonce/etc" || ! printf '%s\n' "$3" >>"$guard_kept/$guard_nonce/etc/$1"; then
		guard_problem "no copy of the line of $2 in /etc/$1 could be kept"
	fi
}

# guard_is_folder PATH: links are none.
guard_is_folder() {
	[ -d "$1" ] && [ ! -h "$1" ]
}

# guard_is_absent PATH
guard_is_absent() {
	[ ! -e "$1" ] && [ ! -h "$1" ]
}

# guard_same A B: both are absent, or the same file, link or folder to the last entry, in content, mode and owner.
guard_same() {
	if guard_is_absent "$1" || guard_is_absent "$2"; then
		guard_is_absent "$1" && guard_is_absent "$2"
		return
	fi
	if [ -h "$1" ] || [ -h "$2" ]; then
		[ -h "$1" ] && [ -h "$2" ] && [ "$(readlink -- "$1")" = "$(readlink -- "$2")" ]
		return
	fi
	[ "$(stat -c '%a %u %g' -- "$1")" = "$(stat -c '%a %u %g' -- "$2")" ] || return 1
	if [ -f "$1" ] && [ -f "$2" ]; then
		cmp -s -- "$1" "$2"
	else
		[ -d "$1" ] && [ -d "$2" ] && (guard_same_entries "$1" "$2")
	fi
}

# guard_same_entries A B: two folders.
guard_same_entries() {
	for guard_path in "$1"/* "$1"/.[!.]* "$2"/* "$2"/.[!.]*; do
		(guard_same "$1/${guard_path##*/}" "$2/${guard_path##*/}") || return 1
	done
}

# guard_may_stay PATH SAVED LEFT: what is at PATH is somebody else's work. Whether it may stay although the guard has
# fired: what is judged afterwards (guard_is_shut) may; what can not be judged only where none of it is ours.
guard_may_stay() {
	[ -z "$guard_force" ] || return 1
	case $1 in
		/etc/ssh | /etc/ssh/* | /etc/systemd/system/ssh* | /etc/ufw/applications.d/*) return 0 ;;
		# Whether a firewall lets anybody in can not be judged from inside.
		/etc/ufw | /etc/ufw/* | /etc/default/ufw) return 1 ;;
		*/.ssh/authorized_keys)
			# With all the keys that there were.
			[ -f "$1" ] && [ ! -h "$1" ] && { [ ! -e "$2" ] || ! grep -F -x -v -f "$1" -- "$2" >/dev/null; }
			return
			;;
	esac
	guard_same "$3" "$2"
}

# guard_replace PATH SAVED: SAVED is a copy, or does not exist when there was nothing.
guard_replace() {
	# What belongs to a user can lead anywhere.
	case $1 in
		*/.ssh/*)
			if [ -h "${1%/.ssh/*}/.ssh" ]; then
				guard_problem "$1 is not put back: the folder above it has become a link"
				return
			fi
			;;
	esac
	if guard_is_absent "$2"; then
		rm -rf -- "$1" || guard_problem "$1 can not be taken away"
		return
	fi
	[ -d "${1%/*}" ] || mkdir -p -- "${1%/*}"
	rm -rf -- "$1.bedplate-back"
	# On a full disk a link to the copy does it.
	if ! cp -a -T -- "$2" "$1.bedplate-back" 2>/dev/null && { rm -rf -- "$1.bedplate-back"; ! cp -a -l -T -- "$2" "$1.bedplate-back"; }; then
		guard_problem "$1 can not be put back"
		return
	fi
	# Only files and links are replaced in one stroke.
	if guard_is_folder "$1" || guard_is_folder "$1.bedplate-back"; then rm -rf -- "$1"; fi
	mv -f -T -- "$1.bedplate-back" "$1" || guard_problem "$1 can not be put back"
}

# guard_back PATH SAVED LEFT: SAVED and LEFT are copies of what was there before and behind the steps.
guard_back() {
	if guard_is_folder "$1" && { guard_is_folder "$2" || { [ -n "$guard_known" ] && guard_is_absent "$2" && guard_is_folder "$3"; }; }; then
		(guard_back_entries "$1" "$2" "$3")
	elif guard_same "$1" "$2"; then
		return 0
	elif [ -z "$guard_known" ] || guard_same "$1" "$3"; then
		guard_replace "$1" "$2"
	elif guard_may_stay "$1" "$2" "$3"; then
		guard_leave "$1"
	else
		guard_keep "$1"
		guard_replace "$1" "$2"
	fi
}

# guard_back_entries PATH SAVED LEFT: the entries of a folder. One that was not there goes when it is empty.
guard_back_entries() {
	if guard_is_folder "$2"; then
		chown --reference="$2" -- "$1" && chmod --reference="$2" -- "$1"
	fi
	for guard_path in "$2"/* "$2"/.[!.]* "$1"/* "$1"/.[!.]*; do
		guard_path=${guard_path##*/}
		case $guard_path in
			'*' | '.[!.]*') guard_is_absent "$1/$guard_path" && guard_is_absent "$2/$guard_path" && continue ;;
			# Of a putting back that was cut off.
			*.bedplate-back)
				rm -rf -- "${1:?}/${guard_path:?}"
				continue
				;;
		esac
		# In a shell of its own: the names are used again below.
		(guard_back "$1/$guard_path" "$2/$guard_path" "$3/$guard_path")
	done
	guard_is_folder "$2" || rmdir -- "$1" 2>/dev/null
	return 0
}
