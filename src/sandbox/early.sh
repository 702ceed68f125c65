#!/bin/sh
# Does in a box what udev, the fstab generator and the control group of a real machine do, all of which systemd leaves
# alone in a container.

# Disks as a provider shows them: the device, and a stable name that links to it. Loop devices have major number 7.
if [ -r /usr/lib/bedplate-sandbox/disks ]; then
	while read -r name device minor; do
		[ -e "$device" ] || mknod -m 660 "$device" b 7 "$minor"
		if [ "$name" != - ]; then
			mkdir -p /dev/disk/by-id
			ln -sfn "$device" "/dev/disk/by-id/$name"
		fi
	done </usr/lib/bedplate-sandbox/disks
fi

# A disk was added while the box runs: that is all.
if [ "${1-}" = disks ]; then exit 0; fi

# Docker makes its groups below these.
for group in /sys/fs/cgroup/*; do
	if mountpoint -q "$group"; then mount -o remount,rw,bind "$group"; fi
done

mount -a -t ext4,ext3,ext2,xfs,btrfs
swapon -a
exit 0
