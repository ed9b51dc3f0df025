/* What a service says of refused connections is read as what a stranger sent. */
#include "e2b_fixture.h"

#define PAGE "GET /sandboxes/iabc"

static struct az_sb_blocked *got;
static size_t n;

/* One page, asked for once. */
static enum az_code
read_page(struct fix *f, struct route *r, int status, const char *body)
{
	r->prefix = PAGE;
	r->step[0] = answer(f, status, "", body);
	r->n = 1;
	fix_start(f, r, 1);
	return az_sandbox_blocked(f->sb, &f->ref, f->a, &got, &n, &f->err);
}

static void
told(size_t i, const char *host, int port, int64_t count, const char *why)
{
	assert_true(i < n);
	assert_true(az_str_eqc(got[i].host, host));
	assert_int_equal(got[i].port, port);
	assert_int_equal(got[i].count, count);
	assert_true(az_str_eqc(got[i].why, why));
}

static void
what_is_told_is_read(void **state)
{
	struct fix f = {0};
	struct route r = {0};

	(void)state;
	assert_int_equal(read_page(&f, &r, 200,
			     "{\"sandboxID\":\"iabc\",\"azlon\":{\"connections\":0,\"blocked\":["
			     "{\"host\":\"pypi.org\",\"port\":443,\"count\":3,\"why\":\"network\"},"
			     "{\"host\":\"::1\",\"port\":80,\"count\":1,\"why\":\"address\"},"
			     "{\"host\":\"b\u00fccher.example\",\"port\":80,\"count\":1,"
			     "\"why\":\"domain\",\"more\":true}]}}"),
	    AZ_OK);
	assert_int_equal(n, 3);
	told(0, "pypi.org", 443, 3, "network");
	told(1, "::1", 80, 1, "address");
	told(2,
	    "b\xc3\xbc"
	    "cher.example",
	    80, 1, "domain");
	fix_stop(&f);
}

static void
nothing_refused_is_nothing_told(void **state)
{
	struct fix f = {0};
	struct route r = {0};

	(void)state;
	assert_int_equal(read_page(&f, &r, 200, "{\"azlon\":{\"blocked\":[]}}"), AZ_OK);
	assert_int_equal(n, 0);
	/* it may be different next time */
	assert_int_equal(az_sandbox_blocked(f.sb, &f.ref, f.a, &got, &n, &f.err), AZ_OK);
	assert_int_equal(asked(&f, PAGE), 2);
	fix_stop(&f);
}

static void
a_service_that_does_not_count_is_asked_once(void **state)
{
	struct fix f = {0};
	struct route r = {0};
	struct az_sandbox *view;

	(void)state;
	f.cloud = true;
	assert_int_equal(
	    read_page(&f, &r, 200, "{\"sandboxID\":\"iabc\",\"state\":\"running\"}"), AZ_OK);
	assert_int_equal(n, 0);
	assert_int_equal(az_sandbox_watched(f.sb, NULL, NULL, f.a, &view, &f.err), AZ_OK);
	assert_int_equal(az_sandbox_blocked(view, &f.ref, f.a, &got, &n, &f.err), AZ_OK);
	assert_int_equal(n, 0);
	assert_int_equal(http_peer_requests(f.peer), 1);
	fix_stop(&f);
}

static void
malformed_entries_are_left_out(void **state)
{
	struct fix f = {0};
	struct route r = {0};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_KIB(64));
	az_buf_addc(&b, "{\"azlon\":{\"blocked\":[1,null,[],{},\"x\",");
	az_buf_addc(&b, "{\"host\":\"\",\"port\":80,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a b\",\"port\":80,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\\nb\",\"port\":80,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\\u001b[0m\",\"port\":80,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\\u0085b\",\"port\":80,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":7,\"port\":80,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":0,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":65536,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":80.5,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":\"80\",\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":80,\"count\":0,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":80,\"count\":-4,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":80,\"count\":1},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":80,\"count\":1,\"why\":\"\"},");
	az_buf_addc(&b, "{\"host\":\"a\",\"port\":80,\"count\":1,\"why\":\"Because of.\"},");
	az_buf_addc(&b, "{\"host\":\"");
	for (int i = 0; i < 256; i++)
		az_buf_addc(&b, "h");
	az_buf_addc(&b, "\",\"port\":80,\"count\":1,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"good\",\"port\":80,\"count\":2,\"why\":\"network\"},");
	az_buf_addc(&b, "{\"host\":\"good\",\"port\":80,\"count\":9,\"why\":\"domain\"}]}}");
	assert_int_equal(az_buf_check(&b, "test", NULL), AZ_OK);
	assert_int_equal(read_page(&f, &r, 200, b.p), AZ_OK);
	assert_int_equal(n, 1);
	told(0, "good", 80, 2, "network");
	az_buf_release(&b);
	fix_stop(&f);
}

static void
more_than_it_may_be_is_cut(void **state)
{
	struct fix f = {0};
	struct route r = {0};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_KIB(256));
	az_buf_addc(&b, "{\"azlon\":{\"blocked\":[");
	for (int i = 0; i < 1000; i++)
		az_buf_addf(&b, "%s{\"host\":\"h%d\",\"port\":80,\"count\":1,\"why\":\"network\"}",
		    i ? "," : "", i);
	az_buf_addc(&b, "]}}");
	assert_int_equal(az_buf_check(&b, "test", NULL), AZ_OK);
	assert_int_equal(read_page(&f, &r, 200, b.p), AZ_OK);
	assert_int_equal(n, AZ_SB_BLOCKED_MAX);
	told(AZ_SB_BLOCKED_MAX - 1, "h63", 80, 1, "network");
	az_buf_release(&b);
	fix_stop(&f);
}

static void
what_is_no_page_is_an_error(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum az_code code;
	} t[] = {
	    {200, "not JSON", AZ_EUPSTREAM},
	    {200, "[]", AZ_EUPSTREAM},
	    {200, "{\"azlon\":{\"blocked\":\"none\"}}", AZ_OK},
	    {200, "{\"azlon\":[]}", AZ_OK},
	    {404, "{\"code\":404,\"message\":\"sandbox not found\"}", AZ_ENOTFOUND},
	    {503, "{\"code\":503,\"message\":\"busy\"}", AZ_EUNAVAIL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct fix f = {0};
		struct route r = {0};
		enum az_code rc = read_page(&f, &r, t[i].status, t[i].body);

		if (rc != t[i].code)
			fail_msg("%s: %d, %s", t[i].body, rc, f.err.text);
		assert_int_equal(n, 0);
		assert_null(got);
		/* an extra is not worth a second try */
		assert_int_equal(http_peer_requests(f.peer), 1);
		/* nor is the reason */
		rc = az_sandbox_blocked(f.sb, &f.ref, f.a, &got, &n, NULL);
		assert_int_equal(rc == AZ_OK, t[i].code == AZ_OK);
		fix_stop(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_told_is_read),
	    cmocka_unit_test(nothing_refused_is_nothing_told),
	    cmocka_unit_test(a_service_that_does_not_count_is_asked_once),
	    cmocka_unit_test(malformed_entries_are_left_out),
	    cmocka_unit_test(more_than_it_may_be_is_cut),
	    cmocka_unit_test(what_is_no_page_is_an_error),
	};

	return cmocka_run_group_tests_name("sandbox_blocked", tests, NULL, NULL);
}
