# What sudo allows. A file that sudo can not read shuts everyone out, so visudo judges the candidate before it counts.

# sudoers_write NAME STATE WANTED TEXT: STATE is what the plan saw, WANTED the digest of TEXT. The candidate's name has
# a dot, which sudo passes over.
sudoers_write() {
	sudoers_path=/etc/sudoers.d/$1
	sudoers_now=$(action_state "$sudoers_path")
	[ "$sudoers_now" = "$3" ] || [ "$sudoers_now" = "$2" ] || bp_moved "$sudoers_path"
	sudoers_part=/etc/sudoers.d/$1.bedplate-part
	trap 'rm -f -- "$sudoers_part"' EXIT
	rm -f -- "$sudoers_part"
	(umask 0337 && printf '%s' "$4" >"$sudoers_part") || bp_fail "$sudoers_path can not be written"
	[ "$(action_state "$sudoers_part")" = "$3" ] || bp_fail "$sudoers_path can not be written whole: is the disk full?"
	if ! chown 0:0 -- "$sudoers_part" || ! chmod 0440 -- "$sudoers_part"; then
		bp_fail "the owner or mode of $sudoers_path can not be set"
	fi
	if command -v visudo >/dev/null; then
		visudo -c -f "$sudoers_part" || bp_fail "sudo does not understand the file, so it was not put in place"
	fi
	sync -- "$sudoers_part" 2>/dev/null
	mv -f -T -- "$sudoers_part" "$sudoers_path" || bp_fail "$sudoers_path can not be replaced"
}
