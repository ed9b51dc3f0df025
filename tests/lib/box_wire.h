/* E2B's wire as its SDKs see it: a real az_web_run() before a real server; calls to both
   of its planes, answers in one place. For one test program. */
#ifndef BOX_WIRE_H
#define BOX_WIRE_H

#include "box_fixture.h"

#include "web_fixture.h"

#define KEY "HTTP_X_API_KEY=e2b_0123456789abcdef"
#define HOST "HTTP_HOST=127.0.0.1:8090"

static struct box_fixture fix;
static struct web_fixture web;
static struct fcgi_resp a;
static char id[40], token[80];

static int
group_setup(void **state)
{
	(void)state;
	if (fix_open(&fix))
		return -1;
	web.w.threads = 8;
	web.w.problem = az_box_problem;
	web.w.arena_bytes = AZ_MIB(16);
	return fix.refused || web_fixture_start(&web, az_box_routes, fix.s) ? 0 : -1;
}

static int
group_teardown(void **state)
{
	(void)state;
	if (!fix.refused)
		web_fixture_stop(&web);
	fix_close(&fix);
	fcgi_peer_release(&a);
	return 0;
}

static __attribute__((unused)) void
call(const char *method, const char *path, const char *query, const char *body, size_t n,
    const char *const *params)
{
	struct fcgi_req q = {.method = method,
	    .path = path,
	    .query = query,
	    .params = params,
	    .body = body,
	    .body_n = n};

	fcgi_peer_release(&a);
	memset(&a, 0, sizeof a);
	assert_true(fcgi_peer_call(web.path, &q, &a));
}

static __attribute__((unused)) void
control(const char *method, const char *path, const char *query, const char *body)
{
	static const char *const p[] = {HOST, KEY, "CONTENT_TYPE=application/json", NULL};

	call(method, path, query, body, body ? strlen(body) : 0, p);
}

static __attribute__((unused)) void
envd(const char *method, const char *path, const char *query, const char *type, struct az_str body,
    const char *extra)
{
	char i[80], t[120], c[160];
	const char *p[] = {HOST, i, t, c, extra, NULL};

	snprintf(i, sizeof i, "HTTP_E2B_SANDBOX_ID=%s", id);
	snprintf(t, sizeof t, "HTTP_X_ACCESS_TOKEN=%s", token);
	snprintf(c, sizeof c, "CONTENT_TYPE=%s", type);
	call(method, path, query, body.p, body.n, p);
}

static __attribute__((unused)) void
unary(const char *path, const char *json)
{
	envd("POST", path, NULL, "application/json", az_str_c(json), NULL);
}

static __attribute__((unused)) void
stream(const char *path, const char *json, const char *extra)
{
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(64));
	envelope_add(&b, 0, az_str_c(json));
	envd("POST", path, NULL, "application/connect+json", az_buf_str(&b), extra);
	az_buf_release(&b);
}

/* The i-th message of the stream that was answered; its flags. */
static __attribute__((unused)) unsigned
message(size_t i, char *out, size_t size)
{
	struct az_str rest = az_str_n(a.body, a.body_n), m;
	unsigned flags;
	size_t used;

	while (envelope_next(rest, &flags, &m, &used) == 1) {
		if (!i--) {
			snprintf(out, size, "%.*s", AZ_FMT(m));
			return flags;
		}
		rest = az_str_sub(rest, used, rest.n);
	}
	snprintf(out, size, "(no such message)");
	return 99;
}

static __attribute__((unused)) void
member(const char *key, char *out, size_t size)
{
	struct az_json *j = NULL;

	assert_int_equal(
	    az_json_parse(az_str_n(a.body, a.body_n), &az_json_own_limits, &j, NULL), AZ_OK);
	snprintf(out, size, "%.*s", AZ_FMT(az_json_gets(j, key)));
	az_json_free(j);
}

static __attribute__((unused)) void
create(const char *json)
{
	control("POST", "/v2/sandboxes", NULL, json);
	if (a.status != 201)
		fail_msg("%d %s", a.status, a.body);
	member("sandboxID", id, sizeof id);
	member("envdAccessToken", token, sizeof token);
}

/* The path of this sandbox, and what follows. */
static __attribute__((unused)) const char *
of(const char *rest)
{
	static char path[120];

	snprintf(path, sizeof path, "/sandboxes/%s%s", id, rest);
	return path;
}

static __attribute__((unused)) const char *
of_v2(const char *rest)
{
	static char path[120];

	snprintf(path, sizeof path, "/v2/sandboxes/%s%s", id, rest);
	return path;
}

static __attribute__((unused)) void
says(int status, const char *text)
{
	if (a.status != status || !strstr(a.body ? a.body : "", text))
		fail_msg("%d %s", a.status, a.body);
}

static __attribute__((unused)) void
kill_it(void)
{
	control("DELETE", of(""), NULL, NULL);
	assert_int_equal(a.status, 204);
}

#endif
