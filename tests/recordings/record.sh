#!/bin/bash
# Make the recordings again: a stack of its own, whose replay process answers from the
# scripts in this folder and writes down what was asked. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
tmp=$(mktemp -d)
chmod 755 "$tmp"
read -r p1 p2 p3 <<<"$(python3 -c '
import socket
s=[socket.socket() for _ in range(3)]
for x in s: x.bind(("127.0.0.1",0))
print(*[x.getsockname()[1] for x in s])')"
mkdir "$tmp/rec"
rm -f "$here"/*.jsonl.new
for d in "$here"/*/; do [ -e "$d/1.md" ] && cp -rL "$d" "$tmp/rec/"; done
chmod -R a+rwX "$tmp/rec"
export AZLON_VAR=$tmp/var AZLON_PORT=$p1 AZLON_TLS_PORT=$p2 AZLON_LOCAL_PORT=$p3
export AZLON_RECORDINGS=$tmp/rec AZLON_RECORD=$tmp/rec
mkdir "$tmp/var"
stop() { "$root/fcgi/spawn/stack.sh" stop; rm -rf "$tmp"; }
trap stop EXIT
"$root/fcgi/spawn/stack.sh" start
for d in "$here"/*/; do
	n=$(basename "$d")
	[ -e "$d/1.md" ] && { [ $# = 0 ] || [[ " $* " == *" $n "* ]]; } || continue
	echo "== $n"
	if [ "$n" = endless ]; then # its program never ends: stop once the reply is in
		id=$("${AZLON_BIN:-$root/build/release/bin}/azlon" schedule --url "http://127.0.0.1:$p1" --async --request "$d/request.json")
		for _ in $(seq 100); do [ -s "$tmp/rec/$n.jsonl" ] && break; sleep 0.1; done
		"${AZLON_BIN:-$root/build/release/bin}/azlon" cancel --url "http://127.0.0.1:$p1" --now "$id"
	else
		"$here/play.sh" "$n" || :
	fi
	[ -e "$tmp/rec/$n.jsonl" ] || { echo "record: nothing was recorded for $n" >&2; exit 1; }
	cp "$tmp/rec/$n.jsonl" "$here/$n.jsonl"
done
