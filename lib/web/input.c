/* What the client asked: parameters, headers, body. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "web.h"

#define KEY_BYTES ((size_t)80)

struct az_str
az_rq_env(const struct az_rq *rq, const char *name)
{
	return az_str_c(FCGX_GetParam(name, rq->f->envp));
}

/* CGI's form of a header's name; false when it is too long. */
static bool
cgi_name(const char *name, char key[KEY_BYTES])
{
	size_t n = strlen(name), at = 0;

	if (n > KEY_BYTES - 6)
		return false;
	/* these two have no HTTP_ prefix in CGI */
	if (strcasecmp(name, "content-type") != 0 && strcasecmp(name, "content-length") != 0) {
		memcpy(key, "HTTP_", 5);
		at = 5;
	}
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		key[at++] = c == '-' ? '_' : (char)toupper((unsigned char)c);
	}
	key[at] = '\0';
	return true;
}

struct az_str
az_rq_header(const struct az_rq *rq, const char *name)
{
	char key[KEY_BYTES];
	struct az_str s = {NULL, 0};

	if (cgi_name(name, key))
		s = az_rq_env(rq, key);
	/* nginx passes an empty parameter for a header that is not there */
	return s.n ? s : (struct az_str){NULL, 0};
}

bool
az_rq_header_next(const struct az_rq *rq, const char *prefix, size_t *at, struct az_str *rest,
    struct az_str *value)
{
	char key[KEY_BYTES];

	if (!cgi_name(prefix, key))
		return false;
	while (rq->f->envp[*at]) {
		struct az_str s = az_str_c(rq->f->envp[(*at)++]);

		if (!az_str_starts(s, az_str_c(key)) || !az_str_cut(&s, '=', rest))
			continue;
		*rest = az_str_sub(*rest, strlen(key), rest->n);
		*value = s;
		return true;
	}
	return false;
}

static bool
id_ok(struct az_str s)
{
	if (s.n < 8 || s.n > 64)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

static void
id_set(struct az_rq *rq)
{
	struct az_str id = az_rq_env(rq, "AZLON_REQUEST_ID");
	struct az_buf b;

	az_buf_init(&b, sizeof rq->id_text - 1);
	if (id_ok(id))
		az_buf_adds(&b, id);
	else
		az_random_id(&b, 26);
	memcpy(rq->id_text, b.n ? b.p : "-", b.n ? b.n : 1);
	rq->id_text[b.n ? b.n : 1] = '\0';
	az_buf_release(&b);
	rq->id = az_str_c(rq->id_text);
}

enum az_code
web_rq_open(struct az_rq *rq, struct az_err *err)
{
	struct az_str len, qs;
	enum az_code rc;

	id_set(rq);
	rq->method = az_rq_env(rq, "REQUEST_METHOD");
	rq->path = az_rq_env(rq, "DOCUMENT_URI");
	qs = az_rq_env(rq, "QUERY_STRING");
	rq->query_string = qs;
	rq->is_head = az_str_eqc(rq->method, "HEAD");
	rq->body_bytes = -1;
	if ((rc = web_path_ok(rq->path, err)) != AZ_OK)
		return rc;
	len = az_rq_env(rq, "CONTENT_LENGTH");
	if (len.n && !az_str_to_i64(len, 0, INT64_MAX, &rq->body_bytes))
		return az_fail(err, AZ_EINVAL, "web.request", "Content-Length is not a number");
	return web_query_parse(qs, rq->arena, rq->query, WEB_QUERY_MAX, &rq->n_query, err);
}

struct az_arena *
az_rq_arena(struct az_rq *rq)
{
	return rq->arena;
}

struct az_str
az_rq_method(const struct az_rq *rq)
{
	return rq->method;
}

bool
az_rq_is_head(const struct az_rq *rq)
{
	return rq->is_head;
}

struct az_str
az_rq_path(const struct az_rq *rq)
{
	return rq->path;
}

struct az_str
az_rq_param(const struct az_rq *rq, const char *name)
{
	for (size_t i = 0; i < rq->n_param; i++)
		if (az_str_eqc(rq->param[i].name, name))
			return rq->param[i].value;
	return (struct az_str){"", 0};
}

struct az_str
az_rq_query(struct az_rq *rq, const char *name)
{
	for (size_t i = 0; i < rq->n_query; i++)
		if (az_str_eqc(rq->query[i].name, name))
			return rq->query[i].value;
	return (struct az_str){NULL, 0};
}

enum az_code
az_rq_query_i64(struct az_rq *rq, const char *name, int64_t min, int64_t max, int64_t dflt,
    int64_t *out, struct az_err *err)
{
	struct az_str s = az_rq_query(rq, name);

	*out = dflt;
	if (!s.p || az_str_to_i64(s, min, max, out))
		return AZ_OK;
	*out = dflt;
	return az_fail(err, AZ_EINVAL, "web.query", "%s must be an integer from %lld to %lld", name,
	    (long long)min, (long long)max);
}

struct az_str
az_rq_query_string(const struct az_rq *rq)
{
	return rq->query_string;
}

struct az_str
az_rq_id(const struct az_rq *rq)
{
	return rq->id;
}

int64_t
az_rq_body_bytes(const struct az_rq *rq)
{
	return rq->body_bytes;
}

/* Count what was read; n is what was asked for. */
static enum az_code
body_took(struct az_rq *rq, size_t n, size_t got, struct az_err *err)
{
	rq->body_seen += (int64_t)got;
	if (rq->body_bytes >= 0 && rq->body_seen > rq->body_bytes)
		return az_fail(err, AZ_EINVAL, "web.body", "body longer than its Content-Length");
	if (got == 0 && n > 0 && (FCGX_GetError(rq->f->in) != 0 || rq->body_seen < rq->body_bytes))
		return az_fail(err, AZ_EINVAL, "web.body", "body was cut short");
	return AZ_OK;
}

enum az_code
az_rq_read(struct az_rq *rq, char *p, size_t n, size_t *got, struct az_err *err)
{
	int want = n > INT_MAX ? INT_MAX : (int)n;
	int r = FCGX_GetStr(p, want, rq->f->in);

	*got = r > 0 ? (size_t)r : 0;
	return body_took(rq, n, *got, err);
}

/* Make libfcgi's next read of the connection give up after ms; 0: never. */
static void
patience(struct az_rq *rq, int ms)
{
	struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000L};

	/* it can only fail on what is no socket, and then nothing can be read either */
	(void)setsockopt(rq->f->ipcFd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

enum az_code
az_rq_read_some(struct az_rq *rq, char *p, size_t n, int ms, size_t *got, struct az_err *err)
{
	FCGX_Stream *in = rq->f->in;
	size_t more;
	int c;

	*got = 0;
	rq->body_open = true;
	if (in->rdNext == in->stop) {
		patience(rq, ms > 0 ? ms : 1);
		c = FCGX_GetChar(in);
		patience(rq, 0);
	} else {
		c = FCGX_GetChar(in);
	}
	if (c == EOF && FCGX_GetError(in) == EAGAIN) {
		/* it goes on where it was, behind what it may have skipped of a record */
		FCGX_ClearError(in);
		in->isClosed = 0;
		in->stop = in->stopUnget = in->rdNext;
		return az_fail(err, AZ_ETIMEOUT, "web.body", "nothing yet");
	}
	if (c != EOF) {
		p[(*got)++] = (char)c;
		more = (size_t)(in->stop - in->rdNext);
		if (more > n - 1)
			more = n - 1;
		if (more && (c = FCGX_GetStr(p + 1, (int)more, in)) > 0)
			*got += (size_t)c;
	} else {
		rq->body_open = false;
	}
	return body_took(rq, n, *got, err);
}

enum az_code
az_rq_body(struct az_rq *rq, size_t max, struct az_str *out, struct az_err *err)
{
	size_t cap, n = 0, got;
	enum az_code rc;
	char *p;

	*out = (struct az_str){"", 0};
	if (rq->body_bytes > 0 && (uint64_t)rq->body_bytes > max)
		goto big;
	cap = rq->body_bytes >= 0 ? (size_t)rq->body_bytes : max;
	/* one byte more than allowed, to see that there is more */
	if (!(p = az_arena_alloc(rq->arena, cap + 2)))
		return az_fail(err, AZ_ENOMEM, "web.body", "out of memory");
	do {
		if ((rc = az_rq_read(rq, p + n, cap + 1 - n, &got, err)) != AZ_OK)
			return rc;
		n += got;
		if (n > max)
			goto big;
	} while (got);
	p[n] = '\0';
	*out = az_str_n(p, n);
	return AZ_OK;
big:
	return az_fail(err, AZ_ETOOBIG, "web.body", "body larger than %zu bytes", max);
}
