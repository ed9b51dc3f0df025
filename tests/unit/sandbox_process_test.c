/* Commands: what streams may do, against a scripted peer. */
#include <azlon/clock.h>
#include "e2b_fixture.h"

#define START "POST /process.Process/Start"
#define CONNECT "POST /process.Process/Connect"
#define SIGNAL "POST /process.Process/SendSignal"
#define HEALTH "GET /health"

static const char gone[] = "{\"sandboxId\":\"iabc\",\"message\":\"The sandbox was not found\","
			   "\"code\":502}";

struct got {
	struct az_buf out, err;
	int calls, fail_at;
	int cancel_after; /* questions until cancelled() says yes; 0 = never */
	int asked;
};

static enum az_code
on_output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct got *g = arg;

	if (++g->calls == g->fail_at)
		return az_fail(err, AZ_EIO, "test", "no room");
	az_buf_adds(stream == 1 ? &g->out : &g->err, bytes);
	return AZ_OK;
}

static bool
on_cancel(void *arg)
{
	struct got *g = arg;

	return g->cancel_after && ++g->asked >= g->cancel_after;
}

static enum az_code
run_cmd(struct fix *f, struct got *g, struct az_sb_result *r, struct az_str in, int timeout_s)
{
	const char *argv[] = {"python3", "-c", "print(1)", NULL};
	const char *env[] = {"A=1", "B=x=y", "A=2", NULL};

	az_buf_init(&g->out, AZ_MIB(4));
	az_buf_init(&g->err, AZ_MIB(1));
	return az_sandbox_run(f->sb, &f->ref,
	    &(struct az_sb_cmd){.argv = argv,
		.env = env,
		.cwd = "/home/user/app",
		.tag = "azlon-run-1",
		.stdin_bytes = in,
		.timeout_s = timeout_s,
		.output = on_output,
		.cancelled = on_cancel,
		.arg = g},
	    r, &f->err);
}

static void
got_release(struct got *g)
{
	az_buf_release(&g->out);
	az_buf_release(&g->err);
}

static const struct az_str no_input = {NULL, 0};

/* A stream's answer of the JSON texts in list; flag 2 for one that begins with '!'. */
static struct http_peer_step
script(struct fix *f, const char *const *list, bool cut)
{
	struct az_buf *b = fix_buf(f);

	for (; *list; list++)
		if (**list == '!')
			frame(b, 2, *list + 1);
		else
			frame(b, 0, *list);
	return stream_of(f, b, cut);
}
#define SCRIPT(f, cut, ...) script((f), (const char *const[]){__VA_ARGS__, NULL}, (cut))
#define OUT(b64) "{\"event\":{\"data\":{\"stdout\":\"" b64 "\"}}}"
#define ERR(b64) "{\"event\":{\"data\":{\"stderr\":\"" b64 "\"}}}"

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
		E2B_AWAY},
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
	    {502, "<html></html>", NULL, AZ_EUNAVAIL, E2B_AWAY},
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
	size_t largest;
};

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
	size_t i;

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
	assert_int_equal(
	    az_sandbox_run(f.sb, &f.ref,
		&(struct az_sb_cmd){.argv = argv, .output = add_up, .arg = &c}, &r, &f.err),
	    AZ_OK);
	print_message("# 64 MiB in %lld ms\n", (long long)(az_boot_ms() - t0));
	assert_int_equal(c.bytes, (int64_t)AZ_MIB(64));
	assert_int_equal(c.sum, want.sum);
	assert_true(c.largest <= E2B_FRAME_BYTES);
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
	    cmocka_unit_test(protocol_errors),
	    cmocka_unit_test(an_oversize_frame_is_refused),
	    cmocka_unit_test(errors_in_the_end_frame),
	    cmocka_unit_test(plain_answers_to_a_stream),
	    cmocka_unit_test(a_missing_end_frame_after_the_end),
	    cmocka_unit_test(a_cut_stream_is_taken_up_again),
	    cmocka_unit_test(a_stream_cut_before_the_start_is_found_by_tag),
	    cmocka_unit_test(cut_twice_or_lost_or_gone),
	    cmocka_unit_test(silence_is_looked_into),
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
