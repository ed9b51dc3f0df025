/* Any text in a file of any kind: only names that a file may have, valid JSON, within limits. */
#include <stdint.h>
#include <stdlib.h>
#include <azlon/path.h>
#include "work/deps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const files[] = {
	    "main.py", "pkg/a.py", "src/a.js", "run.sh", "data.csv"};
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct az_err err = AZ_ERR_INIT;
	struct az_json *j = NULL;
	struct az_manifest m;
	struct deps *d;
	struct az_buf b;
	struct az_jw w;

	must(a != NULL);
	az_manifest_init(&m, a);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct az_file f = {.path = az_str_c(files[i])};

		memset(f.sha256, '0', 64);
		must(az_manifest_set(&m, &f, &err) == AZ_OK);
	}
	d = az_arena_alloc(a, sizeof *d);
	must(d != NULL);
	deps_init(d, a, &m);
	for (size_t i = 0; i < 4; i++)
		must(deps_scan(d, az_str_c(files[i]), az_str_n(data, n), &err) == AZ_OK);
	must(d->n <= DEPS_MAX);
	for (size_t i = 0; i < d->n; i++) {
		must(az_path_ok(d->v[i].path, NULL) == AZ_OK);
		must(!az_str_eq(d->v[i].path, d->v[i].file));
		must(d->v[i].there == (az_manifest_find(&m, d->v[i].path) != NULL));
	}
	az_buf_init(&b, AZ_MIB(4));
	az_jw_init(&w, &b);
	deps_json(d, &w);
	must(az_buf_check(&b, "fuzz", &err) == AZ_OK);
	must(az_json_parse(az_buf_str(&b), &az_json_own_limits, &j, &err) == AZ_OK);
	az_json_free(j);
	az_buf_release(&b);
	az_arena_free(a);
	return 0;
}
