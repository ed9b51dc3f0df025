#!/bin/bash
# The lint scripts must see what they are there for: each is run on a small right tree,
# then on the same tree with one wrong line.
here=$(cd "$(dirname "$0")" && pwd)
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
export LINT_ROOT=$T
n=0 bad=0

fresh() {
	rm -rf "${T:?}"/*
	mkdir -p "$T"/lib/include/azlon "$T"/lib/{base,json,store,flow,conf,api} "$T/fcgi"
	printf '{"AZLON_PORT", NUMBER, 0},\n{"E2B_API_KEY", SECRET, 0},\n' >"$T/lib/conf/table.c"
	printf '{"paths":{"/files/{id}":{},"/files/{id}/{path}":{}}}\n' >"$T/lib/api/openapi.json"
	printf '.PHONY: run\nrun: ## x\n' >"$T/Makefile"
	printf '[x](lib/api/openapi.json) `AZLON_PORT=1 make run`, E2B_API_KEY_FILE\n```\nmake run PROMPT=\ncurl http://localhost:8000/files/ID/a/b?x=1\n```\n' >"$T/README.md"
	printf '#ifndef E_H\n#define E_H\n#define AZ_API __attribute__((visibility("default")))\n/* not AZ_API int az_gone(void); */\nAZ_API int az_one(int a,\n    int b);\nextern AZ_API const int az_table[];\n#endif\n' >"$T/lib/include/azlon/err.h"
	printf '#include <azlon/err.h>\n' >"$T/lib/include/azlon/json.h"
	printf '#include <azlon/json.h>\n' >"$T/lib/include/azlon/store.h"
	printf '#include <errno.h>\n#include <azlon/err.h>\n#include "own.h"\nint az_one(int a, int b) { return a + b; }\nconst int az_table[] = { 1 };\n' >"$T/lib/base/err.c"
	: >"$T/lib/base/own.h"
	printf '#include <json-c/json.h>\n#include <azlon/json.h>\n' >"$T/lib/json/json.c"
	printf '#include <azlon/store.h>\n#include <azlon/json.h>\n' >"$T/lib/store/store.c"
	printf '#include <azlon/store.h>\n#include <stdio.h>\n' >"$T/fcgi/files.c"
}
lib() { gcc -shared -fPIC -fvisibility=hidden -I"$T/lib/include" -I"$T/lib/base" "$T/lib/base/err.c" -o "$T/x.so"; }
expect() { # pass|fail, script, what
	local out rc
	out=$(SO=$T/x.so "$here/$2.sh" 2>&1); rc=$?
	n=$((n + 1))
	if { [ "$1" = pass ] && [ $rc = 0 ]; } || { [ "$1" = fail ] && [ $rc = 1 ] && [ -n "$out" ]; }; then
		echo "ok $n - $2: $3"
	else
		echo "not ok $n - $2: $3 (exit $rc) $out"; bad=1
	fi
}
plant() { printf '%b\n' "$2" >>"$T/$1"; }

fresh; lib
for s in layers headers symbols words docs; do expect pass $s "a right tree passes"; done
fresh; plant lib/flow/a.c '#include <azlon/store.h>'; expect fail layers "flow includes a port"
fresh; plant lib/json/json.c '#include <azlon/store.h>'; expect fail layers "json includes store"
fresh; plant lib/store/store.c '#include <json-c/json.h>'; expect fail layers "json-c outside its room"
fresh; plant lib/store/store.c '  #  include <openssl/evp.h>'; expect fail layers "OpenSSL in store, odd blanks"
fresh; plant fcgi/files.c '#include <fcgiapp.h>'; expect fail layers "libfcgi in a process"
fresh; plant lib/include/azlon/json.h '#include <json-c/json.h>'; expect fail layers "json-c in a public header"
fresh; plant lib/store/store.c '#include "../json/scan.h"'; expect fail layers "another room's private header"
fresh; plant fcgi/files.c '#include "../lib/base/own.h"'; expect fail layers "a process reaches into a room"
fresh; plant lib/base/err.c '#include <zlib.h>'; expect fail layers "a library that no table names"
fresh; plant lib/include/azlon/new.h 'int az_x(void);\n#include <azlon/err.h>'; expect fail layers "a header without owner"
fresh; mkdir "$T/lib/extra"; plant lib/extra/a.c '#include <azlon/err.h>'; expect fail layers "a room not in the table"
fresh; plant lib/include/azlon/json.h 'int az_f(size_t n);'; expect fail headers "a type without its include"
fresh; plant lib/include/azlon/json.h 'struct az_twice { int a; };'; expect fail headers "no include guard"
fresh; plant lib/include/azlon/err.h '#undef E_H_CLASS\nstruct az_class;\nextern struct az_class *class;'; expect fail headers "a C++ keyword"
fresh; plant lib/base/err.c '__attribute__((visibility("default"))) int helper(void);\nint helper(void) { return 1; }'; lib; expect fail symbols "a name without az_"
fresh; plant lib/base/err.c '__attribute__((visibility("default"))) int az_gone(void);\nint az_gone(void) { return 1; }'; lib; expect fail symbols "declared in a comment only"
fresh; sed -i '/az_table\[\] = /d' "$T/lib/base/err.c"; lib; expect fail symbols "declared, never defined"
fresh; expect fail symbols "no library"
fresh; plant lib/base/err.c '/* TO''DO: later */'; expect fail words "unfinished work"
fresh; plant lib/base/err.c '/* FIX''ME */'; expect fail words "a known bug"
fresh; plant lib/base/err.c 'const char *p = "/wo''rk/main/x";'; expect fail words "a path of one machine"
fresh; plant lib/base/err.c 'const char *p = "/t''mp/azlon.sock";'; expect fail words "a fixed name in a shared directory"
fresh; plant lib/base/err.c 'char p[] = "/t''mp/azlon-X''XXXXX";'; expect pass words "a name of mkdtemp"
fresh; plant README.md '[x](lib/none.md)'; expect fail docs "a link to nowhere"
fresh; plant README.md 'Set AZLON_PROT.'; expect fail docs "a variable that nobody reads"
fresh; plant README.md 'Set AZLON_PORT_FILE.'; expect fail docs "a file for what is no secret"
fresh; plant README.md 'Say `make runn`.'; expect fail docs "no target"
fresh; plant README.md '```\nAZLON_PORT=1 make -j2 runn\n```'; expect fail docs "no target, in a block"
fresh; plant README.md 'Ask `GET /files/{id}/a`, then `/run_workflow/{id}`.'; expect fail docs "no route"
fresh; plant README.md 'To make sure of it, GET /nothing.'; expect pass docs "words that are none"
echo "1..$n"
exit $bad
