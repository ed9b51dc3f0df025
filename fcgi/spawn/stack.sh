#!/bin/bash
# One Azlon stack on loopback: stack.sh start|reload|stop|status|var, and for processes that
# systemd runs stack.sh conf DIR, nginx's files, and stack.sh keys, what they know each other by.
# State under $AZLON_VAR. A process that ends by itself is launched again (AZLON_RESPAWN=off: not).
# Nothing runs as root once started: as root, the system users azlon (web, worker),
# azlon-sandbox and azlon-web (nginx) are made and used.
set -eu

# nginx and useradd are there; neither an ordinary user of Debian nor cron looks there
case :$PATH: in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac
export PATH

me=$(id -u)
cmd=${1:-status}
spawn=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
here=$(dirname "$spawn")
if [ -d "$here/nginx" ]; then # installed: PREFIX/share/azlon
	bin=$(cd "$here/../../bin" && pwd)
	recordings=recordings
	if [ "$me" = 0 ]; then
		var=/var/lib/azlon/stack tools=/var/lib/azlon
	else
		home=${HOME:-$(getent passwd "$me" | cut -d: -f6)}
		var=${XDG_STATE_HOME:-$home/.local/state}/azlon tools=${XDG_DATA_HOME:-$home/.local/share}/azlon
	fi
else # a clone
	here=$(dirname "$here")
	bin=$here/build/release/bin
	recordings=tests/recordings
	var=$here/var tools=$here/build
fi
bin=${AZLON_BIN:-$bin}
share=${AZLON_SHARE:-$here}
programs="azlon files replay run_workflow sandbox worker" # $bin may hold others

: "${AZLON_VAR:=$var}" "${AZLON_PORT:=8000}" "${AZLON_TLS_PORT:=8444}" "${AZLON_LOCAL_PORT:=8090}"
case $AZLON_VAR in /*) ;; *) AZLON_VAR=$PWD/$AZLON_VAR ;; esac
: "${AZLON_RECORDINGS:=$share/$recordings}"
export AZLON_VAR AZLON_PORT AZLON_TLS_PORT AZLON_LOCAL_PORT AZLON_RECORDINGS

id_of() { printf '%s' "$1" | cksum | cut -d' ' -f1; }
say() { printf '%s\n' "$*"; }
die() { printf 'azlon: %s\n' "$*" >&2; exit 1; }

# ---- who runs what -------------------------------------------------------
if [ "$me" = 0 ]; then
	u_app=azlon u_box=azlon-sandbox u_web=azlon-web mode=0755 sock_mode=0660
else
	# one user is all of them; its group may have other members
	u_app=$(id -un) u_box=$u_app u_web=$u_app mode=0700 sock_mode=0600
fi
as() { # user command…
	local u=$1; shift
	if [ "$me" = 0 ]; then
		setpriv --reuid "$u" --regid "$(id -gn "$u")" --clear-groups --inh-caps=-all "$@"
	else
		"$@"
	fi
}
users() {
	[ "$me" = 0 ] || return 0
	for u in azlon azlon-sandbox azlon-web; do
		id -u "$u" >/dev/null 2>&1 ||
		    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$u"
	done
	"$spawn/setup.sh" subids "$u_box"
}

# A tree that the system users cannot enter (a clone under /root, say) is copied to
# where they can; the state goes there too.
relocate() {
	[ "$me" = 0 ] || return 0
	local name p; name=/var/lib/azlon/$(id_of "$here")
	if ! as azlon test -x "$bin/worker" 2>/dev/null || ! as azlon test -r "$share/nginx/nginx.conf" 2>/dev/null; then
		mkdir -p "$name/bin" "$name/lib" "$name/libexec" "$name/share"
		chmod 755 /var/lib/azlon "$name"
		# those that run keep what they run
		for p in $programs; do cp -u --remove-destination "$bin/$p" "$name/bin/"; done
		cp -u --remove-destination "$bin"/../lib/libazlon.so* "$name/lib/"
		cp -u --remove-destination "$bin/../libexec/sandbox-agent" "$name/libexec/"
		rm -rf "$name/share/nginx" "$name/share/recordings"
		cp -r --preserve=timestamps "$share/nginx" "$name/share/" # the fingerprint has them
		cp -r "$share/$recordings" "$name/share/recordings"
		chmod -R go+rX "$name/bin" "$name/lib" "$name/libexec" "$name/share"
		bin=$name/bin share=$name/share
		case $AZLON_RECORDINGS in "$here"/*) AZLON_RECORDINGS=$share/recordings ;; esac
	fi
	mkdir -p "$AZLON_VAR"
	if ! as azlon test -x "$AZLON_VAR" 2>/dev/null; then
		AZLON_VAR=$name/var
		mkdir -p "$AZLON_VAR"
	fi
	chmod go+rx "$AZLON_VAR"
}
# stop and status must find the same place without making it
locate() {
	[ "$me" = 0 ] || return 0
	local name; name=/var/lib/azlon/$(id_of "$here")
	if [ ! -d "$AZLON_VAR/run" ] && [ -d "$name/var/run" ]; then AZLON_VAR=$name/var; fi
}

# What would end in an error nobody understands.
sane() {
	local p s
	s="$AZLON_VAR$share${AZLON_S3_CA_FILE:-}"
	case $s in *[[:cntrl:]\"\'\`\\\$\|\&\;\{\}\#\*\?\<\>]*)
		die "$AZLON_VAR, $share${AZLON_S3_CA_FILE:+, $AZLON_S3_CA_FILE}: paths may not hold control characters, quotes or any of \\ \$ | & ; { } # * ? < >" ;;
	esac
	# the address of a unix socket has 107 bytes, the longest name is run_workflow-wait.sock
	s=$(printf '%s' "$AZLON_VAR" | wc -c)
	[ "$s" -le 80 ] || die "AZLON_VAR is $s bytes long; names of unix sockets leave room for 80: $AZLON_VAR"
	is_port AZLON_PORT AZLON_TLS_PORT AZLON_LOCAL_PORT
}
is_port() { # names of variables
	local p
	for p; do
		case ${!p} in ''|*[!0-9]*|??????*) die "$p: '${!p}' is no port" ;; esac
		[ "${!p}" -ge 1 ] && [ "${!p}" -le 65535 ] || die "$p: '${!p}' is no port"
	done
}
is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Another program there would answer for us, or nginx would fail after all else started.
ports() {
	local p
	for p in AZLON_PORT AZLON_TLS_PORT AZLON_LOCAL_PORT; do
		is_free "${!p}" || die "port ${!p} is taken by another program; set $p to a free one"
	done
}

# ---- state -----------------------------------------------------------------
# As root: what a process owns it may replace by a link, so root writes only into
# directories that are root's, and lets the owner write into the others.
dir() { # mode owner group path
	[ -d "$4" ] || mkdir -p "$4"
	if [ "$me" = 0 ]; then chown "$2:$3" "$4"; fi
	chmod "$1" "$4"
}
secret() { # path owner text: made once, with only its owner able to read it
	# shellcheck disable=SC2016
	printf '%s' "$3" | as "$2" sh -c 'umask 077; [ -s "$1" ] || cat >"$1"' secret "$1"
}
hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }

state() {
	local g_me g_web; g_me=$(id -gn) g_web=$(id -gn $u_web)
	[ "$me" = 0 ] && chown root:root "$AZLON_VAR"
	dir $mode "$(id -un)" "$g_me" "$AZLON_VAR/run"
	dir 0750 "$(id -un)" "$g_web" "$AZLON_VAR/log"
	dir 0750 "$u_app" "$(id -gn $u_app)" "$AZLON_VAR/journal"
	dir 0700 "$u_app" "$(id -gn $u_app)" "$AZLON_VAR/lock"
	dir 0700 "$u_app" "$(id -gn $u_app)" "$AZLON_VAR/tmp"
	dir 2750 "$u_app" "$g_web" "$AZLON_VAR/store"
	dir 0700 "$u_app" "$(id -gn $u_app)" "$AZLON_VAR/secret"
	# keys that root made before the first start
	if [ "$me" = 0 ] && [ -O "$AZLON_VAR/auth" ]; then chown -Rh "$u_app:" "$AZLON_VAR/auth"; fi
	dir 0700 "$u_app" "$(id -gn $u_app)" "$AZLON_VAR/auth"
	dir 0700 "$u_box" "$(id -gn $u_box)" "$AZLON_VAR/box"
	# the group is what makes the socket in it nginx's too
	dir 2750 "$u_box" "$g_web" "$AZLON_VAR/run/ports"
	dir 0750 "$(id -un)" "$g_web" "$AZLON_VAR/nginx"
	dir 0700 "$u_web" "$g_web" "$AZLON_VAR/nginx/tmp"
	dir 0755 "$(id -un)" "$g_me" "$AZLON_VAR/tls"
	keys
	for f in error access; do
		: >>"$AZLON_VAR/log/nginx-$f.log"
		[ "$me" != 0 ] || chown $u_web: "$AZLON_VAR/log/nginx-$f.log"
		chmod 0640 "$AZLON_VAR/log/nginx-$f.log"
	done
	tls "$g_web"
}
keys() { # the stand-ins ask for them
	local key
	secret "$AZLON_VAR/secret/e2b.key" $u_app "e2b_$(hex 20)"
	secret "$AZLON_VAR/secret/replay.key" $u_app "rk_$(hex 20)"
	key=$(as $u_app cat "$AZLON_VAR/secret/e2b.key")
	if [ "$key" != "$(as $u_box cat "$AZLON_VAR/box/e2b.key" 2>/dev/null)" ]; then
		as $u_box rm -f "$AZLON_VAR/box/e2b.key"
		secret "$AZLON_VAR/box/e2b.key" $u_box "$key"
	fi
}
tls() { # a test CA and a server certificate for localhost
	local d=$AZLON_VAR/tls
	[ -s "$d/server.pem" ] && openssl x509 -checkend 86400 -noout -in "$d/server.pem" >/dev/null && return 0
	: >"$AZLON_VAR/log/openssl.log"
	chmod 0640 "$AZLON_VAR/log/openssl.log"
	(
		umask 077
		cd "$d"
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 \
		    -subj "/CN=Azlon test CA" -addext basicConstraints=critical,CA:TRUE \
		    -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" \
		    -keyout server.key -out server.csr
		printf 'subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth\n' >ext
		openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 397 -extfile ext -out server.pem
		rm -f server.csr ext
		chmod 0644 ca.pem server.pem
		[ "$me" != 0 ] || chgrp "$1" server.key
		[ "$me" != 0 ] || chmod 0640 server.key
	) >>"$AZLON_VAR/log/openssl.log" 2>&1 || die "could not make the test CA, see $AZLON_VAR/log/openssl.log"
}

# cgroups for the sandboxes, where we may make them; prints the list to hand over
cgroups() {
	local name list='' c d; name=azlon-$(id_of "$AZLON_VAR")
	[ "$me" = 0 ] || return 0
	if grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
		d=/sys/fs/cgroup/$name
		mkdir -p "$d" 2>/dev/null || return 0
		echo "+memory +pids +cpu" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || :
		echo "+memory +pids +cpu" >"$d/cgroup.subtree_control" 2>/dev/null || :
		mkdir -p "$d/server" 2>/dev/null || :
		chown azlon-sandbox: "$d" "$d/cgroup.procs" "$d/cgroup.subtree_control" "$d/server" "$d/server/cgroup.procs" 2>/dev/null || :
		printf '%s' "$d"
		return 0
	fi
	for c in memory pids cpu freezer; do
		d=/sys/fs/cgroup/$c/$name
		[ -d "/sys/fs/cgroup/$c" ] && mkdir -p "$d" 2>/dev/null || continue
		chown azlon-sandbox: "$d" "$d/cgroup.procs" "$d/tasks" 2>/dev/null || :
		list=${list:+$list,}$d
	done
	printf '%s' "$list"
}

said() { sed -n "s/^$1=//p" <<<"$now"; } # a setting, out of those that a program printed
# Where nginx finds the store, if that is S3; else an upstream that is nobody. The addresses
# were checked by the program that prints them.
conf_s3() { # sets s3_scheme, s3_server, s3_host, s3_tls
	local at name port=80 ca
	s3_scheme=http s3_server='127.0.0.1:1 down' s3_host=none s3_tls=''
	[ "$(said AZLON_STORE)" = s3 ] || return 0
	at=$(said MINIO_ENDPOINT)
	case $at,$(said MINIO_USE_SSL) in https://*|*,true) s3_scheme=https port=443 ;; esac
	at=${at#http*://} name=${at#http*://}
	case $at in
	*]) ;;
	*:*) name=${at%:*} port=${at##*:} ;;
	esac
	port=$((10#$port))
	s3_server=$name:$port s3_host=$name:$port
	# the usual port is not said
	case $s3_scheme:$port in http:80|https:443) s3_host=$name ;; esac
	[ $s3_scheme = https ] || return 0
	name=${name#[} ca=$(said AZLON_S3_CA_FILE)
	[ -n "$ca" ] || ca=/etc/ssl/certs/ca-certificates.crt
	s3_tls="proxy_ssl_server_name on; proxy_ssl_name ${name%]}; proxy_ssl_verify on; proxy_ssl_verify_depth 4;"
	s3_tls="$s3_tls proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_trusted_certificate \"$(readlink -f "$ca")\";"
}
conf_nginx() { # directory files…: as $AZLON_VAR and $run have it
	local to=$1 cors='' f o now s3_scheme s3_server s3_host s3_tls; shift
	now=$("$bin/worker" --print-config) || exit 1
	conf_s3
	# as expressions, since plain words of a map may only be so long as the host's buckets
	for o in $(said AZLON_CORS_ORIGINS | tr ',' ' '); do cors="$cors \"~^\\\\Q$o\\\\E\$\" \$http_origin;"; done
	local wait=${AZLON_SYNC_WAIT_S:-3600} h2_listen=' http2' h2=''
	# nginx 1.25.1 has a directive of its own for it, and warns of the old way
	case $(nginx -v 2>&1) in
	*/1.1?.*|*/1.2[0-4].*|*/1.25.0*) ;;
	*) h2_listen='' h2='http2 on;' ;;
	esac
	for f; do
		rm -f "$to/$(basename "$f")"
		sed -e "s|@VAR@|$AZLON_VAR|g; s|@RUN@|$run|g; s|@PORT@|$AZLON_PORT|g; s|@TLS_PORT@|$AZLON_TLS_PORT|g" \
		    -e "s|@LOCAL_PORT@|$AZLON_LOCAL_PORT|g; s|@LISTEN_HTTP2@|$h2_listen|; s|@HTTP2@|$h2|; s|@CORS@|$cors|; s|@HTML@|$share/nginx/html|g" \
		    -e "s|@RATE@|$(said AZLON_RATE)|; s|@BURST@|$(said AZLON_BURST)|; s|@CONNS@|$(said AZLON_CONNS)|; s|@STREAMS@|$(said AZLON_STREAMS)|; s|@UPLOADS@|$(said AZLON_UPLOADS)|" \
		    -e "s|@S3_SCHEME@|$s3_scheme|; s|@S3_SERVER@|$s3_server|; s|@S3_HOST@|$s3_host|; s|@S3_TLS@|$s3_tls|" \
		    -e "s|@READ_TIMEOUT@|$((wait + 10))|; s|@UPLOAD_MIB@|$(( ${AZLON_UPLOAD_BYTES:-1073741824} / 1048576 + 1 ))|" \
		    "$f" >"$to/$(basename "$f")"
	done
}
# What a host's own nginx includes, with the places that the units have.
conf() {
	[ -d "${1:-}" ] || die "conf: name a directory, such as /etc/nginx"
	run=/run/azlon AZLON_VAR=/var/lib/azlon
	sane
	conf_nginx "$1" "$share"/nginx/azlon_*.conf
}

# ---- processes ---------------------------------------------------------------
descriptors() { # each open stream is one here and two in nginx
	local n; n=$(ulimit -Hn)
	case $n in unlimited|??????*) n=65536 ;; esac
	ulimit -Sn "$n"
}
alive() { # name: is the process of that pid file ours and alive?
	local p t; p=$(cat "$AZLON_VAR/run/$1.pid" 2>/dev/null) || return 1
	t=$(cat "$AZLON_VAR/run/$1.start" 2>/dev/null) || return 1
	# no start time: it had ended before we could look
	[ -n "$p" ] && [ -n "$t" ] && [ "$t" = "$(stat_start "$p")" ]
}
stat_start() { # start time of a pid, so that a recycled pid is not ours
	local s; s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	s=${s##*) }
	# shellcheck disable=SC2086
	set -- $s
	[ "$1" != Z ] && printf '%s' "${20}"
}
orphans() { # nginx's workers outlive a master that was killed, and keep its ports
	local p q i; p=$(cat "$AZLON_VAR/run/nginx.pid" 2>/dev/null) || return 0
	# with its leader gone, the session (launch made it) holds nobody else's processes
	[ -n "$p" ] && ! stat_start "$p" >/dev/null || return 0
	for i in $(seq 50); do
		q=$(ps -o pid=,comm= -s "$p" 2>/dev/null | awk '$2 == "nginx" { print $1 }') || :
		[ -n "$q" ] || return 0
		# shellcheck disable=SC2086
		if [ "$i" = 50 ]; then kill -KILL $q; else kill -TERM $q; fi 2>/dev/null || :
		sleep 0.1
	done
}
rebooted() { # start times count from the boot: what an earlier one left says nothing
	local now; now=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || return 0
	[ "$(cat "$AZLON_VAR/run/boot" 2>/dev/null || printf '%s' "$now")" = "$now" ] ||
	    rm -f "$AZLON_VAR"/run/*.pid "$AZLON_VAR"/run/*.start
	printf '%s' "$now" >"$AZLON_VAR/run/boot"
}
launch() { # name command…: in the background, own session, output to its log
	local n=$1; shift
	: >>"$AZLON_VAR/log/$n.log"
	chmod 0640 "$AZLON_VAR/log/$n.log"
	# the shell has a background command ignore those two
	setsid env --default-signal=INT,QUIT "$@" </dev/null >>"$AZLON_VAR/log/$n.log" 2>&1 9>&- &
	echo $! >"$AZLON_VAR/run/$n.pid"
	stat_start $! >"$AZLON_VAR/run/$n.start" || :
}
keeping() { # sets $keep: the command before one that is to be launched again
	keep=()
	# as text: who runs it may not be able to read where it is
	off "${AZLON_RESPAWN:-on}" || keep=(/bin/sh -c "$(cat "$spawn/keep.sh")" keep)
}
fcgi() { # name socket user program args…
	local n=$1 sock=$2 u=$3 keep; shift 3
	rm -f "$sock"
	keeping
	local own=()
	[ "$me" = 0 ] && own=(-u "$u" -g "$(id -gn "$u")" -U "$u" -G "$(id -gn $u_web)")
	local in=()
	# cgroup v2: who moves a process must own both places and what is above them
	if [ "$n" = sandbox ] && [ -d "${AZLON_CGROUP:-}/server" ]; then
		# shellcheck disable=SC2016
		in=(sh -c 'echo $$ >"$0/server/cgroup.procs"; exec "$@"' "$AZLON_CGROUP")
	fi
	launch "$n" "${in[@]}" spawn-fcgi -n -s "$sock" -M $sock_mode -b 1024 "${own[@]}" -- "${keep[@]}" "$@"
}
part() { # name, its socket if that is not to be the usual one: launched unless it runs
	local n=$1 sock=${2:-$AZLON_VAR/run/$1.sock} keep
	if alive "$n"; then return 0; fi
	case $n in
	sandbox) ( # it gets its own key and nobody else's
		for v in $(compgen -e); do
			case $v in
			AZLON_ENGINE|AZLON_STORE|AZLON_LLM|AZLON_IDENTITY|AZLON_FIREBASE_*) unset "$v" ;;
			PATH|LANG|LC_*|TZ|TMPDIR|AZLON_*) ;;
			*) unset "$v" ;;
			esac
		done
		export AZLON_SANDBOX=local E2B_API_KEY_FILE=$AZLON_VAR/box/e2b.key
		fcgi sandbox "$sock" $u_box "$bin/sandbox"
	) ;;
	run_workflow-wait) fcgi "$n" "$sock" $u_app "$bin/run_workflow" --role wait ;;
	files) ( # archives that come in are spooled: /tmp may be memory, our own TMPDIR another user's
		export TMPDIR=$AZLON_VAR/tmp
		fcgi files "$sock" $u_app "$bin/files"
	) ;;
	files-archive) fcgi "$n" "$sock" $u_app "$bin/files" --role archive ;;
	worker)
		local by=()
		[ "$me" != 0 ] || by=(setpriv --reuid azlon --regid azlon --clear-groups --inh-caps=-all)
		keeping
		launch worker "${by[@]}" "${keep[@]}" "$bin/worker"
		;;
	*) fcgi "$n" "$sock" $u_app "$bin/$n" ;;
	esac
}
cgroups_choose() { # an empty one says that there are to be none
	local cg; cg=${AZLON_CGROUP-$(cgroups)}
	[ -z "$cg" ] || export AZLON_CGROUP=$cg
}

# shellcheck source=fcgi/spawn/local.sh
. "$spawn/local.sh"
# shellcheck source=fcgi/spawn/temporal.sh
. "$spawn/temporal.sh"
# shellcheck source=fcgi/spawn/minio.sh
. "$spawn/minio.sh"
# shellcheck source=fcgi/spawn/reload.sh
. "$spawn/reload.sh"

fingerprint() { # of what decides how processes behave
	{ env | grep -E '^(AZLON|E2B|MINIO|USE_EXTERNAL|EXTERNAL|RESTACK|OPENAI|ANTHROPIC|FIREBASE)_' | sort
	  for p in $programs; do stat -c '%Y %n' "$bin/$p"; done
	  for p in "$temporal" "$minio"; do [ -z "$p" ] || stat -c '%Y %n' "$p"; done
	  stat -c '%Y %n' "$bin"/../lib/libazlon.so.0 "$share"/nginx/*.conf; } | cksum
}

start() {
	[ -x "$bin/worker" ] || die "not built yet: run make first"
	users
	relocate
	sane
	temporal_choose
	minio_choose
	mkdir -p "$AZLON_VAR/run" || die "cannot make $AZLON_VAR/run"
	mine
	exec 9>"$AZLON_VAR/run/.lock"
	flock -w 60 9 || die "another start or stop is under way"
	rebooted
	local now; now=$(fingerprint)
	if [ -e "$AZLON_VAR/run/fingerprint" ] && [ "$(cat "$AZLON_VAR/run/fingerprint")" != "$now" ]; then
		stop_all
	fi
	local n new=new
	for n in $parts temporal minio; do ! alive "$n" || new=; done
	alive nginx || { orphans; ports; }
	temporal_ports
	minio_ports
	state
	minio_state
	as $u_app "$bin/worker" --check-config || exit 1
	local run=$AZLON_VAR/run
	conf_nginx "$AZLON_VAR/nginx" "$share"/nginx/*.conf
	# before anything is launched, which would go on with settings that the next start may not have
	alive nginx ||
	    as $u_web nginx -t -q -p "$AZLON_VAR/nginx" -c "$AZLON_VAR/nginx/nginx.conf" -e "$AZLON_VAR/log/nginx-error.log" ||
	    die "nginx refuses its configuration"
	printf '%s' "$now" >"$run/fingerprint"
	temporal_start "$new"
	minio_start "$new"
	cgroups_choose
	descriptors
	for n in sandbox $pool worker; do part "$n"; done
	if ! alive nginx; then
		if [ "$me" = 0 ]; then
			launch nginx setpriv --reuid $u_web --regid $u_web --clear-groups --inh-caps=-all \
			    nginx -p "$AZLON_VAR/nginx" -c "$AZLON_VAR/nginx/nginx.conf" -e "$AZLON_VAR/log/nginx-error.log" -g "daemon off;"
		else
			launch nginx nginx -p "$AZLON_VAR/nginx" -c "$AZLON_VAR/nginx/nginx.conf" -e "$AZLON_VAR/log/nginx-error.log" -g "daemon off;"
		fi
	fi
	ready "$new"
}

# The parts of which somebody else is the master.
outside() {
	as $u_app "$bin/worker" --print-config | sed -n 's/^AZLON_ENGINE=restack$/engine/p
	    s/^AZLON_STORE=s3$/store/p; s/^AZLON_SANDBOX=e2b$/sandbox/p; s/^AZLON_LLM=\(openai\|anthropic\)$/llm/p'
}
# Until every part of ours answers, 30 s at most. What is not ours is waited for by the
# runs, and only named here.
ready() {
	local n body='' down theirs='' end=$((SECONDS + 30)) since=
	theirs=" $(outside | tr '\n' ' ')"
	[ -z "$temporal" ] || theirs=${theirs/ engine / }
	[ -z "$minio" ] || theirs=${theirs/ store / }
	while [ "$SECONDS" -lt "$end" ]; do
		# a model is given 3 s to answer, sandboxes 5
		body=$(curl -s -m 15 "http://127.0.0.1:$AZLON_PORT/run_workflow/health/ready" 2>/dev/null) || body=
		case $body in *'"status":"ok"'*) return 0 ;; esac
		down=$(printf '%s' "$body" | sed -n 's/.*"down":\[\([^]]*\)\].*/\1/p' | tr -d '"' | tr ',' ' ')
		# who works is the engine's to say
		case " $down " in *" engine "*) down=${down/ worker/} ;; esac
		for n in $down; do
			case $theirs in *" $n "*) ;; *) down= ;; esac
		done
		if [ -z "$down" ]; then since=; else : "${since:=$SECONDS}"; fi
		if [ -n "$down" ] && [ $((SECONDS - since)) -ge 2 ]; then
			for n in $down; do
				case $n in
				llm) say "azlon: the model does not answer; runs wait for it" ;;
				sandbox) say "azlon: the sandboxes do not answer; runs wait for them" ;;
				*) say "azlon: the $n does not answer; runs wait for it" ;;
				esac
			done >&2
			return 0
		fi
		for n in $parts ${temporal:+temporal} ${minio:+minio}; do alive "$n" || {
			say "azlon: $n ended at once:" >&2
			tail -n 5 "$AZLON_VAR/log/$n.log" >&2
			[ "$1" != new ] || stop_all
			exit 1
		}; done
		sleep 0.2
	done
	die "not ready after 30 s: ${body:-no answer}; logs are in $AZLON_VAR/log"
}

parts="nginx run_workflow run_workflow-wait files files-archive sandbox replay worker"

mine() { # a stack of another user cannot be stopped by us, nor mended
	[ "$me" = 0 ] || [ ! -d "$AZLON_VAR/run" ] || [ -O "$AZLON_VAR/run" ] ||
	    die "$AZLON_VAR belongs to $(stat -c %U "$AZLON_VAR/run"); use another AZLON_VAR, or that user"
}

ended() { # names: told to end, and waited for
	local n p i
	for n; do
		alive "$n" || continue
		p=$(cat "$AZLON_VAR/run/$n.pid")
		if [ "$n" = nginx ]; then kill -QUIT "$p"; else kill -TERM "$p"; fi 2>/dev/null || :
	done
	for n; do
		p=$(cat "$AZLON_VAR/run/$n.pid" 2>/dev/null) || continue
		for i in $(seq 75); do
			alive "$n" || break
			# with what it keeps, if any
			[ "$i" = 75 ] && kill -KILL -- "-$p" 2>/dev/null
			sleep 0.2
		done
		rm -f "$AZLON_VAR/run/$n.pid" "$AZLON_VAR/run/$n.start" "$AZLON_VAR/run/$n.sock"
	done
}
stop_all() {
	alive nginx || orphans
	# shellcheck disable=SC2046,SC2086
	ended $parts $(former)
	ended temporal minio # after those that need them
	rm -f "$AZLON_VAR/run/fingerprint" "$AZLON_VAR/run/temporal.ports" "$AZLON_VAR/run/minio.ports"
	if [ "$me" = 0 ]; then
		local name d; name=azlon-$(id_of "$AZLON_VAR")
		# who was paused when its server was killed dies only now
		for d in /sys/fs/cgroup/freezer/"$name"/*/freezer.state; do
			[ ! -e "$d" ] || echo THAWED >"$d" || :
		done
		for d in /sys/fs/cgroup/$name /sys/fs/cgroup/{memory,pids,cpu,freezer}/"$name"; do
			[ -d "$d" ] && find "$d" -depth -type d -exec rmdir {} \; 2>/dev/null || :
		done
	fi
}

status() {
	local n all=0 ours=
	for n in temporal minio; do
		[ ! -e "$AZLON_VAR/run/$n.ports" ] || ours="$ours $n"
	done
	for n in $parts $ours; do
		if alive "$n"; then printf '%-18s running  pid %s\n' "$n" "$(cat "$AZLON_VAR/run/$n.pid")"
		else printf '%-18s stopped\n' "$n"; all=1; fi
	done
	for n in $(former); do
		printf '%-18s ending   pid %s, once its requests have\n' "${n%%.old-*}" "$(cat "$AZLON_VAR/run/$n.pid")"
	done
	say
	say "page and API   http://localhost:$AZLON_PORT/   https://localhost:$AZLON_TLS_PORT/ (CA: $AZLON_VAR/tls/ca.pem)"
	say "E2B protocol   E2B_API_URL=http://127.0.0.1:$AZLON_LOCAL_PORT E2B_SANDBOX_URL=http://127.0.0.1:$AZLON_LOCAL_PORT E2B_API_KEY=$(as $u_app cat "$AZLON_VAR/secret/e2b.key" 2>/dev/null)"
	say "its ports      http://<port>-<sandbox id>.${AZLON_SANDBOX_DOMAIN:-localhost:$AZLON_LOCAL_PORT}/ of what a program there serves"
	for n in $ours; do "${n}_says"; done
	say "state, logs    $AZLON_VAR"
	return $all
}

case $cmd in
start) start ;;
reload) reload ;;
stop)
	locate
	[ -d "$AZLON_VAR/run" ] || exit 0
	mine
	exec 9>"$AZLON_VAR/run/.lock"
	flock -w 60 9 || die "another start or stop is under way"
	rebooted
	stop_all
	;;
status) locate; status ;;
var) locate; say "$AZLON_VAR" ;;
conf) conf "${2:-}" ;;
keys) keys ;;
*) echo "usage: stack.sh start|reload|stop|status|var|conf DIR|keys" >&2; exit 2 ;;
esac
