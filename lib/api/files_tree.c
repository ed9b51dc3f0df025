/* Which manifest a request means, and how a stored one is changed. */
#include <azlon/path.h>
#include "files.h"
#include "manifests.h"

enum az_code
files_path(struct az_arena *a, struct az_str raw, struct az_str *out, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, 4096);
	rc = az_path_ok(raw, err);
	if (!rc)
		rc = az_name_nfc(raw, &b, err);
	if (!rc)
		rc = az_path_ok(az_buf_str(&b), err);
	if (!rc) {
		*out = az_arena_str(a, az_buf_str(&b));
		if (!out->p)
			rc = az_fail(err, AZ_ENOMEM, "files.path", "out of memory");
	}
	az_buf_release(&b);
	return rc;
}

bool
files_below(struct az_str path, struct az_str dir)
{
	return path.n > dir.n && path.p[dir.n] == '/' && az_str_starts(path, dir);
}

enum az_code
files_iteration(struct az_rq *rq, int *n, struct az_err *err)
{
	int64_t v;
	enum az_code rc = az_rq_query_i64(rq, "iteration", 0, 9999, -1, &v, err);

	*n = rc ? -1 : (int)v;
	return rc;
}

enum az_code
files_iterations(const struct az_api *api, struct az_arena *a, const struct az_bucket *b,
    struct az_str wid, int *v, size_t max, size_t *n, struct az_err *err)
{
	struct az_store_list q = {.limit = 1000, .one_level = true};
	struct az_store_page p;
	struct az_buf prefix;
	enum az_code rc;

	*n = 0;
	az_buf_init(&prefix, 1024);
	az_key_meta(&prefix, wid, "iterations/");
	q.prefix = az_buf_str(&prefix);
	rc = az_store_list(api->store, b, &q, a, &p, err);
	for (size_t i = 0; !rc && i < p.n && *n < max; i++) {
		struct az_str k = az_str_sub(p.objs[i].key, prefix.n, p.objs[i].key.n - 1);
		int64_t it;

		if (p.objs[i].dir && az_str_to_i64(k, 0, 9999, &it))
			v[(*n)++] = (int)it;
	}
	az_buf_release(&prefix);
	return rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
}

static enum az_code
load(const struct az_api *api, const struct az_bucket *b, struct az_buf *key, struct az_manifest *m,
    struct az_err *err)
{
	enum az_code rc = az_buf_check(key, "files.tree", err);

	if (!rc)
		rc = az_manifest_load(m, api->store, b, az_buf_str(key), err);
	return api_store_rc(rc, err);
}

enum az_code
files_current(const struct az_api *api, struct az_arena *a, const struct az_bucket *b,
    struct az_str wid, struct az_manifest *m, struct az_err *err)
{
	int it[AZ_LIM_ITERATIONS_MAX + 1];
	struct az_buf key;
	size_t n = 0;
	enum az_code rc;

	az_manifest_init(m, a);
	az_buf_init(&key, 1024);
	az_key_meta(&key, wid, "manifest");
	rc = az_buf_check(&key, "files.tree", err);
	if (!rc)
		rc = api_store_rc(manifests_load(api, b, az_buf_str(&key), m, err), err);
	if (rc == AZ_ENOTFOUND)
		rc = files_iterations(api, a, b, wid, it, sizeof it / sizeof *it, &n, err);
	else
		goto out;
	if (!rc)
		rc = az_fail(err, AZ_ENOTFOUND, "files.tree", "no tree yet");
	while (rc == AZ_ENOTFOUND && n-- > 0) {
		az_buf_reset(&key);
		az_key_iter(&key, wid, it[n], "manifest");
		rc = load(api, b, &key, m, err);
	}
out:
	az_buf_release(&key);
	return rc;
}

enum az_code
files_tree(const struct az_api *api, struct az_arena *a, const struct az_bucket *b,
    struct az_str wid, int n, struct az_manifest *m, struct az_err *err)
{
	struct az_run_info info;
	struct az_buf key;
	enum az_code rc;

	if (n < 0) {
		rc = files_current(api, a, b, wid, m, err);
		/* a run that just started is there, its files are not yet */
		if (rc == AZ_ENOTFOUND)
			rc =
			    api_engine_rc(az_engine_describe(api->engine, wid, a, &info, err), err);
		return rc;
	}
	az_buf_init(&key, 1024);
	az_manifest_init(m, a);
	az_key_iter(&key, wid, n, "manifest");
	rc = load(api, b, &key, m, err);
	az_buf_release(&key);
	return rc;
}

enum az_code
files_set_load(const struct az_api *api, const struct az_bucket *b, struct az_str set,
    struct az_manifest *m, struct az_err *err)
{
	struct az_buf key;
	enum az_code rc;

	if (!az_input_id_ok(set))
		return az_fail(err, AZ_ENOTFOUND, "files.set", "no such set");
	az_buf_init(&key, 1024);
	az_key_input_manifest(&key, set);
	rc = load(api, b, &key, m, err);
	az_buf_release(&key);
	return rc;
}

/* One try; *again when another writer came between reading and writing. */
static enum az_code
edit_once(const struct az_api *api, const struct az_bucket *b, struct az_str key, bool make,
    enum az_code (*fn)(struct az_manifest *m, void *arg, bool *changed, struct az_err *err),
    void *arg, bool *again, struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(64));
	struct az_str was = {NULL, 0};
	struct az_buf old, now;
	struct az_manifest m;
	bool changed = false;
	enum az_code rc;

	*again = false;
	az_buf_init(&old, AZ_MIB(16));
	az_buf_init(&now, AZ_MIB(16));
	if (!a) {
		rc = az_fail(err, AZ_ENOMEM, "files.edit", "out of memory");
		goto out;
	}
	az_manifest_init(&m, a);
	rc = az_store_get(api->store, b, key, &old, err);
	if (!rc) {
		was = az_buf_str(&old);
		rc = az_manifest_parse_stored(&m, was, err);
	} else if (rc == AZ_ENOTFOUND && make) {
		rc = AZ_OK;
	}
	if (!rc)
		rc = fn(&m, arg, &changed, err);
	if (rc || !changed)
		goto out;
	az_manifest_write(&m, &now);
	rc = az_buf_check(&now, "files.edit", err);
	if (!rc)
		rc = az_store_put_if(api->store, b, key, was, az_buf_str(&now), err);
	*again = rc == AZ_EPRECOND;
	manifests_forget(api, b, key);
out:
	az_buf_release(&old);
	az_buf_release(&now);
	az_arena_free(a);
	return rc;
}

enum az_code
files_edit(const struct az_api *api, const struct az_bucket *b, struct az_str key, bool make,
    enum az_code (*fn)(struct az_manifest *m, void *arg, bool *changed, struct az_err *err),
    void *arg, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	bool again = true;

	for (int i = 0; again && i < FILES_EDIT_TRIES; i++)
		rc = edit_once(api, b, key, make, fn, arg, &again, err);
	if (again) {
		(void)az_fail(err, AZ_EUNAVAIL, "files.edit",
		    "too many uploads into this set at once; try again");
		err->retry_after_ms = 1000;
		return az_err_reason(err, "busy");
	}
	return api_store_rc(rc, err);
}
