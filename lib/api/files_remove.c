/*
 * Removal. Manifests go first: a file exists when a manifest names it, so a removal that
 * is cut short leaves bytes nobody sees, never names without bytes.
 */
#include "files.h"
#include "manifests.h"
#include "quota.h"

static const char op[] = "files.remove";

/* The caller's run, finished or unknown to the engine (then only its files are left). */
static enum az_code
finished(struct az_rq *rq, const struct az_api *api, struct az_bucket *b, struct az_str *wid,
    bool *known, struct az_err *err)
{
	struct az_caller caller;
	struct az_run_info info;
	enum az_code rc = api_caller_run(rq, api, &caller, wid, err);

	if (rc)
		return rc;
	*b = az_bucket_of(caller.uid);
	rc = az_engine_describe(api->engine, *wid, az_rq_arena(rq), &info, err);
	*known = rc == AZ_OK;
	if (rc == AZ_ENOTFOUND)
		return AZ_OK;
	if (rc)
		return api_engine_rc(rc, err);
	if (info.state == AZ_RUN_OPEN) {
		(void)az_fail(err, AZ_ECONFLICT, op, "the run is not finished; cancel it first");
		return az_err_reason(err, "not_finished");
	}
	return AZ_OK;
}

/* The end of every removal, also of one that was cut short. */
static enum az_code
removed(struct az_rq *rq, const struct az_api *api, const struct az_bucket *b, enum az_code rc)
{
	quota_forget(api, b);
	manifests_forget(api, b, AZ_S(""));
	if (!rc)
		az_rs_status(rq, 204);
	return rc;
}

static enum az_code
remove_below(
    const struct az_api *api, const struct az_bucket *b, struct az_buf *prefix, struct az_err *err)
{
	enum az_code rc = az_buf_check(prefix, op, err);

	if (!rc)
		rc = az_store_remove_prefix(api->store, b, az_buf_str(prefix), err);
	return api_store_rc(rc, err);
}

static enum az_code
anything(const struct az_api *api, struct az_arena *a, const struct az_bucket *b,
    struct az_str prefix, bool *yes, struct az_err *err)
{
	struct az_store_list q = {.prefix = prefix, .limit = 1};
	struct az_store_page p;
	enum az_code rc = az_store_list(api->store, b, &q, a, &p, err);

	*yes = !rc && p.n;
	return api_store_rc(rc, err);
}

enum az_code
files_remove(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_str wid;
	struct az_bucket b;
	struct az_buf key;
	bool known, some = false;
	enum az_code rc = finished(rq, api, &b, &wid, &known, err);

	if (rc)
		return rc;
	az_buf_init(&key, 1024);
	az_key_run(&key, wid);
	rc = anything(api, az_rq_arena(rq), &b, az_buf_str(&key), &some, err);
	if (!rc && !some && !known)
		rc = az_fail(err, AZ_ENOTFOUND, op, "no such run");
	if (rc || !some)
		goto out;
	az_buf_reset(&key);
	az_key_meta(&key, wid, "manifest");
	rc = api_store_rc(az_store_remove(api->store, &b, az_buf_str(&key), err), err);
	if (!rc) {
		az_buf_reset(&key);
		az_key_meta(&key, wid, "iterations/");
		rc = remove_below(api, &b, &key, err);
	}
	if (!rc) {
		az_buf_reset(&key);
		az_key_run(&key, wid);
		rc = remove_below(api, &b, &key, err);
	}
out:
	az_buf_release(&key);
	return removed(rq, api, &b, rc);
}

/* What one path leaves behind in the manifests of a run or a set. */
struct drop {
	struct az_str path;      /* a file, or a directory with all below it */
	bool only_dir;           /* the client wrote it with a '/' at its end */
	struct az_manifest gone; /* one entry a blob, by its name */
	struct az_manifest left; /* what the manifests still name, the same way */
	bool file, dir;          /* what it was, in one manifest or another */
};

static enum az_code
drop_path(struct drop *d, struct az_rq *rq, struct az_err *err)
{
	struct az_str raw = az_rq_param(rq, "path");

	*d = (struct drop){.only_dir = raw.n && raw.p[raw.n - 1] == '/'};
	while (raw.n && raw.p[raw.n - 1] == '/')
		raw.n--;
	az_manifest_init(&d->gone, az_rq_arena(rq));
	return files_path(az_rq_arena(rq), raw, &d->path, err);
}

static enum az_code
note(struct az_manifest *m, const struct az_file *f, struct az_err *err)
{
	struct az_file by_blob = *f;

	by_blob.path = az_file_blob(f);
	return az_manifest_set(m, &by_blob, err);
}

static enum az_code
drop_one(struct az_manifest *m, void *arg, bool *changed, struct az_err *err)
{
	struct drop *d = arg;
	enum az_code rc = AZ_OK;

	/* from the end, so that a directory does not move all behind it for each file */
	for (size_t i = m->n; !rc && i-- > 0;) {
		struct az_str path = m->files[i].path;
		bool file = !d->only_dir && az_str_eq(path, d->path);

		if (!file && !files_below(path, d->path))
			continue;
		rc = note(&d->gone, &m->files[i], err);
		az_manifest_drop(m, path);
		d->file |= file;
		d->dir |= !file;
		*changed = true;
	}
	if (d->left.a)
		for (size_t i = 0; !rc && i < m->n; i++)
			rc = note(&d->left, &m->files[i], err);
	return rc;
}

/* The copies for people with other tools. */
static enum az_code
drop_copies(const struct az_api *api, const struct az_bucket *b, struct az_str wid,
    const struct drop *d, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_buf key;

	az_buf_init(&key, 2048);
	az_key_final(&key, wid, d->path);
	if (d->file)
		rc = api_store_rc(az_store_remove(api->store, b, az_buf_str(&key), err), err);
	az_buf_addch(&key, '/');
	if (!rc && d->dir)
		rc = remove_below(api, b, &key, err);
	az_buf_release(&key);
	return rc;
}

static enum az_code
drop_blobs(const struct az_api *api, const struct az_bucket *b, struct az_str wid,
    const struct drop *d, struct az_err *err)
{
	struct az_str *keys = az_arena_alloc(d->gone.a, (d->gone.n + 1) * sizeof *keys);
	enum az_code rc = AZ_OK;
	struct az_buf key;
	size_t n = 0;

	if (!keys)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	az_buf_init(&key, 2048);
	for (size_t i = 0; !rc && i < d->gone.n; i++) {
		if (az_manifest_find(&d->left, d->gone.files[i].path))
			continue;
		az_buf_reset(&key);
		az_key_blob(&key, wid, d->gone.files[i].path);
		keys[n] = az_arena_str(d->gone.a, az_buf_str(&key));
		if (!keys[n++].p)
			rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	}
	az_buf_release(&key);
	if (!rc)
		rc = api_store_rc(az_store_remove_many(api->store, b, keys, n, err), err);
	return rc ? rc : drop_copies(api, b, wid, d, err);
}

enum az_code
files_remove_one(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	int it[AZ_LIM_ITERATIONS_MAX + 1];
	struct az_arena *a = az_rq_arena(rq);
	struct drop d;
	struct az_str wid;
	struct az_bucket b;
	struct az_buf key;
	size_t n = 0;
	bool known;
	enum az_code rc = finished(rq, api, &b, &wid, &known, err);

	if (!rc)
		rc = drop_path(&d, rq, err);
	if (!rc)
		rc = files_iterations(api, a, &b, wid, it, sizeof it / sizeof *it, &n, err);
	if (rc)
		return rc;
	az_manifest_init(&d.left, a);
	az_buf_init(&key, 1024);
	/* from every iteration: what was asked to be gone is gone, not only unlisted */
	for (size_t i = 0; !rc && i <= n; i++) {
		az_buf_reset(&key);
		if (i == n)
			az_key_meta(&key, wid, "manifest");
		else
			az_key_iter(&key, wid, it[i], "manifest");
		rc = files_edit(api, &b, az_buf_str(&key), false, drop_one, &d, err);
		if (rc == AZ_ENOTFOUND)
			rc = AZ_OK;
	}
	az_buf_release(&key);
	if (!rc && !d.file && !d.dir)
		rc = az_fail(err, AZ_ENOTFOUND, op, "no such file or directory");
	if (!rc)
		rc = drop_blobs(api, &b, wid, &d, err);
	return removed(rq, api, &b, rc);
}

/* A count may hold rows of others: it is good for saying that there is nothing at all. */
static enum az_code
any_open(
    const struct az_api *api, struct az_str uid, struct az_arena *a, bool *any, struct az_err *err)
{
	struct az_list_query q = {.state = AZ_RUN_OPEN, .limit = 200};
	struct az_list_page page;
	int64_t n;
	enum az_code rc = api_list_query(&q, uid, a, err);

	*any = false;
	if (rc || (rc = az_engine_count(api->engine, &q, &n, err)) || n == 0)
		return rc;
	do {
		if ((rc = az_engine_list(api->engine, &q, a, &page, err)))
			return rc;
		for (size_t i = 0; i < page.n; i++)
			*any |= api_own_row(&page.runs[i], uid);
		q.cursor = page.next;
	} while (!*any && q.cursor.n);
	return AZ_OK;
}

enum az_code
files_remove_all(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_caller caller;
	bool open;
	struct az_bucket b;
	enum az_code rc = api_caller(rq, api, AZ_S(""), &caller, err);

	if (rc)
		return rc;
	rc = any_open(api, caller.uid, az_rq_arena(rq), &open, err);
	if (rc)
		return api_engine_rc(rc, err);
	if (open) {
		(void)az_fail(err, AZ_ECONFLICT, op, "a run is not finished; cancel it first");
		return az_err_reason(err, "not_finished");
	}
	b = az_bucket_of(caller.uid);
	rc = api_store_rc(az_store_remove_bucket(api->store, &b, err), err);
	return removed(rq, api, &b, rc);
}

enum az_code
files_remove_input(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_str set = az_rq_param(rq, "set");
	struct drop d;
	struct az_caller caller;
	struct az_bucket b;
	struct az_buf key;
	enum az_code rc = api_caller(rq, api, AZ_S(""), &caller, err);

	if (!rc)
		rc = drop_path(&d, rq, err);
	if (!rc && !az_input_id_ok(set))
		rc = az_fail(err, AZ_ENOTFOUND, op, "no such set");
	if (rc)
		return rc;
	b = az_bucket_of(caller.uid);
	az_buf_init(&key, 1024);
	az_key_input_manifest(&key, set);
	rc = files_edit(api, &b, az_buf_str(&key), false, drop_one, &d, err);
	az_buf_release(&key);
	if (!rc && !d.file && !d.dir)
		rc = az_fail(err, AZ_ENOTFOUND, op, "no such file or directory");
	if (!rc)
		rc = upload_drop_blobs(api, &b, set, &d.gone, err);
	return removed(rq, api, &b, rc);
}

enum az_code
files_remove_set(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_str set = az_rq_param(rq, "set");
	struct az_caller caller;
	struct az_bucket b;
	struct az_buf key;
	bool some = false;
	enum az_code rc = api_caller(rq, api, AZ_S(""), &caller, err);

	if (rc)
		return rc;
	if (!az_input_id_ok(set))
		return az_fail(err, AZ_ENOTFOUND, op, "no such set");
	b = az_bucket_of(caller.uid);
	az_buf_init(&key, 1024);
	az_key_input(&key, set, AZ_S(""));
	rc = anything(api, az_rq_arena(rq), &b, az_buf_str(&key), &some, err);
	if (!rc && !some)
		rc = az_fail(err, AZ_ENOTFOUND, op, "no such set");
	if (!rc) {
		az_buf_reset(&key);
		az_key_input_manifest(&key, set);
		rc = api_store_rc(az_store_remove(api->store, &b, az_buf_str(&key), err), err);
	}
	if (!rc) {
		az_buf_reset(&key);
		az_key_input(&key, set, AZ_S(""));
		rc = remove_below(api, &b, &key, err);
	}
	az_buf_release(&key);
	return removed(rq, api, &b, rc);
}
