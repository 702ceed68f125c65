# Debian packages as dpkg has them.

# package_probe NAME...: one line a known package: name, status, version.
package_probe() {
	bp_field "$(dpkg-query -W -f '${Package}\t${db:Status-Abbrev}\t${Version}\n' -- "$@")"
}
