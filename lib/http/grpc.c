/* A client of one server, and the tries of a call. */
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <azlon/clock.h>
#include "grpc_room.h"

#define DEADLINE_MS 30000
#define SLICE_MS 200
#define LAST_TRY_MS 1000 /* the least that a try gets */
#define HOST_MAX 253
#define FIXED_7_88 0x080000 /* the first libcurl that knows an h2c connection for one */

/* The one table: name on the wire, our code. */
static const struct {
	const char *name;
	enum az_code az;
} codes[AZ_GRPC_CODES] = {
    [AZ_GRPC_OK] = {"OK", AZ_OK},
    /* AZ_ECANCELLED would say that our caller stopped it */
    [AZ_GRPC_CANCELLED] = {"CANCELLED", AZ_EUNAVAIL},
    [AZ_GRPC_UNKNOWN] = {"UNKNOWN", AZ_EUPSTREAM},
    [AZ_GRPC_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", AZ_EINVAL},
    [AZ_GRPC_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", AZ_ETIMEOUT},
    [AZ_GRPC_NOT_FOUND] = {"NOT_FOUND", AZ_ENOTFOUND},
    [AZ_GRPC_ALREADY_EXISTS] = {"ALREADY_EXISTS", AZ_ECONFLICT},
    [AZ_GRPC_PERMISSION_DENIED] = {"PERMISSION_DENIED", AZ_EPERM},
    [AZ_GRPC_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", AZ_EQUOTA},
    [AZ_GRPC_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", AZ_ECONFLICT},
    [AZ_GRPC_ABORTED] = {"ABORTED", AZ_ECONFLICT},
    [AZ_GRPC_OUT_OF_RANGE] = {"OUT_OF_RANGE", AZ_EINVAL},
    [AZ_GRPC_UNIMPLEMENTED] = {"UNIMPLEMENTED", AZ_EUNSUPPORTED},
    [AZ_GRPC_INTERNAL] = {"INTERNAL", AZ_EUPSTREAM},
    [AZ_GRPC_UNAVAILABLE] = {"UNAVAILABLE", AZ_EUNAVAIL},
    [AZ_GRPC_DATA_LOSS] = {"DATA_LOSS", AZ_EUPSTREAM},
    [AZ_GRPC_UNAUTHENTICATED] = {"UNAUTHENTICATED", AZ_EAUTH},
};

static enum az_grpc_code
known(enum az_grpc_code code)
{
	return (int)code >= 0 && code < AZ_GRPC_CODES ? code : AZ_GRPC_UNKNOWN;
}

const char *
az_grpc_code_name(enum az_grpc_code code)
{
	return codes[known(code)].name;
}

enum az_code
az_grpc_code_az(enum az_grpc_code code)
{
	return codes[known(code)].az;
}

void
az_grpc_status_release(struct az_grpc_status *st)
{
	az_buf_release(&st->details);
}

static bool
host_ok(const char *h)
{
	size_t n = h ? strlen(h) : 0;

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)h[i]) && !strchr(".-_:", h[i]))
			return false;
	return n > 0 && n <= HOST_MAX;
}

/* "name: value", and not one of the names that the protocol gives us. */
static bool
header_ok(const char *h)
{
	static const char *const ours[] = {
	    "content-type:", "te:", "grpc-timeout:", "user-agent:", NULL};
	const char *colon = strchr(h, ':');

	if (!http_clean(h) || !colon || colon == h)
		return false;
	for (size_t i = 0; ours[i]; i++)
		if (strncasecmp(h, ours[i], strlen(ours[i])) == 0)
			return false;
	return true;
}

static bool
copy_headers(struct az_grpc *g, const char *const *from)
{
	size_t n = 0;

	while (from && from[n])
		n++;
	if (!(g->headers = calloc(n + 1, sizeof *g->headers)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(g->headers[i] = strdup(from[i])))
			return false;
	for (size_t i = 0; i < n; i++) {
		const char *blank = strrchr(g->headers[i], ' ');

		if (strncasecmp(g->headers[i], "authorization:", 14) == 0 && blank && blank[1])
			g->token = blank + 1;
	}
	return true;
}

enum az_code
az_grpc_new(const struct az_grpc_opts *o, struct az_grpc **out, struct az_err *err)
{
	const curl_version_info_data *v;
	struct az_grpc *g = NULL;
	enum az_code rc;
	bool v6;

	*out = NULL;
	if (!host_ok(o->host) || o->port < 1 || o->port > 65535)
		return az_fail(err, AZ_EINVAL, "grpc.new", "not a host and port of a gRPC server");
	for (size_t i = 0; o->headers && o->headers[i]; i++)
		if (!header_ok(o->headers[i]))
			return az_fail(err, AZ_EINVAL, "grpc.new",
			    "header %zu of a gRPC client is malformed", i);
	if (!(g = calloc(1, sizeof *g)) || !copy_headers(g, o->headers) ||
	    (o->ca_file && !(g->ca_file = strdup(o->ca_file)))) {
		rc = az_fail(err, AZ_ENOMEM, "grpc.new", "out of memory");
		goto fail;
	}
	v6 = strchr(o->host, ':') != NULL;
	snprintf(g->key, sizeof g->key, "%s://%s%s%s:%d", o->tls ? "https" : "http", v6 ? "[" : "",
	    o->host, v6 ? "]" : "", o->port);
	g->peer = strstr(g->key, "//") + 2;
	g->tls = o->tls;
	g->max_reply_bytes = o->max_reply_bytes ? o->max_reply_bytes : GRPC_REPLY_BYTES;
	g->haste = 1;
	if ((rc = az_http_new(&g->pool, err)) != AZ_OK)
		goto fail;
	v = curl_version_info(CURLVERSION_NOW);
	if (!(v->features & CURL_VERSION_HTTP2)) {
		rc = az_fail(
		    err, AZ_EUNSUPPORTED, "grpc.new", "this libcurl was built without HTTP/2");
		goto fail;
	}
	g->h2c_once = !o->tls && v->version_num < FIXED_7_88;
	*out = g;
	return AZ_OK;
fail:
	az_grpc_free(g);
	return rc;
}

void
az_grpc_free(struct az_grpc *g)
{
	if (!g)
		return;
	az_http_free(g->pool);
	for (size_t i = 0; g->headers && g->headers[i]; i++)
		free(g->headers[i]);
	free(g->headers);
	free(g->ca_file);
	free(g);
}

enum az_code
grpc_stop(const struct az_grpc_call *c, struct az_grpc_status *st, struct az_err *err)
{
	if (!c->cancelled || !c->cancelled(c->arg))
		return AZ_OK;
	st->code = AZ_GRPC_CANCELLED;
	snprintf(st->message, sizeof st->message, "cancelled");
	return az_fail(err, AZ_ECANCELLED, "grpc.call", "cancelled");
}

/* Between tries. AZ_ECANCELLED or AZ_OK. */
static enum az_code
pause_ms(const struct az_grpc_call *c, int64_t ms, struct az_grpc_status *st, struct az_err *err)
{
	int64_t until = az_boot_ms() + ms, left;
	enum az_code rc;

	for (;;) {
		if ((rc = grpc_stop(c, st, err)) != AZ_OK)
			return rc;
		if ((left = until - az_boot_ms()) <= 0)
			return AZ_OK;
		(void)poll(NULL, 0, (int)(left < SLICE_MS ? left : SLICE_MS));
	}
}

static enum az_code
frame_of(struct az_str body, struct az_buf *b, struct az_err *err)
{
	uint32_t n = (uint32_t)body.n;
	unsigned char prefix[GRPC_PREFIX] = {0, (unsigned char)(n >> 24), (unsigned char)(n >> 16),
	    (unsigned char)(n >> 8), (unsigned char)n};

	az_buf_add(b, prefix, sizeof prefix);
	az_buf_adds(b, body);
	return az_buf_check(b, "grpc.call", err);
}

static enum az_code
tries(struct az_grpc *g, struct grpc_try *t)
{
	const struct az_grpc_call *c = t->call;
	struct grpc_pace pace;
	const int64_t deadline_ms = t->deadline_ms, first = az_boot_ms();
	enum az_code rc;
	int64_t began, ms, left;

	grpc_pace_start(&pace, c->retry, c->total_ms, first);
	for (;;) {
		if ((rc = grpc_stop(c, t->st, t->err)) != AZ_OK)
			return rc;
		began = az_boot_ms();
		left = first + c->total_ms - began;
		if (c->retry == AZ_GRPC_NORMAL && c->total_ms > 0 && left < deadline_ms)
			t->deadline_ms = left > LAST_TRY_MS ? left : LAST_TRY_MS;
		t->final = false;
		rc = grpc_try(g, t);
		if (rc == AZ_OK || rc == AZ_ECANCELLED)
			return rc;
		ms = grpc_pace_next(&pace, t->st->code, t->final, began, az_boot_ms());
		if (ms < 0)
			return rc;
		if (c->failing)
			c->failing(c->arg, t->err, ms);
		if ((rc = pause_ms(c, ms / g->haste, t->st, t->err)) != AZ_OK)
			return rc;
	}
}

enum az_code
az_grpc_call(struct az_grpc *g, const struct az_grpc_call *c, struct az_buf *reply,
    struct az_grpc_status *st, struct az_err *err)
{
	struct az_err own_err = AZ_ERR_INIT;
	struct az_grpc_status own_st = {.code = AZ_GRPC_OK};
	struct grpc_try t = {.call = c,
	    .deadline_ms = c->deadline_ms > 0 ? c->deadline_ms : DEADLINE_MS,
	    .reply = reply,
	    .st = st ? st : &own_st,
	    .err = err ? err : &own_err};
	struct az_buf frame;
	enum az_code rc;

	az_buf_release(reply);
	az_buf_init(reply, g->max_reply_bytes);
	az_grpc_status_release(t.st);
	*t.st = (struct az_grpc_status){.code = AZ_GRPC_UNKNOWN};
	az_buf_init(&t.st->details, GRPC_DETAILS_BYTES);
	az_buf_init(&frame, GRPC_BODY_BYTES + GRPC_PREFIX);
	if (c->path[0] != '/' || !http_clean(c->path) || strpbrk(c->path, " ?#%")) {
		t.st->code = AZ_GRPC_INVALID_ARGUMENT;
		rc = az_fail(t.err, AZ_EINVAL, "grpc.call", "not the path of a gRPC method");
	} else if (c->body.n > GRPC_BODY_BYTES) {
		t.st->code = AZ_GRPC_RESOURCE_EXHAUSTED;
		rc = az_fail(t.err, AZ_ETOOBIG, "grpc.call",
		    "a message of %zu bytes for %s is over the limit of %zu", c->body.n, g->peer,
		    GRPC_BODY_BYTES);
	} else if ((rc = frame_of(c->body, &frame, t.err)) == AZ_OK) {
		t.frame = az_buf_str(&frame);
		rc = tries(g, &t);
	}
	if (rc != AZ_OK) {
		az_buf_reset(reply);
		if (!t.st->message[0])
			snprintf(t.st->message, sizeof t.st->message, "%s", t.err->text);
	}
	az_buf_release(&frame);
	az_grpc_status_release(&own_st);
	return rc;
}
