/* process.Process on the wire: terminals, input while a command runs, ends, bounds. */
#include "box_wire.h"

/* ---- streams that stay open ---- */

struct open {
	int fd;
	struct fcgi_resp r;
};

/* Begin a call of a stream; end: its request is whole. */
static void
begin(struct open *o, const char *path, const char *json, const char *extra, bool end)
{
	char i[80], t[120];
	const char *p[] = {HOST, i, t, "CONTENT_TYPE=application/connect+json", extra, NULL};
	struct fcgi_req q = {.method = "POST", .path = path, .params = p};
	struct az_buf b;

	snprintf(i, sizeof i, "HTTP_E2B_SANDBOX_ID=%s", id);
	snprintf(t, sizeof t, "HTTP_X_ACCESS_TOKEN=%s", token);
	az_buf_init(&b, AZ_KIB(64));
	envelope_add(&b, 0, az_str_c(json));
	q.body = b.p;
	q.body_n = b.n;
	q.content_length = end ? 0 : -1;
	memset(o, 0, sizeof *o);
	o->fd = fcgi_peer_connect(web.path);
	assert_true(o->fd >= 0);
	assert_true(fcgi_peer_send(o->fd, &q, end));
	az_buf_release(&b);
}

static void
more(struct open *o, const char *json)
{
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(64));
	envelope_add(&b, 0, az_str_c(json));
	assert_true(fcgi_peer_stdin(o->fd, b.p, b.n));
	az_buf_release(&b);
}

/* Its answer becomes the one message() looks at. */
static void
finish(struct open *o)
{
	fcgi_peer_release(&a);
	assert_true(fcgi_peer_read(o->fd, &o->r));
	assert_true(o->r.ended);
	a = o->r;
	memset(&o->r, 0, sizeof o->r);
	close(o->fd);
}

static void
leave(struct open *o)
{
	close(o->fd);
	fcgi_peer_release(&o->r);
}

static bool
said(const char *text)
{
	return memmem(a.body, a.body_n, text, strlen(text)) != NULL;
}

static void
shell(struct open *o, const char *script, const char *more_json)
{
	char json[600];

	snprintf(json, sizeof json,
	    "{\"process\":{\"cmd\":\"/bin/sh\",\"args\":[\"-c\",\"%s\"]}%s}", script, more_json);
	begin(o, "/process.Process/Start", json, NULL, true);
	assert_true(fcgi_peer_read_until(o->fd, &o->r, "\"start\""));
}

/* A small call on the process of a tag; the rest of its JSON after the selector. */
static void
on(const char *method, const char *tag, const char *rest)
{
	char path[60], json[300];

	snprintf(path, sizeof path, "/process.Process/%s", method);
	snprintf(json, sizeof json, "{\"process\":{\"tag\":\"%s\"}%s}", tag, rest);
	unary(path, json);
}

/* ---- input ---- */

#define INPUT "/process.Process/StreamInput"
#define TO_T "{\"start\":{\"process\":{\"tag\":\"t\"}}}"

static void
input_arrives_while_its_stream_is_open(void **state)
{
	struct open run, in;
	char m[200];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	shell(&run, "while read x; do echo got $x; done", ",\"tag\":\"t\"");
	begin(&in, INPUT, TO_T, NULL, false);
	more(&in, "{\"data\":{\"input\":{\"stdin\":\"b25lCg==\"}}}");
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "Z290IG9uZQo=")); /* got one */
	more(&in, "{\"keepalive\":{}}");
	more(&in, "{\"data\":{\"input\":{\"stdin\":\"dHdvCg==\"}}}");
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "Z290IHR3bwo=")); /* got two */
	assert_true(fcgi_peer_stdin(in.fd, NULL, 0));
	finish(&in);
	assert_int_equal(message(0, m, sizeof m), 0);
	assert_string_equal(m, "{}");
	assert_int_equal(message(1, m, sizeof m), 2);
	assert_string_equal(m, "{}");
	/* the end of a stream is not the end of the input */
	on("SendInput", "t", ",\"input\":{\"stdin\":\"Mwo=\"}");
	assert_int_equal(a.status, 200);
	on("CloseStdin", "t", "");
	assert_int_equal(a.status, 200);
	finish(&run);
	assert_true(said("Z290IDMK")); /* got 3 */
	assert_true(said("exit status 0"));
	kill_it();
}

static void
an_input_stream_does_not_outlive_its_time_nor_its_program_nor_its_sandbox(void **state)
{
	struct open run, in;
	char m[200];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	shell(&run, "cat", ",\"tag\":\"t\"");
	begin(&in, INPUT, TO_T, "HTTP_CONNECT_TIMEOUT_MS=100", false);
	finish(&in);
	assert_int_equal(message(0, m, sizeof m), 2);
	assert_non_null(strstr(m, "deadline_exceeded"));
	begin(&in, INPUT, TO_T, NULL, false);
	more(&in, "{\"data\":{\"input\":{\"stdin\":\"b25lCg==\"}}}");
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "b25lCg==")); /* it is under way */
	on("SendSignal", "t", ",\"signal\":\"SIGNAL_SIGKILL\"");
	assert_int_equal(a.status, 200);
	finish(&run);
	assert_true(said("signal: killed"));
	/* its client has said nothing more, and need not */
	finish(&in);
	message(0, m, sizeof m);
	assert_string_equal(m, "{}");
	shell(&run, "cat", ",\"tag\":\"t\"");
	begin(&in, INPUT, TO_T, NULL, false);
	more(&in, "{\"data\":{\"input\":{\"stdin\":\"b25lCg==\"}}}");
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "b25lCg=="));
	kill_it();
	finish(&in);
	assert_int_equal(message(0, m, sizeof m), 2);
	assert_non_null(strstr(m, "unavailable"));
	leave(&run);
}

static void
an_input_stream_goes_on_after_silence(void **state)
{
	struct open run, in;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	/* the program says when a look of the server found nothing in between */
	shell(&run, "read x; sleep 1.5; echo $x; read y; echo $y", ",\"tag\":\"t\"");
	begin(&in, INPUT, TO_T, NULL, false);
	more(&in, "{\"data\":{\"input\":{\"stdin\":\"b25lCg==\"}}}");
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "b25lCg=="));
	more(&in, "{\"data\":{\"input\":{\"stdin\":\"dHdvCg==\"}}}");
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "dHdvCg=="));
	finish(&run);
	assert_true(said("exit status 0"));
	finish(&in);
	kill_it();
}

static void
a_wrong_input_stream_is_refused_in_its_end_frame(void **state)
{
	static const struct {
		const char *first, *second, *code;
	} t[] = {
	    {"{\"data\":{\"input\":{\"stdin\":\"\"}}}", NULL, "invalid_argument"},
	    {"{\"start\":{\"process\":{\"pid\":4242}}}", NULL, "not_found"},
	    {"{\"start\":{\"process\":{}}}", NULL, "invalid_argument"},
	    {"{\"start\":", NULL, "invalid_argument"},
	    {TO_T, TO_T, "invalid_argument"},
	    {TO_T, "{\"data\":{\"input\":{\"stdin\":\"%%%\"}}}", "invalid_argument"},
	    {TO_T, "{\"data\":{\"input\":{\"pty\":\"YQ==\"}}}", "invalid_argument"},
	};
	static const struct {
		const char *bytes;
		size_t n;
		const char *code;
	} raw[] = {
	    {"\1\0\0\0\2{}", 7, "unimplemented"},
	    {"\0\1\0\0\0", 5, "resource_exhausted"},
	    {"\0\0\0\0\x20{", 6, "invalid_argument"},
	};
	struct open run, in;
	char m[300];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	shell(&run, "cat", ",\"tag\":\"t\"");
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		begin(&in, INPUT, t[i].first, NULL, false);
		if (t[i].second)
			more(&in, t[i].second);
		finish(&in);
		assert_int_equal(message(0, m, sizeof m), 2);
		if (!strstr(m, t[i].code))
			fail_msg("%s: %s", t[i].first, m);
	}
	for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
		envd("POST", INPUT, NULL, "application/connect+json",
		    az_str_n(raw[i].bytes, raw[i].n), NULL);
		assert_int_equal(message(0, m, sizeof m), 2);
		if (!strstr(m, raw[i].code))
			fail_msg("%zu: %s", i, m);
	}
	leave(&run);
	kill_it();
}

static void
without_a_word_on_stdin_there_is_one(void **state)
{
	struct open run;
	char m[200];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	shell(&run, "cat", ",\"tag\":\"t\"");
	on("SendInput", "t", ",\"input\":{\"stdin\":\"aGkK\"}");
	assert_int_equal(a.status, 200);
	on("CloseStdin", "t", "");
	finish(&run);
	assert_true(said("aGkK"));
	shell(&run, "cat", ",\"stdin\":false,\"tag\":\"f\"");
	finish(&run);
	assert_true(said("exit status 0"));
	shell(&run, "sleep 60", ",\"stdin\":false,\"tag\":\"n\"");
	on("SendInput", "n", ",\"input\":{\"stdin\":\"aGkK\"}");
	assert_int_equal(a.status, 500);
	member("code", m, sizeof m);
	assert_string_equal(m, "internal");
	/* there is nothing to close: so it is closed */
	on("CloseStdin", "n", "");
	assert_int_equal(a.status, 200);
	leave(&run);
	kill_it();
}

/* ---- terminals ---- */

static void
a_terminal_has_a_size_that_changes(void **state)
{
	struct open run;
	char m[300];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	shell(&run,
	    "stty -echo; printf '%s %s|' \\\"$(stty size)\\\" $TERM; read x; "
	    "printf '%s %s|' $x \\\"$(stty size)\\\"; read y; exit 7",
	    ",\"tag\":\"t\",\"pty\":{\"size\":{\"cols\":80,\"rows\":24}}");
	/* 24 80 xterm-256color| */
	assert_true(
	    fcgi_peer_read_until(run.fd, &run.r, "\"pty\":\"MjQgODAgeHRlcm0tMjU2Y29sb3J8\""));
	on("Update", "t", ",\"pty\":{\"size\":{\"cols\":100,\"rows\":40}}");
	assert_int_equal(a.status, 200);
	on("SendInput", "t", ",\"input\":{\"pty\":\"eHl6Cg==\"}");
	assert_int_equal(a.status, 200);
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "eHl6IDQwIDEwMHw=")); /* xyz 40 100| */
	on("SendInput", "t", ",\"input\":{\"stdin\":\"eHl6Cg==\"}");
	assert_int_equal(a.status, 400);
	on("CloseStdin", "t", "");
	assert_int_equal(a.status, 400);
	member("code", m, sizeof m);
	assert_string_equal(m, "failed_precondition");
	/* Ctrl+D is what closes it */
	on("SendInput", "t", ",\"input\":{\"pty\":\"BA==\"}");
	finish(&run);
	assert_true(said("\"exitCode\":7"));
	shell(&run, "sleep 60", ",\"tag\":\"n\"");
	on("Update", "n", ",\"pty\":{\"size\":{\"cols\":1,\"rows\":1}}");
	assert_int_equal(a.status, 400);
	leave(&run);
	kill_it();
}

/* ---- signals and ends ---- */

static void
last_words_are_heard(void **state)
{
	struct open run;
	char m[300];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	shell(&run, "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 60 & wait; done",
	    ",\"tag\":\"t\"");
	assert_true(fcgi_peer_read_until(run.fd, &run.r, "cmVhZHkK")); /* ready */
	on("SendSignal", "t", ",\"signal\":\"SIGNAL_SIGHUP\"");
	assert_int_equal(a.status, 501);
	member("code", m, sizeof m);
	assert_string_equal(m, "unimplemented");
	on("SendSignal", "t", ",\"signal\":\"SIGNAL_SIGTERM\"");
	assert_int_equal(a.status, 200);
	finish(&run);
	assert_true(said("Ynll")); /* bye */
	assert_true(said("\"exitCode\":9"));
	shell(&run, "kill -USR1 $$", "");
	finish(&run);
	assert_true(said("\"exitCode\":-1,\"status\":\"signal: user defined signal 1\""));
	kill_it();
}

static void
a_tag_means_the_one_that_runs(void **state)
{
	struct open run;
	char first[100], m[100];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	shell(&run, "sleep 60", ",\"tag\":\"t\"");
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"true\"},\"tag\":\"t\"}", NULL);
	assert_true(said("exit status 0"));
	message(0, first, sizeof first);
	stream("/process.Process/Connect", "{\"process\":{\"tag\":\"t\"}}",
	    "HTTP_CONNECT_TIMEOUT_MS=50");
	message(0, m, sizeof m);
	assert_string_not_equal(m, first);
	/* the time of who looks on is not the program's */
	assert_int_equal(message(1, m, sizeof m), 2);
	assert_non_null(strstr(m, "deadline_exceeded"));
	unary("/process.Process/List", "{}");
	assert_non_null(strstr(a.body, "\"args\":[\"-c\",\"sleep 60\"]"));
	leave(&run);
	kill_it();
}

static void
a_silent_stream_is_kept_alive(void **state)
{
	static const char *const every[] = {
	    "HTTP_KEEPALIVE_PING_INTERVAL=1", "HTTP_KEEPALIVE_PING_INTERVAL=0"};
	struct open run;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	for (size_t i = 0; i < 2; i++) {
		begin(&run, "/process.Process/Start",
		    "{\"process\":{\"cmd\":\"sleep\",\"args\":[\"60\"]},\"tag\":\"t\"}", every[i],
		    true);
		assert_true(fcgi_peer_read_until(run.fd, &run.r, "{\"event\":{\"keepalive\":{}}}"));
		on("SendSignal", "t", ",\"signal\":\"SIGNAL_SIGKILL\"");
		finish(&run);
		assert_true(said("signal: killed"));
	}
	kill_it();
}

/* ---- bounds ---- */

static void
short_commands_do_not_add_up(void **state)
{
	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	for (int i = 0; i < PROC_MAX + 10; i++) {
		stream("/process.Process/Start", "{\"process\":{\"cmd\":\"true\"}}", NULL);
		if (!said("exit status 0"))
			fail_msg("command %d: %.*s", i, (int)a.body_n - 5, a.body + 5);
	}
	kill_it();
}

static void
the_last_threads_are_for_calls_that_end_streams(void **state)
{
	struct open run[7];
	char m[200];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	for (int i = 0; i < 7; i++)
		shell(&run[i], "sleep 60", ",\"tag\":\"t\"");
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"true\"}}", NULL);
	assert_int_equal(message(0, m, sizeof m), 2);
	assert_non_null(strstr(m, "resource_exhausted"));
	for (int i = 6; i >= 0; i--) { /* the tag means the newest */
		on("SendSignal", "t", ",\"signal\":\"SIGNAL_SIGKILL\"");
		assert_int_equal(a.status, 200);
		finish(&run[i]);
		assert_true(said("signal: killed"));
	}
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"true\"}}", NULL);
	assert_true(said("exit status 0"));
	kill_it();
}

static void
what_is_no_call_is_told_so(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *code;
	} raw[] = {
	    {"\1\0\0\0\2{}", 7, "unimplemented"},
	    {"\0\1\0\0\0", 5, "resource_exhausted"},
	    {"\2\0\0\0\2{}", 7, "invalid_argument"},
	};
	char m[300];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	unary("/process.Process/Fly", "{}");
	assert_int_equal(a.status, 404);
	assert_non_null(strstr(a.body, "\"code\":404"));
	envd("GET", "/process.Process/List", NULL, "application/json", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 405);
	assert_string_equal(fcgi_peer_header(&a, "Allow", m, sizeof m), "POST");
	envd("POST", "/process.Process/List", NULL, "application/proto", AZ_S(""), NULL);
	assert_int_equal(a.status, 415);
	assert_string_equal(fcgi_peer_header(&a, "Accept-Post", m, sizeof m), "application/json");
	envd("POST", "/process.Process/Start", NULL, "application/connect+proto", AZ_S(""), NULL);
	assert_int_equal(a.status, 415);
	assert_string_equal(
	    fcgi_peer_header(&a, "Accept-Post", m, sizeof m), "application/connect+json");
	envd("POST", "/process.Process/List", NULL, "application/json", AZ_S("{}"),
	    "HTTP_CONTENT_ENCODING=gzip");
	assert_int_equal(a.status, 501);
	envd("POST", "/process.Process/List", NULL, "application/json; charset=utf-8", AZ_S(""),
	    "HTTP_CONTENT_ENCODING=identity");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "{\"processes\":[]}");
	unary("/process.Process/List", "{");
	assert_int_equal(a.status, 400);
	member("code", m, sizeof m);
	assert_string_equal(m, "invalid_argument");
	for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
		envd("POST", "/process.Process/Start", NULL, "application/connect+json",
		    az_str_n(raw[i].bytes, raw[i].n), NULL);
		assert_int_equal(message(0, m, sizeof m), 2);
		if (!strstr(m, raw[i].code))
			fail_msg("%zu: %s", i, m);
	}
	kill_it();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(input_arrives_while_its_stream_is_open),
	    cmocka_unit_test(
		an_input_stream_does_not_outlive_its_time_nor_its_program_nor_its_sandbox),
	    cmocka_unit_test(an_input_stream_goes_on_after_silence),
	    cmocka_unit_test(a_wrong_input_stream_is_refused_in_its_end_frame),
	    cmocka_unit_test(without_a_word_on_stdin_there_is_one),
	    cmocka_unit_test(a_terminal_has_a_size_that_changes),
	    cmocka_unit_test(last_words_are_heard),
	    cmocka_unit_test(a_tag_means_the_one_that_runs),
	    cmocka_unit_test(a_silent_stream_is_kept_alive),
	    cmocka_unit_test(short_commands_do_not_add_up),
	    cmocka_unit_test(the_last_threads_are_for_calls_that_end_streams),
	    cmocka_unit_test(what_is_no_call_is_told_so),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
