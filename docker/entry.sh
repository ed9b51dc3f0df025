#!/bin/bash
# What a container of the image does (Dockerfile): entry.sh ROLE. FastCGI processes listen on
# sockets in /run/azlon, the sandboxes' on theirs in /run/azlon-sandbox: directories with the group of
# nginx, which what is made in them inherits. Anything else is run as it stands: azlon keys list.
set -eu
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
share=$(dirname "$here")
run=/run/azlon box=/run/azlon-sandbox spool=/var/cache/azlon
umask 027

serve() { # socket program args…
	local sock=$1 program
	program=$(command -v "$2")
	shift 2
	"$program" --check-config
	rm -f "$sock"
	exec spawn-fcgi -n -s "$sock" -M 0660 -b 1024 -- "$program" "$@"
}

state() { # directories of our processes; the key of the stand-in for a model, made once by whoever is first
	local key=$AZLON_VAR/secret/replay.key tmp
	( umask 077; mkdir -p "$AZLON_VAR"/{auth,lock,secret,tmp} )
	[ ! -s "$key" ] || return 0
	tmp=$(mktemp "$key.XXXXXX")
	printf 'rk_%s' "$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')" >"$tmp"
	ln "$tmp" "$key" 2>/dev/null || [ -s "$key" ] # never replaces
	rm -f "$tmp"
}

web() { # main file: nginx, with its files filled in for these places
	local conf=/tmp/$1 tmp=$spool/$1
	mkdir -p "$conf" "$tmp"
	# where the store is matters here; of its keys this process has none
	[ -z "${MINIO_ENDPOINT:-}" ] || export MINIO_ROOT_USER=none MINIO_ROOT_PASSWORD=none
	"$share/spawn/stack.sh" conf "$conf"
	sed -i "s|$run/sandbox.sock|$box/sandbox.sock|; s|$run/ports/http.sock|$box/http.sock|" "$conf/azlon_http.conf"
	sed "s|@TMP@|$tmp|g" "$here/$1.conf" >"$conf/nginx.conf"
	exec nginx -p "$conf" -c "$conf/nginx.conf" -e stderr -g "daemon off;"
}

# A network whose holder ended has nothing but lo, though pod is back with a new one: who ends joins that.
joined=/tmp/.joined
netless() { ! grep -qv '|\|^ *lo:' /proc/net/dev; }
case ${1:-} in run_workflow*|files*|replay|worker|standins) netless || : >$joined ;; esac

case ${1:-} in
pod) exec sleep infinity ;; # holds the network that the others share
run_workflow) state; serve "$run/run_workflow.sock" run_workflow ;;
run_workflow-wait) state; serve "$run/run_workflow-wait.sock" run_workflow --role wait ;;
files) state; serve "$run/files.sock" files ;;
files-archive) state; serve "$run/files-archive.sock" files --role archive ;;
replay) state; serve "$run/replay.sock" replay ;;
worker) state; worker --check-config; exec worker ;;
sandbox)
	( umask 077; mkdir -p "$AZLON_VAR/box" )
	serve "$box/sandbox.sock" sandbox
	;;
nginx|standins) web "$1" ;;
health) # [socket]: whoever is behind it answers, if only that there is no such address
	if [ -e $joined ] && netless; then kill 1; exit 1; fi
	[ $# -gt 1 ] || exit 0
	env -i PATH="$PATH" REQUEST_METHOD=GET REQUEST_URI=/ DOCUMENT_URI=/ SERVER_PROTOCOL=HTTP/1.1 GATEWAY_INTERFACE=CGI/1.1 \
	    cgi-fcgi -bind -connect "$2" </dev/null | grep -q '^Status: '
	;;
'') echo "entry.sh: name a role, or a program: azlon --help" >&2; exit 2 ;;
*) exec "$@" ;;
esac
