# apt's settings as apt itself understands its files.

# apt_settings: all that the built-in questions can be about; a setting that nobody made is not listed. The architecture
# is always there: without it the answer is none.
apt_settings() {
	bp_field "$(apt-config dump APT::Architecture APT::Periodic Unattended-Upgrade)"
}

# apt_sources: path and text of every file that names repositories, then an empty field.
apt_sources() {
	for apt_path in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		if [ -f "$apt_path" ] && [ -s "$apt_path" ]; then
			bp_field "$apt_path"
			head -c 65536 -- "$apt_path"
			bp_field ''
		fi
	done
	bp_field ''
}
