/* The timeline of a run, read from the store: manifests, verdicts, logs. */
#include <stdio.h>
#include <azlon/limits.h>
#include "files.h"
#include "run.h"
#include "send.h"

#define RECORD_BYTES AZ_MIB(4) /* as they are written */
#define ANSWER_BYTES AZ_MIB(16)
#define LIST_BYTES AZ_MIB(6)
/* the verdict in a row of the list: all of them fit */
#define ROW_BYTES (LIST_BYTES / (AZ_LIM_ITERATIONS_MAX + 1) - 2048)

enum az_code
run_iter_open(struct run_iter *it, struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str n = az_rq_param(rq, "n");
	struct az_run_info info;
	struct az_caller who;
	int64_t v = 0;
	enum az_code rc;

	*it = (struct run_iter){.rq = rq, .api = app, .a = az_rq_arena(rq)};
	if ((rc = api_caller_run(rq, it->api, &who, &it->wid, err)) != AZ_OK ||
	    (rc = api_run_describe(it->api, it->a, who.uid, it->wid, &info, err)))
		return rc;
	it->bucket = az_bucket_of(who.uid);
	if (n.n && !az_str_to_i64(n, 0, AZ_LIM_ITERATIONS_MAX, &v))
		return az_fail(err, AZ_ENOTFOUND, "api.iterations", "no such iteration");
	it->n = (int)v;
	return AZ_OK;
}

/* An object that is one JSON value; NULL when it is not there or no JSON. Yours to free. */
static enum az_code
iter_json(
    const struct run_iter *it, int n, const char *name, struct az_json **out, struct az_err *err)
{
	struct az_buf key, body;
	enum az_code rc;

	*out = NULL;
	az_buf_init(&key, 1024);
	az_buf_init(&body, RECORD_BYTES);
	az_key_iter(&key, it->wid, n, name);
	rc = az_store_get(it->api->store, &it->bucket, az_buf_str(&key), &body, err);
	if (rc == AZ_OK &&
	    az_json_parse(az_buf_str(&body), &az_json_own_limits, out, NULL) != AZ_OK)
		*out = NULL;
	az_buf_release(&key);
	az_buf_release(&body);
	return rc == AZ_ENOTFOUND || rc == AZ_ETOOBIG ? AZ_OK : api_store_rc(rc, err);
}

static void
write_links(struct az_jw *w, const struct run_iter *it, int n)
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

static void
write_some(struct az_jw *w, const struct az_json *obj, const char *const *names)
{
	for (; *names; names++) {
		const struct az_json *v = az_json_get(obj, *names);

		if (!v)
			continue;
		az_jw_key(w, *names);
		az_jw_value(w, v);
	}
}

/* What was expected and what came stand in the iteration's own answer: of a hundred they are
   more than one may hold. words: with what each check looks at and says. */
static void
write_short(struct az_jw *w, const struct az_json *verdict, bool words)
{
	static const char *const members[] = {"passed", "n_passed", "n_total", "reason", NULL};
	static const char *const full[] = {"id", "status", "hidden", "ms", "what", "message", NULL};
	static const char *const brief[] = {"id", "status", "hidden", "ms", NULL};
	const struct az_json *checks = az_json_get(verdict, "checks");

	az_jw_obj(w);
	write_some(w, verdict, members);
	if (checks) {
		az_jw_key(w, "checks");
		az_jw_arr(w);
		for (size_t i = 0; i < az_json_len(checks); i++) {
			az_jw_obj(w);
			write_some(w, az_json_at(checks, i), words ? full : brief);
			az_jw_end(w, '}');
		}
		az_jw_end(w, ']');
	}
	az_jw_end(w, '}');
}

static enum az_code
write_row(struct az_jw *w, const struct run_iter *it, int n, struct az_err *err)
{
	struct az_json *verdict = NULL;
	struct az_buf row;
	struct az_jw rw;
	enum az_code rc = iter_json(it, n, "verdict", &verdict, err);

	az_buf_init(&row, ROW_BYTES);
	for (int words = 1; rc == AZ_OK && verdict && words >= 0; words--) {
		az_buf_reset(&row);
		az_jw_init(&rw, &row);
		write_short(&rw, verdict, words);
		if (row.fail != AZ_ETOOBIG)
			break;
	}
	if (rc == AZ_OK)
		rc = az_buf_check(&row, "api.iterations", err);
	az_jw_obj(w);
	az_jw_ki(w, "iteration", n);
	if (verdict)
		az_jw_kraw(w, "verdict", az_buf_str(&row));
	else
		az_jw_kn(w, "verdict");
	write_links(w, it, n);
	az_jw_end(w, '}');
	az_buf_release(&row);
	az_json_free(verdict);
	return rc;
}

/* GET …/iterations */
enum az_code
run_iterations(struct az_rq *rq, void *app, struct az_err *err)
{
	int n[AZ_LIM_ITERATIONS_MAX + 1];
	size_t count = 0;
	struct run_iter it;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc = run_iter_open(&it, rq, app, err);

	if (rc != AZ_OK || (rc = files_iterations(it.api, it.a, &it.bucket, it.wid, n,
				sizeof n / sizeof *n, &count, err)) != AZ_OK)
		return rc;
	az_buf_init(&b, LIST_BYTES);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_key(&w, "iterations");
	az_jw_arr(&w);
	for (size_t i = 0; i < count && rc == AZ_OK; i++)
		rc = write_row(&w, &it, n[i], err);
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

/* run: the iteration's record, which knows what was cut; NULL while it is under way. */
static enum az_code
write_logs(struct az_jw *w, const struct run_iter *it, const struct az_json *run, bool *any,
    struct az_err *err)
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
			az_jw_kb(w, "cut",
			    az_json_getb(az_json_get(run, logs[i]), "cut",
				o.bytes >= (int64_t)AZ_LIM_LOG_BYTES));
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
	struct az_json *verdict = NULL, *run = NULL;
	struct az_manifest m;
	struct az_buf b, key;
	struct run_iter it;
	struct az_jw w;
	bool any = false;
	enum az_code rc = run_iter_open(&it, rq, app, err);

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
		rc = write_logs(&w, &it, run, &any, err);
	write_links(&w, &it, it.n);
	az_jw_end(&w, '}');
	if (rc == AZ_OK && !any && !verdict && !run)
		rc = az_fail(err, AZ_ENOTFOUND, "api.iterations", "no such iteration");
	az_json_free(verdict);
	az_json_free(run);
	return answer(rq, &b, rc, err);
}

/* The objects that may hold a log, the first that is there; NULL: no such log. What a person
   was asked is later than what the iteration began with. */
static const char *const *
log_object(struct az_str name)
{
	static const char *const all[][3] = {
	    {"stdout"}, {"stderr"}, {"asked", "prompt"}, {"reply"}};
	static const char *const names[] = {"stdout", "stderr", "prompt", "reply"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (az_str_eqc(name, names[i]))
			return all[i];
	return NULL;
}

/* GET …/iterations/{n}/logs/{stream} */
enum az_code
run_log(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str name = az_rq_param(rq, "stream");
	struct az_buf key;
	struct az_obj o;
	struct run_iter it;
	char etag[64];
	const char *const *at;
	enum az_code rc = run_iter_open(&it, rq, app, err);

	if (rc != AZ_OK)
		return rc;
	if (!(at = log_object(name)))
		return az_fail(err, AZ_ENOTFOUND, "api.log", "no such log");
	az_buf_init(&key, 1024);
	rc = AZ_ENOTFOUND;
	for (; rc == AZ_ENOTFOUND && *at; at++) {
		az_buf_reset(&key);
		az_key_iter(&key, it.wid, it.n, *at);
		rc = api_store_rc(
		    az_store_stat(it.api->store, &it.bucket, az_buf_str(&key), &o, err), err);
	}
	if (rc == AZ_OK) {
		snprintf(etag, sizeof etag, "\"%llx-%llx\"", (unsigned long long)o.modified_ms,
		    (unsigned long long)o.bytes);
		rc = api_send(rq, it.api, &it.bucket,
		    &(struct api_object){.key = az_buf_str(&key),
			.bytes = o.bytes,
			.etag = etag,
			.mime = "text/plain; charset=utf-8"},
		    err);
	}
	az_buf_release(&key);
	return rc;
}
