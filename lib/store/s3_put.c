/*
 * Uploads. A body of up to one part waits here and goes out as one PUT under its final name;
 * a longer one in parts, of which some are sent by threads while the caller brings more.
 * Nothing is visible before the commit.
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
	bool guarded; /* sent with its MD5, else the tag is compared with it */
	char md5[33];
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
	int held; /* buffers of the slab: p, if any is, and those of parts being sent */
	struct s3_upload_id id;
	bool multi;
	int parts;
	struct part way[S3_WAYS]; /* parts being sent, each in the place of its number */
	char (*etags)[40];
	enum az_code failed; /* a part did not arrive: there is no commit */
};

static struct s3 *
of(const struct s3_put *u)
{
	return (struct s3 *)u->base.store;
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
	if (t->guarded)
		s3_md5(c.body, md5); /* once for all tries */
	else
		md5[0] = '\0';
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

static void
hash(struct part *t)
{
	unsigned char digest[16];

	az_md5(az_str_n(t->p, t->n), digest);
	az_hex(digest, sizeof digest, t->md5);
}

/* The tag of a part is its MD5 with nearly every server, so that it need not be computed before
   the part is sent. Where it differs the part goes again, for the server to look at the MD5. */
static void
check_part(struct part *t)
{
	struct s3 *s = of(t->put);

	if (t->rc || t->guarded || !strcmp(t->etag, t->md5))
		return;
	t->guarded = true;
	(void)!send_part(t);
	if (!t->rc && strcmp(t->etag, t->md5) != 0)
		s->plain_tags = S3_NO;
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

/* That part, if it is under way, is done; its buffer fills next if there is none. */
static enum az_code
join(struct s3_put *u, struct part *t, struct az_err *err)
{
	if (!t->running)
		return AZ_OK;
	pthread_join(t->thread, NULL);
	t->running = false;
	check_part(t);
	if (!u->p) {
		u->p = t->p;
	} else {
		s3_slab_give(of(u)->slab, t->p);
		u->held--;
	}
	t->p = NULL;
	return sent(u, t, err);
}

static struct part *
place(struct s3_put *u, int number)
{
	return &u->way[number % S3_WAYS];
}

static enum az_code
join_all(struct s3_put *u, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	for (int i = 0; i < S3_WAYS; i++) {
		enum az_code one = join(u, &u->way[i], rc ? NULL : err);

		rc = rc ? rc : one;
	}
	return rc;
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

/* Something to fill: a buffer more if there is one to be had, else that of the oldest part. */
static enum az_code
next_buffer(struct s3_put *u, struct az_err *err)
{
	int n = u->parts - S3_WAYS + 1;

	if (u->held < S3_WAYS && !s3_slab_take(of(u)->slab, 0, &u->p, NULL)) {
		u->held++;
		return AZ_OK;
	}
	while (n < 1 || !place(u, n)->running)
		n++; /* the one just begun at the latest */
	return join(u, place(u, n), err);
}

/* What filled goes out; u->p can be filled anew. */
static enum az_code
flush(struct s3_put *u, bool last, struct az_err *err)
{
	struct part *t = place(u, u->parts + 1);
	enum az_code rc = u->multi ? AZ_OK : begin(u, err);

	if (!rc)
		rc = room_for_part(u, err);
	if (rc)
		return rc;
	*t = (struct part){.put = u, .p = u->p, .n = u->n, .number = ++u->parts};
	u->n = 0;
	t->guarded = last || of(u)->plain_tags == S3_NO;
	if (!last && start(t)) {
		if (!t->guarded)
			hash(t); /* while it is sent */
		u->p = NULL;
		return next_buffer(u, err);
	}
	/* nothing follows, or there is no thread: here */
	t->guarded = true;
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
		if (!(p = realloc(u->p, want))) {
			(void)az_fail(err, AZ_ENOMEM, op, "out of memory");
			return AZ_ENOMEM;
		}
	} else {
		want = S3_PART_BYTES;
		if ((rc = s3_slab_take(of(u)->slab, S3_SLAB_WAIT_MS, &p, err)))
			return rc;
		if (u->p)
			memcpy(p, u->p, u->n);
		free(u->p);
		u->held = 1;
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
		if (!rc && (!u->p || u->n + k > u->cap))
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
	if (u->held)
		s3_slab_give(of(u)->slab, u->p);
	else
		free(u->p);
	free(u->etags);
	free(u);
}
