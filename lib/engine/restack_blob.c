/* GET {codec}/v2/blobs/get?key=…; the reference vouches for what comes. */
#include <azlon/crypto.h>
#include <azlon/json.h>
#include "restack_blob.h"

enum { IDLE_MS = 10000, TOTAL_MS = 60000, KEY_BYTES = 1024 };

static const char OP[] = "engine.blob";

bool
restack_blob_is(const struct restack_meta *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (az_str_eqc(m[i].key, "temporal.io/remote-codec"))
			return az_str_eqc(m[i].value, "v2");
	return false;
}

/* Of the two kinds of senders one writes metadata plainly, the other in base64. An
   encoding is text with a slash in it, its base64 is not. */
static bool
read_encoding(struct az_str s, struct az_arena *a, struct az_str *out)
{
	struct az_buf b;
	bool text;

	az_buf_init(&b, 256);
	text = s.n % 4 == 0 && az_base64_decode(&b, s) && az_str_chr(az_buf_str(&b), '/') > 0;
	for (size_t i = 0; text && i < b.n; i++)
		text = b.p[i] > 0x20 && b.p[i] < 0x7f;
	*out = az_arena_str(a, text ? az_buf_str(&b) : s);
	az_buf_release(&b);
	return out->p != NULL;
}

struct ref {
	struct az_str key;
	char digest[65]; /* wanted, lower-case hex */
	size_t size;
};

static enum az_code
read_ref(const struct az_json *doc, struct ref *r, struct az_err *err)
{
	struct az_str digest = az_json_gets(doc, "digest");
	int64_t size;

	r->key = az_json_gets(doc, "key");
	if (!r->key.n || r->key.n > KEY_BYTES)
		return az_fail(err, AZ_EINVAL, OP, "the reference of a large payload has no key");
	if (!az_json_i64(az_json_get(doc, "size"), 0, INT64_MAX, &size))
		return az_fail(err, AZ_EINVAL, OP, "the reference of a large payload has no size");
	if ((uint64_t)size > RESTACK_BLOB_MAX)
		return az_fail(err, AZ_ETOOBIG, OP,
		    "a large payload has %lld bytes, at most %zu are taken", (long long)size,
		    RESTACK_BLOB_MAX);
	r->size = (size_t)size;
	if (!az_str_starts(digest, AZ_S("sha256:")) || digest.n != 7 + 64)
		return az_fail(
		    err, AZ_EINVAL, OP, "the reference of a large payload has no sha256 digest");
	for (size_t i = 0; i < 64; i++) {
		char c = digest.p[7 + i];

		r->digest[i] = c >= 'A' && c <= 'F' ? (char)(c | 0x20) : c;
	}
	return AZ_OK;
}

static enum az_code
check(const struct az_http_resp *r, const struct ref *ref, const char *server, struct az_err *err)
{
	char got[65];

	if (r->status == 404)
		return az_fail(err, AZ_ENOTFOUND, OP,
		    "%s does not have a large payload that is referred to", server);
	if (r->status < 200 || r->status > 299)
		return az_fail(err, r->status == 429 ? AZ_EQUOTA : AZ_EUPSTREAM, OP,
		    "%s answers %d when asked for a large payload", server, r->status);
	if (r->body.n != ref->size)
		return az_fail(err, AZ_EUPSTREAM, OP,
		    "%s gave a large payload of %zu bytes instead of %zu", server, r->body.n,
		    ref->size);
	az_sha256_hex(az_buf_str(&r->body), got);
	if (strcmp(got, ref->digest) != 0)
		return az_fail(err, AZ_EUPSTREAM, OP,
		    "%s gave a large payload with another digest than its reference has", server);
	return AZ_OK;
}

enum az_code
restack_blob_get(const struct restack_blob_opts *o, struct az_str text, struct az_arena *a,
    struct az_buf *data, struct az_str *encoding, struct az_err *err)
{
	const char *headers[2] = {NULL, NULL};
	struct az_http_req q = {.method = "GET",
	    .headers = headers,
	    .cancelled = o->cancelled,
	    .arg = o->arg,
	    .idle_ms = IDLE_MS,
	    .total_ms = TOTAL_MS,
	    .max_bytes = RESTACK_BLOB_MAX,
	    .ca_file = o->ca_file};
	struct az_http_resp r = {0};
	const struct az_json *doc, *name;
	struct ref ref = {0};
	struct az_buf url;
	enum az_code rc;

	az_buf_init(&url, AZ_KIB(8));
	if (az_json_parse_in(a, text, &az_json_request_limits, &doc, NULL)) {
		rc = az_fail(err, AZ_EINVAL, OP, "the reference of a large payload is malformed");
		goto out;
	}
	if ((rc = read_ref(doc, &ref, err)))
		goto out;
	name = az_json_get(az_json_get(doc, "metadata"), "encoding");
	*encoding = AZ_S("");
	if (name && !read_encoding(az_json_str(name), a, encoding)) {
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
		goto out;
	}
	az_buf_addf(&url, "%s/v2/blobs/get?key=", o->codec_url);
	az_pct_encode(&url, ref.key, NULL);
	headers[0] = az_arena_printf(a, "X-Payload-Expected-Content-Length: %zu", ref.size);
	if ((rc = az_buf_check(&url, OP, err)))
		goto out;
	q.url = url.p;
	if (!headers[0]) {
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
		goto out;
	}
	if ((rc = az_http_call(o->http, &q, &r, err)) || (rc = check(&r, &ref, o->codec_url, err)))
		goto out;
	az_buf_adds(data, az_buf_str(&r.body));
	rc = az_buf_check(data, OP, err);
out:
	az_http_resp_release(&r);
	az_buf_release(&url);
	return rc;
}
