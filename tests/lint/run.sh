#!/bin/bash
# All of `make lint` that is not a compiler: one line per check, exit 1 if any failed.
cd "$(dirname "$0")/../.." || exit 2
bad=0
try() {
	local what=$1 out; shift
	if out=$("$@" 2>&1); then printf 'ok    %s\n' "$what"
	else printf 'FAIL  %s\n%s\n' "$what" "$out"; bad=1; fi
}

for s in layers headers symbols words docs; do try "$s" "tests/lint/$s.sh"; done
try "lint self-test" tests/lint/selftest.sh
try "format"     sh -c 'git ls-files "*.c" "*.h" | xargs clang-format --dry-run -Werror 2>&1 | head -40; test -z "$(git ls-files "*.c" "*.h" | xargs clang-format --output-replacements-xml | grep -m1 "<replacement ")"'
try "shellcheck" sh -c 'git ls-files "*.sh" .ci/run fcgi/spawn | grep -v "\.md$\|\.logrotate$" | sort -u | xargs shellcheck -S warning'
try "nginx -t"   tests/lint/nginx.sh
try "cppcheck"   tests/lint/cppcheck.sh
try "clang-tidy" tests/lint/tidy.sh
try "gcc -fanalyzer" tests/lint/analyzer.sh
exit $bad
