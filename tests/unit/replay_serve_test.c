/* The replay process over FastCGI: strict matches, OpenAI's shapes, recording, faults. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <azlon/path.h>
#include "llm/openai.h"
#include "replay/replay.h"
#include "web_fixture.h"

struct rig {
	struct web_fixture web;
	struct az_replay *replay;
	struct az_arena *a;
	char dir[64]; /* holds rec/ and scripts/ */
};

static void
put(const struct rig *g, const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/%s", g->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(az_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

/* A cassette line for the user text. */
static void
line(struct az_buf *b, const char *user, const char *response, int seq)
{
	struct az_json *j = NULL;
	struct az_buf req, canon;
	char key[65];

	az_buf_init(&req, 1 << 16);
	az_buf_init(&canon, 1 << 16);
	az_buf_addf(&req, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", user);
	assert_int_equal(az_json_parse(az_buf_str(&req), &replay_limits, &j, NULL), AZ_OK);
	assert_int_equal(replay_canon(j, &canon, key, NULL), AZ_OK);
	az_buf_addf(b,
	    "{\"v\":1,\"key\":\"%s\",\"seq\":%d,\"request\":%s,\"response\":%s,"
	    "\"provenance\":{\"kind\":\"manual\",\"model\":\"a person\"}}\n",
	    key, seq, canon.p, response);
	az_json_free(j);
	az_buf_release(&req);
	az_buf_release(&canon);
}

static void
open_rig(struct rig *g, bool record, bool faults, const char *key)
{
	struct az_err err = AZ_ERR_INIT;
	char path[128], scripts[128];
	struct az_buf b;

	memset(g, 0, sizeof *g);
	strcpy(g->dir, "/tmp/azlon-replay-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	snprintf(path, sizeof path, "%s/rec", g->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(scripts, sizeof scripts, "%s/scripts", g->dir);
	assert_int_equal(mkdir(scripts, 0700), 0);
	az_buf_init(&b, 1 << 16);
	line(&b, "hello",
	    "{\"text\":\"h\xc3\xa9llo wor\\nld\",\"finish\":\"stop\",\"usage\":"
	    "{\"prompt_tokens\":5,\"completion_tokens\":3}}",
	    1);
	line(&b, "parts", "{\"chunks\":[\"a\",\"b\",\"c\"],\"finish\":\"length\"}", 2);
	line(&b, "hello", "{\"text\":\"later\"}", 3);
	put(g, "rec/one.jsonl", b.p);
	az_buf_reset(&b);
	az_buf_addc(&b, "{\"v\":1,\"fault\":\"429\",\"retry_after_s\":7}\n"
			"{\"v\":1,\"fault\":\"500\",\"times\":2}\n");
	line(&b, "hello", "{\"text\":\"in the end\"}", 1);
	put(g, "rec/flaky.jsonl", b.p);
	put(g, "rec/broken.jsonl",
	    "{\"v\":1,\"key\":\"00\",\"request\":{\"messages\":[{\"role\":"
	    "\"user\",\"content\":\"x\"}]},\"response\":{\"text\":\"\"},\"provenance\":{\"kind\":"
	    "\"manual\"}}\n");
	put(g, "rec/ignored.txt", "x");
	az_buf_release(&b);
	assert_int_equal(
	    az_replay_open(
		&(struct az_replay_opts){
		    .dir = path, .key = key, .record = record ? scripts : NULL, .faults = faults},
		&g->replay, &err),
	    AZ_OK);
	g->web.w.threads = 4;
	g->web.w.drain_ms = 2000;
	g->web.w.arena_bytes = 1 << 26;
	g->web.w.problem = az_replay_problem;
	assert_true(web_fixture_start(&g->web, az_replay_routes, g->replay));
	g->a = az_arena_new(1 << 24);
}

static void
close_rig(struct rig *g)
{
	int tmp;

	web_fixture_stop(&g->web);
	az_replay_close(g->replay);
	az_arena_free(g->a);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY);
	assert_int_equal(az_remove_tree(tmp, g->dir + strlen("/tmp/")), 0);
	close(tmp);
}

static void
call(struct rig *g, const char *method, const char *path, const char *body,
    const char *const *params, struct fcgi_resp *r)
{
	memset(r, 0, sizeof *r);
	assert_true(fcgi_peer_call(g->web.path,
	    &(struct fcgi_req){.method = method,
		.path = path,
		.params = params,
		.body = body,
		.body_n = body ? strlen(body) : 0},
	    r));
}

static void
ask(struct rig *g, const char *model, const char *user, const char *more, const char *fault,
    struct fcgi_resp *r)
{
	char body[1024], header[128];
	const char *params[] = {"HTTP_AUTHORIZATION=Bearer k", NULL, NULL};

	snprintf(body, sizeof body,
	    "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\","
	    "\"content\":\"%s\"}]%s}",
	    model, user, more);
	if (fault) {
		snprintf(header, sizeof header, "HTTP_X_AZLON_FAULT=%s", fault);
		params[1] = header;
	}
	call(g, "POST", "/v1/chat/completions", body, params, r);
}

static const struct az_json *
json(struct rig *g, const struct fcgi_resp *r)
{
	const struct az_json *j = NULL;
	struct az_err err = AZ_ERR_INIT;

	if (az_json_parse_in(g->a, az_str_n(r->body, r->body_n), &replay_limits, &j, &err))
		fail_msg("%s: %s", err.text, r->body);
	return j;
}

static const char *
code_of(struct rig *g, const struct fcgi_resp *r)
{
	const struct az_json *e = az_json_get(json(g, r), "error");

	assert_true(az_json_gets(e, "message").n > 0);
	return az_arena_cstr(g->a, az_json_gets(e, "code"));
}

#define STREAM ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"

static void
a_recorded_reply_comes_whole(void **state)
{
	const struct az_json *j, *c;
	struct fcgi_resp r;
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	ask(&g, "recording/one", "hello", "", NULL, &r);
	assert_int_equal(r.status, 200);
	j = json(&g, &r);
	c = az_json_at(az_json_get(j, "choices"), 0);
	/* the first of two replies to the same request */
	assert_true(
	    az_str_eqc(az_json_gets(az_json_get(c, "message"), "content"), "h\xc3\xa9llo wor\nld"));
	assert_true(az_str_eqc(az_json_gets(c, "finish_reason"), "stop"));
	assert_int_equal(az_json_geti(az_json_get(j, "usage"), "prompt_tokens", 0), 5);
	assert_true(az_str_eqc(az_json_gets(j, "model"), "recording/one"));
	assert_true(az_str_eqc(az_json_gets(az_json_get(j, "provenance"), "kind"), "manual"));
	fcgi_peer_release(&r);
	ask(&g, "one", "parts", "", NULL, &r);
	c = az_json_at(az_json_get(json(&g, &r), "choices"), 0);
	assert_true(az_str_eqc(az_json_gets(az_json_get(c, "message"), "content"), "abc"));
	assert_true(az_str_eqc(az_json_gets(c, "finish_reason"), "length"));
	fcgi_peer_release(&r);
	close_rig(&g);
}

/* Read a stream with the parser that production uses. */
static enum az_code
parse_stream(const struct fcgi_resp *r, struct openai_stream *s)
{
	enum az_code rc;

	openai_stream_init(s);
	rc = openai_stream_push(s, az_str_n(r->body, r->body_n), NULL);
	return rc ? rc : openai_stream_end(s, NULL);
}

static void
a_recorded_reply_comes_as_a_stream(void **state)
{
	struct openai_stream s;
	struct fcgi_resp r;
	char type[64];
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	ask(&g, "one", "hello", STREAM, NULL, &r);
	assert_int_equal(r.status, 200);
	assert_non_null(fcgi_peer_header(&r, "Content-Type", type, sizeof type));
	assert_string_equal(type, "text/event-stream");
	assert_int_equal(parse_stream(&r, &s), AZ_OK);
	assert_true(az_str_eqc(az_buf_str(&s.text), "h\xc3\xa9llo wor\nld"));
	assert_string_equal(s.finish, "stop");
	assert_int_equal(s.tokens_in, 5);
	assert_int_equal(s.tokens_out, 3);
	assert_true(s.done);
	openai_stream_release(&s);
	fcgi_peer_release(&r);
	close_rig(&g);
}

static void
nothing_but_a_match_is_answered(void **state)
{
	struct fcgi_resp r;
	char retry[16];
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	ask(&g, "one", "hello!", STREAM, NULL, &r);
	assert_int_equal(r.status, 409);
	assert_string_equal(code_of(&g, &r), "no_recording");
	assert_non_null(strstr(r.body, "\\\"one\\\""));
	assert_non_null(strstr(r.body, "make record"));
	assert_non_null(fcgi_peer_header(&r, "x-should-retry", retry, sizeof retry));
	assert_string_equal(retry, "false");
	fcgi_peer_release(&r);
	ask(&g, "missing", "hello", "", NULL, &r);
	assert_int_equal(r.status, 409);
	assert_string_equal(code_of(&g, &r), "no_recording");
	fcgi_peer_release(&r);
	ask(&g, "broken", "x", "", NULL, &r);
	assert_int_equal(r.status, 500);
	assert_string_equal(code_of(&g, &r), "bad_recording");
	fcgi_peer_release(&r);
	close_rig(&g);
}

static void
bad_requests_are_refused(void **state)
{
	static const struct {
		const char *method, *path, *body;
		int status;
	} rows[] = {
	    {"POST", "/v1/chat/completions", "{", 400},
	    {"POST", "/v1/chat/completions", "[]", 400},
	    {"POST", "/v1/chat/completions", "{\"model\":\"one\"}", 400},
	    {"POST", "/v1/chat/completions", "{\"model\":\"one\",\"messages\":[]}", 400},
	    {"POST", "/v1/chat/completions", "{\"model\":\"../one\",\"messages\":[{}]}", 400},
	    {"POST", "/v1/chat/completions", "{\"model\":\"\",\"messages\":[{}]}", 400},
	    {"GET", "/v1/chat/completions", NULL, 405},
	    {"POST", "/v1/embeddings", "{}", 404},
	    {"GET", "/v1/models/none", NULL, 404},
	    {"GET", "/", NULL, 404},
	};
	struct fcgi_resp r;
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		call(&g, rows[i].method, rows[i].path, rows[i].body, NULL, &r);
		if (r.status != rows[i].status)
			fail_msg("%s %s %s: %d %s", rows[i].method, rows[i].path,
			    rows[i].body ? rows[i].body : "", r.status, r.body);
		assert_true(strlen(code_of(&g, &r)) > 0);
		fcgi_peer_release(&r);
	}
	close_rig(&g);
}

static void
the_key_is_asked_for(void **state)
{
	const char *const wrong[] = {"HTTP_AUTHORIZATION=Bearer no", NULL};
	const char *const right[] = {"HTTP_AUTHORIZATION=Bearer k", NULL};
	struct fcgi_resp r;
	struct rig g;

	(void)state;
	open_rig(&g, false, false, "k");
	call(&g, "GET", "/v1/models", NULL, NULL, &r);
	assert_int_equal(r.status, 401);
	assert_string_equal(code_of(&g, &r), "invalid_api_key");
	fcgi_peer_release(&r);
	call(&g, "POST", "/v1/chat/completions", "{}", wrong, &r);
	assert_int_equal(r.status, 401);
	fcgi_peer_release(&r);
	call(&g, "GET", "/v1/models", NULL, right, &r);
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
	ask(&g, "one", "hello", "", NULL, &r);
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
	close_rig(&g);
}

static void
only_loopback_names_are_served(void **state)
{
	static const struct {
		const char *host;
		int status;
	} rows[] = {{"HTTP_HOST=127.0.0.1:8090", 200}, {"HTTP_HOST=LOCALHOST:8090", 200},
	    {"HTTP_HOST=[::1]:8090", 200}, {"HTTP_HOST=127.0.0.1:80", 403},
	    {"HTTP_HOST=evil.example:8090", 403}, {"HTTP_HOST=", 403}, {NULL, 403}};
	struct fcgi_resp r;
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	g.replay->port = 8090;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *const params[] = {rows[i].host, NULL};

		call(&g, "GET", "/v1/models", NULL, params, &r);
		assert_int_equal(r.status, rows[i].status);
		fcgi_peer_release(&r);
	}
	g.replay->port = 0;
	close_rig(&g);
}

static void
recordings_are_listed(void **state)
{
	const struct az_json *list, *m;
	struct fcgi_resp r;
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	call(&g, "GET", "/v1/models", NULL, NULL, &r);
	list = az_json_get(json(&g, &r), "data");
	assert_int_equal(az_json_len(list), 3);
	assert_true(az_str_eqc(az_json_gets(az_json_at(list, 0), "id"), "broken"));
	assert_true(az_json_gets(az_json_at(list, 0), "broken").n > 0);
	m = az_json_at(list, 2);
	assert_true(az_str_eqc(az_json_gets(m, "id"), "one"));
	assert_int_equal(az_json_geti(m, "replies", 0), 3);
	fcgi_peer_release(&r);
	call(&g, "GET", "/v1/models/one", NULL, NULL, &r);
	assert_true(az_str_eqc(az_json_gets(json(&g, &r), "id"), "one"));
	fcgi_peer_release(&r);
	close_rig(&g);
}

static void
a_changed_file_is_read_again(void **state)
{
	struct fcgi_resp r;
	struct az_buf b;
	struct rig g;
	char path[256];

	(void)state;
	open_rig(&g, false, false, NULL);
	ask(&g, "one", "new", "", NULL, &r);
	assert_int_equal(r.status, 409);
	fcgi_peer_release(&r);
	az_buf_init(&b, 1 << 16);
	line(&b, "new", "{\"text\":\"fresh\"}", 1);
	put(&g, "rec/one.jsonl", b.p);
	ask(&g, "one", "new", "", NULL, &r);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "fresh"));
	fcgi_peer_release(&r);
	snprintf(path, sizeof path, "%s/rec/one.jsonl", g.dir);
	assert_int_equal(unlink(path), 0);
	ask(&g, "one", "new", "", NULL, &r);
	assert_int_equal(r.status, 409);
	fcgi_peer_release(&r);
	az_buf_release(&b);
	close_rig(&g);
}

static void
recording_takes_the_next_reply_of_the_script(void **state)
{
	const struct az_json *j = NULL;
	struct fcgi_resp r;
	struct az_buf b;
	struct rig g;
	char path[256];

	(void)state;
	open_rig(&g, true, false, NULL);
	snprintf(path, sizeof path, "%s/scripts/new", g.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	put(&g, "scripts/new/1.md", "first reply\n");
	put(&g, "scripts/new/2.md", "second reply\n");
	/* no provenance, no recording */
	ask(&g, "new", "q1 took 3 s", STREAM, NULL, &r);
	assert_int_equal(r.status, 409);
	assert_non_null(strstr(r.body, "provenance.json"));
	fcgi_peer_release(&r);
	put(&g, "scripts/new/provenance.json",
	    "{\"kind\":\"manual\",\"licence\":\"MIT\","
	    "\"recorded_at\":\"never\"}");
	ask(&g, "new", "q1 took 3 s", "", NULL, &r);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "first reply"));
	fcgi_peer_release(&r);
	/* the same again is a hit, told by nothing but what differs from run to run */
	ask(&g, "new", "q1 took 4 s", "", NULL, &r);
	assert_non_null(strstr(r.body, "first reply"));
	fcgi_peer_release(&r);
	ask(&g, "new", "q2", "", NULL, &r);
	assert_non_null(strstr(r.body, "second reply"));
	fcgi_peer_release(&r);
	/* an earlier question again does not turn the script back */
	ask(&g, "new", "q1 took 5 s", "", NULL, &r);
	assert_non_null(strstr(r.body, "first reply"));
	fcgi_peer_release(&r);
	ask(&g, "new", "q3", "", NULL, &r);
	assert_int_equal(r.status, 409);
	assert_non_null(strstr(r.body, "new/3.md"));
	fcgi_peer_release(&r);
	/* what stands in the file */
	az_buf_init(&b, 1 << 16);
	snprintf(path, sizeof path, "%s/rec/new.jsonl", g.dir);
	assert_int_equal(az_read_file(path, 1 << 16, &b, NULL), AZ_OK);
	assert_int_equal(
	    az_json_parse_in(g.a,
		az_str_sub(az_buf_str(&b), 0, (size_t)az_str_chr(az_buf_str(&b), '\n')),
		&replay_limits, &j, NULL),
	    AZ_OK);
	assert_int_equal(az_json_geti(j, "seq", 0), 1);
	assert_true(az_str_eqc(az_json_gets(az_json_get(j, "response"), "text"), "first reply\n"));
	assert_true(az_str_eqc(az_json_gets(az_json_get(j, "provenance"), "licence"), "MIT"));
	assert_false(
	    az_str_eqc(az_json_gets(az_json_get(j, "provenance"), "recorded_at"), "never"));
	assert_non_null(strstr(b.p, "took <n> s"));
	az_buf_release(&b);
	close_rig(&g);
}

static void
faults_of_a_recording_come_in_order(void **state)
{
	static const int want[] = {429, 500, 500, 200, 200};
	struct fcgi_resp r;
	char after[16];
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		ask(&g, "flaky", "hello", "", NULL, &r);
		assert_int_equal(r.status, want[i]);
		if (i == 0) {
			assert_non_null(fcgi_peer_header(&r, "Retry-After", after, sizeof after));
			assert_string_equal(after, "7");
		}
		fcgi_peer_release(&r);
	}
	close_rig(&g);
}

static void
faults_are_injected_where_allowed(void **state)
{
	struct openai_stream s;
	struct fcgi_resp r;
	struct rig g;

	(void)state;
	open_rig(&g, false, true, NULL);
	ask(&g, "one", "hello", STREAM, "429;retry-after=2", &r);
	assert_int_equal(r.status, 429);
	fcgi_peer_release(&r);
	ask(&g, "one", "hello", STREAM, "500", &r);
	assert_int_equal(r.status, 500);
	fcgi_peer_release(&r);
	ask(&g, "one", "hello", STREAM, "cut", &r);
	assert_false(r.ended);
	assert_int_equal(parse_stream(&r, &s), AZ_EUPSTREAM);
	assert_true(s.text.n > 0);
	openai_stream_release(&s);
	fcgi_peer_release(&r);
	ask(&g, "one", "hello", STREAM, "split", &r);
	assert_int_equal(parse_stream(&r, &s), AZ_OK);
	assert_true(az_str_eqc(az_buf_str(&s.text), "h\xc3\xa9llo wor\nld"));
	openai_stream_release(&s);
	fcgi_peer_release(&r);
	ask(&g, "one", "hello", STREAM, "error200", &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(parse_stream(&r, &s), AZ_OK);
	assert_true(s.failed);
	assert_int_equal(s.fault.status, 503);
	openai_stream_release(&s);
	fcgi_peer_release(&r);
	ask(&g, "one", "hello", STREAM, "long", &r);
	assert_int_equal(parse_stream(&r, &s), AZ_ETOOBIG);
	openai_stream_release(&s);
	fcgi_peer_release(&r);
	ask(&g, "one", "hello", "", "cut", &r);
	assert_false(r.ended);
	fcgi_peer_release(&r);
	close_rig(&g);
}

static void
a_stall_ends_when_the_client_goes(void **state)
{
	struct fcgi_resp r = {0};
	const char *const params[] = {"HTTP_X_AZLON_FAULT=stall", NULL};
	const char body[] = "{\"model\":\"one\",\"stream\":true,\"messages\":[{\"role\":\"user\","
			    "\"content\":\"hello\"}]}";
	struct rig g;
	int fd;

	(void)state;
	open_rig(&g, false, true, NULL);
	fd = fcgi_peer_connect(g.web.path);
	assert_true(fd >= 0);
	assert_true(fcgi_peer_send(fd,
	    &(struct fcgi_req){.method = "POST",
		.path = "/v1/chat/completions",
		.params = params,
		.body = body,
		.body_n = sizeof body - 1},
	    true));
	assert_true(fcgi_peer_read_until(fd, &r, "h\xc3\xa9"));
	close(fd);
	fcgi_peer_release(&r);
	/* draining is quick because nothing is left */
	close_rig(&g);
}

static void
the_header_does_nothing_where_not_allowed(void **state)
{
	struct fcgi_resp r;
	struct rig g;

	(void)state;
	open_rig(&g, false, false, NULL);
	ask(&g, "one", "hello", "", "500", &r);
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
	close_rig(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_recorded_reply_comes_whole),
	    cmocka_unit_test(a_recorded_reply_comes_as_a_stream),
	    cmocka_unit_test(nothing_but_a_match_is_answered),
	    cmocka_unit_test(bad_requests_are_refused),
	    cmocka_unit_test(the_key_is_asked_for),
	    cmocka_unit_test(only_loopback_names_are_served),
	    cmocka_unit_test(recordings_are_listed),
	    cmocka_unit_test(a_changed_file_is_read_again),
	    cmocka_unit_test(recording_takes_the_next_reply_of_the_script),
	    cmocka_unit_test(faults_of_a_recording_come_in_order),
	    cmocka_unit_test(faults_are_injected_where_allowed),
	    cmocka_unit_test(a_stall_ends_when_the_client_goes),
	    cmocka_unit_test(the_header_does_nothing_where_not_allowed),
	};

	return cmocka_run_group_tests_name("replay_serve", tests, NULL, NULL);
}
