# What lies in a tree, as one number: names, sorts, modes, owners, sizes, links, and the SHA-256 of every file. Sums are
# kept beside, by number, size and both times of the file, so that a second look reads only what has changed.

manifest_dir=/var/lib/bedplate/migrate

# manifest_list ROOT: a record for each entry, ended by NUL, in the order of names: name // sort mode owner group size
# changed status-changed device:number links // link. No name holds two slashes in a row.
manifest_list() {
	manifest_found=$manifest_dir/found.$$
	find "$1" -printf '%P//%y %m %U %G %s %T@ %C@ %D:%i %n//%l\0' >"$manifest_found"
	manifest_status=$?
	sort -z <"$manifest_found" || manifest_status=1
	rm -f "$manifest_found"
	return "$manifest_status"
}

# manifest_merge PHASE ROOT SINCE OWNER: reads a list beside the sums that are kept. `ask` prints the files whose sums are
# not known. `tell` reads those too and writes the manifest, the sums to keep and the databases of SQLite.
# A file is kept only where it was at rest before SINCE: one that is written to through a mapping may change without a
# newer time as long as its page has not been written back.
manifest_merge() {
	perl -e '
		use strict;
		my ($phase, $root, $since, $owner, $list, $kept, $sums, $out) = @ARGV;
		local $/ = "\0";
		sub records { my $file = shift; my $handle; open($handle, "<", $file) or return sub { undef }; return sub { my $line = <$handle>; chomp $line if defined $line; $line } }
		sub name { my $line = shift; my $at = index($line, "//"); substr($line, 0, $at + 2) }
		my ($entries, $old, $new) = (records($list), records($kept), records($sums));
		my ($have, $fresh) = ($old->(), $new->());
		my (%first, $count, $bytes, $hashed, $missing);
		$count = $bytes = $hashed = $missing = 0;
		my ($manifest, $keep, $bases);
		if ($phase eq "tell") {
			open($manifest, ">", "$out.manifest") and open($keep, ">", "$out.sums.new") and open($bases, ">", "$out.databases") or die "$out: $!\n";
		}
		while (defined(my $entry = $entries->())) {
			my $at = index($entry, "//");
			my $name = substr($entry, 0, $at);
			my $rest = substr($entry, $at + 2);
			my $cut = index($rest, "//");
			my ($facts, $link) = (substr($rest, 0, $cut), substr($rest, $cut + 2));
			my ($sort, $mode, $user, $group, $size, $changed, $status, $id, $links) = split / /, $facts;
			my ($sum, $base) = ("", 0);
			if ($sort eq "f") {
				my $key = "$size $changed $status $id";
				while (defined $have and name($have) lt "$name//") { $have = $old->() }
				if (defined $have and name($have) eq "$name//") {
					my ($known, $was, $flag) = split m{//}, substr($have, length("$name//"));
					($sum, $base) = ($was, $flag) if $known eq $key;
				}
				my $path = $name eq "" ? $root : "$root/$name";
				if ($phase eq "ask") { print "$path\0" if $sum eq ""; next }
				if ($sum eq "") { # sums come in the order of the list; a file that has gone meanwhile has none
					if (defined $fresh and substr($fresh, 66) eq $path) {
						$sum = substr($fresh, 0, 64); $fresh = $new->(); $hashed += $size;
						if ($size >= 100 and open(my $file, "<:raw", $path)) { my $head = ""; read($file, $head, 16); $base = 1 if $head eq "SQLite format 3\0" }
					} else { $missing++; $sum = "?" }
				}
				print $keep "$name//$key//$sum//$base\0" if $sum ne "?" and $changed < $since and $status < $since;
				print $bases "$path\0" if $base;
				$bytes += $size;
			} elsif ($phase eq "ask") { next }
			my $leader = ""; # the first name of the same file; the others may lie outside of the tree
			if ($sort ne "d" and $links > 1) { $leader = $first{$id} // ""; $first{$id} //= $name }
			$size = "" if $sort ne "f";
			($user, $group) = ("", "") if $owner;
			$count++;
			print $manifest join("//", $name, "$sort $mode $user $group $size", $link, $leader, $sum), "\0";
		}
		if ($phase eq "tell") {
			close($manifest) and close($keep) and close($bases) or die "$out: $!\n";
			print "$count $bytes $hashed $missing\n";
		}
	' "$@"
}

# manifest_take NAME ROOT OWNER: looks at a tree. NAME is where its sums are kept; with OWNER 1 owners do not count.
# Fields: entries, bytes, bytes that were read, files that went away meanwhile, the digest, the databases of SQLite (a line
# each, names with a line break left out).
manifest_take() {
	manifest_out=$manifest_dir/$1
	mkdir -p "$manifest_dir" && chmod 0700 "$manifest_dir" || exit 1
	manifest_since=$(($(date +%s) - 2))
	sync -f "$2"
	# Entries that go away meanwhile make `find` end with 1; whether that matters is seen by what is missing.
	manifest_list "$2" >"$manifest_out.list" || [ -e "$2" ] || exit 1
	manifest_merge ask "$2" "$manifest_since" "$3" "$manifest_out.list" "$manifest_out.sums" /dev/null "$manifest_out" >"$manifest_out.todo" || exit 1
	# Files may go away meanwhile; whether one has is seen by what is missing.
	xargs -0 -r sha256sum -z -- <"$manifest_out.todo" >"$manifest_out.fresh" 2>/dev/null
	manifest_counts=$(manifest_merge tell "$2" "$manifest_since" "$3" "$manifest_out.list" "$manifest_out.sums" "$manifest_out.fresh" "$manifest_out") || exit 1
	mv -f "$manifest_out.sums.new" "$manifest_out.sums" || exit 1
	manifest_digest=$(sha256sum <"$manifest_out.manifest") || exit 1
	# shellcheck disable=SC2086 # four numbers
	set -- $manifest_counts
	for manifest_number in "$@"; do
		bp_field "$manifest_number"
	done
	bp_field "${manifest_digest%% *}"
	bp_field "$(tr '\n\000' '\001\n' <"$manifest_out.databases" | grep -v -F "$(printf '\001')")"
	rm -f "$manifest_out.list" "$manifest_out.todo" "$manifest_out.fresh"
}

# manifest_still NAME ROOT: 0 when nothing of the tree has changed since it was looked at: neither a time nor a number.
manifest_still() {
	manifest_list "$2" >"$manifest_dir/$1.now" && cmp -s "$manifest_dir/$1.now" "$manifest_dir/$1.marks"
}

# manifest_mark NAME ROOT: what `manifest_still` compares with.
manifest_mark() {
	mkdir -p "$manifest_dir" && chmod 0700 "$manifest_dir" && manifest_list "$2" >"$manifest_dir/$1.marks"
}


# manifest_entries NAME: the manifest itself.
manifest_entries() {
	cat "$manifest_dir/$1.manifest"
}

# manifest_forget: takes all that was kept away.
manifest_forget() {
	rm -f "$manifest_dir"/*.manifest "$manifest_dir"/*.sums "$manifest_dir"/*.databases "$manifest_dir"/*.marks "$manifest_dir"/*.now
}

# manifest_check FILE: what SQLite finds wrong with a database, or `ok`.
manifest_check() {
	printf 'PRAGMA integrity_check;\n' | sqlite3 "$@" 2>&1 | head -n 5
}

# manifest_databases PATH...: of each database `ok`, or what is wrong with it. The files are left as they are: one that
# has a journal to be rolled back is looked at on a copy.
manifest_databases() {
	for manifest_base in "$@"; do
		bp_field "$manifest_base"
		if [ -s "$manifest_base-journal" ]; then
			manifest_copy=$manifest_base.bedplate-check
			cp --reflink=auto -- "$manifest_base" "$manifest_copy" && cp -- "$manifest_base-journal" "$manifest_copy-journal"
			bp_field "$(manifest_check "$manifest_copy")"
			rm -f -- "$manifest_copy" "$manifest_copy-journal"
			continue
		fi
		manifest_beside=''
		for manifest_end in -shm -wal; do
			[ -e "$manifest_base$manifest_end" ] || manifest_beside="$manifest_beside $manifest_end"
		done
		bp_field "$(manifest_check -readonly "$manifest_base")"
		for manifest_end in $manifest_beside; do
			rm -f -- "$manifest_base$manifest_end"
		done
	done
}
