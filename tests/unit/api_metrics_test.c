/* What a process says of itself, and to whom. */
#include "api_run_fixture.h"

static const char *const here[] = {"REMOTE_ADDR=127.0.0.1", NULL};

static void
get(const char *const *extra, struct fcgi_resp *r)
{
	api_call(&fix, NULL, "GET", "/run_workflow/metrics", "", NULL, extra, r);
}

static void
says(const struct fcgi_resp *r, const char *line)
{
	char want[300];

	snprintf(want, sizeof want, "\n%s\n", line);
	if (!strstr(r->body, want))
		fail_msg("not there: %s\n%s", line, r->body);
}

static void
answers_are_counted_by_route(void **state)
{
	struct az_str id = begin("ann", "");
	struct fcgi_resp r;
	char v[80];

	(void)state;
	for (int i = 0; i < 2; i++) {
		api_call(&fix, "ann", i ? "HEAD" : "GET",
		    az_arena_printf(arena, "/run_workflow/%.*s", AZ_FMT(id)), "", NULL, NULL, &r);
		assert_int_equal(r.status, 200);
		fcgi_peer_release(&r);
	}
	api_call(&fix, "ann", "GET", "/run_workflow/no", "", NULL, NULL, &r);
	fcgi_peer_release(&r);
	api_call(&fix, "ann", "PUT", "/run_workflow/no", "", NULL, NULL, &r);
	fcgi_peer_release(&r);

	get(here, &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(fcgi_peer_header(&r, "Content-Type", v, sizeof v),
	    "text/plain; version=0.0.4; charset=utf-8");
#define ROUTE(r, m) "{route=\"" r "\",method=\"" m "\""
	says(&r, "azlon_http_requests_total" ROUTE("/run_workflow", "POST") ",status=\"2xx\"} 1");
	says(&r,
	    "azlon_http_requests_total" ROUTE("/run_workflow/{id}", "GET") ",status=\"2xx\"} 2");
	says(&r,
	    "azlon_http_requests_total" ROUTE("/run_workflow/{id}", "GET") ",status=\"4xx\"} 1");
	says(&r, "azlon_http_requests_total" ROUTE("none", "") ",status=\"4xx\"} 1");
	says(&r,
	    "azlon_http_request_duration_seconds_count" ROUTE("/run_workflow/{id}", "GET") "} 3");
	says(&r, "azlon_http_request_duration_seconds_bucket" ROUTE(
		     "/run_workflow/{id}", "GET") ",le=\"+Inf\"} 3");
	says(&r, "azlon_http_requests_in_flight 1");
	says(&r, "azlon_engine_up 1");
	says(&r, "azlon_engine_runs{state=\"open\"} 1");
	says(&r, "azlon_engine_runs{state=\"failed\"} 0");
	says(&r, "azlon_engine_functions{state=\"waiting\"} 3");
	assert_non_null(strstr(r.body, "\nprocess_open_fds "));
	assert_null(strstr(r.body, "-1"));
	fcgi_peer_release(&r);
}

static void
an_engine_that_is_away_is_a_figure(void **state)
{
	struct fcgi_resp r;

	(void)state;
	fix.engine.down = true;
	get(here, &r);
	fix.engine.down = false;
	assert_int_equal(r.status, 200);
	says(&r, "azlon_engine_up 0");
	assert_null(strstr(r.body, "azlon_engine_runs"));
	fcgi_peer_release(&r);
}

static void
only_this_host_may_ask(void **state)
{
	static const char *const from[][3] = {{NULL}, {"REMOTE_ADDR=10.0.0.1", NULL},
	    {"REMOTE_ADDR=127.0.0.1", "HTTP_X_FORWARDED_FOR=10.0.0.1", NULL}};
	struct fcgi_resp r;

	(void)state;
	for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
		get(from[i], &r);
		assert_int_equal(r.status, 404);
		assert_null(strstr(r.body, "azlon_http"));
		fcgi_peer_release(&r);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(answers_are_counted_by_route),
	    T(an_engine_that_is_away_is_a_figure),
	    T(only_this_host_may_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
