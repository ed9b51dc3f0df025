/* E2B's wire as its SDKs see it: a real az_web_run() before a real server. */
#ifndef BOX_HTTP_FIXTURE_H
#define BOX_HTTP_FIXTURE_H

#include "box_fixture.h"
#include "web_fixture.h"

#define KEY "HTTP_X_API_KEY=e2b_0123456789abcdef"
#define HOST "HTTP_HOST=127.0.0.1:8090"

static struct box_fixture fix;
static struct web_fixture web;
static struct fcgi_resp a;
static char id[40], token[80];

static inline int
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

static inline int
group_teardown(void **state)
{
	(void)state;
	if (!fix.refused)
		web_fixture_stop(&web);
	fix_close(&fix);
	fcgi_peer_release(&a);
	return 0;
}

static inline void
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

static inline void
control(const char *method, const char *path, const char *query, const char *body)
{
	static const char *const p[] = {HOST, KEY, "CONTENT_TYPE=application/json", NULL};

	call(method, path, query, body, body ? strlen(body) : 0, p);
}

static inline void
member(const char *key, char *out, size_t size)
{
	struct az_json *j = NULL;

	assert_int_equal(
	    az_json_parse(az_str_n(a.body, a.body_n), &az_json_own_limits, &j, NULL), AZ_OK);
	snprintf(out, size, "%.*s", AZ_FMT(az_json_gets(j, key)));
	az_json_free(j);
}

static inline void
create(const char *json)
{
	control("POST", "/v2/sandboxes", NULL, json);
	if (a.status != 201)
		fail_msg("%d %s", a.status, a.body);
	member("sandboxID", id, sizeof id);
	member("envdAccessToken", token, sizeof token);
}

static inline void
kill_it(void)
{
	char path[80];

	snprintf(path, sizeof path, "/sandboxes/%s", id);
	control("DELETE", path, NULL, NULL);
	assert_int_equal(a.status, 204);
}

#endif
