/* The port: preconditions are checked here once, then the adapter's slot runs. */
#include <azlon/crypto.h>
#include <azlon/path.h>
#include <azlon/keys.h>
#include <azlon/store.h>

struct az_bucket
az_bucket_of(struct az_str uid)
{
	struct az_bucket b;
	char tag[33];

	az_user_tag(uid, tag);
	memcpy(b.name, "azlon-", 6);
	memcpy(b.name + 6, tag, 33);
	return b;
}

struct az_bucket
az_bucket_of_run(struct az_str wid, struct az_str uid)
{
	struct az_bucket b;
	struct az_str u = AZ_S("anonymous");

	if (uid.n)
		return az_bucket_of(uid);
	(void)!az_wid_parse(wid, &u, NULL);
	if (u.n != 32)
		return az_bucket_of(u);
	/* the id holds the tag itself */
	memcpy(b.name, "azlon-", 6);
	memcpy(b.name + 6, u.p, 32);
	b.name[38] = '\0';
	return b;
}

/* A bucket that az_bucket_of() did not make never reaches an adapter. */
static enum az_code
bucket_ok(const struct az_bucket *b, struct az_err *err)
{
	if (memchr(b->name, '\0', sizeof b->name) != b->name + 38 ||
	    memcmp(b->name, "azlon-", 6) != 0)
		goto bad;
	for (const char *p = b->name + 6; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '2' && *p <= '7')))
			goto bad;
	return AZ_OK;
bad:
	return az_fail(err, AZ_EINTERNAL, "store.bucket", "not the name of a user's bucket");
}

static enum az_code
both_ok(const struct az_bucket *b, struct az_str key, struct az_err *err)
{
	enum az_code rc = bucket_ok(b, err);

	return rc ? rc : az_key_ok(key, err);
}

/* A prefix is a key, or a key cut short, or empty. */
static enum az_code
prefix_ok(struct az_str prefix, struct az_err *err)
{
	if (prefix.n && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	else if (prefix.n == 0)
		return AZ_OK;
	return az_key_ok(prefix, err);
}

enum az_code
az_store_put_open(struct az_store *s, const struct az_bucket *b, struct az_str key,
    struct az_put **out, struct az_err *err)
{
	enum az_code rc = both_ok(b, key, err);

	*out = NULL;
	return rc ? rc : s->ops->put_open(s, b, key, out, err);
}

enum az_code
az_store_put_write(struct az_put *p, struct az_str chunk, struct az_err *err)
{
	if (chunk.n == 0)
		return AZ_OK;
	return p->store->ops->put_write(p, chunk, err);
}

enum az_code
az_store_put_name(struct az_put *p, struct az_str key, struct az_err *err)
{
	enum az_code rc = az_key_ok(key, err);

	return rc ? rc : p->store->ops->put_name(p, key, err);
}

enum az_code
az_store_put_commit(struct az_put *p, struct az_err *err)
{
	return p->store->ops->put_commit(p, err);
}

void
az_store_put_abort(struct az_put *p)
{
	if (p)
		p->store->ops->put_abort(p);
}

enum az_code
az_store_put(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_str body,
    struct az_err *err)
{
	struct az_put *p;
	enum az_code rc = az_store_put_open(s, b, key, &p, err);

	if (rc)
		return rc;
	rc = az_store_put_write(p, body, err);
	if (rc) {
		az_store_put_abort(p);
		return rc;
	}
	return az_store_put_commit(p, err);
}

enum az_code
az_store_put_if(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_str was,
    struct az_str body, struct az_err *err)
{
	enum az_code rc = both_ok(b, key, err);

	return rc ? rc : s->ops->put_if(s, b, key, was, body, err);
}

enum az_code
az_store_get_open(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t offset,
    struct az_obj *obj, struct az_get **out, struct az_err *err)
{
	enum az_code rc = both_ok(b, key, err);

	*out = NULL;
	if (rc)
		return rc;
	if (offset < 0)
		return az_fail(err, AZ_ERANGE, "store.get", "negative offset");
	return s->ops->get_open(s, b, key, offset, obj, out, err);
}

enum az_code
az_store_get_read(struct az_get *g, char *p, size_t n, size_t *got, struct az_err *err)
{
	*got = 0;
	return g->store->ops->get_read(g, p, n, got, err);
}

void
az_store_get_close(struct az_get *g)
{
	if (g)
		g->store->ops->get_close(g);
}

enum az_code
az_store_get(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_buf *out,
    struct az_err *err)
{
	struct az_get *g = NULL;
	char chunk[16384];
	size_t got;
	enum az_code rc = az_store_get_open(s, b, key, 0, NULL, &g, err);

	while (!rc) {
		rc = az_store_get_read(g, chunk, sizeof chunk, &got, err);
		if (rc || got == 0)
			break;
		az_buf_add(out, chunk, got);
		rc = az_buf_check(out, "store.get", err);
	}
	az_store_get_close(g);
	return rc;
}

enum az_code
az_store_stat(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_obj *out,
    struct az_err *err)
{
	enum az_code rc = both_ok(b, key, err);

	memset(out, 0, sizeof *out);
	return rc ? rc : s->ops->stat(s, b, key, out, err);
}

enum az_code
az_store_remove(
    struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_err *err)
{
	enum az_code rc = both_ok(b, key, err);

	return rc ? rc : s->ops->remove(s, b, key, err);
}

enum az_code
az_store_remove_many(struct az_store *s, const struct az_bucket *b, const struct az_str *keys,
    size_t n, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	for (size_t i = 0; !rc && i < n; i++)
		rc = both_ok(b, keys[i], err);
	if (s->ops->remove_many && !rc && n)
		return s->ops->remove_many(s, b, keys, n, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = s->ops->remove(s, b, keys[i], err);
	return rc;
}

enum az_code
az_store_list(struct az_store *s, const struct az_bucket *b, const struct az_store_list *q,
    struct az_arena *a, struct az_store_page *out, struct az_err *err)
{
	enum az_code rc = bucket_ok(b, err);

	memset(out, 0, sizeof *out);
	if (!rc)
		rc = prefix_ok(q->prefix, err);
	if (rc)
		return rc;
	if (q->limit < 1 || q->limit > 1000)
		return az_fail(err, AZ_EINVAL, "store.list", "limit is 1 to 1000");
	if (q->after.n > 1025)
		return az_fail(err, AZ_EINVAL, "store.list", "the position is too long");
	return s->ops->list(s, b, q, a, out, err);
}

enum az_code
az_store_remove_prefix(
    struct az_store *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err)
{
	enum az_code rc = bucket_ok(b, err);

	if (!rc && (prefix.n < 2 || prefix.p[prefix.n - 1] != '/'))
		rc = az_fail(err, AZ_EINVAL, "store.remove_prefix", "the prefix must end in '/'");
	if (!rc)
		rc = prefix_ok(prefix, err);
	return rc ? rc : s->ops->remove_prefix(s, b, prefix, err);
}

enum az_code
az_store_remove_bucket(struct az_store *s, const struct az_bucket *b, struct az_err *err)
{
	enum az_code rc = bucket_ok(b, err);

	return rc ? rc : s->ops->remove_bucket(s, b, err);
}

enum az_code
az_store_copy(struct az_store *s, const struct az_bucket *b, struct az_str from, struct az_str to,
    struct az_err *err)
{
	enum az_code rc = both_ok(b, from, err);

	if (!rc)
		rc = both_ok(b, to, err);
	if (!rc && az_str_eq(from, to))
		rc = az_fail(err, AZ_EINVAL, "store.copy", "an object is not copied onto itself");
	return rc ? rc : s->ops->copy(s, b, from, to, err);
}

enum az_code
az_store_accel(struct az_store *s, const struct az_bucket *b, struct az_str key, const char *method,
    const char *mime, struct az_buf *target, struct az_buf *path, struct az_err *err)
{
	enum az_code rc = both_ok(b, key, err);

	return rc ? rc : s->ops->accel(s, b, key, method, mime, target, path, err);
}

enum az_code
az_store_link(struct az_store *s, const struct az_bucket *b, struct az_str key,
    const struct az_link *l, struct az_buf *out, struct az_err *err)
{
	enum az_code rc = both_ok(b, key, err);

	if (!rc && (l->ttl_s < 1 || l->ttl_s > 604800))
		rc = az_fail(err, AZ_EINVAL, "store.link", "a link lives 1 to 604800 seconds");
	return rc ? rc : s->ops->link(s, b, key, l, out, err);
}

enum az_code
az_store_ping(struct az_store *s, struct az_err *err)
{
	return s->ops->ping(s, err);
}

void
az_store_close(struct az_store *s)
{
	if (s)
		s->ops->close(s);
}
