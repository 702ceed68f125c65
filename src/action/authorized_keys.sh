# The keys that may log in as a user. The folder belongs to that user, who could put a link in our way at any moment:
# so we stand in the folder, make the new file under a name that must not exist, and never follow a link.

# authorized_keys_write USER STATE WANTED TEXT: STATE is what the plan saw, WANTED the digest of TEXT.
authorized_keys_write() {
	authorized_keys_home=$(account_field "$1" 6) || bp_moved "user $1"
	authorized_keys_ids=$(account_field "$1" 3):$(account_field "$1" 4)
	authorized_keys_at=$authorized_keys_home/.ssh/authorized_keys
	cd -P -- "$authorized_keys_home" || bp_fail "$1 has no home $authorized_keys_home"
	authorized_keys_home=$(pwd -P)
	[ -d .ssh ] || [ -h .ssh ] || mkdir -m 0700 -- .ssh || return 1
	cd -P -- .ssh || return 1
	[ "$(pwd -P)" = "${authorized_keys_home%/}/.ssh" ] || bp_fail "$authorized_keys_home/.ssh is a link: it is not followed"
	authorized_keys_now=$(action_state authorized_keys)
	[ "$authorized_keys_now" = "$3" ] || [ "$authorized_keys_now" = "$2" ] || bp_moved "$authorized_keys_at"
	rm -f -- authorized_keys.bedplate-part
	(umask 077 && set -C && printf '%s' "$4" >authorized_keys.bedplate-part) || bp_fail "$authorized_keys_at can not be written"
	trap 'rm -f -- authorized_keys.bedplate-part' EXIT
	[ "$(action_state authorized_keys.bedplate-part)" = "$3" ] || bp_fail "$authorized_keys_at can not be written whole: is the disk full?"
	chown -h -- "$authorized_keys_ids" authorized_keys.bedplate-part || return 1
	sync -- authorized_keys.bedplate-part 2>/dev/null
	mv -f -T -- authorized_keys.bedplate-part authorized_keys || return 1
	chown -h -- "$authorized_keys_ids" . && chmod -- 0700 .
}
