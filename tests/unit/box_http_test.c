/* E2B's wire as its SDKs see it: a real az_web_run() before a real server. */
#include "box_fixture.h"

#include "web_fixture.h"

#define KEY "HTTP_X_API_KEY=e2b_0123456789abcdef"
#define HOST "HTTP_HOST=127.0.0.1:8090"

static struct box_fixture fix;
static struct web_fixture web;
static struct fcgi_resp a;
static char id[40], token[80];

static int
group_setup(void **state)
{
	(void)state;
	if (fix_open(&fix))
		return -1;
	web.w.threads = 8;
	web.w.problem = az_box_problem;
	web.w.arena_bytes = AZ_MIB(16);
	return fix.refused || web_fixture_start(&web, az_box_routes, fix.s) ? 0 : -1;
}

static int
group_teardown(void **state)
{
	(void)state;
	if (!fix.refused)
		web_fixture_stop(&web);
	fix_close(&fix);
	fcgi_peer_release(&a);
	return 0;
}

static void
call(const char *method, const char *path, const char *query, const char *body, size_t n,
    const char *const *params)
{
	struct fcgi_req q = {.method = method,
	    .path = path,
	    .query = query,
	    .params = params,
	    .body = body,
	    .body_n = n};

	fcgi_peer_release(&a);
	memset(&a, 0, sizeof a);
	assert_true(fcgi_peer_call(web.path, &q, &a));
}

static void
control(const char *method, const char *path, const char *query, const char *body)
{
	static const char *const p[] = {HOST, KEY, "CONTENT_TYPE=application/json", NULL};

	call(method, path, query, body, body ? strlen(body) : 0, p);
}

static void
envd(const char *method, const char *path, const char *query, const char *type, struct az_str body,
    const char *extra)
{
	char i[80], t[120], c[160];
	const char *p[] = {HOST, i, t, c, extra, NULL};

	snprintf(i, sizeof i, "HTTP_E2B_SANDBOX_ID=%s", id);
	snprintf(t, sizeof t, "HTTP_X_ACCESS_TOKEN=%s", token);
	snprintf(c, sizeof c, "CONTENT_TYPE=%s", type);
	call(method, path, query, body.p, body.n, p);
}

static void
unary(const char *path, const char *json)
{
	envd("POST", path, NULL, "application/json", az_str_c(json), NULL);
}

static void
stream(const char *path, const char *json, const char *extra)
{
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(64));
	envelope_add(&b, 0, az_str_c(json));
	envd("POST", path, NULL, "application/connect+json", az_buf_str(&b), extra);
	az_buf_release(&b);
}

/* The i-th message of the stream that was answered; its flags. */
static unsigned
message(size_t i, char *out, size_t size)
{
	struct az_str rest = az_str_n(a.body, a.body_n), m;
	unsigned flags;
	size_t used;

	while (envelope_next(rest, &flags, &m, &used) == 1) {
		if (!i--) {
			snprintf(out, size, "%.*s", AZ_FMT(m));
			return flags;
		}
		rest = az_str_sub(rest, used, rest.n);
	}
	snprintf(out, size, "(no such message)");
	return 99;
}

static void
member(const char *key, char *out, size_t size)
{
	struct az_json *j = NULL;

	assert_int_equal(
	    az_json_parse(az_str_n(a.body, a.body_n), &az_json_own_limits, &j, NULL), AZ_OK);
	snprintf(out, size, "%.*s", AZ_FMT(az_json_gets(j, key)));
	az_json_free(j);
}

static void
create(const char *json)
{
	control("POST", "/v2/sandboxes", NULL, json);
	if (a.status != 201)
		fail_msg("%d %s", a.status, a.body);
	member("sandboxID", id, sizeof id);
	member("envdAccessToken", token, sizeof token);
}

static void
kill_it(void)
{
	char path[80];

	snprintf(path, sizeof path, "/sandboxes/%s", id);
	control("DELETE", path, NULL, NULL);
	assert_int_equal(a.status, 204);
}

static void
strangers_are_turned_away(void **state)
{
	static const char *const wrong_host[] = {"HTTP_HOST=evil.example:8090", KEY, NULL};
	static const char *const no_port[] = {"HTTP_HOST=127.0.0.1", KEY, NULL};
	static const char *const no_key[] = {HOST, NULL};
	static const char *const bad_key[] = {HOST, "HTTP_X_API_KEY=e2b_0", NULL};

	(void)state;
	NEEDS_BOX(&fix);
	call("GET", "/v2/sandboxes", NULL, NULL, 0, wrong_host);
	assert_int_equal(a.status, 403);
	call("GET", "/v2/sandboxes", NULL, NULL, 0, no_port);
	assert_int_equal(a.status, 403);
	call("GET", "/v2/sandboxes", NULL, NULL, 0, no_key);
	assert_int_equal(a.status, 401);
	assert_string_equal(a.body, "{\"code\":401,\"message\":\"Invalid API key\"}");
	call("POST", "/sandboxes", NULL, "{\"templateID\":\"base\"}", 21, bad_key);
	assert_int_equal(a.status, 401);
	call("GET", "/health", NULL, NULL, 0, no_key);
	assert_int_equal(a.status, 204);
	control("GET", "/nowhere", NULL, NULL);
	assert_int_equal(a.status, 404);
	assert_non_null(strstr(a.body, "\"code\":404"));
	control("DELETE", "/v2/sandboxes", NULL, NULL);
	assert_int_equal(a.status, 405);
	assert_non_null(strstr(a.body, "\"code\":405"));
}

static void
creation_is_checked(void **state)
{
	static const struct {
		const char *body;
		int status;
		const char *says;
	} t[] = {
	    {"", 400, ""},
	    {"[]", 400, "templateID"},
	    {"{}", 400, "templateID"},
	    {"{\"templateID\":\"nope\"}", 404, "template 'nope' not found"},
	    {"{\"templateID\":\"base\",\"timeout\":0}", 400, "greater than 0"},
	    {"{\"templateID\":\"base\",\"timeout\":86401}", 400, "24 hours"},
	    {"{\"templateID\":\"base\",\"timeout\":\"x\"}", 400, "timeout"},
	    {"{\"templateID\":\"base\",\"metadata\":{\"a\":1}}", 400, "metadata"},
	    {"{\"templateID\":\"base\",\"envVars\":[1]}", 400, "envVars"},
	    {"{\"templateID\":\"base\",\"autoPause\":true}", 400, "autoPause"},
	    {"{\"templateID\":\"base\",\"volumeMounts\":[{}]}", 400, "volumeMounts"},
	    {"{\"templateID\":\"base\",\"network\":{\"dnsServers\":[\"1.1.1.1\"]}}", 400,
		"dnsServers"},
	    {"{\"templateID\":\"base\",\"network\":{\"allowOut\":[\"10.0.0.0/8\"]}}", 400,
		"allowOut"},
	};

	(void)state;
	NEEDS_BOX(&fix);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		control("POST", "/v2/sandboxes", NULL, t[i].body);
		if (a.status != t[i].status || !strstr(a.body, t[i].says))
			fail_msg("%s: %d %s", t[i].body, a.status, a.body);
	}
	assert_int_equal(fix.s->starting, 0);
	control("GET", "/v2/sandboxes", NULL, NULL);
	assert_string_equal(a.body, "[]");
}

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
	/* a timeout is a real end, with its reason, then a clean end frame */
	stream("/process.Process/Start", "{\"process\":{\"cmd\":\"sleep\",\"args\":[\"60\"]}}",
	    "HTTP_CONNECT_TIMEOUT_MS=300");
	message(1, m, sizeof m);
	snprintf(want, sizeof want, "\"error\":\"timed out after 0.3 s\"");
	assert_non_null(strstr(m, want));
	assert_non_null(strstr(m, "\"exitCode\":-1"));
	assert_int_equal(message(2, m, sizeof m), 2);
	assert_string_equal(m, "{}");
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
	unary("/filesystem.Filesystem/WatchDir", "{}");
	assert_int_equal(a.status, 501);
	assert_non_null(strstr(a.body, "unimplemented"));
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
	assert_non_null(strstr(a.body, "\"message\":\"The sandbox was not found\""));
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

static void
one_key_makes_one_sandbox(void **state)
{
	static const char *const p[] = {HOST, KEY, "HTTP_IDEMPOTENCY_KEY=run-1", NULL};
	static const char *const bad[] = {HOST, KEY, "HTTP_IDEMPOTENCY_KEY=A B", NULL};
	static const char body[] = "{\"templateID\":\"base\",\"timeout\":60}";
	char first[40];

	(void)state;
	NEEDS_BOX(&fix);
	call("POST", "/v2/sandboxes", NULL, body, sizeof body - 1, p);
	assert_int_equal(a.status, 201);
	member("sandboxID", first, sizeof first);
	call("POST", "/v2/sandboxes", NULL, body, sizeof body - 1, p);
	assert_int_equal(a.status, 201);
	member("sandboxID", id, sizeof id);
	assert_string_equal(first, id);
	call("POST", "/v2/sandboxes", NULL, "{\"templateID\":\"base\"}", 21, p);
	assert_int_equal(a.status, 422);
	assert_non_null(strstr(a.body, "idempotency_request_mismatch"));
	call("POST", "/v2/sandboxes", NULL, body, sizeof body - 1, bad);
	assert_int_equal(a.status, 400);
	kill_it();
}

static void
lists_are_filtered_and_paged(void **state)
{
	char next[200], q[300], ids[3][40];
	struct az_json *j = NULL;

	(void)state;
	NEEDS_BOX(&fix);
	for (int i = 0; i < 3; i++) {
		create(i == 1 ? "{\"templateID\":\"base\",\"metadata\":{\"a\":\"b c\"}}"
			      : "{\"templateID\":\"base\",\"metadata\":{\"a\":\"x\"}}");
		memcpy(ids[i], id, sizeof id);
	}
	/* as the SDKs send it: encoded inside, then again */
	control("GET", "/v2/sandboxes", "metadata=a%3Db%252520c", NULL);
	assert_int_equal(
	    az_json_parse(az_str_n(a.body, a.body_n), &az_json_own_limits, &j, NULL), AZ_OK);
	assert_int_equal(az_json_len(j), 1);
	assert_true(az_str_eqc(az_json_gets(az_json_at(j, 0), "sandboxID"), ids[1]));
	az_json_free(j);
	assert_null(strstr(a.body, "envdAccessToken"));
	control("GET", "/v2/sandboxes", "limit=2", NULL);
	assert_non_null(strstr(a.body, ids[2]));
	assert_null(strstr(a.body, ids[0]));
	assert_non_null(fcgi_peer_header(&a, "X-Next-Token", next, sizeof next));
	snprintf(q, sizeof q, "limit=2&nextToken=%s", next);
	control("GET", "/v2/sandboxes", q, NULL);
	assert_non_null(strstr(a.body, ids[0]));
	assert_null(strstr(a.body, ids[1]));
	assert_null(strstr(a.head, "X-Next-Token"));
	snprintf(q, sizeof q, "order=asc&nextToken=%s", next);
	control("GET", "/v2/sandboxes", q, NULL);
	assert_int_equal(a.status, 400);
	control("GET", "/v2/sandboxes", "state=paused", NULL);
	assert_string_equal(a.body, "[]");
	for (int i = 0; i < 3; i++) {
		memcpy(id, ids[i], sizeof id);
		kill_it();
	}
	snprintf(q, sizeof q, "/sandboxes/%s", id);
	control("GET", q, NULL, NULL);
	assert_int_equal(a.status, 404);
	control("DELETE", q, NULL, NULL);
	assert_int_equal(a.status, 404);
}

static void
time_is_given_and_only_extended_by_connect(void **state)
{
	char path[100], s1[100], end1[64], end2[64];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\",\"timeout\":500}");
	snprintf(s1, sizeof s1, "/sandboxes/%s", id);
	control("GET", s1, NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body, "\"state\":\"running\""));
	member("endAt", end1, sizeof end1);
	snprintf(path, sizeof path, "/v2/sandboxes/%s/connect", id);
	control("POST", path, NULL, "{\"timeout\":1}");
	assert_int_equal(a.status, 200);
	control("GET", s1, NULL, NULL);
	member("endAt", end2, sizeof end2);
	assert_string_equal(end1, end2);
	snprintf(path, sizeof path, "/sandboxes/%s/connect", id);
	control("POST", path, NULL, "{}");
	assert_int_equal(a.status, 400);
	snprintf(path, sizeof path, "/sandboxes/%s/timeout", id);
	control("POST", path, NULL, "{\"timeout\":100}");
	assert_int_equal(a.status, 204);
	control("GET", s1, NULL, NULL);
	member("endAt", end2, sizeof end2);
	assert_true(strcmp(end2, end1) < 0);
	snprintf(path, sizeof path, "/sandboxes/%s/pause", id);
	control("POST", path, NULL, "{}");
	assert_int_equal(a.status, 501);
	assert_non_null(strstr(a.body, "pause"));
	snprintf(path, sizeof path, "/sandboxes/%s/network", id);
	control("PUT", path, NULL, "{\"allow_internet_access\":false}");
	assert_int_equal(a.status, 204);
	control("GET", s1, NULL, NULL);
	assert_non_null(strstr(a.body, "\"allowInternetAccess\":false"));
	kill_it();
}

static void
more_than_the_most_is_refused(void **state)
{
	char ids[8][40];

	(void)state;
	NEEDS_BOX(&fix);
	for (int i = 0; i < 8; i++) {
		create("{\"templateID\":\"base\"}");
		memcpy(ids[i], id, sizeof id);
	}
	control("POST", "/v2/sandboxes", NULL, "{\"templateID\":\"base\"}");
	assert_int_equal(a.status, 429);
	assert_non_null(strstr(a.head, "Should-Retry: false"));
	assert_null(strstr(a.head, "Retry-After"));
	assert_non_null(strstr(a.body, "concurrent E2B sandboxes (8)"));
	for (int i = 0; i < 8; i++) {
		memcpy(id, ids[i], sizeof id);
		kill_it();
	}
	create("{\"templateID\":\"base\"}");
	kill_it();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(strangers_are_turned_away),
	    cmocka_unit_test(creation_is_checked),
	    cmocka_unit_test(a_command_runs_and_says_how_it_ended),
	    cmocka_unit_test(stream_errors_come_in_the_end_frame),
	    cmocka_unit_test(output_waits_for_a_late_follower),
	    cmocka_unit_test(files_go_up_and_down_and_stay_inside),
	    cmocka_unit_test(names_are_listed_made_moved_removed),
	    cmocka_unit_test(one_key_makes_one_sandbox),
	    cmocka_unit_test(lists_are_filtered_and_paged),
	    cmocka_unit_test(time_is_given_and_only_extended_by_connect),
	    cmocka_unit_test(more_than_the_most_is_refused),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
