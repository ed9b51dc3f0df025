/* Buckets: made before a user's first write, removed with all that is in them. */
#include <stdio.h>
#include <azlon/limits.h>
#include "s3.h"

#define REMOVE_ROUNDS 20 /* writers may still be at it */

static const char op[] = "s3.bucket";

static bool
known(struct s3 *s, const struct az_bucket *b)
{
	bool yes = false;

	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < S3_MADE && !yes; i++)
		yes = strcmp(s->made[i], b->name) == 0;
	pthread_mutex_unlock(&s->mu);
	return yes;
}

static void
remember(struct s3 *s, const struct az_bucket *b)
{
	pthread_mutex_lock(&s->mu);
	memcpy(s->made[s->made_at++ % S3_MADE], b->name, 39);
	pthread_mutex_unlock(&s->mu);
}

void
s3_bucket_forget(struct s3 *s, const struct az_bucket *b)
{
	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < S3_MADE; i++)
		if (strcmp(s->made[i], b->name) == 0)
			s->made[i][0] = '\0';
	pthread_mutex_unlock(&s->mu);
}

/* A name that exists but was not made by us just now: is it ours to use? */
static enum az_code
taken(struct s3 *s, const struct az_bucket *b, struct az_err *err)
{
	struct s3_call c = {.method = "HEAD", .bucket = b, .as_root = true};
	struct s3_reply r;
	enum az_code rc = s3_do(s, &c, &r, err);

	if (rc && r.status == 403)
		return az_fail(err, AZ_EUNAVAIL, op,
		    "the bucket %.38s belongs to another account of this file store", b->name);
	return rc;
}

enum az_code
s3_bucket_make(struct s3 *s, const struct az_bucket *b, struct az_err *err)
{
	struct s3_call c = {.method = "PUT", .bucket = b, .as_root = true};
	struct s3_reply r;
	struct az_buf body;
	char region[64];
	enum az_code rc;

	if (known(s, b))
		return AZ_OK;
	az_buf_init(&body, 1024);
	s3_region_get(s, region);
	if (strcmp(region, "us-east-1") != 0)
		s3_xml_location(&body, region);
	c.body = az_buf_str(&body);
	rc = az_buf_check(&body, op, err);
	if (!rc)
		rc = s3_do(s, &c, &r, err);
	if (rc && !strcmp(r.error.code, "BucketAlreadyOwnedByYou"))
		rc = AZ_OK;
	else if (rc && !strcmp(r.error.code, "BucketAlreadyExists"))
		rc = taken(s, b, err);
	az_buf_release(&body);
	if (!rc)
		remember(s, b);
	return rc;
}

/* ---- removal ---- */

static enum az_code
abort_one(struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_str upload,
    struct az_err *err)
{
	struct s3_kv id = {AZ_S("uploadId"), upload};
	struct s3_call c = {.method = "DELETE",
	    .bucket = b,
	    .key = key,
	    .query = &id,
	    .n_query = 1,
	    .as_root = true};
	struct s3_reply r;
	enum az_code rc = s3_do(s, &c, &r, err);

	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

/* One page of what is under way in the bucket, and the end of that below prefix. We ask for
   no prefix: MinIO takes one for a whole key. */
static enum az_code
abort_page(struct s3 *s, const struct az_bucket *b, struct az_str prefix, struct s3_uploads *u,
    struct az_err *err)
{
	struct s3_uploads now = {.a = u->a};
	struct s3_xml_opts xml = s3_uploads_opts(&now);
	struct s3_kv q[4] = {{AZ_S("uploads"), AZ_S("")}, {AZ_S("encoding-type"), AZ_S("url")}};
	struct s3_call list = {
	    .method = "GET", .bucket = b, .query = q, .n_query = 2, .xml = &xml, .as_root = true};
	struct s3_reply r;
	enum az_code rc;

	if (u->next_key.n)
		q[list.n_query++] = (struct s3_kv){AZ_S("key-marker"), u->next_key};
	if (u->next_id.n)
		q[list.n_query++] = (struct s3_kv){AZ_S("upload-id-marker"), u->next_id};
	rc = s3_do(s, &list, &r, err);
	/* a server without the listing leaves them to its own sweep */
	if (rc && (r.status == 405 || r.status == 501 || !strcmp(r.error.code, "NotImplemented")))
		rc = AZ_OK;
	for (size_t i = 0; !rc && i < now.n; i++)
		if (az_str_starts(now.v[i].key, prefix))
			rc = abort_one(s, b, now.v[i].key, now.v[i].id, err);
	if (!rc && now.truncated && az_str_eq(now.next_key, u->next_key) &&
	    az_str_eq(now.next_id, u->next_id))
		rc = az_fail(err, AZ_EUPSTREAM, op, "a listing of uploads goes round in circles");
	*u = now;
	return rc;
}

enum az_code
s3_abort_uploads(struct s3 *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err)
{
	/* also what ends a server's endless list */
	struct az_arena *a = az_arena_new(AZ_MIB(32));
	struct s3_uploads u = {.a = a};
	enum az_code rc =
	    a ? abort_page(s, b, prefix, &u, err) : az_fail(err, AZ_ENOMEM, op, "out of memory");

	while (!rc && u.truncated)
		rc = abort_page(s, b, prefix, &u, err);
	az_arena_free(a);
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

enum az_code
s3_bucket_remove(struct az_store *base, const struct az_bucket *b, struct az_err *err)
{
	struct s3 *s = (struct s3 *)base;
	struct s3_call c = {.method = "DELETE", .bucket = b, .as_root = true};
	bool again = true;
	enum az_code rc = AZ_OK;

	for (int i = 0; again && i < REMOVE_ROUNDS; i++) {
		struct s3_reply r = {.status = 0};

		rc = s3_abort_uploads(s, b, AZ_S(""), err);
		if (!rc)
			rc = s3_remove_all(s, b, AZ_S(""), err);
		if (!rc)
			rc = s3_do(s, &c, &r, err);
		again = rc && !strcmp(r.error.code, "BucketNotEmpty");
	}
	if (again)
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "somebody still writes into the bucket %.38s, or it keeps old versions; try "
		    "again",
		    b->name);
	s3_bucket_forget(s, b);
	s3_cred_forget(s, b, NULL);
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}
