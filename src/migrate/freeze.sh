# Stops and starts what writes, and finds whoever still does.

freeze_dir=/var/lib/bedplate/migrate

# freeze_note NAME...: what is about to be stopped, written down before it is, so that any later run can start it again.
freeze_note() {
	mkdir -p "$freeze_dir" || exit 1
	chmod 0700 "$freeze_dir" || exit 1
	[ ! -e "$freeze_dir/frozen" ] || cp "$freeze_dir/frozen" "$freeze_dir/frozen.new" || exit 1
	for freeze_name in "$@"; do
		grep -q -x -F -e "$freeze_name" "$freeze_dir/frozen.new" 2>/dev/null || printf '%s\n' "$freeze_name" >>"$freeze_dir/frozen.new" || exit 1
	done
	touch "$freeze_dir/frozen.new" && sync "$freeze_dir/frozen.new" && mv -f "$freeze_dir/frozen.new" "$freeze_dir/frozen"
}

# freeze_stop SECONDS NAME...: stops containers, side by side. One that is gone needs no stopping. A line `killed NAME`
# for each that did not end by itself.
freeze_stop() {
	freeze_patience=$1
	shift
	freeze_there=''
	for freeze_name in "$@"; do
		! docker container inspect "$freeze_name" >/dev/null 2>&1 || freeze_there="$freeze_there $freeze_name"
	done
	# Docker starts one with the policy `always` again at the next boot, stopped or not. What it had is written down.
	for freeze_name in $freeze_there; do
		if [ "$(docker container inspect --format '{{.HostConfig.RestartPolicy.Name}}' "$freeze_name")" = always ]; then
			printf '%s\n' "$freeze_name" >>"$freeze_dir/always" || exit 1
			docker update --restart unless-stopped "$freeze_name" || exit 1
		fi
	done
	[ -n "$freeze_there" ] || return 0
	# shellcheck disable=SC2086 # names of containers, which hold no blanks
	docker container stop --time "$freeze_patience" $freeze_there || exit 1
	# shellcheck disable=SC2086 # the same
	docker container inspect --format '{{.State.ExitCode}} {{.Name}}' $freeze_there | sed -n 's|^137 /|killed |p'
}

# freeze_remove NAME...: removes stopped containers; what they keep is in volumes and folders.
freeze_remove() {
	for freeze_name in "$@"; do
		! docker container inspect "$freeze_name" >/dev/null 2>&1 || docker container rm "$freeze_name" || exit 1
	done
}

# freeze_moved TEXT: leaves word on this host of where its app has gone: in a file, and for whoever logs in.
freeze_moved() {
	printf '%s\n' "$1" >"$freeze_dir/moved" || exit 1
	mkdir -p /etc/motd.d && printf '%s\n' "$1" >/etc/motd.d/90-bedplate-moved && chmod 0644 /etc/motd.d/90-bedplate-moved
}

# freeze_start: starts what was noted, the last one first, and forgets it. One that is gone is told and gone past.
freeze_start() {
	[ -e "$freeze_dir/frozen" ] || return 0
	freeze_bad=''
	sed '1!G;h;$!d' "$freeze_dir/frozen" >"$freeze_dir/thaw" || exit 1
	while read -r freeze_name; do
		if docker container inspect "$freeze_name" >/dev/null 2>&1; then
			docker container start "$freeze_name" || freeze_bad="$freeze_bad $freeze_name"
			if grep -q -x -F -e "$freeze_name" "$freeze_dir/always" 2>/dev/null; then
				docker update --restart always "$freeze_name" || freeze_bad="$freeze_bad $freeze_name"
			fi
			[ "$(docker container inspect --format '{{.State.Running}}' "$freeze_name")" = true ] || freeze_bad="$freeze_bad $freeze_name"
		elif [ "$freeze_name" = '(your command)' ]; then
			if [ -s "$freeze_dir/thaw-command" ]; then
				sh "$freeze_dir/thaw-command" || freeze_bad="$freeze_bad $freeze_name"
			else
				freeze_bad="$freeze_bad $freeze_name, which takes yours back and must be named again"
			fi
		else
			printf '%s is not there any more\n' "$freeze_name"
		fi </dev/null
	done <"$freeze_dir/thaw"
	[ -z "$freeze_bad" ] || bp_fail "not started:$freeze_bad"
	rm -f "$freeze_dir/frozen" "$freeze_dir/thaw" "$freeze_dir/thaw-command" "$freeze_dir/always" "$freeze_dir/moved" /etc/motd.d/90-bedplate-moved
}

# freeze_begun: ends well when a move has stopped what was to stop here, if only nothing, and nobody has started it since.
freeze_begun() {
	[ -e "$freeze_dir/frozen" ]
}

# freeze_state: the names that were noted, a line each, and behind them those that run.
freeze_state() {
	freeze_text=''
	[ ! -e "$freeze_dir/frozen" ] || freeze_text=$(cat "$freeze_dir/frozen")
	bp_field "$freeze_text"
	bp_field "$(docker ps --format '{{.Names}}')"
}

# freeze_keep COMMAND: what takes the operator's own command back, for whoever starts all again.
freeze_keep() {
	mkdir -p "$freeze_dir" && chmod 0700 "$freeze_dir" && printf '%s\n' "$1" >"$freeze_dir/thaw-command" && sync "$freeze_dir/thaw-command"
}

# freeze_own COMMAND: the operator's own command.
freeze_own() {
	sh -c "$1"
}

# freeze_writers PATH...: processes that have a file below one of the paths open for writing, or mapped so, a line each:
# number, name, file. Files are known by their numbers too, since a container has names of its own for them.
freeze_writers() {
	perl -e '
		use strict;
		my (%inodes, @roots);
		for my $root (@ARGV) {
			push @roots, $root;
			open(my $find, "-|", "find", $root, "-type", "f", "-printf", "%D:%i\\0") or exit 2;
			local $/ = "\0";
			while (my $id = <$find>) { chomp $id; $inodes{$id} = 1 }
		}
		my $below = sub { my $path = shift; for (@roots) { return 1 if $path eq $_ or index($path, "$_/") == 0 } 0 };
		opendir(my $proc, "/proc") or exit 2;
		for my $pid (grep { /^\d+$/ } readdir $proc) {
			next if $pid == $$;
			my %seen;
			if (opendir(my $fds, "/proc/$pid/fd")) {
				for my $fd (grep { /^\d+$/ } readdir $fds) {
					my $path = readlink("/proc/$pid/fd/$fd");
					next unless defined $path and $path =~ m{^/};
					my @stat = stat("/proc/$pid/fd/$fd") or next;
					next unless -f _;
					next unless $inodes{"$stat[0]:$stat[1]"} or $below->($path);
					open(my $info, "<", "/proc/$pid/fdinfo/$fd") or next;
					while (<$info>) { $seen{$path} = 1 if /^flags:\s*(\d+)/ and oct($1) & 3 }
				}
			}
			if (open(my $maps, "<", "/proc/$pid/maps")) {
				while (<$maps>) {
					next unless m{^\S+ .w.s \S+ ([0-9a-f]+):([0-9a-f]+) (\d+)\s+(/.*)$};
					my $device = hex($1) << 8 | (hex($2) & 0xff) | (hex($2) & ~0xff) << 12;
					$seen{$4} = 1 if $inodes{"$device:$3"} or $below->($4);
				}
			}
			next unless %seen;
			my $name = "";
			if (open(my $comm, "<", "/proc/$pid/comm")) { chomp($name = <$comm> // "") }
			print "$pid $name $_\n" for sort keys %seen;
		}
	' "$@"
}
