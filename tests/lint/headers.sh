#!/bin/bash
# Each public header compiles alone, twice in a row, as C11 and as C++17.
cd "${LINT_ROOT:-$(dirname "$0")/../..}" || exit 2
CC=${CC:-gcc} CXX=${CXX:-g++}
bad=0
for h in lib/include/azlon/*.h; do
	b=azlon/$(basename "$h")
	for lang in c c++; do
		if [ $lang = c ]; then cmd=("$CC" -std=c11 -Wpedantic -Wstrict-prototypes)
		else cmd=("$CXX" -std=c++17); fi
		printf '#include <%s>\n#include <%s>\nextern int lint_unit;\n' "$b" "$b" |
		    "${cmd[@]}" -Wall -Wextra -Wundef -Werror -fsyntax-only -Ilib/include -x $lang - ||
		    { echo "$h: does not stand alone in $lang"; bad=1; }
	done
done
exit $bad
