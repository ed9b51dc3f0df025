/* The service as nginx sees it, over a unix socket: requests and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <azlon/json.h>
#include "web/web.h"
#include "web_fixture.h"

static enum az_code
echo(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str body, h = az_rq_header(rq, "X-User-ID");
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	(void)app;
	if ((rc = az_rq_body(rq, 1000, &body, err)) != AZ_OK)
		return rc;
	az_buf_init(&b, 8192);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ks(&w, "id", az_rq_param(rq, "id"));
	az_jw_ks(&w, "q", az_rq_query(rq, "q"));
	az_jw_kb(&w, "has_z", az_rq_query(rq, "z").p != NULL);
	az_jw_ks(&w, "user", h);
	az_jw_kb(&w, "has_user", h.p != NULL);
	az_jw_ks(&w, "type", az_rq_header(rq, "Content-Type"));
	az_jw_ks(&w, "body", body);
	az_jw_end(&w, '}');
	rc = az_rs_json(rq, 201, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

static enum az_code
inject(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	az_rs_header(rq, "X-Name", az_rq_query(rq, "v"));
	return az_rs_text(rq, 200, AZ_S("fine"), err);
}

static enum az_code
boom(struct az_rq *rq, void *app, struct az_err *err)
{
	static const struct az_problem_item items[] = {
	    {"[\"body\",\"user_prompt\"]", "Field required", "missing"}};
	struct az_str kind = az_rq_param(rq, "kind");

	(void)app;
	if (az_str_eqc(kind, "secret"))
		return az_fail(err, AZ_EUPSTREAM, "x", "password hunter2");
	if (az_str_eqc(kind, "quota")) {
		az_fail(err, AZ_EQUOTA, "x", "too many runs");
		err->retry_after_ms = 19001;
		return AZ_EQUOTA;
	}
	if (az_str_eqc(kind, "engine")) {
		az_fail(err, AZ_EUNAVAIL, "x", "the engine is away");
		return az_err_reason(err, "engine");
	}
	if (az_str_eqc(kind, "auth"))
		return az_fail(err, AZ_EAUTH, "x", "no");
	if (az_str_eqc(kind, "late")) {
		if (az_rs_write(rq, AZ_S("half"), err) != AZ_OK || az_rs_flush(rq, err) != AZ_OK)
			return err->code;
		return az_fail(err, AZ_EIO, "x", "disk");
	}
	if (az_str_eqc(kind, "begun") || az_str_eqc(kind, "long")) {
		static char block[1000];

		az_rs_header(rq, "Content-Type", AZ_S("application/zip"));
		for (int i = 0; i < (az_str_eqc(kind, "long") ? 9 : 2); i++)
			if (az_rs_write(rq, az_str_n(block, sizeof block), err) != AZ_OK)
				return err->code;
		return az_fail(err, AZ_EIO, "x", "disk");
	}
	if (az_str_eqc(kind, "mute"))
		return AZ_EINTERNAL;
	az_fail(err, AZ_EUNPROC, "x", "the body is not acceptable");
	return az_rs_problem(rq, 0, err, items, 1);
}

static enum az_code
big(struct az_rq *rq, void *app, struct az_err *err)
{
	char part[1000];
	enum az_code rc = AZ_OK;

	(void)app;
	memset(part, 'x', sizeof part);
	for (int i = 0; i < 300 && rc == AZ_OK; i++)
		rc = az_rs_write(rq, az_str_n(part, sizeof part), err);
	return rc;
}

/* Until the connection takes no more, then broken off: the reader has not begun. */
static int full[2];

static enum az_code
stuck(struct az_rq *rq, void *app, struct az_err *err)
{
	static const char record[16] = {
	    1, 6, 0, 1, 0, 8, 0, 0, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'};
	enum az_code rc = az_rs_write(rq, AZ_S("begun"), err);

	(void)app;
	if (rc == AZ_OK)
		rc = az_rs_flush(rq, err);
	while (rc == AZ_OK && send(rq->f->ipcFd, record, sizeof record, MSG_DONTWAIT) > 0)
		continue;
	if (write(full[1], "", 1) == 1)
		az_rs_abort(rq);
	return rc;
}

static const struct az_route routes[] = {{"GET POST", "/echo/{id}", echo},
    {"GET HEAD", "/inject", inject}, {"GET", "/boom/{kind}", boom}, {"GET HEAD", "/big", big},
    {"GET", "/stuck", stuck}, {NULL, NULL, NULL}};

static struct web_fixture fix;

static int
setup(void **state)
{
	(void)state;
	memset(&fix, 0, sizeof fix);
	return web_fixture_start(&fix, routes, NULL) ? 0 : -1;
}

static int
setup_short(void **state)
{
	(void)state;
	memset(&fix, 0, sizeof fix);
	fix.w.short_reads = true;
	return web_fixture_start(&fix, routes, NULL) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	web_fixture_stop(&fix);
	return fix.rc == AZ_OK ? 0 : -1;
}

static void
call(struct fcgi_resp *r, const char *method, const char *path, const char *query,
    const char *const *params)
{
	struct fcgi_req q = {.method = method, .path = path, .query = query, .params = params};

	assert_true(fcgi_peer_call(fix.path, &q, r));
	assert_false(r->on_stderr);
}

#define CALL(r, m, p, q, ...) call((r), (m), (p), (q), (const char *const[]){__VA_ARGS__ NULL})

static void
hands_over_what_was_asked(void **state)
{
	static const char *const params[] = {"HTTP_X_USER_ID=alice",
	    "CONTENT_TYPE=application/json", "AZLON_REQUEST_ID=0123456789abcdef", NULL};
	struct fcgi_req q = {.method = "POST",
	    .path = "/echo/x y",
	    .query = "q=one&q=two",
	    .params = params,
	    .body = "{\"a\":1}",
	    .body_n = 7};
	struct fcgi_resp r;
	char h[200];

	(void)state;
	assert_true(fcgi_peer_call(fix.path, &q, &r));
	assert_true(r.ended);
	assert_int_equal(r.status, 201);
	assert_string_equal(r.body, "{\"id\":\"x y\",\"q\":\"one\","
				    "\"has_z\":false,\"user\":\"alice\",\"has_user\":true,"
				    "\"type\":\"application/json\",\"body\":\"{\\\"a\\\":1}\"}");
	assert_string_equal(fcgi_peer_header(&r, "X-Request-Id", h, sizeof h), "0123456789abcdef");
	assert_string_equal(fcgi_peer_header(&r, "Cache-Control", h, sizeof h), "no-store");
	assert_string_equal(fcgi_peer_header(&r, "Content-Type", h, sizeof h), "application/json");
	assert_int_equal(atoi(fcgi_peer_header(&r, "Content-Length", h, sizeof h)), r.body_n);
	fcgi_peer_release(&r);

	/* an id that could forge a header or a log line is replaced */
	CALL(&r, "GET", "/echo/a", "", "AZLON_REQUEST_ID=bad id\r\nX: y", );
	assert_true(strlen(fcgi_peer_header(&r, "X-Request-Id", h, sizeof h)) >= 20);
	assert_null(fcgi_peer_header(&r, "X", h, sizeof h));
	assert_non_null(strstr(r.body, "\"has_user\":false"));
	fcgi_peer_release(&r);
}

static void
counts_the_body_itself(void **state)
{
	struct fcgi_req q = {
	    .method = "POST", .path = "/echo/a", .body = "12345", .body_n = 5, .content_length = 9};
	char large[2000];
	struct fcgi_resp r;
	int fd;

	(void)state;
	assert_true(fcgi_peer_call(fix.path, &q, &r));
	assert_int_equal(r.status, 400);
	assert_non_null(strstr(r.body, "cut short"));
	fcgi_peer_release(&r);

	q.content_length = 3;
	assert_true(fcgi_peer_call(fix.path, &q, &r));
	assert_int_equal(r.status, 400);
	fcgi_peer_release(&r);

	/* no length stated at all: the cap holds on what arrives */
	memset(large, 'x', sizeof large);
	q = (struct fcgi_req){.method = "POST",
	    .path = "/echo/a",
	    .body = large,
	    .body_n = sizeof large,
	    .content_length = -1};
	assert_true(fcgi_peer_call(fix.path, &q, &r));
	assert_int_equal(r.status, 413);
	fcgi_peer_release(&r);

	/* the connection breaks off inside the body: no answer matters, but the
	   next request must be served */
	fd = fcgi_peer_connect(fix.path);
	q.content_length = 5000;
	assert_true(fcgi_peer_send(fd, &q, false));
	close(fd);
	CALL(&r, "GET", "/echo/a", "", );
	assert_int_equal(r.status, 201);
	fcgi_peer_release(&r);
}

static void
refuses_what_is_no_request(void **state)
{
	static const struct {
		const char *method, *path, *query;
		int status;
	} t[] = {{"GET", "/nowhere", "", 404}, {"PUT", "/inject", "", 405},
	    {"GET", "/echo/..", "", 400}, {"GET", "/echo/a\\b", "", 400},
	    {"GET", "/echo/a\tb", "", 400}, {"GET", "", "", 400}, {"GET", "/echo/a", "q=%zz", 400}};
	struct fcgi_resp r;
	char h[100];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		CALL(&r, t[i].method, t[i].path, t[i].query, );
		assert_int_equal(r.status, t[i].status);
		assert_string_equal(
		    fcgi_peer_header(&r, "Content-Type", h, sizeof h), "application/problem+json");
		if (t[i].status == 405)
			assert_string_equal(
			    fcgi_peer_header(&r, "Allow", h, sizeof h), "GET, HEAD");
		fcgi_peer_release(&r);
	}
}

static void
lets_no_header_be_injected(void **state)
{
	static const char *const bad[] = {"v=a%0aSet-Cookie:x", "v=a%0d%0ab", "v=%01", "v=%7f"};
	struct fcgi_resp r;
	char h[100];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		CALL(&r, "GET", "/inject", bad[i], );
		assert_int_equal(r.status, 500);
		assert_null(fcgi_peer_header(&r, "Set-Cookie", h, sizeof h));
		assert_null(fcgi_peer_header(&r, "X-Name", h, sizeof h));
		assert_true(r.ended);
		fcgi_peer_release(&r);
	}
	CALL(&r, "GET", "/inject", "v=caf%c3%a9", );
	assert_int_equal(r.status, 200);
	assert_string_equal(fcgi_peer_header(&r, "X-Name", h, sizeof h), "caf\xc3\xa9");
	fcgi_peer_release(&r);
}

static void
head_has_headers_and_no_body(void **state)
{
	struct fcgi_resp r;
	char h[100];

	(void)state;
	CALL(&r, "HEAD", "/inject", "v=x", );
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body_n, 0);
	assert_string_equal(fcgi_peer_header(&r, "Content-Length", h, sizeof h), "4");
	fcgi_peer_release(&r);
	/* a route that names GET alone serves HEAD too */
	CALL(&r, "HEAD", "/echo/a", "", );
	assert_int_equal(r.status, 201);
	assert_int_equal(r.body_n, 0);
	assert_true(atoi(fcgi_peer_header(&r, "Content-Length", h, sizeof h)) > 50);
	fcgi_peer_release(&r);
	CALL(&r, "HEAD", "/boom/unproc", "", );
	assert_int_equal(r.status, 422);
	assert_int_equal(r.body_n, 0);
	fcgi_peer_release(&r);
	CALL(&r, "HEAD", "/big", "", );
	assert_int_equal(r.body_n, 0);
	fcgi_peer_release(&r);
	CALL(&r, "GET", "/big", "", );
	assert_int_equal(r.body_n, 300000);
	fcgi_peer_release(&r);
}

static const struct az_json *
problem(struct az_arena *a, const struct fcgi_resp *r, const char *code, int status)
{
	const struct az_json *j = NULL;
	char urn[100];

	assert_int_equal(r->status, status);
	assert_int_equal(
	    az_json_parse_in(a, az_str_n(r->body, r->body_n), &az_json_request_limits, &j, NULL),
	    AZ_OK);
	snprintf(urn, sizeof urn, "urn:azlon:problem:%s", code);
	assert_true(az_str_eqc(az_json_gets(j, "type"), urn));
	assert_true(az_str_eqc(az_json_gets(j, "code"), code));
	assert_int_equal(az_json_geti(j, "status", 0), status);
	assert_true(az_json_gets(j, "title").n > 0);
	assert_true(az_json_is_str(az_json_get(j, "detail")));
	assert_true(az_json_gets(j, "request_id").n > 0);
	assert_true(az_json_gets(j, "instance").n > 0);
	return j;
}

static void
failures_are_problem_documents(void **state)
{
	struct az_arena *a = az_arena_new(1 << 20);
	const struct az_json *j, *item;
	struct fcgi_resp r;
	char h[100];

	(void)state;
	CALL(&r, "GET", "/boom/unproc", "", );
	j = problem(a, &r, "unprocessable", 422);
	item = az_json_at(az_json_get(j, "errors"), 0);
	assert_true(az_str_eqc(az_json_gets(item, "type"), "missing"));
	assert_true(az_str_eqc(az_json_gets(item, "msg"), "Field required"));
	assert_true(
	    az_str_eqc(az_json_str(az_json_at(az_json_get(item, "loc"), 1)), "user_prompt"));
	fcgi_peer_release(&r);

	CALL(&r, "GET", "/boom/quota", "", );
	j = problem(a, &r, "quota", 429);
	assert_int_equal(az_json_geti(j, "retry_after_s", 0), 20);
	assert_string_equal(fcgi_peer_header(&r, "Retry-After", h, sizeof h), "20");
	assert_true(az_str_eqc(az_json_gets(j, "instance"), "/boom/quota"));
	fcgi_peer_release(&r);

	CALL(&r, "GET", "/boom/engine", "", );
	j = problem(a, &r, "engine", 503);
	assert_true(az_str_eqc(az_json_gets(j, "detail"), "the engine is away"));
	fcgi_peer_release(&r);

	CALL(&r, "GET", "/boom/auth", "", );
	problem(a, &r, "unauthorized", 401);
	assert_non_null(fcgi_peer_header(&r, "WWW-Authenticate", h, sizeof h));
	fcgi_peer_release(&r);

	/* a text meant for the log stays there */
	CALL(&r, "GET", "/boom/secret", "", );
	problem(a, &r, "upstream", 502);
	assert_null(strstr(r.body, "hunter2"));
	fcgi_peer_release(&r);

	CALL(&r, "GET", "/boom/mute", "", );
	problem(a, &r, "internal", 500);
	fcgi_peer_release(&r);
	az_arena_free(a);
}

/* Nothing of it left this process: it becomes another answer. */
static void
an_answer_that_fails_at_once_is_a_proper_one(void **state)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct fcgi_resp r;

	(void)state;
	CALL(&r, "GET", "/boom/begun", "", );
	problem(a, &r, "internal", 500);
	assert_true(r.ended);
	fcgi_peer_release(&r);
	CALL(&r, "GET", "/boom/long", "", );
	assert_int_equal(r.status, 200);
	assert_true(r.junk);
	fcgi_peer_release(&r);
	az_arena_free(a);
}

static void
half_an_answer_is_never_well_formed(void **state)
{
	struct fcgi_resp r;

	(void)state;
	CALL(&r, "GET", "/boom/late", "", );
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "half");
	assert_false(r.ended);
	assert_true(r.junk);
	fcgi_peer_release(&r);
}

static void
a_cut_is_seen_by_a_reader_that_was_slow(void **state)
{
	const struct fcgi_req q = {.path = "/stuck"};
	struct fcgi_resp r = {0};
	char c;
	int fd;

	(void)state;
	assert_int_equal(pipe(full), 0);
	fd = fcgi_peer_connect(fix.path);
	assert_true(fcgi_peer_send(fd, &q, true));
	assert_int_equal(read(full[0], &c, 1), 1);
	(void)fcgi_peer_read(fd, &r);
	assert_true(r.junk);
	assert_true(r.body_n > 1000);
	fcgi_peer_release(&r);
	close(fd);
	close(full[0]);
	close(full[1]);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
/* the same where the lead is carried through short requests */
#define S(f)                                                                                       \
	{                                                                                          \
#f " (short reads)", f, setup_short, teardown, NULL                                \
	}
	const struct CMUnitTest tests[] = {
	    T(hands_over_what_was_asked),
	    T(counts_the_body_itself),
	    T(refuses_what_is_no_request),
	    T(lets_no_header_be_injected),
	    T(head_has_headers_and_no_body),
	    T(failures_are_problem_documents),
	    T(an_answer_that_fails_at_once_is_a_proper_one),
	    T(half_an_answer_is_never_well_formed),
	    S(hands_over_what_was_asked),
	    S(counts_the_body_itself),
	    T(a_cut_is_seen_by_a_reader_that_was_slow),
	    S(half_an_answer_is_never_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
