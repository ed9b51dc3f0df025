#!/bin/bash
# gcc -fanalyzer over the library and the processes; analyzer.allow names the false alarms.
set -u
cd "$(dirname "$0")/../.." || exit 2
allow=$PWD/tests/lint/analyzer.allow
git ls-files 'lib/*.c' 'fcgi/*.c' | xargs -P2 -I{} sh -c '
	gcc -fanalyzer -O1 -std=c11 -D_GNU_SOURCE -DAZ_VERSION="\"0\"" -Ilib/include -Ibuild/gen -Ifcgi -c "{}" -o /dev/null 2>&1 | grep "Wanalyzer"
	true' | awk -F'\t' '
	FILENAME != "-" { if ($0 !~ /^#/) ok[$1 " " $2] = 1; next }
	{ file = $0; sub(/:.*/, "", file); kind = $0; sub(/.*Wanalyzer-/, "", kind); sub(/\].*/, "", kind)
	  if (!((file " " kind) in ok)) { print; bad = 1 } }
	END { exit bad }' "$allow" -
