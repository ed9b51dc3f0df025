/* Commands: what goes in and comes out, and how they end. */
#include <malloc.h>
#include "sandbox_process_fixture.h"

static void
a_command_runs(void **state)
{
	struct fix f = {0};
	struct got g = {0};
	struct az_sb_result r;
	struct route routes[] = {{START, {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] = SCRIPT(&f, false, START_EVENT, OUT("aGkK"), ERR("b29w"),
	    "{\"event\":{\"keepalive\":{}}}", OUT("aG8K"), END_OK, "!{}");
	routes[0].step[0].drip = 3; /* frames arrive in pieces */
	fix_start(&f, routes, 1);
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_OK);
	assert_int_equal(r.end, AZ_END_EXITED);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(r.status, "exit status 0");
	assert_string_equal(r.error, "");
	assert_string_equal(g.out.p, "hi\nho\n");
	assert_string_equal(g.err.p, "oop");
	assert_true(sent(&f, 0, "E2b-Sandbox-Id: iabc\r\n"));
	assert_true(sent(&f, 0, "E2b-Sandbox-Port: 49983\r\n"));
	assert_true(sent(&f, 0, "X-Access-Token: ea_token\r\n"));
	assert_true(sent(&f, 0, "Content-Type: application/connect+json\r\n"));
	assert_true(sent(&f, 0, "Keepalive-Ping-Interval: 15\r\n"));
	assert_true(sent(&f, 0, "Connect-Timeout-Ms: "));
	assert_true(sent(&f, 0,
	    "{\"process\":{\"cmd\":\"python3\",\"args\":[\"-c\",\"print(1)\"],"
	    "\"envs\":{\"B\":\"x=y\",\"A\":\"2\"},\"cwd\":\"/home/user/app\"},"
	    "\"tag\":\"azlon-run-1\",\"stdin\":false}"));
	got_release(&g);
	fix_stop(&f);
}

static void
ends(void **state)
{
	static const struct {
		const char *end;
		enum az_run_end how;
		int code;
		const char *status, *error;
	} t[] = {
	    {"{\"exited\":true,\"status\":\"exit status 0\"}", AZ_END_EXITED, 0, "exit status 0",
		""},
	    {"{\"exitCode\":3,\"exited\":true,\"status\":\"exit status 3\",\"error\":"
	     "\"exit status 3\"}",
		AZ_END_EXITED, 3, "exit status 3", ""},
	    {"{\"exitCode\":\"127\",\"exited\":true,\"status\":\"exit status 127\"}", AZ_END_EXITED,
		127, "exit status 127", ""},
	    {"{\"exit_code\":2,\"exited\":true}", AZ_END_EXITED, 2, "", ""},
	    {"{\"exitCode\":-1,\"status\":\"signal: killed\",\"error\":\"signal: killed\"}",
		AZ_END_SIGNALLED, -1, "signal: killed", ""},
	    {"{\"exitCode\":-1,\"status\":\"signal: killed\",\"error\":\"out of memory\"}",
		AZ_END_SIGNALLED, -1, "signal: killed", "out of memory"},
	    {"{\"exitCode\":-1,\"status\":\"signal: killed\",\"error\":\"timed out after 5 s\"}",
		AZ_END_TIMEOUT, -1, "signal: killed", "timed out after 5 s"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct got g = {0};
		struct az_sb_result r;
		struct route routes[] = {{START, {{0}}, 1, 0}};
		char end[400];

		snprintf(end, sizeof end, "{\"event\":{\"end\":%s}}", t[i].end);
		routes[0].step[0] =
		    SCRIPT(&f, false, "{\"event\":{\"start\":{\"pid\":\"42\"}}}", end, "!{}");
		fix_start(&f, routes, 1);
		assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_OK);
		assert_int_equal(r.end, t[i].how);
		assert_int_equal(r.exit_code, t[i].code);
		assert_string_equal(r.status, t[i].status);
		assert_string_equal(r.error, t[i].error);
		got_release(&g);
		fix_stop(&f);
	}
}

static void
bytes_pass_untouched(void **state)
{
	static const char raw[] = "\xff\xfe\0\xc3\x28\x80 ok";
	struct fix f = {0};
	struct got g = {0};
	struct az_sb_result r;
	struct route routes[] = {{START, {{0}}, 1, 0}};
	struct az_buf *b = fix_buf(&f);

	(void)state;
	frame(b, 0, START_EVENT);
	data_frame(b, "stdout", raw, sizeof raw);
	frame(b, 0, OUT("_-8")); /* the URL alphabet, unpadded */
	frame(b, 0, END_OK);
	frame(b, 2, "{}");
	routes[0].step[0] = stream_of(&f, b, false);
	fix_start(&f, routes, 1);
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 5), AZ_OK);
	assert_int_equal(g.out.n, sizeof raw + 2);
	assert_memory_equal(g.out.p, raw, sizeof raw);
	assert_memory_equal(g.out.p + sizeof raw, "\xff\xef", 2);
	got_release(&g);
	fix_stop(&f);
}

static void
our_own_time_limit(void **state)
{
	struct fix f = {0};
	struct got g = {0};
	struct az_sb_result r;
	struct route routes[] = {{START, {{0}}, 1, 0}, {SIGNAL, {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] = SCRIPT(&f, true, START_EVENT, OUT("aGkK"));
	routes[0].step[0].then = HTTP_THEN_STALL;
	routes[1].step[0] = answer(&f, 200, "", "{}");
	fix_start(&f, routes, 2);
	e2b_of(f.sb)->grace_ms = -900; /* 0.1 s instead of one whole */
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 1), AZ_OK);
	assert_int_equal(r.end, AZ_END_TIMEOUT);
	assert_string_equal(g.out.p, "hi\n");
	assert_int_equal(asked(&f, SIGNAL), 1);
	assert_true(sent(&f, 0, "Connect-Timeout-Ms: "));
	got_release(&g);
	fix_stop(&f);
}

static void
cancel_kills(void **state)
{
	struct fix f = {0};
	struct got g = {.cancel_after = 3};
	struct az_sb_result r;
	struct route routes[] = {{START, {{0}}, 1, 0}, {SIGNAL, {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] = SCRIPT(&f, true, START_EVENT);
	routes[0].step[0].then = HTTP_THEN_STALL;
	routes[1].step[0] = answer(&f, 200, "", "{}");
	fix_start(&f, routes, 2);
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 30), AZ_OK);
	assert_int_equal(r.end, AZ_END_CANCELLED);
	assert_int_equal(asked(&f, SIGNAL), 1);
	assert_int_equal(asked(&f, CONNECT), 0);
	got_release(&g);
	fix_stop(&f);
}

static void
a_full_reader_stops_the_command(void **state)
{
	struct fix f = {0};
	struct got g = {.fail_at = 2};
	struct az_sb_result r;
	struct route routes[] = {{START, {{0}}, 1, 0}, {SIGNAL, {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] = SCRIPT(&f, false, START_EVENT, OUT("aGkK"), OUT("aGkK"), END_OK, "!{}");
	routes[1].step[0] = answer(&f, 404, "", "{\"code\":\"not_found\",\"message\":\"x\"}");
	fix_start(&f, routes, 2);
	assert_int_equal(run_cmd(&f, &g, &r, no_input, 30), AZ_EIO);
	assert_string_equal(f.err.text, "no room");
	assert_int_equal(asked(&f, SIGNAL), 1);
	got_release(&g);
	fix_stop(&f);
}

static void
input_is_sent_once_and_closed(void **state)
{
	struct fix f = {0};
	struct got g = {0};
	struct az_sb_result r;
	struct route routes[] = {{START, {{0}}, 1, 0}, {HEALTH, {{0}}, 1, 0},
	    {CONNECT, {{0}}, 1, 0}, {"POST /process.Process/SendInput", {{0}}, 1, 0},
	    {"POST /process.Process/CloseStdin", {{0}}, 1, 0}};
	char *big = test_malloc(AZ_KIB(100));
	size_t i;

	(void)state;
	for (i = 0; i < AZ_KIB(100); i++)
		big[i] = (char)('a' + i % 26);
	/* the command stays silent until we attach again: time to send all */
	routes[0].step[0] = SCRIPT(&f, true, START_EVENT);
	routes[0].step[0].then = HTTP_THEN_STALL;
	routes[1].step[0] = answer(&f, 204, "", "");
	routes[2].step[0] = SCRIPT(&f, false, START_EVENT, END_OK, "!{}");
	routes[3].step[0] = answer(&f, 200, "", "{}");
	routes[4].step[0] = answer(&f, 200, "", "{}");
	fix_start(&f, routes, 5);
	e2b_of(f.sb)->idle_ms = 1000;
	assert_int_equal(run_cmd(&f, &g, &r, az_str_n(big, AZ_KIB(100)), 30), AZ_OK);
	assert_true(sent(&f, 0, "\"stdin\":true"));
	assert_int_equal(asked(&f, "POST /process.Process/SendInput"), 3);
	assert_int_equal(asked(&f, "POST /process.Process/CloseStdin"), 1);
	assert_true(sent(&f, nth(&f, "POST /process.Process/SendInput", 0),
	    "{\"process\":{\"pid\":42},\"input\":{\"stdin\":\"YWJjZGVm"));
	got_release(&g);
	test_free(big);
	fix_stop(&f);
}

struct count {
	int64_t bytes;
	uint32_t sum;
	size_t largest, held; /* held: on the heap, at most */
};

static size_t
heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static enum az_code
add_up(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct count *c = arg;
	size_t i;

	(void)stream;
	(void)err;
	c->bytes += (int64_t)bytes.n;
	if (bytes.n > c->largest)
		c->largest = bytes.n;
	if (heap() > c->held)
		c->held = heap();
	for (i = 0; i < bytes.n; i += 1021)
		c->sum = c->sum * 31 + (unsigned char)bytes.p[i];
	return AZ_OK;
}

static void
much_output_streams(void **state)
{
	const char *argv[] = {"yes", NULL};
	struct fix f = {0};
	struct az_sb_result r;
	struct count c = {0}, want = {0};
	struct route routes[] = {{START, {{0}}, 1, 0}};
	struct az_buf b, b64, all;
	static char chunk[32768];
	int64_t t0;
	size_t i, before;

	(void)state;
	for (i = 0; i < sizeof chunk; i++)
		chunk[i] = (char)(i * 7 + (i >> 8));
	az_buf_init(&b, AZ_MIB(1));
	az_buf_init(&b64, AZ_MIB(1));
	az_buf_init(&all, AZ_MIB(100));
	az_base64(&b64, az_str_n(chunk, sizeof chunk));
	az_buf_addf(&b, "{\"event\":{\"data\":{\"stdout\":\"%s\"}}}", b64.p);
	az_buf_addf(&all, "HTTP/1.1 200 OK\r\nContent-Type: application/connect+json\r\n"
			  "Connection: close\r\n\r\n");
	frame(&all, 0, START_EVENT);
	for (i = 0; i < 2048; i++) {
		frame(&all, 0, b.p);
		add_up(&want, 1, az_str_n(chunk, sizeof chunk), NULL);
	}
	frame(&all, 0, END_OK);
	frame(&all, 2, "{}");
	assert_int_equal(all.fail, AZ_OK);
	routes[0].step[0] =
	    (struct http_peer_step){.bytes = all.p, .n = all.n, .then = HTTP_THEN_CLOSE};
	fix_start(&f, routes, 1);
	t0 = az_boot_ms();
	before = heap();
	assert_int_equal(
	    az_sandbox_run(f.sb, &f.ref,
		&(struct az_sb_cmd){.argv = argv, .output = add_up, .arg = &c}, &r, &f.err),
	    AZ_OK);
	print_message("# 64 MiB in %lld ms\n", (long long)(az_boot_ms() - t0));
	assert_int_equal(c.bytes, (int64_t)AZ_MIB(64));
	assert_int_equal(c.sum, want.sum);
	assert_true(c.largest <= E2B_FRAME_BYTES);
	assert_true(c.held <= before + AZ_MIB(8)); /* a frame, not what was printed */
	fix_stop(&f);
	az_buf_release(&b);
	az_buf_release(&b64);
	az_buf_release(&all);
}

static void
kill_all_kills_each_and_sweeps_up_until_none_is_left(void **state)
{
	struct fix f = {0};
	struct route routes[] = {{"POST /process.Process/List", {{0}}, 2, 0}, {SIGNAL, {{0}}, 2, 0},
	    {START, {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] = answer(&f, 200, "",
	    "{\"processes\":[{\"pid\":7},"
	    "{\"pid\":\"9\",\"tag\":\"t\"},{\"pid\":0}]}");
	routes[0].step[1] = answer(&f, 200, "", "{}"); /* an empty list is left out */
	routes[1].step[0] = answer(&f, 404, "", "{\"code\":\"not_found\",\"message\":\"x\"}");
	routes[1].step[1] = answer(&f, 200, "", "{}");
	routes[2].step[0] = SCRIPT(&f, false, START_EVENT, END_OK, "!{}");
	fix_start(&f, routes, 3);
	assert_int_equal(az_sandbox_kill_all(f.sb, &f.ref, &f.err), AZ_OK);
	assert_int_equal(asked(&f, SIGNAL), 2);
	/* children whose parent has ended are in no list */
	assert_true(sent(&f, nth(&f, START, 0), "kill -9 -1"));
	assert_true(sent(&f, nth(&f, SIGNAL, 1), "\"pid\":9"));
	fix_stop(&f);
}

static void
kill_all_of_the_gone(void **state)
{
	struct fix f = {0};
	struct route routes[] = {{"POST /process.Process/List", {{0}}, 1, 0}};

	(void)state;
	routes[0].step[0] = answer(&f, 502, "", gone);
	fix_start(&f, routes, 1);
	assert_int_equal(az_sandbox_kill_all(f.sb, &f.ref, &f.err), AZ_ENOTFOUND);
	assert_string_equal(f.err.reason, E2B_GONE);
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_command_runs),
	    cmocka_unit_test(ends),
	    cmocka_unit_test(bytes_pass_untouched),
	    cmocka_unit_test(our_own_time_limit),
	    cmocka_unit_test(cancel_kills),
	    cmocka_unit_test(a_full_reader_stops_the_command),
	    cmocka_unit_test(input_is_sent_once_and_closed),
	    cmocka_unit_test(much_output_streams),
	    cmocka_unit_test(kill_all_kills_each_and_sweeps_up_until_none_is_left),
	    cmocka_unit_test(kill_all_of_the_gone),
	};

	return cmocka_run_group_tests_name("sandbox_process", tests, NULL, NULL);
}
