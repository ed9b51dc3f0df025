#!/bin/bash
# cppcheck's warnings, portability and performance classes over our own code.
set -eu
cd "$(dirname "$0")/../.."
exec cppcheck -q -j2 --error-exitcode=1 --enable=warning,portability,performance --std=c11 --inline-suppr \
    --suppress=missingIncludeSystem --suppress=unusedFunction --suppress=checkersReport -D_GNU_SOURCE -Ilib/include lib fcgi
