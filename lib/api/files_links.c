/*
 * Signed links: who has one reads one file until it expires, without an identity, as its
 * owner. Nothing is kept: the signature is over whose file it is, which, and until when.
 */
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/path.h>
#include "files.h"

#define TTL_S 3600
#define TTL_MAX_S 604800

static const char op[] = "files.links", FOR[] = "links";

/* What a signature is over. */
struct link {
	struct az_str owner; /* a workflow id, or bucket/set: no id holds a '/' */
	struct az_str path;
	int iteration; /* -1 = the current tree */
	int64_t exp_s; /* Unix time */
};

/* text is released by the caller, whatever comes of it. */
static enum az_code
signed_text(const struct link *l, struct az_buf *text, struct az_err *err)
{
	az_buf_init(text, 2048);
	az_buf_addf(text, "%d %lld ", l->iteration, (long long)l->exp_s);
	az_buf_adds(text, l->path);
	return az_buf_check(text, op, err);
}

static enum az_code
sign(const struct az_api *api, const struct link *l, struct az_buf *out, struct az_err *err)
{
	struct az_buf text;
	enum az_code rc = signed_text(l, &text, err);

	if (!rc)
		rc = api_sign(api, FOR, l->owner, az_buf_str(&text), out, err);
	az_buf_release(&text);
	return rc;
}

/* ---- reading by one ---- */

bool
files_by_link(struct az_rq *rq)
{
	return az_rq_query(rq, "sig").p != NULL;
}

static enum az_code
refused(struct az_err *err, const char *reason, const char *text)
{
	(void)az_fail(err, AZ_EPERM, op, "%s", text);
	return az_err_reason(err, reason);
}

static enum az_code
check(struct az_rq *rq, const struct az_api *api, struct link *l, struct az_err *err)
{
	struct az_buf text;
	enum az_code rc;
	bool ok = false;

	if ((rc = api_anybody(rq, api, err)))
		return rc;
	if (!az_str_to_i64(az_rq_query(rq, "exp"), 0, INT64_MAX / 1000, &l->exp_s))
		return refused(err, "link_invalid", "The link is damaged or was changed.");
	rc = signed_text(l, &text, err);
	if (!rc)
		rc = api_signed(
		    api, FOR, l->owner, az_buf_str(&text), az_rq_query(rq, "sig"), &ok, err);
	az_buf_release(&text);
	if (rc)
		return rc;
	if (!ok)
		return refused(err, "link_invalid", "The link is damaged or was changed.");
	if (l->exp_s <= az_wall_ms() / 1000)
		return refused(err, "link_expired", "The link has expired.");
	return AZ_OK;
}

enum az_code
files_link_run(struct az_rq *rq, const struct az_api *api, struct az_str path, int iteration,
    struct az_bucket *b, struct az_err *err)
{
	struct link l = {.owner = az_rq_param(rq, "id"), .path = path, .iteration = iteration};
	enum az_code rc = check(rq, api, &l, err);

	if (!rc)
		*b = az_bucket_of_run(l.owner, AZ_S(""));
	return rc;
}

/* Sets of several users may have one name: the link says whose it is. */
static struct az_str
owner_of_set(struct az_arena *a, struct az_str bucket, struct az_str set)
{
	return az_str_c(az_arena_printf(a, "%.*s/%.*s", AZ_FMT(bucket), AZ_FMT(set)));
}

enum az_code
files_link_set(struct az_rq *rq, const struct az_api *api, struct az_str path, struct az_bucket *b,
    struct az_err *err)
{
	struct az_str bucket = az_rq_query(rq, "bucket");
	struct link l = {.path = path, .iteration = -1};
	enum az_code rc;

	l.owner = owner_of_set(az_rq_arena(rq), bucket, az_rq_param(rq, "set"));
	if (!l.owner.p)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	rc = check(rq, api, &l, err);
	if (rc)
		return rc;
	memset(b, 0, sizeof *b);
	memcpy(b->name, bucket.p, bucket.n < sizeof b->name ? bucket.n : sizeof b->name - 1);
	return AZ_OK;
}

/* ---- making one ---- */

struct wish {
	struct az_str path;
	int64_t ttl_s, iteration;
};

/* The body; *answered when it was refused with a list of what is wrong. */
static enum az_code
read_wish(struct az_rq *rq, bool of_run, struct wish *w, bool *answered, struct az_err *err)
{
	struct az_problem_item items[3];
	const struct az_json *j = NULL, *v;
	struct az_str body;
	size_t n = 0;
	enum az_code rc;

	*answered = false;
	*w = (struct wish){.ttl_s = TTL_S, .iteration = -1};
	if ((rc = api_json_type(rq, err)) ||
	    (rc = az_rq_body(rq, AZ_LIM_REQUEST_BYTES, &body, err)) ||
	    (rc = az_json_parse_in(az_rq_arena(rq), body, &az_json_request_limits, &j, err)))
		return rc;
	if (az_json_type(j) != AZ_JOBJ)
		return az_fail(err, AZ_EINVAL, op, "the body must be an object");
	v = az_json_get(j, "path");
	if (!v || !az_json_is_str(v))
		items[n++] = (struct az_problem_item){"[\"body\",\"path\"]",
		    v ? "Input should be a valid string" : "Field required",
		    v ? "string_type" : "missing"};
	v = az_json_get(j, "ttl_s");
	if (az_json_type(v) != AZ_JNULL && !az_json_i64(v, 1, TTL_MAX_S, &w->ttl_s))
		items[n++] = (struct az_problem_item){"[\"body\",\"ttl_s\"]",
		    "Input should be an integer from 1 to 604800", "int_range"};
	v = az_json_get(j, "iteration");
	if (of_run && az_json_type(v) != AZ_JNULL &&
	    !az_json_i64(v, 0, AZ_LIM_ITERATIONS_MAX, &w->iteration))
		items[n++] = (struct az_problem_item){"[\"body\",\"iteration\"]",
		    "Input should be the number of an iteration", "int_range"};
	if (n) {
		(void)az_fail(err, AZ_EUNPROC, op,
		    "A link needs the path of a file, and may say ttl_s and iteration.");
		*answered = true;
		return az_rs_problem(rq, 0, err, items, n);
	}
	return files_path(az_rq_arena(rq), az_json_gets(j, "path"), &w->path, err);
}

/* A link on its way. */
struct making {
	struct az_rq *rq;
	const struct az_api *api;
	struct az_bucket b;
	struct link l;
	struct az_str bucket; /* named in the link when its owner's id does not say it */
	struct az_buf base;   /* where the file is read with an identity, up to its path */
	struct az_buf key;    /* its blob */
};

static enum az_code
own_url(const struct making *m, struct az_buf *out, struct az_err *err)
{
	struct az_str before = az_str_c(m->api->external_url);

	while (before.n && before.p[before.n - 1] == '/')
		before.n--;
	az_buf_adds(out, before);
	az_buf_adds(out, az_buf_str(&m->base));
	az_pct_encode(out, m->l.path, "/");
	az_buf_addf(out, "?exp=%lld", (long long)m->l.exp_s);
	if (m->l.iteration >= 0)
		az_buf_addf(out, "&iteration=%d", m->l.iteration);
	if (m->bucket.n)
		az_buf_addf(out, "&bucket=%.*s", AZ_FMT(m->bucket));
	az_buf_addc(out, "&sig=");
	return sign(m->api, &m->l, out, err);
}

static enum az_code
store_url(const struct making *m, int ttl_s, struct az_buf *out, struct az_err *err)
{
	struct az_link l = {.ttl_s = ttl_s, .mime = az_path_mime(m->l.path)};
	struct az_buf disposition;
	enum az_code rc;

	az_buf_init(&disposition, AZ_KIB(8));
	files_disposition(&disposition, az_path_base(m->l.path), files_active(l.mime));
	l.disposition = az_buf_str(&disposition);
	rc = az_buf_check(&disposition, op, err);
	if (!rc)
		rc = az_store_link(m->api->store, &m->b, az_buf_str(&m->key), &l, out, err);
	az_buf_release(&disposition);
	return rc;
}

static enum az_code
answer(struct az_rq *rq, const struct az_buf *url, int64_t exp_s, struct az_err *err)
{
	struct az_buf out, t;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&out, AZ_KIB(32));
	az_buf_init(&t, 64);
	az_rfc3339(&t, exp_s * 1000);
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	az_jw_ks(&w, "url", az_buf_str(url));
	az_jw_ks(&w, "expires_at", az_buf_str(&t));
	az_jw_end(&w, '}');
	rc = az_buf_check(&out, op, err);
	if (!rc) {
		az_rs_header(rq, "Cache-Control", AZ_S("private, no-store"));
		rc = az_rs_json(rq, 201, az_buf_str(&out), err);
	}
	az_buf_release(&out);
	az_buf_release(&t);
	return rc;
}

static enum az_code
give(struct making *m, int64_t ttl_s, struct az_err *err)
{
	enum az_code rc = AZ_EUNSUPPORTED;
	struct az_buf url;

	az_buf_init(&url, AZ_KIB(16));
	m->l.exp_s = az_wall_ms() / 1000 + ttl_s;
	if (m->api->store_links)
		rc = api_store_rc(store_url(m, (int)ttl_s, &url, err), err);
	/* a store that browsers cannot reach: through us */
	if (rc == AZ_EUNSUPPORTED)
		rc = own_url(m, &url, err);
	if (!rc)
		rc = answer(m->rq, &url, m->l.exp_s, err);
	az_buf_release(&url);
	return rc;
}

/* Other paths know other methods. */
static enum az_code
not_links(struct az_rq *rq, const char *allow, struct az_err *err)
{
	az_rs_header(rq, "Allow", az_str_c(allow));
	(void)az_fail(err, AZ_EMETHOD, op, "only links are made by POST");
	return az_rs_problem(rq, 0, err, NULL, 0);
}

enum az_code
files_post_link(struct az_rq *rq, void *app, struct az_err *err)
{
	struct making m = {.rq = rq, .api = app};
	const struct az_file *f;
	struct az_caller caller;
	struct az_manifest tree;
	struct az_str wid;
	struct wish w;
	bool answered;
	enum az_code rc;

	if (!az_str_eqc(az_rq_param(rq, "path"), "links"))
		return not_links(rq, "GET, HEAD, DELETE", err);
	if ((rc = api_caller_run(rq, app, &caller, &wid, err)) ||
	    (rc = read_wish(rq, true, &w, &answered, err)) || answered)
		return rc;
	m.b = az_bucket_of(caller.uid);
	m.l = (struct link){.owner = wid, .path = w.path, .iteration = (int)w.iteration};
	rc = files_tree(app, az_rq_arena(rq), &m.b, wid, m.l.iteration, &tree, err);
	f = rc ? NULL : az_manifest_find(&tree, w.path);
	if (!f)
		return rc ? rc : az_fail(err, AZ_ENOTFOUND, op, "no such file");
	az_buf_init(&m.base, AZ_KIB(1));
	az_buf_init(&m.key, AZ_KIB(2));
	az_buf_addf(&m.base, "/files/%.*s/", AZ_FMT(wid));
	az_key_blob(&m.key, wid, az_file_blob(f));
	rc = give(&m, w.ttl_s, err);
	az_buf_release(&m.base);
	az_buf_release(&m.key);
	return rc;
}

enum az_code
files_post_input_link(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str set = az_rq_param(rq, "set");
	struct making m = {.rq = rq, .api = app};
	const struct az_file *f;
	struct az_caller caller;
	struct az_manifest files;
	struct wish w;
	bool answered;
	enum az_code rc;

	if (!az_str_eqc(az_rq_param(rq, "path"), "links"))
		return not_links(rq, "PUT, GET, HEAD, DELETE", err);
	if ((rc = api_caller(rq, app, AZ_S(""), &caller, err)) ||
	    (rc = read_wish(rq, false, &w, &answered, err)) || answered)
		return rc;
	m.b = az_bucket_of(caller.uid);
	m.bucket = az_str_c(m.b.name);
	m.l = (struct link){
	    .path = w.path, .iteration = -1, .owner = owner_of_set(az_rq_arena(rq), m.bucket, set)};
	if (!m.l.owner.p)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	az_manifest_init(&files, az_rq_arena(rq));
	rc = files_set_load(app, &m.b, set, &files, err);
	f = rc ? NULL : az_manifest_find(&files, w.path);
	if (!f)
		return rc ? rc : az_fail(err, AZ_ENOTFOUND, op, "no such file");
	az_buf_init(&m.base, AZ_KIB(1));
	az_buf_init(&m.key, AZ_KIB(2));
	az_buf_addf(&m.base, "/files/inputs/%.*s/", AZ_FMT(set));
	az_key_input_blob(&m.key, set, az_file_blob(f));
	rc = give(&m, w.ttl_s, err);
	az_buf_release(&m.base);
	az_buf_release(&m.key);
	return rc;
}
