# The host itself: its name, its first boot, and commands of a playbook's author.

# node_name FOUND WANTED: the name that the kernel has; /etc/hostname is written apart.
node_name() {
	node_now=$(uname -n)
	[ "$node_now" = "$1" ] || [ "$node_now" = "$2" ] || bp_moved 'the host name'
	hostname -- "$2"
}

# node_first_boot SECONDS: wait for cloud-init. Its status 2 is "done, with errors that it could bear".
node_first_boot() {
	printf 'cloud-init is at work on its first boot: waiting for it\n'
	timeout "$1" cloud-init status --wait
	node_status=$?
	[ "$node_status" = 124 ] && bp_fail "cloud-init has not finished in $1 seconds: look at 'cloud-init status --long' and /var/log/cloud-init-output.log"
	# Whatever it says of its work, what counts here is that it has ended.
	[ -e /run/cloud-init/result.json ] && return 0
	cloud-init status --long
	bp_fail 'cloud-init has stopped without an end: look at /var/log/cloud-init-output.log'
}

# node_command COMMAND
node_command() {
	sh -c "$1"
}

# node_run COMMAND: by itself, so that a lost connection does not tear it in two.
node_run() {
	bp_detached /run/bedplate/command.log node_command "$1"
}
