/* The document names every route that there is, and no other; how it is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>
#include "api_fixture.h"

static struct api_fixture fix;

static int
setup(void **state)
{
	(void)state;
	return api_fixture_start(&fix, az_api_run_routes) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	return api_fixture_stop(&fix) ? 0 : -1;
}

static void
get(const char *method, const char *const *extra, struct fcgi_resp *r)
{
	api_call(&fix, NULL, method, "/run_workflow/openapi.json", "", NULL, extra, r);
}

static const struct az_json *
document(struct az_arena *a)
{
	const struct az_json *j = NULL;
	struct fcgi_resp r;

	get("GET", NULL, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(
	    az_json_parse_in(a, az_str_n(r.body, r.body_n), &az_json_own_limits, &j, NULL), AZ_OK);
	fcgi_peer_release(&r);
	return j;
}

static const struct az_route *const tables[] = {
    az_api_run_routes, az_api_wait_routes, az_api_file_routes, az_api_archive_routes};
#define EACH_ROUTE(r)                                                                              \
	for (size_t t_ = 0; t_ < sizeof tables / sizeof *tables; t_++)                             \
		for (const struct az_route *r = tables[t_]; r->methods; r++)

/* A path of the document as the tables write it: a last parameter with slashes in it. */
static const char *
pattern_of(struct az_arena *a, struct az_str path, const struct az_json *op)
{
	struct az_str said = az_json_gets(op, "x-azlon-route");

	if (said.n)
		return az_arena_cstr(a, said);
	if (az_str_ends(path, AZ_S("/{path}")))
		return az_arena_printf(a, "%.*s*}", (int)path.n - 1, path.p);
	return az_arena_cstr(a, path);
}

static const char *
method_of(struct az_str name)
{
	static const char *const names[] = {"get", "head", "post", "put", "delete"};
	static const char *const methods[] = {"GET", "GET", "POST", "PUT", "DELETE"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (az_str_eqc(name, names[i]))
			return methods[i];
	return NULL; /* parameters and the like */
}

/* Is method name (of the document) of that route documented? */
static bool
documented(struct az_arena *a, const struct az_json *paths, const char *name, const char *pattern)
{
	const struct az_json *item, *op;
	struct az_str path;
	void *it = NULL;

	while (az_json_each(paths, &it, &path, &item)) {
		op = az_json_get(item, name);
		if (op && strcmp(pattern_of(a, path, op), pattern) == 0)
			return true;
	}
	return false;
}

static void
every_route_is_documented(void **state)
{
	static const char *const names[] = {"get", "head", "post", "put", "delete"};
	struct az_arena *a = az_arena_new(1 << 24);
	const struct az_json *paths = az_json_get(document(a), "paths");

	(void)state;
	EACH_ROUTE(r)
	{
		/* nobody but nginx reaches these */
		if (r->pattern[1] == '_')
			continue;
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			if (strcmp(r->methods, method_of(az_str_c(names[i]))) == 0 &&
			    !documented(a, paths, names[i], r->pattern))
				fail_msg("%s %s is not documented", names[i], r->pattern);
	}
	az_arena_free(a);
}

static void
nothing_else_is_documented(void **state)
{
	struct az_arena *a = az_arena_new(1 << 24);
	const struct az_json *item, *op;
	struct az_str path, name;
	void *it = NULL;
	size_t n = 0;

	(void)state;
	for (const struct az_json *paths = az_json_get(document(a), "paths");
	     az_json_each(paths, &it, &path, &item);) {
		void *ops = NULL;

		while (az_json_each(item, &ops, &name, &op)) {
			const char *method = method_of(name);
			bool there = false;

			if (!method)
				continue;
			EACH_ROUTE(r)
			there |= strcmp(r->methods, method) == 0 &&
				 strcmp(r->pattern, pattern_of(a, path, op)) == 0;
			if (!there)
				fail_msg("%s %.*s is not there", method, AZ_FMT(path));
			n++;
		}
	}
	assert_true(n > 30);
	az_arena_free(a);
}

static void
its_reasons_are_those_of_runs(void **state)
{
	struct az_arena *a = az_arena_new(1 << 24);
	const struct az_json *said = az_json_get(
	    az_json_get(az_json_get(az_json_get(document(a), "components"), "schemas"), "Reason"),
	    "enum");
	size_t n = 0;

	(void)state;
	for (; az_flow_reasons[n]; n++) {
		bool there = false;

		for (size_t i = 0; i < az_json_len(said); i++)
			there |= az_str_eqc(az_json_str(az_json_at(said, i)), az_flow_reasons[n]);
		if (!there)
			fail_msg("%s is not documented", az_flow_reasons[n]);
	}
	/* and null, of runs that have none */
	assert_int_equal(az_json_len(said), n + 1);
	az_arena_free(a);
}

static void
it_has_a_tag_and_needs_no_identity(void **state)
{
	char etag[80], v[80], line[160];
	const char *extra[] = {line, NULL};
	struct fcgi_resp r;

	(void)state;
	get("GET", NULL, &r);
	assert_string_equal(fcgi_peer_header(&r, "Content-Type", v, sizeof v), "application/json");
	assert_non_null(fcgi_peer_header(&r, "Cache-Control", v, sizeof v));
	assert_string_not_equal(v, "no-store");
	assert_non_null(fcgi_peer_header(&r, "ETag", etag, sizeof etag));
	assert_int_equal(strlen(etag), 34);
	snprintf(v, sizeof v, "%zu", r.body_n);
	fcgi_peer_release(&r);

	get("HEAD", NULL, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body_n, 0);
	assert_string_equal(fcgi_peer_header(&r, "Content-Length", line, sizeof line), v);
	fcgi_peer_release(&r);

	snprintf(line, sizeof line, "HTTP_IF_NONE_MATCH=\"x\", W/%s", etag);
	get("GET", extra, &r);
	assert_int_equal(r.status, 304);
	assert_int_equal(r.body_n, 0);
	assert_string_equal(fcgi_peer_header(&r, "ETag", v, sizeof v), etag);
	fcgi_peer_release(&r);

	snprintf(line, sizeof line, "HTTP_IF_NONE_MATCH=\"x\"");
	get("GET", extra, &r);
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(every_route_is_documented),
	    T(nothing_else_is_documented),
	    T(its_reasons_are_those_of_runs),
	    T(it_has_a_tag_and_needs_no_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
