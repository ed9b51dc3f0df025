/* GET /sandboxes: filters, order, pages. */
#include "control.h"

#include <stdlib.h>
#include <azlon/crypto.h>

#define LIST_MAX 100

enum { STATE_RUNNING = 1, STATE_PAUSED = 2 };

struct query {
	struct az_str meta; /* decoded twice: k=v&k=v, each encoded once more */
	struct az_str template;
	int64_t after_ms;
	unsigned states;
	bool asc;
	/* the cursor: strictly after this one in the order asked for */
	bool has_cursor;
	int64_t cur_ms;
	struct az_str cur_id;
	bool nomem; /* some box was not compared */
};

enum az_code
list_decode(struct az_arena *a, struct az_str s, struct az_str *out, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;
	bool well;

	az_buf_init(&b, AZ_KIB(64));
	well = az_pct_decode(&b, s, true);
	if ((rc = az_buf_check(&b, "box.list", err)))
		goto out;
	if (!well)
		rc = az_fail(err, AZ_EINVAL, "box.list", "metadata: malformed");
	else if (!(*out = az_arena_str(a, az_buf_str(&b))).p)
		rc = az_fail(err, AZ_ENOMEM, "box.list", "out of memory");
out:
	az_buf_release(&b);
	return rc;
}

/* What is malformed inside matches nothing. */
static bool
meta_match(struct az_arena *a, const struct az_json *meta, struct query *q)
{
	struct az_str pair, want = q->meta;
	struct az_err err = AZ_ERR_INIT;

	while (az_str_cut(&want, '&', &pair)) {
		ptrdiff_t eq = az_str_chr(pair, '=');
		struct az_str k = {NULL, 0}, v = AZ_S(""), have;
		enum az_code rc;
		char *key;

		if (!pair.n)
			continue;
		rc = list_decode(a, eq < 0 ? pair : az_str_sub(pair, 0, (size_t)eq), &k, &err);
		if (!rc && eq >= 0)
			rc = list_decode(a, az_str_sub(pair, (size_t)eq + 1, pair.n), &v, &err);
		if (rc == AZ_EINVAL)
			return false;
		key = rc ? NULL : az_arena_cstr(a, k);
		if (!key) {
			q->nomem = true;
			return false;
		}
		have = az_json_gets(meta, key);
		if (!az_json_is_str(az_json_get(meta, key)) || !az_str_eq(have, v))
			return false;
	}
	return true;
}

/* Order: start, then id ascending. */
static int
compare(int64_t am, struct az_str aid, int64_t bm, struct az_str bid, bool asc)
{
	if (am != bm)
		return (am < bm) == asc ? -1 : 1;
	return az_str_cmp(aid, bid);
}

static enum az_code
parse_cursor(struct az_arena *a, struct az_str token, struct query *q, struct az_err *err)
{
	struct az_buf b;
	struct az_str s, rest, ms;
	bool asc;

	az_buf_init(&b, AZ_KIB(1));
	if (!az_base64_decode(&b, token) || b.fail)
		goto bad;
	s = az_arena_str(a, az_buf_str(&b));
	rest = s;
	asc = az_str_ends(s, AZ_S("__asc"));
	if (!s.p || asc != q->asc || !az_str_cut(&rest, '_', &ms) ||
	    !az_str_to_i64(ms, 0, INT64_MAX, &q->cur_ms) || rest.n < 1 + BOX_ID || rest.p[0] != '_')
		goto bad;
	q->cur_id = az_str_sub(rest, 1, 1 + BOX_ID);
	q->has_cursor = true;
	az_buf_release(&b);
	return AZ_OK;
bad:
	az_buf_release(&b);
	return az_fail(err, AZ_EINVAL, "box.list", "Invalid next token");
}

static enum az_code
parse_states(struct az_str s, unsigned *states, struct az_err *err)
{
	struct az_str one;

	*states = s.n ? 0 : STATE_RUNNING | STATE_PAUSED;
	while (s.n && az_str_cut(&s, ',', &one)) {
		if (az_str_eqc(one, "running"))
			*states |= STATE_RUNNING;
		else if (az_str_eqc(one, "paused"))
			*states |= STATE_PAUSED;
		else
			return az_fail(err, AZ_EINVAL, "box.list", "state: running or paused");
	}
	return AZ_OK;
}

static enum az_code
parse_query(struct az_rq *rq, struct query *q, int64_t *limit, struct az_err *err)
{
	struct az_arena *a = az_rq_arena(rq);
	struct az_str s;
	enum az_code rc = az_rq_query_i64(rq, "limit", 1, LIST_MAX, LIST_MAX, limit, err);

	if (rc || (rc = parse_states(az_rq_query(rq, "state"), &q->states, err)))
		return rc;
	s = az_rq_query(rq, "metadata");
	if (s.n && (rc = list_decode(a, s, &q->meta, err)))
		return rc;
	q->template = az_rq_query(rq, "template");
	s = az_rq_query(rq, "order");
	q->asc = az_str_eqc(s, "asc");
	if (s.n && !q->asc && !az_str_eqc(s, "desc"))
		return az_fail(err, AZ_EINVAL, "box.list", "order: asc or desc");
	s = az_rq_query(rq, "startedAfter");
	if (s.n && !az_rfc3339_parse(s, &q->after_ms))
		return az_fail(err, AZ_EINVAL, "box.list", "startedAfter: not RFC 3339");
	s = az_rq_query(rq, "nextToken");
	return s.n ? parse_cursor(a, s, q, err) : AZ_OK;
}

static bool
wanted(struct az_arena *a, const struct box *b, bool paused, struct query *q)
{
	if (b->started_ms < q->after_ms)
		return false;
	if (!(q->states & (paused ? STATE_PAUSED : STATE_RUNNING)))
		return false;
	if (q->template.n && !template_same(q->template, az_json_gets(b->req, "templateID")))
		return false;
	if (q->has_cursor &&
	    compare(b->started_ms, az_str_c(b->id), q->cur_ms, q->cur_id, q->asc) <= 0)
		return false;
	return !q->meta.n || meta_match(a, b->meta, q);
}

static int
newest(const void *x, const void *y)
{
	const struct box *a = *(struct box *const *)x, *b = *(struct box *const *)y;

	return compare(a->started_ms, az_str_c(a->id), b->started_ms, az_str_c(b->id), false);
}

static int
oldest(const void *x, const void *y)
{
	const struct box *a = *(struct box *const *)x, *b = *(struct box *const *)y;

	return compare(a->started_ms, az_str_c(a->id), b->started_ms, az_str_c(b->id), true);
}

static void
next_token(struct az_rq *rq, const struct box *b, bool asc)
{
	struct az_buf t, o;

	az_buf_init(&t, 128);
	az_buf_init(&o, 256);
	az_buf_addf(&t, "%lld__%s%s", (long long)b->started_ms, b->id, asc ? "__asc" : "");
	az_base64url(&o, az_buf_str(&t));
	az_rs_header(rq, "X-Next-Token", az_buf_str(&o));
	az_buf_release(&t);
	az_buf_release(&o);
}

/* Everybody q wants, in order, referenced; how many run at all. */
static struct box **
choose(struct az_box_server *s, struct az_arena *a, struct query *q, size_t *n, size_t *running)
{
	size_t cap = (size_t)s->max + 1;
	struct box **v = az_arena_alloc(a, cap * sizeof *v);

	*n = *running = 0;
	if (!v)
		return NULL;
	pthread_mutex_lock(&s->mu);
	for (struct box *b = s->boxes; b; b = b->next) {
		bool paused = box_paused(b);

		*running += !paused;
		if (*n < cap && wanted(a, b, paused, q)) {
			b->refs++;
			v[(*n)++] = b;
		}
	}
	pthread_mutex_unlock(&s->mu);
	qsort(v, *n, sizeof *v, q->asc ? oldest : newest);
	return v;
}

static enum az_code
answer(struct az_rq *rq, struct az_box_server *s, struct query *q, size_t limit, struct az_err *err)
{
	size_t n, running;
	struct box **v = choose(s, az_rq_arena(rq), q, &n, &running);
	struct az_buf out;
	struct az_jw w;
	enum az_code rc = AZ_OK;

	if (!v)
		return az_fail(err, AZ_ENOMEM, "box.list", "out of memory");
	az_buf_init(&out, AZ_MIB(32));
	az_jw_init(&w, &out);
	az_jw_arr(&w);
	for (size_t i = 0; i < n && i < limit; i++)
		sandbox_detail(&w, v[i], false);
	az_jw_end(&w, ']');
	if (n > limit)
		next_token(rq, v[limit - 1], q->asc);
	az_rs_headerf(rq, "X-Total-Running", "%zu", running);
	for (size_t i = 0; i < n; i++)
		box_unref(v[i]);
	if (q->nomem)
		rc = az_fail(err, AZ_ENOMEM, "box.list", "out of memory");
	else if (!(rc = az_buf_check(&out, "box.list", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

enum az_code
control_list(struct az_rq *rq, void *app, struct az_err *err)
{
	struct query q = {0};
	int64_t limit;
	enum az_code rc;

	if ((rc = check_key(rq, app, err)) || (rc = parse_query(rq, &q, &limit, err)))
		return rc;
	return answer(rq, app, &q, (size_t)limit, err);
}

/* The old one knows no pages and no pause. */
enum az_code
control_list_v1(struct az_rq *rq, void *app, struct az_err *err)
{
	struct query q = {.states = STATE_RUNNING};
	struct az_str s;
	enum az_code rc = check_key(rq, app, err);

	s = az_rq_query(rq, "metadata");
	if (!rc && s.n)
		rc = list_decode(az_rq_arena(rq), s, &q.meta, err);
	return rc ? rc : answer(rq, app, &q, SIZE_MAX, err);
}
