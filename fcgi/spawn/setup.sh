#!/bin/bash
# Install what is missing: setup.sh run|test|lint. Debian 12, 13, Ubuntu 24.04.
# Asks for root only when something is missing; quick when nothing is.
set -eu

run="gcc make pkg-config libc6-dev libfcgi-dev libcurl4-openssl-dev libjson-c-dev libssl-dev
 libsqlite3-dev libarchive-dev libseccomp-dev bubblewrap nginx-light|nginx spawn-fcgi
 openssl ca-certificates curl python3 procps util-linux"
test="$run libcmocka-dev perl python3-venv wrk"
lint="$test clang clang-tidy clang-format cppcheck shellcheck g++"

case "${1:-run}" in
run) want=$run ;;
test) want=$test ;;
lint) want=$lint ;;
*) echo "usage: setup.sh run|test|lint" >&2; exit 2 ;;
esac

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if ! command -v dpkg-query >/dev/null; then
	echo "setup: not a Debian system; install these yourself: $want" >&2
	exit 0
fi
missing=
for p in $want; do
	first=${p%%|*} ok=
	for alt in ${p//|/ }; do installed "$alt" && ok=1; done
	[ -n "$ok" ] || missing="$missing $first"
done
if [ -n "$missing" ]; then
	echo "setup: installing$missing"
	sudo=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || {
			echo "setup: run as root once: apt-get install$missing" >&2
			exit 1
		}
		sudo=sudo
	fi
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	# a package's own service must not start: policy-rc.d says no while we install
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
		$sudo chmod 755 $policy
		trap 'rm -f "$log"; $sudo rm -f '$policy EXIT
	fi
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086
	{ $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 || {
		cat "$log" >&2
		echo "setup: apt-get failed, see above" >&2
		exit 1
	}
fi

# Ubuntu 24.04 forbids unprivileged user namespaces unless a profile allows them.
f=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
if [ -r $f ] && [ "$(cat $f)" = 1 ] && [ ! -e /etc/apparmor.d/azlon-bwrap ]; then
	echo "setup: allowing bubblewrap to make user namespaces (AppArmor profile azlon-bwrap)"
	sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
	printf '%s\n' 'abi <abi/4.0>,' 'include <tunables/global>' \
	    'profile azlon-bwrap /usr/bin/bwrap flags=(unconfined) {' '  userns,' '}' |
	    $sudo tee /etc/apparmor.d/azlon-bwrap >/dev/null
	$sudo apparmor_parser -r /etc/apparmor.d/azlon-bwrap ||
	    echo "setup: could not load the profile; sandboxes will refuse to start" >&2
fi
