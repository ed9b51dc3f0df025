/* Results and events that are waited for, and streams of them. */
#include "api_run_fixture.h"

/* The hand-over's target of a fresh synchronous start. */
static struct az_str
handed(const char *more, char path[600], char **query)
{
	struct fcgi_resp r;
	char body[600];

	snprintf(body, sizeof body,
	    "{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":"
	    "\"recording/x\",\"user_id\":\"carol d\"%s}",
	    more);
	/* no header: in dev the body names the user */
	api_call(&fix, NULL, "POST", "/run_workflow", "", body, NULL, &r);
	assert_non_null(fcgi_peer_header(&r, "X-Accel-Redirect", path, 600));
	fcgi_peer_release(&r);
	*query = strchr(path, '?');
	*(*query)++ = '\0';
	return fix.engine.run[fix.engine.n - 1].id;
}

struct later {
	struct az_str id;
};

static void *
succeed_later(void *arg)
{
	struct later *l = arg;

	fake_succeed(&fix.engine, l->id);
	return NULL;
}

static void
a_handed_over_wait_answers_like_the_original(void **state)
{
	const struct az_json *j = NULL;
	struct fcgi_resp r;
	struct later l;
	pthread_t t;
	char path[600], *query;

	(void)state;
	l.id = handed("", path, &query);
	pthread_create(&t, NULL, succeed_later, &l);
	api_call(&fix, NULL, "GET", path, query, NULL, NULL, &r);
	pthread_join(t, NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(
	    az_json_parse_in(arena, az_str_n(r.body, r.body_n), &az_json_own_limits, &j, NULL),
	    AZ_OK);
	assert_int_equal(az_json_len(j), 4);
	assert_true(az_str_eq(az_json_gets(j, "workflow_id"), l.id));
	assert_true(az_json_getb(j, "result", false));
	assert_true(az_str_eqc(az_json_gets(j, "user_id"), "carol d"));
	assert_true(az_str_eqc(az_json_gets(az_json_get(j, "run"), "status"), "succeeded"));
	fcgi_peer_release(&r);
}

static void
a_wait_that_ends_first_answers_202(void **state)
{
	struct fcgi_resp r;
	char path[600], q[700], h[200], *query;
	struct az_str id = handed("", path, &query);

	(void)state;
	snprintf(q, sizeof q, "%s&wait=0", query);
	api_call(&fix, NULL, "GET", path, q, NULL, NULL, &r);
	assert_int_equal(r.status, 202);
	assert_true(az_str_ends(az_str_c(fcgi_peer_header(&r, "Location", h, sizeof h)), id));
	fcgi_peer_release(&r);
}

static void
leaving_cancels_only_when_asked(void **state)
{
	static const struct {
		const char *more;
		bool cancels;
	} t[] = {{"", false}, {",\"on_disconnect\":\"cancel\"", true}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char path[600], *query;
		struct az_str id = handed(t[i].more, path, &query);
		struct fcgi_req q = {.path = path, .query = query};
		struct fake_run *run = &fix.engine.run[fix.engine.n - 1];
		int before = fix.engine.describes, fd = fcgi_peer_connect(fix.web.path);
		bool asked = false;

		assert_true(fcgi_peer_send(fd, &q, true));
		/* it has looked at the run, so it waits now */
		pthread_mutex_lock(&fix.engine.mu);
		while (fix.engine.describes == before) {
			pthread_mutex_unlock(&fix.engine.mu);
			sched_yield();
			pthread_mutex_lock(&fix.engine.mu);
		}
		pthread_mutex_unlock(&fix.engine.mu);
		close(fd);
		/* its slices are a second long: two of them are enough to notice */
		for (int64_t end = az_boot_ms() + 2500; !asked && az_boot_ms() < end;) {
			int64_t now;
			assert_int_equal(
			    fake_wait(fix.api.engine, id, run->version, 100, NULL, &now, NULL),
			    AZ_OK);
			pthread_mutex_lock(&fix.engine.mu);
			for (size_t k = 0; k < run->n; k++)
				asked |= run->ev[k].type == AZ_EV_CANCEL_REQUESTED;
			pthread_mutex_unlock(&fix.engine.mu);
		}
		assert_int_equal(asked, t[i].cancels);
	}
}

static void
results_come_when_they_are_there(void **state)
{
	struct az_str id = begin("alice", "");
	const struct az_json *j;
	struct fcgi_resp r;
	struct later l = {id};
	pthread_t t;
	char h[50];

	(void)state;
	j = GET(id, "/result", "", &r, );
	assert_int_equal(r.status, 409);
	assert_true(az_str_eqc(az_json_gets(j, "code"), "not_finished"));
	assert_non_null(fcgi_peer_header(&r, "Retry-After", h, sizeof h));
	fcgi_peer_release(&r);
	pthread_create(&t, NULL, succeed_later, &l);
	j = GET(id, "/result", "wait=20", &r, );
	pthread_join(t, NULL);
	assert_int_equal(r.status, 200);
	assert_true(az_json_getb(j, "result", false));
	fcgi_peer_release(&r);
}

static void *
beat_later(void *arg)
{
	struct later *l = arg;

	fake_beat(&fix.engine, l->id, "{\"phase\":\"generate\",\"tail\":\"news\"}");
	return NULL;
}

static void
a_long_poll_ends_with_the_change(void **state)
{
	struct az_str id = begin("alice", "");
	struct later l = {id};
	const struct az_json *j;
	char etag[100], inm[200];
	struct fcgi_resp r;
	pthread_t t;

	(void)state;
	GET(id, "", "", &r, );
	fcgi_peer_header(&r, "ETag", etag, sizeof etag);
	snprintf(inm, sizeof inm, "HTTP_IF_NONE_MATCH=%s", etag);
	fcgi_peer_release(&r);
	pthread_create(&t, NULL, beat_later, &l);
	j = GET(id, "", "wait=20", &r, inm, );
	pthread_join(t, NULL);
	assert_int_equal(r.status, 200);
	assert_true(az_str_eqc(az_json_gets(az_json_get(j, "progress"), "tail"), "news"));
	fcgi_peer_release(&r);
	/* nothing new: 304 after the wait; an older tag: the present state at once */
	fcgi_peer_release(&r);
	GET(id, "", "wait=30", &r, inm, );
	assert_int_equal(r.status, 200);
	fcgi_peer_header(&r, "ETag", etag, sizeof etag);
	snprintf(inm, sizeof inm, "HTTP_IF_NONE_MATCH=%s", etag);
	fcgi_peer_release(&r);
	GET(id, "", "wait=0", &r, inm, );
	assert_int_equal(r.status, 304);
	fcgi_peer_release(&r);
	GET(id, "", "wait=x", &r, );
	assert_int_equal(r.status, 400);
	fcgi_peer_release(&r);
}

static void
event_pages_resume_without_gap(void **state)
{
	struct az_str id = begin("alice", "");
	struct fcgi_resp r;
	int64_t after = 0, seq = 0;
	bool more = true;

	(void)state;
	fake_succeed(&fix.engine, id);
	while (more) {
		char q[60];
		const struct az_json *j, *evs;

		snprintf(q, sizeof q, "after=%lld&limit=3", (long long)after);
		j = GET(id, "/events", q, &r, );
		assert_int_equal(r.status, 200);
		evs = az_json_get(j, "events");
		for (size_t i = 0; i < az_json_len(evs); i++) {
			const struct az_json *e = az_json_at(evs, i);
			assert_int_equal(az_json_geti(e, "seq", 0), ++seq);
			assert_true(az_json_gets(e, "type").n > 0);
			assert_true(az_json_gets(e, "t").n > 0);
		}
		after = az_json_geti(j, "next_after", -1);
		assert_int_equal(after, seq);
		more = az_json_getb(j, "more", false);
		assert_int_equal(az_json_getb(j, "finished", false), !more);
		fcgi_peer_release(&r);
	}
	assert_true(seq > 6);
}

#define SSE "HTTP_ACCEPT=text/event-stream"

static void
streams_resume_and_end(void **state)
{
	struct az_str id = begin("alice", "");
	const char *params[] = {"HTTP_HOST=localhost", "HTTP_X_USER_ID=alice", SSE, NULL};
	char path[300], last[60];
	struct fcgi_req q = {.path = path, .params = params};
	struct fcgi_resp r = {.status = 0}, all;
	int fd = fcgi_peer_connect(fix.web.path);
	const char *at;

	(void)state;
	snprintf(path, sizeof path, "/run_workflow/%.*s/events", AZ_FMT(id));
	assert_true(fcgi_peer_send(fd, &q, true));
	assert_true(fcgi_peer_read_until(fd, &r, "event: iteration.start"));
	fake_beat(&fix.engine, id, "{\"phase\":\"generate\",\"iteration\":1,\"tail\":\"abc\"}");
	assert_true(fcgi_peer_read_until(fd, &r, "event: progress"));
	assert_true(fcgi_peer_read_until(fd, &r, "\"tail\":\"abc\""));
	/* the frame before progress has a number, progress has none */
	at = strstr(r.body, "event: progress");
	assert_memory_equal(at - 2, "\n\n", 2);
	fake_succeed(&fix.engine, id);
	assert_true(fcgi_peer_read(fd, &r));
	close(fd);
	assert_non_null(strstr(r.body, "event: run.finished\ndata: {"));
	assert_non_null(strstr(r.body, "id: 1\nevent: run.status"));

	/* resumed after 3: the rest, no less and no more */
	GET(id, "/events", "", &all, SSE, "HTTP_LAST_EVENT_ID=3", );
	assert_int_equal(all.status, 200);
	assert_null(strstr(all.body, "id: 3\n"));
	assert_true(az_str_starts(az_str_c(all.body), AZ_S("id: 4\n")));
	assert_non_null(strstr(r.body, all.body));
	fcgi_peer_release(&all);

	/* past the end: 204 tells EventSource to stop */
	for (at = r.body; strstr(at + 1, "id: "); at = strstr(at + 1, "id: "))
		;
	snprintf(last, sizeof last, "HTTP_LAST_EVENT_ID=%d", atoi(at + 4));
	GET(id, "/events", "", &all, SSE, last, );
	assert_int_equal(all.status, 204);
	fcgi_peer_release(&all);
	GET(id, "/events", "", &all, SSE, "HTTP_LAST_EVENT_ID=x", );
	assert_int_equal(all.status, 400);
	fcgi_peer_release(&all);
	fcgi_peer_release(&r);
}

#define STREAMS 12

static int
describes(void)
{
	int n;

	pthread_mutex_lock(&fix.engine.mu);
	n = fix.engine.describes;
	pthread_mutex_unlock(&fix.engine.mu);
	return n;
}

static void
streams_of_a_run_share_what_is_read(void **state)
{
	struct az_str id = begin("alice", "");
	const char *params[] = {"HTTP_HOST=localhost", "HTTP_X_USER_ID=alice", SSE, NULL};
	struct fcgi_resp r[STREAMS];
	char path[300];
	struct fcgi_req q = {.path = path, .params = params};
	int fd[STREAMS], before;

	(void)state;
	memset(r, 0, sizeof r);
	snprintf(path, sizeof path, "/run_workflow/%.*s/events", AZ_FMT(id));
	for (int i = 0; i < STREAMS; i++) {
		fd[i] = fcgi_peer_connect(fix.web.path);
		assert_true(fcgi_peer_send(fd[i], &q, true));
		assert_true(fcgi_peer_read_until(fd[i], &r[i], "event: iteration.start"));
	}
	before = describes();
	fake_beat(&fix.engine, id, "{\"phase\":\"generate\",\"iteration\":1,\"tail\":\"abc\"}");
	for (int i = 0; i < STREAMS; i++)
		assert_true(fcgi_peer_read_until(fd[i], &r[i], "\"tail\":\"abc\""));
	/* however many want to know */
	assert_true(describes() - before <= 2);
	/* the one that asks for all of them leaves; another goes on */
	close(fd[0]);
	fake_succeed(&fix.engine, id);
	for (int i = 1; i < STREAMS; i++) {
		assert_true(fcgi_peer_read(fd[i], &r[i]));
		assert_false(r[i].junk);
		assert_non_null(strstr(r[i].body, "event: run.finished\ndata: {"));
		assert_string_equal(r[i].body, r[1].body);
		close(fd[i]);
	}
	for (int i = 0; i < STREAMS; i++)
		fcgi_peer_release(&r[i]);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_handed_over_wait_answers_like_the_original),
	    T(a_wait_that_ends_first_answers_202),
	    T(leaving_cancels_only_when_asked),
	    T(results_come_when_they_are_there),
	    T(a_long_poll_ends_with_the_change),
	    T(event_pages_resume_without_gap),
	    T(streams_resume_and_end),
	    T(streams_of_a_run_share_what_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
