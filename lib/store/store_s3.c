/* The S3 adapter: its table, and what is too small for a file of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/crypto.h>
#include "s3.h"

#define TOKENS_AT_START 50000

static struct s3 *
of(struct az_store *s)
{
	return (struct s3 *)s;
}

static enum az_code
accel(struct az_store *base, const struct az_bucket *b, struct az_str key, const char *method,
    const char *mime, struct az_buf *target, struct az_buf *path, struct az_err *err)
{
	struct s3_kv type = {AZ_S("response-content-type"), az_str_c(mime)};
	struct s3 *s = of(base);
	enum az_code rc = s3_url(s, &s->at, method, b, key, &type, 1, S3_ACCEL_TTL_S, path, err);

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

	if (!s->external.url[0])
		return az_fail(err, AZ_EUNSUPPORTED, "store.link",
		    "browsers reach no address of the file store");
	az_buf_addc(out, s->external.url);
	return s3_url(
	    s, &s->external, "GET", b, key, kv, l->disposition.n ? 2 : 1, l->ttl_s, out, err);
}

/* Its own health first, which needs no keys; then whether it takes ours. */
static enum az_code
ping(struct az_store *base, struct az_err *err)
{
	struct s3 *s = of(base);
	struct az_bucket nobody = az_bucket_of(AZ_S(""));
	struct s3_call c = {.method = "GET", .as_root = true};
	struct s3_reply r;
	enum az_code rc;

	if (s->minio == S3_YES) {
		struct s3_call health = {
		    .method = "GET", .path = "/minio/health/cluster", .as_root = true};

		rc = s3_do(s, &health, &r, err);
		if (rc && r.status)
			return az_fail(err, AZ_EUNAVAIL, "store.ping",
			    "the file store says that it is not healthy (%d)", r.status);
		if (rc)
			return rc;
	}
	/* keys that may only use buckets are enough */
	c.method = "HEAD";
	c.bucket = &nobody;
	rc = s3_do(s, &c, &r, err);
	if (rc == AZ_ENOTFOUND || r.status == 403) {
		/* a HEAD says no more: are the keys wrong, or is this just not theirs? */
		c.method = "GET";
		if (r.status != 403)
			return AZ_OK;
		rc = s3_do(s, &c, &r, err);
		if (!strcmp(r.error.code, "AccessDenied") || rc == AZ_ENOTFOUND)
			return AZ_OK;
	}
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
