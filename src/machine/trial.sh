# Commands of a playbook's author that only look.

# trial_probe COMMAND...: whether each succeeds, within ten seconds.
trial_probe() {
	for trial_command in "$@"; do
		if timeout 10 sh -c "$trial_command" >/dev/null; then bp_field 1; else bp_field 0; fi
	done
}
