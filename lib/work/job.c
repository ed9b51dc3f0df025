/* A function's call and the run's objects: see job.h. */
#include "job.h"

#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/keys.h>
#include <azlon/log.h>

#define OP "work.job"

enum az_code
job_nomem(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, OP, "out of memory for this step");
}

enum az_code
job_store_rc(enum az_code rc, struct az_err *err)
{
	if (rc != AZ_OK && rc != AZ_ENOTFOUND && rc != AZ_ECANCELLED && err && !err->reason[0])
		az_err_reason(err, "store_unavailable");
	return rc;
}

enum az_code
job_sandbox_rc(enum az_code rc, struct az_err *err)
{
	struct az_err was;

	if (rc == AZ_OK || rc == AZ_ECANCELLED || !err)
		return rc;
	was = *err;
	if (rc == AZ_ENOTFOUND && az_sandbox_is_gone(&was))
		az_fail(err, AZ_EUNAVAIL, was.op, "%s", was.text);
	if (!was.reason[0] || err->code != was.code)
		az_err_reason(err, "sandbox_unavailable");
	return err->code;
}

struct az_str
job_wid(const struct work_job *j)
{
	return j->ctx->workflow_id;
}

void
job_beat(struct work_job *j)
{
	struct az_buf b;
	struct az_jw w;

	j->beat_ms = az_boot_ms();
	if (!j->ctx->heartbeat)
		return;
	if (j->refresh)
		j->refresh(j, j->refresh_arg);
	az_buf_init(&b, AZ_KIB(128));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kc(&w, "phase", j->phase);
	az_jw_ki(&w, "iteration", j->iteration);
	if (j->tail.n) {
		struct az_str t = j->tail;

		/* escapes can make it six times as long */
		if (t.n > AZ_LIM_TAIL_BYTES)
			t = az_str_sub(t, t.n - AZ_LIM_TAIL_BYTES, t.n);
		az_jw_ks(&w, "tail", t);
	}
	if (j->tokens)
		az_jw_ki(&w, "tokens", j->tokens);
	az_jw_end(&w, '}');
	if (az_buf_check(&b, OP, NULL) == AZ_OK)
		j->ctx->heartbeat(j->ctx, az_buf_str(&b));
	az_buf_release(&b);
}

bool
job_cancelled(void *arg)
{
	struct work_job *j = arg;

	if (j->ctx->cancelled && j->ctx->cancelled(j->ctx))
		return true;
	if (az_boot_ms() - j->beat_ms >= AZ_HEARTBEAT_EVERY_MS)
		job_beat(j);
	return false;
}

/* Read key into the arena. */
static enum az_code
get(struct work_job *j, const struct az_buf *key, size_t max, struct az_str *out,
    struct az_err *err)
{
	enum az_code rc = az_buf_check(key, OP, err);
	struct az_buf b;

	az_buf_init(&b, max);
	if (rc == AZ_OK)
		rc =
		    job_store_rc(az_store_get(j->w->store, &j->bkt, az_buf_str(key), &b, err), err);
	if (rc == AZ_OK)
		rc = job_text(j, &b, out, err);
	az_buf_release(&b);
	return rc;
}

static enum az_code
put(struct work_job *j, const struct az_buf *key, struct az_str body, struct az_err *err)
{
	enum az_code rc = az_buf_check(key, OP, err);

	if (rc != AZ_OK)
		return rc;
	return job_store_rc(az_store_put(j->w->store, &j->bkt, az_buf_str(key), body, err), err);
}

enum az_code
job_text(struct work_job *j, struct az_buf *b, struct az_str *out, struct az_err *err)
{
	enum az_code rc = az_buf_check(b, OP, err);

	if (rc != AZ_OK)
		return rc;
	*out = az_arena_str(j->a, az_buf_str(b));
	return out->p ? AZ_OK : job_nomem(err);
}

enum az_code
job_get_iter(
    struct work_job *j, int n, const char *name, size_t max, struct az_str *out, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_iter(&key, job_wid(j), n, name);
	rc = get(j, &key, max, out, err);
	az_buf_release(&key);
	return rc;
}

enum az_code
job_put_iter(struct work_job *j, int n, const char *name, struct az_str body, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_iter(&key, job_wid(j), n, name);
	rc = put(j, &key, body, err);
	az_buf_release(&key);
	return rc;
}

enum az_code
job_put_iter_buf(
    struct work_job *j, int n, const char *name, const struct az_buf *body, struct az_err *err)
{
	enum az_code rc = az_buf_check(body, OP, err);

	return rc == AZ_OK ? job_put_iter(j, n, name, az_buf_str(body), err) : rc;
}

enum az_code
job_json_iter(
    struct work_job *j, int n, const char *name, const struct az_json **out, struct az_err *err)
{
	struct az_str text;
	enum az_code rc = job_get_iter(j, n, name, AZ_MIB(16), &text, err);

	*out = NULL;
	if (rc == AZ_ENOTFOUND)
		return AZ_OK;
	if (rc == AZ_OK)
		rc = az_json_parse_in(j->a, text, &az_json_own_limits, out, err);
	return rc;
}

enum az_code
job_get_meta(
    struct work_job *j, const char *name, size_t max, struct az_str *out, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_meta(&key, job_wid(j), name);
	rc = get(j, &key, max, out, err);
	az_buf_release(&key);
	return rc;
}

enum az_code
job_put_meta(struct work_job *j, const char *name, struct az_str body, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_meta(&key, job_wid(j), name);
	rc = put(j, &key, body, err);
	az_buf_release(&key);
	return rc;
}

enum az_code
job_get_file(
    struct work_job *j, const struct az_file *f, size_t max, struct az_str *out, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_blob(&key, job_wid(j), az_file_blob(f));
	rc = get(j, &key, max, out, err);
	az_buf_release(&key);
	if (rc == AZ_ENOTFOUND) /* named by a manifest: it must be there */
		return az_err_reason(err, "store_unavailable"), AZ_EUNAVAIL;
	return rc;
}

enum az_code
job_put_file(struct work_job *j, struct az_manifest *m, struct az_str path, struct az_str body,
    unsigned mode, struct az_err *err)
{
	const struct az_file *was = az_manifest_find(m, path);
	struct az_file f = {
	    .path = path, .size = (int64_t)body.n, .mode = mode, .modified_ms = az_wall_ms()};
	enum az_code rc;

	rc = az_blob_put(j->w->store, &j->bkt, job_wid(j), (struct az_str){0}, body, f.sha256, err);
	if (rc != AZ_OK)
		return job_store_rc(rc, err);
	if (was && strcmp(was->sha256, f.sha256) == 0)
		f.modified_ms = was->modified_ms;
	return az_manifest_set(m, &f, err);
}

static enum az_code
manifest(struct work_job *j, int n, const char *name, struct az_manifest *m, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_manifest_init(m, j->a);
	az_buf_init(&key, 1024);
	az_key_iter(&key, job_wid(j), n, name);
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = job_store_rc(
		    az_manifest_load(m, j->w->store, &j->bkt, az_buf_str(&key), err), err);
	az_buf_release(&key);
	return rc;
}

enum az_code
job_manifest(struct work_job *j, int n, const char *name, struct az_manifest *m, struct az_err *err)
{
	enum az_code rc = manifest(j, n, name, m, err);

	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

enum az_code
job_manifest_must(
    struct work_job *j, int n, const char *name, struct az_manifest *m, struct az_err *err)
{
	enum az_code rc = manifest(j, n, name, m, err);

	if (rc != AZ_ENOTFOUND)
		return rc;
	az_fail(err, AZ_EUNAVAIL, OP, "the files that the run begins with are not in the store");
	return az_err_reason(err, "store_unavailable");
}

enum az_code
job_save_manifest(
    struct work_job *j, int n, const char *name, const struct az_manifest *m, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_iter(&key, job_wid(j), n, name);
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = job_store_rc(
		    az_manifest_save(m, j->w->store, &j->bkt, az_buf_str(&key), err), err);
	az_buf_release(&key);
	return rc;
}

void
job_tree_hash(const struct az_manifest *m, char out[65])
{
	struct az_sha256 *h = az_sha256_new();
	unsigned char d[32] = {0};

	for (size_t i = 0; h && i < m->n; i++) {
		az_sha256_add(h, m->files[i].path.p, m->files[i].path.n);
		az_sha256_add(h, m->files[i].mode & 0111 ? "\0x" : "\0-", 2);
		az_sha256_add(h, m->files[i].sha256, 64);
	}
	if (h)
		az_sha256_done(h, d);
	az_hex(d, 32, out);
}

struct az_str
job_clip(struct work_job *j, struct az_str s, size_t max)
{
	struct az_str out;
	char *p;

	if (s.n <= max)
		return az_arena_str(j->a, s);
	while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	p = az_arena_printf(j->a, "%.*s\xe2\x80\xa6", (int)max, s.p);
	out = az_str_c(p);
	return out;
}

const char *
job_tag(struct work_job *j, const char *what)
{
	return az_arena_printf(
	    j->a, "%s-%lld-%d-%u", what, (long long)j->ctx->ref, j->ctx->attempt, j->tags++);
}

bool
job_has_conditions(const struct work_job *j)
{
	return az_str_trim(az_json_gets(j->request, "test_conditions")).n > 0;
}

/* The request comes with the run's first function and is in the store afterwards. */
static enum az_code
load_request(struct work_job *j, struct az_err *err)
{
	const struct az_json *r = az_json_get(j->in, "request");
	struct az_str text;
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	if (az_json_type(r) == AZ_JOBJ) {
		j->request = r;
		az_buf_init(&b, AZ_MIB(2));
		az_jw_init(&w, &b);
		az_jw_value(&w, r);
		rc = az_buf_check(&b, OP, err);
		if (rc == AZ_OK)
			rc = job_put_meta(j, "request", az_buf_str(&b), err);
		az_buf_release(&b);
		return rc;
	}
	rc = job_get_meta(j, "request", AZ_MIB(2), &text, err);
	/* a run may be cancelled before any function ran; ending it needs no request */
	if (rc == AZ_ENOTFOUND && strcmp(j->phase, "finalize") == 0)
		return AZ_OK;
	if (rc == AZ_ENOTFOUND) {
		az_fail(err, AZ_EUNAVAIL, OP, "the run's request is not in the store");
		return az_err_reason(err, "store_unavailable");
	}
	if (rc == AZ_OK)
		rc = az_json_parse_in(j->a, text, &az_json_own_limits, &j->request, err);
	return rc;
}

enum az_code
job_open(struct work_job *j, struct az_fn_ctx *ctx, void *app, struct az_str input,
    const char *phase, struct az_err *err)
{
	enum az_code rc;

	*j = (struct work_job){.ctx = ctx, .w = app, .phase = phase};
	j->a = az_arena_new(WORK_ARENA_BYTES);
	if (!j->a)
		return job_nomem(err);
	rc = az_sandbox_watched(j->w->sandbox, job_cancelled, j, j->a, &j->sandbox, err);
	if (rc != AZ_OK)
		return rc;
	j->bkt = az_bucket_of_run(ctx->workflow_id, ctx->uid);
	rc = az_json_parse_in(j->a, input, &az_json_own_limits, &j->in, err);
	if (rc != AZ_OK)
		return rc;
	j->iteration = (int)(az_json_geti(j->in, "iteration", 0) & 0xffff);
	rc = load_request(j, err);
	az_log_trace(az_json_gets(j->request, "traceparent"));
	if (rc == AZ_OK)
		job_beat(j);
	return rc;
}

void
job_close(struct work_job *j)
{
	az_arena_free(j->a);
	j->a = NULL;
}
