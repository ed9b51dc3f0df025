/* Routes of a run over a real socket, on histories made by the real fold. */
#ifndef API_RUN_FIXTURE_H
#define API_RUN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>
#include <azlon/manifest.h>
#include "api/run.h"
#include "api_fixture.h"

static struct api_fixture fix;
static struct az_arena *arena;

static inline int
setup(void **state)
{
	(void)state;
	arena = az_arena_new(1 << 24);
	return api_fixture_start(&fix, az_api_wait_routes) ? 0 : -1;
}

static inline int
teardown(void **state)
{
	(void)state;
	az_arena_free(arena);
	return api_fixture_stop(&fix) ? 0 : -1;
}

/* Start a run as user with that body; its id in the arena. extra: as api_call() has it. */
static inline struct az_str
begin_with(const char *user, const char *body, const char *const *extra)
{
	struct fcgi_resp r;
	const struct az_json *j = NULL;
	struct az_str id;

	api_call(&fix, user, "POST", "/run_workflow", "", body, extra, &r);
	assert_int_equal(r.status, 202);
	assert_int_equal(
	    az_json_parse_in(arena, az_str_n(r.body, r.body_n), &az_json_own_limits, &j, NULL),
	    AZ_OK);
	id = az_json_gets(j, "workflow_id");
	fcgi_peer_release(&r);
	return id;
}

/* The same with a body that only differs by more. */
static inline struct az_str
begin(const char *user, const char *more)
{
	char body[600];

	snprintf(body, sizeof body,
	    "{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":"
	    "\"recording/x\",\"mode\":\"async\"%s}",
	    more);
	return begin_with(user, body, NULL);
}

static inline const struct az_json *
call_x(const char *user, const char *method, struct az_str id, const char *rest, const char *query,
    const char *const *extra, struct fcgi_resp *r)
{
	const struct az_json *j = NULL;
	char path[500];

	snprintf(path, sizeof path, "/run_workflow/%.*s%s", AZ_FMT(id), rest);
	api_call(&fix, user, method, path, query, NULL, extra, r);
	if (r->body_n && r->body[0] == '{')
		assert_int_equal(az_json_parse_in(arena, az_str_n(r->body, r->body_n),
				     &az_json_own_limits, &j, NULL),
		    AZ_OK);
	return j;
}

#define GET(id, rest, query, r, ...)                                                               \
	call_x("alice", "GET", (id), (rest), (query), (const char *const[]){__VA_ARGS__ NULL}, (r))

#endif
