/* The heads of requests to ports of programs: who is asked, and what the program reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "box/port_head.h"

static void
names_say_port_and_sandbox(void **state)
{
	static const struct {
		const char *host;
		int port; /* 0: refused */
	} t[] = {
	    {"3000-iabc.localhost:8090", 3000},
	    {"1-iabc.LOCALHOST:8090", 1},
	    {"65535-iabc.localhost:8090", 65535},
	    {"65536-iabc.localhost:8090", 0},
	    {"99999-iabc.localhost:8090", 0},
	    {"123456-iabc.localhost:8090", 0},
	    {"0-iabc.localhost:8090", 0},
	    {"080-iabc.localhost:8090", 0},
	    {"-iabc.localhost:8090", 0},
	    {"8x-iabc.localhost:8090", 0},
	    {"80-.localhost:8090", 0},
	    {"80-iabc.localhost", 0},
	    {"80-iabc.localhost:80900", 0},
	    {"80-iabc.localhost:8090.evil", 0},
	    {"80-iabc.evil.localhost:8090", 0},
	    {"80-iabc", 0},
	    {"80.-iabc.localhost:8090", 0},
	    {"localhost:8090", 0},
	    {"", 0},
	};
	struct az_str id;
	int port;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		bool ok = port_host(az_str_c(t[i].host), AZ_S("localhost:8090"), &port, &id);

		if (ok != (t[i].port > 0) || (ok && port != t[i].port))
			fail_msg("%s: %d, port %d", t[i].host, ok, port);
		if (ok)
			assert_true(az_str_eqc(id, "iabc"));
	}
}

static void
heads_are_read_or_refused(void **state)
{
	static const struct {
		const char *head, *host, *token; /* host NULL: refused */
	} t[] = {
	    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a", ""},
	    {"GET / HTTP/1.1\r\nX: 1\r\nhOST:a:1 \r\n\r\n", "a:1", ""},
	    {"GET / HTTP/1.1\r\nHost: a\r\ne2b-traffic-access-token: t\r\n\r\n", "a", "t"},
	    {"GET / HTTP/1.1\r\nHosts: b\r\nHost: a\r\nX-Host: c\r\n\r\n", "a", ""},
	    {"GET / HTTP/1.1\r\n\r\n", NULL, NULL},
	    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", NULL, NULL},
	    {"GET / HTTP/1.1\r\nHost: a\r\nE2B-Traffic-Access-Token: t\r\n"
	     "e2b-traffic-access-token: t\r\n\r\n",
		NULL, NULL},
	    {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", NULL, NULL},
	    {"GET / HTTP/1.1\r\n\tx: y\r\nHost: a\r\n\r\n", NULL, NULL},
	    {"Host: a\r\n\r\n", NULL, NULL},
	    {"\r\nHost: a\r\n\r\n", NULL, NULL},
	};
	struct port_head h;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		bool ok = port_head_read(az_str_c(t[i].head), &h);

		if (ok != (t[i].host != NULL))
			fail_msg("%s", t[i].head);
		if (ok && (!az_str_eqc(h.host, t[i].host) || !az_str_eqc(h.token, t[i].token)))
			fail_msg("%s: '%.*s'", t[i].head, AZ_FMT(h.host));
	}
}

static void
written(const char *head, const char *mask, const char *want)
{
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(4));
	port_head_write(&b, az_str_c(head), az_str_c(mask), 3000);
	assert_string_equal(b.p, want);
	az_buf_release(&b);
}

static void
programs_see_no_token_and_the_host_they_know(void **state)
{
	(void)state;
	written("GET /host:x HTTP/1.1\r\nHost: a\r\nE2b-traffic-Access-Token: t\r\nX: y\r\n\r\n",
	    "", "GET /host:x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
	written("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", "localhost:${PORT}",
	    "GET / HTTP/1.1\r\nHost: localhost:3000\r\nX: y\r\n\r\n");
	written("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "${PORT}.x-${PORT}",
	    "GET / HTTP/1.1\r\nHost: 3000.x-3000\r\n\r\n");
	/* a request line is none of these */
	written("host: x\r\nHost: a\r\n\r\n", "m", "host: x\r\nHost: m\r\n\r\n");
}

static void
masks_are_hosts(void **state)
{
	char longest[257];

	(void)state;
	assert_true(port_mask_ok(AZ_S("localhost:${PORT}")));
	assert_true(port_mask_ok(AZ_S("My-App.example.org")));
	assert_false(port_mask_ok(AZ_S("")));
	assert_false(port_mask_ok(AZ_S("a\r\nX: y")));
	assert_false(port_mask_ok(AZ_S("a b")));
	assert_false(port_mask_ok(AZ_S("${HOST}")));
	assert_false(port_mask_ok(AZ_S("${PORT")));
	memset(longest, 'a', sizeof longest);
	assert_true(port_mask_ok(az_str_n(longest, 255)));
	assert_false(port_mask_ok(az_str_n(longest, 256)));
}

static void
a_head_ends_with_a_blank_line(void **state)
{
	(void)state;
	assert_int_equal(port_head_end(AZ_S("GET / HTTP/1.1\r\nHost: a\r\n")), 0);
	assert_int_equal(port_head_end(AZ_S("a\r\n\r\nbody\r\n\r\n")), 5);
	assert_int_equal(port_head_end(AZ_S("a\n\n")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_say_port_and_sandbox),
	    cmocka_unit_test(heads_are_read_or_refused),
	    cmocka_unit_test(programs_see_no_token_and_the_host_they_know),
	    cmocka_unit_test(masks_are_hosts),
	    cmocka_unit_test(a_head_ends_with_a_blank_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
