/* E2B's wire: commands and files in a sandbox. */
#include "box_wire.h"

static void
a_command_runs_and_says_how_it_ended(void **state)
{
	char m[400], want[40];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\",\"envVars\":{\"A\":\"1\",\"B\":\"2\"}}");
	assert_int_equal(strlen(id), 21);
	assert_int_equal(strlen(token), 64);
	stream("/process.Process/Start",
	    "{\"process\":{\"cmd\":\"/bin/sh\",\"args\":[\"-c\","
	    "\"echo $A$B$E2B_SANDBOX\"],\"envs\":{\"B\":\"3\"}},\"stdin\":false}",
	    NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.head, "application/connect+json\r\n"));
	assert_int_equal(message(0, m, sizeof m), 0);
	assert_true(!strncmp(m, "{\"event\":{\"start\":{\"pid\":", 25));
	assert_int_equal(message(1, m, sizeof m), 0);
	assert_string_equal(m, "{\"event\":{\"data\":{\"stdout\":\"MTN0cnVlCg==\"}}}");
	message(2, m, sizeof m);
	assert_string_equal(
	    m, "{\"event\":{\"end\":{\"exited\":true,\"status\":\"exit status 0\"}}}");
	assert_int_equal(message(3, m, sizeof m), 2);
	assert_string_equal(m, "{}");
	stream("/process.Process/Start",
	    "{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\","
	    "\"exit 3\"]}}",
	    NULL);
	message(1, m, sizeof m);
	assert_string_equal(m, "{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true,"
			       "\"status\":\"exit status 3\",\"error\":\"exit status 3\"}}}");
	stream("/process.Process/Start",
	    "{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\","
	    "\"kill -9 $$\"]}}",
	    NULL);
	message(1, m, sizeof m);
	assert_string_equal(m, "{\"event\":{\"end\":{\"exitCode\":-1,"
			       "\"status\":\"signal: killed\",\"error\":\"signal: killed\"}}}");
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"no-such-thing\"}}", NULL);
	message(2, m, sizeof m);
	assert_non_null(strstr(m, "\"exitCode\":127"));
	/* a timeout is a real end, with its reason, and the caller's error */
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"sleep\",\"args\":[\"60\"]}}",
	    "HTTP_CONNECT_TIMEOUT_MS=300");
	message(1, m, sizeof m);
	snprintf(want, sizeof want, "\"error\":\"timed out after 0.3 s\"");
	assert_non_null(strstr(m, want));
	assert_non_null(strstr(m, "\"exitCode\":-1"));
	assert_int_equal(message(2, m, sizeof m), 2);
	assert_string_equal(m, "{\"error\":{\"code\":\"deadline_exceeded\","
			       "\"message\":\"timed out after 0.3 s\"}}");
	kill_it();
}

static void
stream_errors_come_in_the_end_frame(void **state)
{
	char m[400];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"sh\",\"cwd\":\"/nope\"}}", NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(message(0, m, sizeof m), 2);
	assert_string_equal(m, "{\"error\":{\"code\":\"invalid_argument\","
			       "\"message\":\"cwd '/nope' does not exist\"}}");
	stream("/process.Process/Start", "{\"process\":", NULL);
	assert_int_equal(message(0, m, sizeof m), 2);
	assert_non_null(strstr(m, "invalid_argument"));
	stream("/process.Process/Connect", "{\"process\":{\"pid\":4242}}", NULL);
	message(0, m, sizeof m);
	assert_string_equal(m, "{\"error\":{\"code\":\"not_found\","
			       "\"message\":\"process with pid 4242 not found\"}}");
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"true\"}}",
	    "HTTP_CONNECT_TIMEOUT_MS=soon");
	message(0, m, sizeof m);
	assert_non_null(strstr(m, "invalid_argument"));
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"true\"}}",
	    "HTTP_CONNECT_CONTENT_ENCODING=gzip");
	message(0, m, sizeof m);
	assert_non_null(strstr(m, "unimplemented"));
	envd("POST", "/process.Process/Start", NULL, "application/connect+json",
	    az_str_n("\0\0\0\0\x20{", 6), NULL);
	message(0, m, sizeof m);
	assert_non_null(strstr(m, "truncated envelope"));
	envd("POST", "/process.Process/Start", NULL, "application/json", AZ_S("{}"), NULL);
	assert_int_equal(a.status, 415);
	/* nonsense for the ping does no harm */
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"true\"}}",
	    "HTTP_KEEPALIVE_PING_INTERVAL=0");
	message(2, m, sizeof m);
	assert_string_equal(m, "{}");
	kill_it();
}

/* Until the server noticed that the client is gone; its handler looks every second. */
static void
wait_for_nobody(void)
{
	int64_t deadline = az_boot_ms() + 20000;
	bool nobody = false;

	while (!nobody && az_boot_ms() < deadline) {
		struct box *b = box_find(fix.s, az_str_c(id));

		unary("/process.Process/List", "{}");
		assert_non_null(b);
		pthread_mutex_lock(&b->mu);
		nobody = b->procs && b->procs->started && !b->procs->subs;
		pthread_mutex_unlock(&b->mu);
		box_unref(b);
	}
	assert_true(nobody);
}

static void
output_waits_for_a_late_follower(void **state)
{
	int fd;
	struct fcgi_req q = {.method = "POST", .path = "/process.Process/Start"};
	struct fcgi_resp early = {0};
	char i[80], t[120], m[400];
	const char *p[] = {HOST, i, t, "CONTENT_TYPE=application/connect+json", NULL};
	struct az_buf b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	snprintf(i, sizeof i, "HTTP_E2B_SANDBOX_ID=%s", id);
	snprintf(t, sizeof t, "HTTP_X_ACCESS_TOKEN=%s", token);
	az_buf_init(&b, 4096);
	envelope_add(&b, 0,
	    AZ_S("{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\","
		 "\"echo one; read x; echo two $x; exit 5\"]},\"tag\":\"t1\",\"stdin\":true}"));
	q.params = p;
	q.body = b.p;
	q.body_n = b.n;
	fd = fcgi_peer_connect(web.path);
	assert_true(fcgi_peer_send(fd, &q, true));
	assert_true(fcgi_peer_read_until(fd, &early, ""));
	/* the client leaves; the program does not */
	close(fd);
	fcgi_peer_release(&early);
	az_buf_release(&b);
	wait_for_nobody();
	unary("/process.Process/List", "{}");
	assert_non_null(strstr(a.body, "\"tag\":\"t1\""));
	unary("/process.Process/SendInput",
	    "{\"process\":{\"tag\":\"t1\"},\"input\":{\"stdin\":\"aGkK\"}}");
	assert_int_equal(a.status, 200);
	stream("/process.Process/Connect", "{\"process\":{\"tag\":\"t1\"}}", NULL);
	assert_non_null(memmem(a.body, a.body_n, "\"exitCode\":5", 12));
	assert_non_null(memmem(a.body, a.body_n, "dHdvIGhpCg==", 12)); /* two hi */
	/* and once more: the end is kept */
	stream("/process.Process/Connect", "{\"process\":{\"tag\":\"t1\"}}", NULL);
	message(1, m, sizeof m);
	assert_non_null(strstr(m, "\"exitCode\":5"));
	unary("/process.Process/SendSignal",
	    "{\"process\":{\"tag\":\"t1\"},\"signal\":\"SIGNAL_SIGKILL\"}");
	assert_int_equal(a.status, 404);
	kill_it();
}

static void
files_go_up_and_down_and_stay_inside(void **state)
{
	static const char form[] =
	    "--xyz\r\nContent-Disposition: form-data; "
	    "name=\"file\"; filename=\"d/one.txt\"\r\n\r\n1\r\n--xyz\r\n"
	    "Content-Disposition: form-data; name=\"file\"; filename=\"two\"\r\n\r\n22\r\n\n\r"
	    "\r\n--xyz\r\nContent-Disposition: form-data; name=\"other\"; filename=\"no\""
	    "\r\n\r\nx\r\n--xyz\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n"
	    "y\r\n--xyz--\r\n";
	static const char twice[] =
	    "--xyz\r\nContent-Disposition: form-data; "
	    "name=\"file\"; filename=\"s\"\r\n\r\n1\r\n--xyz\r\n"
	    "Content-Disposition: form-data; name=\"file\"; filename=\"./s\"\r\n\r\n2"
	    "\r\n--xyz--\r\n";
	static const char raw[] = "a\0b\r\nc";
	char v[100];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	envd("POST", "/files", "path=x%2Fy.bin", "application/octet-stream",
	    az_str_n(raw, sizeof raw - 1), NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(
	    a.body, "[{\"name\":\"y.bin\",\"path\":\"/home/user/x/y.bin\",\"type\":\"file\"}]");
	envd("GET", "/files", "path=x/y.bin", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body_n, sizeof raw - 1);
	assert_memory_equal(a.body, raw, sizeof raw - 1);
	envd("HEAD", "/files", "path=x/y.bin", "", (struct az_str){0}, NULL);
	assert_string_equal(fcgi_peer_header(&a, "Content-Length", v, sizeof v), "6");
	assert_int_equal(a.body_n, 0);
	envd("POST", "/files", NULL, "multipart/form-data; boundary=xyz", az_str_c(form), NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body, "/home/user/d/one.txt"));
	assert_non_null(strstr(a.body, "/home/user/two"));
	envd("GET", "/files", "path=two", "", (struct az_str){0}, NULL);
	assert_string_equal(a.body, "22\r\n\n\r");
	envd("GET", "/files", "path=no", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 404);
	envd("POST", "/files", NULL, "multipart/form-data; boundary=xyz", az_str_c(twice), NULL);
	assert_int_equal(a.status, 400);
	envd("GET", "/files", "path=nope", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 404);
	assert_non_null(strstr(a.body, "path '/home/user/nope' does not exist"));
	envd("GET", "/files", "path=x", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 400);
	envd("GET", "/files", "path=~root/x", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 400);
	envd("POST", "/files", "path=/usr/zzz", "application/octet-stream", AZ_S("x"), NULL);
	assert_int_equal(a.status, 403);
	envd("POST", "/files", "path=q", "text/plain", AZ_S("x"), NULL);
	assert_int_equal(a.status, 400);
	/* links lead around in the box only, and never to the agent */
	stream("/process.Process/Start",
	    "{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\","
	    "\"ln -s /etc/passwd p; ln -s / r; ln -s /proc/self/mem m; ln -s "
	    "/proc/1/root/etc/shadow s2; mkfifo f; ln -s /tmp t\"]}}",
	    NULL);
	envd("GET", "/files", "path=p", "", (struct az_str){0}, NULL);
	assert_non_null(strstr(a.body, "user:x:1000:1000"));
	assert_null(strstr(a.body, "azlon"));
	envd("GET", "/files", "path=m", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 403);
	envd("GET", "/files", "path=s2", "", (struct az_str){0}, NULL);
	assert_true(a.status >= 400);
	envd("GET", "/files", "path=f", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 400);
	envd("POST", "/files", "path=t/in-the-box", "application/octet-stream", AZ_S("x"), NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(access("/tmp/in-the-box", F_OK), -1);
	envd("POST", "/files", "path=r/usr/bin/evil", "application/octet-stream", AZ_S("x"), NULL);
	assert_int_equal(a.status, 403);
	/* a name takes no more than its token */
	memset(token, 'f', 64);
	envd("GET", "/files", "path=p", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 401);
	kill_it();
	envd("GET", "/files", "path=p", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 502);
	assert_non_null(strstr(a.body, "\"message\":\"The sandbox was not found: killed\""));
	envd("GET", "/health", NULL, "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 502);
}

static void
names_are_listed_made_moved_removed(void **state)
{
	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	unary("/filesystem.Filesystem/MakeDir", "{\"path\":\"a/b\"}");
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body, "\"type\":\"FILE_TYPE_DIRECTORY\""));
	unary("/filesystem.Filesystem/MakeDir", "{\"path\":\"a/b\"}");
	assert_int_equal(a.status, 409);
	assert_non_null(strstr(a.body, "already_exists"));
	envd("POST", "/files", "path=a/f", "application/octet-stream", AZ_S("12345"), NULL);
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"/home/user/a/../a/./f\"}");
	assert_non_null(strstr(a.body, "\"path\":\"/home/user/a/f\""));
	assert_non_null(strstr(a.body, "\"size\":\"5\",\"mode\":420"));
	assert_non_null(strstr(a.body, "\"permissions\":\"-rw-r--r--\",\"owner\":\"user\""));
	unary("/filesystem.Filesystem/Move", "{\"source\":\"a/f\",\"destination\":\"z/g\"}");
	assert_int_equal(a.status, 200);
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"a/f\"}");
	assert_int_equal(a.status, 404);
	assert_non_null(strstr(a.body, "\"code\":\"not_found\""));
	unary("/filesystem.Filesystem/ListDir", "{\"path\":\"\",\"depth\":2}");
	assert_non_null(strstr(a.body, "/home/user/a/b"));
	assert_non_null(strstr(a.body, "/home/user/z/g"));
	unary("/filesystem.Filesystem/ListDir", "{\"path\":\"z/g\"}");
	assert_int_equal(a.status, 400);
	unary("/filesystem.Filesystem/Remove", "{\"path\":\"z\"}");
	assert_string_equal(a.body, "{}");
	unary("/filesystem.Filesystem/Remove", "{\"path\":\"z\"}");
	assert_string_equal(a.body, "{}");
	unary("/filesystem.Filesystem/ListDir", "{\"path\":\"a/b\"}");
	assert_string_equal(a.body, "{\"entries\":[]}");
	kill_it();
}

/* One that ended while a request was under way is no other than one that ended before. */
static void
what_ends_meanwhile_is_not_there(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	pthread_mutex_lock(&b->mu);
	snprintf(b->why, sizeof b->why, "expired");
	b->dead = true;
	pthread_mutex_unlock(&b->mu);
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"a\"}");
	assert_int_equal(a.status, 502);
	assert_non_null(strstr(a.body, "\"message\":\"The sandbox was not found: expired\""));
	envd("GET", "/files", "path=p", "", (struct az_str){0}, NULL);
	assert_int_equal(a.status, 502);
	assert_non_null(strstr(a.body, "was not found: expired"));
	fix_done(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_command_runs_and_says_how_it_ended),
	    cmocka_unit_test(stream_errors_come_in_the_end_frame),
	    cmocka_unit_test(output_waits_for_a_late_follower),
	    cmocka_unit_test(files_go_up_and_down_and_stay_inside),
	    cmocka_unit_test(names_are_listed_made_moved_removed),
	    cmocka_unit_test(what_ends_meanwhile_is_not_there),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
