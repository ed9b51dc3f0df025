#!/bin/bash
# Line coverage per room out of gcov's data: coverage.sh BUILD/coverage
set -eu
cd "$(dirname "$0")/.."
out=$1
find "$out/lib" -name '*.gcda' | while read -r f; do
	gcov -n -o "$(dirname "$f")" "$f" 2>/dev/null | awk -v room="$(basename "$(dirname "$f")")" '
		/^File .lib\/[^\/]*\/[^\/]*\.c/ { mine = 1; next } /^File/ { mine = 0 }
		mine && /^Lines executed/ { split($0, a, /[:% ]+/); print room, a[3], a[5]; mine = 0 }'
done | awk '{ n[$1] += $3; hit[$1] += $2 * $3 / 100; N += $3; H += $2 * $3 / 100 }
	END { for (r in n) printf "%-10s %5.1f %% of %d lines\n", r, 100 * hit[r] / n[r], n[r]; if (N) printf "%-10s %5.1f %% of %d lines\n", "all", 100 * H / N, N }' | sort
