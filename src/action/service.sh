# A service that loads its configuration, which is then remembered as loaded.

# service_load VERB UNIT KEY PATH...: what the service has read is what was there before it was told to.
service_load() {
	service_verb=$1
	service_unit=$2
	service_key=$3
	shift 3
	service_digest=$(loaded_digest "$@")
	action_units "$service_verb" "$service_unit" || return
	service_run=$(readlink -- "/run/systemd/units/invocation:$service_unit") || return 0
	mkdir -p -- /run/bedplate/loaded || return
	printf '%s %s\n' "$service_run" "$service_digest" >"/run/bedplate/loaded/$service_key.part" || return
	mv -f -T -- "/run/bedplate/loaded/$service_key.part" "/run/bedplate/loaded/$service_key"
}
