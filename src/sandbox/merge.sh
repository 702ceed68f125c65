#!/bin/sh
# Debian 11 was installed with /bin, /sbin and /lib merged into /usr, but bootstraps unmerged; later releases merge by
# themselves. mmdebstrap runs this before it unpacks anything, with the tree as its argument.
set -eu
directories='bin sbin lib'
case $(dpkg --print-architecture) in
amd64) directories="$directories lib32 lib64 libx32" ;;
esac
for directory in $directories; do
	mkdir -p -- "$1/usr/$directory"
	ln -s -- "usr/$directory" "$1/$directory"
done
