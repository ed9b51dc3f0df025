/*
 * Uploads. A body of up to one part waits here and goes out as one PUT under its final name;
 * a longer one in parts, of which up to two are sent by threads while the caller brings
 * more. Nothing is visible before the commit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "s3.h"

#define SMALL_BYTES AZ_KIB(256) /* up to here a buffer grows with what comes */
#define STACK_BYTES AZ_KIB(256)

static const char op[] = "store.put";

struct part {
	struct s3_put *put;
	pthread_t thread;
	bool running;
	char *p;
	size_t n;
	int number;
	char etag[40];
	enum az_code rc;
	struct az_err err;
};

struct s3_put {
	struct az_put base;
	struct az_bucket bucket;
	char key[1025];
	size_t key_n;
	char *p; /* the buffer that fills */
	size_t n, cap;
	char *spare;
	bool slab; /* p is of the slab */
	struct s3_upload_id id;
	bool multi;
	int parts;
	struct part way[2]; /* parts being sent, by turns */
	char (*etags)[40];
	enum az_code failed; /* a part did not arrive: there is no commit */
};

static struct s3 *
of(const struct s3_put *u)
{
	return (struct s3 *)u->base.store;
}

/* ---- one PUT ---- */

enum az_code
s3_put_body(struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_str body,
    const struct s3_kv *headers, size_t n, struct s3_reply *r, struct az_err *err)
{
	struct s3_call c = {.method = "PUT",
	    .bucket = b,
	    .key = key,
	    .headers = headers,
	    .n_headers = n,
	    .body = body};
	enum az_code rc = s3_bucket_make(s, b, err);

	if (rc)
		return rc;
	rc = s3_do(s, &c, r, err);
	if (rc == AZ_ENOTFOUND && !strcmp(r->error.code, "NoSuchBucket")) {
		/* somebody removed it since */
		s3_bucket_forget(s, b);
		rc = s3_bucket_make(s, b, err);
		if (!rc)
			rc = s3_do(s, &c, r, err);
	}
	if (!rc && !r->etag[0])
		rc = az_fail(err, AZ_EUPSTREAM, op,
		    "what answers has not stored the object: is MINIO_ENDPOINT an S3 port?");
	return rc;
}

static enum az_code
exists(struct s3 *s, const struct az_bucket *b, struct az_str key, bool *yes, struct az_err *err)
{
	struct az_obj o;
	enum az_code rc = s3_stat(&s->base, b, key, &o, err);

	*yes = !rc;
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

enum az_code
s3_free_name(struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_err *err)
{
	char dir[1026];
	struct az_store_list below = {.limit = 1};
	struct az_store_page page = {.n = 0};
	struct az_arena *a;
	bool hit = false;
	enum az_code rc = AZ_OK;

	/* names of our own making never collide */
	if (az_str_find(key, AZ_S("/.azlon/"), 0) >= 0)
		return AZ_OK;
	for (size_t i = 0; !rc && !hit && i < key.n; i++)
		if (key.p[i] == '/')
			rc = exists(s, b, az_str_sub(key, 0, i), &hit, err);
	if (!rc && !hit) {
		memcpy(dir, key.p, key.n);
		dir[key.n] = '/';
		below.prefix = az_str_n(dir, key.n + 1);
		if (!(a = az_arena_new(AZ_KIB(256))))
			return az_fail(err, AZ_ENOMEM, op, "out of memory");
		rc = s3_list(&s->base, b, &below, a, &page, err);
		hit = page.n > 0;
		az_arena_free(a);
	}
	if (!rc && hit)
		rc = az_fail(err, AZ_ECONFLICT, op,
		    "a file stands where a directory is needed, or the reverse");
	return rc;
}

/* ---- parts ---- */

static enum az_code
send_part(struct part *t)
{
	struct s3_put *u = t->put;
	char number[12], md5[25];
	struct s3_kv q[2] = {
	    {AZ_S("partNumber"), {number, 0}}, {AZ_S("uploadId"), az_str_c(u->id.id)}};
	struct s3_call c = {.method = "PUT",
	    .bucket = &u->bucket,
	    .key = az_str_n(u->key, u->key_n),
	    .query = q,
	    .n_query = 2,
	    .body = az_str_n(t->p, t->n),
	    .md5 = md5,
	    .unsigned_body = true};
	struct s3_reply r;

	q[0].value.n = (size_t)snprintf(number, sizeof number, "%d", t->number);
	s3_md5(c.body, md5); /* once for all tries */
	t->rc = s3_do(of(u), &c, &r, &t->err);
	if (!t->rc && (!r.etag[0] || strlen(r.etag) >= sizeof t->etag))
		t->rc = az_fail(&t->err, AZ_EUPSTREAM, op, "a part came back without its tag");
	if (!t->rc)
		memcpy(t->etag, r.etag, strlen(r.etag) + 1);
	return t->rc;
}

static void *
part_main(void *arg)
{
	(void)!send_part(arg);
	return NULL;
}

static enum az_code
sent(struct s3_put *u, const struct part *t, struct az_err *err)
{
	if (!t->rc)
		memcpy(u->etags[t->number - 1], t->etag, sizeof t->etag);
	else if (err)
		*err = t->err;
	return t->rc;
}

/* That part, if it is under way, is done; its buffer fills next, or is the spare one. */
static enum az_code
join(struct s3_put *u, struct part *t, struct az_err *err)
{
	if (!t->running)
		return AZ_OK;
	pthread_join(t->thread, NULL);
	t->running = false;
	*(u->p ? &u->spare : &u->p) = t->p;
	t->p = NULL;
	return sent(u, t, err);
}

static enum az_code
join_all(struct s3_put *u, struct az_err *err)
{
	enum az_code a = join(u, &u->way[0], err), b = join(u, &u->way[1], a ? NULL : err);

	return a ? a : b;
}

static enum az_code
begin(struct s3_put *u, struct az_err *err)
{
	enum az_code rc =
	    s3_parts_begin(of(u), &u->bucket, az_str_n(u->key, u->key_n), &u->id, err);

	if (rc)
		return rc;
	u->multi = true;
	return AZ_OK;
}

static enum az_code
room_for_part(struct s3_put *u, struct az_err *err)
{
	size_t cap = u->parts ? (size_t)u->parts * 2 : 16;
	void *e;

	if (u->parts == S3_PARTS_MAX)
		return az_fail(
		    err, AZ_ETOOBIG, op, "an object has at most %d parts of 5 MiB", S3_PARTS_MAX);
	if (u->parts && (u->parts < 16 || (u->parts & (u->parts - 1))))
		return AZ_OK;
	/* only this thread looks at them */
	if (!(e = realloc(u->etags, cap * sizeof *u->etags)))
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	u->etags = e;
	return AZ_OK;
}

static bool
start(struct part *t)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	t->running = pthread_create(&t->thread, &attr, part_main, t) == 0;
	pthread_attr_destroy(&attr);
	return t->running;
}

/* What filled goes out; u->p can be filled anew. With two buffers both may be on their way:
   the older one is waited for when there is something to fill it with. */
static enum az_code
flush(struct s3_put *u, bool last, struct az_err *err)
{
	struct part *t = &u->way[u->parts & 1], *older = &u->way[!(u->parts & 1)];
	enum az_code rc = u->multi ? AZ_OK : begin(u, err);

	if (!rc)
		rc = room_for_part(u, err);
	if (rc)
		return rc;
	*t = (struct part){.put = u, .p = u->p, .n = u->n, .number = ++u->parts};
	u->n = 0;
	if (!last && !older->running && !u->spare)
		(void)!s3_slab_take(of(u)->slab, 0, &u->spare, NULL);
	if (!last && (older->running || u->spare) && start(t)) {
		u->p = u->spare;
		u->spare = NULL;
		return u->p ? AZ_OK : join(u, older, err);
	}
	/* no second buffer, or no thread: here */
	(void)!send_part(t);
	t->p = NULL;
	return sent(u, t, err);
}

/* ---- the slots ---- */

enum az_code
s3_put_open(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_put **out,
    struct az_err *err)
{
	struct s3_put *u = calloc(1, sizeof *u);

	if (!u)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	u->base.store = s;
	u->bucket = *b;
	memcpy(u->key, key.p, key.n);
	u->key_n = key.n;
	*out = (struct az_put *)u;
	return AZ_OK;
}

static enum az_code
grow(struct s3_put *u, size_t more, struct az_err *err)
{
	size_t want = u->cap ? u->cap : AZ_KIB(16);
	enum az_code rc;
	char *p;

	while (want < u->n + more && want < SMALL_BYTES)
		want *= 2;
	if (u->n + more <= want) {
		if (!(p = realloc(u->p, want)))
			return az_fail(err, AZ_ENOMEM, op, "out of memory");
	} else {
		want = S3_PART_BYTES;
		if ((rc = s3_slab_take(of(u)->slab, S3_SLAB_WAIT_MS, &p, err)))
			return rc;
		if (u->n)
			memcpy(p, u->p, u->n);
		free(u->p);
		u->slab = true;
	}
	u->p = p;
	u->cap = want;
	return AZ_OK;
}

static enum az_code
broken(const struct s3_put *u, struct az_err *err)
{
	return u->failed ? az_fail(err, u->failed, op, "what was written before has not arrived")
			 : AZ_OK;
}

enum az_code
s3_put_write(struct az_put *base, struct az_str chunk, struct az_err *err)
{
	struct s3_put *u = (struct s3_put *)base;
	enum az_code rc = broken(u, err);

	while (!rc && chunk.n) {
		size_t k = chunk.n;

		/* a whole part goes only when more follows: the last one may be short */
		if (u->n == S3_PART_BYTES)
			rc = flush(u, false, err);
		if (!rc && k > S3_PART_BYTES - u->n)
			k = S3_PART_BYTES - u->n;
		if (!rc && u->n + k > u->cap)
			rc = grow(u, k, err);
		if (rc)
			break;
		memcpy(u->p + u->n, chunk.p, k);
		u->n += k;
		chunk = az_str_sub(chunk, k, chunk.n);
	}
	u->failed = rc;
	return rc;
}

enum az_code
s3_put_name(struct az_put *base, struct az_str key, struct az_err *err)
{
	struct s3_put *u = (struct s3_put *)base;

	if (u->multi)
		return az_fail(err, AZ_EUNSUPPORTED, op, "its parts have a name already");
	memcpy(u->key, key.p, key.n);
	u->key_n = key.n;
	return AZ_OK;
}

enum az_code
s3_put_commit(struct az_put *base, struct az_err *err)
{
	struct s3_put *u = (struct s3_put *)base;
	struct az_str key = az_str_n(u->key, u->key_n);
	struct s3_reply r;
	enum az_code rc = broken(u, err);

	if (rc) {
		/* it cannot become an object */
	} else if (!u->multi) {
		rc = s3_free_name(of(u), &u->bucket, key, err);
		if (!rc)
			rc = s3_put_body(
			    of(u), &u->bucket, key, az_str_n(u->p, u->n), NULL, 0, &r, err);
	} else {
		rc = u->n ? flush(u, true, err) : AZ_OK;
		if (!rc)
			rc = join_all(u, err);
		if (!rc)
			rc = s3_free_name(of(u), &u->bucket, key, err);
		if (!rc)
			rc = s3_parts_complete(of(u), &u->bucket, key, &u->id,
			    (const char(*)[40])u->etags, (size_t)u->parts, err);
		if (!rc)
			u->multi = false; /* nothing to abort */
	}
	s3_put_abort(base);
	return rc;
}

void
s3_put_abort(struct az_put *base)
{
	struct s3_put *u = (struct s3_put *)base;

	(void)!join_all(u, NULL);
	if (u->multi)
		s3_parts_abort(of(u), &u->bucket, az_str_n(u->key, u->key_n), &u->id);
	if (u->slab)
		s3_slab_give(of(u)->slab, u->p);
	else
		free(u->p);
	s3_slab_give(of(u)->slab, u->spare);
	free(u->etags);
	free(u);
}
