/* Paths, patterns, methods, queries: the pure parts of the web room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>
#include "web/web.h"

static enum az_code
nop(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)rq;
	(void)app;
	(void)err;
	return AZ_OK;
}

static const struct az_route routes[] = {{"POST", "/run", nop}, {"GET HEAD", "/run", nop},
    {"GET", "/run/prompts", nop}, {"GET", "/run/{id}", nop}, {"DELETE", "/run/{id}", nop},
    {"GET", "/run/{id}/events", nop}, {"GET HEAD", "/files/{id}/{rest*}", nop}, {NULL, NULL, NULL}};

static int
row_of(const char *method, const char *path, struct web_pair *param, size_t *n,
    struct az_buf *allow, struct az_err *err)
{
	const struct az_route *r =
	    web_route_find(routes, az_str_c(method), az_str_c(path), param, n, allow, err);

	return r ? (int)(r - routes) : -1;
}

static void
finds_the_row_of_a_path_and_method(void **state)
{
	static const struct {
		const char *method, *path;
		int row;
		enum az_code code;
		const char *allow, *param;
	} t[] = {
	    {"POST", "/run", 0, AZ_OK, "", NULL},
	    {"HEAD", "/run", 1, AZ_OK, "", NULL},
	    {"GET", "/run/prompts", 2, AZ_OK, "", NULL},
	    {"HEAD", "/run/prompts", 2, AZ_OK, "", NULL},
	    {"HEAD", "/run/abc/events", 5, AZ_OK, "", "abc"},
	    {"GET", "/run/abc", 3, AZ_OK, "", "abc"},
	    {"DELETE", "/run/abc", 4, AZ_OK, "", "abc"},
	    {"GET", "/run/abc/events", 5, AZ_OK, "", "abc"},
	    {"GET", "/files/x/a/b c", 6, AZ_OK, "", "x"},
	    {"DELETE", "/run/prompts", -1, AZ_EMETHOD, "GET, HEAD", NULL},
	    {"PUT", "/run", -1, AZ_EMETHOD, "POST, GET, HEAD", NULL},
	    {"PUT", "/run/abc", -1, AZ_EMETHOD, "GET, HEAD, DELETE", NULL},
	    {"", "/run", -1, AZ_EMETHOD, "POST, GET, HEAD", NULL},
	    {"GET", "/run/", -1, AZ_ENOTFOUND, "", NULL},
	    {"GET", "/run//events", -1, AZ_ENOTFOUND, "", NULL},
	    {"GET", "/files/x", -1, AZ_ENOTFOUND, "", NULL},
	    {"GET", "/files/x/", -1, AZ_ENOTFOUND, "", NULL},
	    {"GET", "/runs", -1, AZ_ENOTFOUND, "", NULL},
	    {"GET", "/run/abc/events/x", -1, AZ_ENOTFOUND, "", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct web_pair param[WEB_PARAMS_MAX];
		struct az_err err = AZ_ERR_INIT;
		struct az_buf allow;
		size_t n = 0;

		az_buf_init(&allow, 100);
		assert_int_equal(row_of(t[i].method, t[i].path, param, &n, &allow, &err), t[i].row);
		assert_int_equal(err.code, t[i].code);
		if (t[i].row < 0)
			assert_true(az_str_eqc(az_buf_str(&allow), t[i].allow));
		if (t[i].param) {
			assert_true(n >= 1);
			assert_true(az_str_eqc(param[0].name, "id"));
			assert_true(az_str_eqc(param[0].value, t[i].param));
		}
		az_buf_release(&allow);
	}
}

static void
rest_takes_slashes(void **state)
{
	struct web_pair param[WEB_PARAMS_MAX];
	size_t n;

	(void)state;
	assert_true(
	    web_pattern_match("/files/{id}/{rest*}", AZ_S("/files/w/a/b/c.txt"), param, &n));
	assert_int_equal(n, 2);
	assert_true(az_str_eqc(param[1].name, "rest"));
	assert_true(az_str_eqc(param[1].value, "a/b/c.txt"));
}

static void
refuses_paths_nginx_would_not_pass(void **state)
{
	const struct {
		struct az_str path;
		bool ok;
	} t[] = {
	    {AZ_S("/"), true},
	    {AZ_S("/a b/\xc3\xa9"), true},
	    {AZ_S("/a..b/...c"), true},
	    {AZ_S(""), false},
	    {AZ_S("x"), false},
	    {AZ_S("/a/../b"), false},
	    {AZ_S("/.."), false},
	    {AZ_S("/./a"), false},
	    {AZ_S("/a\\b"), false},
	    {AZ_S("/a\nb"), false},
	    {AZ_S("/a\0b"), false},
	    {AZ_S("/a\x7f"), false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		assert_int_equal(web_path_ok(t[i].path, NULL), t[i].ok ? AZ_OK : AZ_EINVAL);
}

static void
query_is_decoded_once_in_order(void **state)
{
	struct az_arena *a = az_arena_new(1 << 16);
	struct web_pair q[8];
	size_t n;

	(void)state;
	assert_int_equal(
	    web_query_parse(AZ_S("a=1%2B2&b=x+y&a=z&&c&d=%2541&e%3d=f=g"), a, q, 8, &n, NULL),
	    AZ_OK);
	assert_int_equal(n, 6);
	assert_true(az_str_eqc(q[0].value, "1+2"));
	assert_true(az_str_eqc(q[1].value, "x y"));
	assert_true(az_str_eqc(q[2].value, "z"));
	assert_true(az_str_eqc(q[3].name, "c") && q[3].value.n == 0);
	assert_true(az_str_eqc(q[4].value, "%41"));
	assert_true(az_str_eqc(q[5].name, "e=") && az_str_eqc(q[5].value, "f=g"));
	az_arena_free(a);
}

static void
query_refuses_bad_escapes_and_floods(void **state)
{
	static const struct {
		const char *qs;
		enum az_code code;
	} t[] = {{"a=%", AZ_EINVAL}, {"a=%4", AZ_EINVAL}, {"a=%zz", AZ_EINVAL},
	    {"a=%00", AZ_EINVAL}, {"%=1", AZ_EINVAL}, {"a=%41", AZ_OK}, {"a&b&c&d&e", AZ_ETOOBIG},
	    {"a&b&c&d", AZ_OK}, {"", AZ_OK}, {"&&&", AZ_OK}};
	struct az_arena *a = az_arena_new(1 << 16);
	struct web_pair q[4];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		assert_int_equal(web_query_parse(az_str_c(t[i].qs), a, q, 4, &n, NULL), t[i].code);
	az_arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_the_row_of_a_path_and_method),
	    cmocka_unit_test(rest_takes_slashes),
	    cmocka_unit_test(refuses_paths_nginx_would_not_pass),
	    cmocka_unit_test(query_is_decoded_once_in_order),
	    cmocka_unit_test(query_refuses_bad_escapes_and_floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
