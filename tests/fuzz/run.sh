#!/bin/bash
# libFuzzer on each target for FUZZ_S seconds: run.sh BUILD-OF-THE-INSTRUMENTED-LIBRARY
set -eu
cd "$(dirname "$0")/../.."
o=$1 libs="$(pkg-config --libs libcurl json-c libcrypto sqlite3 libarchive libseccomp libprotobuf-c expat zlib) -lfcgi -lpthread"
mkdir -p "$o/fuzz"
for f in tests/fuzz/*_fuzz.c; do
	n=$(basename "$f" _fuzz.c)
	# shellcheck disable=SC2086
	clang -std=c11 -D_GNU_SOURCE -DAZ_SRC="\"$PWD\"" -O1 -g -fsanitize=fuzzer,address,undefined -Ilib/include -Ilib -Itests/lib -I"${o%/*}/gen" \
	    "$f" "$o/lib/libazlon.a" $libs -o "$o/fuzz/$n"
	mkdir -p "$o/corpus/$n" "tests/fuzz/corpus/$n"
	printf '%-24s ' "$n"
	"$o/fuzz/$n" -max_total_time="${FUZZ_S:-60}" -max_len=65536 -rss_limit_mb=1024 -print_final_stats=1 \
	    "$o/corpus/$n" "tests/fuzz/corpus/$n" >"$o/fuzz/$n.log" 2>&1 || { tail -n 30 "$o/fuzz/$n.log"; exit 1; }
	sed -n 's/^stat::number_of_executed_units: */executions /p' "$o/fuzz/$n.log"
done
