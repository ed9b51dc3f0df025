/* The timeline of a run, read from the store: manifests, verdicts, logs. */
#include <stdio.h>
#include <azlon/limits.h>
#include <azlon/manifest.h>
#include "run.h"

#define VERDICT_BYTES AZ_MIB(1)
#define ANSWER_BYTES AZ_MIB(6)

struct iter {
	struct az_rq *rq;
	const struct az_api *api;
	struct az_arena *a;
	struct az_bucket bucket;
	struct az_str wid;
	int n;
};

static enum az_code
iter_open(struct iter *it, struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str n = az_rq_param(rq, "n");
	struct az_run_info info;
	struct az_caller who;
	int64_t v = 0;
	enum az_code rc;

	*it = (struct iter){.rq = rq, .api = app, .a = az_rq_arena(rq)};
	if ((rc = api_caller_run(rq, it->api, &who, &it->wid, err)) != AZ_OK ||
	    (rc = api_run_describe(it->api, it->a, who.uid, it->wid, &info, err)))
		return rc;
	it->bucket = az_bucket_of(who.uid);
	if (n.n && !az_str_to_i64(n, 0, AZ_LIM_ITERATIONS_MAX, &v))
		return az_fail(err, AZ_ENOTFOUND, "api.iterations", "no such iteration");
	it->n = (int)v;
	return AZ_OK;
}

/* An object that is one JSON value; NULL when it is not there or no JSON. */
static enum az_code
iter_json(
    const struct iter *it, int n, const char *name, const struct az_json **out, struct az_err *err)
{
	struct az_buf key, body;
	enum az_code rc;

	*out = NULL;
	az_buf_init(&key, 1024);
	az_buf_init(&body, VERDICT_BYTES);
	az_key_iter(&key, it->wid, n, name);
	rc = az_store_get(it->api->store, &it->bucket, az_buf_str(&key), &body, err);
	if (rc == AZ_OK &&
	    az_json_parse_in(it->a, az_buf_str(&body), &az_json_own_limits, out, NULL) != AZ_OK)
		*out = NULL;
	az_buf_release(&key);
	az_buf_release(&body);
	return rc == AZ_ENOTFOUND || rc == AZ_ETOOBIG ? AZ_OK : api_store_rc(rc, err);
}

/* Numbers of the iterations that have left anything, ascending. */
static enum az_code
iter_numbers(const struct iter *it, int *out, size_t max, size_t *n, struct az_err *err)
{
	struct az_store_list q = {.limit = 1000, .one_level = true};
	struct az_store_page page;
	struct az_buf prefix;
	enum az_code rc;

	*n = 0;
	az_buf_init(&prefix, 1024);
	az_key_meta(&prefix, it->wid, "iterations/");
	q.prefix = az_buf_str(&prefix);
	rc = az_store_list(it->api->store, &it->bucket, &q, it->a, &page, err);
	for (size_t i = 0; rc == AZ_OK && i < page.n && *n < max; i++) {
		struct az_str name = az_str_sub(page.objs[i].key, prefix.n, page.objs[i].key.n);
		int64_t v;

		if (name.n && name.p[name.n - 1] == '/')
			name.n--;
		if (page.objs[i].dir && az_str_to_i64(name, 0, AZ_LIM_ITERATIONS_MAX, &v))
			out[(*n)++] = (int)v;
	}
	az_buf_release(&prefix);
	return rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
}

static void
write_links(struct az_jw *w, const struct iter *it, int n)
{
	static const char *const logs[] = {"stdout", "stderr"};

	az_jw_key(w, "links");
	az_jw_obj(w);
	az_jw_kc(w, "self",
	    az_arena_printf(it->a, "/run_workflow/%.*s/iterations/%d", AZ_FMT(it->wid), n));
	az_jw_kc(
	    w, "files", az_arena_printf(it->a, "/files/%.*s?iteration=%d", AZ_FMT(it->wid), n));
	for (size_t i = 0; i < 2; i++)
		az_jw_kc(w, logs[i],
		    az_arena_printf(it->a, "/run_workflow/%.*s/iterations/%d/logs/%s",
			AZ_FMT(it->wid), n, logs[i]));
	az_jw_end(w, '}');
}

static enum az_code
answer(struct az_rq *rq, struct az_buf *b, enum az_code rc, struct az_err *err)
{
	if (rc == AZ_OK && (rc = az_buf_check(b, "api.iterations", err)) == AZ_OK)
		rc = az_rs_json(rq, 200, az_buf_str(b), err);
	az_buf_release(b);
	return rc;
}

/* GET …/iterations */
enum az_code
run_iterations(struct az_rq *rq, void *app, struct az_err *err)
{
	int n[AZ_LIM_ITERATIONS_MAX + 1];
	size_t count = 0;
	struct iter it;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc = iter_open(&it, rq, app, err);

	if (rc != AZ_OK ||
	    (rc = iter_numbers(&it, n, AZ_LIM_ITERATIONS_MAX + 1, &count, err)) != AZ_OK)
		return rc;
	az_buf_init(&b, ANSWER_BYTES);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_key(&w, "iterations");
	az_jw_arr(&w);
	for (size_t i = 0; i < count && rc == AZ_OK; i++) {
		const struct az_json *verdict;

		rc = iter_json(&it, n[i], "verdict", &verdict, err);
		az_jw_obj(&w);
		az_jw_ki(&w, "iteration", n[i]);
		az_jw_key(&w, "verdict");
		az_jw_value(&w, verdict);
		write_links(&w, &it, n[i]);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	return answer(rq, &b, rc, err);
}

static void
write_files(struct az_jw *w, const struct az_manifest *m)
{
	az_jw_key(w, "files");
	az_jw_arr(w);
	for (size_t i = 0; i < m->n; i++) {
		az_jw_obj(w);
		az_jw_ks(w, "path", m->files[i].path);
		az_jw_ki(w, "size", m->files[i].size);
		az_jw_kc(w, "sha256", m->files[i].sha256);
		az_jw_kb(w, "executable", (m->files[i].mode & 0111) != 0);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
}

static enum az_code
write_logs(struct az_jw *w, const struct iter *it, bool *any, struct az_err *err)
{
	static const char *const logs[] = {"stdout", "stderr"};
	enum az_code rc = AZ_OK;

	az_jw_key(w, "logs");
	az_jw_obj(w);
	for (size_t i = 0; i < 2 && rc == AZ_OK; i++) {
		struct az_buf key;
		struct az_obj o;

		az_buf_init(&key, 1024);
		az_key_iter(&key, it->wid, it->n, logs[i]);
		rc = az_store_stat(it->api->store, &it->bucket, az_buf_str(&key), &o, err);
		az_buf_release(&key);
		az_jw_key(w, logs[i]);
		if (rc == AZ_OK) {
			*any = true;
			az_jw_obj(w);
			az_jw_ki(w, "bytes", o.bytes);
			az_jw_kb(w, "cut", o.bytes >= (int64_t)AZ_LIM_LOG_BYTES);
			az_jw_end(w, '}');
		} else {
			az_jw_null(w);
		}
		rc = rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
	}
	az_jw_end(w, '}');
	return rc;
}

/* GET …/iterations/{n} */
enum az_code
run_iteration(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *verdict = NULL, *run = NULL;
	struct az_manifest m;
	struct az_buf b, key;
	struct iter it;
	struct az_jw w;
	bool any = false;
	enum az_code rc = iter_open(&it, rq, app, err);

	if (rc != AZ_OK)
		return rc;
	az_buf_init(&b, ANSWER_BYTES);
	az_buf_init(&key, 1024);
	az_manifest_init(&m, it.a);
	az_key_iter(&key, it.wid, it.n, "manifest");
	rc = az_manifest_load(&m, it.api->store, &it.bucket, az_buf_str(&key), err);
	any = rc == AZ_OK;
	rc = rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
	az_buf_release(&key);
	if (rc == AZ_OK)
		rc = iter_json(&it, it.n, "verdict", &verdict, err);
	if (rc == AZ_OK)
		rc = iter_json(&it, it.n, "run", &run, err);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "iteration", it.n);
	az_jw_key(&w, "verdict");
	az_jw_value(&w, verdict);
	az_jw_key(&w, "run");
	az_jw_value(&w, run);
	write_files(&w, &m);
	if (rc == AZ_OK)
		rc = write_logs(&w, &it, &any, err);
	write_links(&w, &it, it.n);
	az_jw_end(&w, '}');
	if (rc == AZ_OK && !any && !verdict && !run)
		rc = az_fail(err, AZ_ENOTFOUND, "api.iterations", "no such iteration");
	return answer(rq, &b, rc, err);
}

/* "bytes=a-b", "bytes=a-", "bytes=-n": one range of size bytes. 0 = send all,
   1 = the range, -1 = not satisfiable. */
static int
range_of(struct az_str h, int64_t size, int64_t *from, int64_t *to)
{
	struct az_str spec = h, a;
	int64_t x, y;

	*from = 0;
	*to = size;
	if (!az_str_starts(h, AZ_S("bytes=")) || az_str_chr(h, ',') >= 0)
		return 0;
	spec = az_str_trim(az_str_sub(h, 6, h.n));
	if (!az_str_cut(&spec, '-', &a) || !spec.p)
		return 0;
	if (a.n == 0) {
		if (!az_str_to_i64(spec, 0, INT64_MAX, &y))
			return 0;
		if (y == 0 || size == 0)
			return -1;
		*from = y < size ? size - y : 0;
		return 1;
	}
	if (!az_str_to_i64(a, 0, INT64_MAX, &x))
		return 0;
	y = size - 1;
	if (spec.n && (!az_str_to_i64(spec, 0, INT64_MAX, &y) || y < x))
		return 0;
	if (x >= size)
		return -1;
	*from = x;
	*to = y >= size - 1 ? size : y + 1;
	return 1;
}

static enum az_code
send_bytes(struct az_rq *rq, struct az_get *g, int64_t left, struct az_err *err)
{
	char part[16384];
	enum az_code rc = AZ_OK;
	size_t got;

	while (left > 0 && rc == AZ_OK) {
		size_t want = left < (int64_t)sizeof part ? (size_t)left : sizeof part;
		rc = az_store_get_read(g, part, want, &got, err);
		if (rc == AZ_OK && got == 0)
			rc = az_fail(err, AZ_EIO, "api.log", "object is shorter than it was");
		if (rc == AZ_OK)
			rc = az_rs_write(rq, az_str_n(part, got), err);
		left -= (int64_t)got;
	}
	return rc;
}

static void
text_headers(struct az_rq *rq)
{
	az_rs_header(rq, "Content-Type", AZ_S("text/plain; charset=utf-8"));
	az_rs_header(rq, "X-Content-Type-Options", AZ_S("nosniff"));
	az_rs_header(rq, "Cache-Control", AZ_S("private, no-store"));
	az_rs_header(rq, "Accept-Ranges", AZ_S("bytes"));
}

/* GET …/iterations/{n}/logs/{stream}: by nginx where the store allows, else from here. */
enum az_code
run_log(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str name = az_rq_param(rq, "stream");
	struct az_get *g = NULL;
	struct az_buf key, accel;
	struct az_obj o;
	struct iter it;
	int64_t from = 0, to = 0;
	int part;
	enum az_code rc = iter_open(&it, rq, app, err);

	if (rc != AZ_OK)
		return rc;
	if (!az_str_eqc(name, "stdout") && !az_str_eqc(name, "stderr"))
		return az_fail(err, AZ_ENOTFOUND, "api.log", "no such log");
	az_buf_init(&key, 1024);
	az_buf_init(&accel, 4096);
	az_key_iter(&key, it.wid, it.n, az_str_eqc(name, "stdout") ? "stdout" : "stderr");
	rc = az_store_stat(it.api->store, &it.bucket, az_buf_str(&key), &o, err);
	if (rc != AZ_OK)
		goto out;
	rc = az_store_accel(it.api->store, &it.bucket, az_buf_str(&key), &accel, err);
	if (rc == AZ_OK) {
		text_headers(rq);
		az_rs_headerf(rq, "X-Azlon-ETag", "\"%llx-%llx\"",
		    (unsigned long long)o.modified_ms, (unsigned long long)o.bytes);
		az_rs_header(rq, "X-Accel-Redirect", az_buf_str(&accel));
		goto out;
	}
	if (rc != AZ_EUNSUPPORTED)
		goto out;
	part = range_of(az_rq_header(rq, "Range"), o.bytes, &from, &to);
	if (part < 0) {
		az_rs_headerf(rq, "Content-Range", "bytes */%lld", (long long)o.bytes);
		az_fail(err, AZ_ERANGE, "api.log", "range not satisfiable");
		/* answered here: a failure's document would lose the header */
		rc = az_rs_problem(rq, 0, err, NULL, 0);
		goto out;
	}
	text_headers(rq);
	if (part > 0) {
		az_rs_status(rq, 206);
		az_rs_headerf(rq, "Content-Range", "bytes %lld-%lld/%lld", (long long)from,
		    (long long)to - 1, (long long)o.bytes);
	}
	az_rs_headerf(rq, "Content-Length", "%lld", (long long)(to - from));
	if (az_str_eqc(az_rq_method(rq), "HEAD")) {
		rc = AZ_OK;
		goto out;
	}
	rc = az_store_get_open(it.api->store, &it.bucket, az_buf_str(&key), from, NULL, &g, err);
	if (rc == AZ_OK)
		rc = send_bytes(rq, g, to - from, err);
out:
	az_store_get_close(g);
	az_buf_release(&key);
	az_buf_release(&accel);
	return api_store_rc(rc, err);
}
