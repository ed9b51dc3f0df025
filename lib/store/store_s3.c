/* The S3 adapter: its table, and what is too small for a file of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/crypto.h>
#include "s3.h"

#define TOKENS_AT_START 50000
#define PING_MS 3000 /* who asks for the health of the whole waits for each part */

static struct s3 *
of(struct az_store *s)
{
	return (struct s3 *)s;
}

/* By the root keys: the path opens one object for one minute, less than a user's session does,
   and stays with nginx. MinIO weighs a session's policy anew for each request, which costs it a
   millisecond. */
static enum az_code
accel(struct az_store *base, const struct az_bucket *b, struct az_str key, const char *method,
    const char *mime, struct az_buf *target, struct az_buf *path, struct az_err *err)
{
	struct s3_kv type = {AZ_S("response-content-type"), az_str_c(mime)};
	struct s3 *s = of(base);
	enum az_code rc =
	    s3_url(s, &s->at, &s->root, method, b, key, &type, 1, S3_ACCEL_TTL_S, path, err);

	az_buf_addc(target, "@s3");
	return rc ? rc : az_buf_check(target, "store.accel", err);
}

static enum az_code
link_(struct az_store *base, const struct az_bucket *b, struct az_str key, const struct az_link *l,
    struct az_buf *out, struct az_err *err)
{
	struct s3_kv kv[2] = {{AZ_S("response-content-type"), az_str_c(l->mime)},
	    {AZ_S("response-content-disposition"), l->disposition}};
	struct s3 *s = of(base);
	struct s3_cred cred;
	enum az_code rc;

	if (!s->external.url[0])
		return az_fail(err, AZ_EUNSUPPORTED, "store.link",
		    "browsers reach no address of the file store");
	/* the user's own where they live that long: strangers see the name of the key */
	if ((rc = s3_cred_for(s, b, (int64_t)l->ttl_s * 1000, &cred, err)))
		return rc;
	az_buf_addc(out, s->external.url);
	rc = s3_url(s, &s->external, &cred, "GET", b, key, kv, l->disposition.n ? 2 : 1, l->ttl_s,
	    out, err);
	az_wipe(&cred, sizeof cred);
	return rc;
}

/* Its own health first, which needs no keys; then whether it takes ours. */
static enum az_code
ping(struct az_store *base, struct az_err *err)
{
	struct s3 *s = of(base);
	struct az_bucket nobody = az_bucket_of(AZ_S(""));
	struct s3_kv q[2] = {{AZ_S("list-type"), AZ_S("2")}, {AZ_S("max-keys"), AZ_S("1")}};
	struct s3_call c = {.method = "GET",
	    .bucket = &nobody,
	    .query = q,
	    .n_query = 2,
	    .as_root = true,
	    .within_ms = PING_MS};
	struct s3_reply r;
	enum az_code rc;

	if (s->minio == S3_YES) {
		struct s3_call health = {.method = "GET",
		    .path = "/minio/health/cluster",
		    .as_root = true,
		    .within_ms = PING_MS};

		rc = s3_do(s, &health, &r, err);
		if (rc && r.status)
			return az_fail(err, AZ_EUNAVAIL, "store.ping",
			    "the file store says that it is not healthy (%d)", r.status);
		if (rc)
			return rc;
	}
	/* Keys that may only use buckets are enough. No HEAD, for its answer has no code: a server
	   may say 404 to unknown keys too. */
	rc = s3_do(s, &c, &r, err);
	if (rc == AZ_ENOTFOUND || !strcmp(r.error.code, "AccessDenied"))
		return AZ_OK;
	return rc;
}

static void
close_(struct az_store *base)
{
	struct s3 *s = of(base);

	s3_users_free(s->users);
	s3_slab_free(s->slab);
	pthread_mutex_destroy(&s->mu);
	az_wipe(&s->root, sizeof s->root);
	free(s);
}

static const struct az_store_ops ops = {
    .name = "s3",
    .put_open = s3_put_open,
    .put_write = s3_put_write,
    .put_name = s3_put_name,
    .put_commit = s3_put_commit,
    .put_abort = s3_put_abort,
    .put_if = s3_put_if,
    .get_open = s3_get_open,
    .get_read = s3_get_read,
    .get_close = s3_get_close,
    .stat = s3_stat,
    .remove = s3_remove,
    .remove_many = s3_remove_many,
    .list = s3_list,
    .remove_prefix = s3_remove_prefix,
    .remove_bucket = s3_bucket_remove,
    .copy = s3_copy,
    .accel = accel,
    .link = link_,
    .ping = ping,
    .close = close_,
};

/* What goes into a header line: a byte that ends or folds it would make another of it. */
static bool
visible(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f || *s == ',')
			return false;
	return true;
}

static bool
put_text(char *to, size_t n, const char *from)
{
	return snprintf(to, n, "%s", from ? from : "") < (int)n;
}

enum az_code
az_store_s3_open(const struct az_s3_opts *o, struct az_store **out, struct az_err *err)
{
	static const char op[] = "store.open";
	struct s3 *s = calloc(1, sizeof *s);
	enum az_code rc = AZ_OK;

	*out = NULL;
	if (!s)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	s->base.ops = &ops;
	s->http = o->http;
	s->sts_off = o->sts_off;
	s->sts_again_ms = S3_STS_AGAIN_MS;
	s->tokens = TOKENS_AT_START;
	pthread_mutex_init(&s->mu, NULL);
	if (!o->access_key || !*o->access_key || !o->secret_key || !*o->secret_key)
		rc = az_fail(err, AZ_EINVAL, op, "the file store needs an access and a secret key");
	else if (!put_text(s->root.access, sizeof s->root.access, o->access_key) ||
		 !put_text(s->root.secret, sizeof s->root.secret, o->secret_key) ||
		 !put_text(s->region, sizeof s->region,
		     o->region && *o->region ? o->region : "us-east-1") ||
		 !put_text(s->ca_file, sizeof s->ca_file, o->ca_file) ||
		 !put_text(s->lock_dir, sizeof s->lock_dir, o->lock_dir ? o->lock_dir : "/tmp"))
		rc = az_fail(err, AZ_EINVAL, op, "a setting of the file store is too long");
	if (!rc && (!visible(s->root.access) || !visible(s->region)))
		rc = az_fail(err, AZ_EINVAL, op,
		    "the access key or the region of the file store has a character that none has");
	if (!rc)
		rc = s3_endpoint_parse(o->endpoint, o->ssl, &s->at, err);
	if (!rc && o->external && *o->external)
		rc = s3_endpoint_parse(o->external, o->ssl, &s->external, err);
	if (!rc)
		rc = s3_users_new(&s->users, err);
	if (!rc)
		rc = s3_slab_new(&s->slab, err);
	if (rc)
		close_((struct az_store *)s);
	else
		*out = (struct az_store *)s;
	return rc;
}
