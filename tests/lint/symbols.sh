#!/bin/bash
# What leaves libazlon.so is exactly what the headers declare with AZ_API, and all of it
# starts with az_. SO: another library than the release build's.
cd "${LINT_ROOT:-$(dirname "$0")/../..}" || exit 2
SO=${SO:-build/release/lib/libazlon.so.0}
[ -r "$SO" ] || { echo "$SO is not built"; exit 1; }

# names of AZ_API declarations: comments and line breaks away, one declaration a line
declared=$(cat lib/include/azlon/*.h | sed 's/^#.*//' | tr '\n\t' '  ' |
    sed 's|/\*|\x01|g; s|\*/|\x02|g; s|\x01[^\x02]*\x02||g' | tr ';}' '\n\n' |
    grep -w AZ_API | sed -E 's/AZ_PRINTF\([^)]*\)//; s/.*\bAZ_API\b//' |
    sed -nE 's/^[^(]*\b([A-Za-z_][A-Za-z0-9_]*) *\(.*/\1/p; t
             s/^[^(=]*\b([A-Za-z_][A-Za-z0-9_]*) *(\[[^]]*\])* *(=.*)?$/\1/p' | sort -u)
exported=$(nm -D --defined-only "$SO" | awk '{ print $NF }' | sort -u)
bad=0
while read -r s; do
	[ -n "$s" ] || continue
	case $s in az_*) ;; *) echo "$s is exported and does not start with az_"; bad=1 ;; esac
	grep -qxF "$s" <<<"$declared" || { echo "$s is exported and no header declares it AZ_API"; bad=1; }
done <<<"$exported"
while read -r s; do
	[ -n "$s" ] || continue
	grep -qxF "$s" <<<"$exported" || { echo "$s is declared AZ_API and nothing defines it"; bad=1; }
done <<<"$declared"
exit $bad
