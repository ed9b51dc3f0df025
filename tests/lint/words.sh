#!/bin/bash
# Words that say a thing is not finished, and paths of somebody's own machine. Names made
# by mkdtemp (…XXXXXX, or a prefix of one: "…-") are fine; so is a line that says "words: ok" and why.
cd "${LINT_ROOT:-$(dirname "$0")/../..}" || exit 2
notdone='TO''DO|FIX''ME|X''XX'
own='(^|[^A-Za-z0-9_.$}/-])(/wo''rk/[A-Za-z0-9_]|/t''mp/[A-Za-z0-9_])'
if git rev-parse --git-dir >/dev/null 2>&1 && [ -z "$LINT_ROOT" ]; then
	list() { git ls-files -co --exclude-standard -z; }
else
	list() { find . -type f -print0; }
fi
# recorded or foreign text, and tests whose data are paths inside a sandbox
data='(^|/)tests/(recordings|fuzz/corpus)/|\.csv$|tests/e2e/attacks/|tests/unit/(replay_canon|work_dockerfile|box_attack|box_walls|box_http_envd)_test\.c$'
found=$(list | grep -zvE "$data" |
    xargs -0 -r grep -nHIE "\\b($notdone)\\b|$own" -- 2>/dev/null |
    grep -vE '/t''mp/[A-Za-z0-9_./-]*(X''XXXXX|-")|words: ok')
[ -z "$found" ] || { echo "$found"; exit 1; }
