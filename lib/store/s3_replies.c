/*
 * The replies that we read, each out of the reader's leaves and ends. What a reply must
 * have and has not is nonsense of the server (AZ_EUPSTREAM), never a default.
 */
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "s3_xml.h"

#define NO_TIME INT64_MIN

static enum az_code
no_memory(const struct az_arena *a, struct az_err *err)
{
	if (az_arena_full(a))
		return az_fail(err, AZ_ETOOBIG, "store.xml", "a reply too large to keep");
	return az_fail(err, AZ_ENOMEM, "store.xml", "out of memory");
}

static enum az_code
nonsense(const char *what, struct az_err *err)
{
	return az_fail(err, AZ_EUPSTREAM, "store.xml", "a reply with %s", what);
}

static enum az_code
keep(struct az_arena *a, struct az_str text, struct az_str *out, struct az_err *err)
{
	*out = az_arena_str(a, text);
	return out->p ? AZ_OK : no_memory(a, err);
}

/* Room for one more of size bytes; *v moves within the arena. */
static enum az_code
grow(struct az_arena *a, void **v, size_t n, size_t *cap, size_t size, struct az_err *err)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *p;

	if (n < *cap)
		return AZ_OK;
	p = az_arena_alloc(a, more * size);
	if (!p)
		return no_memory(a, err);
	if (n)
		memcpy(p, *v, n * size);
	*v = p;
	*cap = more;
	return AZ_OK;
}

static enum az_code
read_bool(struct az_str text, bool *out, struct az_err *err)
{
	text = az_str_trim(text);
	*out = az_str_ieq(text, AZ_S("true"));
	return *out || az_str_ieq(text, AZ_S("false")) ? AZ_OK : nonsense("no yes or no", err);
}

/* A text that must be kept whole, of visible ASCII: it goes into headers or URLs. */
static enum az_code
read_word(struct az_str text, char *out, size_t size, struct az_err *err)
{
	text = az_str_trim(text);
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= 0x20 || text.p[i] >= 0x7f)
			return nonsense("odd characters where none belong", err);
	if (text.n >= size)
		return nonsense("an identifier that is too long", err);
	if (text.n)
		memcpy(out, text.p, text.n);
	out[text.n] = '\0';
	return AZ_OK;
}

/*
 * A key as it was stored. One that no key can be is refused, not passed over: whoever
 * counts, copies or removes by a listing would take the rest for all there is.
 */
static enum az_code
decode(struct az_arena *a, struct az_str *key, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_buf b;
	bool ok;

	az_buf_init(&b, S3_XML_TEXT);
	ok = az_pct_decode(&b, *key, true);
	if (b.fail)
		rc = az_buf_check(&b, "store.xml", err);
	else if (!ok)
		rc = nonsense("a key that is not percent-encoded", err);
	else if (!az_str_utf8_ok(az_buf_str(&b)) || az_str_chr(az_buf_str(&b), '\0') >= 0)
		rc = nonsense("a key that is not UTF-8", err);
	else
		rc = keep(a, az_buf_str(&b), key, err);
	az_buf_release(&b);
	return rc;
}

/* ---- a listing ---- */

static void
next_entry(struct s3_listing *l)
{
	l->now = (struct az_obj){.bytes = -1, .modified_ms = NO_TIME};
}

static enum az_code
push(struct s3_listing *l, struct az_err *err)
{
	void *v = l->objs;
	enum az_code rc;

	if (!l->now.key.n)
		return nonsense("an entry without a key", err);
	if (!l->now.dir && (l->now.bytes < 0 || l->now.modified_ms == NO_TIME))
		return nonsense("an object without size or time", err);
	if ((rc = grow(l->a, &v, l->n, &l->cap, sizeof *l->objs, err)))
		return rc;
	l->objs = v;
	l->objs[l->n++] = l->now;
	next_entry(l);
	return AZ_OK;
}

static enum az_code
listing_end(void *arg, const char *path, struct az_err *err)
{
	return strcmp(path, "Contents") == 0 ? push(arg, err) : AZ_OK;
}

static enum az_code
listing_leaf(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	struct s3_listing *l = arg;
	enum az_code rc;

	if (strcmp(path, "Contents/Key") == 0)
		return keep(l->a, text, &l->now.key, err);
	if (strcmp(path, "Contents/Size") == 0)
		return az_str_to_i64(az_str_trim(text), 0, INT64_MAX, &l->now.bytes)
			   ? AZ_OK
			   : nonsense("a size that is no number", err);
	if (strcmp(path, "Contents/LastModified") == 0)
		return az_rfc3339_parse(az_str_trim(text), &l->now.modified_ms)
			   ? AZ_OK
			   : nonsense("a time that is none", err);
	/* some servers put all of them into one element */
	if (strcmp(path, "CommonPrefixes/Prefix") == 0) {
		l->now = (struct az_obj){.dir = true};
		rc = keep(l->a, text, &l->now.key, err);
		return rc ? rc : push(l, err);
	}
	if (strcmp(path, "IsTruncated") == 0)
		return read_bool(text, &l->truncated, err);
	if (strcmp(path, "NextContinuationToken") == 0)
		return keep(l->a, text, &l->token, err);
	if (strcmp(path, "EncodingType") == 0)
		l->url_encoded = az_str_ieq(az_str_trim(text), AZ_S("url"));
	return listing_end(l, path, err); /* an empty <Contents/> */
}

static void
listing_reset(void *arg)
{
	struct s3_listing *l = arg;

	*l = (struct s3_listing){.a = l->a};
	next_entry(l);
}

struct s3_xml_opts
s3_listing_opts(struct s3_listing *l)
{
	return (struct s3_xml_opts){
	    "ListBucketResult", listing_leaf, listing_end, l, listing_reset};
}

static int
by_key(const void *a, const void *b)
{
	const struct az_obj *x = a, *y = b;

	return az_str_cmp(x->key, y->key);
}

enum az_code
s3_listing_done(struct s3_listing *l, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	if (l->truncated && !l->token.n)
		return nonsense("more to come, but no token for it", err);
	for (size_t i = 0; !rc && l->url_encoded && i < l->n; i++)
		rc = decode(l->a, &l->objs[i].key, err);
	l->url_encoded = false; /* once */
	if (!rc && l->n)
		qsort(l->objs, l->n, sizeof *l->objs, by_key);
	return rc;
}

/* ---- uploads ---- */

static enum az_code
uploads_leaf(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	struct s3_uploads *u = arg;
	void *v = u->v;
	enum az_code rc;

	if (strcmp(path, "Upload/Key") == 0 || strcmp(path, "Upload/UploadId") == 0) {
		/* v[n] is the one being read */
		if ((rc = grow(u->a, &v, u->n, &u->cap, sizeof *u->v, err)))
			return rc;
		u->v = v;
		return keep(u->a, text, path[7] == 'K' ? &u->v[u->n].key : &u->v[u->n].id, err);
	}
	if (strcmp(path, "IsTruncated") == 0)
		return read_bool(text, &u->truncated, err);
	if (strcmp(path, "NextKeyMarker") == 0)
		return keep(u->a, text, &u->next_key, err);
	if (strcmp(path, "NextUploadIdMarker") == 0)
		return keep(u->a, text, &u->next_id, err);
	if (strcmp(path, "EncodingType") == 0)
		u->url_encoded = az_str_ieq(az_str_trim(text), AZ_S("url"));
	return strcmp(path, "Upload") == 0 ? nonsense("an empty upload", err) : AZ_OK;
}

static enum az_code
uploads_end(void *arg, const char *path, struct az_err *err)
{
	struct s3_uploads *u = arg;
	enum az_code rc = AZ_OK;

	if (strcmp(path, "Upload") == 0) {
		if (u->n == u->cap || !u->v[u->n].key.n || !u->v[u->n].id.n)
			return nonsense("an upload without key or id", err);
		u->n++;
		return AZ_OK;
	}
	if (path[0])
		return AZ_OK;
	if (u->truncated && !u->next_key.n)
		return nonsense("more to come, but no marker for it", err);
	if (u->url_encoded && u->next_key.n)
		rc = decode(u->a, &u->next_key, err);
	for (size_t i = 0; !rc && u->url_encoded && i < u->n; i++)
		rc = decode(u->a, &u->v[i].key, err);
	return rc;
}

static void
uploads_reset(void *arg)
{
	struct s3_uploads *u = arg;

	*u = (struct s3_uploads){.a = u->a};
}

struct s3_xml_opts
s3_uploads_opts(struct s3_uploads *u)
{
	return (struct s3_xml_opts){
	    "ListMultipartUploadsResult", uploads_leaf, uploads_end, u, uploads_reset};
}

static enum az_code
upload_id_leaf(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	struct s3_upload_id *u = arg;

	return strcmp(path, "UploadId") ? AZ_OK : read_word(text, u->id, sizeof u->id, err);
}

static enum az_code
upload_id_end(void *arg, const char *path, struct az_err *err)
{
	const struct s3_upload_id *u = arg;

	return path[0] || u->id[0] ? AZ_OK : nonsense("no upload id", err);
}

static void
upload_id_reset(void *arg)
{
	memset(arg, 0, sizeof(struct s3_upload_id));
}

struct s3_xml_opts
s3_upload_id_opts(struct s3_upload_id *u)
{
	return (struct s3_xml_opts){
	    "InitiateMultipartUploadResult", upload_id_leaf, upload_id_end, u, upload_id_reset};
}

/* ---- single values ---- */

static enum az_code
etag_leaf(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	struct s3_etag *e = arg;

	if (strcmp(path, "ETag"))
		return AZ_OK;
	text = az_str_trim(text);
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = az_str_sub(text, 1, text.n - 1);
	return read_word(text, e->etag, sizeof e->etag, err);
}

static void
etag_reset(void *arg)
{
	memset(arg, 0, sizeof(struct s3_etag));
}

struct s3_xml_opts
s3_etag_opts(struct s3_etag *e, const char *root)
{
	return (struct s3_xml_opts){root, etag_leaf, NULL, e, etag_reset};
}

static enum az_code
deleted_end(void *arg, const char *path, struct az_err *err)
{
	struct s3_deleted *d = arg;

	(void)err;
	if (strcmp(path, "Error"))
		return AZ_OK;
	/* what was not there is removed */
	if (d->failed == 0 && strcmp(d->first.code, "NoSuchKey") == 0)
		d->first = (struct s3_error){.code = ""};
	else
		d->failed++;
	return AZ_OK;
}

static enum az_code
deleted_leaf(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	struct s3_deleted *d = arg;

	if (az_str_starts(az_str_c(path), AZ_S("Error/")) && d->failed == 0)
		s3_error_leaf(&d->first, az_str_c(path + 6), text);
	return deleted_end(d, path, err); /* an empty <Error/> */
}

static void
deleted_reset(void *arg)
{
	memset(arg, 0, sizeof(struct s3_deleted));
}

struct s3_xml_opts
s3_deleted_opts(struct s3_deleted *d)
{
	return (struct s3_xml_opts){"DeleteResult", deleted_leaf, deleted_end, d, deleted_reset};
}

#define CREDENTIALS "AssumeRoleResult/Credentials/"

static enum az_code
session_leaf(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	struct s3_session *s = arg;

	if (strcmp(path, CREDENTIALS "AccessKeyId") == 0)
		return read_word(text, s->access, sizeof s->access, err);
	if (strcmp(path, CREDENTIALS "SecretAccessKey") == 0)
		return read_word(text, s->secret, sizeof s->secret, err);
	if (strcmp(path, CREDENTIALS "SessionToken") == 0)
		return read_word(text, s->token, sizeof s->token, err);
	if (strcmp(path, CREDENTIALS "Expiration") == 0)
		return az_rfc3339_parse(az_str_trim(text), &s->expires_ms)
			   ? AZ_OK
			   : nonsense("a time that is none", err);
	return AZ_OK;
}

static enum az_code
session_end(void *arg, const char *path, struct az_err *err)
{
	const struct s3_session *s = arg;

	if (path[0] || (s->access[0] && s->secret[0] && s->token[0] && s->expires_ms))
		return AZ_OK;
	return nonsense("credentials that are not whole", err);
}

static void
session_reset(void *arg)
{
	az_wipe(arg, sizeof(struct s3_session));
}

struct s3_xml_opts
s3_session_opts(struct s3_session *s)
{
	return (struct s3_xml_opts){
	    "AssumeRoleResponse", session_leaf, session_end, s, session_reset};
}
