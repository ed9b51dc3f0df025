#!/bin/bash
# Post one bundled example as a frontend would and follow it: play.sh NAME [MODEL]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=$1 model=${2:-}
azlon=${AZLON_BIN:-$here/../../build/release/bin}/azlon
port=${AZLON_PORT:-8000}
export AZLON_URL=${AZLON_URL:-http://127.0.0.1:$port}
dir=$here/$name
[ -r "$dir/request.json" ] || { echo "play: there is no example $name" >&2; exit 2; }

inputs=()
for f in "$dir"/*.csv; do
	[ -e "$f" ] || continue
	id=$("$azlon" upload --json "$f" | sed -n 's/.*"input_id" *: *"\([^"]*\)".*/\1/p')
	inputs+=(--input "$id")
done
exec "$azlon" schedule --request "$dir/request.json" "${inputs[@]}" ${model:+--model "$model"}
