# Block devices: which one a name means, and everything that could speak against formatting it. What fails is told,
# never passed over.

# block_device_find SPEC: the device nodes that a path, LABEL= or UUID= means, one a line. The cache of blkid is not
# asked: it remembers devices that are gone.
block_device_find() {
	case $1 in
		LABEL=* | UUID=*) blkid -c /dev/null -o device -t "$1" ;;
		*) [ ! -e "$1" ] || readlink -f -- "$1" ;;
	esac
}

# block_device_zero NODE SIZE EDGE SAMPLES: zero, data or unreadable: the first and last EDGE bytes, and SAMPLES pieces
# of 64 KiB between them.
block_device_zero() {
	block_edge=$3
	[ "$2" -gt "$((block_edge * 2))" ] || block_edge=$2
	block_step=$((($2 / ($4 + 1)) / 4096 * 4096))
	block_sample=0
	set -- "$1" "$2" "$block_edge" "$4" 0 "$block_edge" "$(($2 - block_edge))" "$block_edge"
	while :; do
		cmp -s -n "$6" -i "$5:0" -- "$1" /dev/zero
		case $? in
			0) ;;
			1) printf 'data' && return 0 ;;
			*) printf 'unreadable' && return 0 ;;
		esac
		if [ $# -gt 6 ]; then
			set -- "$1" "$2" "$3" "$4" "$7" "$8"
			continue
		fi
		block_sample=$((block_sample + 1))
		[ "$block_sample" -le "$4" ] || break
		set -- "$1" "$2" "$3" "$4" "$((block_sample * block_step))" 65536
		[ "$(($5 + 65536))" -le "$2" ] || break
	done
	printf 'zero'
}

# block_device_second NODE SIZE EDGE SAMPLES: what another reader says, so that no single one decides: zero, data,
# unreadable, or busy where the kernel has lent the device to somebody, seen from here or not (a mount of another
# container, a part of a btrfs, LVM, RAID, swap); nothing when it can not tell.
block_device_second() {
	perl -MFcntl -MErrno=EBUSY -e '
		my ($node, $size, $edge, $samples) = @ARGV;
		$edge = $size if $size < $edge;
		sysopen(my $device, $node, O_RDONLY | O_EXCL) or (print $! == EBUSY ? "busy" : "unreadable"), exit;
		my @pieces = ([0, $edge], [$size - $edge, $edge]);
		push @pieces, map { [int($size * (2 * $_ - 1) / (2 * $samples) / 4096) * 4096, 65536] } 1 .. $samples;
		for my $piece (@pieces) {
			my ($at, $left) = @$piece;
			$left = $size - $at if $left > $size - $at;
			sysseek($device, $at, 0) or (print "unreadable"), exit;
			while ($left > 0) {
				my $got = sysread($device, my $bytes, $left < 1048576 ? $left : 1048576);
				(print "unreadable"), exit unless $got;
				(print "data"), exit if $bytes =~ tr/\0//c;
				$left -= $got;
			}
		}
		print "zero";' "$@"
}

# block_device_mounts NUMBER NODE: the places where it is mounted, as mountinfo writes them, one a line.
block_device_mounts() {
	block_lines=$(grep -F -e " $1 " -e " $2 " /proc/self/mountinfo) || return 0
	while read -r _ _ block_at _ block_place block_rest; do
		case $block_rest in
			*" - "*" $2 "*) block_at=$1 ;;
		esac
		[ "$block_at" != "$1" ] || printf '%s\n' "$block_place"
	done <<-LINES
		$block_lines
	LINES
}

# block_device_behind: the partition's number, and the bytes between its end and that of its disk; 0 where another
# partition lies behind it. Nothing for a whole device.
block_device_behind() {
	[ -e "$block_sys/partition" ] || return 0
	read -r block_of <"$block_sys/partition" || return 0
	read -r block_start <"$block_sys/start" || return 0
	block_disk=$(readlink -f "$block_sys") || return 0
	block_disk=${block_disk%/*}
	read -r block_whole <"$block_disk/size" || return 0
	block_left=$((block_whole * 512 - block_start * 512 - block_size))
	for block_other in "$block_disk"/*/start; do
		read -r block_at <"$block_other" || return 0
		[ "$block_at" -le "$block_start" ] || block_left=0
	done
	printf '%s %s /dev/%s' "$block_of" "$block_left" "${block_disk##*/}"
}

# block_device_look SPEC EDGE SAMPLES: absent, several, other or block; for a block all that is known of it.
block_device_look() {
	block_nodes=$(block_device_find "$1")
	case $block_nodes in
		'') bp_field absent && return 0 ;;
		*'
'*) bp_field several && bp_field "$block_nodes" && return 0 ;;
	esac
	[ -b "$block_nodes" ] || {
		bp_field other
		return 0
	}
	block_node=$block_nodes
	block_number=$(stat -c '%t %T' -- "$block_node")
	block_number=$((0x${block_number% *})):$((0x${block_number#* }))
	block_sys=/sys/dev/block/$block_number
	block_size=0
	[ -r "$block_sys/size" ] && read -r block_size <"$block_sys/size"
	block_size=$((block_size * 512))
	block_only=1
	[ -r "$block_sys/ro" ] && read -r block_only <"$block_sys/ro"
	bp_field block
	bp_field "$block_node"
	bp_field "$block_number"
	bp_field "$block_size"
	bp_field "$block_only"
	if [ -e "$block_sys/partition" ]; then bp_field 1; else bp_field 0; fi
	block_signs=$(blkid -p -o export -- "$block_node")
	bp_field "$?"
	bp_field "$block_signs"
	block_wiped=$(wipefs --noheadings --no-act --output TYPE -- "$block_node")
	bp_field "$?"
	bp_field "$block_wiped"
	for block_part in "$block_sys"/*/partition; do
		[ ! -e "$block_part" ] || {
			block_part=${block_part%/partition}
			bp_field "${block_part##*/}"
		}
	done
	bp_field ''
	for block_holder in "$block_sys"/holders/*; do
		[ ! -e "$block_holder" ] || bp_field "${block_holder##*/}"
	done
	bp_field ''
	block_places=$(block_device_mounts "$block_number" "$block_node")
	bp_field "$block_places"
	block_swap=0
	while read -r block_name _; do
		[ "$block_name" != "$block_node" ] || block_swap=1
	done </proc/swaps
	bp_field "$block_swap"
	case $block_signs$block_wiped in
		'')
			bp_field "$(block_device_zero "$block_node" "$block_size" "$2" "$3")"
			bp_field "$(block_device_second "$block_node" "$block_size" 1048576 "$3")"
			;;
		*)
			bp_field data
			bp_field signed
			;;
	esac
	# What a superblock of ext4 or xfs says of its size, and what the mounted file system says.
	bp_field "$(od -An -v -tx1 -N 2048 -- "$block_node")"
	block_place=${block_places%%
*}
	if [ -n "$block_place" ]; then
		bp_field "$(stat -f -c '%S %b' -- "$(printf '%b' "$block_place")")"
	else
		bp_field ''
	fi
	if [ -e "$(block_device_record "$block_node")" ]; then bp_field 1; else bp_field 0; fi
	bp_field "$(block_device_behind)"
}

# block_device_record NODE: where the intent to format it is kept until that is done.
block_device_record() {
	printf '/var/lib/bedplate/formatting%s' "$(printf '%s' "$1" | tr / -)"
}

# block_device_probe SPEC...: 4 MiB at each end and 16 samples: a first look. Formatting looks closer.
block_device_probe() {
	for block_spec in "$@"; do
		block_device_look "$block_spec" 4194304 16
	done
}
