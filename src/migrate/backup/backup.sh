# What a backup and a restore have done on a host: copies of databases, lists of what is packed, folders that are filled
# beside the data and exchanged with it. The bytes themselves go by other ways.

backup_dir=/var/lib/bedplate/backup
restore_journal=/var/lib/bedplate/exchange

# backup_place: an empty folder that nobody else can look into, for lists and copies of databases.
backup_place() {
	rm -rf "$backup_dir" && mkdir -p "$backup_dir" && chmod 0700 "$backup_dir"
}

# backup_clean KEY...: takes away all that a backup needed, and what is known of these trees.
backup_clean() {
	rm -rf "$backup_dir"
	for backup_key in "$@"; do
		rm -f "/var/lib/bedplate/migrate/$backup_key".*
	done
}

# backup_run COMMAND: the operator's own command.
backup_run() {
	sh -c "$1"
}

# backup_database KEY TOP NAME: takes a copy of a database that is in use, as SQLite does it, in the place of TOP/NAME.
# Fields: `taken` or why not, what SQLite says of the copy, the copy's SHA-256.
backup_database() {
	backup_from=$2/$3
	backup_copy=$backup_dir/$1.staged/$3
	backup_beside=$(dirname -- "$backup_copy")
	backup_new=$backup_beside/bedplate-copy
	mkdir -p -- "$backup_beside" || exit 1
	backup_free=$(df -B 1 --output=avail -- "$backup_dir" | tail -n 1 | tr -d ' ')
	backup_size=$(stat -c %s -- "$backup_from") || backup_size=0
	if [ "$((backup_size + 67108864))" -gt "$backup_free" ]; then
		bp_field "there is no room for a copy of it in $backup_dir"
		bp_field ''
		bp_field ''
		return 0
	fi
	# Owner, mode and attributes first: SQLite writes into the file that is there.
	cp --attributes-only --preserve=all -- "$backup_from" "$backup_copy" || exit 1
	backup_mode=$(sqlite3 -readonly "$backup_from" 'PRAGMA journal_mode') || backup_mode=''
	# With a write-ahead log one transaction reads all of it while others write; without, the copy begins anew when
	# somebody writes, and nobody has to wait for all of it.
	backup_begin=''
	[ "$backup_mode" != wal ] || backup_begin='BEGIN; SELECT count(*) FROM sqlite_master;'
	backup_said=$(cd -- "$backup_beside" &&
		printf '.timeout 10000\n%s\n.backup bedplate-copy\n' "$backup_begin" | timeout 3600 sqlite3 -readonly -bail "$backup_from" 2>&1 >/dev/null) ||
		backup_said=${backup_said:-it ended with an error}
	if [ -n "$backup_said" ] || [ ! -s "$backup_new" ]; then
		rm -f -- "$backup_new" "$backup_copy"
		bp_field "SQLite can not copy it: $backup_said"
		bp_field ''
		bp_field ''
		return 0
	fi
	cat -- "$backup_new" >"$backup_copy" || exit 1
	rm -f -- "$backup_new"
	touch -r "$backup_from" -- "$backup_copy"
	bp_field taken
	bp_field "$(printf 'PRAGMA integrity_check;\n' | sqlite3 -readonly "$backup_copy" 2>&1 | head -n 5)"
	rm -f -- "$backup_copy-wal" "$backup_copy-shm"
	backup_sum=$(sha256sum <"$backup_copy") || exit 1
	bp_field "${backup_sum%% *}"
}

# backup_list KEY TOP SINGLE NAME...: writes down what is packed: all below TOP but sockets and what an earlier restore has
# left, or the one file SINGLE; the copies of databases NAME stand in their place, and what SQLite keeps beside them does
# not come along.
backup_list() {
	backup_key=$1
	backup_top=$2
	backup_single=$3
	shift 3
	mkdir -p "$backup_dir/$backup_key.staged" || exit 1
	: >"$backup_dir/$backup_key.staged.list"
	: >"$backup_dir/$backup_key.not"
	for backup_name in "$@"; do
		printf './%s\000' "$backup_name" >>"$backup_dir/$backup_key.staged.list"
		printf './%s\n./%s-wal\n./%s-shm\n./%s-journal\n' "$backup_name" "$backup_name" "$backup_name" "$backup_name" >>"$backup_dir/$backup_key.not"
	done
	if [ -n "$backup_single" ]; then
		printf './%s\000' "$backup_single" >"$backup_dir/$backup_key.all" || exit 1
	else
		# What goes away meanwhile is no mistake.
		(cd -- "$backup_top" && find . '(' -path './.bedplate-*' -prune ')' -o ! -type s -printf './%P\0') >"$backup_dir/$backup_key.all" || [ -s "$backup_dir/$backup_key.all" ] || exit 1
	fi
	grep -z -v -x -F -f "$backup_dir/$backup_key.not" "$backup_dir/$backup_key.all" >"$backup_dir/$backup_key.list" || [ $? = 1 ]
}

# backup_stopped_by: who has stopped containers here; empty when it was a move, or nobody. A note of ours is written right
# before that of what is stopped: one that a run has left that got no further says nothing of a later move.
backup_stopped_by() {
	backup_by=/var/lib/bedplate/migrate/frozen-by
	backup_at=$(stat -c %Y "$backup_by" 2>/dev/null) || return 0
	backup_then=$(stat -c %Y /var/lib/bedplate/migrate/frozen 2>/dev/null) || return 0
	[ "$((backup_then - backup_at))" -gt 60 ] || cat "$backup_by"
}

# backup_stops WORD: writes down who is about to.
backup_stops() {
	mkdir -p /var/lib/bedplate/migrate && chmod 0700 /var/lib/bedplate/migrate || exit 1
	printf '%s\n' "$1" >/var/lib/bedplate/migrate/frozen-by && sync /var/lib/bedplate/migrate/frozen-by
}

# backup_started: forgets that.
backup_started() {
	rm -f /var/lib/bedplate/migrate/frozen-by
}

# restore_own VOLUME OWNER MODE: gives a volume's folder that is empty an owner and a mode.
restore_own() {
	[ -n "$(ls -A -- "$1")" ] || { chown -- "$2" "$1" && chmod -- "$3" "$1"; }
}

# restore_stage KEY TARGET: makes an empty folder for what comes to TARGET, on its file system. Fields: the folder, and
# `beside` or, where TARGET is a mount point, `inside`.
restore_stage() {
	restore_above=$(dirname -- "$2")
	[ -d "$restore_above" ] || (umask 022 && mkdir -p -- "$restore_above") || exit 1
	restore_below=$(findmnt -n -l -o TARGET | while IFS= read -r restore_mount; do
		case $restore_mount in "$2"/*) printf '%s\n' "$restore_mount" ;; esac
	done)
	[ -z "$restore_below" ] || bp_fail "a file system is mounted below what would be exchanged: unmount it, or restore less with --only: $restore_below"
	if [ -d "$2" ] && [ "$(stat -c %d -- "$2")" != "$(stat -c %d -- "$restore_above")" ] || mountpoint -q -- "$2"; then
		restore_folder=$2/.bedplate-restore
		restore_how=inside
	else
		restore_folder=$restore_above/.bedplate-restore-$1
		restore_how=beside
	fi
	mkdir -p /var/lib/bedplate && printf '%s\n' "$restore_folder" >>/var/lib/bedplate/restoring || exit 1
	rm -rf -- "$restore_folder" && mkdir -m 0700 -- "$restore_folder" && mkdir -- "$restore_folder/tree" || exit 1
	bp_field "$restore_folder"
	bp_field "$restore_how"
}

# restore_swap TIME ( TARGET STAGE HOW NAME )...: exchanges all data with what was staged. NAME is that of a tree that is a
# file. A cut connection does not tear it in two; when one exchange fails, those before it are taken back, and so they are
# by the next run when this host itself went down in between: what is done is written down until all of it is.
restore_swap() {
	bp_detached /run/bedplate/restore.log restore_swap_now "$@"
}

restore_swap_now() {
	printf '%s\n' "$@" >"$restore_journal.new" && sync "$restore_journal.new" && mv -f -- "$restore_journal.new" "$restore_journal" && sync "$(dirname -- "$restore_journal")" || exit 1
	restore_time=$1
	shift
	restore_done=0
	restore_all=$#
	while [ "$restore_done" -lt "$restore_all" ]; do
		if ! restore_one "$1" "$2" "$3" "$4"; then
			restore_take_back "$@" || exit 1
			bp_fail 'nothing is restored: what was exchanged has been put back'
		fi
		set -- "$@" "$1" "$2" "$3" "$4"
		shift 4
		restore_done=$((restore_done + 4))
	done
	sync
	rm -f -- "$restore_journal" && sync "$(dirname -- "$restore_journal")"
	while [ "$#" -ge 4 ]; do
		# An empty folder is nothing to keep.
		rmdir -- "$(restore_old "$1" "$3")" 2>/dev/null
		shift 4
	done
	return 0
}

# restore_take_back ( TARGET STAGE HOW NAME )...: puts back what was there; those that were not exchanged stay as they are.
# What can not be put back stays written down: nothing is removed until it is.
restore_take_back() {
	restore_bad=''
	while [ "$#" -ge 4 ]; do
		restore_back "$1" "$2" "$3" "$4" || restore_bad="$restore_bad $1"
		shift 4
	done
	sync
	[ -z "$restore_bad" ] || bp_fail "can not be put back:$restore_bad: what was there is beside or in it, under a name with .bedplate-before-$restore_time: see why (a full disk, a file system that is not mounted), and run again"
	rm -f -- "$restore_journal"
}

# restore_wait: until an exchange that goes on without its connection is over, or is not for two minutes.
restore_wait() {
	restore_left=600
	while [ -e "$restore_journal" ] && [ "$restore_left" -gt 0 ]; do
		sleep 0.2
		restore_left=$((restore_left - 1))
	done
	[ ! -e "$restore_journal" ] || bp_fail 'data is still being exchanged there'
}

# restore_settle: takes an exchange back that this host has not lived to see the end of. Nobody else is at it: the lock is
# held by whoever asks for this.
restore_settle() {
	[ -e "$restore_journal" ] || return 0
	set --
	while IFS= read -r restore_word; do
		set -- "$@" "$restore_word"
	done <"$restore_journal"
	restore_time=$1
	shift
	restore_take_back "$@" || exit 1
	printf '%s\n' 'an exchange of data was cut off in the middle: all of it has been put back as it was before'
}

# restore_old TARGET HOW: where what was there is kept.
restore_old() {
	if [ "$2" = inside ]; then
		printf '%s' "$1/.bedplate-before-$restore_time"
	else
		printf '%s' "$1.bedplate-before-$restore_time"
	fi
}

restore_one() {
	restore_keep=$(restore_old "$1" "$3")
	if [ "$3" = inside ]; then
		mkdir -m 0700 -- "$restore_keep" && chown --reference="$1" -- "$restore_keep" && chmod --reference="$1" -- "$restore_keep" || return 1
		find "$1" -mindepth 1 -maxdepth 1 ! -name '.bedplate-*' ! -name lost+found -exec mv -n -t "$restore_keep" -- '{}' + || return 1
		# From here on what is there is new.
		: >"$2/moved" || return 1
		find "$2/tree" -mindepth 1 -maxdepth 1 ! -name lost+found -exec mv -n -t "$1" -- '{}' + || return 1
		chown --reference="$2/tree" -- "$1" && chmod --reference="$2/tree" -- "$1"
		return
	fi
	if [ -n "$4" ]; then
		# What SQLite keeps beside a database is of the old one.
		for restore_end in '' -wal -shm -journal; do
			[ ! -e "$1$restore_end" ] || mv -T -- "$1$restore_end" "$restore_keep$restore_end" || return 1
		done
		: >"$2/moved" || return 1
		mv -T -- "$2/tree/$4" "$1"
		return
	fi
	if [ -e "$1" ] || [ -h "$1" ]; then
		mv -T -- "$1" "$restore_keep" || return 1
	fi
	: >"$2/moved" || return 1
	mv -T -- "$2/tree" "$1"
}

# restore_back: wherever `restore_one` has come to, and wherever an earlier try of this has.
restore_back() {
	restore_keep=$(restore_old "$1" "$3")
	if [ "$3" = inside ]; then
		[ -d "$restore_keep" ] || return 0
		[ ! -e "$2/moved" ] || find "$1" -mindepth 1 -maxdepth 1 ! -name '.bedplate-*' ! -name lost+found -exec mv -n -t "$2/tree" -- '{}' + || return 1
		# From here on what is there is old.
		rm -f -- "$2/moved"
		find "$restore_keep" -mindepth 1 -maxdepth 1 -exec mv -n -t "$1" -- '{}' + || return 1
		chown --reference="$restore_keep" -- "$1" && chmod --reference="$restore_keep" -- "$1" && rmdir -- "$restore_keep"
		return
	fi
	if [ -e "$2/moved" ] && [ ! -e "$2/tree${4:+/$4}" ] && [ -e "$1" ]; then
		mv -T -- "$1" "$2/tree${4:+/$4}" || return 1
	fi
	for restore_end in '' -wal -shm -journal; do
		if [ -e "$restore_keep$restore_end" ] || [ -h "$restore_keep$restore_end" ]; then
			mv -T -- "$restore_keep$restore_end" "$1$restore_end" || return 1
		fi
	done
}

# restore_sweep: takes away what was staged, also by a run that was cut off.
restore_sweep() {
	restore_settle || exit 1
	[ -e /var/lib/bedplate/restoring ] || return 0
	while IFS= read -r restore_folder; do
		restore_clean "$restore_folder"
	done </var/lib/bedplate/restoring
	rm -f /var/lib/bedplate/restoring
}

# restore_clean STAGE...: takes away what was staged.
restore_clean() {
	for restore_folder in "$@"; do
		case $restore_folder in
		*/.bedplate-restore | */.bedplate-restore-*) rm -rf -- "$restore_folder" ;;
		esac
	done
}

# restore_kept TIME ( TARGET HOW )...: what is kept of what was there, a line each.
restore_kept() {
	restore_time=$1
	shift
	while [ "$#" -ge 2 ]; do
		restore_keep=$(restore_old "$1" "$2")
		[ ! -e "$restore_keep" ] || printf '%s\n' "$restore_keep"
		shift 2
	done
}

# restore_drop TIME ( TARGET HOW )...: removes it.
restore_drop() {
	restore_time=$1
	shift
	while [ "$#" -ge 2 ]; do
		restore_keep=$(restore_old "$1" "$2")
		rm -rf -- "$restore_keep" "$restore_keep-wal" "$restore_keep-shm" "$restore_keep-journal" || exit 1
		shift 2
	done
}
