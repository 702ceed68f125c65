# Whether cloud-init is at work on this boot: until it has finished, users, keys and packages move under us.

# first_boot_probe: absent, running, or done with what cloud-init says of its work (JSON).
first_boot_probe() {
	first_boot_word=absent
	if [ -e /run/cloud-init/result.json ]; then
		first_boot_word='done'
	elif [ -e /run/cloud-init/enabled ] || [ -e /run/cloud-init/status.json ]; then
		[ -e /run/cloud-init/disabled ] || first_boot_word=running
	fi
	bp_field "$first_boot_word"
	if [ "$first_boot_word" = 'done' ]; then
		bp_field "$(head -c 65536 /run/cloud-init/result.json)"
	else
		bp_field ''
	fi
}
