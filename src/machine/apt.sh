# apt's settings as apt itself understands its files.

# apt_settings: all that the built-in questions can be about; a setting that nobody made is not listed.
apt_settings() {
	bp_field "$(apt-config dump APT::Periodic Unattended-Upgrade)"
}
