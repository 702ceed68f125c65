#!/bin/sh
# The keeper of one box, in a session of its own, so that the box outlives whoever asked for it.
# It makes the box's network, boots it, and when the box asks for a reboot (or the file `want` says `again`) makes all
# of it anew: a namespace that lives on would carry the old firewall rules into the new boot.
#
#   boot.sh keep STATE NSPAWN-ARGUMENT...    keeps the box until it powers off
#   boot.sh clean STATE                      removes what a killed keeper left
#   boot.sh enter STATE NSPAWN-ARGUMENT...   (by itself) becomes the box
#
# STATE is the box's directory of state; `environment` in it is ours and sets the names used below.
set -u
verb=$1
state=$2
shift 2
# shellcheck source=/dev/null
. "$state/environment"

box_unplug() {
	ip route del unreachable "$BOX_NETWORK" 2>/dev/null || true
	ip link del "$BOX_LINK" 2>/dev/null || true
	ip netns del "$BOX_NAMESPACE" 2>/dev/null || true
}

box_plug() {
	ip netns add "$BOX_NAMESPACE" &&
		ip link add "$BOX_LINK" type veth peer name eth0 netns "$BOX_NAMESPACE" &&
		ip addr add "$BOX_HOST4/30" dev "$BOX_LINK" &&
		ip link set "$BOX_LINK" up &&
		ip -n "$BOX_NAMESPACE" link set lo up &&
		ip -n "$BOX_NAMESPACE" addr add "$BOX_GUEST4/30" dev eth0 &&
		ip -n "$BOX_NAMESPACE" link set eth0 up &&
		ip -n "$BOX_NAMESPACE" route add default via "$BOX_HOST4" || return 1
	if [ -e /proc/net/if_inet6 ]; then
		ip -6 addr add "$BOX_HOST6/64" dev "$BOX_LINK" nodad || return 1
		ip -6 -n "$BOX_NAMESPACE" addr add "$BOX_GUEST6/64" dev eth0 nodad || return 1
	fi
}

# A swap file outlives the mount namespace that it was switched on in, and would pin its box on the disk.
box_swap_off() {
	while read -r path rest; do
		case $path in
		/dev/loop*)
			if grep -q -s -F -e " $path " -- "$BOX_ROOT/usr/lib/bedplate-sandbox/disks"; then swapoff "$path" 2>/dev/null; fi
			;;
		/*)
			if [ -f "$BOX_ROOT$path" ]; then swapoff "$BOX_ROOT$path" 2>/dev/null; fi
			;;
		esac
	done </proc/swaps
	return 0
}

# Every cgroup hierarchy that is mounted: one of version 2, or the many of version 1.
box_hierarchies() {
	if [ -e /sys/fs/cgroup/cgroup.procs ]; then
		echo /sys/fs/cgroup
	else
		for hierarchy in /sys/fs/cgroup/*/; do
			if [ -e "$hierarchy/cgroup.procs" ]; then echo "${hierarchy%/}"; fi
		done
	fi
}

box_group_remove() {
	box_hierarchies | while read -r hierarchy; do
		if [ -d "$hierarchy/bedplate-sandbox/$BOX_NAME" ]; then
			find "$hierarchy/bedplate-sandbox/$BOX_NAME" -depth -type d -exec rmdir {} + 2>/dev/null
		fi
	done
	rmdir "/run/systemd/nspawn/propagate/bedplate-$BOX_NAME" 2>/dev/null
	return 0
}

# Boxes that shared a cgroup would see and stop one another's services.
box_group_enter() {
	for hierarchy in $(box_hierarchies); do
		above=$hierarchy
		for name in bedplate-sandbox "$BOX_NAME"; do
			group=$above/$name
			echo '+cpu +memory +pids +io' >"$above/cgroup.subtree_control" || true
			mkdir -p "$group" || return 1
			if [ -e "$group/cpuset.cpus" ] && [ -e "$group/cgroup.clone_children" ]; then
				cat "$above/cpuset.cpus" >"$group/cpuset.cpus" || return 1
				cat "$above/cpuset.mems" >"$group/cpuset.mems" || return 1
			fi
			above=$group
		done
		if [ -n "$BOX_MEMORY" ]; then
			for limit in "$group/memory.max" "$group/memory.limit_in_bytes"; do
				if [ -e "$limit" ]; then echo "$BOX_MEMORY" >"$limit" || return 1; fi
			done
		fi
		echo "$$" >"$group/cgroup.procs" || return 1
	done 2>/dev/null
}

case $verb in
keep)
	while :; do
		echo run >"$state/want"
		box_unplug
		box_plug || exit 1
		sh "$state/boot.sh" enter "$state" "$@"
		code=$?
		rm -f "$state/nspawn.pid"
		box_swap_off
		box_unplug
		box_group_remove
		case $(cat "$state/want" 2>/dev/null):$code in
		again:* | run:133) echo "== boots again ==" ;;
		*) exit 0 ;;
		esac
	done
	;;
enter)
	if [ -n "$BOX_GROUPS" ]; then
		box_group_enter || {
			echo "the box's control group could not be made"
			exit 1
		}
	fi
	echo "$$" >"$state/nspawn.pid"
	exec systemd-nspawn "$@"
	;;
clean)
	box_swap_off
	box_unplug
	box_group_remove
	;;
esac
