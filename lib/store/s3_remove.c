/* Removal: one, many by key, all with a prefix. */
#include <stdio.h>
#include <azlon/limits.h>
#include "s3.h"

#define SAME_MAX 5 /* rounds of a removal that begin with the same key */

static const char op[] = "s3.remove";

static enum az_code
remove_one(struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_err *err)
{
	struct s3_call c = {.method = "DELETE", .bucket = b, .key = key};
	struct s3_reply r;
	enum az_code rc = s3_do(s, &c, &r, err);

	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

/* Keys of one request; each that XML cannot carry goes by itself. The answer may be a success
   and yet name some that failed. keys is used up. */
static enum az_code
remove_keys(struct s3 *s, const struct az_bucket *b, struct az_str *keys, size_t n,
    struct s3_deleted *d, struct az_err *err)
{
	struct s3_xml_opts xml = s3_deleted_opts(d);
	struct s3_kv q = {AZ_S("delete"), AZ_S("")};
	struct s3_call c = {.method = "POST", .bucket = b, .query = &q, .n_query = 1, .xml = &xml};
	struct s3_reply r;
	struct az_buf body;
	size_t left = 0;
	enum az_code rc = AZ_OK;

	for (size_t i = 0; !rc && i < n; i++) {
		if (s3_xml_can(keys[i]))
			keys[left++] = keys[i];
		else
			rc = remove_one(s, b, keys[i], err);
	}
	if (rc || left == 0)
		return rc;
	az_buf_init(&body, AZ_MIB(8));
	s3_xml_delete(&body, keys, left);
	c.body = az_buf_str(&body);
	rc = az_buf_check(&body, op, err);
	if (!rc)
		rc = s3_do(s, &c, &r, err);
	az_buf_release(&body);
	return rc;
}

/* Some may have failed: AZ_OK when it is worth another try. */
static enum az_code
try_again(struct s3 *s, const struct s3_deleted *d, int *retries, struct az_err *err)
{
	if (s3_next(200, d->first.code) == S3_RETRY && s3_pause(s, retries, 0))
		return AZ_OK;
	return az_fail(err, AZ_EUNAVAIL, op,
	    "%zu objects could not be removed, the first because of: %s", d->failed,
	    d->first.code[0] ? d->first.code : "no code");
}

/* Up to S3_LIST_MAX keys, until none fails. */
static enum az_code
remove_batch(struct s3 *s, const struct az_bucket *b, const struct az_str *keys, size_t n,
    struct az_err *err)
{
	struct az_str work[S3_LIST_MAX];
	int retries = 0;
	enum az_code rc;

	for (;;) {
		struct s3_deleted d = {.failed = 0};

		memcpy(work, keys, n * sizeof *keys);
		rc = remove_keys(s, b, work, n, &d, err);
		if (rc || d.failed == 0 || (rc = try_again(s, &d, &retries, err)))
			return rc == AZ_ENOTFOUND ? AZ_OK : rc; /* no bucket */
	}
}

enum az_code
s3_remove_many(struct az_store *base, const struct az_bucket *b, const struct az_str *keys,
    size_t n, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	for (size_t i = 0; !rc && i < n; i += S3_LIST_MAX)
		rc = remove_batch(
		    (struct s3 *)base, b, keys + i, n - i < S3_LIST_MAX ? n - i : S3_LIST_MAX, err);
	return rc;
}

/* Is there a point in another round? Each begins at the start, where what was removed is gone. */
struct rounds {
	char first[1025]; /* key of the last one */
	int same, retries;
};

static enum az_code
judge(struct s3 *s, struct rounds *k, struct az_str first, const struct s3_deleted *d,
    struct az_err *err)
{
	enum az_code rc = d->failed ? try_again(s, d, &k->retries, err) : AZ_OK;

	if (rc)
		return rc;
	if (!az_str_eqc(first, k->first))
		k->same = 0;
	else if (++k->same == SAME_MAX)
		return az_fail(
		    err, AZ_EUNAVAIL, op, "an object is still listed after it was removed");
	snprintf(k->first, sizeof k->first, "%.*s", AZ_FMT(first));
	return AZ_OK;
}

enum az_code
s3_remove_all(struct s3 *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err)
{
	struct s3_query q = {.prefix = prefix, .max = S3_LIST_MAX};
	struct rounds k = {.same = 0};
	bool more = true;
	enum az_code rc = AZ_OK;

	while (!rc && more) {
		struct az_arena *a = az_arena_new(AZ_MIB(16));
		struct s3_listing l = {.a = a};
		struct s3_deleted d = {.failed = 0};
		struct az_str keys[S3_LIST_MAX];
		size_t n = 0;

		rc = a ? s3_list_page(s, b, &q, &l, err)
		       : az_fail(err, AZ_ENOMEM, op, "out of memory");
		while (!rc && n < l.n && n < S3_LIST_MAX) {
			keys[n] = l.objs[n].key;
			n++;
		}
		if (n)
			rc = remove_keys(s, b, keys, n, &d, err);
		more = !rc && n > 0;
		if (more)
			rc = judge(s, &k, l.objs[0].key, &d, err);
		az_arena_free(a);
	}
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

enum az_code
s3_remove_prefix(
    struct az_store *base, const struct az_bucket *b, struct az_str prefix, struct az_err *err)
{
	struct s3 *s = (struct s3 *)base;
	enum az_code rc = s3_abort_uploads(s, b, prefix, err);

	return rc ? rc : s3_remove_all(s, b, prefix, err);
}

enum az_code
s3_remove(struct az_store *base, const struct az_bucket *b, struct az_str key, struct az_err *err)
{
	return remove_one((struct s3 *)base, b, key, err);
}
