#!/bin/bash
# clang-tidy, one process a file; .clang-tidy gives the reason of each disabled check.
set -u
cd "$(dirname "$0")/../.." || exit 2
git ls-files 'lib/*.c' 'fcgi/*.c' | xargs -P2 -I{} sh -c '
	clang-tidy --quiet --warnings-as-errors="*" "{}" -- -std=c11 -D_GNU_SOURCE -DAZ_VERSION="\"0\"" -Ilib/include -Ibuild/gen -Ifcgi 2>/dev/null |
	grep -E "(warning|error):" && exit 255; true'
