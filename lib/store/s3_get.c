/* Reading: the reply is pulled; what is cut off goes on where it stopped, if the object is
   still the same. */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include "s3.h"

#define RESUMES 5       /* without a byte in between, */
#define RESUME_MS 60000 /* and so long */

static const char op[] = "store.get";

struct s3_get {
	struct az_get base;
	struct az_bucket bucket;
	char key[1025];
	size_t key_n;
	char etag[130]; /* quoted */
	int64_t at, size;
	struct s3_body *body;
};

/* Is the answer what lies behind g->at, and does it say how much there is in all? */
static bool
answers(const struct s3_get *g, const struct s3_reply *r)
{
	if (r->total_bytes < 0)
		return false;
	return g->at ? r->status == 206 && r->from == g->at : r->status == 200;
}

static enum az_code
begin(struct s3_get *g, struct s3_reply *r, struct az_err *err)
{
	struct s3 *s = (struct s3 *)g->base.store;
	char range[40];
	struct s3_kv headers[2];
	struct s3_call c = {.method = "GET",
	    .bucket = &g->bucket,
	    .key = az_str_n(g->key, g->key_n),
	    .headers = headers};

	if (g->at) {
		int n = snprintf(range, sizeof range, "bytes=%lld-", (long long)g->at);

		headers[c.n_headers++] = (struct s3_kv){AZ_S("range"), az_str_n(range, (size_t)n)};
	}
	if (g->etag[0])
		headers[c.n_headers++] = (struct s3_kv){AZ_S("if-match"), az_str_c(g->etag)};
	return s3_open(s, &c, r, &g->body, err);
}

enum az_code
s3_stat(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_obj *out,
    struct az_err *err)
{
	struct s3_call c = {.method = "HEAD", .bucket = b, .key = key};
	struct s3_reply r;
	enum az_code rc = s3_do((struct s3 *)s, &c, &r, err);

	if (!rc && r.bytes < 0)
		rc = az_fail(err, AZ_EUPSTREAM, op, "an object without a size");
	if (!rc)
		*out = (struct az_obj){.bytes = r.bytes, .modified_ms = r.modified_ms};
	return rc;
}

/* A range that begins at the end is no range to S3. */
static enum az_code
at_the_end(struct az_store *s, const struct s3_get *g, struct az_obj *obj, struct az_err *err)
{
	struct az_obj o;
	enum az_code rc = s3_stat(s, &g->bucket, az_str_n(g->key, g->key_n), &o, err);

	if (!rc && o.bytes != g->at)
		rc = az_fail(err, AZ_ERANGE, op, "beyond the end");
	if (!rc && obj)
		*obj = o;
	return rc;
}

enum az_code
s3_get_open(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t offset,
    struct az_obj *obj, struct az_get **out, struct az_err *err)
{
	struct s3_get *g = calloc(1, sizeof *g);
	struct s3_reply r;
	enum az_code rc;

	if (!g)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	g->base.store = s;
	g->bucket = *b;
	memcpy(g->key, key.p, key.n);
	g->key_n = key.n;
	g->at = offset;
	rc = begin(g, &r, err);
	if (rc == AZ_ERANGE) {
		rc = at_the_end(s, g, obj, err);
		g->size = g->at;
	} else if (!rc && !answers(g, &r)) {
		rc = az_fail(
		    err, AZ_EUPSTREAM, op, "the file store ignores ranges or tells no size");
	} else if (!rc) {
		g->size = r.total_bytes;
		if (r.etag[0])
			snprintf(g->etag, sizeof g->etag, "\"%s\"", r.etag);
		if (obj)
			*obj =
			    (struct az_obj){.bytes = r.total_bytes, .modified_ms = r.modified_ms};
	}
	if (rc)
		s3_get_close((struct az_get *)g);
	else
		*out = (struct az_get *)g;
	return rc;
}

static enum az_code
resume(struct s3_get *g, struct az_err *err)
{
	struct s3_reply r;
	enum az_code rc;

	s3_body_close(g->body);
	g->body = NULL;
	if (!g->etag[0])
		return az_fail(err, AZ_EUNAVAIL, op, "the file store broke off");
	rc = begin(g, &r, err);
	if (!rc && !answers(g, &r))
		return az_fail(err, AZ_EIO, op, "the file store ignores ranges");
	if (rc == AZ_EPRECOND || rc == AZ_ENOTFOUND || rc == AZ_ERANGE ||
	    (!rc && r.total_bytes != g->size))
		rc = az_fail(err, AZ_EIO, op, "the object was changed while it was read");
	return rc;
}

enum az_code
s3_get_read(struct az_get *base, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct s3_get *g = (struct s3_get *)base;
	int64_t until = az_boot_ms() + RESUME_MS;
	enum az_code rc = AZ_OK;

	*got = 0;
	for (int tries = 0; g->at < g->size; tries++) {
		if (g->body) {
			rc = s3_body_read(g->body, p, n, got, err);
			if (!rc && *got) {
				g->at += (int64_t)*got;
				return AZ_OK;
			}
			if (!rc)
				rc = az_fail(err, AZ_EUNAVAIL, op, "the file store broke off");
		}
		if (tries == RESUMES || (tries && az_boot_ms() >= until) ||
		    (rc && rc != AZ_EUNAVAIL && rc != AZ_EUPSTREAM && rc != AZ_ETIMEOUT))
			return rc == AZ_EUPSTREAM ? az_fail(err, AZ_EUNAVAIL, op,
							"the file store broke off again and again")
						  : rc;
		rc = resume(g, err);
		if (rc && rc != AZ_EUNAVAIL && rc != AZ_ETIMEOUT)
			return rc;
	}
	return AZ_OK;
}

void
s3_get_close(struct az_get *base)
{
	struct s3_get *g = (struct s3_get *)base;

	s3_body_close(g->body);
	free(g);
}
