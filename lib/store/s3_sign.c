/* AWS Signature Version 4: see s3_sign.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <azlon/crypto.h>
#include "s3_sign.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TARGET_BYTES ((size_t)16 * 1024)
#define TEXT_BYTES ((size_t)64 * 1024)
#define ADDED 6 /* what presigning or the headers add */

static const char op[] = "s3.sign";

void
s3_uri_encode(struct az_buf *out, struct az_str raw, bool slash)
{
	az_pct_encode(out, raw, slash ? "/" : NULL);
}

/* "20130524T000000Z" */
static void
stamp(int64_t ms, char out[17])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&t, &tm);
	if (strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
		memset(out, '0', 17);
	out[16] = '\0';
}

static void
scope(struct az_buf *out, const struct s3_sign *q, const char *date)
{
	az_buf_addf(out, "%.8s/%s/%s/aws4_request", date, q->region, q->service);
}

/* ---- the parts of a canonical request ---- */

/* Encoded parameters, sorted when a set is complete. */
struct pair {
	struct az_str name, value; /* into the buffer of the set */
};
struct set {
	struct pair v[S3_QUERY_MAX + ADDED];
	size_t at[S3_QUERY_MAX + ADDED][4]; /* offsets: the buffer may move */
	size_t n;
	struct az_buf text;
};

static void
set_add(struct set *s, struct az_str name, struct az_str value)
{
	size_t *at;

	if (s->n == sizeof s->v / sizeof *s->v) {
		s->text.fail = AZ_EINVAL;
		return;
	}
	at = s->at[s->n++];
	at[0] = s->text.n;
	s3_uri_encode(&s->text, name, false);
	at[1] = at[2] = s->text.n;
	s3_uri_encode(&s->text, value, false);
	at[3] = s->text.n;
}

static int
by_name(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int c = az_str_cmp(x->name, y->name);

	return c ? c : az_str_cmp(x->value, y->value);
}

static void
set_write(struct set *s, struct az_buf *out)
{
	struct az_str all = az_buf_str(&s->text);

	for (size_t i = 0; i < s->n; i++) {
		s->v[i].name = az_str_sub(all, s->at[i][0], s->at[i][1]);
		s->v[i].value = az_str_sub(all, s->at[i][2], s->at[i][3]);
	}
	qsort(s->v, s->n, sizeof *s->v, by_name);
	for (size_t i = 0; i < s->n; i++) {
		if (i)
			az_buf_addch(out, '&');
		az_buf_adds(out, s->v[i].name);
		az_buf_addch(out, '=');
		az_buf_adds(out, s->v[i].value);
	}
	if (s->text.fail && !out->fail)
		out->fail = s->text.fail;
}

static void
path_write(const struct s3_sign *q, struct az_buf *out)
{
	if (q->path.n)
		s3_uri_encode(out, q->path, true);
	else
		az_buf_addch(out, '/');
}

static void
query_write(const struct s3_sign *q, struct set *s, struct az_buf *out)
{
	for (size_t i = 0; i < q->n_query; i++)
		set_add(s, q->query[i].name, q->query[i].value);
	set_write(s, out);
}

/* A header as it is signed: lower-case name, value trimmed and its blanks folded. */
struct header {
	char name[128];
	struct az_str value;
	size_t order;
};

static int
by_header(const void *a, const void *b)
{
	const struct header *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : x->order < y->order ? -1 : 1;
}

struct headers {
	struct header v[S3_HEADERS_MAX + ADDED];
	size_t n;
	bool bad;
};

static void
header_add(struct headers *h, struct az_str name, struct az_str value)
{
	struct header *x;

	if (h->n == sizeof h->v / sizeof *h->v || name.n == 0 || name.n >= sizeof h->v[0].name) {
		h->bad = true;
		return;
	}
	for (size_t i = 0; i < value.n; i++)
		h->bad |=
		    ((unsigned char)value.p[i] < 0x20 && value.p[i] != '\t') || value.p[i] == 0x7f;
	x = &h->v[h->n];
	for (size_t i = 0; i < name.n; i++) {
		h->bad |= (unsigned char)name.p[i] <= 0x20 || name.p[i] == ':' ||
			  (unsigned char)name.p[i] >= 0x7f;
		x->name[i] = (char)tolower((unsigned char)name.p[i]);
	}
	x->name[name.n] = '\0';
	x->value = value;
	x->order = h->n++;
}

static void
fold(struct az_buf *out, struct az_str value)
{
	bool blank = false;

	value = az_str_trim(value);
	for (size_t i = 0; i < value.n; i++) {
		bool is = value.p[i] == ' ' || value.p[i] == '\t';

		if (is && blank)
			continue;
		az_buf_addch(out, is ? ' ' : value.p[i]);
		blank = is;
	}
}

static bool
again(const struct headers *h, size_t i)
{
	return i && strcmp(h->v[i].name, h->v[i - 1].name) == 0;
}

static void
headers_write(struct headers *h, struct az_buf *out)
{
	for (size_t i = 0; i < h->n; i++) {
		if (again(h, i)) {
			az_buf_addch(out, ',');
		} else {
			if (i)
				az_buf_addch(out, '\n');
			az_buf_addf(out, "%s:", h->v[i].name);
		}
		fold(out, h->v[i].value);
	}
	az_buf_addch(out, '\n');
}

static void
names_write(const struct headers *h, struct az_buf *out)
{
	bool first = true;

	for (size_t i = 0; i < h->n; i++) {
		if (again(h, i))
			continue;
		az_buf_addf(out, "%s%s", first ? "" : ";", h->v[i].name);
		first = false;
	}
}

/* ---- signing ---- */

static void
signature(const struct s3_sign *q, const char *date, struct az_str to_sign, char hex[65])
{
	unsigned char key[32], next[32];
	char first[160];
	struct az_str chain[4] = {
	    {date, 8}, az_str_c(q->region), az_str_c(q->service), AZ_S("aws4_request")};
	int n = snprintf(first, sizeof first, "AWS4%s", q->cred->secret);
	struct az_str by = {first, (size_t)n};

	for (size_t i = 0; i < 4; i++) {
		az_hmac_sha256(by, chain[i], next);
		memcpy(key, next, sizeof key);
		by = az_str_n(key, sizeof key);
	}
	az_hmac_sha256(by, to_sign, next);
	az_hex(next, sizeof next, hex);
	az_wipe(first, sizeof first);
	az_wipe(key, sizeof key);
}

/* Everything of one signature. */
struct work {
	const struct s3_sign *q;
	char date[17];
	struct headers headers;
	struct set query;
	struct az_buf names, target_query, request, to_sign;
};

static void
release(struct work *w)
{
	az_buf_release(&w->query.text);
	az_buf_release(&w->names);
	az_buf_release(&w->target_query);
	az_buf_release(&w->request);
	az_buf_release(&w->to_sign);
}

static void
presign_query(struct work *w, int ttl_s)
{
	const struct s3_sign *q = w->q;
	struct az_buf credential;
	char ttl[16];

	az_buf_init(&credential, 512);
	az_buf_addf(&credential, "%s/", q->cred->access);
	scope(&credential, q, w->date);
	snprintf(ttl, sizeof ttl, "%d", ttl_s);
	set_add(&w->query, AZ_S("X-Amz-Algorithm"), AZ_S(ALGORITHM));
	set_add(&w->query, AZ_S("X-Amz-Credential"), az_buf_str(&credential));
	set_add(&w->query, AZ_S("X-Amz-Date"), az_str_c(w->date));
	set_add(&w->query, AZ_S("X-Amz-Expires"), az_str_c(ttl));
	set_add(&w->query, AZ_S("X-Amz-SignedHeaders"), az_buf_str(&w->names));
	if (q->cred->token[0])
		set_add(&w->query, AZ_S("X-Amz-Security-Token"), az_str_c(q->cred->token));
	if (credential.fail)
		w->query.text.fail = credential.fail;
	az_buf_release(&credential);
}

/* What stands in the authorization line, or is sent as a header, as it is. */
static bool
visible(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

static enum az_code
build(struct work *w, const struct s3_sign *q, int ttl_s, struct az_err *err)
{
	char hash[65];
	enum az_code rc;

	memset(w, 0, sizeof *w);
	w->q = q;
	az_buf_init(&w->query.text, TARGET_BYTES);
	az_buf_init(&w->names, TARGET_BYTES);
	az_buf_init(&w->target_query, TARGET_BYTES);
	az_buf_init(&w->request, TEXT_BYTES);
	az_buf_init(&w->to_sign, 1024);
	if (q->n_query > S3_QUERY_MAX || q->n_headers > S3_HEADERS_MAX)
		return az_fail(err, AZ_EINVAL, op, "too many parameters or headers");
	if (!visible(q->cred->access) || !visible(q->cred->token) || !visible(q->region) ||
	    !visible(q->service))
		return az_fail(err, AZ_EINVAL, op, "a key, token or region cannot be sent");
	stamp(q->at_ms, w->date);
	header_add(&w->headers, AZ_S("host"), q->host);
	for (size_t i = 0; i < q->n_headers; i++)
		header_add(&w->headers, q->headers[i].name, q->headers[i].value);
	if (!ttl_s) {
		header_add(&w->headers, AZ_S("x-amz-date"), az_str_c(w->date));
		if (q->sends_payload_hash)
			header_add(&w->headers, AZ_S("x-amz-content-sha256"), q->payload);
		if (q->cred->token[0])
			header_add(
			    &w->headers, AZ_S("x-amz-security-token"), az_str_c(q->cred->token));
	}
	if (w->headers.bad)
		return az_fail(err, AZ_EINVAL, op, "a header cannot be sent");
	qsort(w->headers.v, w->headers.n, sizeof *w->headers.v, by_header);
	names_write(&w->headers, &w->names);
	if (ttl_s)
		presign_query(w, ttl_s);
	query_write(q, &w->query, &w->target_query);

	az_buf_addf(&w->request, "%s\n", q->method);
	path_write(q, &w->request);
	az_buf_addch(&w->request, '\n');
	az_buf_adds(&w->request, az_buf_str(&w->target_query));
	az_buf_addch(&w->request, '\n');
	headers_write(&w->headers, &w->request);
	az_buf_addch(&w->request, '\n');
	az_buf_adds(&w->request, az_buf_str(&w->names));
	az_buf_addf(&w->request, "\n%.*s", AZ_FMT(q->payload));
	if ((rc = az_buf_check(&w->target_query, op, err)) ||
	    (rc = az_buf_check(&w->names, op, err)) || (rc = az_buf_check(&w->request, op, err)))
		return rc;
	az_sha256_hex(az_buf_str(&w->request), hash);
	az_buf_addf(&w->to_sign, ALGORITHM "\n%s\n", w->date);
	scope(&w->to_sign, q, w->date);
	az_buf_addf(&w->to_sign, "\n%s", hash);
	return az_buf_check(&w->to_sign, op, err);
}

void
s3_target(const struct s3_sign *q, struct az_buf *out)
{
	struct set s = {.n = 0};

	az_buf_init(&s.text, TARGET_BYTES);
	path_write(q, out);
	if (q->n_query) {
		az_buf_addch(out, '?');
		query_write(q, &s, out);
	}
	az_buf_release(&s.text);
}

enum az_code
s3_canonical(const struct s3_sign *q, int ttl_s, struct az_buf *request, struct az_buf *to_sign,
    struct az_err *err)
{
	struct work w;
	enum az_code rc = build(&w, q, ttl_s, err);

	if (!rc) {
		az_buf_adds(request, az_buf_str(&w.request));
		az_buf_adds(to_sign, az_buf_str(&w.to_sign));
	}
	release(&w);
	return rc;
}

enum az_code
s3_sign_headers(const struct s3_sign *q, struct az_buf *lines, struct az_err *err)
{
	struct work w;
	char hex[65];
	enum az_code rc = build(&w, q, 0, err);

	if (rc)
		goto out;
	signature(q, w.date, az_buf_str(&w.to_sign), hex);
	for (size_t i = 0; i < w.headers.n; i++) {
		az_buf_addf(lines, "%s: ", w.headers.v[i].name);
		fold(lines, w.headers.v[i].value);
		az_buf_addch(lines, '\n');
	}
	az_buf_addf(lines, "authorization: " ALGORITHM " Credential=%s/", q->cred->access);
	scope(lines, q, w.date);
	az_buf_addf(
	    lines, ", SignedHeaders=%.*s, Signature=%s\n", AZ_FMT(az_buf_str(&w.names)), hex);
	rc = az_buf_check(lines, op, err);
out:
	release(&w);
	return rc;
}

enum az_code
s3_presign(const struct s3_sign *q, int ttl_s, struct az_buf *target, struct az_err *err)
{
	struct work w;
	char hex[65];
	enum az_code rc;

	if (ttl_s < 1 || ttl_s > 604800)
		return az_fail(err, AZ_EINVAL, op, "a link lives 1 to 604800 seconds");
	rc = build(&w, q, ttl_s, err);
	if (!rc) {
		signature(q, w.date, az_buf_str(&w.to_sign), hex);
		path_write(q, target);
		az_buf_addf(
		    target, "?%.*s&X-Amz-Signature=%s", AZ_FMT(az_buf_str(&w.target_query)), hex);
		rc = az_buf_check(target, op, err);
	}
	release(&w);
	return rc;
}
