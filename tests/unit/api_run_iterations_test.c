/* The timeline: every iteration in short, one of them whole, and its logs. */
#include "api_tree_fixture.h"

static void
iterations_are_read_from_the_store(void **state)
{
	static const struct {
		const char *range;
		int status;
		const char *body, *content_range;
	} t[] = {{"", 200, "hello log", NULL}, {"bytes=0-4", 206, "hello", "bytes 0-4/9"},
	    {"bytes=6-", 206, "log", "bytes 6-8/9"}, {"bytes=-3", 206, "log", "bytes 6-8/9"},
	    {"bytes=-99", 206, "hello log", "bytes 0-8/9"},
	    {"bytes=4-99", 206, "o log", "bytes 4-8/9"}, {"bytes=9-", 416, NULL, "bytes */9"},
	    {"bytes=5-2", 200, "hello log", NULL}, {"lines=1-2", 200, "hello log", NULL}};
	struct az_str id = begin("alice", "");
	const struct az_json *j, *list;
	struct fcgi_resp r;
	char h[100], range[100];

	(void)state;
	put_iter(id, 1, "verdict", "{\"passed\":false}");
	put_iter(id, 1, "stdout", "hello log");
	put_iter(id, 1, "run", "{\"stdout\":{\"bytes\":99,\"cut\":true}}");
	put_iter(id, 2, "stdout", "all of it");
	put_iter(id, 2, "verdict", "{\"passed\":true}");
	put_iter(id, 10, "stdout", "x");
	j = GET(id, "/iterations", "", &r, );
	list = az_json_get(j, "iterations");
	assert_int_equal(az_json_len(list), 3);
	assert_int_equal(az_json_geti(az_json_at(list, 2), "iteration", 0), 10);
	assert_true(az_json_getb(az_json_get(az_json_at(list, 1), "verdict"), "passed", false));
	fcgi_peer_release(&r);
	j = GET(id, "/iterations/1", "", &r, );
	assert_int_equal(r.status, 200);
	assert_int_equal(
	    az_json_geti(az_json_get(az_json_get(j, "logs"), "stdout"), "bytes", 0), 9);
	assert_true(az_json_getb(az_json_get(az_json_get(j, "logs"), "stdout"), "cut", false));
	assert_int_equal(az_json_type(az_json_get(az_json_get(j, "logs"), "stderr")), AZ_JNULL);
	fcgi_peer_release(&r);
	j = GET(id, "/iterations/2", "", &r, );
	assert_false(az_json_getb(az_json_get(az_json_get(j, "logs"), "stdout"), "cut", true));
	fcgi_peer_release(&r);
	GET(id, "/iterations/3", "", &r, );
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);
	GET(id, "/iterations/1x", "", &r, );
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);
	GET(id, "/iterations/1/logs/verdict", "", &r, );
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		snprintf(range, sizeof range, "HTTP_RANGE=%s", t[i].range);
		GET(id, "/iterations/1/logs/stdout", "", &r, range, );
		assert_int_equal(r.status, t[i].status);
		if (t[i].body)
			assert_string_equal(r.body, t[i].body);
		if (t[i].content_range)
			assert_string_equal(
			    fcgi_peer_header(&r, "Content-Range", h, sizeof h), t[i].content_range);
		fcgi_peer_release(&r);
	}
}

/* A verdict as it is written, of so many checks with texts of so many bytes. */
static char *
big_verdict(size_t checks, size_t bytes)
{
	char *text = malloc(bytes + 1), *out;
	struct az_buf b;
	struct az_jw w;
	size_t n;

	assert_non_null(text);
	memset(text, 'x', bytes);
	text[bytes] = '\0';
	az_buf_init(&b, AZ_MIB(4));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kb(&w, "passed", false);
	az_jw_ki(&w, "n_total", (int64_t)checks);
	az_jw_kc(&w, "plan", text);
	az_jw_key(&w, "checks");
	az_jw_arr(&w);
	for (size_t i = 0; i < checks; i++) {
		az_jw_obj(&w);
		az_jw_kc(&w, "id", "c");
		az_jw_kc(&w, "status", "fail");
		az_jw_kc(&w, "message", "not as it should be");
		az_jw_kc(&w, "expected", text);
		az_jw_kc(&w, "got", text);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	assert_int_equal(az_buf_take(&b, &out, &n, NULL), AZ_OK);
	free(text);
	return out;
}

static const struct az_json *
check_of(const struct az_json *of)
{
	return az_json_at(az_json_get(az_json_get(of, "verdict"), "checks"), 0);
}

static void
a_long_timeline_is_listed_and_a_large_verdict_is_read(void **state)
{
	char *half = big_verdict(100, 2500), *large = big_verdict(100, 10000);
	struct az_str id = begin("alice", "");
	const struct az_json *j, *list, *c;
	struct fcgi_resp r;

	(void)state;
	assert_true(strlen(half) > 500000 && strlen(large) > 2000000);
	for (int i = 1; i <= 20; i++)
		put_iter(id, i, "verdict", half);
	put_iter(id, 21, "verdict", large);
	put_iter(id, 22, "stdout", "x");
	j = GET(id, "/iterations", "", &r, );
	assert_int_equal(r.status, 200);
	list = az_json_get(j, "iterations");
	assert_int_equal(az_json_len(list), 22);
	for (size_t i = 0; i < 21; i++) {
		const struct az_json *v = az_json_get(az_json_at(list, i), "verdict");

		assert_int_equal(az_json_len(az_json_get(v, "checks")), 100);
		assert_int_equal(az_json_geti(v, "n_total", 0), 100);
		c = check_of(az_json_at(list, i));
		assert_true(az_str_eqc(az_json_gets(c, "status"), "fail"));
		assert_true(az_str_eqc(az_json_gets(c, "message"), "not as it should be"));
		assert_null(az_json_get(c, "got"));
	}
	assert_int_equal(az_json_type(az_json_get(az_json_at(list, 21), "verdict")), AZ_JNULL);
	fcgi_peer_release(&r);
	c = check_of(GET(id, "/iterations/21", "", &r, ));
	assert_int_equal(r.status, 200);
	assert_int_equal(az_json_gets(c, "expected").n, 10000);
	assert_int_equal(az_json_gets(c, "got").n, 10000);
	fcgi_peer_release(&r);
	free(half);
	free(large);
}

/* As many and as long as a run may have. */
static void
the_longest_timeline_is_listed(void **state)
{
	struct az_str id = begin("alice", "");
	const struct az_json *list, *c;
	struct fcgi_resp r;
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_MIB(1));
	az_buf_addc(&b, "{\"checks\":[");
	for (int i = 0; i < 102; i++)
		az_buf_addf(&b,
		    "%s{\"id\":\"%064d\",\"status\":\"unverified\",\"hidden\":false,"
		    "\"ms\":900000,\"what\":\"%0300d\",\"message\":\"%0400d\"}",
		    i ? "," : "", i, i, i);
	az_buf_addc(&b, "]}");
	assert_int_equal(az_buf_check(&b, "test", NULL), AZ_OK);
	for (int i = 0; i <= AZ_LIM_ITERATIONS_MAX; i++)
		put_iter(id, i, "verdict", b.p);
	az_buf_release(&b);
	list = az_json_get(GET(id, "/iterations", "", &r, ), "iterations");
	assert_int_equal(r.status, 200);
	assert_int_equal(az_json_len(list), AZ_LIM_ITERATIONS_MAX + 1);
	c = check_of(az_json_at(list, AZ_LIM_ITERATIONS_MAX));
	assert_int_equal(az_json_gets(c, "id").n, 64);
	assert_true(az_str_eqc(az_json_gets(c, "status"), "unverified"));
	assert_null(az_json_get(c, "message"));
	fcgi_peer_release(&r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(iterations_are_read_from_the_store),
	    T(a_long_timeline_is_listed_and_a_large_verdict_is_read),
	    T(the_longest_timeline_is_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
