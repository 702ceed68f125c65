# What Docker publishes, as the running rules have it. Nothing here starts Docker.

# docker_published_rules COMMAND...: what it lists; nothing where it fails.
docker_published_rules() {
	"$@" 2>/dev/null || :
}

# docker_published_probe: whether bedplate's own table for published ports is in force; how Docker leads what comes in to
# containers, IPv4 then IPv6; the rules that its owner may put before that. All empty where no container has a network.
docker_published_probe() {
	docker_published_any=0
	for docker_published_link in /sys/class/net/veth*; do
		[ ! -e "$docker_published_link" ] || docker_published_any=1
	done
	if [ "$docker_published_any" = 0 ] || [ ! -e /run/docker.pid ]; then
		bp_field 0
		bp_field ''
		bp_field ''
		bp_field ''
		return 0
	fi
	if nft list table inet bedplate_docker >/dev/null 2>&1; then bp_field 1; else bp_field 0; fi
	bp_field "$(docker_published_rules iptables -w 5 -t nat -S DOCKER)"
	if [ -e /proc/net/if_inet6 ]; then
		bp_field "$(docker_published_rules ip6tables -w 5 -t nat -S DOCKER)"
	else
		bp_field ''
	fi
	bp_field "$(docker_published_rules iptables -w 5 -S DOCKER-USER)"
}
