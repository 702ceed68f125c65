# Accounts, groups and keys put back: the lines of the one who was named. Those of others stay, who may have come since.

guard_home=/var/lib/bedplate/guard

# guard_set_line FILE NAME SAVED: the line of NAME in a database of colons is as in SAVED, or is not there.
guard_set_line() {
	cp -p -- "$1" "$1.bedplate-back" || return 1
	awk -v name="$2" -v saved="$3" 'BEGIN { FS = ":"; getline line <saved }
		$1 == name { if (line != "" && !done) print line; done = 1; next }
		{ print }
		END { if (line != "" && !done) print line }' "$1" >"$1.bedplate-back" || return 1
	mv -f -T -- "$1.bedplate-back" "$1"
}

# guard_line_may_stay DATABASE NOW SAVED: the line NOW is somebody else's work. Whether it keeps nobody out whom SAVED
# let in: for an account its numbers, home and shell; for its password that it is neither shut nor run out; for a
# group its number and members.
guard_line_may_stay() {
	[ -z "$guard_force" ] || return 1
	[ -n "$3" ] || return 0
	case $1 in
		passwd) [ "$(printf '%s\n' "$2" | cut -d : -f 1,3,4,6,7)" = "$(printf '%s\n' "$3" | cut -d : -f 1,3,4,6,7)" ] ;;
		shadow)
			printf '%s\n' "$2" "$3" | awk -F : '{ hash[NR] = $2; day[NR] = $3; life[NR] = $5; idle[NR] = $7; end[NR] = $8 }
				END { exit !(NR == 2 && (hash[1] !~ /^[!*]/ || hash[2] ~ /^[!*]/) && (day[1] != "0" || day[2] == "0") &&
					life[1] == life[2] && idle[1] == idle[2] && end[1] == end[2]) }'
			;;
		group | gshadow)
			printf '%s\n' "$2" "$3" | awk -F : -v number="$([ "$1" != group ] || echo 3)" '{
					n = split($4, member, ",")
					if (NR == 1) { gid = $3; for (i = 1; i <= n; i++) is[member[i]] = 1 }
					else { good = number == "" || gid == $3; for (i = 1; i <= n; i++) if (!(member[i] in is)) good = 0 }
				}
				END { exit !good }'
			;;
	esac
}

# guard_back_line DATABASE NAME SAVED LEFT
guard_back_line() {
	[ -f "/etc/$1" ] || return 0
	guard_now=$(guard_line "/etc/$1" "$2")
	guard_was=$(cat -- "$3")
	[ "$guard_now" != "$guard_was" ] || return 0
	if [ -n "$guard_known" ] && [ "$guard_now" != "$(cat -- "$4")" ]; then
		if guard_line_may_stay "$1" "$guard_now" "$guard_was"; then
			guard_leave "/etc/$1: the line of $2"
			return
		fi
		guard_keep_line "$1" "$2" "$guard_now"
	fi
	guard_set_line "/etc/$1" "$2" "$3" || guard_problem "/etc/$1 can not be put back"
}

# guard_back_lines NAME SAVED LEFT DATABASE...: the lines of NAME in each.
guard_back_lines() {
	guard_entry=$1 guard_from=$2 guard_by=$3
	shift 3
	for guard_base in "$@"; do
		guard_back_line "$guard_base" "$guard_entry" "$guard_from/$guard_base" "$guard_by/$guard_base"
	done
}

# guard_back_member DATABASE USER SAVED LEFT: USER is in the groups named in SAVED, and in no other but those that
# somebody else has added.
guard_back_member() {
	[ -f "/etc/$1" ] || return 0
	rm -f -- "$guard_home/words"
	printf '' >"$guard_home/words"
	if ! cp -p -- "/etc/$1" "/etc/$1.bedplate-back" ||
		! awk -v user="$2" -v saved="$3" -v left="$4" -v known="$guard_known" -v force="$guard_force" -v words="$guard_home/words" '
		BEGIN {
			FS = ":"; OFS = ":"
			while ((getline name <saved) > 0) was[name] = 1
			if (known) while ((getline name <left) > 0) by[name] = 1
		}
		NF >= 4 {
			n = split($4, member, ","); list = ""; is = 0
			for (i = 1; i <= n; i++) if (member[i] == user) is = 1
			old = ($1 in was) ? 1 : 0
			ours = !known || is == (($1 in by) ? 1 : 0)
			stays = !ours && is && !old && !force
			if (!ours && is != old) {
				word = stays ? "stays" : "forced"
				print word " " $1 >words
			}
			if (is != old && !stays) {
				for (i = 1; i <= n; i++) if (member[i] != user) list = list (list == "" ? "" : ",") member[i]
				if (old) list = list (list == "" ? "" : ",") user
				$4 = list
			}
		}
		{ print }' "/etc/$1" >"/etc/$1.bedplate-back"; then
		guard_problem "the groups of $2 can not be put back"
		return
	fi
	while read -r guard_word guard_group; do
		case $guard_word in
			stays) guard_leave "/etc/$1: $2 in group $guard_group" ;;
			*) guard_tell forced "/etc/$1: $2 in group $guard_group" ;;
		esac
	done <"$guard_home/words"
	rm -f -- "$guard_home/words"
	if cmp -s -- "/etc/$1" "/etc/$1.bedplate-back"; then
		rm -f -- "/etc/$1.bedplate-back"
	else
		mv -f -T -- "/etc/$1.bedplate-back" "/etc/$1"
	fi
}

# guard_back_account NAME SAVED LEFT: the account's own lines, groups and keys.
guard_back_account() {
	# One that the steps made, and somebody else took over: half an account is of no use to anybody.
	if [ -n "$guard_known" ] && [ -z "$guard_force" ] && [ ! -s "$2/passwd" ]; then
		guard_now=$(guard_line /etc/passwd "$1")
		if [ -n "$guard_now" ] && [ "$guard_now" != "$(cat -- "$3/passwd")" ]; then
			guard_leave "/etc/passwd: the line of $1"
			return
		fi
	fi
	guard_back_lines "$1" "$2" "$3" passwd shadow group gshadow
	guard_back_member group "$1" "$2/groups" "$3/groups"
	guard_back_member gshadow "$1" "$2/groups" "$3/groups"
	if [ -s "$2/home" ]; then
		read -r guard_folder <"$2/home"
		# A link in a user's folder is never followed.
		if [ ! -h "$guard_folder/.ssh" ] && { [ -d "$guard_folder/.ssh" ] || [ -e "$2/authorized_keys" ]; }; then
			if [ ! -d "$guard_folder/.ssh" ] && mkdir -m 0700 -- "$guard_folder/.ssh"; then
				chown --reference="$guard_folder" -- "$guard_folder/.ssh"
			fi
			guard_back "$guard_folder/.ssh/authorized_keys" "$2/authorized_keys" "$3/authorized_keys"
		fi
	fi
}
