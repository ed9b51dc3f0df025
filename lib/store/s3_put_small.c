/* One PUT of a body in memory, and whether its name is free. */
#include <azlon/limits.h>
#include "s3.h"

static const char op[] = "store.put";

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
