/*
 * POST …/fork: a new run that begins with the tree of an iteration of an earlier one. All else of
 * the earlier request holds, but for what the body says. The files are copied, in the store
 * itself, before the new run is accepted: from then on it needs nothing of the old one.
 */
#include <azlon/limits.h>
#include "quota.h"
#include "run.h"

#define REQUEST_BYTES AZ_MIB(2)
#define MANIFEST_BYTES AZ_MIB(16)

static const char op[] = "api.fork";

/* ---- what is forked ---- */

static enum az_code
not_there(bool open, struct az_err *err)
{
	if (!open)
		return az_fail(err, AZ_ENOTFOUND, op, "no such iteration");
	az_fail(err, AZ_ECONFLICT, op, "The iteration is not finished.");
	err->retry_after_ms = RUN_RETRY_S * 1000;
	return az_err_reason(err, "not_finished");
}

/* The request as the old run's functions had it: written with its first one. */
static enum az_code
load_request(const struct az_api *api, const struct fork *f, bool open, struct az_arena *a,
    const struct az_json **out, struct az_err *err)
{
	struct az_buf key, text;
	enum az_code rc;

	az_buf_init(&key, 1024);
	az_buf_init(&text, REQUEST_BYTES);
	az_key_meta(&key, f->from, "request");
	rc = az_store_get(api->store, &f->bucket, az_buf_str(&key), &text, err);
	if (rc == AZ_OK)
		rc = az_json_parse_in(a, az_buf_str(&text), &az_json_own_limits, out, err);
	if (rc == AZ_EINVAL || (rc == AZ_OK && az_json_type(*out) != AZ_JOBJ))
		rc = az_fail(err, AZ_EIO, op, "the stored request is damaged");
	az_buf_release(&key);
	az_buf_release(&text);
	return rc == AZ_ENOTFOUND ? not_there(open, err) : api_store_rc(rc, err);
}

static enum az_code
load(const struct az_api *api, const struct fork *f, int n, const char *name, struct az_manifest *m,
    struct az_err *err)
{
	struct az_buf key;
	enum az_code rc;

	az_buf_init(&key, 1024);
	az_key_iter(&key, f->from, n, name);
	rc = az_manifest_load(m, api->store, &f->bucket, az_buf_str(&key), err);
	az_buf_release(&key);
	return api_store_rc(rc, err);
}

/* Files of an open run change until its verdict is there. */
static enum az_code
finished(const struct az_api *api, const struct fork *f, struct az_err *err)
{
	struct az_obj o;
	struct az_buf key;
	enum az_code rc;

	az_buf_init(&key, 1024);
	az_key_iter(&key, f->from, f->iteration, "verdict");
	rc = az_store_stat(api->store, &f->bucket, az_buf_str(&key), &o, err);
	az_buf_release(&key);
	return rc == AZ_ENOTFOUND ? not_there(true, err) : api_store_rc(rc, err);
}

/*
 * The tree as it was written, without what the program made of it: a check must not find the
 * output of an earlier run. Iteration 0 is what the run itself began with.
 */
static enum az_code
load_trees(const struct az_api *api, struct fork *f, const struct az_json *request, bool open,
    struct az_err *err)
{
	bool forked = az_json_type(az_json_get(request, "forked_from")) == AZ_JOBJ;
	bool given = forked || az_json_len(az_json_get(request, "inputs")) > 0;
	enum az_code rc = open && f->iteration > 0 ? finished(api, f, err) : AZ_OK;

	if (rc == AZ_OK)
		rc = load(api, f, f->iteration, f->iteration == 0 && forked ? "manifest" : "source",
		    &f->tree, err);
	if (rc == AZ_ENOTFOUND && (f->iteration > 0 || given))
		return not_there(open, err);
	if (rc == AZ_OK || rc == AZ_ENOTFOUND)
		rc = load(api, f, 0, "source", &f->inputs, err);
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

/* ---- the request ---- */

static bool
one_of(struct az_str key, const char *const *names)
{
	for (; *names; names++)
		if (az_str_eqc(key, *names))
			return true;
	return false;
}

/* The members of an object that names does not name and over (may be NULL) does not have. */
static void
write_members(struct az_jw *w, const struct az_json *obj, const char *const *names,
    const struct az_json *over)
{
	const struct az_json *v, *other;
	struct az_str key, name;
	void *it = NULL;

	while (az_json_each(obj, &it, &key, &v)) {
		bool skip = one_of(key, names);

		for (void *in = NULL; !skip && az_json_each(over, &in, &name, &other);)
			skip = az_str_eq(name, key);
		if (skip)
			continue;
		az_jw_keys(w, key);
		az_jw_value(w, v);
	}
}

/* A body that would make the old run again, with what the new one says in its place. */
static enum az_code
merge(
    struct create *c, const struct az_json *request, const struct az_json **out, struct az_err *err)
{
	static const char *const ours[] = {"inputs", "limits", "forked_from", "traceparent", NULL};
	static const char *const theirs[] = {"inputs", "limits", "iteration", "user_id", NULL};
	static const char *const none[] = {NULL};
	const struct az_json *body = c->fork->body, *limits = az_json_get(body, "limits");
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	if (az_json_get(body, "inputs"))
		create_warn(c, AZ_S("inputs"), "");
	az_buf_init(&b, REQUEST_BYTES + AZ_LIM_REQUEST_BYTES);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	write_members(&w, request, ours, body);
	write_members(&w, body, theirs, NULL);
	az_jw_key(&w, "limits");
	if (limits && az_json_type(limits) != AZ_JOBJ && az_json_type(limits) != AZ_JNULL) {
		az_jw_value(&w, limits);
	} else {
		az_jw_obj(&w);
		write_members(&w, az_json_get(request, "limits"), none, limits);
		write_members(&w, limits, none, NULL);
		az_jw_end(&w, '}');
	}
	/* they come with the files */
	az_jw_kraw(&w, "inputs", AZ_S("[]"));
	az_jw_end(&w, '}');
	rc = az_buf_check(&b, op, err);
	if (rc == AZ_OK)
		rc = az_json_parse_in(c->a, az_buf_str(&b), &az_json_own_limits, out, err);
	az_buf_release(&b);
	return rc;
}

static void
check_iteration(struct create *c)
{
	const struct az_json *j = az_json_get(c->fork->body, "iteration");
	int64_t n = 0;

	if (!j)
		create_item(c, "missing", "Field required", "\"body\",\"iteration\"");
	else if (az_json_type(j) != AZ_JINT)
		create_item(
		    c, "int_type", "Input should be a valid integer", "\"body\",\"iteration\"");
	else if (!az_json_i64(j, 0, AZ_LIM_ITERATIONS_MAX, &n))
		create_item(
		    c, "out_of_range", "Input should be from 0 to 100", "\"body\",\"iteration\"");
	c->fork->iteration = (int)n;
}

static void
free_arena(void *arg)
{
	az_arena_free(arg);
}

/* Manifests may be larger than what a request is worth. */
static enum az_code
make_room(struct create *c, struct az_err *err)
{
	struct az_arena *a = az_arena_new(4 * MANIFEST_BYTES);

	if (!a || !az_arena_defer(c->a, free_arena, a))
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	az_manifest_init(&c->fork->tree, a);
	az_manifest_init(&c->fork->inputs, a);
	return AZ_OK;
}

enum az_code
fork_prepare(struct az_rq *rq, const struct az_api *api, struct create *c, struct az_str uid,
    struct az_err *err)
{
	const struct az_json *request = NULL, *json = NULL;
	struct az_arena *a = az_rq_arena(rq);
	struct fork *f = c->fork;
	struct az_run_info info;
	enum az_code rc = api_run_describe(api, a, uid, f->from, &info, err);
	bool open = rc == AZ_OK && info.state == AZ_RUN_OPEN;

	f->bucket = az_bucket_of(uid);
	if (rc != AZ_OK || (rc = make_room(c, err)) != AZ_OK ||
	    (rc = load_request(api, f, open, a, &request, err)) != AZ_OK ||
	    (rc = merge(c, request, &json, err)) != AZ_OK)
		return rc;
	check_iteration(c);
	create_check(c, json);
	if (c->n_items)
		return AZ_OK; /* said with whatever else is wrong */
	f->said = az_str_c(az_arena_printf(
	    a, "{\"workflow_id\":\"%.*s\",\"iteration\":%d}", AZ_FMT(f->from), f->iteration));
	if (!f->said.p)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	return load_trees(api, f, request, open, err);
}

/* ---- the files ---- */

/* Two requests with one key may be here at once: what differs from the first is another body. */
static enum az_code
save_once(const struct az_api *api, const struct fork *f, struct az_str wid, const char *name,
    const struct az_manifest *m, struct az_err *err)
{
	struct az_buf key, now, was;
	enum az_code rc;

	az_buf_init(&key, 1024);
	az_buf_init(&now, MANIFEST_BYTES);
	az_buf_init(&was, MANIFEST_BYTES);
	az_key_iter(&key, wid, 0, name);
	az_manifest_write(m, &now);
	rc = az_buf_check(&now, op, err);
	if (rc == AZ_OK)
		rc = az_store_put_if(api->store, &f->bucket, az_buf_str(&key),
		    (struct az_str){NULL, 0}, az_buf_str(&now), err);
	if (rc == AZ_EPRECOND &&
	    (rc = az_store_get(api->store, &f->bucket, az_buf_str(&key), &was, err)) == AZ_OK &&
	    !az_str_eq(az_buf_str(&was), az_buf_str(&now))) {
		az_fail(err, AZ_EUNPROC, op, "This Idempotency-Key was used with another body.");
		rc = az_err_reason(err, "idempotency_mismatch");
	}
	az_buf_release(&key);
	az_buf_release(&now);
	az_buf_release(&was);
	return api_store_rc(rc, err);
}

static enum az_code
copy(struct az_rq *rq, const struct az_api *api, const struct fork *f, struct az_str wid,
    const struct az_file *file, struct az_err *err)
{
	struct az_buf from, to;
	enum az_code rc;

	if (!az_rq_connected(rq))
		return az_fail(err, AZ_ECANCELLED, op, "the client left");
	az_buf_init(&from, 1024);
	az_buf_init(&to, 1024);
	az_key_blob(&from, f->from, az_file_blob(file));
	az_key_blob(&to, wid, az_file_blob(file));
	rc = az_store_copy(api->store, &f->bucket, az_buf_str(&from), az_buf_str(&to), err);
	az_buf_release(&from);
	az_buf_release(&to);
	return api_store_rc(rc, err);
}

static enum az_code
copy_all(struct az_rq *rq, const struct az_api *api, const struct fork *f, struct az_str wid,
    struct quota *q, struct az_err *err)
{
	enum az_code rc = quota_claim(q, 0, 2, err);

	if (rc == AZ_OK)
		rc = save_once(api, f, wid, "manifest", &f->tree, err);
	if (rc == AZ_OK && f->inputs.n)
		rc = save_once(api, f, wid, "source", &f->inputs, err);
	for (size_t i = 0; i < f->tree.n + f->inputs.n && rc == AZ_OK; i++) {
		bool first = i < f->tree.n;
		const struct az_file *file =
		    first ? &f->tree.files[i] : &f->inputs.files[i - f->tree.n];
		const struct az_file *done = first ? NULL : az_manifest_find(&f->tree, file->path);

		if (done && az_file_same_blob(done, file))
			continue;
		rc = quota_claim(q, file->size, 1, err);
		if (rc == AZ_OK)
			rc = copy(rq, api, f, wid, file, err);
		if (rc == AZ_OK)
			quota_stored(q);
	}
	return rc;
}

enum az_code
fork_take(struct az_rq *rq, const struct az_api *api, const struct fork *f, struct az_str wid,
    struct az_err *err)
{
	bool keyed = az_rq_header(rq, "Idempotency-Key").p != NULL;
	struct quota q;
	enum az_code rc = quota_begin(&q, api, &f->bucket, err);

	if (rc != AZ_OK)
		return rc;
	rc = copy_all(rq, api, f, wid, &q, err);
	quota_end(&q, rc == AZ_OK);
	/* what a key made may be another request's by now; the next use of it goes on with that */
	if (rc != AZ_OK && !keyed)
		fork_drop(api, f, wid);
	return rc;
}

/* Best effort: nothing names what would be left. */
void
fork_drop(const struct az_api *api, const struct fork *f, struct az_str wid)
{
	struct az_err ignored;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_run(&key, wid);
	(void)!az_store_remove_prefix(api->store, &f->bucket, az_buf_str(&key), &ignored);
	az_buf_release(&key);
	quota_forget(api, &f->bucket);
}

/* ---- the route ---- */

enum az_code
run_fork(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct fork f = {.iteration = 0};
	struct create c = {.a = az_rq_arena(rq), .fork = &f, .service = api};
	struct az_buf bound;
	struct az_caller who;
	struct az_str body, user;
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &f.from, err)) != AZ_OK ||
	    (rc = create_read_body(rq, &body, &f.body, err)) != AZ_OK)
		return rc;
	user = az_json_gets(f.body, "user_id");
	if (user.n && !az_str_eq(user, who.uid))
		return az_fail(err, AZ_EPERM, op, "user_id is not the caller's");
	c.async = az_str_eqc(az_json_gets(f.body, "mode"), "async");
	/* a key is for this run and this body */
	az_buf_init(&bound, AZ_LIM_REQUEST_BYTES + 1024);
	az_buf_addf(&bound, "%.*s\n", AZ_FMT(f.from));
	az_buf_adds(&bound, body);
	az_buf_init(&c.warnings, AZ_KIB(32));
	rc = az_buf_check(&bound, op, err);
	if (rc == AZ_OK)
		rc = create_start(rq, api, &c, who.uid, az_buf_str(&bound), err);
	az_buf_release(&bound);
	az_buf_release(&c.warnings);
	return rc;
}
