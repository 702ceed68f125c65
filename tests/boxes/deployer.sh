#!/bin/sh
# Stands in for Kamal: it does to a host, over ssh, what a deploy of Kamal 2.12 was seen to do, in its order and with its
# algorithms alone, each command a login of its own. Images are made on the host from busybox; nothing is pulled.
set -eu

# Whether anything of bedplate's is in the environment.
if env | grep -q '^BEDPLATE_'; then
	echo "bedplate left something in the environment"
	exit 70
fi
# shellcheck disable=SC1091 # host, key and known_hosts
. ./login
user=$(sed -n 's/^ *user: //p' config/deploy.yml)
version=$(cat version)
echo "kamal $*, as ${user:=root}, version $version"
# As Kamal's own number would come through.
[ "$version" != broken ] || exit 42

set -- -F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o "UserKnownHostsFile=$known_hosts" \
	-o KexAlgorithms=ecdh-sha2-nistp521,ecdh-sha2-nistp384,ecdh-sha2-nistp256,diffie-hellman-group-exchange-sha256,diffie-hellman-group14-sha256 \
	-o Ciphers=aes256-ctr,aes192-ctr,aes128-ctr,aes256-gcm@openssh.com,aes128-gcm@openssh.com \
	-o MACs=hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512,hmac-sha2-256 -i "$key"
options=$*
# shellcheck disable=SC2086 # words
on() { ssh $options "$user@$host" "$@"; }
# shellcheck disable=SC2086 # words
upload() { scp -q -O $options "$1" "$user@$host:$2"; }

# In the place of build, push and pull: one image is app, accessory and proxy.
on 'docker image inspect shop >/dev/null 2>&1 || { d=$(mktemp -d) && mkdir -p $d/bin $d/etc $d/www $d/tmp &&
	echo "root:x:0:0::/:/bin/sh" >$d/etc/passwd && cp /bin/busybox $d/bin/ &&
	cp -L --parents $(ldd /bin/busybox | grep -o "/lib[^ ]*") $d && for name in sh httpd nc wget sleep cat chown; do ln -s busybox $d/bin/$name; done &&
	echo fine >$d/www/up && tar -C $d -c . | docker import - shop >/dev/null && rm -r $d; }'
on mkdir -p .kamal
on 'echo "[now] deploying" >>.kamal/shop-audit.log'
on 'mkdir .kamal/lock-shop && echo lock >.kamal/lock-shop/details'
on 'docker network create kamal 2>&1 || true' | grep -q -e . || exit 71
on mkdir -p .kamal/proxy/apps-config .kamal/apps/shop/env/roles .kamal/apps/shop/env/accessories

# The accessory: a data folder of its container's user, and a file that is uploaded each time.
on 'mkdir -p $PWD/shop-db/data shop-db/etc'
upload my.cnf shop-db/etc/my.cnf
upload my.cnf .kamal/apps/shop/env/accessories/db.env
on 'docker container inspect shop-db >/dev/null 2>&1 || {
	docker run --rm --volume $PWD/shop-db/data:/data shop chown 999 /data &&
	docker run --detach --restart unless-stopped --name shop-db --label service=shop-db --user 999 --network kamal --env-file .kamal/apps/shop/env/accessories/db.env \
		--volume $PWD/shop-db/data:/data --volume $PWD/shop-db/etc/my.cnf:/etc/my.cnf \
		shop sh -c "[ -e /data/rows ] || echo first >/data/rows; while :; do sleep 1000; done"; }'

# The proxy, then the app beside the one that runs, then the old one goes.
on 'docker container start kamal-proxy || docker run --name kamal-proxy --network kamal --detach --restart unless-stopped \
	--volume kamal-proxy-config:/config --volume $PWD/.kamal/proxy/apps-config:/apps-config --publish 80:80 --publish 443:443 \
	--log-opt max-size=10m shop sh -c "nc -ll -p 443 -e nc shop-web 80 & exec nc -ll -p 80 -e nc shop-web 80"'
upload my.cnf .kamal/apps/shop/env/roles/web.env
# One of the same version is renamed first.
on "! docker container inspect shop-web-$version >/dev/null 2>&1 || docker rename shop-web-$version shop-web-${version}_replaced_$$"
on "docker run --detach --restart unless-stopped --name shop-web-$version --label service=shop --label role=web --network kamal --network-alias shop-web \
	--env-file .kamal/apps/shop/env/roles/web.env --log-opt max-size=10m --volume shop_storage:/storage \
	shop sh -c 'echo $version >>/storage/versions; exec httpd -f -p 80 -h /www'"
tries=0
until on "docker exec kamal-proxy wget -q -O /dev/null http://shop-web-$version/up"; do
	tries=$((tries + 1))
	[ "$tries" -lt 15 ] || exit 72
	sleep 1
done
on "docker ps --format '{{.Names}}' | grep '^shop-web-' | grep -v -x shop-web-$version | while read -r old; do docker stop -t 1 \$old; done"
on 'rm -r .kamal/lock-shop'
echo "deployed by the stand-in"
