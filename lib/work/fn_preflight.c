/*
 * pre_flight_run: the inputs become iteration 0. If they are a program already it is
 * run once, without a model: maybe nothing needs to be written.
 */
#include "deps.h"
#include "functions.h"
#include "spent.h"
#include "verdict.h"

#include <azlon/keys.h>

#define OP "work.preflight"
#define DEPS_EVENT_BYTES AZ_KIB(16) /* through the engine; the object has all of it */

/* Copy one body between keys of the bucket, as a blob of this run; f then names that. */
static enum az_code
take_body(struct work_job *j, const struct az_buf *from, struct az_file *f, struct az_err *err)
{
	struct az_file mine = *f;
	struct az_blob_writer *w = NULL;
	char *chunk = az_arena_alloc(j->a, AZ_KIB(64));
	struct az_get *g = NULL;
	size_t got = 1;
	enum az_code rc = chunk ? az_buf_check(from, OP, err) : job_nomem(err);

	if (rc == AZ_OK)
		rc = az_store_get_open(j->w->store, &j->bkt, az_buf_str(from), 0, NULL, &g, err);
	if (rc == AZ_OK)
		rc = az_blob_open(j->w->store, &j->bkt, job_wid(j), (struct az_str){0}, &w, err);
	while (rc == AZ_OK && chunk && got > 0) {
		rc = az_store_get_read(g, chunk, AZ_KIB(64), &got, err);
		if (rc == AZ_OK && got > 0)
			rc = az_blob_write(w, az_str_n(chunk, got), err);
		if (rc == AZ_OK && job_cancelled(j))
			rc = az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	}
	if (rc == AZ_OK) {
		rc = az_blob_commit(w, &mine, err);
		w = NULL;
	}
	az_blob_abort(w);
	az_store_get_close(g);
	if (rc == AZ_OK && strcmp(mine.sha256, f->sha256) != 0)
		rc = az_fail(err, AZ_EIO, OP, "the stored input %.*s is damaged", AZ_FMT(f->path));
	*f = mine;
	return rc;
}

static enum az_code
not_there(struct az_str what, struct az_err *err)
{
	az_fail(err, AZ_EINVAL, OP, "there is no input %.*s", AZ_FMT(az_str_sub(what, 0, 150)));
	return az_err_reason(err, "bad_input");
}

static enum az_code
add(struct az_manifest *m, const struct az_file *f, struct az_err *err)
{
	enum az_code rc = az_manifest_set(m, f, err);

	return rc == AZ_EINVAL ? az_err_reason(err, "bad_input") : rc;
}

static enum az_code
take_set(struct work_job *j, struct az_str set, struct az_manifest *m, struct az_err *err)
{
	struct az_manifest in;
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 2048);
	az_manifest_init(&in, j->a);
	az_key_input_manifest(&key, set);
	rc = az_manifest_load(&in, j->w->store, &j->bkt, az_buf_str(&key), err);
	if (rc == AZ_ENOTFOUND && az_str_eqc(set, "default"))
		rc = AZ_OK; /* nothing was uploaded */
	else if (rc == AZ_ENOTFOUND)
		rc = not_there(set, err);
	for (size_t i = 0; i < in.n && rc == AZ_OK; i++) {
		az_buf_reset(&key);
		az_key_input_blob(&key, set, az_file_blob(&in.files[i]));
		rc = take_body(j, &key, &in.files[i], err);
		if (rc == AZ_ENOTFOUND)
			rc = not_there(in.files[i].path, err);
		if (rc == AZ_OK)
			rc = add(m, &in.files[i], err);
	}
	az_buf_release(&key);
	return rc;
}

/* "<workflow id>/<path>" of an own earlier run; final tree only. */
static enum az_code
take_file(struct work_job *j, struct az_str entry, struct az_manifest *m, struct az_err *err)
{
	struct az_str path = entry, wid;
	struct az_bucket owner;
	const struct az_file *there = NULL;
	struct az_manifest of;
	struct az_file f;
	enum az_code rc = AZ_OK;
	struct az_buf key;

	if (!az_str_cut(&path, '/', &wid) || path.n == 0 || !az_wid_parse(wid, NULL, NULL))
		return not_there(entry, err);
	owner = az_bucket_of_run(wid, AZ_S(""));
	if (strcmp(owner.name, j->bkt.name) != 0)
		return not_there(entry, err);
	az_buf_init(&key, 2048);
	az_manifest_init(&of, j->a);
	az_key_meta(&key, wid, "manifest");
	rc = az_manifest_load(&of, j->w->store, &j->bkt, az_buf_str(&key), err);
	if (rc == AZ_OK)
		there = az_manifest_find(&of, path);
	if (rc == AZ_ENOTFOUND || (rc == AZ_OK && !there))
		rc = not_there(entry, err);
	if (rc == AZ_OK && there) {
		f = *there;
		az_buf_reset(&key);
		az_key_blob(&key, wid, az_file_blob(&f));
		rc = take_body(j, &key, &f, err);
		if (rc == AZ_ENOTFOUND)
			rc = not_there(entry, err);
		if (rc == AZ_OK)
			rc = add(m, &f, err);
	}
	az_buf_release(&key);
	return rc;
}

static enum az_code
take_inputs(struct work_job *j, struct az_manifest *m, struct az_err *err)
{
	const struct az_json *all = az_json_get(j->request, "inputs");
	enum az_code rc = AZ_OK;

	az_manifest_init(m, j->a);
	for (size_t i = 0; i < az_json_len(all) && rc == AZ_OK; i++) {
		struct az_str e = az_json_str(az_json_at(all, i));

		rc = az_str_chr(e, '/') >= 0 ? take_file(j, e, m, err)
		     : az_input_id_ok(e)     ? take_set(j, e, m, err)
					     : not_there(e, err);
	}
	if (rc == AZ_OK)
		rc = job_save_manifest(j, 0, "source", m, err);
	if (rc == AZ_OK)
		rc = job_save_manifest(j, 0, "manifest", m, err);
	return job_store_rc(rc, err);
}

/* Which input reads or writes which: kept as an object, and told. */
static enum az_code
dependencies(
    struct work_job *j, const struct az_manifest *m, struct az_str *json, struct az_err *err)
{
	struct deps *d = az_arena_alloc(j->a, sizeof *d);
	enum az_code rc = d ? AZ_OK : job_nomem(err);
	struct az_str text;
	struct az_buf b;
	struct az_jw w;

	*json = (struct az_str){NULL, 0};
	if (rc == AZ_OK)
		deps_init(d, j->a, m);
	for (size_t i = 0; i < m->n && rc == AZ_OK; i++) {
		if (!deps_wanted(&m->files[i]))
			continue;
		rc = job_get_file(j, &m->files[i], DEPS_FILE_BYTES, &text, err);
		if (rc == AZ_OK)
			rc = deps_scan(d, m->files[i].path, text, err);
		if (rc == AZ_OK && job_cancelled(j))
			rc = az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	}
	if (rc != AZ_OK || !d || d->n == 0)
		return rc;
	az_buf_init(&b, AZ_MIB(4));
	az_jw_init(&w, &b);
	deps_json(d, &w);
	rc = job_put_iter_buf(j, 0, "dependencies", &b, err);
	if (rc == AZ_OK && b.n <= DEPS_EVENT_BYTES)
		return job_text(j, &b, json, err);
	az_buf_release(&b);
	return rc;
}

static void
write_result(struct work_job *j, const struct az_manifest *m, struct az_str deps, bool ran,
    const struct verdict *v, int64_t sandbox_ms, struct az_jw *w)
{
	size_t explicit = az_json_len(az_json_get(j->request, "checks")), passed = 0;
	size_t unjudged = job_has_conditions(j);

	for (size_t i = 0; ran && i < v->checks.n; i++) {
		struct az_str t;

		if (v->checks.v[i].explicit && check_is_text(j, &v->checks, i, &t))
			unjudged++;
		/* a program that fails passes nothing, whatever single checks say */
		passed += v->checks.v[i].explicit && v->checks.v[i].status == CHECK_PASS &&
			  v->checks.v[0].status == CHECK_PASS;
	}
	az_jw_obj(w);
	az_jw_ki(w, "v", 1);
	az_jw_ki(w, "files", (int64_t)m->n);
	az_jw_ki(w, "explicit", (int64_t) explicit);
	az_jw_ki(w, "passed", (int64_t)passed);
	az_jw_ki(w, "unjudged", (int64_t)unjudged);
	az_jw_ki(w, "sandbox_ms", sandbox_ms);
	if (j->box_spent)
		az_jw_kb(w, "sandbox_cut", true);
	if (ran) {
		az_jw_key(w, "checks");
		verdict_checks_json(j, v, w);
	}
	az_jw_key(w, "events");
	az_jw_arr(w);
	az_jw_obj(w);
	az_jw_kc(w, "type", "files.changed");
	az_jw_kc(w, "by", "inputs");
	az_jw_ki(w, "count", (int64_t)m->n);
	if (deps.n) {
		az_jw_key(w, "dependencies");
		az_jw_raw(w, deps);
	}
	az_jw_end(w, '}');
	if (ran)
		verdict_events(j, v, w);
	az_jw_end(w, ']');
	az_jw_end(w, '}');
}

enum az_code
fn_preflight(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	struct work_run run = {.sandbox_ms = 0};
	struct verdict v = {.passed = false};
	struct az_manifest m;
	struct work_job j;
	struct az_str deps = {NULL, 0};
	bool ran = false;
	enum az_code rc;
	struct az_jw w;

	rc = job_open(&j, ctx, app, input, "prepare", err);
	if (rc == AZ_OK)
		rc = take_inputs(&j, &m, err);
	if (rc == AZ_OK)
		rc = dependencies(&j, &m, &deps, err);
	if (rc == AZ_OK && build_possible(&m)) {
		ran = true;
		rc = execute_iteration(&j, 0, &run, err);
		if (rc == AZ_OK)
			rc = verdict_reach(&j, false, &v, err);
	}
	if (rc == AZ_OK) {
		az_jw_init(&w, result);
		write_result(&j, &m, deps, ran, &v, run.sandbox_ms + v.sandbox_ms, &w);
		rc = az_buf_check(result, OP, err);
	}
	spent_write(rc, &v.use, run.sandbox_ms + v.sandbox_ms, result);
	job_close(&j);
	return rc;
}
