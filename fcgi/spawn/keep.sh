#!/bin/sh
# keep.sh COMMAND…: run it, and again whenever it ends by itself, until told to end. What is
# descriptor 0 here is so there: a listening socket outlives the process that crashed on it, and
# who connects meanwhile waits instead of being refused. SIGTERM, SIGINT and SIGQUIT go to the
# command, whose end is then the end. A wrong configuration (78), or an exit right after the first
# start, is no crash: it is passed on.
set -u
child='' going='' told=''
pass() {
	going=$1 told=1
	[ -z "$child" ] || kill -"$1" "$child" 2>/dev/null
}
trap 'pass TERM' TERM INT
trap 'pass QUIT' QUIT
exec 3<&0 # a background command's own 0 is /dev/null, and it ignores SIGINT and SIGQUIT
first=$(date +%s)
while [ -z "$going" ]; do
	env --default-signal=INT,QUIT "$@" <&3 3<&- &
	child=$!
	[ -z "$going" ] || kill -"$going" "$child" 2>/dev/null # it came in between
	told=1
	while [ -n "$told" ]; do # a signal ends the wait, not the command
		told=''
		wait "$child"
		rc=$?
	done
	child=''
	[ -z "$going" ] || exit "$rc"
	[ "$rc" != 78 ] || exit 78
	[ -z "$first" ] || [ "$rc" -gt 128 ] || [ $(($(date +%s) - first)) -ge 2 ] || exit "$rc"
	first=''
	echo "t=$(date -u +%FT%TZ) prog=keep level=warn ev=keep.again status=$rc command=${1##*/}" >&2
	sleep 0.1
done
