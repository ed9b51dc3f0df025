/* One signed request, and its reply: see s3_send.h. */
#include <stdio.h>
#include <time.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "s3_send.h"

#define CONNECT_MS 5000
#define IDLE_MS 30000
#define TOTAL_MS 600000 /* of a call whose reply is not pulled: its body is one part at most */
#define DROP_BYTES AZ_KIB(64)

static const char op[] = "s3.call";

void
s3_md5(struct az_str body, char out[25])
{
	unsigned char d[16];
	struct az_buf b;

	az_md5(body, d);
	az_buf_init(&b, 32);
	az_base64(&b, az_str_n(d, sizeof d));
	memcpy(out, b.p && b.n == 24 ? b.p : "", b.n == 24 ? 24 : 0);
	out[b.n == 24 ? 24 : 0] = '\0';
	az_buf_release(&b);
}

void
s3_region_get(struct s3 *s, char out[64])
{
	pthread_mutex_lock(&s->mu);
	memcpy(out, s->region, 64);
	pthread_mutex_unlock(&s->mu);
}

void
s3_path_of(const struct az_bucket *b, struct az_str key, struct az_buf *out)
{
	az_buf_addch(out, '/');
	if (!b)
		return;
	az_buf_addc(out, b->name);
	if (key.n) {
		az_buf_addch(out, '/');
		az_buf_adds(out, key);
	}
}

void
s3_attempt_release(struct s3_attempt *t)
{
	s3_xml_free(t->xml);
	az_http_resp_release(&t->resp);
	az_buf_release(&t->path);
	az_buf_release(&t->url);
	if (t->lines.p)
		az_wipe(t->lines.p, t->lines.n); /* a session's token is in it */
	az_buf_release(&t->lines);
	memset(t, 0, sizeof *t);
}

/* The signed lines, each ended for libcurl. */
static enum az_code
split_lines(struct s3_attempt *t, struct az_err *err)
{
	char *p = t->lines.p, *end = p + t->lines.n;
	size_t n = 0;

	while (p < end) {
		char *lf = memchr(p, '\n', (size_t)(end - p));

		if (!lf || n + 4 > S3_SEND_HEADERS_MAX)
			return az_fail(err, AZ_EINTERNAL, op, "too many headers");
		*lf = '\0';
		t->headers[n++] = p;
		p = lf + 1;
	}
	/* what libcurl would add on its own */
	t->headers[n++] = "Accept:";
	t->headers[n++] = "Accept-Encoding:";
	t->headers[n] = NULL;
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str chunk, struct az_err *err)
{
	struct s3_attempt *t = arg;
	enum az_code rc = AZ_OK;

	if (t->xml)
		rc = s3_xml_feed(t->xml, chunk, err);
	else if ((t->dropped += chunk.n) > DROP_BYTES)
		rc = az_fail(err, AZ_EUPSTREAM, op, "a long answer where none belongs");
	t->nonsense = rc != AZ_OK;
	return rc;
}

static enum az_code
sign(struct s3_attempt *t, struct s3 *s, const struct s3_call *c, const struct s3_cred *cred,
    struct az_err *err)
{
	struct s3_kv headers[S3_HEADERS_MAX + 1];
	char hash[65], md5[25];
	struct s3_sign q = {.method = c->method,
	    .host = az_str_c(s->at.host),
	    .query = c->query,
	    .n_query = c->n_query,
	    .headers = headers,
	    .sends_payload_hash = true,
	    .cred = cred,
	    .region = t->region,
	    .service = c->service ? c->service : "s3",
	    .at_ms = az_wall_ms() + s->skew_ms};
	enum az_code rc;

	for (; q.n_headers < c->n_headers && q.n_headers < S3_HEADERS_MAX; q.n_headers++)
		headers[q.n_headers] = c->headers[q.n_headers];
	if (c->body.n) {
		if (!c->md5)
			s3_md5(c->body, md5);
		if (!c->md5 || c->md5[0])
			headers[q.n_headers++] =
			    (struct s3_kv){AZ_S("content-md5"), az_str_c(c->md5 ? c->md5 : md5)};
		if (!c->unsigned_body)
			az_sha256_hex(c->body, hash);
		q.payload = c->unsigned_body ? AZ_S(S3_UNSIGNED) : az_str_n(hash, 64);
	} else {
		q.payload = AZ_S(S3_EMPTY_SHA256);
	}
	if (c->path)
		az_buf_addc(&t->path, c->path);
	else
		s3_path_of(c->bucket, c->key, &t->path);
	q.path = az_buf_str(&t->path);
	az_buf_addc(&t->url, s->at.url);
	s3_target(&q, &t->url);
	az_buf_addch(&t->url, '\0');
	if ((rc = az_buf_check(&t->path, op, err)) || (rc = az_buf_check(&t->url, op, err)) ||
	    (rc = s3_sign_headers(&q, &t->lines, err)))
		return rc;
	return split_lines(t, err);
}

static enum az_code
prepare(
    struct s3_attempt *t, struct s3 *s, const struct s3_call *c, bool pulled, struct az_err *err)
{
	struct s3_cred cred = s->root;
	enum az_code rc = AZ_OK;

	az_buf_init(&t->path, 2048);
	az_buf_init(&t->url, AZ_KIB(16));
	az_buf_init(&t->lines, AZ_KIB(16));
	s3_region_get(s, t->region);
	if (c->bucket && !c->as_root)
		rc = s3_cred_for(s, c->bucket, 0, &cred, err);
	if (!rc)
		rc = sign(t, s, c, &cred, err);
	if (cred.token[0])
		memcpy(t->session, cred.access, sizeof t->session);
	az_wipe(&cred, sizeof cred);
	if (!rc && c->xml)
		rc = s3_xml_new(c->xml, &t->xml, err);
	if (rc)
		return rc;
	t->req = (struct az_http_req){.method = c->method,
	    .url = t->url.p,
	    .headers = t->headers,
	    .body = c->body,
	    .data = on_data,
	    .arg = t,
	    .connect_ms = CONNECT_MS,
	    .idle_ms = IDLE_MS,
	    .total_ms = pulled         ? 0
			: c->within_ms ? c->within_ms
				       : TOTAL_MS,
	    .ca_file = s->ca_file[0] ? s->ca_file : NULL};
	return AZ_OK;
}

/* ---- what came back ---- */

static void
unquote(struct az_str v, char *to, size_t n)
{
	if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
		v = az_str_sub(v, 1, v.n - 1);
	snprintf(to, n, "%.*s", AZ_FMT(v));
}

static int64_t
http_date_ms(struct az_str v)
{
	struct tm tm = {0};
	char text[64];

	snprintf(text, sizeof text, "%.*s", AZ_FMT(v));
	if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

int64_t
s3_attempt_date_ms(const struct s3_attempt *t)
{
	return http_date_ms(az_http_header(&t->resp, "date"));
}

/* "bytes 4-9/10" */
static void
read_range(struct az_str v, struct s3_reply *r)
{
	ptrdiff_t dash = az_str_chr(v, '-'), slash = az_str_rchr(v, '/');

	r->from = -1;
	if (!az_str_starts(v, AZ_S("bytes ")) || dash < 0 || slash < dash)
		return;
	if (!az_str_to_i64(az_str_sub(v, 6, (size_t)dash), 0, INT64_MAX, &r->from))
		r->from = -1;
	if (!az_str_to_i64(az_str_sub(v, (size_t)slash + 1, v.n), 0, INT64_MAX, &r->total_bytes))
		r->total_bytes = -1;
}

static void
read_reply(struct s3 *s, const struct az_http_resp *resp, struct s3_reply *r)
{
	struct az_str v = az_http_header(resp, "server");

	if (v.n)
		s->minio = az_str_starts(v, AZ_S("MinIO")) ? S3_YES : S3_NO;
	r->status = resp->status;
	unquote(az_http_header(resp, "etag"), r->etag, sizeof r->etag);
	if (!az_str_to_i64(az_http_header(resp, "content-length"), 0, INT64_MAX, &r->bytes))
		r->bytes = -1;
	r->total_bytes = r->bytes;
	read_range(az_http_header(resp, "content-range"), r);
	snprintf(r->mark, sizeof r->mark, "%.*s", AZ_FMT(az_http_header(resp, S3_MARK)));
	r->modified_ms = http_date_ms(az_http_header(resp, "last-modified"));
}

static void
read_error(const struct az_http_resp *resp, struct s3_reply *r)
{
	struct az_str v = az_http_header(resp, "x-amz-bucket-region");

	if (!r->error.code[0])
		s3_error_parse(az_buf_str(&resp->body), &r->error);
	if (!r->error.region[0] && v.n < sizeof r->error.region)
		snprintf(r->error.region, sizeof r->error.region, "%.*s", AZ_FMT(v));
	/* an answer to HEAD has no body; MinIO has a header for it */
	v = az_http_header(resp, "x-minio-error-code");
	if (!r->error.code[0] && v.n)
		s3_error_leaf(&r->error, AZ_S("Code"), v);
}

enum az_code
s3_send(struct s3_attempt *t, struct s3 *s, const struct s3_call *c, struct s3_reply *r,
    struct az_http_stream **pulled, struct az_err *err)
{
	enum az_code rc = prepare(t, s, c, pulled != NULL, err);

	if (rc)
		return rc;
	rc = pulled ? az_http_open(s->http, &t->req, &t->resp, pulled, err)
		    : az_http_call(s->http, &t->req, &t->resp, err);
	if (t->resp.status)
		read_reply(s, &t->resp, r);
	if (!rc && t->xml && r->status / 100 == 2) {
		rc = s3_xml_finish(t->xml, &r->error, err);
		t->nonsense = rc && !r->error.code[0];
		if (r->error.code[0])
			rc = AZ_OK;
	}
	if (!rc && (r->status / 100 != 2 || r->error.code[0]))
		read_error(&t->resp, r);
	/* its fault, and not that of a caller who sends too much */
	if (rc == AZ_ETOOBIG) {
		t->nonsense = true;
		rc = err->code = AZ_EUPSTREAM;
	}
	return rc;
}
