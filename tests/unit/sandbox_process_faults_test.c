/* Commands whose streams are nonsense, refused, cut or silent. */
#include "sandbox_process_fixture.h"

/* Nonsense in a stream fails, is not tried again, and the command is put down. */
static void
protocol_errors(void **state)
{
	static const char *const t[][4] = {
	    {OUT("aGkK"), END_OK, "!{}", NULL}, /* output before the start */
	    {END_OK, "!{}", NULL},
	    {START_EVENT, "not json", "!{}", NULL},
	    {START_EVENT, OUT("a*b="), "!{}", NULL},
	    {"{\"event\":{\"start\":{}}}", "!{}", NULL},
	    {START_EVENT, "!{}", NULL}, /* ended without a result */
	    {START_EVENT, "\xff\xfe", NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct got g = {0};
		struct az_sb_result r;
		struct route routes[] = {{START, {{0}}, 1, 0}, {HEALTH, {{0}}, 1, 0}};

		routes[0].step[0] = script(&f, t[i], false);
		routes[1].step[0] = answer(&f, 204, "", "");
		fix_start(&f, routes, 2);
		assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_EUPSTREAM);
		assert_int_equal(f.err.code, AZ_EUPSTREAM);
		assert_int_equal(asked(&f, CONNECT), 0);
		got_release(&g);
		fix_stop(&f);
	}
}

static void
an_oversize_frame_is_refused(void **state)
{
	struct fix f = {0};
	struct got g = {0};
	struct az_sb_result r;
	struct route routes[] = {{START, {{0}}, 1, 0}};
	struct az_buf *b = fix_buf(&f);

	(void)state;
	frame(b, 0, START_EVENT);
	az_buf_add(b, "\0\x7f\xff\xff\xff", 5);
	routes[0].step[0] = stream_of(&f, b, false);
	fix_start(&f, routes, 1);
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_EUPSTREAM);
	assert_int_equal(asked(&f, SIGNAL), 1);
	assert_true(sent(
	    &f, nth(&f, SIGNAL, 0), "{\"process\":{\"pid\":42},\"signal\":\"SIGNAL_SIGKILL\"}"));
	got_release(&g);
	fix_stop(&f);
}

static void
errors_in_the_end_frame(void **state)
{
	static const struct {
		const char *code;
		enum az_code want;
	} t[] = {
	    {"not_found", AZ_ENOTFOUND},
	    {"invalid_argument", AZ_EINVAL},
	    {"unauthenticated", AZ_EAUTH},
	    {"resource_exhausted", AZ_EUNAVAIL},
	    {"unavailable", AZ_EUNAVAIL},
	    {"internal", AZ_EUPSTREAM},
	    {"deadline_exceeded", AZ_OK},
	    {"no_such_code", AZ_EUPSTREAM},
	};
	size_t i, after;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		for (after = 0; after < 2; after++) { /* also behind an end event */
			struct fix f = {0};
			struct got g = {0};
			struct az_sb_result r;
			struct route routes[] = {{START, {{0}}, 1, 0}};
			char end[200];

			snprintf(end, sizeof end,
			    "!{\"error\":{\"code\":\"%s\",\"message\":\"cwd '/x' does not "
			    "exist\"}}",
			    t[i].code);
			routes[0].step[0] = after ? SCRIPT(&f, false, START_EVENT, END_OK, end)
						  : SCRIPT(&f, false, START_EVENT, end);
			fix_start(&f, routes, 1);
			assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), t[i].want);
			if (t[i].want == AZ_OK)
				assert_int_equal(r.end, AZ_END_TIMEOUT);
			else
				assert_non_null(strstr(f.err.text, "does not exist"));
			got_release(&g);
			fix_stop(&f);
		}
}

static void
plain_answers_to_a_stream(void **state)
{
	static const struct {
		const char *head, *body;
		enum az_code want;
		const char *reason;
	} t[] = {
	    {"502 Bad Gateway\r\nContent-Type: text/html", "<html>502</html>", AZ_EUNAVAIL,
		E2B_UNREACHABLE},
	    {"502 Bad Gateway\r\nContent-Type: application/json", gone, AZ_ENOTFOUND, E2B_GONE},
	    {"401 Unauthorized\r\nContent-Type: application/json",
		"{\"code\":401,\"message\":\"unauthorized access\"}", AZ_EAUTH, ""},
	    {"429 Too Many\r\nRetry-After: 3\r\nContent-Type: application/json",
		"{\"code\":429,\"message\":\"m\"}", AZ_EUNAVAIL, E2B_AWAY},
	    {"415 Type\r\nContent-Type: text/plain", "unsupported", AZ_EINVAL, ""},
	    {"404 No\r\nContent-Type: application/json",
		"{\"code\":\"unimplemented\",\"message\":\"m\"}", AZ_EUNSUPPORTED, ""},
	    {"200 OK\r\nContent-Type: application/json", "{\"code\":401,\"message\":\"no\"}",
		AZ_EAUTH, ""},
	    {"200 OK\r\nContent-Type: text/html", "<html>hello</html>", AZ_EUPSTREAM, ""},
	    {"200 OK\r\nContent-Type: application/json", "{\"event\":{}}", AZ_EUPSTREAM, ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct got g = {0};
		struct az_sb_result r;
		struct route routes[] = {{START, {{0}}, 1, 0}};
		struct az_buf *b = fix_buf(&f);

		az_buf_addf(b, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", t[i].head,
		    strlen(t[i].body), t[i].body);
		routes[0].step[0] = (struct http_peer_step){.bytes = b->p, .n = b->n};
		fix_start(&f, routes, 1);
		assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), t[i].want);
		assert_string_equal(f.err.reason, t[i].reason);
		got_release(&g);
		fix_stop(&f);
	}
}

/* The result is known: a connection that drops behind it does not matter. */
static void
a_missing_end_frame_after_the_end(void **state)
{
	int cut;

	(void)state;
	for (cut = 0; cut < 2; cut++) {
		struct fix f = {0};
		struct got g = {0};
		struct az_sb_result r;
		struct route routes[] = {{START, {{0}}, 1, 0}};

		routes[0].step[0] = SCRIPT(&f, cut, START_EVENT, END_OK);
		fix_start(&f, routes, 1);
		assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_OK);
		assert_int_equal(r.end, AZ_END_EXITED);
		got_release(&g);
		fix_stop(&f);
	}
}

static void
a_cut_stream_is_taken_up_again(void **state)
{
	int how;

	(void)state;
	for (how = 0; how < 3; how++) { /* between frames, inside one, a clean close */
		struct fix f = {0};
		struct got g = {0};
		struct az_sb_result r;
		struct route routes[] = {
		    {START, {{0}}, 1, 0}, {HEALTH, {{0}}, 1, 0}, {CONNECT, {{0}}, 1, 0}};
		struct az_buf *b = fix_buf(&f);

		frame(b, 0, START_EVENT);
		frame(b, 0, OUT("aGkK"));
		if (how == 1)
			az_buf_add(b, "\0\0\0\0\x20{\"ev", 9);
		routes[0].step[0] = stream_of(&f, b, how < 2);
		routes[1].step[0] = answer(&f, 204, "", "");
		routes[2].step[0] = SCRIPT(&f, false, START_EVENT, OUT("aG8K"), END_OK, "!{}");
		fix_start(&f, routes, 3);
		assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_OK);
		assert_int_equal(r.end, AZ_END_EXITED);
		assert_string_equal(g.out.p, "hi\nho\n");
		assert_non_null(strstr(r.error, "may be missing"));
		assert_int_equal(asked(&f, START), 1);
		assert_true(sent(&f, nth(&f, CONNECT, 0), "{\"process\":{\"pid\":42}}"));
		got_release(&g);
		fix_stop(&f);
	}
}

static void
a_stream_cut_before_the_start_is_found_by_tag(void **state)
{
	struct fix f = {0};
	struct got g = {0};
	struct az_sb_result r;
	struct route routes[] = {
	    {START, {{0}}, 1, 0}, {HEALTH, {{0}}, 1, 0}, {CONNECT, {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] =
	    (struct http_peer_step){.bytes = "HTTP/1.1 200 OK\r\nCont", .then = HTTP_THEN_RESET};
	routes[1].step[0] = answer(&f, 204, "", "");
	routes[2].step[0] = SCRIPT(&f, false, START_EVENT, END_OK, "!{}");
	fix_start(&f, routes, 3);
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_OK);
	assert_true(sent(&f, nth(&f, CONNECT, 0), "{\"process\":{\"tag\":\"azlon-run-1\"}}"));
	got_release(&g);
	fix_stop(&f);
}

static void
cut_twice_or_lost_or_gone(void **state)
{
	static const struct {
		int health;
		const char *health_body, *connect_end;
		enum az_code want;
		const char *reason;
	} t[] = {
	    {502, gone, NULL, AZ_ENOTFOUND, E2B_GONE},
	    {502, "<html></html>", NULL, AZ_EUNAVAIL, E2B_UNREACHABLE},
	    {204, "", NULL, AZ_EUNAVAIL, E2B_AWAY}, /* cut again */
	    {204, "", "!{\"error\":{\"code\":\"not_found\",\"message\":\"x\"}}", AZ_EUNAVAIL,
		E2B_AWAY}, /* ended, result lost */
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct got g = {0};
		struct az_sb_result r;
		struct route routes[] = {
		    {START, {{0}}, 1, 0}, {HEALTH, {{0}}, 1, 0}, {CONNECT, {{0}}, 1, 0}};

		routes[0].step[0] = SCRIPT(&f, true, START_EVENT);
		routes[1].step[0] = answer(&f, t[i].health, "", t[i].health_body);
		routes[2].step[0] = t[i].connect_end ? SCRIPT(&f, false, t[i].connect_end)
						     : SCRIPT(&f, true, START_EVENT);
		fix_start(&f, routes, 3);
		assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), t[i].want);
		assert_string_equal(f.err.reason, t[i].reason);
		assert_int_equal(asked(&f, CONNECT), t[i].health == 204);
		got_release(&g);
		fix_stop(&f);
	}
}

static void
silence_is_looked_into(void **state)
{
	struct fix f = {0};
	struct got g = {0};
	struct az_sb_result r;
	struct route routes[] = {
	    {START, {{0}}, 1, 0}, {HEALTH, {{0}}, 2, 0}, {CONNECT, {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] = SCRIPT(&f, true, START_EVENT);
	routes[0].step[0].then = HTTP_THEN_STALL;
	routes[1].step[0] = answer(&f, 204, "", "");
	routes[1].step[1] = answer(&f, 502, "", gone);
	routes[2].step[0] = SCRIPT(&f, true, START_EVENT);
	routes[2].step[0].then = HTTP_THEN_STALL;
	fix_start(&f, routes, 3);
	e2b_of(f.sb)->idle_ms = 150;
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 30), AZ_ENOTFOUND);
	assert_string_equal(f.err.reason, E2B_GONE);
	assert_int_equal(asked(&f, HEALTH), 2);
	got_release(&g);
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(protocol_errors),
	    cmocka_unit_test(an_oversize_frame_is_refused),
	    cmocka_unit_test(errors_in_the_end_frame),
	    cmocka_unit_test(plain_answers_to_a_stream),
	    cmocka_unit_test(a_missing_end_frame_after_the_end),
	    cmocka_unit_test(a_cut_stream_is_taken_up_again),
	    cmocka_unit_test(a_stream_cut_before_the_start_is_found_by_tag),
	    cmocka_unit_test(cut_twice_or_lost_or_gone),
	    cmocka_unit_test(silence_is_looked_into),
	};

	return cmocka_run_group_tests_name("sandbox_process_faults", tests, NULL, NULL);
}
